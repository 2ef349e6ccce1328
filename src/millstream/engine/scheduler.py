"""The policy over queries: which records go through which queries in one commit."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from millstream.catalog.model import Source
from millstream.engine.arrival import Arrivals
from millstream.engine.noted import Noted, located
from millstream.engine.operators.base import MOST_NOTES, Emission, Note
from millstream.engine.pace import Pace, Share
from millstream.engine.profile import EngineMeters
from millstream.engine.query import Query, Reading
from millstream.engine.read_ahead import Ahead, ReadAhead, Wanted
from millstream.engine.run_cache import RunCache
from millstream.engine.source_rows import SourceReader, SourceRows, concat_rows
from millstream.engine.topology import Topology
from millstream.errors import DamagedError, ExecutionError, StoreError
from millstream.store.interfaces import Commit, Records, View
from millstream.store.portion import portions
from millstream.store.records import slice_records

FRONTIER = "frontier"
"""The kind of catalogue entry that holds a query's frontier."""


MOST_EXPANDED = 2_000_000
"""Rows that the rows of one commit may become inside a query (a row in each of its windows)."""
MOST_UPDATES = 600_000
"""The same where each of them is a record of the query's sink, too."""
Runs = list[tuple[int, Records]]
"""Runs of records, each with the ordinal of its first record."""


class QueryFailedError(Exception):
    """A query's step raised; the commit must be left, and all queries loaded anew."""

    def __init__(self, query: Query, cause: Exception) -> None:
        super().__init__(str(cause))
        self.query = query
        self.cause = cause


@dataclass(slots=True)
class Progress:
    """Where a query stands: the ordinal it reads next per topic, and its frontier: all records
    with a seq up to it have gone through. `stored`: the frontier as the last commit has it, which
    may be behind where there was nothing to read."""

    positions: dict[int, int] = field(default_factory=dict)
    frontier: int = -1
    stored: int = -1

    def copy(self) -> Progress:
        """One that can go on without changing this one."""
        return Progress(dict(self.positions), self.frontier, self.stored)


@dataclass(slots=True)
class LoggedNote:
    """A note for the processing log and the query it came from."""

    query_id: str
    note: Note


class Round:
    """One commit's worth of work: every query takes what is due, writers before readers."""

    def __init__(
        self,
        commit: Commit,
        topology: Topology,
        progress: dict[int, Progress],
        readers: dict[Reading, SourceReader],
        runs: RunCache,
        arrivals: Arrivals,
        passed: Mapping[int, int],
        ahead: Ahead,
        pace: Pace,
        max_rows: int,
        meters: EngineMeters,
        noted: Noted,
    ) -> None:
        self.commit = commit
        self.topology = topology
        self.before = progress
        self.after = {n: p.copy() for n, p in progress.items()}
        self.readers = readers
        self.runs = runs
        self.arrivals = arrivals
        self.passed = passed
        self.ahead = ahead
        self.pace = pace
        self.max_rows = max_rows
        self.meters = meters
        self.noted = noted
        self.rows = 0
        self.notes: list[LoggedNote] = []
        self._horizon = commit.next_seq() - 1
        self._slow: set[int] = set()
        self._slow_s = 0.0
        self._slow_rows = 0
        self._rows: dict[int, int] = {}
        self._pending: dict[int, list[Records]] = {}
        self._taken: dict[tuple[int, int, int, int], Runs] = {}
        self._decoded: dict[tuple[Reading, int, int], SourceRows] = {}
        runs.offer(ahead.runs)

    def run(self, read_ahead: ReadAhead) -> bool:
        """Take every query a step further; whether any had something to do."""
        began_s = time.perf_counter()
        limits = self._limits()
        read_ahead.start(self._upcoming(limits))
        self.meters.read.seconds += time.perf_counter() - began_s
        moved = False
        for query in self.topology.order:
            frontier = self.before[query.number].frontier
            if frontier in self._slow:
                moved |= self._advance_slowly(query, limits[frontier])
            else:
                moved |= self._advance(query, limits[frontier])
        for topic_id in list(self._pending):
            self._flush(topic_id)
        self.pace.took(self._slow_rows, self._slow_s)
        return moved

    def _limits(self) -> dict[int, int]:
        """Per frontier: the seq up to which all queries that stand there go together.

        Where those in front come to the horizon, the others get slices that keep nobody waiting.
        """
        groups: dict[int, list[Query]] = {}
        for query in self.topology.order:
            groups.setdefault(self.before[query.number].frontier, []).append(query)
        front = max(groups, default=-1)
        limits = {f: self._limit_of(f, g, self.max_rows) for f, g in groups.items() if f == front}
        if len(groups) < 2:
            return limits
        lagging = [f for f in groups if f != front]
        share = Share(self.max_rows, math.inf, lagging)
        began_s = time.perf_counter()
        if limits[front] == self._horizon:
            self._slow.update(lagging)
            share = self.pace.share(lagging, busy=self._has_news(groups[front]))
        for frontier in lagging:
            limits[frontier] = frontier
            if frontier in share.due:
                until_s = time.perf_counter() + share.seconds
                limits[frontier] = self._limit_of(frontier, groups[frontier], share.rows, until_s)
        self._slow_s += time.perf_counter() - began_s
        return limits

    def _has_news(self, queries: list[Query]) -> bool:
        return any(
            self.commit.end(topic_id) > position
            for query in queries
            for topic_id, position in self.before[query.number].positions.items()
        )

    def _limit_of(
        self, frontier: int, queries: list[Query], rows: int, until_s: float = math.inf
    ) -> int:
        """The seq up to which queries can go, so that none takes more of a topic than fits one
        commit, or than can be read by a time; what others write in this commit is not counted."""
        rows = max(1, min([rows, *map(_most_rows, queries)]))
        self._rows[frontier] = rows
        places = {p for q in queries for p in self.before[q.number].positions.items()}
        seqs = [self._seq_after(topic, at, rows, until_s) for topic, at in places]
        return min([self._horizon, *seqs])

    def _seq_after(self, topic_id: int, start: int, rows: int, until_s: float) -> int:
        """The seq of the last of the next records that fit one commit, the horizon where all do.
        Runs that others wrote one by one take long to read: then those read so far are enough."""
        end = self.commit.end(topic_id)
        if start >= end:
            return self._horizon
        last, reached = self._horizon, start
        try:
            for ordinal, some in portions(self.runs.runs(self.commit, topic_id, start), rows):
                last, reached = int(some.seq[-1]), ordinal + len(some)
                if time.perf_counter() > until_s:
                    break
        except DamagedError as error:
            # What lies before it is read first.
            if reached == start:
                self._blame_reader(topic_id, start, error)
        return last if reached < end else self._horizon

    def _blame_reader(self, topic_id: int, start: int, error: DamagedError) -> NoReturn:
        """Raise that records cannot be read as the failure of a query that would read them next;
        its turn comes again, until nobody would."""
        for query in self.topology.order:
            if self.before[query.number].positions.get(topic_id) == start:
                raise QueryFailedError(query, error) from error
        raise error

    def _upcoming(self, limits: dict[int, int]) -> list[Wanted]:
        """What will be left of topics from outside after this commit, and who reads it."""
        readers: dict[tuple[int, int, int], list[SourceReader]] = {}
        if all(limit == self._horizon for limit in limits.values()):
            return []
        for query in self.topology.order:
            progress = self.before[query.number]
            limit = limits[progress.frontier]
            if progress.frontier in self._slow or limit == self._horizon:
                continue
            for read in query.reads:
                topic_id = read.source.topic_id
                if self.topology.has_writers(read.source.topic):
                    continue
                start = progress.positions[topic_id]
                taken = self._take(topic_id, start, limit)
                following = taken[-1][0] + len(taken[-1][1]) if taken else start
                if following < self.commit.end(topic_id):
                    rows = self._rows[progress.frontier]
                    found = readers.setdefault((topic_id, following, rows), [])
                    reader = self.readers[query.reading(read.source)]
                    if reader not in found:
                        found.append(reader)
        return [Wanted(t, start, rows, tuple(r)) for (t, start, rows), r in readers.items()]

    # --- one query ---------------------------------------------------------------------------

    def _advance_slowly(self, query: Query, limit: int) -> bool:
        """As `_advance`, measured."""
        rows, began_s = self.rows, time.perf_counter()
        moved = self._advance(query, limit)
        self._slow_rows += self.rows - rows
        self._slow_s += time.perf_counter() - began_s
        return moved

    def _advance(self, query: Query, limit: int) -> bool:
        bound = limit
        start = self.before[query.number].frontier
        for writer in self.topology.upstream(query):
            # One that lags behind its reader keeps nobody waiting: what it writes is news.
            if self.before[writer.number].frontier >= start:
                bound = min(bound, self.after[writer.number].frontier)
        progress = self.after[query.number]
        for topic_id in query.topic_ids:
            if topic_id in self._pending:
                self._flush(topic_id)
        began_s = time.perf_counter()
        taken = {t: self._take(t, progress.positions[t], bound) for t in query.topic_ids}
        read = 0
        for topic_id, runs in taken.items():
            for ordinal, records in runs:
                count = len(records)
                read += count
                progress.positions[topic_id] = ordinal + count
        self.meters.read.add(read, read, time.perf_counter() - began_s)
        if read:
            self._step(query, taken)
        progress.frontier = max(progress.frontier, bound)
        return read > 0

    def _take(self, topic_id: int, start: int, bound: int) -> Runs:
        """The unread runs whose records have a seq up to the bound, for all who stand there."""
        end = self.commit.end(topic_id)
        if start >= end:
            return []
        key = (topic_id, start, bound, end)
        found = self._taken.get(key)
        if found is None:
            found = self._taken[key] = self._cut(topic_id, start, bound)
        return found

    def _cut(self, topic_id: int, start: int, bound: int) -> Runs:
        taken: Runs = []
        try:
            for ordinal, records in self.runs.runs(self.commit, topic_id, start):
                if records.seq[-1] <= bound:
                    taken.append((ordinal, records))
                    continue
                count = int(np.searchsorted(records.seq, bound, side="right"))
                if count:
                    taken.append((ordinal, slice_records(records, 0, count)))
                break
        except DamagedError as error:
            if not taken:
                self._blame_reader(topic_id, start, error)
        return taken

    def _step(self, query: Query, taken: dict[int, Runs]) -> None:
        rows: dict[int, SourceRows] = {}
        for source in query.sources:
            parts = [self._decode(query, source, o, r) for o, r in taken[source.topic_id]]
            if len(parts) == 1:
                rows[source.id] = parts[0]
            elif parts:
                began_s = time.perf_counter()
                rows[source.id] = concat_rows(parts)
                query.meters.inputs.seconds += time.perf_counter() - began_s
        assert query.plan.sink is not None
        topic = self.commit.topic(query.plan.sink.topic)
        try:
            batch, notes = query.step(rows)
            records = None
            if topic is not None:
                records = query.records(batch, notes, topic.partitions)
        except SystemExit as error:
            # It is a function's: the thread that it would end is everybody's.
            _blame(query, ExecutionError(f"a function called for the program's end ({error!r})"))
        except Exception as error:
            _blame(query, error)
        if notes:
            self._note(query, self._located(query, notes, taken))
        self.rows += sum(map(len, rows.values()))
        if records is not None and topic is not None:
            self._pending.setdefault(topic.id, []).append(records)

    def _decode(self, query: Query, source: Source, ordinal: int, records: Records) -> SourceRows:
        key = (query.reading(source), ordinal, len(records))
        found = self._decoded.get(key)
        if found is None:
            found = self._read_rows(query, source, ordinal, records)
            fresh = self.noted.fresh(source, ordinal, len(records), found.notes)
            if fresh:
                self._note(query, fresh)
            self._decoded[key] = found
        meter = query.meters.decoded(source.id, source.name)
        meter.add(len(records), len(found), found.seconds)
        return found

    def _read_rows(
        self, query: Query, source: Source, ordinal: int, records: Records
    ) -> SourceRows:
        reader = self.readers[query.reading(source)]
        rows = self.ahead.rows.get((reader, ordinal, len(records)))
        meters = self.meters.source(source.id, source.name)
        if rows is not None:
            meters.ahead.add(len(records), len(rows), rows.seconds)
            return rows
        try:
            rows = reader.read(records)
        except Exception as error:
            raise QueryFailedError(query, error) from error
        meters.decode.add(len(records), len(rows), rows.seconds)
        return rows

    def _note(self, query: Query, notes: Iterable[Note]) -> None:
        query_id = "" if query.info is None else query.info.id
        self.notes += [LoggedNote(query_id, n) for n in notes]

    def _located(self, query: Query, notes: list[Note], taken: dict[int, Runs]) -> list[Note]:
        """Notes on rows with the records they come from, as far as the log has room for them."""
        room = max(0, MOST_NOTES - len(self.notes))
        runs = {self._topic_name(query, topic_id): parts for topic_id, parts in taken.items()}
        return [*located(notes[:room], runs), *notes[room:]]

    def _topic_name(self, query: Query, topic_id: int) -> str:
        return next(r.source.topic for r in query.reads if r.source.topic_id == topic_id)

    def _flush(self, topic_id: int) -> None:
        pieces = self._pending.pop(topic_id, None)
        if pieces:
            readers = (self.after[q.number].frontier for q in self.topology.readers(topic_id))
            passed = max(readers, default=-1)
            passed = max(passed, self.passed.get(topic_id, -1))
            began_s = time.perf_counter()
            self.arrivals.append(self.commit, topic_id, pieces, passed)
            self._count_appended(pieces, time.perf_counter() - began_s)

    def _count_appended(self, pieces: list[Records], seconds: float) -> None:
        """Share the time of an append among those who wrote the records."""
        total = sum(map(len, pieces))
        for piece in pieces:
            count, writer = len(piece), self.topology.query(int(piece.writer[0]))
            writer.meters.append.add(count, count, seconds * count / total)

    # --- what a commit keeps -------------------------------------------------------------------

    def write_states(self) -> None:
        """Write what changed of all queries' state. What one of them cannot pack is its failure;
        that the store cannot take it is nobody's."""
        for query in self.topology.order:
            try:
                query.write(self.commit)
            except Exception as error:
                _blame(query, error)

    def write_positions(self) -> None:
        """Write what changed of all queries' positions and frontiers, and what was noted."""
        self.noted.write(self.commit)
        for query in self.topology.order:
            old, new = self.before[query.number], self.after[query.number]
            for topic_id, ordinal in new.positions.items():
                if old.positions.get(topic_id) != ordinal:
                    self.commit.set_position(query.owner, topic_id, ordinal)
            if new.frontier != new.stored:
                new.stored = new.frontier
                self.commit.put_entry(FRONTIER, query.number, {"seq": new.frontier})


def _most_rows(query: Query) -> int:
    """How many rows of a topic a query takes at once."""
    most = MOST_UPDATES if query.emission is Emission.ALL else MOST_EXPANDED
    return most // query.fan_out


def _blame(query: Query, error: Exception) -> NoReturn:
    """Raise an error as the query's failure, unless the store could not be read or written, which
    may pass. That its state was damaged on the disk will not."""
    if isinstance(error, StoreError) and not isinstance(error, DamagedError):
        raise error
    raise QueryFailedError(query, error) from error


def load_progress(query: Query, view: View) -> Progress:
    """Where a query stood at the last commit; topics it never read are read from the start."""
    stored = view.positions(query.owner)
    positions = {t: stored.get(t, 0) for t in query.topic_ids}
    frontier = view.entries(FRONTIER).get(query.number, {}).get("seq", -1)
    return Progress(positions, frontier, frontier)


def passed_by_others(view: View, running: Collection[int]) -> dict[int, int]:
    """Per topic, how far those of its readers have come that do not run, such as paused ones."""
    passed: dict[int, int] = {}
    for number, entry in view.entries(FRONTIER).items():
        if number not in running:
            for topic_id in view.positions(_owner(number)):
                passed[topic_id] = max(passed.get(topic_id, -1), entry["seq"])
    return passed


def start_progress(query: Query, commit: Commit, *, earliest: bool) -> None:
    """Write where a new query begins to read: at the first record, or behind the last."""
    for topic_id in query.topic_ids:
        commit.set_position(query.owner, topic_id, 0 if earliest else commit.end(topic_id))
    commit.put_entry(FRONTIER, query.number, {"seq": -1})


def drop_progress(number: int, commit: Commit) -> None:
    """Forget where a query stood, and its state."""
    commit.drop_state(number)
    commit.drop_positions(_owner(number))
    commit.delete_entry(FRONTIER, number)


def _owner(number: int) -> str:
    return f"query-{number}"
