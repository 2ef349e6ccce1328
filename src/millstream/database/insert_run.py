"""INSERT statements that follow one another in a script: written together.

A commit costs far more than a row; a script of 100,000 INSERTs must not make as many commits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from millstream.catalog.model import Source
from millstream.database.insert import append_rows
from millstream.database.outcome import Outcome
from millstream.errors import MillstreamError
from millstream.sql import ast
from millstream.sql.script import Parsed

if TYPE_CHECKING:
    from millstream.database.database import Database

MOST_ROWS = 1_000
MOST_CHARACTERS = 4_000_000
"""Of the statements whose rows wait."""


class Waiting(NamedTuple):
    """A row that waits to be written, and the statement that it comes from."""

    row: dict[str, Any]
    rowtime: int
    parsed: Parsed


class InsertRun:
    """The rows of INSERT statements into one stream or table, until they are written."""

    def __init__(self, database: Database, script: str) -> None:
        self._database = database
        self._script = script
        self._source: Source | None = None
        self._waiting: list[Waiting] = []
        self._characters = 0

    def add(self, parsed: Parsed) -> Iterator[Outcome]:
        """Let the statement's row wait. Where it does not go with those that do, these are written
        first, and what their statements did is given."""
        from millstream.database.statements.insert_values import row_of

        assert isinstance(parsed.statement, ast.InsertValues)
        with self._database.statement(parsed, self._script):
            self._database.check_writable()
            source, row, rowtime = row_of(self._database, parsed.statement)
        full = len(self._waiting) >= MOST_ROWS or self._characters >= MOST_CHARACTERS
        if full or source is not self._source:
            yield from self.write()
        self._source = source
        self._waiting.append(Waiting(row, rowtime, parsed))
        self._characters += len(parsed.text)

    def write(self) -> Iterator[Outcome]:
        """Write what waits; what its statements did. Where a row cannot be written, those before it
        are, and the error of its statement is raised."""
        waiting, source = self._waiting, self._source
        self._waiting, self._source, self._characters = [], None, 0
        if source is None:
            return
        written = len(waiting) > 1 and self._write_all(source, waiting)
        for row, rowtime, parsed in waiting:
            if not written:
                with self._database.statement(parsed, self._script):
                    append_rows(self._database, source, [row], [rowtime])
            yield Outcome(parsed.text, f"1 row written to {source.name}")

    def _write_all(self, source: Source, waiting: list[Waiting]) -> bool:
        """Write rows in one commit; whether that went well."""
        rows, times = [w.row for w in waiting], [w.rowtime for w in waiting]
        try:
            append_rows(self._database, source, rows, times)
        except MillstreamError:
            return False
        return True
