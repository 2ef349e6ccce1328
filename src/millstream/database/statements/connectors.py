"""CREATE, DROP, PAUSE, RESUME and DESCRIBE CONNECTOR."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from millstream.catalog.catalog import did_you_mean
from millstream.catalog.model import ConnectorInfo
from millstream.catalog.persistence import save_connector
from millstream.connect.base import ConnectorError
from millstream.connect.options import MASK, is_secret, masked
from millstream.connect.registry import prepare
from millstream.connect.runtime import owner_of
from millstream.database.connectors import POSITION
from millstream.database.outcome import Outcome, Table
from millstream.errors import Position, SemanticError
from millstream.sql import ast
from millstream.sql.script import Parsed

if TYPE_CHECKING:
    from millstream.database.database import Database


def create(database: Database, statement: ast.CreateConnector, parsed: Parsed) -> Outcome:
    """Make a connector and start it; the topics of a source are made, one partition each."""
    name = statement.name
    text = masked_text(statement, parsed.text)
    if name in database.catalog.connectors:
        if statement.if_not_exists:
            return Outcome(text, f"connector {name} exists already")
        raise SemanticError(
            f"a connector {name} exists already",
            statement.position,
            hint=f"Drop it first: DROP CONNECTOR {name};",
        )
    try:
        _, options = prepare(statement.direction, _options(statement))
    except ConnectorError as error:
        raise SemanticError(error.message, statement.position, hint=error.hint) from error
    info = ConnectorInfo(0, name, statement.direction, options, statement=parsed.text)
    topics = None
    if statement.direction == "SOURCE":
        topics = database.connectors.topics_of(info)
    with database.change() as (commit, catalog):
        info = replace(info, id=commit.allocate_id("connector"))
        catalog.connectors[name] = info
        save_connector(commit, info)
        if topics is not None:
            for topic in topics:
                if commit.topic(topic) is None:
                    commit.create_topic(topic, 1)
            commit.put_entry(POSITION, info.id, {})
    running = database.connectors.start(info, None if topics is None else {})
    if running.state == "FAILED":
        return Outcome(text, f"connector {name} created, but FAILED: {running.message}")
    return Outcome(text, f"connector {name} created")


def drop(database: Database, statement: ast.DropConnector, parsed: Parsed) -> Outcome:
    """End a connector and forget its position; its topics stay."""
    info = database.catalog.connectors.get(statement.name)
    if info is None:
        if statement.if_exists:
            return Outcome(parsed.text, f"there is no connector {statement.name}")
        raise _unknown(database, statement.name, statement.position)
    position = database.positions().get(info.id)
    database.connectors.stop(info.name, database.engine.lock)
    try:
        with database.change() as (commit, catalog):
            catalog.connectors.pop(info.name)
            commit.delete_entry("connector", info.id)
            commit.delete_entry(POSITION, info.id)
            commit.drop_positions(owner_of(info.id))
    except BaseException:
        database.connectors.start(database.catalog.connectors[info.name], position)
        raise
    return Outcome(parsed.text, f"connector {info.name} dropped")


def control(database: Database, statement: ast.ControlConnector, parsed: Parsed) -> Outcome:
    """Pause a connector, or let it go on after a pause or a failure."""
    info = database.catalog.connectors.get(statement.name)
    if info is None:
        raise _unknown(database, statement.name, statement.position)
    with database.engine.lock:
        if statement.action is ast.QueryAction.PAUSE:
            database.connectors.pause(info.name)
            return Outcome(parsed.text, f"connector {info.name} paused")
        running = database.connectors.resume(info.name, database.positions().get(info.id))
    if running.problem is not None:
        return Outcome(
            parsed.text, f"connector {info.name} tried again, but FAILED: {running.message}"
        )
    return Outcome(parsed.text, f"connector {info.name} resumed")


def describe(database: Database, statement: ast.DescribeConnector, parsed: Parsed) -> Outcome:
    """A connector's options, secrets masked, and how it fares."""
    info = database.catalog.connectors.get(statement.name)
    if info is None:
        raise _unknown(database, statement.name, statement.position)
    running = database.connectors.find(info.name)
    rows: list[tuple[str, str]] = [("state", running.state if running else info.state)]
    message = running.message if running else info.message
    if message is not None:
        rows.append(("message", message))
    rows += list(masked(info.options).items())
    table = Table(("option", "value"), list(rows))
    return Outcome(parsed.text, f"{info.direction.lower()} connector {info.name}", table)


def _options(statement: ast.CreateConnector) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, expression in statement.properties:
        match expression:
            case ast.StringLiteral(value):
                found[name] = value
            case ast.IntegerLiteral(number):
                found[name] = str(number)
            case ast.BooleanLiteral(flag):
                found[name] = "true" if flag else "false"
            case _:
                raise SemanticError(
                    f"the value of {name} must be a text, a number, true or false",
                    expression.position or statement.position,
                )
    return found


def masked_text(statement: ast.CreateConnector, text: str) -> str:
    """The statement's text with the values of secret options covered."""
    for name, _ in statement.properties:
        if is_secret(name):
            place = rf"""(['"`]?{re.escape(name)}['"`]?\s*=\s*)'(?:[^']|'')*'"""
            text = re.sub(place, rf"\1'{MASK}'", text, flags=re.IGNORECASE)
    return text


def _unknown(database: Database, name: str, position: Position | None) -> SemanticError:
    return SemanticError(
        f"there is no connector {name}",
        position,
        hint=did_you_mean(name, database.catalog.connectors),
    )
