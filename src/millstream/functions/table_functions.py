"""Functions of one row that give several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millstream import types as t
from millstream.functions.registry import ArrayOf, Generic, TableFunction, Variant

T = Generic("T")


def _explode(items: list[Any]) -> list[Any]:
    return items


def _cube(items: list[Any]) -> list[list[Any]]:
    """All combinations in which items are masked by null, from all masked to none.

    An item that is null already is not masked again.
    """
    given = [i for i, v in enumerate(items) if v is not None]
    rows = []
    for combination in range(2 ** len(given)):
        row: list[Any] = [None] * len(items)
        for bit, place in enumerate(reversed(given)):
            if combination >> bit & 1:
                row[place] = items[place]
        rows.append(row)
    return rows


def _array_type(types: Sequence[t.SqlType | None]) -> t.SqlType:
    if types[0] is None:
        raise ValueError("a bare NULL has no type; CAST it")
    return types[0]


FUNCTIONS = (
    TableFunction(
        "EXPLODE",
        "One row for each item of an array; none for an empty or null array.",
        (Variant((ArrayOf(T),), T, _explode),),
    ),
    TableFunction(
        "CUBE_EXPLODE",
        "One row for each combination of an array's items, the others masked by null.",
        (Variant((ArrayOf(T),), _array_type, _cube),),
    ),
)
"""The family; `row` gives the list of a row's values, and null gives no row."""
