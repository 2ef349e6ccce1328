"""CREATE TYPE statements that follow one another in a script: one change of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from millstream.database.outcome import Outcome
from millstream.errors import SqlError
from millstream.sql import ast
from millstream.sql.script import Parsed

if TYPE_CHECKING:
    from millstream.database.database import Database

MOST_TYPES = 1_000


class TypeRun:
    """CREATE TYPE statements until they are carried out."""

    def __init__(self, database: Database, script: str, *, skip_existing: bool) -> None:
        self._database = database
        self._script = script
        self._skip_existing = skip_existing
        self._waiting: list[Parsed] = []

    def add(self, parsed: Parsed) -> Iterator[Outcome]:
        """Let a statement wait. Where so many do already, these are carried out first."""
        if len(self._waiting) >= MOST_TYPES:
            yield from self.write()
        self._waiting.append(parsed)

    def write(self) -> Iterator[Outcome]:
        """Carry out what waits; what it did. Those before one that fails stay, and its error is
        raised."""
        waiting, self._waiting = self._waiting, []
        if len(waiting) < 2:
            for parsed in waiting:
                yield self._database.execute_statement(
                    parsed, source=self._script, skip_existing=self._skip_existing
                )
            return
        done, failed = self._create(waiting)
        yield from done
        if failed is not None:
            parsed, error = failed
            with self._database.statement(parsed, self._script):
                raise error

    def _create(
        self, waiting: list[Parsed]
    ) -> tuple[list[Outcome], tuple[Parsed, SqlError] | None]:
        """Make the types, up to one that cannot be."""
        from millstream.database.statements.types import create_in, made_before

        done: list[Outcome] = []
        self._database.check_writable()
        with self._database.changing(), self._database.change() as (commit, catalog):
            for parsed in waiting:
                assert isinstance(parsed.statement, ast.CreateType)
                try:
                    if self._skip_existing and made_before(catalog, parsed.statement):
                        told = "skipped: it exists, made by this very statement"
                        done.append(Outcome(parsed.text, told, skipped=True))
                        continue
                    done.append(create_in(commit, catalog, parsed.statement, parsed))
                except SqlError as error:
                    return done, (parsed, error)
        return done, None
