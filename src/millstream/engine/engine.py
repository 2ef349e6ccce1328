"""The engine: all running queries of a database, stepped together, one commit after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from millstream.clock import Clock
from millstream.engine.arrival import Arrivals
from millstream.engine.pace import Pace
from millstream.engine.query import Query
from millstream.engine.read_ahead import ReadAhead
from millstream.engine.run_cache import RunCache
from millstream.engine.scheduler import (
    LoggedNote,
    Progress,
    QueryFailedError,
    Round,
    load_progress,
)
from millstream.engine.source_rows import SourceReader
from millstream.engine.topology import Topology
from millstream.store.interfaces import Commit, Store

DEFAULT_MAX_ROWS = 50_000

Feed = Callable[[Commit], int]
"""Appends records from outside to a commit and tells how many."""
LogWriter = Callable[[Commit, Sequence[LoggedNote]], None]
"""Writes notes into the processing log."""


class Engine:
    """Runs queries over a store. One thread steps at a time (`lock`); DDL takes the same lock.

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
        self.lock = threading.RLock()
        self.committed = threading.Condition()
        self.listeners: list[Callable[[], None]] = []
        """Called after a commit, on any thread; they must be quick."""
        self.commits = 0
        self.rows_total = 0
        self.max_rows = max_rows
        self.queries: dict[int, Query] = {}
        self._progress: dict[int, Progress] = {}
        self._readers: dict[int, SourceReader] = {}
        self._topology = Topology(())
        self._runs = RunCache()
        self._arrivals = Arrivals()
        self._pace = Pace(max_rows)
        self._spoilt = False
        self._read_ahead = ReadAhead(store, max_rows)
        self._make = make
        self._write_log = write_log
        self._on_failed = on_failed

    # --- which queries run ---------------------------------------------------------------------

    def add(self, query: Query) -> None:
        """Take a query in; its state and positions are those of the last commit."""
        with self.lock, self.store.view() as view:
            query.load(view)
            self._progress[query.number] = load_progress(query, view)
            self.queries[query.number] = query
            self._arrange()

    def remove(self, number: int) -> None:
        """Take a query out; nothing stored is touched."""
        with self.lock:
            self.queries.pop(number, None)
            self._progress.pop(number, None)
            self._arrange()

    def _arrange(self) -> None:
        self._topology = Topology(self.queries.values())
        self._readers = {}
        sources = {r.source.id: r.source for q in self.queries.values() for r in q.reads}
        for source in sources.values():
            needed: frozenset[str] = frozenset()
            strict = False
            for query in self.queries.values():
                columns = query.needed_columns(source.id)
                if any(r.source.id == source.id for r in query.reads):
                    needed |= columns
                    strict |= query.strict_time
            self._readers[source.id] = SourceReader(source, needed, strict_time=strict)

    # --- steps ---------------------------------------------------------------------------------

    def step(self, feeds: Iterable[Feed] = ()) -> bool:
        """One commit: append what the feeds give, take every query a step further.

        Whether anything happened. A failing query is taken out and the step done again without
        it; any other exception leaves everything as it was at the last commit.
        """
        feeds = list(feeds)
        with self.lock:
            if self._spoilt:
                self.reload()
            while True:
                try:
                    return self._step(feeds)
                except QueryFailedError as failure:
                    self.reload(without=failure.query.number)
                    self._on_failed(failure.query, failure.cause)
                except BaseException:
                    self.reload()
                    raise

    def _step(self, feeds: list[Feed]) -> bool:
        ahead = self._read_ahead.take()
        with self.store.begin() as commit:
            fed = sum(feed(commit) for feed in feeds)
            work = Round(
                commit,
                self._topology,
                self._progress,
                self._readers,
                self._runs,
                self._arrivals,
                ahead,
                self._pace,
                self.max_rows,
            )
            moved = work.run(self._read_ahead)
            if not moved and not fed:
                return False
            work.write_positions()
            for query in self._topology.order:
                query.write(commit)
            if work.notes:
                self._write_log(commit, work.notes)
            commit.commit()
        self._runs.committed()
        self._progress = work.after
        self.rows_total += fed
        self.announce()
        return True

    def close(self) -> None:
        """End the engine's own threads. Idempotent."""
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
        self._runs.clear()
        self._arrivals.clear()
        if without is not None:
            self.queries.pop(without, None)
        queries: dict[int, Query] = {}
        progress: dict[int, Progress] = {}
        with self.store.view() as view:
            for old in self.queries.values():
                query = self._make(old)
                query.counters = old.counters
                query.load(view)
                queries[query.number] = query
                progress[query.number] = load_progress(query, view)
        self.queries, self._progress = queries, progress
        self._arrange()
        self._spoilt = False

    def idle(self) -> bool:
        """Whether every query has read all that is there."""
        with self.lock, self.store.view() as view:
            return all(
                view.end(topic_id) <= self._progress[q.number].positions[topic_id]
                for q in self.queries.values()
                for topic_id in q.topic_ids
            )

    def lag(self, number: int) -> int:
        """How many records a query has yet to read."""
        with self.lock, self.store.view() as view:
            progress = self._progress.get(number)
            if progress is None:
                return 0
            return sum(
                view.end(topic_id) - position for topic_id, position in progress.positions.items()
            )
