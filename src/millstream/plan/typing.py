"""From the syntax tree to typed expressions: names resolved, types known, conversions explicit."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Protocol

from millstream import types as t
from millstream.errors import SemanticError
from millstream.functions.registry import Registry
from millstream.functions.time_text import parse_date, parse_time, parse_timestamp
from millstream.plan import typed
from millstream.plan.coercion import (
    arithmetic_type,
    as_decimal,
    castable,
    coerce,
    common_of,
    common_type,
    comparable,
    comparison_type,
    decimal_of_value,
)
from millstream.plan.overloads import Argument, resolve_call, suggestion
from millstream.plan.string_plus import STRING_PLUS
from millstream.sql import ast

TIMESTAMP_COLUMNS = ("ROWTIME", "WINDOWSTART", "WINDOWEND")
"""BIGINT columns that compare with text as if it were a timestamp."""


class Scope(Protocol):
    """What the names in an expression mean.

    A scope may also have `substitute(expression) -> typed.Expression | None`, asked first about
    every node (an aggregate's result, a grouping expression), and `named_type(name) -> SqlType`.
    """

    def resolve(self, ref: ast.ColumnRef) -> typed.Column:
        """The column; SemanticError, best made by `unknown_column`, where there is none."""
        ...


class NoColumns:
    """The scope of constants: every column is an error."""

    def resolve(self, ref: ast.ColumnRef) -> typed.Column:
        """Always a SemanticError."""
        raise SemanticError(
            f"column {ref.name} cannot be used here: only constants can",
            ref.position,
            hint="Text stands between single quotes.",
        )


def type_expression(
    expression: ast.Expression,
    scope: Scope,
    registry: Registry,
    expected: t.SqlType | None = None,
) -> typed.Expression:
    """The typed form of an expression; with `expected`, converted to it where that is implicit.

    The type is None only for a bare NULL without `expected`. Raises SemanticError with position.
    """
    result = _Typer(scope, registry).visit(expression)
    return result if expected is None else convert(result, expected)


def type_predicate(
    expression: ast.Expression, scope: Scope, registry: Registry
) -> typed.Expression:
    """The typed form of a condition; SemanticError where it is not BOOLEAN."""
    return _boolean(type_expression(expression, scope, registry), "the condition")


def convert(expression: typed.Expression, target: t.SqlType) -> typed.Expression:
    """The expression as `target`, where the conversion is implicit; SemanticError otherwise."""
    if expression.type is None or expression.type == target:
        return coerce(expression, target)
    if common_of(expression.type, target) != target:
        raise SemanticError(
            f"{expression.type} does not convert to {target} here",
            expression.position,
            hint=f"Write CAST(.. AS {target}).",
        )
    return coerce(expression, target)


def literal_value(expression: ast.Expression) -> Any:
    """The Python value of a literal, a negated number included; SemanticError for the rest."""
    result = _Typer(NoColumns(), Registry()).visit(expression)
    if not isinstance(result, typed.Literal):
        raise SemanticError("a literal is needed here", expression.position)
    return result.value


def unknown_column(ref: ast.ColumnRef, known: Iterable[str]) -> SemanticError:
    """The error for a column that does not exist, with the closest name there is."""
    shown = ref.name if ref.source is None else f"{ref.source}.{ref.name}"
    return SemanticError(
        f"column {shown} does not exist", ref.position, hint=suggestion(ref.name, known)
    )


class _Typer:
    """Types one expression; lambdas' variables live in `_variables`, innermost last."""

    def __init__(self, scope: Scope, registry: Registry) -> None:
        self._scope = scope
        self._registry = registry
        self._variables: list[dict[str, typed.Variable]] = []
        self._serial = itertools.count()
        self._substitute = getattr(scope, "substitute", None)

    def visit(self, node: ast.Expression) -> typed.Expression:
        if self._substitute is not None:
            replaced: typed.Expression | None = self._substitute(node)
            if replaced is not None:
                return replaced
        method = getattr(self, "_" + type(node).__name__, None)
        if method is None:
            raise SemanticError("this expression cannot be used here", node.position)
        result: typed.Expression = method(node)
        return result

    # --- literals and names ---

    def _NullLiteral(self, node: ast.NullLiteral) -> typed.Expression:
        return typed.Literal(type=None, value=None, position=node.position)

    def _BooleanLiteral(self, node: ast.BooleanLiteral) -> typed.Expression:
        return typed.Literal(type=t.BOOLEAN, value=node.value, position=node.position)

    def _IntegerLiteral(self, node: ast.IntegerLiteral) -> typed.Expression:
        return _integer(node.value, node)

    def _DecimalLiteral(self, node: ast.DecimalLiteral) -> typed.Expression:
        sql_type = decimal_of_value(node.value)
        return typed.Literal(type=sql_type, value=node.value, position=node.position)

    def _DoubleLiteral(self, node: ast.DoubleLiteral) -> typed.Expression:
        return typed.Literal(type=t.DOUBLE, value=node.value, position=node.position)

    def _StringLiteral(self, node: ast.StringLiteral) -> typed.Expression:
        return typed.Literal(type=t.STRING, value=node.value, position=node.position)

    def _TypedLiteral(self, node: ast.TypedLiteral) -> typed.Expression:
        sql_type = t.PRIMITIVES[node.kind]
        parse = {t.DATE: parse_date, t.TIME: parse_time, t.TIMESTAMP: parse_timestamp}[sql_type]
        try:
            value = parse(node.text)
        except ValueError as error:
            raise SemanticError(str(error), node.position) from error
        return typed.Literal(type=sql_type, value=value, position=node.position)

    def _ColumnRef(self, node: ast.ColumnRef) -> typed.Expression:
        if node.source is None:
            for variables in reversed(self._variables):
                if node.name in variables:
                    return replace(variables[node.name], position=node.position)
        return replace(self._scope.resolve(node), position=node.position)

    def _TimeUnit(self, node: ast.TimeUnit) -> typed.Expression:
        raise SemanticError(
            f"{node.name} is a unit of time, and no function here takes one", node.position
        )

    # --- access ---

    def _FieldAccess(self, node: ast.FieldAccess) -> typed.Expression:
        base = self.visit(node.base)
        if not isinstance(base.type, t.Struct):
            raise SemanticError(
                f"-> needs a STRUCT on its left, and this is {_name(base)}", node.position
            )
        field = base.type.field(node.field_name)
        if field is None:
            raise SemanticError(
                f"the struct has no field {node.field_name}",
                node.position,
                hint=suggestion(node.field_name, (f.name for f in base.type.fields))
                or f"Its fields: {', '.join(f.name for f in base.type.fields)}.",
            )
        return typed.FieldOf(
            type=field.type, base=base, field_name=field.name, position=node.position
        )

    def _Subscript(self, node: ast.Subscript) -> typed.Expression:
        base, index = self.visit(node.base), self.visit(node.index)
        match base.type:
            case t.Array(item):
                if index.type not in (t.INTEGER, t.BIGINT):
                    raise SemanticError(
                        f"an array's index is a whole number, not {_name(index)}",
                        index.position or node.position,
                    )
                return typed.ItemAt(type=item, base=base, index=index, position=node.position)
            case t.Map(key_type, value):
                key = convert(index, key_type)
                return typed.ValueAt(type=value, base=base, key=key, position=node.position)
        hint = "Write -> for a struct's field." if isinstance(base.type, t.Struct) else None
        raise SemanticError(
            f"[..] needs an ARRAY or a MAP, and this is {_name(base)}", node.position, hint=hint
        )

    # --- functions ---

    def _FunctionCall(self, node: ast.FunctionCall) -> typed.Expression:
        function = self._registry.scalars.get(node.name)
        if function is None:
            raise self._not_scalar(node)
        arguments = [self._argument(a) for a in node.arguments]
        resolved = resolve_call(
            node.name, function.variants, arguments, node.position, self._lambda
        )
        return typed.Call(
            type=resolved.type,
            name=node.name,
            variant=resolved.variant,
            arguments=resolved.arguments,
            position=node.position,
        )

    def _argument(self, node: ast.Expression) -> Argument:
        return node if isinstance(node, ast.Lambda | ast.TimeUnit) else self.visit(node)

    def _lambda(self, node: ast.Lambda, types: Sequence[t.SqlType]) -> typed.Lambda:
        parameters = tuple(
            typed.Variable(type=sql_type, name=f"{name}#{next(self._serial)}")
            for name, sql_type in zip(node.parameters, types, strict=True)
        )
        self._variables.append(dict(zip(node.parameters, parameters, strict=True)))
        try:
            body = self.visit(node.body)
        finally:
            self._variables.pop()
        return typed.Lambda(
            type=body.type, parameters=parameters, body=body, position=node.position
        )

    def _not_scalar(self, node: ast.FunctionCall) -> SemanticError:
        if self._registry.is_aggregate(node.name):
            return SemanticError(
                f"the aggregate function {node.name} cannot be used here",
                node.position,
                hint="Aggregates stand in SELECT and HAVING of a query with GROUP BY.",
            )
        if self._registry.is_table_function(node.name):
            return SemanticError(
                f"the table function {node.name} cannot be used here",
                node.position,
                hint="Table functions stand in SELECT, not inside other expressions.",
            )
        return SemanticError(
            f"function {node.name} does not exist",
            node.position,
            hint=suggestion(node.name, self._registry.names())
            or "SHOW FUNCTIONS lists the functions there are.",
        )

    def _Lambda(self, node: ast.Lambda) -> typed.Expression:
        raise SemanticError("a lambda can only be a function's argument", node.position)

    def _Cast(self, node: ast.Cast) -> typed.Expression:
        operand = self.visit(node.operand)
        target = node.type
        if isinstance(target, t.NamedType):
            raise SemanticError(
                f"{target.name} cannot be used here",
                node.position,
                hint="Write out what the type stands for.",
            )
        if operand.type is None:
            return replace(operand, type=target, position=node.position)
        if not castable(operand.type, target):
            raise SemanticError(f"{operand.type} cannot be cast to {target}", node.position)
        return typed.Cast(type=target, operand=operand, position=node.position)

    # --- arithmetic ---

    def _Negation(self, node: ast.Negation) -> typed.Expression:
        if node.op == "-" and isinstance(node.operand, ast.IntegerLiteral):
            return _integer(-node.operand.value, node)
        operand = self.visit(node.operand)
        if operand.type is None or not t.is_numeric(operand.type):
            raise SemanticError(
                f"{node.op} needs a number, and this is {_name(operand)}", node.position
            )
        if node.op == "+":
            return operand
        if isinstance(operand, typed.Literal):
            return replace(operand, value=_opposite(operand.value), position=node.position)
        return typed.Negation(type=operand.type, operand=operand, position=node.position)

    def _Arithmetic(self, node: ast.Arithmetic) -> typed.Expression:
        left, right = self.visit(node.left), self.visit(node.right)
        if node.op == "+" and left.type == right.type == t.STRING:
            return typed.Call(
                type=t.STRING,
                name="CONCAT",
                variant=STRING_PLUS,
                arguments=(left, right),
                position=node.position,
            )
        result = (
            None
            if left.type is None or right.type is None
            else arithmetic_type(node.op, left.type, right.type)
        )
        if result is None or left.type is None or right.type is None:
            raise SemanticError(
                f"{node.op} needs numbers, and these are {_name(left)} and {_name(right)}",
                node.position,
                hint="CAST text to a number first."
                if t.STRING in (left.type, right.type)
                else None,
            )
        if isinstance(result, t.Decimal):
            left = coerce(left, as_decimal(left.type))
            right = coerce(right, as_decimal(right.type))
        else:
            left, right = coerce(left, result), coerce(right, result)
        return typed.Arithmetic(
            type=result, op=node.op, left=left, right=right, position=node.position
        )

    # --- conditions ---

    def _Comparison(self, node: ast.Comparison) -> typed.Expression:
        return self._compare(node.op, node.left, node.right, node)

    def _compare(
        self, op: str, left_node: ast.Expression, right_node: ast.Expression, at: ast.Node
    ) -> typed.Expression:
        left, right = self.visit(left_node), self.visit(right_node)
        if left.type is None or right.type is None:
            raise SemanticError(
                f"NULL cannot be compared with {op}",
                at.position,
                hint="Write IS NULL or IS NOT NULL.",
            )
        if _is_timestamp_column(left_node, left):
            right = _as_timestamp_literal(right)
        elif _is_timestamp_column(right_node, right):
            left = _as_timestamp_literal(left)
        assert left.type is not None
        assert right.type is not None
        if not comparable(op, left.type, right.type):
            raise SemanticError(
                f"{left.type} and {right.type} cannot be compared with {op}",
                at.position,
                hint="CAST one side to the type of the other."
                if type(left.type) is t.Primitive
                else None,
            )
        meeting = comparison_type(left.type, right.type)
        if meeting is not None:
            left, right = coerce(left, meeting), coerce(right, meeting)
        return typed.Comparison(type=t.BOOLEAN, op=op, left=left, right=right, position=at.position)

    def _Between(self, node: ast.Between) -> typed.Expression:
        low = self._compare(">=", node.operand, node.low, node)
        high = self._compare("<=", node.operand, node.high, node)
        both = typed.Logical(type=t.BOOLEAN, op="AND", left=low, right=high, position=node.position)
        return self._negated_if(both, node.negated)

    def _negated_if(self, expression: typed.Expression, negated: bool) -> typed.Expression:
        if not negated:
            return expression
        return typed.Not(type=t.BOOLEAN, operand=expression, position=expression.position)

    def _Logical(self, node: ast.Logical) -> typed.Expression:
        left = _boolean(self.visit(node.left), node.op)
        right = _boolean(self.visit(node.right), node.op)
        return typed.Logical(
            type=t.BOOLEAN, op=node.op, left=left, right=right, position=node.position
        )

    def _Not(self, node: ast.Not) -> typed.Expression:
        operand = _boolean(self.visit(node.operand), "NOT")
        return typed.Not(type=t.BOOLEAN, operand=operand, position=node.position)

    def _IsNull(self, node: ast.IsNull) -> typed.Expression:
        operand = self.visit(node.operand)
        return typed.IsNull(
            type=t.BOOLEAN, operand=operand, negated=node.negated, position=node.position
        )

    def _In(self, node: ast.In) -> typed.Expression:
        operand = self.visit(node.operand)
        if operand.type is None:
            raise SemanticError("NULL is never IN a list", node.position, hint="Write IS NULL.")
        items = [i for i in map(self.visit, node.items) if i.type is not None]
        common = common_type([operand, *items])
        assert common is not None
        found = typed.In(
            type=t.BOOLEAN,
            operand=coerce(operand, common),
            items=tuple(coerce(i, common) for i in items),
            position=node.position,
        )
        return self._negated_if(found, node.negated)

    def _Like(self, node: ast.Like) -> typed.Expression:
        operand, pattern = self.visit(node.operand), self.visit(node.pattern)
        for side in (operand, pattern):
            if side.type not in (t.STRING, None):
                raise SemanticError(
                    f"LIKE needs STRING on both sides, and this is {side.type}",
                    side.position or node.position,
                    hint="Write CAST(.. AS STRING).",
                )
        if node.escape is not None and len(node.escape) != 1:
            raise SemanticError("ESCAPE takes exactly one character", node.position)
        like = typed.Like(
            type=t.BOOLEAN,
            operand=coerce(operand, t.STRING),
            pattern=coerce(pattern, t.STRING),
            escape=node.escape,
            position=node.position,
        )
        return self._negated_if(like, node.negated)

    def _Case(self, node: ast.Case) -> typed.Expression:
        conditions = [
            _boolean(self.visit(w.condition), "WHEN")
            if node.operand is None
            else self._compare("=", node.operand, w.condition, w)
            for w in node.whens
        ]
        results = [self.visit(w.result) for w in node.whens]
        default = None if node.default is None else self.visit(node.default)
        common = common_type([*results, *([] if default is None else [default])])
        if common is None:
            raise SemanticError(
                "every result of this CASE is NULL",
                node.position,
                hint="CAST one of them to a type.",
            )
        return typed.Case(
            type=common,
            whens=tuple((c, coerce(r, common)) for c, r in zip(conditions, results, strict=True)),
            default=None if default is None else coerce(default, common),
            position=node.position,
        )

    # --- constructors ---

    def _ArrayConstructor(self, node: ast.ArrayConstructor) -> typed.Expression:
        if not node.items:
            raise SemanticError("ARRAY[] needs at least one item", node.position)
        items = [self.visit(i) for i in node.items]
        common = _common_or_error(items, "an array whose items are all NULL", node)
        return typed.MakeArray(
            type=t.Array(common),
            items=tuple(coerce(i, common) for i in items),
            position=node.position,
        )

    def _MapConstructor(self, node: ast.MapConstructor) -> typed.Expression:
        if not node.entries:
            raise SemanticError("MAP() needs at least one entry", node.position)
        keys = [self.visit(k) for k, _ in node.entries]
        values = [self.visit(v) for _, v in node.entries]
        key = _common_or_error(keys, "a map whose keys are all NULL", node)
        value = _common_or_error(values, "a map whose values are all NULL", node)
        return typed.MakeMap(
            type=t.Map(key, value),
            entries=tuple(
                (coerce(k, key), coerce(v, value)) for k, v in zip(keys, values, strict=True)
            ),
            position=node.position,
        )

    def _StructConstructor(self, node: ast.StructConstructor) -> typed.Expression:
        names = [name for name, _ in node.fields]
        if len(set(names)) < len(names):
            twice = next(n for n in names if names.count(n) > 1)
            raise SemanticError(f"STRUCT names the field {twice} twice", node.position)
        values = [self.visit(v) for _, v in node.fields]
        fields = []
        for name, value in zip(names, values, strict=True):
            if value.type is None:
                raise SemanticError(
                    f"the field {name} has no type: its value is NULL",
                    value.position or node.position,
                    hint="CAST the NULL to a type.",
                )
            fields.append(t.Field(name, value.type))
        return typed.MakeStruct(
            type=t.Struct(tuple(fields)), values=tuple(values), position=node.position
        )

    def _AtTimeZone(self, node: ast.AtTimeZone) -> typed.Expression:
        raise SemanticError(
            "AT TIME ZONE has no meaning in ksqlDB", node.position, hint="Use CONVERT_TZ."
        )


def _integer(value: int, node: ast.Node) -> typed.Literal:
    if -(2**31) <= value < 2**31:
        sql_type: t.SqlType = t.INTEGER
    elif -(2**63) <= value < 2**63:
        sql_type = t.BIGINT
    else:
        raise SemanticError(
            f"{value} is out of the range of BIGINT",
            node.position,
            hint="Write a point to make it a DECIMAL, or an exponent to make it a DOUBLE.",
        )
    return typed.Literal(type=sql_type, value=value, position=node.position)


def _opposite(value: Any) -> Any:
    """The negated constant, every digit kept; an exact zero has no sign."""
    if isinstance(value, Decimal):
        return value.copy_negate() if value else value
    return -value


def _name(expression: typed.Expression) -> str:
    return "NULL" if expression.type is None else str(expression.type)


def _boolean(expression: typed.Expression, where: str) -> typed.Expression:
    if expression.type != t.BOOLEAN:
        raise SemanticError(
            f"{where} needs a BOOLEAN, and this is {_name(expression)}", expression.position
        )
    return expression


def _is_timestamp_column(node: ast.Expression, expression: typed.Expression) -> bool:
    return (
        isinstance(node, ast.ColumnRef)
        and node.name in TIMESTAMP_COLUMNS
        and expression.type == t.BIGINT
    )


def _as_timestamp_literal(expression: typed.Expression) -> typed.Expression:
    if not isinstance(expression, typed.Literal) or expression.type != t.STRING:
        return expression
    try:
        ms = parse_timestamp(expression.value)
    except ValueError as error:
        raise SemanticError(
            str(error),
            expression.position,
            hint="Write it like '2020-01-31T12:59:59.123+0000', or a leading part of that.",
        ) from error
    return typed.Literal(type=t.BIGINT, value=ms, position=expression.position)


def _common_or_error(items: list[typed.Expression], what: str, node: ast.Node) -> t.SqlType:
    common = common_type(items)
    if common is None:
        raise SemanticError(
            f"{what} has no type", node.position, hint="CAST one of the NULLs to a type."
        )
    return common
