"""What evaluation is made of: results with failures, frames of rows, and nodes that compute.

Every node has two forms that are equal: `evaluate` over a frame of columns, and `row` over the
Python values of one row. The row form is the definition, serves lambdas and constants, and raises
where the columnar form marks a failure.
"""

from __future__ import annotations

import abc
import decimal
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.clock import Clock, SystemClock
from millstream.columns import arrow


@dataclass(frozen=True, slots=True)
class Result:
    """Values of an expression, one a row; null where `failed` (a boolean array, or None)."""

    values: pa.Array
    failed: np.ndarray | None = None


class Reporter(Protocol):
    """Takes notice of failures."""

    def report(self, row_index: int, message: str) -> None:
        """The expression failed on a row, for the reason given."""
        ...


@dataclass(slots=True)
class EvaluationContext:
    """What an evaluation needs from outside, and what it leaves behind.

    `failures` counts every reported failure; `reports` keeps the first `limit` of them as
    (row index, message).
    """

    clock: Clock = field(default_factory=SystemClock)
    limit: int = 100
    failures: int = 0
    reports: list[tuple[int, str]] = field(default_factory=list)

    def report(self, row_index: int, message: str) -> None:
        """Count a failure, and keep it while there is room."""
        self.failures += 1
        if len(self.reports) < self.limit:
            self.reports.append((row_index, message))

    def report_many(self, count: int, first: Iterable[tuple[int, str]]) -> None:
        """Count failures of `count` rows, and keep the first of them while there is room."""
        self.failures += count
        room = self.limit - len(self.reports)
        self.reports.extend(itertools.islice(first, max(room, 0)))


class EvaluationFailure(Exception):
    """An expression has no value for a row. A quiet one (a null operand) is not reported."""

    def __init__(self, message: str, *, quiet: bool = False) -> None:
        super().__init__(message)
        self.quiet = quiet


FALSE = pa.scalar(False, pa.bool_())
"""A typed constant: pyarrow takes a hundred microseconds to tell the type of a Python value."""


class Frame:
    """Rows to evaluate: columns, or a selection of another frame's rows, taken when needed."""

    __slots__ = ("_columns", "_indices", "_parent", "_taken", "context", "length")

    def __init__(
        self,
        columns: Sequence[pa.Array],
        length: int,
        context: EvaluationContext,
        *,
        parent: Frame | None = None,
        indices: np.ndarray | None = None,
    ) -> None:
        self.length = length
        self.context = context
        self._columns = columns
        self._parent = parent
        self._indices = indices
        self._taken: dict[int, pa.Array] = {}

    def column(self, index: int) -> pa.Array:
        """The values of a column in this frame's rows."""
        if self._parent is None:
            return self._columns[index]
        taken = self._taken.get(index)
        if taken is None:
            taken = self._parent.column(index).take(pa.array(self._indices))
            self._taken[index] = taken
        return taken

    def select(self, indices: np.ndarray) -> Frame:
        """The frame of some of these rows."""
        return Frame((), len(indices), self.context, parent=self, indices=indices)

    def report(self, row: int, message: str) -> None:
        """Report a failure of one of this frame's rows under its first frame's index."""
        self.context.report(self._original(row), message)

    def report_rows(self, rows: np.ndarray, message: Callable[[int], str | None]) -> None:
        """Report failures of many rows; `message` tells each row's reason, None for no report."""
        told = ((int(r), message(int(r))) for r in rows)
        reports = ((self._original(r), text) for r, text in told if text is not None)
        many = getattr(self.context, "report_many", None)
        if many is not None:
            many(len(rows), reports)
            return
        for row, text in reports:
            self.context.report(row, text)

    def _original(self, row: int) -> int:
        frame = self
        while frame._parent is not None:
            assert frame._indices is not None
            row = int(frame._indices[row])
            frame = frame._parent
        return row


class RowScope:
    """The values one row is evaluated with: columns by index, lambdas' variables by name."""

    __slots__ = ("columns", "report", "variables")

    def __init__(self, columns: Any, report: Callable[[str], None]) -> None:
        self.columns = columns
        self.variables: dict[str, Any] = {}
        self.report = report


class Node(abc.ABC):
    """A part of a compiled expression."""

    type: t.SqlType | None
    columns: frozenset[int] = frozenset()
    """Indices of the columns it reads."""
    variables: bool = False
    """Whether it reads a lambda's variable, which only the row form can."""
    total: bool = False
    """Whether it cannot fail, so that it may be evaluated on rows where it is not asked for."""

    @abc.abstractmethod
    def evaluate(self, frame: Frame) -> Result:
        """Values and failures of a frame's rows."""

    def truth(self, frame: Frame) -> tuple[np.ndarray, np.ndarray | None]:
        """Of a condition: a mask of the rows where it is true, and one of those where it failed,
        nulls among them."""
        result = self.evaluate(frame)
        failed = either(result.failed, null_mask(result.values))
        return arrow.true_mask(result.values), failed

    @abc.abstractmethod
    def row(self, scope: RowScope) -> Any:
        """The value of one row; any exception is a failure."""

    def operand(self, frame: Frame) -> tuple[pa.Array | pa.Scalar, np.ndarray | None]:
        """As `evaluate`, except that a constant is a scalar."""
        result = self.evaluate(frame)
        return result.values, result.failed


class Constant(Node):
    """The same value for every row."""

    total = True

    def __init__(self, value: Any, sql_type: t.SqlType | None) -> None:
        self.value = value
        self.type = sql_type
        one = pa.nulls(1) if sql_type is None else arrow.from_python([value], sql_type)
        self.scalar: pa.Scalar = one[0]
        self._one = one

    def evaluate(self, frame: Frame) -> Result:
        if self.type is None:
            return Result(pa.nulls(frame.length))
        if isinstance(self.type, t.Primitive | t.Decimal):
            return Result(pa.repeat(self.scalar, frame.length))
        return Result(self._one.take(pa.array(np.zeros(frame.length, np.int64))))

    def row(self, scope: RowScope) -> Any:
        return self.value

    def operand(self, frame: Frame) -> tuple[pa.Array | pa.Scalar, np.ndarray | None]:
        return self.scalar, None


class ColumnNode(Node):
    """A column of the input."""

    total = True

    def __init__(self, index: int, sql_type: t.SqlType | None) -> None:
        self.index = index
        self.type = sql_type
        self.columns = frozenset({index})

    def evaluate(self, frame: Frame) -> Result:
        return Result(frame.column(self.index))

    def row(self, scope: RowScope) -> Any:
        return scope.columns[self.index]


class VariableNode(Node):
    """A lambda's parameter; it has a value only while the lambda is called."""

    total = True
    variables = True

    def __init__(self, name: str, sql_type: t.SqlType | None) -> None:
        self.name = name
        self.type = sql_type

    def evaluate(self, frame: Frame) -> Result:
        raise TypeError("a lambda's variable has no column")

    def row(self, scope: RowScope) -> Any:
        return scope.variables[self.name]


def either(left: np.ndarray | None, right: np.ndarray | None) -> np.ndarray | None:
    """The union of two failure masks."""
    if left is None:
        return right
    return left if right is None else left | right


def nulled(values: pa.Array, failed: np.ndarray | None) -> pa.Array:
    """The values with null where failed."""
    if failed is None or not failed.any():
        return values
    if isinstance(values.type, pa.ListType | pa.MapType | pa.StructType):
        kept = np.where(failed, 0, np.arange(len(values)))
        return values.take(pa.array(kept, mask=failed))
    return pc.if_else(pa.array(failed), pa.scalar(None, values.type), values)


def null_mask(values: pa.Array) -> np.ndarray | None:
    """A mask of the nulls, or None where there are none."""
    return None if values.null_count == 0 else np.asarray(values.is_null())


def failure_message(error: BaseException) -> str:
    """What the processing log says of an exception."""
    match error:
        case decimal.DecimalException():
            return "a number is beyond what can be computed with"
        case OverflowError():
            return "a number is out of range"
        case RecursionError():
            return "a value is nested too deeply"
        case MemoryError():
            return "there is not enough memory for the value"
    return str(error) or type(error).__name__


def is_quiet(error: BaseException) -> bool:
    """Whether the exception is not worth a line in the processing log."""
    return isinstance(error, EvaluationFailure) and error.quiet
