"""Picking rows and setting nulls without a kernel equals doing it with one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from millstream.columns import arrow

COLUMNS = [
    pa.array(["a", None, "", "ccc"]),
    pa.array([1, 2, 3, 4], pa.int64()),
    pa.array([True, False, True, True]),
    pa.array([1.5, -0.0, None, 2.0]),
    pa.array([[1], [], None, [2, 3]]),
    pa.array([{"x": 1}, {"x": None}, None, {"x": 4}]),
    pa.array(["z", "a", "b", "c", "d", "y"]).slice(1, 4),
    pa.array(["zz", "ä", "", "c" * 99, "d"]).slice(1, 4),
    pa.array(["", "", "", ""]),
    pa.array([b"", b"\xff\x00", b"a", b"bb"]),
    pa.array([1.5, -0.0, 2.5, 2.0]),
    pa.array([7, 1, 2, 3, 4, 9], pa.int32()).slice(1, 4),
]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda c: str(c.type))
@pytest.mark.parametrize("rows", [[], [2], [0, 0], [3, 1, 1], [0, 1, 2, 3]])
def test_picked_rows_equal_taken_ones(column: pa.Array, rows: list[int]) -> None:
    values = column.to_pylist()
    found = arrow.pick(column, np.array(rows, np.int64))
    found.validate(full=True)
    assert found.type == column.type
    assert found.to_pylist() == [values[r] for r in rows]
    assert [c.to_pylist() for c in arrow.pick_all([column, column], np.array(rows, np.int64))] == [
        found.to_pylist()
    ] * 2
    alone = column.slice(3, 1)
    assert arrow.pick(alone, np.zeros(5, np.int64)).to_pylist() == [values[3]] * 5


def test_picked_doubles_keep_their_bits() -> None:
    values = np.array([0.0, -0.0, np.nan, np.inf])
    found = arrow.pick(pa.array(values), np.array([2, 1, 0, 3]))
    assert found.null_count == 0
    assert found.to_numpy().tobytes() == values[[2, 1, 0, 3]].tobytes()


@pytest.mark.parametrize("texts", [[], [""], ["a", "", "äöü", "\U0001f600"]])
def test_texts_become_a_column(texts: list[str]) -> None:
    found = arrow.of_texts(texts)
    found.validate(full=True)
    assert found.equals(pa.array(texts, pa.string()))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float64, np.int8, bool])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_numbers_become_a_column(dtype: Any, count: int) -> None:
    values = np.arange(2 * count).astype(dtype)
    for some in (values, values[::2], values[count:]):
        found = arrow.of_numbers(some)
        found.validate(full=True)
        assert found.equals(pa.array(some))


@pytest.mark.parametrize("mask", [[], [0], [1], [0, 0, 1], [0] * 300, [*[0] * 300, 1]])
def test_a_true_is_found_in_a_mask(mask: list[int]) -> None:
    assert arrow.any_true(np.array(mask, bool)) == any(mask)


@pytest.mark.parametrize("count", [2, 23, 24, 25, 256, 257])
def test_all_columns_are_picked_at_the_same_rows(count: int) -> None:
    columns = [pa.array(range(count)), pa.array(map(str, range(count))), pa.array([None] * count)]
    rows = np.arange(count)[::-1]
    found = arrow.pick_all(columns, rows)
    assert found == [c.take(pa.array(rows)) for c in columns]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda c: str(c.type))
@pytest.mark.parametrize("mask", [[0, 0, 0, 0], [1, 0, 0, 1], [1, 1, 1, 1]])
def test_masked_values_are_null_and_the_others_as_they_were(
    column: pa.Array, mask: list[int]
) -> None:
    wanted: list[Any] = [None if m else v for m, v in zip(mask, column.to_pylist(), strict=True)]
    (found,) = arrow.masked([column], np.array(mask, bool))
    found.validate(full=True)
    assert found.to_pylist() == wanted
    assert found.null_count == wanted.count(None)
