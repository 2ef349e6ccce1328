"""Rows as people spell them, in the order of the columns."""

from __future__ import annotations

from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import pytest

from millstream.database import Database
from millstream.database.shape import Shapes
from millstream.errors import ExecutionError


@pytest.fixture
def shapes() -> Shapes:
    """Of a stream with columns k, n and, in quotes, n in lower case."""
    with Database.open() as db:
        db.execute(
            "CREATE STREAM s (k STRING KEY, n INT, `b` INT)"
            " WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);"
        )
        return Shapes(db.catalog.source("S"))


@pytest.mark.parametrize(
    ("row", "values", "time"),
    [
        ({"K": "a", "N": 1, "b": 2}, ["a", 1, 2], None),
        ({"n": 1, "B": 2, "k": "a", "rowtime": 3}, ["a", 1, 2], 3),
        ({"n": 1}, [None, 1, None], None),
        ({}, [None, None, None], None),
        (OrderedDict(n=1, ROWTIME=5), [None, 1, None], 5),
        (MappingProxyType({"n": 1}), [None, 1, None], None),
        (("a", 1, 2), ["a", 1, 2], None),
        (iter([1, 2, 3]), [1, 2, 3], None),
    ],
)
def test_values_come_in_the_order_of_the_columns(
    shapes: Shapes, row: Any, values: list[Any], time: int | None
) -> None:
    assert shapes.row(row) == (values, time)
    if isinstance(row, dict):  # also when it is known how they are spelt
        assert shapes.row(dict(row)) == (values, time)
        assert shapes.row(dict.fromkeys(row)) == ([None] * 3, None)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"k": "a", "x": 1}, "S has no column x"),
        ({"k": "a", "K": "b"}, "S is given twice the column K"),
        ({"k": "a", "n": 1, "N": 1}, "S is given twice the column N"),
        ({1: 1}, "S has no column 1"),
        ({None: 1}, "S has no column None"),
        (("a", 1), "2 values are given for the 3 columns of S"),
        ("abc", "S: a row is a dict or a tuple, not str"),
        (7, "S: a row is a dict or a tuple, not int"),
    ],
)
def test_what_is_no_row_is_told_each_time(shapes: Shapes, row: Any, message: str) -> None:
    shapes.row({"k": 1, "n": 1})
    for _ in range(2):
        with pytest.raises(ExecutionError) as caught:
            shapes.row(row)
        assert caught.value.message == message


def test_dicts_of_ever_new_shapes_are_taken_too(shapes: Shapes) -> None:
    for number in range(500):
        name = "".join(c.upper() if number >> i & 1 else c for i, c in enumerate("rowtime"))
        assert shapes.row({name: number, "n": 1}) == ([None, 1, None], number)
