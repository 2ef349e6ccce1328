"""The store over one SQLite database: hands out views and commits."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

from millstream.errors import StoreError
from millstream.store.interfaces import Commit, Done, Later, View
from millstream.store.sqlite.cache import TailCache
from millstream.store.sqlite.commit import SqliteCommit
from millstream.store.sqlite.connection import Connection
from millstream.store.sqlite.database import Database
from millstream.store.sqlite.flight import Flight
from millstream.store.sqlite.gate import Gate
from millstream.store.sqlite.image import Image, commit_numbers, load_image
from millstream.store.sqlite.integrity import check_tables
from millstream.store.sqlite.pending import Pending
from millstream.store.sqlite.reader import Reader
from millstream.store.sqlite.view import RecentView, SqliteView
from millstream.store.sqlite.write import is_to_be_merged, write_tables

_PATIENCE_SECONDS = 60.0


class SqliteStore:
    """A database; see `millstream.store.interfaces.Store`. Safe to use from any thread.

    `factory` makes the connections of sqlite3, so that a test can let statements fail.
    """

    def __init__(
        self,
        path: str,
        *,
        read_only: bool = False,
        factory: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> None:
        self.path = path
        self.read_only = read_only
        self._database = Database(path, read_only=read_only, factory=factory)
        self._cache = TailCache()
        self._gate = Gate() if self._database.in_memory else None
        self._shape_hints: dict[int, int] = {}
        self._turn = threading.Lock()
        self._commit: SqliteCommit | None = None
        self._committer = 0
        self._flight: Flight | None = None
        self._background = ThreadPoolExecutor(1, thread_name_prefix="millstream-commit")
        self.writes_here = self._gate is not None
        self._upcoming: Image | None = None
        self._is_stale = False
        self._closed = False
        try:
            self._image = self._load()
        except BaseException:
            self._database.close()
            raise

    def view(self) -> AbstractContextManager[View]:
        """A view of the last commit, for any thread; it stays as it is until it is left."""
        return SqliteView(self, self._cache)

    def recent(self) -> View | None:
        """The last commit as far as memory holds it; see `Store.recent`."""
        self._check_open()
        return None if self.read_only or self._is_stale else RecentView(self._image, self._cache)

    def begin(self, *, ahead: bool = False) -> Commit:
        """Begin a commit. While another thread has one open this waits for it; in the thread that
        has one open already, and on a read-only store, it raises StoreError."""
        self._check_open()
        if self.read_only:
            raise StoreError(
                f"the database '{self.path}' is open read-only", hint="Open it for writing."
            )
        me = threading.get_ident()
        if self._commit is not None and self._committer == me:
            raise StoreError("a commit is open already", hint="Commit it or leave its block first.")
        if not self._turn.acquire(timeout=_PATIENCE_SECONDS):
            raise StoreError(
                f"another thread has had a commit open for {_PATIENCE_SECONDS:.0f} s",
                hint="Commit it or leave its block.",
            )
        try:
            self._check_open()
            if not ahead:
                self.settle()
            flight = self._flight
            if flight is None and self._is_stale:
                self._image = load_image(self._database.ready_writer())
                self._is_stale = False
            commit = SqliteCommit(
                self,
                self._image if flight is None else flight.image,
                self._cache,
                self._shape_hints,
                spill=self._gate is None,
                before=flight,
            )
        except BaseException:
            self._turn.release()
            raise
        self._commit, self._committer = commit, me
        return commit

    def settle(self) -> None:
        """Wait until nothing is being written on another thread; how that ended, `commit_later` has
        told."""
        flight = self._flight
        if flight is not None:
            flight.over.wait()

    def close(self) -> None:
        """Undo an open commit of this thread, wait for that of another, and release the file.
        Idempotent. Views that are still open end with their block."""
        if self._closed:
            return
        if self._commit is not None and self._committer == threading.get_ident():
            self._commit.rollback()
        has_turn = self._turn.acquire(timeout=_PATIENCE_SECONDS)
        try:
            self.settle()
            self._closed = True
            self._background.shutdown()
            self._database.close()
            self._cache.clear()
        finally:
            if has_turn:
                self._turn.release()

    # What commits and views need.

    def writing(self) -> AbstractContextManager[None]:
        """While nobody else may use the connection."""
        return contextlib.nullcontext() if self._gate is None else self._gate.writing()

    def publish(self, image: Image) -> None:
        """The image is about to be committed: views that see that commit may use it."""
        self._upcoming = image

    def later(self, reader: Reader) -> Later | None:
        """How to read later what a reader sees now: by itself while it is open, then by views of
        the last commit. None in memory, where reading later would spare nothing.

        A read-only store has no later: the writer goes on, and what was read no longer fits."""
        if self._gate is not None:
            return None
        known = weakref.ref(reader)

        def again() -> AbstractContextManager[View]:
            first = known()
            if first is not None and first.is_open:
                return contextlib.nullcontext(first)
            if self.read_only:
                raise StoreError("the view is over", hint="Read inside its 'with' block.")
            return self.view()

        return again

    def writer(self) -> Connection:
        """The connection for writing, which is not in a transaction."""
        return self._database.ready_writer()

    def finish(self, image: Image | None, *, wrote: bool) -> None:
        """The commit is over; the image it left, or None where it was undone. `wrote`: it has begun
        to write."""
        try:
            if wrote:
                self._land(image)
                if image is not None and self._gate is None and is_to_be_merged(image):
                    self._merge_later(image)
        finally:
            self._commit = None
            self._turn.release()

    def launch(self, flight: Flight, write: Callable[[], None], done: Done) -> None:
        """Let another thread write; the next commit may begin."""
        self._flight = flight
        try:
            self._background.submit(self._fly, flight, write, done)
        except BaseException as error:
            # There is no thread. Should there be one later, it finds that all is over.
            flight.error = error
            self._end(flight)
            raise
        finally:
            self._commit = None
            self._turn.release()

    def _merge_later(self, image: Image) -> None:
        """Let another thread merge the frames, which nobody waits for. What it does not get done is
        left to the next commit."""
        image = image.copy()
        self._flight = flight = Flight(image, Pending())

        def merge() -> None:
            connection = self.writer()
            self.publish(image)
            connection.run("BEGIN IMMEDIATE")
            written = write_tables(connection, image, flight.pending)
            connection.run("COMMIT")
            for run in written:
                self._cache.add(*run)

        try:
            self._background.submit(self._fly, flight, merge, lambda _: None)
        except RuntimeError:  # There is no thread.
            self._end(flight)

    def _fly(self, flight: Flight, write: Callable[[], None], done: Done) -> None:
        if flight.over.is_set():
            return
        try:
            try:
                write()
                self._land(flight.image)
            except BaseException as error:
                flight.error = error
                self._land(None)
            finally:
                done(flight.error)
        finally:
            self._end(flight)

    def _end(self, flight: Flight) -> None:
        self._flight = None
        flight.over.set()

    def _land(self, image: Image | None) -> None:
        """What was written is durable, or to be undone (None)."""
        try:
            if image is not None:
                self._image = image
                if image.frames.count == 0:  # Between two merges the log grows by little.
                    self._database.bound_log()
            else:
                # What is in memory is read anew by the next commit.
                self._is_stale = True
                self._cache.clear()
                self._database.undo()
        finally:
            self._upcoming = None

    def enter_view(self) -> tuple[Connection, Image, int]:
        """A connection that sees one commit, that commit's image, and a ticket."""
        self._check_open()
        if self._gate is not None:
            ticket = self._gate.enter()
            try:
                return self._database.ready_writer(), self._image, ticket
            except BaseException:
                self._gate.leave(ticket)
                raise
        connection = self._database.reader()
        try:
            connection.run("BEGIN")
            return connection, self._image_of(connection), 0
        except BaseException:
            connection.close()
            raise

    def leave_view(self, connection: Connection, ticket: int) -> None:
        """The view is over."""
        if self._gate is not None:
            self._gate.leave(ticket)
            return
        try:
            connection.run("ROLLBACK")
        except StoreError:
            connection.close()
            return
        self._database.give_back(connection)

    def _image_of(self, connection: Connection) -> Image:
        """The image of the commit that the connection's transaction sees."""
        numbers = commit_numbers(connection)
        for image in (self._image, self._upcoming):
            if image is not None and (image.number, image.merged) == numbers:
                return image
        image = load_image(connection, self._image)
        if self.read_only and numbers > (self._image.number, self._image.merged):
            self._image = image
        return image

    def _load(self) -> Image:
        """The image of the last commit, of a file that is looked at before."""
        if self._database.writer is not None:
            check_tables(self._database.writer, self.path)
            return load_image(self._database.writer)
        connection = self._database.reader()
        try:
            connection.run("BEGIN")
            check_tables(connection, self.path)
            image = load_image(connection)
            connection.run("ROLLBACK")
        except BaseException:
            connection.close()
            raise
        self._database.give_back(connection)
        return image

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"the database '{self.path}' is closed", hint="Open it again.")
