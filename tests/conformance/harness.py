"""A database for test cases: one partition behind every topic, queries run one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.catalog.model import Source
from millstream.columns import arrow
from millstream.database import Database
from millstream.database.records import append_outside
from millstream.engine.query import Query
from millstream.engine.source_rows import SourceReader, SourceRows, concat_rows, encode_part
from millstream.errors import ExecutionError, MillstreamError
from millstream.serde.base import RawPart
from millstream.sql.script import Parsed, parse_script
from millstream.store.interfaces import Commit, Topic

RawRow = tuple[
    bytes | None,
    bytes | None,
    int,
    Sequence[tuple[str, bytes | None]] | None,
    tuple[int, int] | None,
]
"""Key, value, event time in ms, headers, and the window of a windowed key."""


@dataclass(frozen=True)
class TopicRecord:
    """A record as it stands in a topic."""

    key: bytes | None
    value: bytes | None
    rowtime: int
    headers: tuple[tuple[str, bytes | None], ...]
    window: tuple[int, int] | None


class CaseDatabase(Database):
    """Runs a test case's statements and records by the rules of FORMAT.md §5.

    Topics are made with one partition; `partitions_of` tells the number that the case declares.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.declared: dict[str, int] = {}
        super().__init__(*args, **options)

    # --- what statements see -------------------------------------------------------------------

    def partitions_of(self, topic: str) -> int | None:
        """The declared number of partitions."""
        return self.declared.get(topic)

    def make_topic(self, commit: Commit, name: str, partitions: int, **settings: Any) -> Topic:
        """Make a topic of one partition and remember how many were asked for."""
        self.declared[name] = partitions
        return super().make_topic(commit, name, 1, **settings)

    # --- what a case does ----------------------------------------------------------------------

    def ensure_topic(self, name: str, partitions: int) -> None:
        """Make a topic unless there is one."""
        with self.engine.lock, self.store.begin() as commit:
            if commit.topic(name) is None:
                self.make_topic(commit, name, partitions)
                commit.commit()

    def prepare(self, script: str) -> list[Parsed]:
        """All statements of a script."""
        return parse_script(script)

    def append_raw(self, topic: str, rows: Sequence[RawRow]) -> None:
        """Append records from outside."""
        keys, values, times, headers, windows = zip(*rows, strict=True)
        window = None
        if any(w is not None for w in windows):
            bounds = np.array([w or (-1, -1) for w in windows], np.int64)
            window = (bounds[:, 0].copy(), bounds[:, 1].copy())
        shown = None
        if any(headers):
            named = [[{"KEY": k, "VALUE": v} for k, v in h or ()] for h in headers]
            shown = arrow.from_python(named, t.HEADERS_TYPE)
        with self.engine.lock, self.store.begin() as commit:
            found = commit.topic(topic)
            assert found is not None, topic
            append_outside(
                commit,
                found,
                RawPart(pa.array(keys, pa.binary())),
                RawPart(pa.array(values, pa.binary())),
                np.array(times, np.int64),
                headers=shown,
                window=window,
            )
            commit.commit()

    def drain_conformance(self, input_topics: set[str]) -> None:
        """Run every persistent query once, in the order of creation."""
        for number in sorted(self.engine.queries):
            query = self.engine.queries[number]
            sources = list({r.source.id: r.source for r in query.reads}.values())
            fed = [s for s in sources if s.topic in input_topics]
            phases = [fed, *([s] for s in sources if s.topic not in input_topics)]
            for phase in phases:
                if phase:
                    self._feed(query, phase)

    def _feed(self, query: Query, sources: list[Source]) -> None:
        with self.engine.lock, self.store.begin() as commit:
            rows: dict[int, SourceRows] = {}
            try:
                for source in sources:
                    reader = SourceReader(
                        source, query.needed_columns(source.id), strict_time=query.strict_time
                    )
                    parts = [reader.read(records) for _, records in commit.read(source.topic_id, 0)]
                    if parts:
                        rows[source.id] = concat_rows(parts)
                if not rows:
                    return
                batch, notes = query.step(rows)
                records = query.records(batch, notes, 1)
            except MillstreamError as error:
                raise ExecutionError(error.message) from error
            assert query.plan.sink is not None
            topic = commit.topic(query.plan.sink.topic)
            if records is not None and topic is not None:
                commit.append(topic.id, records)
            commit.commit()

    def read_topic(self, name: str) -> list[TopicRecord]:
        """All records of a topic in log order."""
        found: list[TopicRecord] = []
        with self.store.view() as view:
            topic = view.topic(name)
            if topic is None:
                return found
            for _, records in view.read(topic.id, 0):
                count = len(records)
                headers = [None] * count if records.headers is None else records.headers.to_pylist()
                windows: list[tuple[int, int] | None] = [None] * count
                if records.window_start is not None and records.window_end is not None:
                    bounds = zip(records.window_start, records.window_end, strict=True)
                    windows = [(int(a), int(b)) for a, b in bounds]
                found += [
                    TopicRecord(k, v, x, tuple((i["KEY"], i["VALUE"]) for i in h or ()), w)
                    for k, v, x, h, w in zip(
                        encode_part(records.key, count).to_pylist(),
                        encode_part(records.value, count).to_pylist(),
                        records.rowtime.tolist(),
                        headers,
                        windows,
                        strict=True,
                    )
                ]
        return found

    def sources(self) -> list[Source]:
        """The streams and tables that exist, oldest first."""
        return list(self.catalog.sources.values())

    def topics(self) -> dict[str, int]:
        """Every topic and its declared number of partitions."""
        with self.store.view() as view:
            names = [topic.name for topic in view.topics()]
        return {name: self.declared.get(name, 1) for name in names}

    @property
    def rows_forced(self) -> int:
        """How many rows went through a row path because they were made to."""
        return sum(q.counters.rows_forced for q in self.engine.queries.values())
