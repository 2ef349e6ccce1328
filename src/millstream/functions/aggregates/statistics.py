"""STDDEV_SAMP, STDDEV_SAMPLE, CORRELATION and COUNT_DISTINCT."""

from __future__ import annotations

import hashlib
import math
from typing import Any

from millstream import types as t
from millstream.functions.aggregates.base import RowAggregator, State, identity, wrapping
from millstream.functions.registry import AggregateFunction, AggregateVariant, AnyType


class Deviation(RowAggregator):
    """The spread of a sample by Youngs and Cramer: a sum, a count and squares around the mean.

    `root` gives the standard deviation; without it the variance, which is what STDDEV_SAMP means.
    """

    def __init__(self, sql_type: t.SqlType, root: bool) -> None:
        self.state_types = (sql_type, t.BIGINT, t.DOUBLE)
        self._zero: Any = 0.0 if sql_type == t.DOUBLE else 0
        self._wrap = wrapping(sql_type)
        self._root = root

    def initial(self) -> State:
        """Nothing counted."""
        return (self._zero, 0, 0.0)

    def add(self, state: State, arguments: State) -> State:
        """One more value."""
        value = arguments[0]
        if value is None:
            return state
        total, count, squares = self._wrap(state[0] + value), state[1] + 1, state[2]
        if count > 1:
            squares += self._square(value, total, count)
        return (total, count, squares)

    def undo(self, state: State, arguments: State) -> State:
        """One value less."""
        value = arguments[0]
        if value is None:
            return state
        total, count, squares = state
        squares = squares - self._square(value, total, count) if count > 1 else 0.0
        return (self._wrap(total - value), count - 1, squares)

    def merge(self, left: State, right: State) -> State:
        """Both samples as one."""
        if left[1] == 0 or right[1] == 0:
            return right if left[1] == 0 else left
        apart = float(left[0]) / left[1] - float(right[0]) / right[1]
        count = left[1] + right[1]
        squares = left[2] + right[2] + apart * apart * (left[1] * right[1]) / count
        return (self._wrap(left[0] + right[0]), count, squares)

    def result(self, state: State) -> Any:
        """The deviation; 0.0 below two values."""
        if state[1] < 2:
            return 0.0
        variance = state[2] / (state[1] - 1)
        return math.sqrt(variance) if self._root and variance >= 0 else variance

    def _square(self, value: Any, total: Any, count: int) -> float:
        step = float(value * count - total)
        return step * step / float(count * (count - 1))


class Correlation(RowAggregator):
    """Pearson's correlation of two columns, over rows in which both are there."""

    state_types: tuple[t.SqlType, ...] = (
        t.DOUBLE,
        t.DOUBLE,
        t.DOUBLE,
        t.DOUBLE,
        t.DOUBLE,
        t.BIGINT,
    )

    def initial(self) -> State:
        """Nothing counted."""
        return (0.0, 0.0, 0.0, 0.0, 0.0, 0)

    def add(self, state: State, arguments: State) -> State:
        """One more pair."""
        return self._step(state, arguments, 1)

    def undo(self, state: State, arguments: State) -> State:
        """One pair less."""
        return self._step(state, arguments, -1)

    def merge(self, left: State, right: State) -> State:
        """Sums of sums."""
        return tuple(a + b for a, b in zip(left, right, strict=True))

    def result(self, state: State) -> Any:
        """The coefficient; NaN where a column does not vary."""
        x, y, xx, yy, xy, n = state
        above = n * xy - x * y
        spread_x, spread_y = n * xx - x * x, n * yy - y * y
        below = spread_x * spread_y
        if below > 0:
            return above / math.sqrt(below)
        return math.nan if below < 0 or above == 0 else math.copysign(math.inf, above)

    def _step(self, state: State, arguments: State, sign: int) -> State:
        if arguments[0] is None or arguments[1] is None:
            return state
        x, y = float(arguments[0]), float(arguments[1])
        parts = (x, y, x * x, y * y, x * y, 1)
        return tuple(s + sign * p for s, p in zip(state, parts, strict=True))


_BITS = 12
_REGISTERS = 1 << _BITS
_SPARSE = 512


class CountDistinct(RowAggregator):
    """About how many distinct values there are; nulls are not counted.

    Exact up to 512 values (their hashes are kept), HyperLogLog with 4096 registers beyond: a
    standard error of 1.6 percent.
    """

    state_types: tuple[t.SqlType, ...] = (t.Array(t.BIGINT), t.BYTES)

    def initial(self) -> State:
        """No value."""
        return ([], None)

    def add(self, state: State, arguments: State) -> State:
        """One more value."""
        if arguments[0] is None:
            return state
        text = repr(identity(arguments[0])).encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(text, digest_size=8).digest()
        return self._seen(state, [int.from_bytes(digest, "big", signed=True)])

    def merge(self, left: State, right: State) -> State:
        """The values of both."""
        if right[1] is None:
            return self._seen(left, right[0])
        dense = self._dense(left)
        return ([], bytes(map(max, dense, right[1])))

    def result(self, state: State) -> Any:
        """The count, or its estimate."""
        if state[1] is None:
            return len(state[0])
        registers = state[1]
        empty = registers.count(0)
        alpha = 0.7213 / (1 + 1.079 / _REGISTERS)
        estimate = alpha * _REGISTERS**2 / sum(2.0**-r for r in registers)
        if estimate <= 2.5 * _REGISTERS and empty:
            estimate = _REGISTERS * math.log(_REGISTERS / empty)
        return round(estimate)

    def _seen(self, state: State, hashes: list[int]) -> State:
        if state[1] is None:
            known = state[0]
            fresh = [h for h in dict.fromkeys(hashes) if h not in known]
            if len(known) + len(fresh) <= _SPARSE:
                return ([*known, *fresh], None) if fresh else state
        return ([], _registered(bytearray(self._dense(state)), hashes))

    def _dense(self, state: State) -> bytes:
        if state[1] is not None:
            return bytes(state[1])
        return _registered(bytearray(_REGISTERS), state[0])


def _registered(registers: bytearray, hashes: list[int]) -> bytes:
    for signed in hashes:
        code = signed & 0xFFFF_FFFF_FFFF_FFFF
        place = code >> (64 - _BITS)
        rest = code & ((1 << (64 - _BITS)) - 1)
        rank = (64 - _BITS) - rest.bit_length() + 1
        registers[place] = max(registers[place], rank)
    return bytes(registers)


_NUMBERS = (t.INTEGER, t.BIGINT, t.DOUBLE)


def _deviation(root: bool) -> tuple[AggregateVariant, ...]:
    return tuple(
        AggregateVariant((p,), t.DOUBLE, lambda x, _: Deviation(x[0], root), table_capable=True)
        for p in _NUMBERS
    )


FUNCTIONS = (
    AggregateFunction(
        "STDDEV_SAMP", "The sample variance of a column; see STDDEV_SAMPLE.", _deviation(False)
    ),
    AggregateFunction(
        "STDDEV_SAMPLE", "The sample standard deviation of a column.", _deviation(True)
    ),
    AggregateFunction(
        "CORRELATION",
        "Pearson's correlation coefficient of two columns.",
        tuple(
            AggregateVariant((p, p), t.DOUBLE, lambda _, __: Correlation(), table_capable=True)
            for p in _NUMBERS
        ),
    ),
    AggregateFunction(
        "COUNT_DISTINCT",
        "About how many distinct values a column has.",
        (AggregateVariant((AnyType(),), t.BIGINT, lambda _, __: CountDistinct()),),
    ),
)
