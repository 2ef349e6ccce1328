"""One handler a kind of statement, and the table that finds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from millstream.catalog.model import Source
from millstream.database.outcome import Outcome
from millstream.database.statements import (
    alter,
    connectors,
    create_as,
    describe,
    drop,
    explain,
    insert_values,
    print_topic,
    queries,
    replace,
    select,
    session,
    show,
    types,
)
from millstream.errors import NotSupportedYetError
from millstream.sql import ast
from millstream.sql.script import Parsed

if TYPE_CHECKING:
    from millstream.database.database import Database

Handler = Callable[["Database", Any, Parsed], Outcome]

_HANDLERS: dict[type[ast.Statement], Handler] = {
    ast.CreateSource: replace.source,
    ast.CreateAsSelect: replace.query,
    ast.AlterSource: alter.handle,
    ast.InsertIntoSelect: create_as.insert_into,
    ast.InsertValues: insert_values.handle,
    ast.DropSource: drop.handle,
    ast.Select: select.handle,
    ast.ControlQuery: queries.handle,
    ast.CreateConnector: connectors.create,
    ast.DropConnector: connectors.drop,
    ast.ControlConnector: connectors.control,
    ast.DescribeConnector: connectors.describe,
    ast.SetProperty: session.set_property,
    ast.UnsetProperty: session.unset_property,
    ast.DefineVariable: session.define,
    ast.UndefineVariable: session.undefine,
    ast.CreateType: types.create,
    ast.DropType: types.drop,
    ast.Show: show.handle,
    ast.Describe: describe.handle,
    ast.DescribeFunction: describe.function,
    ast.Explain: explain.handle,
    ast.PrintTopic: print_topic.handle,
}

_READING = (
    ast.Select,
    ast.PrintTopic,
    ast.Show,
    ast.Describe,
    ast.DescribeFunction,
    ast.DescribeConnector,
    ast.Explain,
    ast.SetProperty,
    ast.UnsetProperty,
    ast.DefineVariable,
    ast.UndefineVariable,
)
"""Statements that leave the database as it is."""

_NAMES: dict[type[ast.Statement], str] = {
    ast.AssertTopic: "ASSERT TOPIC",
    ast.AssertSchema: "ASSERT SCHEMA",
    ast.AssertValues: "ASSERT VALUES",
    ast.AssertTombstone: "ASSERT NULL VALUES",
    ast.AssertSource: "ASSERT STREAM|TABLE",
    ast.RunScript: "RUN SCRIPT",
}


def handle(database: Database, parsed: Parsed, *, skip_existing: bool = False) -> Outcome:
    """Execute a statement. `skip_existing`: leave it out where its identical text has already
    made the object that exists."""
    statement = parsed.statement
    handler = _HANDLERS.get(type(statement))
    if handler is None:
        name = _NAMES.get(type(statement), type(statement).__name__)
        raise NotSupportedYetError(name, statement.position)
    if not isinstance(statement, _READING):
        database.check_writable()
    if skip_existing and _made_before(database, parsed):
        text = parsed.text
        if isinstance(statement, ast.CreateConnector):
            text = connectors.masked_text(statement, text)
        return Outcome(text, "skipped: it exists, made by this very statement", skipped=True)
    return handler(database, statement, parsed)


def _made_before(database: Database, parsed: Parsed) -> bool:
    catalog = database.catalog
    match parsed.statement:
        case ast.CreateSource() | ast.CreateAsSelect() | ast.AlterSource():
            return _made_source(catalog.sources.get(parsed.statement.name), parsed)
        case ast.InsertIntoSelect():
            return any(q.statement == parsed.text for q in catalog.queries.values())
        case ast.CreateType():
            return types.made_before(catalog, parsed.statement)
        case ast.CreateConnector(name=name):
            connector = catalog.connectors.get(name)
            return connector is not None and connector.statement == parsed.text
    return False


def _made_source(source: Source | None, parsed: Parsed) -> bool:
    """Whether a statement made a stream or table, or an earlier version of it, or changed it.

    One that is to replace whatever is there counts only while it is the last one."""
    if source is None:
        return False
    if source.statement == parsed.text:
        return True
    replaces = getattr(parsed.statement, "or_replace", False)
    return not replaces and parsed.text in source.history
