"""ALTER STREAM|TABLE .. ADD COLUMN."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from millstream import types as t
from millstream.catalog.catalog import unknown
from millstream.catalog.model import Source
from millstream.catalog.persistence import save_source
from millstream.database.outcome import Outcome
from millstream.errors import SemanticError
from millstream.plan.layouts import value_layout
from millstream.plan.scope import RESERVED
from millstream.plan.upgrade import relation_obstacle
from millstream.sql import ast
from millstream.sql.script import Parsed

if TYPE_CHECKING:
    from millstream.database.database import Database


def handle(database: Database, statement: ast.AlterSource, parsed: Parsed) -> Outcome:
    """Add columns at the end. Records that were written without them have nulls there; queries
    that read the stream or table keep the columns that they were made with."""
    source = _source(database, statement)
    columns = list(source.schema)
    for written in statement.columns:
        columns.append(_column(database, written, columns))
    schema = t.Schema(tuple(columns))
    old = source.value_layout
    delimiter = old.delimiter if old.format == "DELIMITED" else None
    layout = value_layout(
        old.format, schema.value, source.wrap_setting, delimiter, statement.position
    )
    changed = replace(
        source, schema=schema, value_layout=layout, history=(*source.history, parsed.text)
    )
    obstacle = relation_obstacle(source, changed)
    if obstacle is not None:
        raise SemanticError(
            f"no column can be added to {source.name}: {obstacle}", statement.position
        )
    with database.change() as (commit, catalog):
        catalog.sources[changed.name] = changed
        save_source(commit, changed)
    names = ", ".join(c.name for c in statement.columns)
    return Outcome(parsed.text, f"{names} added to {source.kind.value.lower()} {source.name}")


def _source(database: Database, statement: ast.AlterSource) -> Source:
    word = statement.kind.value.lower()
    source = database.catalog.sources.get(statement.name)
    if source is None:
        raise unknown(word, statement.name, database.catalog.sources, statement.position)
    if source.kind is not statement.kind:
        raise SemanticError(
            f"{source.name} is a {source.kind.value.lower()}",
            statement.position,
            hint=f"Write ALTER {source.kind.value} {source.name}.",
        )
    if source.query_id is not None:
        raise SemanticError(
            f"the columns of {source.name} are those of the query that makes it",
            statement.position,
            hint=f"Write CREATE OR REPLACE {source.kind.value} {source.name} AS SELECT ..",
        )
    if source.read_only:
        raise SemanticError(f"{source.name} is read-only", statement.position)
    return source


def _column(database: Database, written: ast.ColumnDefinition, columns: list[t.Column]) -> t.Column:
    if written.constraint is not ast.ColumnConstraint.NONE:
        raise SemanticError(
            f"{written.name} can only be added to the value, not as {written.constraint.value}",
            written.position,
        )
    if written.name in RESERVED:
        raise SemanticError(
            f"{written.name} is a reserved name",
            written.position,
            hint="Give the column another name.",
        )
    if any(c.name == written.name for c in columns):
        raise SemanticError(f"there is a column {written.name} already", written.position)
    return t.Column(written.name, database.catalog.resolve_type(written.type), t.Role.VALUE)
