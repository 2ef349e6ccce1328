"""Calls of scalar functions: by column where the function can, else row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.columns import arrow
from millstream.columns.arrow import is_too_much
from millstream.engine.expressions.base import (
    Frame,
    Node,
    Result,
    RowScope,
    either,
    failure_message,
    is_quiet,
    null_mask,
    nulled,
)
from millstream.engine.expressions.strict import build_array, map_rows, python_values
from millstream.functions.registry import Variant
from millstream.functions.runtime import CLOCK

_DICTIONARY_ROWS = 128


class LambdaArgument:
    """A lambda given to a function: a Python callable for each row."""

    def __init__(
        self, parameters: Sequence[str], body: Node, types: dict[int, t.SqlType | None]
    ) -> None:
        self.parameters = tuple(parameters)
        self.body = body
        self.columns = body.columns
        self.types = types

    def bind(self, scope: RowScope) -> Callable[..., Any]:
        """The callable in the row of `scope`."""

        def call(*values: Any) -> Any:
            scope.variables.update(zip(self.parameters, values, strict=True))
            return self.body.row(scope)

        return call


Argument = Node | LambdaArgument


class Call(Node):
    """A function's value; an argument that is itself a call or a field fails as null."""

    def __init__(
        self,
        name: str,
        variant: Variant,
        sql_type: t.SqlType,
        arguments: Sequence[Argument],
        caught: Sequence[bool],
    ) -> None:
        self.name = name
        self.variant = variant
        self.type = sql_type
        self.arguments = tuple(arguments)
        self.caught = tuple(caught)
        self.columns = frozenset().union(*(a.columns for a in arguments))
        self.variables = any(isinstance(a, LambdaArgument) or a.variables for a in arguments)
        self._row_form = variant.row
        if variant.row_for is not None:
            self._row_form = variant.row_for(
                [a.type if isinstance(a, Node) else a.body.type for a in arguments]
            )
        self.lambdas = [a for a in arguments if isinstance(a, LambdaArgument)]

    # --- one row ---

    def row(self, scope: RowScope) -> Any:
        values = [
            self._row_argument(a, caught, scope)
            for a, caught in zip(self.arguments, self.caught, strict=True)
        ]
        return self._call(*values)

    def _row_argument(self, argument: Argument, caught: bool, scope: RowScope) -> Any:
        if isinstance(argument, LambdaArgument):
            return argument.bind(scope)
        if not caught:
            return argument.row(scope)
        try:
            return argument.row(scope)
        except MemoryError:
            raise
        except Exception as error:
            if not is_quiet(error):
                scope.report(failure_message(error))
            return None

    def _call(self, *values: Any) -> Any:
        if self.variant.null_if_null and None in values:
            return None
        if self._row_form is not None:
            return self._row_form(*values)
        assert self.variant.columnar is not None
        types = [a.type for a in self.arguments if isinstance(a, Node)]
        arrays = [build_array([v], s) for v, s in zip(values, types, strict=True)]
        result: list[Any] = python_values(self.variant.columnar(*arrays), self.type, 1)
        return result[0]

    # --- columns ---

    def evaluate(self, frame: Frame) -> Result:
        if not self.variant.deterministic:
            token = CLOCK.set(frame.context.clock)
            try:
                return self._evaluate(frame)
            finally:
                CLOCK.reset(token)
        return self._evaluate(frame)

    def _evaluate(self, frame: Frame) -> Result:
        operands: list[Any] = []
        failed: np.ndarray | None = None
        for argument, caught in zip(self.arguments, self.caught, strict=True):
            if isinstance(argument, LambdaArgument):
                operands.append(argument)
                continue
            values, bad = argument.operand(frame)
            operands.append(values)
            if not caught:
                failed = either(failed, bad)
        if self.variant.columnar is not None and not self.lambdas:
            try:
                return self._by_column(operands, failed, frame.length)
            except Exception as error:
                # Fewer rows may fit. Of whatever else it raises, row by row tells which row it is.
                if is_too_much(error) and frame.length > 1:
                    raise
        return self._by_row(operands, failed, frame)

    def _by_column(self, operands: list[Any], failed: np.ndarray | None, length: int) -> Result:
        assert self.type is not None
        assert self.variant.columnar is not None
        nulls: np.ndarray | None = None
        arrays: list[Any] = []
        for operand in operands:
            if isinstance(operand, pa.Scalar):
                if self.variant.null_if_null and not operand.is_valid:
                    return Result(arrow.nulls(self.type, length), failed)
                if not self.variant.takes_scalars:
                    operand = pa.repeat(operand, length)
            elif self.variant.null_if_null:
                nulls = either(nulls, null_mask(operand))
            arrays.append(operand)
        values = self.variant.columnar(*arrays)
        if isinstance(values, pa.Scalar):
            values = pa.repeat(values, length)
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        wanted = arrow.arrow_type(self.type)
        if values.type != wanted:
            values = values.cast(wanted)
        return Result(nulled(values, either(nulls, failed)), failed)

    def _by_row(self, operands: list[Any], failed: np.ndarray | None, frame: Frame) -> Result:
        if self.lambdas:
            return self._with_lambdas(operands, failed, frame)
        encoded = self._encoded(operands, failed, frame)
        if encoded is not None:
            return encoded
        columns = [
            python_values(values, node.type, frame.length)
            for values, node in zip(operands, self.arguments, strict=True)
            if isinstance(node, Node)
        ]
        return map_rows(self._call, columns, self.type, failed, frame)

    def _encoded(
        self, operands: list[Any], failed: np.ndarray | None, frame: Frame
    ) -> Result | None:
        """Once per distinct text, where a single column of texts is all that varies."""
        varying = [i for i, o in enumerate(operands) if not isinstance(o, pa.Scalar)]
        if (
            frame.length < _DICTIONARY_ROWS
            or not self.variant.deterministic
            or failed is not None
            or len(varying) != 1
            or operands[varying[0]].type != pa.string()
        ):
            return None
        encoded = operands[varying[0]].dictionary_encode(null_encoding="encode")
        distinct = encoded.dictionary
        if len(distinct) * 2 > frame.length:
            return None
        columns = [
            python_values(distinct if i == varying[0] else o, a.type, len(distinct))
            for i, (o, a) in enumerate(zip(operands, self.arguments, strict=True))
            if isinstance(a, Node)
        ]
        indices = encoded.indices
        quiet = Frame((), len(distinct), type(frame.context)(limit=len(distinct)))
        result = map_rows(self._call, columns, self.type, None, quiet)
        values = result.values.take(indices)
        if result.failed is None:
            return Result(values)
        messages = dict(quiet.context.reports)
        codes = indices.to_numpy(zero_copy_only=False)
        bad: np.ndarray = result.failed[codes]
        told = np.zeros(len(distinct), bool)
        told[list(messages)] = True
        frame.report_rows(np.flatnonzero(told[codes]), lambda row: messages[int(codes[row])])
        return Result(values, bad)

    def _with_lambdas(self, operands: list[Any], failed: np.ndarray | None, frame: Frame) -> Result:
        types = {i: s for a in self.lambdas for i, s in a.types.items()}
        lists = {i: python_values(frame.column(i), s, frame.length) for i, s in types.items()}
        columns = [
            [a] * frame.length
            if isinstance(a, LambdaArgument)
            else python_values(o, a.type, frame.length)
            for o, a in zip(operands, self.arguments, strict=True)
        ]
        columns.append(list(range(frame.length)))

        def call(*values: Any) -> Any:
            *given, index = values
            scope = RowScope(
                {i: items[index] for i, items in lists.items()},
                lambda message: frame.report(index, message),
            )
            return self._call(
                *[v.bind(scope) if isinstance(v, LambdaArgument) else v for v in given]
            )

        return map_rows(call, columns, self.type, failed, frame)
