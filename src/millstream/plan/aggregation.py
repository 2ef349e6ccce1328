"""GROUP BY, windows and HAVING: from clauses to an aggregation and the scope behind it."""

from __future__ import annotations

from dataclasses import dataclass

from millstream import types as t
from millstream.catalog.model import WindowInfo
from millstream.errors import SemanticError
from millstream.functions.registry import AggregateVariant, Registry
from millstream.plan import nodes, typed
from millstream.plan.overloads import resolve_call, signature_text
from millstream.plan.relations import DEFAULT_GRACE_MS, Built
from millstream.plan.scope import WINDOW_COLUMNS, Scope
from millstream.plan.select import Item
from millstream.plan.trees import column_refs, walk
from millstream.plan.typing import type_expression
from millstream.sql import ast
from millstream.sql.formatter import format_expression

MOST_WINDOWS = 100_000
"""How many hopping windows a row may fall into: each is a row of the result."""
_WINDOW_NAMES = frozenset(name for name, _ in WINDOW_COLUMNS)


@dataclass(frozen=True, slots=True)
class Grouping:
    """The clauses of an aggregation, their columns qualified."""

    keys: tuple[ast.Expression, ...]
    window: ast.Window | None
    having: ast.Expression | None
    items: list[Item]
    final: bool


def window_spec(window: ast.Window, *, final: bool) -> nodes.WindowSpec:
    """A window's times in ms. Without GRACE PERIOD late rows wait 24 hours less the window's
    size, and not at all under EMIT FINAL; a store keeps size + grace, or RETENTION if longer."""
    match window:
        case ast.TumblingWindow(size=size):
            kind, size_ms, advance_ms = "TUMBLING", size.ms, size.ms
        case ast.HoppingWindow(size=size, advance=advance):
            kind, size_ms, advance_ms = "HOPPING", size.ms, advance.ms
        case ast.SessionWindow(gap=gap):
            kind, size_ms, advance_ms = "SESSION", gap.ms, gap.ms
        case _:
            raise TypeError(f"unknown window {window}")
    if size_ms <= 0 or advance_ms <= 0:
        raise SemanticError("a window must last at least one millisecond", window.position)
    if advance_ms > size_ms:
        raise SemanticError(
            "a hopping window cannot advance by more than its size",
            window.position,
            hint="Rows between the windows would belong to none.",
        )
    if size_ms > advance_ms * MOST_WINDOWS:
        raise SemanticError(
            f"each row would fall into {-(-size_ms // advance_ms)} windows, which are more than"
            f" {MOST_WINDOWS}",
            window.position,
            hint="Advance by more, or make the window smaller.",
        )
    if window.grace is not None:
        grace_ms = window.grace.ms
    else:
        grace_ms = 0 if final else max(DEFAULT_GRACE_MS - size_ms, 0)
    retention_ms = size_ms + grace_ms
    if window.retention is not None:
        retention_ms = max(retention_ms, window.retention.ms)
    return nodes.WindowSpec(kind, size_ms, advance_ms, grace_ms, retention_ms)


class AfterScope:
    """What SELECT and HAVING see behind an aggregation: grouping expressions, aggregates' results
    and, in SELECT, the window's bounds. Anything else is an error."""

    def __init__(self, aggregation: AggregationBuilder, clause: str, *, bounds: bool) -> None:
        self.aggregation = aggregation
        self.clause = clause
        self.bounds = bounds

    def substitute(self, expression: ast.Expression) -> typed.Expression | None:
        """The column that holds a grouping expression or an aggregate, else None."""
        built = self.aggregation
        for index, key in enumerate(built.grouping.keys):
            if expression == key:
                return built.output_column(index, expression)
        if isinstance(expression, ast.FunctionCall) and built.registry.is_aggregate(
            expression.name
        ):
            return built.output_column(len(built.keys) + built.call(expression), expression)
        if isinstance(expression, ast.ColumnRef) and expression.name in _WINDOW_NAMES:
            return self._window_bound(expression)
        return None

    def resolve(self, ref: ast.ColumnRef) -> typed.Column:
        """Always an error: a column is neither grouped by nor aggregated."""
        shown = format_expression(ref)
        raise SemanticError(
            f"{self.clause}: {shown} is neither part of GROUP BY nor inside an aggregate",
            ref.position,
            hint=f"Add it to GROUP BY, or aggregate it: for example LATEST_BY_OFFSET({shown}).",
        )

    def _window_bound(self, ref: ast.ColumnRef) -> typed.Expression | None:
        built = self.aggregation
        if built.grouping.window is None:
            return None
        if not self.bounds:
            raise SemanticError(
                f"{self.clause}: {ref.name} can be used in SELECT only", ref.position
            )
        offset = 0 if ref.name == "WINDOWSTART" else 1
        return built.output_column(len(built.keys) + len(built.calls) + offset, ref)


class AggregationBuilder:
    """Builds the aggregation of a query over the relation below it."""

    def __init__(self, below: Built, grouping: Grouping, registry: Registry) -> None:
        self.below = below
        self.grouping = grouping
        self.registry = registry
        self.scope = Scope(below.visible, "GROUP BY")
        self.keys: list[typed.Expression] = []
        self.arguments: list[typed.Expression] = []
        self.calls: list[nodes.AggregateCall] = []
        self._argument_index: dict[ast.Expression, int] = {}
        self._call_index: dict[ast.Expression, int] = {}
        self._check_group_keys()
        self.keys = [self._key(k) for k in grouping.keys]
        self._collect()

    def build(self, names: list[str]) -> nodes.Aggregate:
        """The aggregation; `names` are those of its key columns.

        Its schema: the keys, a column for each call, and the window's bounds where there is one.
        """
        spec = None
        if self.grouping.window is not None:
            spec = window_spec(self.grouping.window, final=self.grouping.final)
        results = [(f"AGGREGATE_{i}", c.result) for i, c in enumerate(self.calls)]
        if spec is not None:
            results += list(WINDOW_COLUMNS)
        key_types = [k.type for k in self.keys]
        schema = t.Schema.of(
            [(n, kt) for n, kt in zip(names, key_types, strict=True) if kt is not None], results
        )
        return nodes.Aggregate(
            schema=schema,
            is_table=True,
            window=None if spec is None else _window_info(spec),
            input=self.below.node,
            keys=tuple(self.keys),
            arguments=tuple(self.arguments),
            calls=tuple(self.calls),
            spec=spec,
            final=self.grouping.final,
            rekeyed=not self._same_key(),
        )

    def output_column(self, index: int, expression: ast.Expression) -> typed.Column:
        """A column of the aggregation's schema, standing for `expression`."""
        types: list[t.SqlType | None] = [k.type for k in self.keys]
        types += [c.result for c in self.calls] + [t.BIGINT, t.BIGINT]
        name = expression.name if isinstance(expression, ast.ColumnRef) else f"$ {index}"
        return typed.Column(type=types[index], index=index, name=name, position=expression.position)

    def call(self, expression: ast.FunctionCall) -> int:
        """The index of an aggregate's call."""
        return self._call_index[expression]

    # --- checks ------------------------------------------------------------------------------

    def _check_group_keys(self) -> None:
        seen: list[ast.Expression] = []
        for key in self.grouping.keys:
            if key in seen:
                raise SemanticError(f"GROUP BY names {format_expression(key)} twice", key.position)
            seen.append(key)
            refuse_aggregates(key, self.registry, "GROUP BY")
            if self.grouping.window is not None:
                _refuse_bounds(key, "GROUP BY", self.below)

    def _key(self, expression: ast.Expression) -> typed.Expression:
        result = type_expression(expression, self.scope, self.registry)
        if result.type is None:
            raise SemanticError("GROUP BY cannot group by NULL", expression.position)
        return result

    def _same_key(self) -> bool:
        key = self.below.node.schema.key
        if len(key) != len(self.keys) or not key:
            return False
        return all(
            isinstance(k, typed.Column) and self._holds_key(k.index, i)
            for i, k in enumerate(self.keys)
        )

    def _holds_key(self, index: int, place: int) -> bool:
        if index == place:
            return True
        if place >= len(self.below.keys):
            return False
        names = self.below.keys[place]
        return any(v.index == index and (v.source, v.name) in names for v in self.below.visible)

    # --- calls -------------------------------------------------------------------------------

    def _collect(self) -> None:
        expressions = [i.expression for i in self.grouping.items]
        if self.grouping.having is not None:
            expressions.append(self.grouping.having)
        for expression in expressions:
            for part in walk(expression):
                if isinstance(part, ast.FunctionCall) and self.registry.is_aggregate(part.name):
                    self._add_call(part)
        if not self.calls:
            raise SemanticError(
                "GROUP BY needs an aggregate function in SELECT or HAVING",
                self.grouping.keys[0].position,
                hint="For example COUNT(*).",
            )

    def _add_call(self, call: ast.FunctionCall) -> None:
        if call in self._call_index:
            return
        for argument in call.arguments:
            for part in walk(argument):
                if isinstance(part, ast.FunctionCall) and self.registry.is_aggregate(part.name):
                    raise SemanticError(
                        f"{part.name} inside {call.name}: aggregates do not nest", part.position
                    )
            if self.grouping.window is not None:
                _refuse_bounds(argument, call.name, self.below)
        function = self.registry.aggregates[call.name]
        arguments = [type_expression(a, self.scope, self.registry) for a in call.arguments]
        resolved = resolve_call(call.name, function.variants, arguments, call.position)
        variant = resolved.variant
        if self.below.node.is_table and not variant.table_capable:
            raise SemanticError(
                f"{call.name} cannot be applied to a table, only to a stream", call.position
            )
        plain, literals = _split_literals(call, variant, list(resolved.arguments))
        indices = tuple(self._argument(a, e) for a, e in plain)
        aggregator = variant.make([e.type or t.STRING for _, e in plain], literals)
        self._call_index[call] = len(self.calls)
        self.calls.append(
            nodes.AggregateCall(call.name, aggregator, indices, resolved.type, tuple(literals))
        )

    def _argument(self, written: ast.Expression, expression: typed.Expression) -> int:
        known = self._argument_index.get(written)
        if known is not None and self.arguments[known] == expression:
            return known
        self._argument_index[written] = len(self.arguments)
        self.arguments.append(expression)
        return len(self.arguments) - 1


def _split_literals(
    call: ast.FunctionCall, variant: AggregateVariant, arguments: list[typed.Expression]
) -> tuple[list[tuple[ast.Expression, typed.Expression]], list[object]]:
    """Arguments that are computed per row, and the values of trailing ones that are constants."""
    first = len(arguments) - variant.literals
    values: list[object] = []
    for written, argument in zip(call.arguments[first:], arguments[first:], strict=True):
        if not isinstance(argument, typed.Literal):
            raise SemanticError(
                f"{call.name}: this argument must be a constant",
                written.position,
                hint=f"Its form is {signature_text(call.name, variant)}.",
            )
        values.append(argument.value)
    return list(zip(call.arguments[:first], arguments[:first], strict=True)), values


def refuse_aggregates(expression: ast.Expression, registry: Registry, clause: str) -> None:
    """SemanticError where a clause that must not hold aggregates or table functions does."""
    for part in walk(expression):
        if isinstance(part, ast.FunctionCall):
            if registry.is_aggregate(part.name):
                raise SemanticError(
                    f"{clause} cannot hold the aggregate function {part.name}", part.position
                )
            if registry.is_table_function(part.name):
                raise SemanticError(
                    f"{clause} cannot hold the table function {part.name}", part.position
                )


def _refuse_bounds(expression: ast.Expression, clause: str, below: Built) -> None:
    if below.node.window is not None:
        return
    for ref in column_refs(expression):
        if ref.name in _WINDOW_NAMES:
            raise SemanticError(
                f"{clause}: {ref.name} can be used in SELECT only, by itself or in an expression",
                ref.position,
            )


def _window_info(spec: nodes.WindowSpec) -> WindowInfo:
    return WindowInfo(spec.kind, None if spec.kind == "SESSION" else spec.size_ms)


__all__ = ["AfterScope", "AggregationBuilder", "Grouping", "refuse_aggregates", "window_spec"]
