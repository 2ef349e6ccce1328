"""EARLIEST_BY_OFFSET and LATEST_BY_OFFSET.

Sessions are merged in order of time, not of arrival; so each value keeps the number of the row that
brought it, among the rows that the aggregate has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from millstream import types as t
from millstream.functions.aggregates.base import RowAggregator, State, list_of_first, same_type
from millstream.functions.registry import AggregateFunction, AggregateVariant, Aggregator, Generic

_NONE = -1


class ByOffset(RowAggregator):
    """The first or last value that arrived; nulls are skipped, or count like any other."""

    def __init__(self, item: t.SqlType, latest: bool, ignore_nulls: bool) -> None:
        self.state_types = (item, t.BIGINT)
        self._latest = latest
        self._ignore_nulls = ignore_nulls

    def initial(self) -> State:
        """No value."""
        return (None, _NONE)

    def add(self, state: State, arguments: State) -> State:
        """The value, if it is the first, or always for the latest."""
        self.sequence += 1
        if arguments[0] is None and self._ignore_nulls:
            return state
        if not self._latest and state[1] != _NONE:
            return state
        return (arguments[0], self.sequence)

    def merge(self, left: State, right: State) -> State:
        """The one of the two that arrived first, or last."""
        if left[1] == _NONE or right[1] == _NONE:
            return right if left[1] == _NONE else left
        return right if (right[1] > left[1]) == self._latest else left


class SeveralByOffset(RowAggregator):
    """The first or last `size` values that arrived, in order of arrival."""

    def __init__(self, item: t.SqlType, latest: bool, size: int, ignore_nulls: bool) -> None:
        self.state_types = (t.Array(item), t.Array(t.BIGINT))
        self._latest = latest
        self._size = size
        self._ignore_nulls = ignore_nulls

    def initial(self) -> State:
        """No values."""
        return ([], [])

    def add(self, state: State, arguments: State) -> State:
        """One more value; beyond the size the first goes (latest) or the new one (earliest)."""
        self.sequence += 1
        if arguments[0] is None and self._ignore_nulls:
            return state
        return self._kept([*state[0], arguments[0]], [*state[1], self.sequence])

    def merge(self, left: State, right: State) -> State:
        """Both sides' values by arrival."""
        values, numbers = left[0] + right[0], left[1] + right[1]
        order = sorted(range(len(values)), key=numbers.__getitem__)
        return self._kept([values[i] for i in order], [numbers[i] for i in order])

    def _kept(self, values: list[Any], numbers: list[int]) -> State:
        if self._latest:
            return (values[-self._size :], numbers[-self._size :])
        return (values[: self._size], numbers[: self._size])


_Make = Callable[[Sequence[t.SqlType], Sequence[Any]], Aggregator]


def _one(latest: bool) -> _Make:
    return lambda types, literals: ByOffset(types[0], latest, literals[0] if literals else True)


def _several(latest: bool) -> _Make:
    def make(types: Sequence[t.SqlType], literals: Sequence[Any]) -> Aggregator:
        size = literals[0]
        if size is None or size < 1:
            raise ValueError(f"the number of values must be 1 or more, and {size} was given")
        ignore = literals[1] if len(literals) > 1 else True
        return SeveralByOffset(types[0], latest, size, ignore)

    return make


def _variants(latest: bool) -> tuple[AggregateVariant, ...]:
    item = Generic("T")
    one, several = _one(latest), _several(latest)
    return (
        AggregateVariant((item,), same_type, one),
        AggregateVariant((item, t.BOOLEAN), same_type, one, literals=1),
        AggregateVariant((item, t.INTEGER), list_of_first, several, literals=1),
        AggregateVariant((item, t.INTEGER, t.BOOLEAN), list_of_first, several, literals=2),
    )


FUNCTIONS = (
    AggregateFunction(
        "EARLIEST_BY_OFFSET",
        "The first value that arrived, or the first n; nulls are ignored unless false is given.",
        _variants(False),
    ),
    AggregateFunction(
        "LATEST_BY_OFFSET",
        "The last value that arrived, or the last n; nulls are ignored unless false is given.",
        _variants(True),
    ),
)
