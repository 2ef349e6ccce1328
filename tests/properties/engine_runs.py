"""Runs a program, cut in any way, and reads what its topics hold afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.clock import FixedClock
from millstream.columns import arrow
from millstream.database import Database
from millstream.database.processing_log import TOPIC as LOG_TOPIC
from millstream.database.records import append_outside
from millstream.engine.source_rows import encode_part
from millstream.serde.base import RawPart
from millstream.store.interfaces import Commit
from tests.properties.program_records import Record
from tests.properties.program_relations import Program

Row = tuple[bytes | None, bytes | None, int, tuple[int, int] | None, Any, int, int]
"""Key, value, event time, window, headers, partition, offset."""
Dump = dict[str, list[Row]]


@dataclass
class Run:
    """How to run a program. `behind`: steps need not keep up. `between` is called after each piece
    and may give another database."""

    cache: int = 0
    row_wise: bool = False
    max_rows: int = 50_000
    path: str = ":memory:"
    late: bool = False
    by_feed: bool = False
    behind: bool = False
    between: Callable[[Database], Database] | None = None
    database: Database | None = field(default=None, init=False)

    def open(self) -> Database:
        """A database as the run wants it."""
        return Database.open(
            self.path,
            clock=FixedClock(1_000),
            properties={
                "auto.offset.reset": "earliest",
                "cache.max.bytes.buffering": str(self.cache),
            },
            max_rows=self.max_rows,
            row_wise=self.row_wise,
        )

    def go(self, program: Program, sizes: Sequence[int] | None = None) -> tuple[Dump, Database]:
        """Run it: what its topics hold, and the open database."""
        database = self.open()
        try:
            sources, queries = parts(program)
            database.execute("\n".join(sources if self.late else program.script))
            start = 0
            for size in sizes if sizes is not None else [len(program.records)]:
                self._feed(database, program.records[start : start + size])
                start += size
                if self.between is not None:
                    database = self.between(database)
            if self.late:
                database.execute("\n".join(queries))
            database.run(until_idle=True)
            check_healthy(database)
            return dump(database), database
        except BaseException:
            database.close()
            raise

    def _feed(self, database: Database, records: Sequence[Record]) -> None:
        if self.by_feed:
            database.engine.step([lambda commit: append(commit, records)])
        else:
            with database.engine.lock, database.store.begin() as commit:
                append(commit, records)
                commit.commit()
            database.step()
        if len(records) <= self.max_rows and not self.behind:
            assert database.engine.idle(), "a step has left records that had room in it"


def parts(program: Program) -> tuple[list[str], list[str]]:
    """The statements that declare input, and all others from the first query on."""
    queries = [i for i, s in enumerate(program.script) if " AS SELECT" in s or "INSERT" in s]
    first = min(queries, default=len(program.script))
    return list(program.script[:first]), list(program.script[first:])


def outcome(program: Program, sizes: Sequence[int] | None = None, **how: Any) -> Dump:
    """What the topics hold after a run."""
    found, database = Run(**how).go(program, sizes)
    database.close()
    return found


def check_healthy(database: Database) -> None:
    """No query has failed."""
    for info in database.catalog.queries.values():
        assert info.state == "RUNNING", f"{info.id}: {info.error}"


def append(commit: Commit, records: Iterable[Record]) -> int:
    """Append raw records, in runs of one topic each; how many."""
    found = list(records)
    start = 0
    while start < len(found):
        stop = start
        while stop < len(found) and found[stop].topic == found[start].topic:
            stop += 1
        _append_run(commit, found[start:stop])
        start = stop
    return len(found)


def _append_run(commit: Commit, run: Sequence[Record]) -> None:
    topic = commit.topic(run[0].topic)
    assert topic is not None
    headers = None
    if any(r.headers for r in run):
        named = [[{"KEY": k, "VALUE": v} for k, v in r.headers] for r in run]
        headers = arrow.from_python(named, t.HEADERS_TYPE)
    append_outside(
        commit,
        topic,
        RawPart(pa.array([r.key for r in run], pa.binary())),
        RawPart(pa.array([r.value for r in run], pa.binary())),
        np.array([r.rowtime for r in run], np.int64),
        headers=headers,
    )


def dump(database: Database) -> Dump:
    """All records of all topics but the processing log."""
    found: Dump = {}
    with database.store.view() as view:
        for topic in view.topics():
            if topic.name == LOG_TOPIC:
                continue
            rows: list[Row] = []
            for _, records in view.read(topic.id, 0):
                count = len(records)
                windows: list[Any] = [None] * count
                if records.window_start is not None and records.window_end is not None:
                    bounds = zip(
                        records.window_start.tolist(), records.window_end.tolist(), strict=True
                    )
                    windows = list(bounds)
                headers = [None] * count if records.headers is None else records.headers.to_pylist()
                rows += zip(
                    encode_part(records.key, count).to_pylist(),
                    encode_part(records.value, count).to_pylist(),
                    records.rowtime.tolist(),
                    windows,
                    [h or None for h in headers],
                    records.partition.tolist(),
                    records.offset.tolist(),
                    strict=True,
                )
            found[topic.name] = rows
    return found


def final(rows: Sequence[Row]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The last record of each key and window; none where that is a tombstone."""
    last: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for key, value, rowtime, window, _, partition, _ in rows:
        last[(key, window)] = (value, rowtime, partition)
    return {k: v for k, v in last.items() if v[0] is not None}
