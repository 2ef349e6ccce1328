"""TOPK and TOPKDISTINCT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millstream import types as t
from millstream.functions.aggregates.base import RowAggregator, State, list_of_first, order_of
from millstream.functions.registry import (
    AggregateFunction,
    AggregateVariant,
    Aggregator,
    AnyDecimal,
    AnyType,
    Pattern,
)


class TopK(RowAggregator):
    """The `size` largest values, largest first; of equal ones those that came first.

    With further columns an item is a struct of the value (`sort_col`) and theirs (`col0`, ..).
    Rows whose value is null are skipped.
    """

    def __init__(self, types: Sequence[t.SqlType], size: int) -> None:
        self._item = _item_type(types)
        self.state_types = (t.Array(self._item),)
        self._size = size
        self._order = order_of(types[0])
        self._struct = len(types) > 1

    def initial(self) -> State:
        """No values."""
        return ([],)

    def add(self, state: State, arguments: State) -> State:
        """The value in its place, if it is among the largest."""
        if arguments[0] is None:
            return state
        if not self._struct:
            return self._inserted(state, arguments[0])
        others = {f"col{i}": value for i, value in enumerate(arguments[1:])}
        return self._inserted(state, {"sort_col": arguments[0], **others})

    def merge(self, left: State, right: State) -> State:
        """The largest of both."""
        for item in right[0]:
            left = self._inserted(left, item)
        return left

    def _value(self, item: Any) -> Any:
        return self._order(item["sort_col"] if self._struct else item)

    def _inserted(self, state: State, item: Any) -> State:
        items, value = state[0], self._value(item)
        place = len(items)
        while place and self._value(items[place - 1]) < value:
            place -= 1
        if place >= self._size:
            return state
        return ([*items[:place], item, *items[place:]][: self._size],)


class TopKDistinct(TopK):
    """The `size` largest distinct values, largest first."""

    def __init__(self, sql_type: t.SqlType, size: int) -> None:
        super().__init__([sql_type], size)

    def _inserted(self, state: State, item: Any) -> State:
        value = self._value(item)
        if any(self._value(known) == value for known in state[0]):
            return state
        return super()._inserted(state, item)


def _item_type(types: Sequence[t.SqlType]) -> t.SqlType:
    if len(types) == 1:
        return types[0]
    others = tuple(t.Field(f"col{i}", x) for i, x in enumerate(types[1:]))
    return t.Struct((t.Field("sort_col", types[0]), *others))


def _struct_list(arguments: Sequence[t.SqlType | None]) -> t.SqlType:
    known = [x for x in arguments[:-1] if x is not None]
    if len(known) < len(arguments) - 1:
        raise ValueError("the arguments need types: CAST the NULL")
    return t.Array(_item_type(known))


def _size(literals: Sequence[Any]) -> int:
    size = literals[0]
    if size is None or size < 1:
        raise ValueError(f"the number of values must be 1 or more, and {size} was given")
    return int(size)


def _topk(types: Sequence[t.SqlType], literals: Sequence[Any]) -> Aggregator:
    return TopK(types, _size(literals))


def _distinct(types: Sequence[t.SqlType], literals: Sequence[Any]) -> Aggregator:
    return TopKDistinct(types[0], _size(literals))


_SORTED: tuple[Pattern, ...] = (
    t.INTEGER,
    t.BIGINT,
    t.DOUBLE,
    t.STRING,
    t.BYTES,
    t.DATE,
    t.TIME,
    t.TIMESTAMP,
    AnyDecimal(),
)

FUNCTIONS = (
    AggregateFunction(
        "TOPK",
        "The k largest values, largest first; with further columns, structs of them.",
        tuple(AggregateVariant((p, t.INTEGER), list_of_first, _topk, literals=1) for p in _SORTED)
        + tuple(
            AggregateVariant(
                (p, AnyType(), AnyType(), t.INTEGER), _struct_list, _topk, variadic=2, literals=1
            )
            for p in _SORTED
        ),
    ),
    AggregateFunction(
        "TOPKDISTINCT",
        "The k largest distinct values, largest first.",
        tuple(
            AggregateVariant((p, t.INTEGER), list_of_first, _distinct, literals=1) for p in _SORTED
        ),
    ),
)
