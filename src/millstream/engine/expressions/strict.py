"""Nodes whose value follows from all of their operands' values, and which fail where one fails."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.columns import arrow
from millstream.engine.expressions.base import (
    Frame,
    Node,
    Result,
    RowScope,
    either,
    failure_message,
    is_quiet,
    nulled,
)

Operand: TypeAlias = Any
"""A column of values (`pa.Array`), or a constant (`pa.Scalar`)."""


@dataclass(frozen=True, slots=True)
class Computed:
    """What a columnar form gives: values, own failures, those worth a report, and why."""

    values: pa.Array
    failed: np.ndarray | None = None
    reported: np.ndarray | None = None
    message: str = ""


class Strict(Node):
    """An operator over operands that are all evaluated, always."""

    def __init__(self, sql_type: t.SqlType | None, operands: Sequence[Node]) -> None:
        self.type = sql_type
        self.operands = tuple(operands)
        self.columns = frozenset().union(*(o.columns for o in operands))
        self.variables = any(o.variables for o in operands)

    @abc.abstractmethod
    def apply(self, *values: Any) -> Any:
        """The value for one row; raises where there is none."""

    def columnar(self, operands: list[Operand], length: int) -> Computed | None:
        """The values of all rows at once, or None where these types have no columnar form."""
        return None

    def row(self, scope: RowScope) -> Any:
        return self.apply(*[o.row(scope) for o in self.operands])

    def evaluate(self, frame: Frame) -> Result:
        operands: list[Operand] = []
        failed: np.ndarray | None = None
        for node in self.operands:
            values, node_failed = node.operand(frame)
            operands.append(values)
            failed = either(failed, node_failed)
        computed = self.columnar(operands, frame.length)
        if computed is None:
            return self._by_row(operands, failed, frame)
        own = computed.failed
        if own is None:
            return Result(nulled(computed.values, failed), failed)
        if computed.reported is not None:
            reported = computed.reported if failed is None else computed.reported & ~failed
            frame.report_rows(np.flatnonzero(reported), lambda row: computed.message)
        failed = either(failed, own)
        if failed is not None and not failed.any():
            failed = None
        return Result(nulled(computed.values, failed), failed)

    def _by_row(self, operands: list[Operand], failed: np.ndarray | None, frame: Frame) -> Result:
        columns = [
            python_values(values, node.type, frame.length)
            for values, node in zip(operands, self.operands, strict=True)
        ]
        return map_rows(self.apply, columns, self.type, failed, frame)


def python_values(values: Operand, sql_type: t.SqlType | None, length: int) -> list[Any]:
    """An operand's values as Python objects, a constant repeated."""
    if isinstance(values, pa.Scalar):
        array = pa.array([values.as_py()], values.type)
        one = arrow.to_python(array, sql_type)[0] if sql_type is not None else None
        return [one] * length
    return [None] * length if sql_type is None else arrow.to_python(values, sql_type)


def map_rows(
    function: Any,
    columns: list[list[Any]],
    sql_type: t.SqlType | None,
    failed: np.ndarray | None,
    frame: Frame,
) -> Result:
    """`function` over the rows that have not failed; what it raises becomes a failure."""
    output: list[Any] = [None] * frame.length
    own: np.ndarray | None = None
    skip = failed.tolist() if failed is not None else None
    rows = zip(*columns, strict=True) if columns else (() for _ in range(frame.length))
    for index, values in enumerate(rows):
        if skip is not None and skip[index]:
            continue
        try:
            output[index] = function(*values)
        except Exception as error:
            # Fewer rows may fit; one that does not has failed.
            if isinstance(error, MemoryError) and frame.length > 1:
                raise
            if own is None:
                own = np.zeros(frame.length, bool)
            own[index] = True
            if not is_quiet(error):
                frame.report(index, failure_message(error))
    try:
        values = build_array(output, sql_type)
    except pa.ArrowCapacityError:
        raise
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        values, unfit = _build_one_by_one(output, sql_type, frame)
        own = either(own, unfit)
    return Result(values, either(failed, own))


def _build_one_by_one(
    values: list[Any], sql_type: t.SqlType | None, frame: Frame
) -> tuple[pa.Array, np.ndarray]:
    """An array of the values that its type can hold, and a mask of the others."""
    unfit = np.zeros(len(values), bool)
    kept = list(values)
    for index, value in enumerate(values):
        try:
            build_array([value], sql_type)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            unfit[index] = True
            kept[index] = None
            frame.report(index, f"a value does not fit {sql_type}")
    return build_array(kept, sql_type), unfit


def build_array(values: list[Any], sql_type: t.SqlType | None) -> pa.Array:
    """An array of Python values; all null where the type is unknown."""
    return pa.nulls(len(values)) if sql_type is None else arrow.from_python(values, sql_type)
