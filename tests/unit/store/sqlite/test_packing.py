"""Packed columns come back, and are small."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.store.sqlite.packing import pack, unpack


def check(*arrays: pa.Array) -> int:
    """The arrays come back; the size of their packed form is given."""
    body = pack(arrays)
    back = unpack(body, len(arrays[0]), [a.type for a in arrays])
    for array, other in zip(arrays, back, strict=True):
        other.validate(full=True)
        assert other.equals(array)
        assert other.type == array.type
    return len(body)


@given(
    columns=st.lists(
        st.tuples(
            st.sampled_from(["text", "bytes", "int", "list"]),
            st.lists(st.none() | st.text(max_size=6), min_size=4, max_size=4),
        ),
        max_size=5,
    ),
    start=st.integers(0, 3),
)
def test_any_slices_come_back(columns: list[tuple[str, list[Any]]], start: int) -> None:
    makers = {
        "text": lambda v: pa.array(v, pa.string()),
        "bytes": lambda v: pa.array([None if x is None else x.encode() for x in v], pa.binary()),
        "int": lambda v: pa.array([None if x is None else len(x) for x in v], pa.int64()),
        "list": lambda v: pa.array(
            [None if x is None else [{"a": x, "b": None}] for x in v],
            pa.list_(pa.struct([("a", pa.string()), ("b", pa.int32())])),
        ),
    }
    arrays = [makers[kind](values).slice(start) for kind, values in columns]
    if arrays:
        check(*arrays)


@pytest.mark.parametrize("longest", [0, 127, 128, 32_767, 32_768, 200_000])
def test_strings_of_any_length(longest: int) -> None:
    check(pa.array(["x" * longest, "", None, "y" * longest]))
    check(pa.array(["x" * longest, "y" * longest]))


def test_incompressible_bytes_take_no_more_room() -> None:
    content = random.Random(0).randbytes(300_000)
    size = check(pa.array([content[i : i + 100] for i in range(0, 300_000, 100)], pa.binary()))
    assert size < 300_500


def test_lengths_take_little_room() -> None:
    source = random.Random(0)
    words = [f"word{i}" * source.randrange(2, 20) for i in range(7)]
    texts = pa.array([source.choice(words) for _ in range(50_000)])
    assert check(texts) < 5 * len(texts)
    assert check(pa.array(["same"] * 100_000)) < 3_000


def test_large_and_small_columns_side_by_side() -> None:
    source = random.Random(0)
    large = pa.array([str(source.random()) * 3 for _ in range(20_000)])
    small = pa.array([None, "a"] * 10_000)
    numbers = pa.array([source.random() for _ in range(20_000)])
    check(small, large, numbers, small, large, small)
