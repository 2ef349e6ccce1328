"""From a SELECT to its plan: the rules of what may stand where, in the order of the clauses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from millstream import types as t
from millstream.catalog.catalog import Catalog
from millstream.errors import SemanticError
from millstream.functions.registry import Registry
from millstream.plan import nodes, typed
from millstream.plan.aggregation import (
    AfterScope,
    AggregationBuilder,
    Grouping,
    refuse_aggregates,
)
from millstream.plan.named_types import TypeResolver
from millstream.plan.relations import (
    Built,
    Input,
    RelationBuilder,
    full_scope,
    inputs_of,
    synthetic_key,
)
from millstream.plan.scope import RESERVED, Scope, Visible
from millstream.plan.select import Expander, Item, qualify
from millstream.plan.table_functions import FlatScope, flatten, table_calls
from millstream.plan.trees import column_refs, walk
from millstream.plan.typing import type_expression, type_predicate
from millstream.sql import ast
from millstream.sql.formatter import format_expression


class Purpose(Enum):
    """What a query is for: its results go into a topic, to a subscriber, or are read once."""

    PERSISTENT = "persistent"
    PUSH = "push"
    PULL = "pull"


@dataclass(frozen=True, slots=True)
class Analysis:
    """The plan of a SELECT, and what its sink inherits: the left-most source."""

    root: nodes.Node
    inputs: tuple[Input, ...]
    keyless: bool
    rekeyed: bool


class Analyser:
    """Analyses one SELECT."""

    def __init__(
        self,
        query: ast.Query,
        catalog: Catalog,
        registry: Registry,
        purpose: Purpose,
        *,
        keys_as_projected: bool = False,
    ) -> None:
        self.query = query = TypeResolver(catalog).query(query)
        self.keys_as_projected = keys_as_projected
        self.catalog = catalog
        self.registry = registry
        self.persistent = purpose is Purpose.PERSISTENT
        self.inputs = inputs_of(query.relation, catalog)

    def analyse(self) -> Analysis:
        """The plan; SemanticError where the query breaks a rule."""
        self._check_clauses()
        query = self._qualified()
        builder = RelationBuilder(
            self.inputs, self._used(query), self.registry, materialise=self._materialises(query)
        )
        items_scope = self._select_scope()
        built = builder.build(query.relation)
        items = self._items(items_scope, built)
        built = self._where(built, query)
        if query.group_by:
            root, keyless = self._aggregate(built, query, items), False
        else:
            root, keyless = self._project(built, query, items)
        rekeyed = bool(query.group_by or query.partition_by)
        return Analysis(root, tuple(self.inputs), keyless, rekeyed)

    # --- clauses ---------------------------------------------------------------------------

    def _check_clauses(self) -> None:
        query = self.query
        if query.window is not None and not query.group_by:
            raise SemanticError("WINDOW needs a GROUP BY", query.window.position)
        if query.having is not None and not query.group_by:
            raise SemanticError(
                "HAVING needs a GROUP BY", query.having.position, hint="Use WHERE instead."
            )
        if query.emit is ast.Emit.FINAL and query.window is None:
            raise SemanticError(
                "EMIT FINAL is for windowed aggregations only",
                query.position,
                hint="Only a window's end can make a result final.",
            )
        if query.partition_by and query.group_by:
            raise SemanticError(
                "PARTITION BY and GROUP BY exclude each other", query.partition_by[0].position
            )
        if self.persistent and query.limit is not None:
            raise SemanticError("a persistent query has no LIMIT", query.position)
        tables = [i for i in self.inputs if i.source.is_table]
        if query.partition_by and self.inputs[0].source.is_table:
            raise SemanticError(
                "PARTITION BY is for streams: a table's key cannot change",
                query.partition_by[0].position,
                hint="Use GROUP BY with an aggregate.",
            )
        if self.persistent:
            for table in tables:
                if table.source.window is not None:
                    raise SemanticError(
                        f"{table.source.name} is a windowed table, which a persistent query"
                        " cannot read",
                        table.position,
                    )
        self._check_formats()
        if tables and query.window is not None and self.inputs[0].source.is_table:
            raise SemanticError("a table cannot be windowed", query.window.position)

    def _check_formats(self) -> None:
        """The KAFKA format holds no schema that a repartitioned or stored row could be written
        with: ksqlDB neither groups nor joins such values."""
        clause = "GROUP BY" if self.query.group_by else "JOIN"
        if not self.query.group_by and len(self.inputs) < 2:
            return
        for item in self.inputs:
            if item.source.value_layout.format == "KAFKA":
                raise SemanticError(
                    f"{item.source.name} has values in the KAFKA format, which cannot be used"
                    f" with {clause}",
                    item.position,
                    hint="Copy it into a stream of another format first.",
                )

    def _qualified(self) -> ast.Query:
        query = self.query
        relation = self._qualified_relation(query.relation)
        where = None if query.where is None else self._clause(query.where, "WHERE")
        group_by = tuple(self._clause(g, "GROUP BY") for g in query.group_by)
        partition_by = tuple(self._clause(p, "PARTITION BY") for p in query.partition_by)
        having = None if query.having is None else self._clause(query.having, "HAVING")
        for expression in (*((where,) if where else ()), *partition_by):
            clause = "WHERE" if expression is where else "PARTITION BY"
            refuse_aggregates(expression, self.registry, clause)
        nulls = [p for p in partition_by if isinstance(p, ast.NullLiteral)]
        if nulls and len(partition_by) > 1:
            raise SemanticError(
                "PARTITION BY NULL cannot be combined with other expressions", nulls[0].position
            )
        return replace(
            query,
            relation=relation,
            where=where,
            group_by=group_by,
            partition_by=partition_by,
            having=having,
        )

    def _clause(self, expression: ast.Expression, clause: str) -> ast.Expression:
        windowed = self.query.window is not None and len(self.inputs) == 1
        bounds = windowed and clause in ("GROUP BY", "HAVING")
        return qualify(expression, full_scope(self.inputs, clause, window_bounds=bounds))

    def _qualified_relation(self, relation: ast.Relation) -> ast.Relation:
        if not isinstance(relation, ast.Join):
            return relation
        condition = qualify(relation.condition, full_scope(self.inputs, "ON"))
        return replace(relation, left=self._qualified_relation(relation.left), condition=condition)

    def _select_scope(self) -> Scope:
        windowed = self.query.window is not None and len(self.inputs) == 1
        return full_scope(self.inputs, "SELECT", window_bounds=windowed)

    def _used(self, query: ast.Query) -> set[tuple[str, str]]:
        """The (alias, column) pairs that any clause needs."""
        refs: list[ast.ColumnRef] = []
        for expression in self._expressions(query):
            refs += column_refs(expression)
        used = {(r.source, r.name) for r in refs if r.source is not None}
        for item in self._items(self._select_scope(), None):
            used |= {(r.source or "", r.name) for r in column_refs(item.expression)}
        return used

    def _expressions(self, query: ast.Query) -> list[ast.Expression]:
        found = [*query.group_by, *query.partition_by]
        found += [e for e in (query.where, query.having) if e is not None]
        relation = query.relation
        while isinstance(relation, ast.Join):
            found.append(relation.condition)
            relation = relation.left
        return found

    def _materialises(self, query: ast.Query) -> bool:
        """Whether a table read directly must know its old rows."""
        return query.where is not None or bool(query.group_by)

    def _items(self, scope: Scope, built: Built | None) -> list[Item]:
        synthetic = None if built is None else built.synthetic
        if synthetic is not None:
            scope = Scope([*scope.columns, *self._synthetic(built)], scope.clause)
        elif built is None and len(self.inputs) > 1:
            possible = Visible(None, synthetic_key(self.inputs), t.STRING, -1)
            scope = Scope([*scope.columns, possible], scope.clause)
        expander = Expander(
            self.inputs,
            scope,
            tuple(
                qualify(p, full_scope(self.inputs, "PARTITION BY")) for p in self.query.partition_by
            ),
            lambda e: type_expression(e, scope, self.registry).type,
            synthetic,
            persistent=self.persistent,
        )
        return expander.expand(self.query.select)

    def _synthetic(self, built: Built | None) -> list[Visible]:
        return [] if built is None else [v for v in built.visible if v.source is None]

    def _where(self, built: Built, query: ast.Query) -> Built:
        if query.where is None:
            return built
        predicate = type_predicate(query.where, Scope(built.visible, "WHERE"), self.registry)
        node = nodes.Filter(
            schema=built.node.schema,
            is_table=built.node.is_table,
            window=built.node.window,
            input=built.node,
            predicate=predicate,
        )
        return replace_node(built, node)

    # --- aggregations ------------------------------------------------------------------------

    def _aggregate(self, built: Built, query: ast.Query, items: list[Item]) -> nodes.Node:
        for item in items:
            refuse_table_functions(item.expression, self.registry)
        grouping = Grouping(
            query.group_by, query.window, query.having, items, query.emit is ast.Emit.FINAL
        )
        builder = AggregationBuilder(built, grouping, self.registry)
        select = AfterScope(builder, "SELECT", bounds=True)
        values = [
            (i, type_expression(i.expression, select, self.registry), _key_place(i, query.group_by))
            for i in items
        ]
        keys = self._key_items(items, query.group_by, "grouping expression")
        node: nodes.Node = builder.build([i.name for i in keys])
        if query.having is not None:
            having = AfterScope(builder, "HAVING", bounds=False)
            predicate = type_predicate(query.having, having, self.registry)
            node = nodes.Filter(
                schema=node.schema,
                is_table=True,
                window=node.window,
                input=node,
                predicate=predicate,
                clause="HAVING",
            )
        return self._projection(node, keys, values)

    def _key_items(
        self, items: list[Item], keys: tuple[ast.Expression, ...], what: str
    ) -> list[Item]:
        """The item that projects each key, in the keys' order."""
        found: list[Item] = []
        for key in keys:
            mine = [i for i in items if i.expression == key]
            if not mine and self.persistent:
                shown = format_expression(key)
                raise SemanticError(
                    f"SELECT must hold the {what} {shown}, which becomes the key",
                    key.position,
                    hint=f"Write SELECT {shown}, ..",
                )
            if len(mine) > 1 and self.persistent:
                raise SemanticError(
                    f"SELECT holds the key column {format_expression(key)} more than once",
                    mine[1].position,
                    hint=f"Copy it into the value: AS_VALUE({format_expression(key)}).",
                )
            found.append(mine[0] if mine else Item(key, f"$KEY_{len(found)}", key.position))
        return found

    def _projection(
        self,
        node: nodes.Node,
        keys: list[Item],
        values: list[tuple[Item, typed.Expression, int | None]],
    ) -> nodes.Node:
        """The result's columns: keys in their order, then the other items as selected.

        `values` has every item, its expression, and which key column it is, if any.
        """
        if not self.persistent:
            return self._flat(node, [(i, e) for i, e, _ in values])
        key_columns = []
        expressions: list[typed.Expression] = []
        for place, item in self._key_order(keys, values):
            column = node.schema.key[place]
            key_columns.append((item.name, column.type))
            expressions.append(typed.Column(type=column.type, index=place, name=column.name))
        rest = [(i, e) for i, e, place in values if place is None]
        value_columns = [(i.name, _known_type(e, i)) for i, e in rest]
        self._check_names([*keys, *(i for i, _ in rest)])
        if not value_columns:
            raise SemanticError("the projection has no value columns", self.query.position)
        return nodes.Project(
            schema=t.Schema.of(key_columns, value_columns),
            is_table=node.is_table,
            window=node.window,
            input=node,
            expressions=tuple(expressions + [e for _, e in rest]),
        )

    def _key_order(
        self, keys: list[Item], values: list[tuple[Item, typed.Expression, int | None]]
    ) -> list[tuple[int, Item]]:
        """The keys by place in the input's key, or, as ksqlDB's newer planner has them, in the
        order of the projection."""
        if not self.keys_as_projected or self.query.group_by or self.query.partition_by:
            return list(enumerate(keys))
        return [(place, keys[place]) for _, _, place in values if place is not None]

    def _flat(self, node: nodes.Node, values: list[tuple[Item, typed.Expression]]) -> nodes.Node:
        """A projection for readers: every item a column; the key stays in front, unnamed."""
        key = [(f"$KEY_{i}", c.type) for i, c in enumerate(node.schema.key)]
        places = [
            typed.Column(type=c.type, index=i, name=c.name) for i, c in enumerate(node.schema.key)
        ]
        columns = [(i.name, _known_type(e, i)) for i, e in values]
        return nodes.Project(
            schema=t.Schema.of(key, columns),
            is_table=node.is_table,
            window=node.window,
            input=node,
            expressions=(*places, *(e for _, e in values)),
        )

    def _check_names(self, items: list[Item]) -> None:
        seen: set[str] = set()
        for item in items:
            if item.name in seen:
                raise SemanticError(
                    f"two columns of the result are called {item.name}",
                    item.position,
                    hint="Give one of them another name with AS.",
                )
            seen.add(item.name)

    # --- plain projections ---------------------------------------------------------------------

    def _project(
        self, built: Built, query: ast.Query, items: list[Item]
    ) -> tuple[nodes.Node, bool]:
        for item in items:
            self._refuse_lonely_aggregates(item)
        if self.persistent:
            self._check_reserved(items)
        calls = table_calls(items, self.registry)
        places: dict[ast.Expression, int] = {}
        if calls:
            built, places = flatten(built, calls, self.registry)
        if query.partition_by:
            return self._repartition(built, query, items, places)
        scope = self._select_after(built, places, 0)
        values = []
        keys: list[Item] = []
        for names in built.keys:
            keys.append(self._kept_key(built, names, items))
        for item in items:
            expression = type_expression(item.expression, scope, self.registry)
            place = next((n for n, key in enumerate(keys) if key is item), None)
            values.append((item, expression, place))
        return self._projection(built.node, keys, values), not built.keys

    def _select_after(self, built: Built, places: dict[ast.Expression, int], shift: int) -> Scope:
        """What SELECT sees when all columns lie `shift` places further back."""
        visible = [Visible(v.source, v.name, v.type, v.index + shift) for v in built.visible]
        scope = Scope(visible, "SELECT")
        if not places:
            return scope
        columns = built.node.schema.columns
        return FlatScope(
            scope,
            {
                call: typed.Column(
                    type=columns[place].type, index=place + shift, name=columns[place].name
                )
                for call, place in places.items()
            },
        )

    def _kept_key(
        self, built: Built, names: frozenset[tuple[str | None, str]], items: list[Item]
    ) -> Item:
        """The item that projects a key column which stays as it is; the left-most source wins."""
        mine = [
            i
            for i in items
            if isinstance(i.expression, ast.ColumnRef)
            and (i.expression.source, i.expression.name) in names
        ]
        order = [item.alias for item in self.inputs]
        mine.sort(key=lambda i: _source_rank(i.expression, order))
        if not mine:
            if self.persistent:
                shown = _preferred_name(names, order)
                raise SemanticError(
                    f"SELECT must hold the key column {shown}",
                    self.query.position,
                    hint=f"Write SELECT {shown}, ..",
                )
            name = _preferred_name(names, order)
            return Item(ast.ColumnRef(name), name, None)
        same = [i for i in mine if i.expression == mine[0].expression]
        if len(same) > 1 and self.persistent:
            raise SemanticError(
                f"SELECT holds the key column {format_expression(same[0].expression)} more than"
                " once",
                same[1].position,
                hint=f"Copy it into the value: AS_VALUE({format_expression(same[0].expression)}).",
            )
        return mine[0]

    def _repartition(
        self,
        built: Built,
        query: ast.Query,
        items: list[Item],
        places: dict[ast.Expression, int],
    ) -> tuple[nodes.Node, bool]:
        expressions = [e for e in query.partition_by if not isinstance(e, ast.NullLiteral)]
        for number, expression in enumerate(expressions):
            if expression in expressions[:number]:
                raise SemanticError(
                    f"PARTITION BY names {format_expression(expression)} twice",
                    expression.position,
                )
        scope = Scope(built.visible, "PARTITION BY")
        typed_keys = tuple(type_expression(e, scope, self.registry) for e in expressions)
        unchanged = (
            len(typed_keys) == len(built.node.schema.key)
            and bool(typed_keys)
            and all(isinstance(k, typed.Column) and k.index == i for i, k in enumerate(typed_keys))
        )
        keys = self._key_items(items, tuple(expressions), "partitioning expression")
        shift = 0
        node = built.node
        if not unchanged:
            node = self._rekey(built, typed_keys, keys)
            shift = len(typed_keys)
        after = self._select_after(built, places, shift)
        values = []
        for item in items:
            place = _key_place(item, tuple(expressions))
            values.append((item, type_expression(item.expression, after, self.registry), place))
        return self._projection(node, keys, values), not typed_keys

    def _rekey(
        self, built: Built, keys: tuple[typed.Expression, ...], items: list[Item]
    ) -> nodes.Node:
        columns = []
        for item, key in zip(items, keys, strict=True):
            if key.type is None:
                raise SemanticError("PARTITION BY cannot name NULL among others", key.position)
            columns.append((item.name, key.type))
        values = [(c.name, c.type) for c in built.node.schema.columns]
        return nodes.Rekey(
            schema=t.Schema.of(columns, values),
            is_table=False,
            window=None,
            input=built.node,
            keys=keys,
        )

    def _check_reserved(self, items: list[Item]) -> None:
        from_star = any(isinstance(s, ast.SelectAll) for s in self.query.select)
        partitioned = self.query.partition_by
        for item in items:
            if item.name in RESERVED and not (from_star and partitioned):
                raise SemanticError(
                    f"{item.name} is a reserved name for a column of a result",
                    item.position,
                    hint=f"Give it another one: {item.name} AS {item.name.lower()}_copy.",
                )

    def _refuse_lonely_aggregates(self, item: Item) -> None:
        for part in walk(item.expression):
            if isinstance(part, ast.FunctionCall) and self.registry.is_aggregate(part.name):
                raise SemanticError(
                    f"the aggregate function {part.name} needs a GROUP BY", part.position
                )


def replace_node(built: Built, node: nodes.Node) -> Built:
    """The same columns and keys over another node."""
    return Built(node, built.visible, built.keys, built.synthetic)


def refuse_table_functions(expression: ast.Expression, registry: Registry) -> None:
    """Table functions do not go together with GROUP BY."""
    for part in walk(expression):
        if isinstance(part, ast.FunctionCall) and registry.is_table_function(part.name):
            raise SemanticError(
                f"the table function {part.name} cannot be used with GROUP BY",
                part.position,
                hint="Make a stream of its rows first, and group that.",
            )


def _key_place(item: Item, keys: tuple[ast.Expression, ...]) -> int | None:
    return next((n for n, key in enumerate(keys) if key == item.expression), None)


def _known_type(expression: typed.Expression, item: Item) -> t.SqlType:
    if expression.type is None:
        raise SemanticError(
            f"the type of {item.name} is not known: it is a bare NULL",
            item.position,
            hint="Say which one it is: CAST(NULL AS VARCHAR).",
        )
    return expression.type


def _source_rank(expression: ast.Expression, order: list[str]) -> int:
    assert isinstance(expression, ast.ColumnRef)
    return order.index(expression.source) if expression.source in order else len(order)


def _preferred_name(names: frozenset[tuple[str | None, str]], order: list[str]) -> str:
    ranked = sorted(names, key=lambda n: (order.index(n[0]) if n[0] in order else -1, n[1]))
    source, name = ranked[0]
    return name if source is None or len(order) == 1 else f"{source}.{name}"
