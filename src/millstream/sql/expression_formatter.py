"""Expressions and types to text that reads back as the same tree."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterable
from typing import Any

from millstream.sql import ast
from millstream.sql.words import TAKES_TIME_UNIT, UNITS, format_name
from millstream.types import Array, Decimal, Map, NamedType, SqlType, Struct, quote_name

# How tightly each form binds; a part that binds less than its place asks for gets parentheses.
_OR, _AND, _NOT, _PREDICATE, _VALUE, _SUM, _PRODUCT, _SIGN, _ZONE, _POSTFIX, _PRIMARY = range(1, 12)


def format_type(sql_type: SqlType) -> str:
    """The type as a statement spells it."""
    if isinstance(sql_type, Array):
        return f"ARRAY<{format_type(sql_type.item)}>"
    if isinstance(sql_type, Map):
        return f"MAP<{format_type(sql_type.key)}, {format_type(sql_type.value)}>"
    if isinstance(sql_type, Struct):
        fields = (f"{format_name(f.name)} {format_type(f.type)}" for f in sql_type.fields)
        return f"STRUCT<{', '.join(fields)}>"
    if isinstance(sql_type, NamedType):
        return (
            quote_name(sql_type.name) if sql_type.name == "DECIMAL" else format_name(sql_type.name)
        )
    if isinstance(sql_type, Decimal):
        return f"DECIMAL({sql_type.precision}, {sql_type.scale})"
    return str(sql_type)


def format_string(text: str) -> str:
    """The text in single quotes."""
    return "'" + text.replace("'", "''") + "'"


def format_expression(expression: ast.Expression) -> str:
    """The expression on one line."""
    return _format(expression, _OR)


def format_value(expression: ast.Expression) -> str:
    """The expression where no bare condition is allowed: conditions get parentheses."""
    return _format(expression, _VALUE)


def format_base(expression: ast.Expression) -> str:
    """The expression where only something with `->` or brackets behind it may stand."""
    return _format(expression, _POSTFIX)


def format_conjuncts(condition: ast.Expression) -> list[str]:
    """The parts of a condition that are joined by AND, in order."""
    parts: list[str] = []
    while isinstance(condition, ast.Logical) and condition.op == "AND":
        parts.append(_format(condition.right, _NOT))
        condition = condition.left
    parts.append(_format(condition, _AND if parts else _OR))
    return parts[::-1]


def _format(expression: ast.Expression, needed: int) -> str:
    written, binding = _render(expression)
    return written if binding >= needed else f"({written})"


def _render(expression: ast.Expression) -> tuple[str, int]:
    """The text of an expression, and how tightly it binds."""
    if isinstance(expression, ast.Logical):
        own = _OR if expression.op == "OR" else _AND
        return _chain(expression, ("OR",) if own == _OR else ("AND",), own), own
    if isinstance(expression, ast.Arithmetic):
        if expression.op in ("+", "-"):
            return _chain(expression, ("+", "-"), _SUM), _SUM
        return _chain(expression, ("*", "/", "%"), _PRODUCT), _PRODUCT
    render, binding = _RENDERERS[type(expression)]
    written = render(expression)
    if binding == _PRIMARY and written.startswith("-"):
        binding = _SIGN
    return written, binding


def _chain(expression: ast.Logical | ast.Arithmetic, ops: tuple[str, ...], own: int) -> str:
    """Operators of one rank, from left to right; not by recursion, for chains may be long."""
    parts: list[str] = []
    left: ast.Expression = expression
    while isinstance(left, (ast.Logical, ast.Arithmetic)) and left.op in ops:
        parts.append(f"{left.op} {_format(left.right, own + 1)}")
        left = left.left
    parts.append(_format(left, own))
    return " ".join(reversed(parts))


def _list(expressions: Iterable[ast.Expression]) -> str:
    return ", ".join(map(format_expression, expressions))


def _decimal(literal: ast.DecimalLiteral) -> str:
    written = format(literal.value, "f")
    return written if "." in written else written + "."


def _double(literal: ast.DoubleLiteral) -> str:
    sign, digits, exponent = decimal.Decimal(repr(literal.value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    mantissa = "".join(map(str, digits))
    exponent += len(mantissa) - 1
    point = f"{mantissa[0]}.{mantissa[1:]}" if len(mantissa) > 1 else mantissa
    return f"{'-' if sign else ''}{point}E{exponent}"


def _column(column: ast.ColumnRef) -> str:
    name = format_name(column.name)
    return name if column.source is None else f"{format_name(column.source)}.{name}"


def _call(call: ast.FunctionCall) -> str:
    name = format_name(call.name)
    if call.star:
        return f"{name}(*)"
    arguments = [format_expression(argument) for argument in call.arguments]
    if arguments and call.name in TAKES_TIME_UNIT:
        first = call.arguments[0]
        if isinstance(first, ast.ColumnRef) and first.source is None and first.name in UNITS:
            arguments[0] = quote_name(first.name)
    return f"{name}({', '.join(arguments)})"


def _lambda(function: ast.Lambda) -> str:
    names = ", ".join(map(format_name, function.parameters))
    if len(function.parameters) != 1:
        names = f"({names})"
    return f"{names} => {format_expression(function.body)}"


def _negation(negation: ast.Negation) -> str:
    operand = _format(negation.operand, _SIGN)
    if operand[0] == "-" or (negation.op == "-" and (operand[0].isdigit() or operand[0] == ".")):
        operand = f"({operand})"
    return negation.op + operand


def _comparison(comparison: ast.Comparison) -> str:
    left, right = format_value(comparison.left), format_value(comparison.right)
    return f"{left} {comparison.op} {right}"


def _not(negated: bool) -> str:
    return "NOT " if negated else ""


def _between(between: ast.Between) -> str:
    low, high = format_value(between.low), format_value(between.high)
    return f"{format_value(between.operand)} {_not(between.negated)}BETWEEN {low} AND {high}"


def _like(like: ast.Like) -> str:
    escape = "" if like.escape is None else f" ESCAPE {format_string(like.escape)}"
    operand = format_value(like.operand)
    return f"{operand} {_not(like.negated)}LIKE {format_value(like.pattern)}{escape}"


def _case(case: ast.Case) -> str:
    parts = ["CASE"]
    if case.operand is not None:
        parts.append(format_value(case.operand))
    for when in case.whens:
        condition, result = format_expression(when.condition), format_expression(when.result)
        parts.append(f"WHEN {condition} THEN {result}")
    if case.default is not None:
        parts.append(f"ELSE {format_expression(case.default)}")
    return " ".join([*parts, "END"])


def _map(constructor: ast.MapConstructor) -> str:
    entries = (f"{format_expression(k)} := {format_expression(v)}" for k, v in constructor.entries)
    return f"MAP({', '.join(entries)})"


def _struct(constructor: ast.StructConstructor) -> str:
    fields = (f"{format_name(n)} := {format_expression(v)}" for n, v in constructor.fields)
    return f"STRUCT({', '.join(fields)})"


# Each renderer takes nodes of the type it stands under.
_RENDERERS: dict[type[ast.Expression], tuple[Callable[[Any], str], int]] = {
    ast.NullLiteral: (lambda e: "NULL", _PRIMARY),
    ast.BooleanLiteral: (lambda e: "TRUE" if e.value else "FALSE", _PRIMARY),
    ast.IntegerLiteral: (lambda e: str(e.value), _PRIMARY),
    ast.DecimalLiteral: (_decimal, _PRIMARY),
    ast.DoubleLiteral: (_double, _PRIMARY),
    ast.StringLiteral: (lambda e: format_string(e.value), _PRIMARY),
    ast.TypedLiteral: (lambda e: f"{e.kind} {format_string(e.text)}", _PRIMARY),
    ast.TimeUnit: (lambda e: str(e.name), _PRIMARY),
    ast.ColumnRef: (_column, _PRIMARY),
    ast.FieldAccess: (lambda e: f"{format_base(e.base)}->{format_name(e.field_name)}", _POSTFIX),
    ast.Subscript: (lambda e: f"{format_base(e.base)}[{format_value(e.index)}]", _POSTFIX),
    ast.FunctionCall: (_call, _PRIMARY),
    ast.Lambda: (_lambda, _OR),
    ast.Negation: (_negation, _SIGN),
    ast.Comparison: (_comparison, _PREDICATE),
    ast.Not: (lambda e: f"NOT {_format(e.operand, _NOT)}", _NOT),
    ast.IsNull: (
        lambda e: f"{format_value(e.operand)} IS {_not(e.negated)}NULL",
        _PREDICATE,
    ),
    ast.Between: (_between, _PREDICATE),
    ast.In: (
        lambda e: f"{format_value(e.operand)} {_not(e.negated)}IN ({_list(e.items)})",
        _PREDICATE,
    ),
    ast.Like: (_like, _PREDICATE),
    ast.Case: (_case, _PRIMARY),
    ast.Cast: (
        lambda e: f"CAST({format_expression(e.operand)} AS {format_type(e.type)})",
        _PRIMARY,
    ),
    ast.ArrayConstructor: (lambda e: f"ARRAY[{_list(e.items)}]", _PRIMARY),
    ast.MapConstructor: (_map, _PRIMARY),
    ast.StructConstructor: (_struct, _PRIMARY),
    ast.AtTimeZone: (
        lambda e: f"{_format(e.operand, _ZONE)} AT TIME ZONE {format_string(e.zone)}",
        _ZONE,
    ),
}
