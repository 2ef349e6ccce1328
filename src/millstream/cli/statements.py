"""Statements that the command executes, and what they said."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from millstream.cli.protocol import Outcome
from millstream.cli.tables import print_rows
from millstream.errors import MillstreamError, ParseError

_EMIT_CHANGES = re.compile(r"\bEMIT\s+CHANGES\b", re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_INSERT_VALUES = re.compile(r"\s*INSERT\s+INTO\b[^()]*(\([^()]*\))?\s*VALUES\b", re.IGNORECASE)
_REST = re.compile(r"\(|\bWITH\b|\bAS\b", re.IGNORECASE)
_encoder = msgspec.json.Encoder(decimal_format="number")


def kind_of(sql: str) -> str:
    """What a text asks for: `push` (a SELECT that goes on for ever), `pull` (any other SELECT), or
    `statement` (SHOW, DESCRIBE and the like)."""
    from millstream.sql import ast
    from millstream.sql.script import parse_statement

    try:
        statement = parse_statement(sql)
    except ParseError:
        # SQL beyond ksqlDB's may be right all the same; only EMIT CHANGES must be ours to read.
        return "push" if _EMIT_CHANGES.search(sql) else "pull"
    if not isinstance(statement, ast.Select):
        return "statement"
    return "push" if statement.query.emit is ast.Emit.CHANGES else "pull"


def read_script(name: str) -> str:
    """The text of a script file, or of stdin where it is `-`. Raises MillstreamError."""
    try:
        if name == "-":
            # As a text, stdin would let bytes through that are not UTF-8.
            return sys.stdin.buffer.read().decode("utf-8")
        return Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise MillstreamError(
            f"{shown_name(name)} is not UTF-8 text: byte {error.start} is"
            f" {error.object[error.start]:#04x}.",
            hint="Save the script as UTF-8.",
        ) from error


def shown_name(name: str) -> str:
    """A script file as messages call it."""
    return "stdin" if name == "-" else name


def tell_outcome(console: Console, outcome: Outcome, *, as_json: bool) -> None:
    """Tell what a statement did, a person or a program."""
    if as_json:
        print(outcome_json(outcome), flush=True)
    else:
        print_outcome(console, outcome)


def print_outcome(console: Console, outcome: Outcome) -> None:
    """Tell a person what a statement did: its message, or the table that it gives."""
    if outcome.skipped:
        told = f"{headline(outcome.statement)}: {outcome.message}"
        console.print(Text(told, style="dim"), soft_wrap=True)
    elif outcome.message:
        console.print(Text(outcome.message), soft_wrap=True)
    if outcome.table is not None:
        print_rows(console, outcome.table.columns, outcome.table.rows)
        console.print()


def is_insert(statement: str) -> bool:
    """Whether a statement appends rows of its own to a stream or table."""
    return _INSERT_VALUES.match(_COMMENT.sub(" ", statement)) is not None


def headline(statement: str) -> str:
    """A statement's beginning, which says what it is about: `CREATE STREAM clicks`."""
    code = " ".join(_COMMENT.sub(" ", statement).split())
    return _REST.split(code, maxsplit=1)[0].rstrip(" ;")


def outcome_json(outcome: Outcome) -> str:
    """What a statement did as a JSON object on one line."""
    told: Mapping[str, object] = {
        "statement": outcome.statement,
        "message": outcome.message,
        "skipped": outcome.skipped,
    }
    if outcome.table is not None:
        columns = outcome.table.columns
        told = {
            **told,
            "columns": list(columns),
            "rows": [dict(zip(columns, row, strict=True)) for row in outcome.table.rows],
        }
    return _encoder.encode(told).decode()
