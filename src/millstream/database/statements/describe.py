"""DESCRIBE of streams, tables and functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millstream import types as t
from millstream.catalog.catalog import did_you_mean
from millstream.catalog.model import Source
from millstream.database.outcome import Outcome, Table
from millstream.errors import SemanticError
from millstream.plan.overloads import signature_text
from millstream.sql import ast
from millstream.sql.script import Parsed

if TYPE_CHECKING:
    from millstream.database.database import Database


def handle(database: Database, statement: ast.Describe, parsed: Parsed) -> Outcome:
    """The columns of a stream or table; EXTENDED adds where they come from and who uses them."""
    if statement.name is None:
        chosen = [s for s in database.catalog.sources.values() if s.kind is statement.all_of]
        rows = [
            (s.name, *row)
            for s in chosen
            for row in (*_columns(s), *(_extended(database, s) if statement.extended else ()))
        ]
        table = Table(("source", "column", "type", "role"), rows)
        return Outcome(parsed.text, f"{len(chosen)} described", table)
    source = database.catalog.source(statement.name)
    rows = _columns(source)
    if statement.extended:
        rows += _extended(database, source)
    message = f"{source.kind.value.lower()} {source.name} over topic {source.topic}"
    return Outcome(parsed.text, message, Table(("column", "type", "role"), rows))


def _columns(source: Source) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for column in source.schema:
        role = ""
        if column.role is t.Role.KEY:
            role = "primary key" if source.is_table else "key"
        elif column.role is t.Role.HEADERS:
            role = "headers" if column.header is None else f"header '{column.header}'"
        rows.append((column.name, str(column.type), role))
    if source.window is not None:
        rows.append(("WINDOWSTART", "BIGINT", "window"))
        rows.append(("WINDOWEND", "BIGINT", "window"))
    return rows


def _extended(database: Database, source: Source) -> list[tuple[Any, ...]]:
    with database.store.view() as view:
        topic = next((x for x in view.topics() if x.id == source.topic_id), None)
        place, cleanup = f"{source.topic}, dropped", ""
        if topic is not None:
            records = view.end(topic.id) - view.start(topic.id)
            place = f"{source.topic}, {_count(topic.partitions, 'partition')}, "
            place += _count(records, "record")
            cleanup = topic.cleanup_policy
            if topic.retention_ms is not None:
                cleanup += f", {topic.retention_ms} ms"
    facts = {
        "topic": place,
        "cleanup": cleanup,
        "key format": source.key_layout.format,
        "value format": source.value_layout.format,
        "window": "" if source.window is None else source.window.kind,
        "timestamp": "" if source.timestamp is None else source.timestamp.column,
        "read by": ", ".join(q.id for q in database.catalog.readers(source.name)),
        "written by": ", ".join(q.id for q in database.catalog.writers(source.name)),
        "statement": " ".join(source.statement.split()),
    }
    rows = [(f"({name})", value, "") for name, value in facts.items() if value]
    return rows + [("(history)", " ".join(text.split()), "") for text in reversed(source.history)]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def function(database: Database, statement: ast.DescribeFunction, parsed: Parsed) -> Outcome:
    """What a function does and takes."""
    registry = database.registry
    name = statement.name.upper()
    found = registry.scalars.get(name) or registry.aggregates.get(name) or registry.tables.get(name)
    if found is None:
        raise SemanticError(
            f"there is no function {statement.name}",
            statement.position,
            hint=did_you_mean(name, list(registry.names())),
        )
    rows: list[tuple[Any, ...]] = [(signature_text(name, v),) for v in found.variants]
    return Outcome(parsed.text, f"{name}: {found.description}", Table(("takes",), rows))
