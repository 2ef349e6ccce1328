"""Comparisons: false where a side is null; DOUBLE meets DECIMAL by the digits of its text."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.columns import arrow
from millstream.engine.expressions.base import (
    FALSE,
    ColumnNode,
    Constant,
    EvaluationFailure,
    Frame,
    Node,
)
from millstream.engine.expressions.strict import Computed, Operand, Strict

_PYTHON: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARROW = {
    "=": pc.equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_WHOLE = (t.INTEGER, t.BIGINT)
_FEW = 16
"""So many numbers Python compares sooner than NumPy begins to."""
_SIGNED = bytes((b + 128) % 256 for b in range(256))
"""Java orders bytes as signed numbers; translated by this, they order so as unsigned ones."""


class Comparison(Strict):
    """`left op right`, two-valued; IS [NOT] DISTINCT FROM treats null as a value."""

    def __init__(self, op: str, left: Node, right: Node) -> None:
        super().__init__(t.BOOLEAN, (left, right))
        self.distinct = op.startswith("IS ")
        self.null_safe_equal = op == "IS NOT DISTINCT FROM"
        self.op = {"IS DISTINCT FROM": "<>", "IS NOT DISTINCT FROM": "="}.get(op, op)
        self._compare = _PYTHON[self.op]
        types = (left.type, right.type)
        self._by_text = t.DOUBLE in types and any(isinstance(x, t.Decimal) for x in types)
        self._doubles = types == (t.DOUBLE, t.DOUBLE)
        self._bytes = types == (t.BYTES, t.BYTES) and self.op not in ("=", "<>")
        self.total = left.total and right.total and not self._by_text
        self._integers: tuple[int, int] | None = None
        """Of a column of integers against a constant that is not null: which, and the constant."""
        whole = left.type in _WHOLE and left.type == right.type and not self.distinct
        if whole and isinstance(left, ColumnNode) and isinstance(right, Constant):
            self._integers = None if right.value is None else (left.index, right.value)

    def truth(self, frame: Frame) -> tuple[np.ndarray, np.ndarray | None]:
        if self._integers is not None:
            index, constant = self._integers
            values = frame.column(index)
            if values.null_count == 0:
                if frame.length <= _FEW:
                    compare = self._compare
                    return np.array([compare(v, constant) for v in values.to_pylist()], bool), None
                return np.asarray(self._compare(values.to_numpy(), constant)), None
        return super().truth(frame)

    def apply(self, *values: Any) -> Any:
        left, right = values
        if left is None or right is None:
            if self.distinct:
                return (left is None and right is None) == self.null_safe_equal
            return False
        if self._by_text:
            left, right = as_exact(left), as_exact(right)
        elif self._doubles and self.op == "<>":
            return left < right or left > right
        elif self._bytes:
            left, right = left.translate(_SIGNED), right.translate(_SIGNED)
        return self._compare(left, right)

    def columnar(self, operands: list[Operand], length: int) -> Computed | None:
        left, right = operands
        compared = self._compare_columns(left, right)
        if compared is None:
            return None
        if isinstance(compared, pa.Scalar):
            compared = pa.repeat(compared, length)
        if self.distinct:
            return Computed(_distinct(compared, left, right, self.null_safe_equal, length))
        return Computed(pc.fill_null(compared, FALSE) if compared.null_count else compared)

    def _compare_columns(self, left: Operand, right: Operand) -> pa.Array | None:
        left_type, right_type = (o.type for o in self.operands)
        if self._bytes:
            return None
        if left_type == right_type and _is_simple(left_type):
            if self._doubles and self.op == "<>":
                return pc.or_(pc.less(left, right), pc.greater(left, right))
            return _ARROW[self.op](left, right)
        constant = self.operands[1]
        if isinstance(constant, Constant) and isinstance(constant.value, Decimal):
            return _against_decimal(self.op, left, left_type, constant.value)
        constant = self.operands[0]
        if isinstance(constant, Constant) and isinstance(constant.value, Decimal):
            return _against_decimal(_MIRRORED[self.op], right, right_type, constant.value)
        return None


def as_exact(value: Any) -> Decimal:
    """A number as the DECIMAL of its text."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise EvaluationFailure(f"{value} does not compare with a DECIMAL")
        return Decimal(repr(value))
    return Decimal(value)


def _is_simple(sql_type: t.SqlType | None) -> bool:
    return isinstance(sql_type, t.Primitive)


def _distinct(
    compared: pa.Array, left: Operand, right: Operand, null_safe_equal: bool, length: int
) -> pa.Array:
    """Null-safe (in)equality: two nulls are equal, one is not."""
    if compared.null_count == 0:
        return compared
    one_null = pc.xor(pc.is_null(left), pc.is_null(right))
    by_null = pc.invert(one_null) if null_safe_equal else one_null
    return pc.if_else(pc.is_null(compared), by_null, compared)


def _against_decimal(
    op: str, values: Operand, sql_type: t.SqlType | None, constant: Decimal
) -> pa.Array | None:
    """A column of numbers against a DECIMAL constant, where that equals comparing exactly."""
    if sql_type == t.DOUBLE and isinstance(values, pa.Array):
        number = float(constant)
        if not math.isfinite(number) or Decimal(repr(number)) != constant:
            return None
        given = values if values.null_count == 0 else values.drop_null()
        if not np.isfinite(given.to_numpy(zero_copy_only=False)).all():
            return None
        return _ARROW[op](values, pa.scalar(number, pa.float64()))
    if sql_type in (t.INTEGER, t.BIGINT):
        return _integers_against(op, values, constant)
    if isinstance(sql_type, t.Decimal) and sql_type.precision <= 38:
        digits = len(constant.as_tuple().digits)
        if digits + sql_type.scale <= 38:
            scale = max(-int(constant.as_tuple().exponent), 0)
            exact = pa.decimal128(max(digits, scale), scale)
            return _ARROW[op](values, pa.scalar(constant, exact))
    return None


def _integers_against(op: str, values: Operand, constant: Decimal) -> pa.Array | None:
    floor = math.floor(constant)
    if not -(2**63) <= floor < 2**63:
        return None
    whole = floor == constant
    if not whole:
        if op in ("=", "<>"):
            return pc.and_(pc.is_valid(values), pa.scalar(op == "<>", pa.bool_()))
        op = {"<": "<=", ">=": ">"}.get(op, op)
    return _ARROW[op](values, pa.scalar(floor, pa.int64()))


class In(Strict):
    """`operand IN (items)`; all of one type, null never matches."""

    def __init__(self, operand: Node, items: list[Node]) -> None:
        super().__init__(t.BOOLEAN, (operand, *items))
        self.total = all(o.total for o in self.operands)
        constants = [i.value for i in items if isinstance(i, Constant)]
        self._constants: pa.Array | None = None
        if len(constants) == len(items) and isinstance(operand.type, t.Primitive):
            values = [c for c in constants if c is not None]
            self._constants = arrow.from_python(values, operand.type)

    def apply(self, *values: Any) -> Any:
        operand, *items = values
        return operand is not None and operand in [i for i in items if i is not None]

    def columnar(self, operands: list[Operand], length: int) -> Computed | None:
        if not isinstance(self.operands[0].type, t.Primitive):
            return None
        if isinstance(operands[0], pa.Scalar):
            return None
        if self._constants is not None:
            return Computed(pc.is_in(operands[0], value_set=self._constants))
        found = np.zeros(length, bool)
        for item in operands[1:]:
            equal = pc.fill_null(pc.equal(operands[0], item), FALSE)
            found |= equal.to_numpy(zero_copy_only=False)
        return Computed(pa.array(found))


class IsNull(Strict):
    """IS [NOT] NULL."""

    def __init__(self, operand: Node, negated: bool) -> None:
        super().__init__(t.BOOLEAN, (operand,))
        self.negated = negated
        self.total = operand.total

    def truth(self, frame: Frame) -> tuple[np.ndarray, np.ndarray | None]:
        operand = self.operands[0]
        if isinstance(operand, ColumnNode) and frame.column(operand.index).null_count == 0:
            return np.full(frame.length, self.negated), None
        return super().truth(frame)

    def apply(self, *values: Any) -> Any:
        return (values[0] is None) != self.negated

    def columnar(self, operands: list[Operand], length: int) -> Computed | None:
        values = operands[0]
        answer = pc.is_valid(values) if self.negated else pc.is_null(values)
        return Computed(pa.repeat(answer, length) if isinstance(answer, pa.Scalar) else answer)
