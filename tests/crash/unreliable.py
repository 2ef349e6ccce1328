"""A database whose SQLite fails, now and then or all the time, as a disk or another process may."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from millstream.clock import FixedClock
from millstream.database import Database
from millstream.functions.registry import Registry
from millstream.store.sqlite.store import SqliteStore

BUSY, LOCKED = sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED
IOERR, FULL = sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_FULL
CORRUPT, READONLY = sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_READONLY
CODES = (BUSY, LOCKED, IOERR, sqlite3.SQLITE_IOERR_READ, FULL, CORRUPT, READONLY)

WRITES = ("BEGIN IMMEDIATE", "INSERT", "UPDATE", "DELETE", "COMMIT")
"""How statements begin that need room, or a file that can be written."""

Fault = Callable[[str], int | None]
"""Tells of a statement with which code it fails, None where it does not."""


class Unreliable(sqlite3.Connection):
    """A connection whose statements fail as `fault` says, in whatever thread."""

    fault: ClassVar[Fault | None] = None
    failed: ClassVar[int] = 0
    _mutex: ClassVar[threading.Lock] = threading.Lock()

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        self._meet(sql)
        return super().execute(sql, *parameters)

    def executemany(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        self._meet(sql)
        return super().executemany(sql, *parameters)

    @classmethod
    def _meet(cls, sql: str) -> None:
        with cls._mutex:
            code = None if cls.fault is None else cls.fault(sql)
            if code is None:
                return
            cls.failed += 1
        error = sqlite3.OperationalError("injected")
        error.sqlite_errorcode = code
        raise error


@contextmanager
def failing(fault: Fault) -> Iterator[None]:
    """Let statements fail within the block."""
    Unreliable.fault, Unreliable.failed = fault, 0
    try:
        yield
    finally:
        Unreliable.fault = None


def now_and_then(chance: random.Random, share: float) -> Fault:
    """A share of all statements fails, each with any code."""
    return lambda _: chance.choice(CODES) if chance.random() < share else None


def writes(code: int) -> Fault:
    """Whatever writes fails."""
    return lambda sql: code if sql.startswith(WRITES) else None


def at(number: int, code: int) -> Fault:
    """The statement of this number, from 1, fails."""
    left = number

    def fault(_: str) -> int | None:
        nonlocal left
        left -= 1
        return code if left == 0 else None

    return fault


def open_unreliable(
    path: str, *, cache: int = 0, max_rows: int = 50_000, registry: Registry | None = None
) -> Database:
    """A database at a path whose connections are `Unreliable`."""
    store = SqliteStore(path, factory=Unreliable)
    try:
        return Database(
            store,
            clock=FixedClock(1_700_000_000_000),
            properties={"cache.max.bytes.buffering": str(cache)},
            max_rows=max_rows,
            registry=registry,
        )
    except BaseException:
        store.close()
        raise
