"""SHOW and LIST."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from millstream.catalog.catalog import Catalog
from millstream.catalog.model import Source
from millstream.config import KNOWN
from millstream.connect.registry import CLASSES
from millstream.database.lag import query_lag
from millstream.database.outcome import Outcome, listing
from millstream.database.processing_log import TOPIC as LOG_TOPIC
from millstream.sql import ast
from millstream.sql.script import Parsed
from millstream.store.interfaces import Topic

if TYPE_CHECKING:
    from millstream.database.database import Database

Rows = list[tuple[Any, ...]]


def handle(database: Database, statement: ast.Show, parsed: Parsed) -> Outcome:
    """List what there is."""
    show = _SHOWS[statement.what]
    what, columns, rows = show(database, statement.extended)
    return listing(parsed.text, what, columns, rows)


def _sources(kind: ast.SourceKind) -> Callable[[Database, bool], tuple[str, list[str], Rows]]:
    def show(database: Database, extended: bool) -> tuple[str, list[str], Rows]:
        columns = ["name", "topic", "key format", "value format", "windowed"]
        if extended:
            columns += ["columns", "statement"]
        rows: Rows = []
        for source in database.catalog.sources.values():
            if source.kind is kind:
                rows.append(_source_row(source, extended))
        return kind.value.lower(), columns, rows

    return show


def _source_row(source: Source, extended: bool) -> tuple[Any, ...]:
    row: tuple[Any, ...] = (
        source.name,
        source.topic,
        source.key_layout.format,
        source.value_layout.format,
        source.window is not None,
    )
    if extended:
        row += (", ".join(f"{c.name} {c.type}" for c in source.schema), source.statement)
    return row


def _topics(database: Database, extended: bool) -> tuple[str, list[str], Rows]:
    return _topics_of(database, extended, lambda topic: topic.name != LOG_TOPIC)


def _all_topics(database: Database, extended: bool) -> tuple[str, list[str], Rows]:
    return _topics_of(database, extended, lambda topic: True)


def _topics_of(
    database: Database, extended: bool, wanted: Callable[[Topic], bool]
) -> tuple[str, list[str], Rows]:
    columns = ["name", "partitions", "replicas", "records"]
    if extended:
        columns += ["read by", "written by", "cleanup policy", "retention ms"]
    rows: Rows = []
    with database.store.view() as view:
        for topic in filter(wanted, view.topics()):
            row: tuple[Any, ...] = (
                topic.name,
                topic.partitions,
                topic.replicas,
                view.end(topic.id) - view.start(topic.id),
            )
            if extended:
                row += (*_users(database.catalog, topic), topic.cleanup_policy, topic.retention_ms)
            rows.append(row)
    return "topic", columns, rows


def _users(catalog: Catalog, topic: Topic) -> tuple[str, str]:
    """The queries that read and write a topic."""
    sources = [s.name for s in catalog.sources.values() if s.topic_id == topic.id]
    readers = [q.id for name in sources for q in catalog.readers(name)]
    writers = [q.id for name in sources for q in catalog.writers(name)]
    return ", ".join(dict.fromkeys(readers)), ", ".join(dict.fromkeys(writers))


def _queries(database: Database, extended: bool) -> tuple[str, list[str], Rows]:
    columns = ["id", "state", "sources", "sink", "statement"]
    if extended:
        columns += ["lag", "error"]
    rows: Rows = []
    with database.snapshot() as view:
        catalog = database.catalog
        lags = {q.number: query_lag(view, catalog, q) for q in catalog.queries.values()}
    for info in catalog.queries.values():
        row: tuple[Any, ...] = (
            info.id,
            info.state,
            ", ".join(info.sources),
            info.sink,
            " ".join(info.statement.split()),
        )
        if extended:
            row += (lags[info.number], info.error)
        rows.append(row)
    return "query", columns, rows


def _connectors(
    direction: str | None,
) -> Callable[[Database, bool], tuple[str, list[str], Rows]]:
    def show(database: Database, extended: bool) -> tuple[str, list[str], Rows]:
        rows: Rows = []
        for info in database.catalog.connectors.values():
            if direction not in (None, info.direction):
                continue
            running = database.connectors.find(info.name)
            state = info.state if running is None else running.state
            message = info.message if running is None else running.message
            shown = info.options.get("name", info.name)
            rows.append(
                (info.name, shown, info.direction, info.options["connector.class"], state, message)
            )
        columns = ["connector", "name", "type", "class", "state", "message"]
        return "connector", columns, rows

    return show


def _plugins(database: Database, extended: bool) -> tuple[str, list[str], Rows]:
    rows: Rows = [(name, c.direction) for c in CLASSES for name in c.names]
    return "connector class", ["class", "type"], rows


def _functions(database: Database, extended: bool) -> tuple[str, list[str], Rows]:
    registry = database.registry
    rows: Rows = [(n, "SCALAR", f.description) for n, f in registry.scalars.items()]
    rows += [(n, "AGGREGATE", f.description) for n, f in registry.aggregates.items()]
    rows += [(n, "TABLE", f.description) for n, f in registry.tables.items()]
    return "function", ["name", "kind", "description"], sorted(rows)


def _properties(database: Database, extended: bool) -> tuple[str, list[str], Rows]:
    rows: Rows = []
    for name, info in KNOWN.items():
        value = database.properties.get(name)
        rows.append((name, info.default if value is None else value, value is not None))
    others = sorted(set(database.properties) - set(KNOWN))
    rows += [(name, database.properties[name], True) for name in others]
    return "property", ["property", "value", "set here"], rows


def _variables(database: Database, extended: bool) -> tuple[str, list[str], Rows]:
    return "variable", ["variable", "value"], sorted(database.variables.items())


def _types(database: Database, extended: bool) -> tuple[str, list[str], Rows]:
    rows: Rows = [(c.name, str(c.type)) for c in database.catalog.types.values()]
    return "type", ["type", "stands for"], rows


_SHOWS: dict[str, Callable[[Database, bool], tuple[str, list[str], Rows]]] = {
    "STREAMS": _sources(ast.SourceKind.STREAM),
    "TABLES": _sources(ast.SourceKind.TABLE),
    "TOPICS": _topics,
    "ALL TOPICS": _all_topics,
    "QUERIES": _queries,
    "CONNECTORS": _connectors(None),
    "SOURCE CONNECTORS": _connectors("SOURCE"),
    "SINK CONNECTORS": _connectors("SINK"),
    "CONNECTOR PLUGINS": _plugins,
    "FUNCTIONS": _functions,
    "PROPERTIES": _properties,
    "VARIABLES": _variables,
    "TYPES": _types,
}
