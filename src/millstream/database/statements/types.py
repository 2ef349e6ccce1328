"""CREATE TYPE and DROP TYPE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.catalog.catalog import Catalog, unknown
from millstream.catalog.model import CustomType
from millstream.catalog.persistence import save_type
from millstream.database.outcome import Outcome
from millstream.errors import SemanticError
from millstream.sql import ast
from millstream.sql.script import Parsed
from millstream.store.interfaces import Commit

if TYPE_CHECKING:
    from millstream.database.database import Database


def create(database: Database, statement: ast.CreateType, parsed: Parsed) -> Outcome:
    """Give a type a name; statements from here on may use it."""
    # What there is to say without a change of the catalogue is said first.
    known = _existing(database.catalog, statement, parsed)
    if known is not None:
        return known
    with database.change() as (commit, catalog):
        return create_in(commit, catalog, statement, parsed)


def create_in(
    commit: Commit, catalog: Catalog, statement: ast.CreateType, parsed: Parsed
) -> Outcome:
    """The same within a change of the catalogue. SemanticError where it cannot be, and then nothing
    was changed."""
    known = _existing(catalog, statement, parsed)
    if known is not None:
        return known
    resolved = catalog.resolve_type(statement.type)
    custom = CustomType(commit.allocate_id("type"), statement.name, resolved)
    catalog.types[custom.name] = custom
    save_type(commit, custom)
    return Outcome(parsed.text, f"type {statement.name} created")


def _existing(catalog: Catalog, statement: ast.CreateType, parsed: Parsed) -> Outcome | None:
    """What there is to say where the name is taken; None where it is free."""
    if statement.name not in catalog.types:
        return None
    if statement.if_not_exists:
        return Outcome(parsed.text, f"type {statement.name} exists already")
    raise SemanticError(f"a type {statement.name} exists already", statement.position)


def made_before(catalog: Catalog, statement: ast.CreateType) -> bool:
    """Whether the type is there, and what the statement says."""
    custom = catalog.types.get(statement.name)
    return custom is not None and custom.type == catalog.resolve_type(statement.type)


def drop(database: Database, statement: ast.DropType, parsed: Parsed) -> Outcome:
    """Forget a type's name; what was declared with it keeps its meaning."""
    custom = database.catalog.types.get(statement.name)
    if custom is None:
        if statement.if_exists:
            return Outcome(parsed.text, f"there is no type {statement.name}")
        raise unknown("type", statement.name, database.catalog.types, statement.position)
    with database.change() as (commit, catalog):
        catalog.types.pop(statement.name)
        commit.delete_entry("type", custom.id)
    return Outcome(parsed.text, f"type {statement.name} dropped")
