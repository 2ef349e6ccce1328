"""Runs and rows keep every value through their stored form, and take little room."""

from __future__ import annotations

import decimal
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.serde.base import Layout, RawPart, TypedPart
from millstream.store.interfaces import Records
from millstream.store.records import size_of, slice_records
from millstream.store.sqlite.blobs import (
    canonical,
    decode_run,
    encode_few,
    encode_head,
    encode_run,
    first_offsets,
    number_offsets,
)
from millstream.store.sqlite.layouts import dump_layout, know, load_layout
from tests.unit.store.builders import (
    KEY_LAYOUT,
    RICH_LAYOUT,
    VALUE_LAYOUT,
    lines,
    plain,
    random_records,
    raw,
    records,
    typed,
)

LAYOUTS = {know(layout): i for i, layout in enumerate([KEY_LAYOUT, VALUE_LAYOUT, RICH_LAYOUT], 1)}
BY_ID = {i: known for known, i in LAYOUTS.items()}

RICH_VALUES: list[list[Any]] = [
    [True, None, False],
    [1, None, -(2**31)],
    [0.1, None, float("-inf")],
    [decimal.Decimal("1.500"), None, decimal.Decimal("-99999999.999")],
    [decimal.Decimal("123456789012345678901234567890123456789012345678.25"), None, None],
    ["", None, "\U0001f600"],
    [b"", None, b"\0\xff"],
    [0, None, -719162],
    [86_399_999, None, 0],
    [2**53, None, -1],
    [[1, None], None, []],
    [{"a": [1.5, None]}, None, {}],
    [{"x": "y", "Y": [1]}, None, {"x": None, "Y": None}],
    ["h", None, ""],
]


def stored(run: Records) -> Records:
    """The run after it was written and read."""
    head, body = encode_run(canonical(run), size_of(run), LAYOUTS)
    found = decode_run(head, bytes(body), len(run), BY_ID)
    firsts = first_offsets(run.partition, run.offset)
    small_head, small_body = encode_few(canonical(run), firsts, LAYOUTS)
    small = decode_run(small_head, small_body, len(run), BY_ID)
    assert plain(small) == plain(found)
    return found


def appended(run: Records) -> Records:
    """The run with offsets, as a topic gives them."""
    run = canonical(run)
    firsts = {p: 10 * p for p in set(run.partition.tolist())}
    run.offset = number_offsets(run.partition, firsts)
    return run


@given(seed=st.integers(0, 2**32), count=st.integers(1, 40), partitions=st.integers(1, 5))
def test_any_records_come_back(seed: int, count: int, partitions: int) -> None:
    run = appended(random_records(random.Random(seed), count, partitions))
    assert plain(stored(run)) == plain(run)


@pytest.mark.parametrize("times", [1, 2000], ids=["small", "large"])
def test_every_type_comes_back(times: int) -> None:
    value = typed(RICH_LAYOUT, [column * times for column in RICH_VALUES])
    run = appended(records(raw([b"k"] * 3 * times), value))
    assert plain(stored(run)) == plain(run)


def test_columns_under_a_null_mask_stay_as_they_are() -> None:
    value = typed(VALUE_LAYOUT, [[1, 2], ["a", "b"]], [True, False])
    back = stored(appended(records(raw([None, None]), value))).value
    assert isinstance(back, TypedPart)
    assert back.null is not None and back.null.tolist() == [True, False]
    assert back.arrays[0].to_pylist() == [1, 2]


@pytest.mark.parametrize("start", [0, 3])
def test_a_few_records_cut_out_of_many_bring_no_others(start: int) -> None:
    words = [f"some words, of which each is like no other: {n}" for n in range(20_000)]
    many = appended(records(raw([None] * 20_000), typed(VALUE_LAYOUT, [range(20_000), words])))
    few = slice_records(many, start, start + 5)
    head, body = encode_few(few, first_offsets(few.partition, few.offset), LAYOUTS)
    assert len(body) < 2000
    assert plain(decode_run(head, body, 5, BY_ID)) == plain(few)


def test_a_mask_that_masks_nothing_is_none() -> None:
    value = typed(VALUE_LAYOUT, [[1], ["a"]], [False])
    back = stored(appended(records(raw([None]), value))).value
    assert isinstance(back, TypedPart) and back.null is None


@given(
    st.lists(
        st.integers(-(2**63), 2**63 - 1)
        | st.integers(-200, 200)
        | st.sampled_from([-(2**63), 2**63 - 1]),
        min_size=1,
        max_size=30,
    )
)
def test_any_times_come_back_even_where_their_differences_overflow(times: list[int]) -> None:
    run = appended(lines(["x"] * len(times), rowtime=times))
    assert stored(run).rowtime.tolist() == times


def test_other_arrow_types_become_those_of_the_layout() -> None:
    value = TypedPart(
        VALUE_LAYOUT,
        [pa.array([1, 2], pa.int32()), pa.array(["a", "b"]).dictionary_encode()],
    )
    key = RawPart(pa.chunked_array([[b"a"], [b"b"]], pa.large_binary()))
    back = stored(appended(records(key, value, rowtime=[1, 2])))
    assert plain(back)[1][-3:-1] == (("raw", b"b"), ("typed", VALUE_LAYOUT, (2, "b")))


def test_constant_and_counting_columns_take_no_room() -> None:
    run = appended(lines(["x"] * 100_000))
    run.value = raw([None] * 100_000)
    head, body = encode_run(run, size_of(run), LAYOUTS)
    assert len(encode_head(head)) + len(body) < 100


def test_times_are_stored_as_small_differences() -> None:
    steps = np.random.default_rng(0).integers(0, 100, 100_000)
    run = appended(lines(["x"] * 100_000, rowtime=1_700_000_000_000 + np.cumsum(steps)))
    run.value = raw([None] * 100_000)
    head, body = encode_run(run, size_of(run), LAYOUTS)
    assert len(encode_head(head)) + len(body) < 150_000
    assert np.array_equal(stored(run).rowtime, run.rowtime)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_offsets_count_on_per_partition(partitions: list[int]) -> None:
    firsts = {0: 100, 1: 0, 2: 7, 3: 3}
    expected, ends = [], dict(firsts)
    for partition in partitions:
        expected.append(ends[partition])
        ends[partition] += 1
    assert number_offsets(np.array(partitions), firsts).tolist() == expected


@pytest.mark.parametrize("layout", [KEY_LAYOUT, VALUE_LAYOUT, RICH_LAYOUT, Layout("NONE", ())])
def test_layouts_come_back(layout: Layout) -> None:
    assert load_layout(dump_layout(layout)) == layout


def test_equal_layouts_are_known_as_one() -> None:
    assert know(load_layout(dump_layout(RICH_LAYOUT))) is know(RICH_LAYOUT)
