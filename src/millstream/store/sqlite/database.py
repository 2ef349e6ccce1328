"""The database file: opening it, its settings, its connections, who may write."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from urllib.parse import quote

from millstream.errors import StoreError
from millstream.store.sqlite import schema
from millstream.store.sqlite.connection import Connection
from millstream.store.sqlite.failures import FAILURES, explain
from millstream.store.sqlite.integrity import check_header
from millstream.store.sqlite.lock import WriterLock

MEMORY = ":memory:"
"""The path of a database that lives in memory."""

_MAGIC = b"SQLite format 3\0"
_BUSY_MS = 10_000
_PAGE_BYTES = 8192
_CACHE_KIB = 16 << 10

# The log is copied into the file when it has grown by about 16 MB. Less, and a steady load would
# copy the pages that every commit touches again and again, with two more syncs each time; more,
# and the copying that one commit in many does would be felt as a pause.
_CHECKPOINT_PAGES = (16 << 20) // _PAGE_BYTES

# A long view keeps the log from being used again from its start, so it grows; once the view is
# gone the file is cut back to this size.
_JOURNAL_LIMIT_BYTES = 64 << 20

_LOG_PATIENCE_MS = 200

_IDLE_READERS = 4


class Database:
    """One database file, or one in memory.

    Opened for writing it holds the writer's lock and makes the tables of a new file. `factory`
    makes the connections of sqlite3, so that a test can let statements fail.
    """

    def __init__(
        self,
        path: str,
        *,
        read_only: bool = False,
        factory: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> None:
        self.path = path
        self.in_memory = path == MEMORY
        self._file = path if self.in_memory else os.path.realpath(path)
        self._read_only = read_only
        self._factory = factory
        self._immutable = False
        self._mutex = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False
        self._log_limit = _JOURNAL_LIMIT_BYTES
        self._lock: WriterLock | None = None
        self.writer: Connection | None = None
        if read_only:
            self._check_exists()
            self._check_header()
            self._idle.append(self._open_reader())
            return
        if not self.in_memory:
            self._lock = WriterLock(self._file)
        try:
            self.writer = self._open_writer()
        except BaseException:
            self._release()
            raise

    def reader(self) -> Connection:
        """A connection for a view, from the pool or new; the in-memory database has only one."""
        if self._closed:
            raise StoreError(f"the database '{self.path}' is closed", hint="Open it again.")
        if self.in_memory and self.writer is not None:
            return self.writer
        with self._mutex:
            if self._idle:
                return self._idle.pop()
        return self._open_reader()

    def give_back(self, connection: Connection) -> None:
        """Return a connection that `reader` gave, outside a transaction."""
        if connection is self.writer:
            return
        with self._mutex:
            if not self._closed and len(self._idle) < _IDLE_READERS:
                self._idle.append(connection)
                return
        connection.close()

    def ready_writer(self) -> Connection:
        """The connection for writing, outside a transaction; what a failed rollback left behind is
        put right first."""
        if self.writer is None:
            self.writer = self._open_writer()
        if self.writer.in_transaction:
            self.writer.run("ROLLBACK")
        return self.writer

    @property
    def is_writing(self) -> bool:
        """Whether a transaction that writes is open."""
        return self.writer is not None and self.writer.in_transaction

    def undo(self) -> None:
        """Roll back what the writer has begun, if anything. Never fails: a connection that cannot
        even do that is given up, and another one opened when it is needed."""
        if self.writer is None or not self.writer.in_transaction:
            return
        try:
            self.writer.run("ROLLBACK")
        except StoreError:
            if not self.in_memory:
                self.writer.close()
                self.writer = None

    def bound_log(self) -> None:
        """Keep the write-ahead log from growing without an end; called after each commit into
        the tables.

        SQLite copies the log into the file every 16 MB, and begins it anew when nobody reads from
        it. Where views overlap all the time, somebody always does. Then, for a moment, new views
        are made to wait for the old ones. Should an old one not end, it is tried again each time
        the log has doubled.
        """
        if self.writer is None or self.in_memory:
            return
        size = self._log_bytes()
        if size <= self._log_limit:
            return
        try:
            self.writer.run(f"PRAGMA busy_timeout = {_LOG_PATIENCE_MS}")
            busy = self.writer.one("PRAGMA wal_checkpoint(RESTART)")
            done = busy is not None and busy[0] == 0
            self.writer.run(f"PRAGMA busy_timeout = {_BUSY_MS}")
        except StoreError:
            # The commit itself is safe; what is wrong with the disk the next one will tell.
            done = False
        self._log_limit = _JOURNAL_LIMIT_BYTES if done else 2 * size

    def _log_bytes(self) -> int:
        try:
            return os.stat(f"{self._file}-wal").st_size
        except OSError:
            return 0

    def close(self) -> None:
        """Close all connections that are not in use and let others write. Idempotent."""
        with self._mutex:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        if self.writer is not None:
            self.writer.close()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _check_header(self) -> None:
        """Raise StoreError where the file has contents that are not SQLite's; SQLite itself takes
        a file of a few bytes for an empty one, and overwrites it."""
        try:
            with open(self._file, "rb") as file:
                start = file.read(len(_MAGIC))
        except OSError as error:
            raise StoreError(
                f"the database '{self.path}' cannot be read: {error.strerror}",
                hint="Check the path and the permissions of the file.",
            ) from error
        if start not in (b"", _MAGIC):
            raise StoreError(
                f"the file '{self.path}' is not a Millstream database",
                hint="Give the path of a database, or of a file that does not exist yet.",
            )
        check_header(self._file, self.path, is_writer=not self._read_only)

    def _check_exists(self) -> None:
        if self.in_memory:
            raise StoreError("an in-memory database cannot be opened read-only")
        if not os.path.isfile(self._file):
            raise StoreError(
                f"there is no database '{self.path}'",
                hint="Check the path, or open it for writing to make it.",
            )

    def _open_writer(self) -> Connection:
        if self.in_memory:
            connection = self._connect(MEMORY)
        else:
            self._make_file()
            self._check_header()
            connection = self._connect(f"file:{quote(self._file)}?mode=rw")
        try:
            is_new = schema.is_empty(connection)
            if not is_new:
                schema.check(connection, self.path)
            else:
                connection.run(f"PRAGMA page_size = {_PAGE_BYTES}")
            connection.run("PRAGMA journal_mode = WAL")
            connection.run("PRAGMA synchronous = FULL")
            connection.run(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            connection.run(f"PRAGMA journal_size_limit = {_JOURNAL_LIMIT_BYTES}")
            connection.run("PRAGMA secure_delete = OFF")
            if is_new:
                schema.create(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_file(self) -> None:
        """Make the file, readable by its owner only; SQLite gives its log the same mode."""
        with contextlib.suppress(FileExistsError):
            try:
                os.close(os.open(self._file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            except FileExistsError:
                raise
            except OSError as error:
                raise StoreError(
                    f"the database '{self.path}' cannot be made: {error.strerror}",
                    hint="Check that its folder exists and may be written.",
                ) from error

    def _open_reader(self) -> Connection:
        if not self._immutable:
            try:
                return self._checked(f"file:{quote(self._file)}?mode=ro")
            except StoreError:
                if not self._is_at_rest():
                    raise
        # In a folder that cannot be written SQLite cannot make the files that it shares with a
        # writer; but there is none, and the file is complete.
        connection = self._checked(f"file:{quote(self._file)}?immutable=1")
        self._immutable = True
        return connection

    def _is_at_rest(self) -> bool:
        """Whether nothing but the file itself holds data, and nobody can be writing."""
        log = f"{self._file}-wal"
        folder = os.path.dirname(self._file)
        return not os.access(folder, os.W_OK) and (
            not os.path.exists(log) or os.path.getsize(log) == 0
        )

    def _checked(self, uri: str) -> Connection:
        connection = self._connect(uri)
        try:
            if schema.is_empty(connection):
                raise StoreError(
                    f"the database '{self.path}' is empty",
                    hint="Open it for writing first, which makes its tables.",
                )
            schema.check(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, uri: str) -> Connection:
        try:
            raw = sqlite3.connect(
                uri,
                timeout=_BUSY_MS / 1000,
                isolation_level=None,
                check_same_thread=False,
                factory=self._factory,
                cached_statements=64,
                uri=True,
            )
        except FAILURES as error:
            raise explain(error, self.path) from error
        connection = Connection(raw, self.path)
        try:
            connection.run(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.run("PRAGMA temp_store = MEMORY")
        except BaseException:
            connection.close()
            raise
        return connection
