"""FROM: the sources of a query, its joins, and the plan nodes that bring their rows together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from millstream import types as t
from millstream.catalog.catalog import Catalog, did_you_mean
from millstream.catalog.model import Source
from millstream.errors import Position, SemanticError
from millstream.functions.registry import Registry
from millstream.plan import nodes, typed
from millstream.plan.scope import Scope, Visible, pseudo_columns
from millstream.plan.trees import column_refs
from millstream.plan.typing import type_expression
from millstream.sql import ast

DEFAULT_GRACE_MS = 86_400_000
"""How long a join or window waits for late rows where nothing is written: 24 hours."""

KeyNames = frozenset[tuple[str | None, str]]
"""Columns, by source and name, that all hold the key of a relation."""

_TIME = "ROWTIME"


@dataclass(frozen=True, slots=True)
class Input:
    """A source and the alias it goes by."""

    alias: str
    source: Source
    position: Position | None


@dataclass(slots=True)
class Built:
    """A relation's plan: the node, where its columns lie, and which of them are its key.

    `keys` has one set of equivalent columns per key column, the preferred names first in `names`.
    `synthetic` is the name of a key that no column holds. `times` are the columns whose largest
    value is the event time of a row, where tables are joined.
    """

    node: nodes.Node
    visible: list[Visible]
    keys: list[KeyNames] = field(default_factory=list)
    synthetic: str | None = None
    times: tuple[int, ...] = ()


def inputs_of(relation: ast.Relation, catalog: Catalog) -> list[Input]:
    """All sources of FROM, left first; SemanticError for unknown or repeated ones."""
    if isinstance(relation, ast.Join):
        found = [*inputs_of(relation.left, catalog), *inputs_of(relation.right, catalog)]
        _check_distinct(found)
        return found
    assert isinstance(relation, ast.NamedRelation)
    source = catalog.sources.get(relation.name)
    if source is None:
        raise SemanticError(
            f"{relation.name} does not exist",
            relation.position,
            hint=did_you_mean(relation.name, catalog.sources),
        )
    return [Input(relation.alias, source, relation.position)]


def _check_distinct(inputs: list[Input]) -> None:
    last = inputs[-1]
    for other in inputs[:-1]:
        if other.alias == last.alias:
            raise SemanticError(f"two sources are called {last.alias}", last.position)
        if other.source.id == last.source.id:
            raise SemanticError(
                f"{last.source.name} cannot be joined with itself",
                last.position,
                hint="Make a second stream or table over the same topic and join that.",
            )


def full_scope(inputs: Iterable[Input], clause: str, *, window_bounds: bool = False) -> Scope:
    """Every column and pseudo column of the sources; positions in it mean nothing."""
    visible = []
    for item in inputs:
        columns = [(c.name, c.type) for c in item.source.schema]
        columns += pseudo_columns(item.source)
        if window_bounds and item.source.window is None:
            columns += [("WINDOWSTART", t.BIGINT), ("WINDOWEND", t.BIGINT)]
        visible += [Visible(item.alias, name, kind, -1) for name, kind in columns]
    return Scope(visible, clause)


class RelationBuilder:
    """Builds the nodes of FROM. `used` holds the (alias, column) pairs that the query needs."""

    def __init__(
        self,
        inputs: list[Input],
        used: set[tuple[str, str]],
        registry: Registry,
        *,
        materialise: bool,
    ) -> None:
        self.inputs = {i.alias: i for i in inputs}
        self.used = used
        self.registry = registry
        self.materialise = materialise
        self.joined = len(inputs) > 1
        self.joins_tables = self.joined and inputs[0].source.is_table

    def build(self, relation: ast.Relation) -> Built:
        """The plan of a relation."""
        if isinstance(relation, ast.Join):
            return self._join(relation)
        assert isinstance(relation, ast.NamedRelation)
        return self._read(relation.alias, materialised=self.materialise or self.joins_tables)

    def _read(self, alias: str, *, materialised: bool) -> Built:
        source = self.inputs[alias].source
        known = {c.name: c.type for c in source.schema} | dict(pseudo_columns(source))
        key = [c.name for c in source.schema.key]
        others = [n for n in known if n not in key and (alias, n) in self.used]
        if self.joins_tables and _TIME not in others:
            others.append(_TIME)
        prefix = f"{alias}_" if self.joined else ""
        columns = tuple(key + others)
        schema = t.Schema.of(
            [(prefix + n, known[n]) for n in key], [(prefix + n, known[n]) for n in others]
        )
        node = nodes.ReadSource(
            schema=schema,
            is_table=source.is_table,
            window=source.window,
            source=source,
            alias=alias,
            columns=columns,
            materialised=materialised and source.is_table,
        )
        visible = [Visible(alias, n, known[n], i) for i, n in enumerate(columns)]
        times = (columns.index(_TIME),) if self.joins_tables else ()
        return Built(node, visible, [frozenset({(alias, n)}) for n in key], times=times)

    # --- joins -----------------------------------------------------------------------------

    def _join(self, join: ast.Join) -> Built:
        left = self.build(join.left)
        right_alias = join.right.alias
        right = self._read(right_alias, materialised=True)
        left_expression, right_expression = self._sides(join, left, right)
        if left.node.window is not None or right.node.window is not None:
            keyed = _is_key(left, left_expression) and _is_key(right, right_expression)
            self._check_windows(join, left.node, right.node, keyed=keyed)
        match left.node.is_table, right.node.is_table:
            case False, True:
                return self._stream_table(join, left, right, left_expression, right_expression)
            case False, False:
                return self._stream_stream(join, left, right, left_expression, right_expression)
            case True, True:
                if join.within is not None:
                    raise SemanticError("WITHIN is for joins of two streams", join.position)
                return self._table_table(join, left, right, left_expression, right_expression)
        raise SemanticError(
            "a table cannot be joined with a stream on its right",
            join.position,
            hint="Put the stream on the left.",
        )

    def _check_windows(
        self, join: ast.Join, left: nodes.Node, right: nodes.Node, *, keyed: bool
    ) -> None:
        """Rows of windowed sources meet where key and window are the same: start for TUMBLING and
        HOPPING, both bounds for SESSION."""
        if left.window is None or right.window is None:
            windowed, plain = ("left", "right") if right.window is None else ("right", "left")
            raise SemanticError(
                f"the {windowed} side of the join is windowed and the {plain} side is not",
                join.position,
                hint="Join windowed sources with windowed sources.",
            )
        if (left.window.kind == "SESSION") != (right.window.kind == "SESSION"):
            raise SemanticError(
                f"a {left.window.kind} windowed source cannot be joined with one of"
                f" {right.window.kind} windows",
                join.position,
                hint="SESSION windows join SESSION windows; TUMBLING and HOPPING join each other.",
            )
        if not keyed:
            raise SemanticError(
                "windowed sources can be joined on their keys only",
                join.position,
                hint="Another key needs another topic, and would lose the window.",
            )
        if left.is_table or right.is_table:
            raise SemanticError("windowed tables cannot be joined", join.position)

    def _sides(
        self, join: ast.Join, left: Built, right: Built
    ) -> tuple[typed.Expression, typed.Expression]:
        condition = join.condition
        if not isinstance(condition, ast.Comparison) or condition.op != "=":
            raise SemanticError(
                "a join needs one equality: ON left.column = right.column",
                condition.position or join.position,
            )
        left_scope, right_scope = Scope(left.visible, "ON"), Scope(right.visible, "ON")
        first = self._side_of(condition.left, left, right)
        second = self._side_of(condition.right, left, right)
        if first == second:
            raise SemanticError(
                "each side of ON must name columns of exactly one of the joined sources",
                condition.position or join.position,
            )
        ordered = (condition.left, condition.right)
        if first == "right":
            ordered = (condition.right, condition.left)
        left_typed = type_expression(ordered[0], left_scope, self.registry)
        right_typed = type_expression(ordered[1], right_scope, self.registry)
        if left_typed.type != right_typed.type:
            raise SemanticError(
                f"the sides of ON have different types: {left_typed.type} and {right_typed.type}",
                condition.position or join.position,
                hint="CAST one side to the type of the other.",
            )
        return left_typed, right_typed

    def _side_of(self, expression: ast.Expression, left: Built, right: Built) -> str:
        refs = column_refs(expression)
        right_aliases = {v.source for v in right.visible}
        sides = {"right" if ref.source in right_aliases else "left" for ref in refs}
        if len(sides) != 1:
            raise SemanticError(
                "each side of ON must name columns of exactly one of the joined sources",
                expression.position,
            )
        return sides.pop()

    def _stream_table(
        self,
        join: ast.Join,
        left: Built,
        right: Built,
        left_key: typed.Expression,
        right_key: typed.Expression,
    ) -> Built:
        if join.within is not None:
            raise SemanticError("WITHIN is for joins of two streams", join.position)
        if join.kind not in (ast.JoinKind.INNER, ast.JoinKind.LEFT):
            raise SemanticError(
                f"a stream and a table have no {join.kind.value} join",
                join.position,
                hint="Use JOIN or LEFT JOIN.",
            )
        table_key = right.node.schema.key
        is_key = isinstance(right_key, typed.Column) and right_key.index == 0
        if len(table_key) != 1 or not is_key:
            raise SemanticError(
                "a stream joins a table on the table's primary key only",
                right_key.position or join.position,
                hint=f"The key of {join.right.name} is {', '.join(c.name for c in table_key)}.",
            )
        schema, visible, keys, synthetic = self._combine(
            left, right, left_key, right_key, join.kind
        )
        node = nodes.StreamTableJoin(
            schema=schema,
            is_table=False,
            left=left.node,
            right=right.node,
            kind=join.kind,
            left_key=_by_key(left, left_key),
            rekeyed=not _is_key(left, left_key),
        )
        return Built(node, visible, keys, synthetic)

    def _stream_stream(
        self,
        join: ast.Join,
        left: Built,
        right: Built,
        left_key: typed.Expression,
        right_key: typed.Expression,
    ) -> Built:
        within = join.within
        if within is None:
            raise SemanticError(
                "a join of two streams needs to know how near in time its rows must be",
                join.position,
                hint="Add WITHIN 1 HOUR, or another time, before ON.",
            )
        schema, visible, keys, synthetic = self._combine(
            left, right, left_key, right_key, join.kind
        )
        node = nodes.StreamStreamJoin(
            schema=schema,
            is_table=False,
            window=left.node.window,
            left=left.node,
            right=right.node,
            kind=join.kind,
            left_key=_by_key(left, left_key),
            right_key=right_key,
            left_rekeyed=not _is_key(left, left_key),
            right_rekeyed=not _is_key(right, right_key),
            before_ms=within.before.ms,
            after_ms=within.after.ms,
            grace_ms=None if within.grace is None else within.grace.ms,
        )
        return Built(node, visible, keys, synthetic)

    def _table_table(
        self,
        join: ast.Join,
        left: Built,
        right: Built,
        left_key: typed.Expression,
        right_key: typed.Expression,
    ) -> Built:
        if not _is_key(right, right_key):
            raise SemanticError(
                "a table is joined on its primary key, and the right side of the join is not",
                right_key.position or join.position,
                hint=f"The key of {join.right.name} is {_key_text(right)}.",
            )
        if not _is_key(left, left_key):
            return self._foreign_key(join, left, right, left_key)
        schema, visible, keys, synthetic = self._combine(
            left, right, left_key, right_key, join.kind
        )
        shift = 1 + len(left.node.schema)
        node = nodes.TableTableJoin(
            schema=schema,
            is_table=True,
            left=left.node,
            right=right.node,
            kind=join.kind,
            left_times=left.times,
            right_times=right.times,
        )
        times = (*(i + 1 for i in left.times), *(i + shift for i in right.times))
        return Built(node, visible, keys, synthetic, times)

    def _foreign_key(
        self, join: ast.Join, left: Built, right: Built, foreign_key: typed.Expression
    ) -> Built:
        """The left's rows look theirs up in the right; only at the start of several joins."""
        if join.kind not in (ast.JoinKind.INNER, ast.JoinKind.LEFT):
            raise SemanticError(
                f"a join by a foreign key has no {join.kind.value} form",
                join.position,
                hint="Use JOIN or LEFT JOIN, or join the tables on both primary keys.",
            )
        if left.synthetic is not None:
            raise SemanticError(
                "after a FULL JOIN no column holds the key, so that nothing can be joined on it",
                join.position,
                hint="Make the FULL JOIN the last one, or make a table of it and join that one.",
            )
        if not isinstance(left.node, nodes.ReadSource):
            raise SemanticError(
                "a join by a foreign key can only be the first of several joins",
                foreign_key.position or join.position,
                hint="Make a table of the joins before it, and join that one.",
            )
        assert isinstance(right.node, nodes.ReadSource)
        left_schema, right_schema = left.node.schema, right.node.schema
        values = [*left_schema.value, *right_schema.columns]
        schema = t.Schema.of(
            [(c.name, c.type) for c in left_schema.key],
            [*((c.name, c.type) for c in values), ("$ROWTIME", t.BIGINT)],
        )
        shift = len(left_schema)
        node = nodes.ForeignKeyJoin(
            schema=schema,
            is_table=True,
            left=left.node,
            right=right.node,
            kind=join.kind,
            foreign_key=foreign_key,
            right_time=right.times[0],
        )
        visible = [*left.visible]
        visible += [Visible(v.source, v.name, v.type, v.index + shift) for v in right.visible]
        return Built(node, visible, left.keys, times=(len(schema) - 1,))

    def _combine(
        self,
        left: Built,
        right: Built,
        left_key: typed.Expression,
        right_key: typed.Expression,
        kind: ast.JoinKind,
    ) -> tuple[t.Schema, list[Visible], list[KeyNames], str | None]:
        """Schema of a join: its key, then all columns of the left, then all of the right."""
        equivalent: set[tuple[str | None, str]] = set()
        if kind is not ast.JoinKind.FULL:
            for side, expression in ((left, left_key), (right, right_key)):
                if not isinstance(expression, typed.Column):
                    continue
                index = expression.index
                name = next((v.source, v.name) for v in side.visible if v.index == index)
                equivalent.add(name)
                for names in side.keys:
                    if name in names:
                        equivalent |= names
        columns = [*left.node.schema.columns, *right.node.schema.columns]
        key_type = left_key.type
        assert key_type is not None
        synthetic = None if equivalent else synthetic_key(self.inputs.values())
        key_name = synthetic or "JOIN_KEY"
        schema = t.Schema.of([(key_name, key_type)], [(c.name, c.type) for c in columns])
        shift = 1 + len(left.node.schema)
        visible = [Visible(v.source, v.name, v.type, v.index + 1) for v in left.visible]
        visible += [Visible(v.source, v.name, v.type, v.index + shift) for v in right.visible]
        if synthetic is not None:
            visible = [v for v in visible if v.source is not None]
            visible.append(Visible(None, synthetic, key_type, 0))
            return schema, visible, [frozenset({(None, synthetic)})], synthetic
        return schema, visible, [frozenset(equivalent)], None


def _is_key(side: Built, expression: typed.Expression) -> bool:
    """Whether an expression is a column that holds the side's key."""
    if not isinstance(expression, typed.Column) or len(side.keys) != 1:
        return False
    return any(
        v.index == expression.index and (v.source, v.name) in side.keys[0] for v in side.visible
    )


def _by_key(side: Built, expression: typed.Expression) -> typed.Expression:
    """The key itself in place of a column that holds it: after an outer join the column may be
    null where the key is not."""
    if not _is_key(side, expression):
        return expression
    return typed.Column(
        type=expression.type,
        index=0,
        name=side.node.schema.columns[0].name,
        position=expression.position,
    )


def _key_text(side: Built) -> str:
    return ", ".join(name for names in side.keys for _, name in names)


def synthetic_key(inputs: Iterable[Input]) -> str:
    """The name of a key that no column holds: ROWKEY, or the first of ROWKEY_1, ROWKEY_2, .. that
    no source has."""
    taken = {c.name for i in inputs for c in i.source.schema}
    name, number = "ROWKEY", 1
    while name in taken:
        name, number = f"ROWKEY_{number}", number + 1
    return name
