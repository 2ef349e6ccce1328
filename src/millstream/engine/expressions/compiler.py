"""Typed expressions compiled to nodes that evaluate batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.engine.expressions.arithmetic import Arithmetic, Negation
from millstream.engine.expressions.base import (
    ColumnNode,
    Constant,
    EvaluationContext,
    Frame,
    Node,
    Result,
    RowScope,
    VariableNode,
    failure_message,
    is_quiet,
)
from millstream.engine.expressions.calls import Argument as CallArgument
from millstream.engine.expressions.calls import Call, LambdaArgument
from millstream.engine.expressions.cast_node import Cast
from millstream.engine.expressions.comparison import Comparison, In, IsNull
from millstream.engine.expressions.like import Like
from millstream.engine.expressions.logic import Case, Logical, Not
from millstream.engine.expressions.nested import (
    FieldOf,
    ItemAt,
    MakeArray,
    MakeMap,
    MakeStruct,
    ValueAt,
)
from millstream.functions.runtime import CLOCK
from millstream.plan import typed


class Compiled:
    """An expression ready to be evaluated over batches; it keeps nothing between calls."""

    def __init__(self, expression: typed.Expression) -> None:
        self.expression = expression
        self.type = expression.type
        self._node = _compile(expression)
        self.columns = self._node.columns
        """Indices of the columns it reads."""

    def evaluate(
        self, columns: Sequence[pa.Array], length: int, context: EvaluationContext | None = None
    ) -> Result:
        """Values of `length` rows, null where failed; failures are reported to the context."""
        return self._node.evaluate(Frame(columns, length, context or EvaluationContext()))

    def within(self, frame: Frame) -> Result:
        """As `evaluate`, for the rows of a frame that several expressions share."""
        return self._node.evaluate(frame)

    def truth(self, frame: Frame) -> np.ndarray:
        """Where it is true, as a condition on a frame's rows."""
        true, failed = self._node.truth(frame)
        return true if failed is None else true & ~failed

    @property
    def column(self) -> int | None:
        """Which column it is, where it is nothing but a column."""
        return self._node.index if isinstance(self._node, ColumnNode) else None

    def evaluate_row(
        self, values: Mapping[int, Any] | Sequence[Any], context: EvaluationContext | None = None
    ) -> Any:
        """The value of one row of Python values by column index; null and a report on failure."""
        used = context or EvaluationContext()
        scope = RowScope(values, lambda message: used.report(0, message))
        token = CLOCK.set(used.clock)
        try:
            return self._node.row(scope)
        except Exception as error:
            if not is_quiet(error):
                used.report(0, failure_message(error))
            return None
        finally:
            CLOCK.reset(token)

    @property
    def constant(self) -> bool:
        """Whether the value is known already, the same for every row."""
        return isinstance(self._node, Constant)


def compile_expression(expression: typed.Expression) -> Compiled:
    """The expression, ready to be evaluated; constant parts are computed now."""
    return Compiled(expression)


def _compile(expression: typed.Expression) -> Node:
    node = _build(expression)
    if isinstance(node, Constant) or node.columns or node.variables or node.type is None:
        return node
    return _folded(node) if _is_deterministic(expression) else node


def _folded(node: Node) -> Node:
    """A node without columns as a constant, unless it fails: then it fails on every row."""
    reports: list[str] = []
    try:
        value = node.row(RowScope((), reports.append))
        return node if reports else Constant(value, node.type)
    except Exception:
        return node


def _build(expression: typed.Expression) -> Node:
    sql_type = expression.type
    match expression:
        case typed.Literal():
            return Constant(expression.value, sql_type)
        case typed.Column():
            return ColumnNode(expression.index, sql_type)
        case typed.Variable():
            return VariableNode(expression.name, sql_type)
        case typed.Call():
            return _call(expression)
        case typed.Cast():
            return _cast(expression)
        case typed.Like():
            operand, pattern = _compile(expression.operand), _compile(expression.pattern)
            return Like(operand, pattern, expression.escape)
        case typed.Comparison():
            left, right = _compile(expression.left), _compile(expression.right)
            return Comparison(expression.op, left, right)
        case typed.Logical():
            return Logical(expression.op, _compile(expression.left), _compile(expression.right))
        case typed.Not():
            return Not(_compile(expression.operand))
        case typed.IsNull():
            return IsNull(_compile(expression.operand), expression.negated)
        case typed.In():
            return In(_compile(expression.operand), [_compile(i) for i in expression.items])
    assert sql_type is not None
    return _build_typed(expression, sql_type)


def _build_typed(expression: typed.Expression, sql_type: t.SqlType) -> Node:
    match expression:
        case typed.Arithmetic():
            left, right = _compile(expression.left), _compile(expression.right)
            return Arithmetic(expression.op, sql_type, left, right)
        case typed.Negation():
            return Negation(sql_type, _compile(expression.operand))
        case typed.Case():
            whens = [(_compile(c), _compile(r)) for c, r in expression.whens]
            default = None if expression.default is None else _compile(expression.default)
            return Case(sql_type, whens, default)
        case typed.ItemAt():
            return ItemAt(sql_type, (_compile(expression.base), _compile(expression.index)))
        case typed.ValueAt():
            return ValueAt(sql_type, (_compile(expression.base), _compile(expression.key)))
        case typed.FieldOf():
            return FieldOf(sql_type, _compile(expression.base), expression.field_name)
        case typed.MakeArray():
            return MakeArray(sql_type, [_compile(i) for i in expression.items])
        case typed.MakeMap():
            return MakeMap(sql_type, [_compile(p) for e in expression.entries for p in e])
        case typed.MakeStruct():
            return MakeStruct(sql_type, [_compile(v) for v in expression.values])
    raise TypeError(f"{type(expression).__name__} cannot be evaluated")


def _cast(expression: typed.Cast) -> Node:
    operand = _compile(expression.operand)
    target, source = expression.type, expression.operand.type
    assert target is not None
    if source is None:
        return Constant(None, target)
    widening = t.is_numeric(source) and t.is_numeric(target)
    return Cast(operand, source, target, transparent=expression.implicit and widening)


def _call(expression: typed.Call) -> Node:
    assert expression.type is not None
    arguments: list[CallArgument] = []
    for argument in expression.arguments:
        if isinstance(argument, typed.Lambda):
            names = [p.name for p in argument.parameters]
            types = {c.index: c.type for c in columns_of(argument.body)}
            arguments.append(LambdaArgument(names, _compile(argument.body), types))
        else:
            arguments.append(_compile(argument))
    if expression.name == "AS_VALUE" and isinstance(arguments[0], ColumnNode):
        return arguments[0]
    caught = [isinstance(a, typed.Call | typed.FieldOf) for a in expression.arguments]
    return Call(expression.name, expression.variant, expression.type, arguments, caught)


# --- walks over typed expressions --------------------------------------------------------------


def walk(expression: typed.Expression) -> Iterator[typed.Expression]:
    """The expression and everything inside it."""
    yield expression
    for member in fields(expression):
        yield from _walk_value(getattr(expression, member.name))


def _walk_value(value: Any) -> Iterator[typed.Expression]:
    if isinstance(value, typed.Expression):
        yield from walk(value)
    elif isinstance(value, tuple):
        for item in value:
            yield from _walk_value(item)


def columns_of(expression: typed.Expression) -> list[typed.Column]:
    """The columns that an expression reads, each as often as it stands there."""
    return [e for e in walk(expression) if isinstance(e, typed.Column)]


def _is_deterministic(expression: typed.Expression) -> bool:
    return all(e.variant.deterministic for e in walk(expression) if isinstance(e, typed.Call))
