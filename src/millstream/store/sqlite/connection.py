"""A connection to SQLite: statements in, rows out, errors as StoreError."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from millstream.store.sqlite.failures import FAILURES, explain

Row = tuple[Any, ...]


class Connection:
    """One connection, usable from any thread; one statement at a time.

    Transactions are explicit (`begin`, `commit`, `rollback`). Every statement runs to its end
    before it returns, so no cursor is left open across writes.
    """

    def __init__(self, raw: sqlite3.Connection, path: str) -> None:
        self._raw = raw
        self._path = path
        self._mutex = threading.Lock()

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a statement."""
        try:
            with self._mutex:
                return self._raw.execute(sql, parameters).fetchall()
        except FAILURES as error:
            raise explain(error, self._path) from error

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """The first row of a statement, or None."""
        rows = self.all(sql, parameters)
        return rows[0] if rows else None

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Execute a statement that gives no rows."""
        try:
            with self._mutex:
                self._raw.execute(sql, parameters)
        except FAILURES as error:
            raise explain(error, self._path) from error

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement once per row of parameters."""
        try:
            with self._mutex:
                self._raw.executemany(sql, rows)
        except FAILURES as error:
            raise explain(error, self._path) from error

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._raw.in_transaction

    def close(self) -> None:
        """Close it. Idempotent; a failure to close is not worth an error."""
        try:
            with self._mutex:
                self._raw.close()
        except FAILURES:
            return
