"""The value of an expression without columns: INSERT VALUES, constant arguments, properties."""

from __future__ import annotations

from typing import Any

from millstream import types as t
from millstream.engine.expressions.base import EvaluationContext
from millstream.engine.expressions.compiler import compile_expression
from millstream.errors import SemanticError
from millstream.functions.registry import Registry
from millstream.plan import typed
from millstream.plan.coercion import coerce_value
from millstream.plan.typing import NoColumns, Scope, type_expression
from millstream.sql import ast


def constant(
    expression: ast.Expression,
    target: t.SqlType | None,
    registry: Registry,
    context: EvaluationContext | None = None,
    scope: Scope | None = None,
) -> Any:
    """The Python value of an expression, strictly converted to `target` where one is given.

    Strictly: INTEGER, BIGINT, DECIMAL and DOUBLE widen in this order, a DECIMAL must fit without
    rounding, text converts to the types of time and to BYTES (base64). Raises SemanticError where
    the expression has columns, does not convert, or has no value because it fails.
    """
    item = type_expression(expression, scope or NoColumns(), registry)
    value = constant_value(item, context)
    if target is None or item.type is None:
        return value
    try:
        return coerce_value(value, item.type, target)
    except (ValueError, ArithmeticError) as error:
        refusal = f"{item.type} does not convert to {target}"
        raise SemanticError(
            refusal if str(error) == refusal else f"{refusal} here: {error}",
            expression.position,
            hint=f"Write a value of {target}, or use CAST.",
        ) from error


def constant_value(expression: typed.Expression, context: EvaluationContext | None = None) -> Any:
    """The Python value of a typed expression without columns; SemanticError where it fails."""
    used = context or EvaluationContext()
    before = used.failures
    value = compile_expression(expression).evaluate_row((), used)
    if used.failures > before:
        reason = used.reports[-1][1] if used.reports else "it fails"
        raise SemanticError(f"the expression has no value: {reason}", expression.position)
    return value
