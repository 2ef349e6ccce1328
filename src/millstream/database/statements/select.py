"""SELECT as a statement of a script: a pull query's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.database.outcome import Outcome, Table
from millstream.errors import SemanticError
from millstream.sql import ast
from millstream.sql.script import Parsed

if TYPE_CHECKING:
    from millstream.database.database import Database


def handle(database: Database, statement: ast.Select, parsed: Parsed) -> Outcome:
    """Answer a pull query; a push query has no end and no place in a script."""
    from millstream.database.pull import pull

    if statement.query.emit is not None:
        raise SemanticError(
            "a push query never ends, so it cannot be a statement of a script",
            statement.position,
            hint="Use subscribe for it, or leave EMIT out.",
        )
    result = pull(database, statement.query)
    rows = result.rows()
    count = f"{len(rows)} row" + ("" if len(rows) == 1 else "s")
    return Outcome(parsed.text, count, Table(tuple(result.columns), list(rows)))
