"""CREATE OR REPLACE: whether another version can go on where the one before it stopped.

Both functions say, as the end of a sentence, what stands in the way, or None where nothing does.
Filters may change, and columns may be added at the end. What keeps state (grouping, windows,
aggregates, joins) and what decides a record's key must be the same; what is kept then fits.
A query with a window or a join, or with aggregates over a table, can only stay as it is: these are
the rules of ksqlDB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Protocol

from millstream import types as t
from millstream.catalog.model import TimestampColumn, WindowInfo
from millstream.functions.registry import Variant
from millstream.plan import nodes, typed
from millstream.serde.base import Layout
from millstream.sql.ast import SourceKind


class Relation(Protocol):
    """A stream or table as it is, or as a statement describes it."""

    @property
    def kind(self) -> SourceKind: ...
    @property
    def schema(self) -> t.Schema: ...
    @property
    def topic(self) -> str: ...
    @property
    def key_layout(self) -> Layout: ...
    @property
    def value_layout(self) -> Layout: ...
    @property
    def window(self) -> WindowInfo | None: ...
    @property
    def timestamp(self) -> TimestampColumn | None: ...


def relation_obstacle(old: Relation, new: Relation) -> str | None:
    """What keeps a stream or table from becoming another version of itself."""
    if old.kind is not new.kind:
        return f"it is a {old.kind.value.lower()}, and this is a {new.kind.value.lower()}"
    if old.topic != new.topic:
        return f"it lies over topic {old.topic}, and this over {new.topic}"
    if _shown(old.schema.key) != _shown(new.schema.key):
        mine, theirs = _shown(old.schema.key) or "empty", _shown(new.schema.key) or "empty"
        return f"its key is {mine}, and the new one {theirs}"
    if old.schema.headers != new.schema.headers:
        return "it shows other headers"
    missing = _lost(old.schema.value, new.schema.value)
    if missing:
        return f"{_shown(missing)} would be gone, changed or in another place"
    for part, before, after in (
        ("keys", old.key_layout, new.key_layout),
        ("values", old.value_layout, new.value_layout),
    ):
        if before.format != after.format:
            return f"its {part} are written as {before.format}, and the new ones as {after.format}"
        if before.delimiter != after.delimiter:
            return f"its {part} are separated by {before.delimiter!r}, not by {after.delimiter!r}"
        if before.wrap != after.wrap:
            return f"its single {part} stand by themselves, and the new ones in an object"
    if old.window != new.window:
        return "its windows are others"
    if old.timestamp != new.timestamp:
        return "its event time comes from another column"
    return None


def query_obstacle(old: nodes.QueryPlan, new: nodes.QueryPlan) -> str | None:
    """What keeps a query from going on as another version of itself, its state included."""
    found = _obstacle(old.root, new.root)
    if found is not None or _form(old.root) == _form(new.root):
        return found
    for node in nodes.walk(old.root):
        fixed = _fixed(node)
        if fixed is not None:
            return f"it {fixed}, and such a query can only stay as it is"
    return _columns_obstacle(old.root, new.root)


def table_filters(plan: nodes.QueryPlan) -> list[object]:
    """What decides which of a table's rows are there, in a form that can be compared."""
    return [
        _canonical(node.predicate, node.input.schema)
        for node in nodes.walk(plan.root)
        if isinstance(node, nodes.Filter) and node.is_table
    ]


def _shown(columns: Sequence[t.Column]) -> str:
    return ", ".join(f"{c.name} {c.type}" for c in columns)


def _lost(old: Sequence[t.Column], new: Sequence[t.Column]) -> list[t.Column]:
    """The columns that do not stand where they stood."""
    return [c for i, c in enumerate(old) if i >= len(new) or new[i] != c]


# --- what only stays as it is --------------------------------------------------------------------


def _fixed(node: nodes.Node) -> str | None:
    """What a step does that lets nothing of its query change, or None."""
    match node:
        case nodes.ReadSource() if node.window is not None:
            return f"reads the windows of {node.source.name}"
        case nodes.Aggregate() if node.spec is not None:
            return "groups its rows by windows"
        case nodes.Aggregate() if node.input.is_table:
            return "aggregates the rows of a table"
        case (
            nodes.StreamTableJoin()
            | nodes.StreamStreamJoin()
            | nodes.TableTableJoin()
            | nodes.ForeignKeyJoin()
        ):
            return _does(node)
    return None


def _columns_obstacle(old: nodes.Node, new: nodes.Node) -> str | None:
    """What an aggregation reads must be what it read: a filter may use no other columns."""
    if not any(isinstance(n, nodes.Aggregate) for n in nodes.walk(old)):
        return None
    before, after = _columns_read(old), _columns_read(new)
    if before == after:
        return None
    others = ", ".join(sorted(after - before))
    if others:
        return f"its rows are grouped, and it does not read {others} so far"
    left = ", ".join(sorted(before - after))
    return f"its rows are grouped, and nothing would read {left} any more"


def _columns_read(root: nodes.Node) -> set[str]:
    """The columns that a plan's expressions name, ROWTIME aside: each row has it."""
    names: set[str] = set()
    for node in nodes.walk(root):
        if isinstance(node, nodes.ReadSource):
            names.update(node.columns)
    return names - {"ROWTIME"}


def _form(node: nodes.Node) -> object:
    """All that a plan does, in a form that can be compared."""
    own: object
    match node:
        case nodes.Filter():
            own = node.clause, _all([node.predicate], node.input)
        case nodes.Project():
            own = tuple(c.name for c in node.schema), _all(node.expressions, node.input)
        case nodes.ReadSource():
            own = node.source.id
        case nodes.Rekey():
            own = _all(node.keys, node.input)
        case nodes.FlatMap():
            own = _all(node.lists, node.input)
        case nodes.Aggregate():
            own = _all(node.keys, node.input), node.spec, node.final, tuple(_calls(node))
        case _:
            own = _join_of(node)
    return type(node), own, tuple(_form(child) for child in nodes.children(node))


# --- plans ---------------------------------------------------------------------------------------


def _obstacle(old: nodes.Node, new: nodes.Node) -> str | None:
    old, new = _without_stateless(old), _without_stateless(new)
    if type(old) is not type(new):
        return f"it {_does(old)}, and the new one {_does(new)}"
    found = _own_obstacle(old, new)
    if found is not None:
        return found
    for before, after in zip(nodes.children(old), nodes.children(new), strict=True):
        found = _obstacle(before, after)
        if found is not None:
            return found
    return None


def _without_stateless(node: nodes.Node) -> nodes.Node:
    """The node below filters and projections, which keep nothing."""
    while isinstance(node, nodes.Filter | nodes.Project):
        node = node.input
    return node


def _own_obstacle(old: nodes.Node, new: nodes.Node) -> str | None:
    match old, new:
        case nodes.ReadSource(), nodes.ReadSource():
            if old.source.id != new.source.id:
                return f"it reads {old.source.name}, and the new one {new.source.name}"
        case nodes.Rekey(), nodes.Rekey():
            if _all(old.keys, old.input) != _all(new.keys, new.input):
                return "PARTITION BY is another"
        case nodes.FlatMap(), nodes.FlatMap():
            if _all(old.lists, old.input) != _all(new.lists, new.input):
                return "the table functions are others"
        case nodes.Aggregate(), nodes.Aggregate():
            return _aggregation_obstacle(old, new)
        case _:
            if _join_of(old) != _join_of(new):
                return "the join is another"
    return None


def _aggregation_obstacle(old: nodes.Aggregate, new: nodes.Aggregate) -> str | None:
    if _all(old.keys, old.input) != _all(new.keys, new.input):
        return "GROUP BY is another"
    if old.spec != new.spec:
        return "the window is another"
    if old.final != new.final:
        return "EMIT is another"
    if _calls(old) != _calls(new):
        before, after = (", ".join(c.name for c in n.calls) for n in (old, new))
        return f"its aggregates ({before}) are others than those of the new one ({after})"
    return None


def _calls(node: nodes.Aggregate) -> list[object]:
    """What is aggregated, and how; the order counts, as the stored values are in it."""
    return [
        (
            call.name,
            str(call.result),
            repr(call.literals),
            _all([node.arguments[i] for i in call.arguments], node.input),
        )
        for call in node.calls
    ]


def _join_of(node: nodes.Node) -> object:
    """All that decides which rows a join gives, its inputs left out."""
    match node:
        case nodes.StreamTableJoin():
            return node.kind, _all([node.left_key], node.left), node.rekeyed
        case nodes.StreamStreamJoin():
            return (
                node.kind,
                _all([node.left_key], node.left),
                _all([node.right_key], node.right),
                (node.before_ms, node.after_ms, node.grace_ms),
            )
        case nodes.TableTableJoin():
            return node.kind
        case nodes.ForeignKeyJoin():
            return node.kind, _all([node.foreign_key], node.left)
    raise TypeError(f"unknown plan node {type(node).__name__}")


_WORDS: dict[type[nodes.Node], str] = {
    nodes.ReadSource: "neither groups nor joins nor partitions",
    nodes.Rekey: "partitions its rows",
    nodes.FlatMap: "has table functions",
    nodes.Aggregate: "groups its rows",
    nodes.StreamTableJoin: "joins a stream with a table",
    nodes.StreamStreamJoin: "joins two streams",
    nodes.TableTableJoin: "joins two tables",
    nodes.ForeignKeyJoin: "joins two tables by a foreign key",
}


def _does(node: nodes.Node) -> str:
    return _WORDS[type(node)]


# --- expressions ---------------------------------------------------------------------------------


def _all(expressions: Sequence[typed.Expression], below: nodes.Node) -> tuple[object, ...]:
    return tuple(_canonical(e, below.schema) for e in expressions)


def _canonical(value: object, schema: t.Schema) -> object:
    """An expression in a form that does not depend on where its columns lie."""
    if isinstance(value, typed.Column):
        return "column", schema.columns[value.index].name
    if isinstance(value, typed.Expression):
        parts = [getattr(value, f.name) for f in fields(value) if f.name != "position"]
        return (type(value).__name__, *(_canonical(p, schema) for p in parts))
    if isinstance(value, tuple | list):
        return tuple(_canonical(v, schema) for v in value)
    if isinstance(value, Variant):
        return "variant", str([str(p) for p in value.parameters])
    return repr(value)
