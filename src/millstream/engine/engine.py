"""The engine: all running queries of a database, stepped together, one commit after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from time import perf_counter

from millstream.catalog.model import Source
from millstream.clock import Clock
from millstream.columns.arrow import is_too_much
from millstream.engine.arrival import Arrivals
from millstream.engine.noted import Noted
from millstream.engine.pace import Pace
from millstream.engine.profile import EngineMeters, Profile
from millstream.engine.query import Query, Reading
from millstream.engine.read_ahead import ReadAhead
from millstream.engine.run_cache import RunCache
from millstream.engine.scheduler import (
    LoggedNote,
    Progress,
    QueryFailedError,
    Round,
    load_progress,
    passed_by_others,
)
from millstream.engine.source_rows import SourceReader
from millstream.engine.topology import Topology
from millstream.engine.turns import TurnLock
from millstream.errors import DamagedError, ExecutionError, StoreError
from millstream.store.interfaces import Commit, Done, Store, View

DEFAULT_MAX_ROWS = 50_000
_SMALLER = 16

Feed = Callable[[Commit], int]
"""Appends records from outside to a commit and tells how many."""
LogWriter = Callable[[Commit, Sequence[LoggedNote]], None]
"""Writes notes into the processing log."""


class Engine:
    """Runs queries over a store. One thread steps at a time (`lock`); DDL takes the same lock.

    Whoever has the lock finds in memory what the last commit has in the store. Only within a step
    `ahead` of the commit that is still being written is memory further than that.

    `make` builds a query anew, for the reload after a failure; `on_failed` is told of a query
    whose step raised: it has been taken out and keeps its last committed state.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        make: Callable[[Query], Query],
        write_log: LogWriter,
        on_failed: Callable[[Query, Exception], None],
        max_rows: int = DEFAULT_MAX_ROWS,
    ) -> None:
        self.store = store
        self.clock = clock
        self.lock = TurnLock(self._settle)
        self.committed = threading.Condition()
        self.listeners: list[Callable[[], None]] = []
        """Called after a commit, on any thread; they must be quick."""
        self.commits = 0
        self.rows_total = 0
        self.max_rows = max_rows
        self._rows = max_rows
        self.meters = EngineMeters()
        self.queries: dict[int, Query] = {}
        self._progress: dict[int, Progress] = {}
        self._readers: dict[Reading, SourceReader] = {}
        self._topology = Topology(())
        self._passed: dict[int, int] = {}
        self._runs = RunCache()
        self._arrivals = Arrivals()
        with store.view() as view:
            self._noted = Noted.load(view)
        self._pace = Pace(max_rows)
        self._spoilt = False
        self._failure: BaseException | None = None
        self._read_ahead = ReadAhead(store)
        self._make = make
        self._write_log = write_log
        self._on_failed = on_failed

    # --- which queries run ---------------------------------------------------------------------

    def add(self, query: Query) -> None:
        """Take a query in; its state and positions are those of the last commit.

        Where they cannot be read now, that is done before anything else. DamagedError where they
        never can: it is not taken in.
        """
        with self.lock:
            try:
                with self.store.view() as view:
                    query.load(view)
                    self._progress[query.number] = load_progress(query, view)
                    self.queries[query.number] = query
                    self._arrange(view)
            except DamagedError:
                raise
            except StoreError:
                self.queries[query.number] = query
                self._spoilt = True

    def remove(self, number: int) -> None:
        """Take a query out; nothing stored is touched."""
        with self.lock:
            self._take_out(number)
            self._progress.pop(number, None)
            try:
                with self.store.view() as view:
                    self._arrange(view)
            except StoreError:
                self._spoilt = True

    def _take_out(self, number: int) -> None:
        query = self.queries.pop(number, None)
        if query is not None:
            self.meters.end(query.meters)

    def _arrange(self, view: View) -> None:
        self._topology = Topology(self.queries.values())
        self._passed = passed_by_others(view, self.queries)
        self._readers = {}
        needed: dict[Reading, frozenset[str]] = {}
        sources: dict[Reading, Source] = {}
        for query in self.queries.values():
            for read in query.reads:
                reading = query.reading(read.source)
                sources[reading] = read.source
                needed[reading] = needed.get(reading, frozenset()) | set(read.columns)
        for reading, source in sources.items():
            strict = reading[-1]
            self._readers[reading] = SourceReader(source, needed[reading], strict_time=strict)

    # --- steps ---------------------------------------------------------------------------------

    def step(
        self,
        feeds: Iterable[Feed] = (),
        done: Done | None = None,
        *,
        ahead: bool = False,
        urgent: Callable[[], object] = bool,
    ) -> bool:
        """One commit: append what the feeds give, take every query a step further.

        Whether anything happened. A failing query is taken out and the step done again without
        it; any other exception leaves everything as it was at the last commit.

        `ahead`: it may return before the commit is durable, and then the next step begins while
        that is written. If that fails, the next step raises the error; both have never been.
        `done` is called, on any thread, when it is durable (or nothing happened), or with the
        error that undid it. `urgent`, asked when the feeds have given what they have: whether
        somebody waits for just this commit, so that it is written before anything else.
        """
        feeds = list(feeds)
        told = done or _tell_nobody
        with self.lock.early if ahead else self.lock:
            try:
                moved = self._try(feeds, told, ahead, urgent)
            except BaseException as error:
                told(error)
                raise
        if not moved:
            told(None)
        return moved

    def _try(
        self, feeds: list[Feed], done: Done, ahead: bool, urgent: Callable[[], object]
    ) -> bool:
        """Step, again and again while single queries fail."""
        self.check()
        while True:
            try:
                moved = self._step(feeds, done, ahead, urgent)
            except QueryFailedError as failure:
                # What the query choked on may have gone with the commit before.
                self.store.settle()
                self.check()
                self._recover(failure)
            except BaseException as error:
                self.reload()
                self.check()
                if not self._takes_less(error):
                    raise
            else:
                self._rows = min(2 * self._rows, self.max_rows)
                return moved

    def freshen(self) -> None:
        """Have memory be as the last commit left it, after a failure. Needs the lock."""
        if self._spoilt:
            self.reload()

    def check(self) -> None:
        """Raise the error of a commit that failed after its step; everything is as it was before
        it then. Needs the lock."""
        self.freshen()
        failed, self._failure = self._failure, None
        if failed is not None:
            self._takes_less(failed)
            raise failed

    def _takes_less(self, cause: BaseException) -> bool:
        """Where there was too much for memory, take less from now on; whether that can be."""
        if not is_too_much(cause) or self._rows <= 1:
            return False
        self._rows = max(1, self._rows // _SMALLER)
        return True

    def _settle(self) -> None:
        """Wait for the commit that is being written. If it fails, memory goes back to the one
        before, and the next step raises the error."""
        self.store.settle()
        if self._failure is not None and self._spoilt:
            self.reload()

    def _recover(self, failure: QueryFailedError) -> None:
        """Go back to the last commit: to take less at once where there was too much for memory,
        else to go on without the query."""
        cause = failure.cause
        if self._takes_less(cause):
            self.reload()
            return
        if is_too_much(cause):
            cause = ExecutionError("what one record becomes does not fit into memory")
        self.reload(without=failure.query.number)
        try:
            self._on_failed(failure.query, cause)
        except BaseException:
            # Nobody knows that it failed: it goes on, and is to fail again.
            self.queries[failure.query.number] = failure.query
            self._spoilt = True
            raise

    def _step(
        self, feeds: list[Feed], done: Done, ahead: bool, urgent: Callable[[], object]
    ) -> bool:
        began_s = perf_counter()
        try:
            return self._commit(feeds, done, ahead, urgent)
        finally:
            self.meters.step.add(0, 0, perf_counter() - began_s)

    def _commit(
        self, feeds: list[Feed], done: Done, early: bool, urgent: Callable[[], object]
    ) -> bool:
        meters = self.meters
        began_s = perf_counter()
        ahead = self._read_ahead.take()
        meters.wait.add(0, 0, perf_counter() - began_s)
        with self.store.begin(ahead=early) as commit:
            began_s = perf_counter()
            fed = sum(feed(commit) for feed in feeds)
            meters.input.add(fed, fed, perf_counter() - began_s)
            work = Round(
                commit,
                self._topology,
                self._progress,
                self._readers,
                self._runs,
                self._arrivals,
                self._passed,
                ahead,
                self._pace,
                self._rows,
                meters,
                self._noted.copy(),
            )
            moved = work.run(self._read_ahead)
            if not moved and not fed:
                self._progress = work.after
                return False
            began_s = perf_counter()
            # Operators read back what has left memory, from a view that must not be too old.
            self.store.settle()
            if self._failure is not None:
                raise StoreError("the commit before this one has failed")
            meters.commit.seconds += perf_counter() - began_s
            work.write_states()
            began_s = perf_counter()
            work.write_positions()
            if work.notes:
                self._write_log(commit, work.notes)
            meters.note.add(0, 0, perf_counter() - began_s)
            began_s = perf_counter()
            finish = partial(self._finish, fed, done)
            if early and not urgent():
                commit.commit_later(finish)
            else:
                commit.commit()
                finish(None)
            meters.commit.add(0, 0, perf_counter() - began_s)
        self._runs.committed()
        self._progress = work.after
        self._noted = work.noted
        return True

    def _finish(self, fed: int, done: Done, error: BaseException | None) -> None:
        """A commit is durable, or was undone."""
        if error is not None:
            self._failure, self._spoilt = error, True
            done(error)
            self.announce()
            return
        self.rows_total += fed
        done(None)
        self.announce()

    def profile(self) -> Profile:
        """Where the time of all steps went so far."""
        queries = [(_id_of(q), q.meters) for q in list(self.queries.values())]
        return self.meters.report(queries)

    def close(self) -> None:
        """End the engine's own threads. Idempotent."""
        self.store.settle()
        self._read_ahead.close()

    def announce(self) -> None:
        """Wake everyone who waits for a commit."""
        with self.committed:
            self.commits += 1
            self.committed.notify_all()
        for tell in self.listeners:
            tell()

    def reload(self, without: int | None = None) -> None:
        """Drop all memory and read the last commit, leaving one query out.

        Where that cannot be read either, the next step tries again before anything else.
        """
        self._spoilt = True
        self.store.settle()
        self._runs.clear()
        self._arrivals.clear()
        if without is not None:
            self._take_out(without)
        queries: dict[int, Query] = {}
        progress: dict[int, Progress] = {}
        with self.store.view() as view:
            for old in self.queries.values():
                query = self._make(old)
                query.counters = old.counters
                query.meters.take_over(old.meters)
                query.load(view)
                queries[query.number] = query
                progress[query.number] = load_progress(query, view)
            self.queries, self._progress = queries, progress
            self._noted = Noted.load(view)
            self._arrange(view)
        self._spoilt = False

    def idle(self) -> bool:
        """Whether every query has read all that is there."""
        with self.lock, self.store.view() as view:
            return all(
                view.end(topic_id) <= self._progress[q.number].positions[topic_id]
                for q in self.queries.values()
                for topic_id in q.topic_ids
            )


def _tell_nobody(_: BaseException | None) -> None:
    return


def _id_of(query: Query) -> str:
    return f"query {query.number}" if query.info is None else query.info.id
