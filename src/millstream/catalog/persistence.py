"""The catalogue's records as JSON, and back."""

from __future__ import annotations

from typing import Any

from millstream.catalog.catalog import Catalog
from millstream.catalog.model import (
    ConnectorInfo,
    CustomType,
    QueryInfo,
    Source,
    TimestampColumn,
    WindowInfo,
)
from millstream.serde.base import Layout
from millstream.sql.ast import SourceKind
from millstream.sql.script import parse_type
from millstream.store.interfaces import Commit, View
from millstream.types import Column, Role, Schema

Json = dict[str, Any]


def save_source(commit: Commit, source: Source) -> None:
    """Write a stream or table."""
    content: Json = {
        "name": source.name,
        "kind": source.kind.value,
        "columns": [_column_out(c) for c in source.schema],
        "topic": source.topic,
        "topic_id": source.topic_id,
        "key": _layout_out(source.key_layout),
        "value": _layout_out(source.value_layout),
        "window": None
        if source.window is None
        else {"kind": source.window.kind, "size_ms": source.window.size_ms},
        "timestamp": None
        if source.timestamp is None
        else {"column": source.timestamp.column, "pattern": source.timestamp.pattern},
        "wrap_setting": source.wrap_setting,
        "read_only": source.read_only,
        "query_id": source.query_id,
        "statement": source.statement,
        "history": list(source.history),
        "properties": source.properties,
    }
    commit.put_entry("source", source.id, content)


def save_query(commit: Commit, query: QueryInfo) -> None:
    """Write a persistent query."""
    content: Json = {
        "id": query.id,
        "statement": query.statement,
        "sources": list(query.sources),
        "sink": query.sink,
        "properties": query.properties,
        "state": query.state,
        "error": query.error,
        "widths": query.widths,
        "types": query.types,
    }
    commit.put_entry("query", query.number, content)


def save_connector(commit: Commit, connector: ConnectorInfo) -> None:
    """Write a connector; its position is an entry of its own."""
    content: Json = {
        "name": connector.name,
        "direction": connector.direction,
        "options": connector.options,
        "state": connector.state,
        "message": connector.message,
        "statement": connector.statement,
    }
    commit.put_entry("connector", connector.id, content)


def save_type(commit: Commit, custom: CustomType) -> None:
    """Write a custom type."""
    commit.put_entry("type", custom.id, {"name": custom.name, "type": str(custom.type)})


def load_catalog(view: View) -> Catalog:
    """The catalogue of the last commit, in the order of creation."""
    catalog = Catalog()
    for entry_id, content in sorted(view.entries("type").items()):
        custom = CustomType(entry_id, content["name"], parse_type(content["type"]))
        catalog.types[custom.name] = custom
    for entry_id, content in sorted(view.entries("source").items()):
        source = _source_in(entry_id, content)
        catalog.sources[source.name] = source
    for number, content in sorted(view.entries("query").items()):
        info = QueryInfo(
            number=number,
            id=content["id"],
            statement=content["statement"],
            sources=tuple(content["sources"]),
            sink=content["sink"],
            properties=content["properties"],
            state=content["state"],
            error=content["error"],
            widths=content.get("widths", {}),
            types=content.get("types", {}),
        )
        catalog.queries[info.id] = info
    for entry_id, content in sorted(view.entries("connector").items()):
        connector = ConnectorInfo(id=entry_id, **content)
        catalog.connectors[connector.name] = connector
    return catalog


def _column_out(column: Column) -> list[str | None]:
    return [column.name, str(column.type), column.role.value, column.header]


def _layout_out(layout: Layout) -> Json:
    return {"format": layout.format, "wrap": layout.wrap, "delimiter": layout.delimiter}


def _source_in(entry_id: int, content: Json) -> Source:
    columns = tuple(
        Column(name, parse_type(kind), Role(role), header)
        for name, kind, role, header in content["columns"]
    )
    schema = Schema(columns)
    window, timestamp = content["window"], content["timestamp"]
    return Source(
        id=entry_id,
        name=content["name"],
        kind=SourceKind(content["kind"]),
        schema=schema,
        topic=content["topic"],
        topic_id=content["topic_id"],
        key_layout=Layout(columns=schema.key, **content["key"]),
        value_layout=Layout(columns=schema.value, **content["value"]),
        window=None if window is None else WindowInfo(**window),
        timestamp=None if timestamp is None else TimestampColumn(**timestamp),
        wrap_setting=content["wrap_setting"],
        read_only=content["read_only"],
        query_id=content["query_id"],
        statement=content["statement"],
        history=tuple(content.get("history", ())),
        properties=content["properties"],
    )
