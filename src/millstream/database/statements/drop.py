"""DROP STREAM|TABLE, and the end of the query that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.catalog.catalog import Catalog, unknown
from millstream.catalog.model import Source
from millstream.database.outcome import Outcome
from millstream.database.processing_log import STREAM as LOG_STREAM
from millstream.engine.noted import NOTED
from millstream.engine.scheduler import drop_progress
from millstream.errors import SemanticError
from millstream.sql import ast
from millstream.sql.script import Parsed
from millstream.store.interfaces import Commit

if TYPE_CHECKING:
    from millstream.database.database import Database


def handle(database: Database, statement: ast.DropSource, parsed: Parsed) -> Outcome:
    """Forget a stream or table; with DELETE TOPIC its topic, too.

    Refused while other queries read it or write into it. The query that made it ends with it.
    """
    word = statement.kind.value.lower()
    source = database.catalog.sources.get(statement.name)
    if source is None:
        if statement.if_exists:
            return Outcome(parsed.text, f"there is no {word} {statement.name}")
        raise unknown(word, statement.name, database.catalog.sources, statement.position)
    _check(database, source, statement)
    with database.engine.lock:
        with database.change() as (commit, catalog):
            number = _end_query(commit, catalog, source)
            catalog.sources.pop(source.name)
            commit.delete_entry("source", source.id)
            commit.delete_entry(NOTED, source.id)
            if statement.delete_topic and commit.topic(source.topic) is not None:
                commit.drop_topic(source.topic_id)
        if number is not None:
            database.engine.remove(number)
    if statement.delete_topic:
        database.connectors.topic_dropped(source.topic)
    gone = f" and topic {source.topic}" if statement.delete_topic else ""
    return Outcome(parsed.text, f"{word} {source.name}{gone} dropped")


def _check(database: Database, source: Source, statement: ast.DropSource) -> None:
    if source.kind is not statement.kind:
        raise SemanticError(
            f"{source.name} is a {source.kind.value.lower()}",
            statement.position,
            hint=f"Write DROP {source.kind.value} {source.name}.",
        )
    if source.name == LOG_STREAM:
        raise SemanticError(f"{LOG_STREAM} is part of every database", statement.position)
    if source.read_only and statement.delete_topic:
        raise SemanticError(
            f"{source.name} is read-only: its topic cannot be deleted",
            statement.position,
            hint="Leave DELETE TOPIC out.",
        )
    others = [q.id for q in database.catalog.readers(source.name)]
    others += [q.id for q in database.catalog.writers(source.name) if q.id != source.query_id]
    if others:
        raise SemanticError(
            f"{source.name} is used by {', '.join(others)}",
            statement.position,
            hint=f"End them first: TERMINATE {others[0]};",
        )
    if not statement.delete_topic:
        return
    sharing = [
        s.name
        for s in database.catalog.sources.values()
        if s.topic_id == source.topic_id and s.name != source.name
    ]
    busy = [n for n in sharing if database.catalog.readers(n) or database.catalog.writers(n)]
    if busy:
        raise SemanticError(
            f"topic {source.topic} is in use by {', '.join(busy)}",
            statement.position,
            hint="Leave DELETE TOPIC out.",
        )


def _end_query(commit: Commit, catalog: Catalog, source: Source) -> int | None:
    info = None if source.query_id is None else catalog.queries.pop(source.query_id, None)
    if info is None:
        return None
    commit.delete_entry("query", info.number)
    drop_progress(info.number, commit)
    return info.number
