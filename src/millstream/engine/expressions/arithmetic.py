"""Arithmetic as Java does it: integers wrap, division truncates, DECIMAL is exact or fails.

A null operand has no sum: the whole expression around it has no value, unless something between
catches that (CAST, a nested function call, an array's item). Such failures are not reported.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.engine.expressions.base import EvaluationFailure, Node, either, null_mask
from millstream.engine.expressions.strict import Computed, Operand, Strict

_BITS: dict[t.SqlType | None, int] = {t.INTEGER: 32, t.BIGINT: 64}
_NUMPY: dict[t.SqlType | None, Any] = {
    t.INTEGER: np.int32,
    t.BIGINT: np.int64,
    t.DOUBLE: np.float64,
}
_ARROW_DIGITS = 38
_DECIMAL_KERNELS = {"+": pc.add, "-": pc.subtract, "*": pc.multiply}
DIVISION_BY_ZERO = "division by zero"
DECIMAL_CONTEXT = decimal.Context(prec=400, Emax=999_999, Emin=-999_999)
"""Wide enough that nothing rounds but what a type's limits ask for."""


def wrap(value: int, sql_type: t.SqlType | None) -> int:
    """The integer in 32 or 64 bits, as Java overflows."""
    bits = _BITS[sql_type]
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half


class Arithmetic(Strict):
    """`left op right`; both sides have the result's type, or are DECIMAL where that is."""

    def __init__(self, op: str, sql_type: t.SqlType, left: Node, right: Node) -> None:
        super().__init__(sql_type, (left, right))
        self.op = op
        self._apply = _row_form(op, sql_type)

    def apply(self, *values: Any) -> Any:
        left, right = values
        if left is None or right is None:
            raise EvaluationFailure("an operand is null", quiet=True)
        return self._apply(left, right)

    def columnar(self, operands: list[Operand], length: int) -> Computed | None:
        left, right = operands
        if isinstance(self.type, t.Decimal):
            return self._decimals(left, right, length)
        if self.type not in _NUMPY:
            return None
        if self.op in "+-*":
            kernel = {"+": pc.add, "-": pc.subtract, "*": pc.multiply}[self.op]
            values = _as_array(kernel(left, right), length)
            return Computed(values, null_mask(values))
        return self._divide(left, right, length)

    def _decimals(self, left: Operand, right: Operand, length: int) -> Computed | None:
        """Sums and products whose digits Arrow's 128 bits hold; it types them as ksqlDB does."""
        assert isinstance(self.type, t.Decimal)
        if self.type.precision > _ARROW_DIGITS or self.op not in _DECIMAL_KERNELS:
            return None
        values = _as_array(_DECIMAL_KERNELS[self.op](left, right), length)
        if values.type != pa.decimal128(self.type.precision, self.type.scale):
            return None
        return Computed(values, null_mask(values))

    def _divide(self, left: Operand, right: Operand, length: int) -> Computed:
        dtype = _NUMPY[self.type]
        a, a_null = _numbers(left, dtype, length)
        b, b_null = _numbers(right, dtype, length)
        nulls = either(a_null, b_null)
        with np.errstate(all="ignore"):
            if self.type == t.DOUBLE:
                values = a / b if self.op == "/" else np.fmod(a, b)
                return Computed(pa.array(values, mask=nulls), nulls)
            zero = b == 0
            b = np.where(zero, dtype(1), b)
            if self.op == "%":
                values = np.fmod(a, b)
            else:
                # -1 is taken apart: the least integer divided by it overflows to itself.
                opposite = b == -1
                safe = np.where(opposite, dtype(1), b)
                values = np.where(opposite, np.negative(a), (a - np.fmod(a, safe)) // safe)
        if nulls is not None:
            zero &= ~nulls
        if not zero.any():
            return Computed(pa.array(values, mask=nulls), nulls)
        failed = either(nulls, zero)
        return Computed(pa.array(values, mask=failed), failed, zero, DIVISION_BY_ZERO)


class Negation(Strict):
    """-x."""

    def __init__(self, sql_type: t.SqlType, operand: Node) -> None:
        super().__init__(sql_type, (operand,))

    def apply(self, *values: Any) -> Any:
        (value,) = values
        if value is None:
            raise EvaluationFailure("an operand is null", quiet=True)
        if self.type in _BITS:
            return wrap(-value, self.type)
        return DECIMAL_CONTEXT.minus(value) if isinstance(value, Decimal) else -value

    def columnar(self, operands: list[Operand], length: int) -> Computed | None:
        if self.type not in _NUMPY:
            return None
        values = _as_array(pc.negate(operands[0]), length)
        return Computed(values, null_mask(values))


def _as_array(values: pa.Array | pa.Scalar, length: int) -> pa.Array:
    return pa.repeat(values, length) if isinstance(values, pa.Scalar) else values


def _numbers(values: Operand, dtype: Any, length: int) -> tuple[np.ndarray, np.ndarray | None]:
    array = _as_array(values, length)
    nulls = null_mask(array)
    if nulls is not None:
        array = array.fill_null(pa.scalar(0, array.type))
    return array.to_numpy(zero_copy_only=False).astype(dtype, copy=False), nulls


def _row_form(op: str, sql_type: t.SqlType) -> Callable[[Any, Any], Any]:
    if isinstance(sql_type, t.Decimal):
        return _decimal_form(op, sql_type)
    if sql_type == t.DOUBLE:
        return {"+": _add, "-": _subtract, "*": _multiply, "/": _divide, "%": _remainder}[op]
    exact = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "/": _integer_quotient,
        "%": _integer_remainder,
    }[op]
    return lambda a, b: wrap(exact(a, b), sql_type)


def _add(a: float, b: float) -> float:
    return a + b


def _subtract(a: float, b: float) -> float:
    return a - b


def _multiply(a: float, b: float) -> float:
    return a * b


def _divide(a: float, b: float) -> float:
    if b == 0.0:
        if a == 0.0 or a != a or b != b:
            return math.nan
        return math.copysign(math.inf, a) * math.copysign(1.0, b)
    return a / b


def _remainder(a: float, b: float) -> float:
    if b == 0.0 or math.isinf(a) or a != a or b != b:
        return math.nan
    return math.fmod(a, b)


def _integer_quotient(a: int, b: int) -> int:
    if b == 0:
        raise EvaluationFailure(DIVISION_BY_ZERO)
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _integer_remainder(a: int, b: int) -> int:
    if b == 0:
        raise EvaluationFailure(DIVISION_BY_ZERO)
    remainder = abs(a) % abs(b)
    return -remainder if a < 0 else remainder


def _decimal_form(op: str, sql_type: t.Decimal) -> Callable[[Decimal, Decimal], Decimal]:
    context = DECIMAL_CONTEXT
    operation = {
        "+": context.add,
        "-": context.subtract,
        "*": context.multiply,
        "/": _decimal_quotient,
        "%": _decimal_remainder,
    }[op]
    return lambda a, b: exact_decimal(operation(a, b), sql_type)


def _decimal_quotient(a: Decimal, b: Decimal) -> Decimal:
    if not b:
        raise EvaluationFailure(DIVISION_BY_ZERO)
    context = DECIMAL_CONTEXT.copy()
    context.clear_flags()
    quotient = context.divide(a, b)
    if context.flags[decimal.Inexact]:
        raise EvaluationFailure(f"the quotient of {a} and {b} is not exact")
    return quotient


def _decimal_remainder(a: Decimal, b: Decimal) -> Decimal:
    if not b:
        raise EvaluationFailure(DIVISION_BY_ZERO)
    return DECIMAL_CONTEXT.remainder(a, b)


def exact_decimal(value: Decimal, sql_type: t.Decimal) -> Decimal:
    """The value in the scale of the type; a failure where that would round or overflow."""
    context = DECIMAL_CONTEXT.copy()
    context.clear_flags()
    scaled = context.quantize(value, Decimal((0, (1,), -sql_type.scale)))
    if context.flags[decimal.Inexact]:
        raise EvaluationFailure(f"{value} does not fit {sql_type} without rounding")
    check_precision(scaled, sql_type)
    return scaled


def check_precision(value: Decimal, sql_type: t.Decimal) -> None:
    """A failure where a value has more digits than the type."""
    if value and value.adjusted() + 1 > sql_type.precision - sql_type.scale:
        raise EvaluationFailure(f"{value} is too large for {sql_type}")
