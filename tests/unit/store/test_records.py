"""Runs can be cut anywhere and joined again."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from millstream.store.records import concat_records, same_shape, size_of, slice_records
from tests.unit.store.builders import (
    KEY_LAYOUT,
    VALUE_LAYOUT,
    lines,
    plain,
    random_records,
    raw,
    records,
    typed,
)


@given(seed=st.integers(0, 2**32), cuts=st.sets(st.integers(1, 19)))
def test_slices_joined_are_the_whole(seed: int, cuts: set[int]) -> None:
    run = random_records(random.Random(seed), 20, 3)
    edges = [0, *sorted(cuts), 20]
    pieces = [slice_records(run, a, b) for a, b in itertools.pairwise(edges)]
    assert [row for piece in pieces for row in plain(piece)] == plain(run)
    assert plain(concat_records(pieces)) == plain(run)


def test_a_missing_mask_and_missing_headers_are_filled_when_joined() -> None:
    one = records(raw([b"a"]), typed(VALUE_LAYOUT, [[1], ["x"]]))
    two = records(raw([b"b"]), typed(VALUE_LAYOUT, [[2], ["y"]], [True]), headers=[[("h", b"1")]])
    joined = concat_records([one, two])
    assert plain(joined) == plain(one) + plain(two)


def test_only_the_same_shapes_can_be_joined() -> None:
    base = lines(["a"])
    assert same_shape(base, lines(["b", "c"]))
    assert not same_shape(base, lines(["b"], windows=[(0, 1)]))
    assert not same_shape(base, records(raw([b"k"]), typed(KEY_LAYOUT, [["x"]])))
    assert not same_shape(
        records(raw([b"k"]), typed(VALUE_LAYOUT, [[1], ["x"]])),
        records(raw([b"k"]), typed(KEY_LAYOUT, [["x"]])),
    )


def test_the_size_counts_all_arrays() -> None:
    small = size_of(lines(["a"]))
    assert size_of(lines(["a" * 1000])) >= small + 999
    assert size_of(lines(["a"], headers=[[("h", b"v" * 500)]])) >= small + 500
