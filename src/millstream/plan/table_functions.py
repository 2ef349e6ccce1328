"""Table functions in SELECT: each call becomes a column of its own, with a row per value."""

from __future__ import annotations

from millstream import types as t
from millstream.errors import SemanticError
from millstream.functions.registry import Registry
from millstream.plan import nodes, typed
from millstream.plan.overloads import resolve_call
from millstream.plan.relations import Built
from millstream.plan.scope import Scope
from millstream.plan.select import Item
from millstream.plan.trees import walk
from millstream.plan.typing import type_expression
from millstream.sql import ast


class FlatScope(Scope):
    """The columns below, and in place of each call of a table function its column."""

    def __init__(self, below: Scope, columns: dict[ast.Expression, typed.Column]) -> None:
        super().__init__(below.columns, below.clause)
        self._calls = columns

    def substitute(self, expression: ast.Expression) -> typed.Expression | None:
        """The column of a table function's call, None for anything else."""
        return self._calls.get(expression)


def table_calls(items: list[Item], registry: Registry) -> list[ast.FunctionCall]:
    """The calls of table functions in a SELECT list, each once; they do not nest."""
    found: list[ast.FunctionCall] = []
    for item in items:
        for part in walk(item.expression):
            if isinstance(part, ast.FunctionCall) and registry.is_table_function(part.name):
                _refuse_nested(part, registry)
                if part not in found:
                    found.append(part)
    return found


def _refuse_nested(call: ast.FunctionCall, registry: Registry) -> None:
    for argument in call.arguments:
        for part in walk(argument):
            if isinstance(part, ast.FunctionCall) and registry.is_table_function(part.name):
                raise SemanticError(
                    f"{part.name} inside {call.name}: table functions do not nest", part.position
                )


def flatten(
    built: Built, calls: list[ast.FunctionCall], registry: Registry
) -> tuple[Built, dict[ast.Expression, int]]:
    """The relation with a column behind the others for each call; where each call's column is."""
    if built.node.is_table:
        raise SemanticError(
            f"the table function {calls[0].name} is for streams, not for tables",
            calls[0].position,
        )
    scope = Scope(built.visible, "SELECT")
    columns = list(built.node.schema.columns)
    expressions: list[typed.Expression] = []
    places: dict[ast.Expression, int] = {}
    for call in calls:
        arguments = [type_expression(a, scope, registry) for a in call.arguments]
        variants = registry.tables[call.name].variants
        resolved = resolve_call(call.name, variants, arguments, call.position)
        places[call] = len(columns)
        columns.append(t.Column(f"$ROWS_{len(expressions)}", resolved.type))
        expressions.append(
            typed.Call(
                name=call.name,
                variant=resolved.variant,
                arguments=resolved.arguments,
                type=t.Array(resolved.type),
                position=call.position,
            )
        )
    node = nodes.FlatMap(
        schema=t.Schema(tuple(columns)),
        is_table=False,
        window=built.node.window,
        input=built.node,
        lists=tuple(expressions),
    )
    return Built(node, built.visible, built.keys, built.synthetic), places
