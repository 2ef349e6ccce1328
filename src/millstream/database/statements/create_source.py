"""CREATE STREAM|TABLE over a topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.catalog.model import Source
from millstream.catalog.persistence import save_source
from millstream.database.outcome import Outcome
from millstream.database.processing_log import TOPIC as LOG_TOPIC
from millstream.errors import SemanticError
from millstream.plan.properties import default_policy
from millstream.plan.sources import Declaration, declare
from millstream.sql import ast
from millstream.sql.script import Parsed
from millstream.store.interfaces import Commit, Topic

if TYPE_CHECKING:
    from millstream.database.database import Database


def handle(database: Database, statement: ast.CreateSource, parsed: Parsed) -> Outcome:
    """Declare a stream or table; its topic is made where it does not exist yet."""
    word = statement.kind.value.lower()
    existing = database.catalog.sources.get(statement.name)
    if existing is not None:
        if statement.if_not_exists:
            return Outcome(parsed.text, f"{statement.name} exists already")
        raise already_exists(existing, statement)
    declaration = declare(statement, database.catalog, database.session())
    with database.change() as (commit, catalog):
        topic = _topic(database, commit, declaration, statement)
        source = Source(
            id=commit.allocate_id("source"),
            name=declaration.name,
            kind=declaration.kind,
            schema=declaration.schema,
            topic=declaration.topic,
            topic_id=topic.id,
            key_layout=declaration.key_layout,
            value_layout=declaration.value_layout,
            window=declaration.window,
            timestamp=declaration.timestamp,
            wrap_setting=declaration.wrap_setting,
            read_only=statement.read_only or declaration.topic == LOG_TOPIC,
            statement=parsed.text,
        )
        catalog.sources[source.name] = source
        save_source(commit, source)
    return Outcome(parsed.text, f"{word} {statement.name} created")


def already_exists(existing: Source, statement: ast.Statement) -> SemanticError:
    """The error of a second stream or table of one name."""
    return SemanticError(
        f"a {existing.kind.value.lower()} {existing.name} exists already",
        statement.position,
        hint=f"Drop it first: DROP {existing.kind.value} {existing.name};",
    )


def _topic(
    database: Database, commit: Commit, declaration: Declaration, statement: ast.CreateSource
) -> Topic:
    existing = commit.topic(declaration.topic)
    if existing is None:
        if declaration.partitions is None:
            raise SemanticError(
                f"topic {declaration.topic} does not exist",
                statement.position,
                hint="To make it, add PARTITIONS = 1 (or more) to WITH.",
            )
        return database.make_topic(
            commit,
            declaration.topic,
            declaration.partitions,
            replicas=declaration.replicas or 1,
            retention_ms=declaration.retention_ms,
            cleanup_policy=declaration.cleanup_policy
            or default_policy(statement.kind, declaration.window),
        )
    check_partitions(database, declaration, statement)
    return existing


def check_partitions(
    database: Database, declaration: Declaration, statement: ast.CreateSource
) -> None:
    """SemanticError where PARTITIONS is not what the existing topic has."""
    known = database.partitions_of(declaration.topic)
    if declaration.partitions is not None and declaration.partitions != known:
        raise SemanticError(
            f"topic {declaration.topic} exists with {known} partitions, not"
            f" {declaration.partitions}",
            statement.position,
            hint="Leave PARTITIONS out to use the topic as it is.",
        )
