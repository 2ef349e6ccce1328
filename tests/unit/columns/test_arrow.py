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
]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda c: str(c.type))
@pytest.mark.parametrize("rows", [[], [2], [0, 0], [3, 1, 1], [0, 1, 2, 3]])
def test_picked_rows_equal_taken_ones(column: pa.Array, rows: list[int]) -> None:
    values = column.to_pylist()
    found = arrow.pick(column, np.array(rows, np.int64))
    assert found.type == column.type
    assert found.to_pylist() == [values[r] for r in rows]
    alone = column.slice(3, 1)
    assert arrow.pick(alone, np.zeros(5, np.int64)).to_pylist() == [values[3]] * 5


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
