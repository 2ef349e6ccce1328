"""AND, OR, NOT and CASE: what is not asked for is not evaluated.

Conditions are true, false or failed; a null BOOLEAN where a condition is needed counts as failed,
without a report.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.columns import arrow
from millstream.engine.expressions.base import (
    EvaluationFailure,
    Frame,
    Node,
    Result,
    RowScope,
    either,
    null_mask,
    nulled,
)
from millstream.engine.expressions.strict import Computed, Operand, Strict

_FEW = 64
"""Of so few rows nothing is spared by leaving out those for which the left side decides."""


class Not(Strict):
    """NOT x."""

    def __init__(self, operand: Node) -> None:
        super().__init__(t.BOOLEAN, (operand,))

    def apply(self, *values: Any) -> Any:
        if values[0] is None:
            raise EvaluationFailure("an operand is null", quiet=True)
        return not values[0]

    def columnar(self, operands: list[Operand], length: int) -> Computed | None:
        if isinstance(operands[0], pa.Scalar):
            return None
        values = pc.invert(operands[0])
        return Computed(values, null_mask(values))


class Logical(Node):
    """AND or OR; the right side is evaluated only where the left does not decide."""

    def __init__(self, op: str, left: Node, right: Node) -> None:
        self.type = t.BOOLEAN
        self.left, self.right = left, right
        self.is_and = op == "AND"
        self.columns = left.columns | right.columns
        self.variables = left.variables or right.variables

    def row(self, scope: RowScope) -> Any:
        left = condition(self.left.row(scope))
        return condition(self.right.row(scope)) if left == self.is_and else left

    def evaluate(self, frame: Frame) -> Result:
        answer, failed = self.truth(frame)
        return Result(pa.array(answer, mask=failed), failed)

    def truth(self, frame: Frame) -> tuple[np.ndarray, np.ndarray | None]:
        left_true, left_failed = self.left.truth(frame)
        if frame.length <= _FEW and self.right.total and left_failed is None:
            right_true, right_failed = self.right.truth(frame)
            if right_failed is None:
                return left_true & right_true if self.is_and else left_true | right_true, None
        open_rows = left_true if self.is_and else ~left_true
        if left_failed is not None:
            open_rows = open_rows & ~left_failed
        count = np.count_nonzero(open_rows)
        if count == 0:
            return left_true, _some(left_failed)
        if self.right.total or count == len(open_rows):
            right_true, right_failed = self.right.truth(frame)
        else:
            indices = open_rows.nonzero()[0]
            some_true, some_failed = self.right.truth(frame.select(indices))
            right_true = np.zeros(frame.length, bool)
            right_true[indices] = some_true
            right_failed = None
            if some_failed is not None:
                right_failed = np.zeros(frame.length, bool)
                right_failed[indices] = some_failed
        answer = np.where(open_rows, right_true, left_true)
        if right_failed is not None:
            left_failed = either(left_failed, right_failed & open_rows)
        return answer, _some(left_failed)


def _some(failed: np.ndarray | None) -> np.ndarray | None:
    return None if failed is None or not failed.any() else failed


def condition(value: Any) -> bool:
    """A condition's value; a quiet failure where it is null."""
    if value is None:
        raise EvaluationFailure("a condition is null", quiet=True)
    return bool(value)


class Case(Node):
    """The result of the first true condition, else the default, else null."""

    def __init__(
        self,
        sql_type: t.SqlType,
        whens: Sequence[tuple[Node, Node]],
        default: Node | None,
    ) -> None:
        self.type = sql_type
        self.whens = tuple(whens)
        self.default = default
        nodes = [n for when in whens for n in when] + ([] if default is None else [default])
        self.columns = frozenset().union(*(n.columns for n in nodes))
        self.variables = any(n.variables for n in nodes)
        self.total = all(n.total for n in nodes) and all(c.type == t.BOOLEAN for c, _ in whens)
        self._all_total = self.total

    def row(self, scope: RowScope) -> Any:
        for when, result in self.whens:
            if condition(when.row(scope)):
                return result.row(scope)
        return None if self.default is None else self.default.row(scope)

    def evaluate(self, frame: Frame) -> Result:
        pieces: list[pa.Array] = []
        places: list[np.ndarray] = []
        failed = np.zeros(frame.length, bool)
        rows: np.ndarray = np.arange(frame.length)
        for when, result in self.whens:
            if len(rows) == 0:
                break
            chosen, bad = when.truth(_part(frame, rows))
            if bad is not None:
                failed[rows[bad]] = True
                chosen &= ~bad
            self._collect(result, frame, rows[chosen], pieces, places, failed)
            rows = rows[~chosen if bad is None else ~(chosen | bad)]
        self._collect(self.default, frame, rows, pieces, places, failed)
        return self._assemble(pieces, places, failed, frame.length)

    def _collect(
        self,
        node: Node | None,
        frame: Frame,
        rows: np.ndarray,
        pieces: list[pa.Array],
        places: list[np.ndarray],
        failed: np.ndarray,
    ) -> None:
        if node is None or len(rows) == 0:
            return
        result = node.evaluate(_part(frame, rows))
        if result.failed is not None:
            failed[rows[result.failed]] = True
        pieces.append(result.values)
        places.append(rows)

    def _assemble(
        self,
        pieces: list[pa.Array],
        places: list[np.ndarray],
        failed: np.ndarray,
        length: int,
    ) -> Result:
        assert self.type is not None
        any_failed = failed if failed.any() else None
        if not pieces:
            return Result(arrow.nulls(self.type, length), any_failed)
        placed = np.concatenate(places)
        order = np.full(length, -1, np.int64)
        order[placed] = np.arange(len(placed))
        missing = order < 0
        values = arrow.concat(pieces)
        if len(placed) == length and (len(places) == 1 or bool((order == np.arange(length)).all())):
            return Result(nulled(values, any_failed), any_failed)
        taken = values.take(pa.array(order, mask=missing if missing.any() else None))
        return Result(nulled(taken, any_failed), any_failed)


def _part(frame: Frame, rows: np.ndarray) -> Frame:
    return frame if len(rows) == frame.length else frame.select(rows)
