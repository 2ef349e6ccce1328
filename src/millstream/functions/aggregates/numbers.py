"""COUNT, SUM, AVG, MIN and MAX."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Any

from millstream import types as t
from millstream.errors import ExecutionError
from millstream.functions.aggregates.base import (
    RowAggregator,
    State,
    order_of,
    same_type,
    wrapping,
)
from millstream.functions.aggregates.kernels import (
    AverageKernel,
    CountKernel,
    ExtremeKernel,
    SumKernel,
)
from millstream.functions.registry import (
    AggregateFunction,
    AggregateVariant,
    Aggregator,
    AnyDecimal,
    AnyType,
)

_EXACT = Context(prec=200)


class Count(RowAggregator):
    """The number of rows, or of rows whose argument is not null."""

    state_types: tuple[t.SqlType, ...] = (t.BIGINT,)

    def __init__(self) -> None:
        self.kernel = CountKernel()

    def initial(self) -> State:
        """Zero."""
        return (0,)

    def add(self, state: State, arguments: State) -> State:
        """One more, unless the argument is null."""
        return state if arguments and arguments[0] is None else (state[0] + 1,)

    def undo(self, state: State, arguments: State) -> State:
        """One less, unless the argument is null."""
        return state if arguments and arguments[0] is None else (state[0] - 1,)

    def merge(self, left: State, right: State) -> State:
        """The sum of counts."""
        return (left[0] + right[0],)


class Sum(RowAggregator):
    """The sum of the values that are not null, from 0; integers wrap around."""

    def __init__(self, sql_type: t.SqlType) -> None:
        self.state_types = (sql_type,)
        self.kernel = SumKernel(sql_type)
        self._zero: Any = 0.0 if sql_type == t.DOUBLE else 0
        self._wrap = wrapping(sql_type)

    def initial(self) -> State:
        """Zero."""
        return (self._zero,)

    def add(self, state: State, arguments: State) -> State:
        """Plus the value."""
        return state if arguments[0] is None else (self._wrap(state[0] + arguments[0]),)

    def undo(self, state: State, arguments: State) -> State:
        """Minus the value."""
        return state if arguments[0] is None else (self._wrap(state[0] - arguments[0]),)

    def merge(self, left: State, right: State) -> State:
        """The sum of sums."""
        return (self._wrap(left[0] + right[0]),)


class DecimalSum(RowAggregator):
    """SUM of a DECIMAL, in the argument's own type; a sum that does not fit fails the query."""

    def __init__(self, sql_type: t.Decimal) -> None:
        self.state_types = (sql_type,)
        self._type = sql_type
        self._unit = Decimal(1).scaleb(-sql_type.scale)
        self._limit = Decimal(10) ** (sql_type.precision - sql_type.scale)

    def initial(self) -> State:
        """Zero of the type's scale."""
        return (Decimal(0).quantize(self._unit, context=_EXACT),)

    def add(self, state: State, arguments: State) -> State:
        """Plus the value."""
        return state if arguments[0] is None else self._fit(_EXACT.add(state[0], arguments[0]))

    def undo(self, state: State, arguments: State) -> State:
        """Minus the value."""
        return state if arguments[0] is None else self._fit(_EXACT.subtract(state[0], arguments[0]))

    def merge(self, left: State, right: State) -> State:
        """The sum of sums."""
        return self._fit(_EXACT.add(left[0], right[0]))

    def _fit(self, value: Decimal) -> State:
        if abs(value) >= self._limit:
            raise ExecutionError(
                f"SUM: {value} does not fit into {self._type}",
                hint="CAST the argument to a DECIMAL with more digits.",
            )
        return (value,)


class Average(RowAggregator):
    """The mean of the values that are not null; 0.0 where there are none."""

    def __init__(self, sql_type: t.SqlType) -> None:
        self.state_types = (sql_type, t.BIGINT)
        self.kernel = AverageKernel(sql_type)
        self._zero: Any = 0.0 if sql_type == t.DOUBLE else 0
        self._wrap = wrapping(sql_type)

    def initial(self) -> State:
        """Nothing counted."""
        return (self._zero, 0)

    def add(self, state: State, arguments: State) -> State:
        """One more value."""
        value = arguments[0]
        return state if value is None else (self._wrap(state[0] + value), state[1] + 1)

    def undo(self, state: State, arguments: State) -> State:
        """One value less."""
        value = arguments[0]
        return state if value is None else (self._wrap(state[0] - value), state[1] - 1)

    def merge(self, left: State, right: State) -> State:
        """Sums of sums and counts."""
        return (self._wrap(left[0] + right[0]), left[1] + right[1])

    def result(self, state: State) -> Any:
        """Sum by count, as doubles."""
        return float(state[0]) / float(state[1]) if state[1] else 0.0


class Extreme(RowAggregator):
    """The smallest or largest number or time that is not null; null where there is none."""

    def __init__(self, sql_type: t.SqlType, largest: bool) -> None:
        self.state_types = (sql_type, t.BOOLEAN)
        self.kernel = ExtremeKernel(sql_type, largest)
        self._order = order_of(sql_type)
        self._largest = largest
        self._zero: Any = 0.0 if sql_type == t.DOUBLE else 0

    def initial(self) -> State:
        """No value."""
        return (self._zero, False)

    def add(self, state: State, arguments: State) -> State:
        """The more extreme of the two."""
        value = arguments[0]
        if value is None:
            return state
        if not state[1]:
            return (value, True)
        above = self._order(value) > self._order(state[0])
        return (value, True) if above == self._largest else state

    def merge(self, left: State, right: State) -> State:
        """The more extreme of the two."""
        return self.add(left, right[:1]) if right[1] else left

    def result(self, state: State) -> Any:
        """The value or null."""
        return state[0] if state[1] else None


class ObjectExtreme(RowAggregator):
    """MIN or MAX of texts, bytes and decimals."""

    def __init__(self, sql_type: t.SqlType, largest: bool) -> None:
        self.state_types = (sql_type,)
        self._order = order_of(sql_type)
        self._largest = largest

    def initial(self) -> State:
        """No value."""
        return (None,)

    def add(self, state: State, arguments: State) -> State:
        """The more extreme of the two."""
        value = arguments[0]
        if value is None:
            return state
        if state[0] is None:
            return (value,)
        above = self._order(value) > self._order(state[0])
        return (value,) if above == self._largest else state

    def merge(self, left: State, right: State) -> State:
        """The more extreme of the two."""
        return self.add(left, right)


_SUMMED = (t.INTEGER, t.BIGINT, t.DOUBLE)
_NUMBERS = (*_SUMMED, t.DATE, t.TIME, t.TIMESTAMP)


def _sum(types: Sequence[t.SqlType], literals: Sequence[Any]) -> Aggregator:
    kind = types[0]
    return DecimalSum(kind) if isinstance(kind, t.Decimal) else Sum(kind)


def _extreme(largest: bool) -> tuple[AggregateVariant, ...]:
    def make(types: Sequence[t.SqlType], literals: Sequence[Any]) -> Aggregator:
        kind = types[0]
        return Extreme(kind, largest) if kind in _NUMBERS else ObjectExtreme(kind, largest)

    accepted = (*_NUMBERS, t.STRING, t.BYTES, AnyDecimal())
    return tuple(AggregateVariant((p,), same_type, make) for p in accepted)


FUNCTIONS = (
    AggregateFunction(
        "COUNT",
        "The number of rows, or of rows in which the argument is not null.",
        (
            AggregateVariant((), t.BIGINT, lambda _, __: Count(), table_capable=True),
            AggregateVariant((AnyType(),), t.BIGINT, lambda _, __: Count(), table_capable=True),
        ),
    ),
    AggregateFunction(
        "SUM",
        "The sum of a column; nulls are skipped, and 0 is the sum of nothing.",
        tuple(
            AggregateVariant((p,), same_type, _sum, table_capable=True)
            for p in (*_SUMMED, AnyDecimal())
        ),
    ),
    AggregateFunction(
        "AVG",
        "The mean of a column; nulls are skipped.",
        tuple(
            AggregateVariant((p,), t.DOUBLE, lambda x, _: Average(x[0]), table_capable=True)
            for p in _SUMMED
        ),
    ),
    AggregateFunction("MIN", "The smallest value of a column.", _extreme(False)),
    AggregateFunction("MAX", "The largest value of a column.", _extreme(True)),
)

__all__ = ["FUNCTIONS", "Average", "Count", "DecimalSum", "Extreme", "Sum"]
