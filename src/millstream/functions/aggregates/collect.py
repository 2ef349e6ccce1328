"""COLLECT_LIST, COLLECT_SET, HISTOGRAM, ATTR and SUM_LIST."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millstream import types as t
from millstream.functions.aggregates.base import (
    RowAggregator,
    State,
    identity,
    list_of_first,
    same_type,
    wrapping,
)
from millstream.functions.registry import AggregateFunction, AggregateVariant, Generic

HISTOGRAM_LIMIT = 1000


class CollectList(RowAggregator):
    """All values in order of arrival, nulls included, the first `limit` of them."""

    def __init__(self, item: t.SqlType, limit: int) -> None:
        self.state_types = (t.Array(item),)
        self._limit = limit

    def initial(self) -> State:
        """An empty list."""
        return ([],)

    def add(self, state: State, arguments: State) -> State:
        """One more item, if there is room."""
        items = state[0]
        return ([*items, arguments[0]],) if len(items) < self._limit else state

    def undo(self, state: State, arguments: State) -> State:
        """Without the last item that equals the value; one that found no room is not there."""
        items, value = state[0], identity(arguments[0])
        for place in range(len(items) - 1, -1, -1):
            if identity(items[place]) == value:
                return (items[:place] + items[place + 1 :],)
        return state

    def merge(self, left: State, right: State) -> State:
        """Left's items, then as many of right's as there is room for."""
        return ((left[0] + right[0])[: max(self._limit, len(left[0]))],)


class CollectSet(RowAggregator):
    """The distinct values in order of first arrival, null included, the first `limit` of them."""

    def __init__(self, item: t.SqlType, limit: int) -> None:
        self.state_types = (t.Array(item),)
        self._limit = limit

    def initial(self) -> State:
        """An empty list."""
        return ([],)

    def add(self, state: State, arguments: State) -> State:
        """One more item, if it is new and there is room."""
        items = state[0]
        if len(items) >= self._limit:
            return state
        value = identity(arguments[0])
        return state if any(identity(i) == value for i in items) else ([*items, arguments[0]],)

    def merge(self, left: State, right: State) -> State:
        """Left's items, then right's new ones."""
        for item in right[0]:
            left = self.add(left, (item,))
        return left


class Histogram(RowAggregator):
    """How often each text occurs, for the first texts that occur; null is not counted."""

    state_types: tuple[t.SqlType, ...] = (t.Map(t.STRING, t.BIGINT),)

    def initial(self) -> State:
        """No text."""
        return ({},)

    def add(self, state: State, arguments: State) -> State:
        """One more of this text."""
        return self._counted(state, arguments[0], 1)

    def undo(self, state: State, arguments: State) -> State:
        """One less of this text; none leaves no entry."""
        counts, text = state[0], arguments[0]
        if text is None or text not in counts:
            return state
        left = counts[text] - 1
        if left > 0:
            return ({**counts, text: left},)
        return ({k: v for k, v in counts.items() if k != text},)

    def merge(self, left: State, right: State) -> State:
        """Sums of counts."""
        for text, count in right[0].items():
            left = self._counted(left, text, count)
        return left

    def _counted(self, state: State, text: str | None, count: int) -> State:
        counts = state[0]
        if text is None or (text not in counts and len(counts) >= HISTOGRAM_LIMIT):
            return state
        return ({**counts, text: counts.get(text, 0) + count},)


class Attr(RowAggregator):
    """The value that all rows share, or null where they differ; null is a value like any other."""

    def __init__(self, item: t.SqlType) -> None:
        self.state_types = (t.Array(item), t.Array(t.BIGINT))

    def initial(self) -> State:
        """No value."""
        return ([], [])

    def add(self, state: State, arguments: State) -> State:
        """One more row with this value."""
        return self._counted(state, arguments[0], 1)

    def undo(self, state: State, arguments: State) -> State:
        """One row less with this value."""
        return self._counted(state, arguments[0], -1)

    def merge(self, left: State, right: State) -> State:
        """Sums of counts."""
        for value, count in zip(*right, strict=True):
            left = self._counted(left, value, count)
        return left

    def result(self, state: State) -> Any:
        """The only value, if there is only one."""
        return state[0][0] if len(state[0]) == 1 else None

    def _counted(self, state: State, value: Any, step: int) -> State:
        values, counts = state
        wanted = identity(value)
        for place, known in enumerate(values):
            if identity(known) == wanted:
                left = counts[place] + step
                if left <= 0:
                    return (
                        values[:place] + values[place + 1 :],
                        counts[:place] + counts[place + 1 :],
                    )
                return (values, [*counts[:place], left, *counts[place + 1 :]])
        return state if step < 0 else ([*values, value], [*counts, step])


class SumList(RowAggregator):
    """The sum of all items of all lists; null lists and null items are skipped."""

    def __init__(self, item: t.SqlType) -> None:
        self.state_types = (item,)
        self._zero: Any = 0.0 if item == t.DOUBLE else 0
        self._wrap = wrapping(item)

    def initial(self) -> State:
        """Zero."""
        return (self._zero,)

    def add(self, state: State, arguments: State) -> State:
        """Plus the list's own sum."""
        return (self._wrap(state[0] + self._sum(arguments[0])),)

    def undo(self, state: State, arguments: State) -> State:
        """Minus the list's own sum."""
        return (self._wrap(state[0] - self._sum(arguments[0])),)

    def merge(self, left: State, right: State) -> State:
        """The sum of sums."""
        return (self._wrap(left[0] + right[0]),)

    def _sum(self, items: list[Any] | None) -> Any:
        total = self._zero
        for item in items or ():
            if item is not None:
                total = self._wrap(total + item)
        return total


_T = Generic("T")


def _item(arguments: Sequence[t.SqlType | None]) -> t.SqlType:
    kind = same_type(arguments)
    assert isinstance(kind, t.Array)
    return kind.item


def functions(list_limit: int, set_limit: int) -> tuple[AggregateFunction, ...]:
    """The functions of this module, with how many items COLLECT_LIST and COLLECT_SET keep."""
    return (
        AggregateFunction(
            "COLLECT_LIST",
            "A list of all values, nulls included, in order of arrival.",
            (
                AggregateVariant(
                    (_T,),
                    list_of_first,
                    lambda x, _: CollectList(x[0], list_limit),
                    table_capable=True,
                ),
            ),
        ),
        AggregateFunction(
            "COLLECT_SET",
            "A list of the distinct values, null included, in order of first arrival.",
            (AggregateVariant((_T,), list_of_first, lambda x, _: CollectSet(x[0], set_limit)),),
        ),
        AggregateFunction(
            "HISTOGRAM",
            f"How often each text occurs; the first {HISTOGRAM_LIMIT} texts are counted.",
            (
                AggregateVariant(
                    (t.STRING,),
                    t.Map(t.STRING, t.BIGINT),
                    lambda _, __: Histogram(),
                    table_capable=True,
                ),
            ),
        ),
        AggregateFunction(
            "ATTR",
            "The value that all rows of the group share, or null where they differ.",
            (AggregateVariant((_T,), same_type, lambda x, _: Attr(x[0]), table_capable=True),),
        ),
        AggregateFunction(
            "SUM_LIST",
            "The sum of the items of all lists; nulls are skipped.",
            tuple(
                AggregateVariant(
                    (t.Array(item),), _item, lambda x, _: SumList(_item(x)), table_capable=True
                )
                for item in (t.INTEGER, t.BIGINT, t.DOUBLE)
            ),
        ),
    )
