"""The processing log: what went wrong with which record, as a stream like any other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from millstream import types as t
from millstream.catalog.model import Source
from millstream.clock import Clock
from millstream.columns import arrow
from millstream.engine.operators.base import KEPT_BYTES
from millstream.engine.query import Query
from millstream.engine.scheduler import LoggedNote
from millstream.serde.base import Layout, TypedPart
from millstream.sql.ast import SourceKind
from millstream.store.interfaces import Commit, Records, Topic

STREAM = "KSQL_PROCESSING_LOG"
TOPIC = "millstream_processing_log"
RECORD_BYTES = KEPT_BYTES
"""How much of a record at fault is kept."""
MESSAGE_LENGTH = 500
"""How much of a message is kept: it may quote what the record holds."""
KEPT_LINES = 50_000
"""How many lines there are at most, and a quarter more before the oldest are forgotten."""
LINES_PER_COMMIT = 1000
"""How many lines one commit may add; what exceeds them is counted in one more line."""
_REMEMBERED_LINES = 100_000

SCHEMA = t.Schema.of(
    [],
    [
        ("TIME", t.BIGINT),
        ("QUERY_ID", t.STRING),
        ("STEP", t.STRING),
        ("KIND", t.STRING),
        ("MESSAGE", t.STRING),
        ("TOPIC", t.STRING),
        ("PARTITION", t.INTEGER),
        ("OFFSET", t.BIGINT),
        ("RECORD", t.BYTES),
    ],
)
_KEY = Layout("NONE", ())
_VALUE = Layout("JSON", SCHEMA.value)


def log_source(source_id: int, topic: Topic) -> Source:
    """The stream over the log's topic."""
    return Source(
        id=source_id,
        name=STREAM,
        kind=SourceKind.STREAM,
        schema=SCHEMA,
        topic=TOPIC,
        topic_id=topic.id,
        key_layout=_KEY,
        value_layout=_VALUE,
        read_only=True,
    )


@dataclass(frozen=True, slots=True)
class LogReaders:
    """The queries that read the log, or what others of them make of it: their ids, the ids of those
    that read it directly, their creation numbers, and the topics into which they write."""

    queries: frozenset[str]
    direct: frozenset[str]
    numbers: frozenset[int]
    topics: frozenset[str]


def log_readers(queries: Iterable[Query]) -> LogReaders:
    """Which of the queries have to do with the log."""
    topics = {TOPIC}
    found: dict[str, Query] = {}
    waiting = [q for q in queries if q.info is not None]
    while reading := [q for q in waiting if any(r.source.topic in topics for r in q.reads)]:
        for query in reading:
            waiting.remove(query)
            assert query.info is not None
            found[query.info.id] = query
            if query.plan.sink is not None:
                topics.add(query.plan.sink.topic)
    return LogReaders(
        queries=frozenset(found),
        direct=frozenset(
            i for i, q in found.items() if any(r.source.topic == TOPIC for r in q.reads)
        ),
        numbers=frozenset(q.number for q in found.values()),
        topics=frozenset(topics - {TOPIC}),
    )


class ProcessingLog:
    """Writes notes as lines of the log.

    Queries and connectors may read the log, and may fail on its lines. What they say of a line is
    logged as anything else; what they say of such an echo is only counted, or it would never end.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_seq: dict[int, bool] = {}
        self._by_offset: dict[int, bool] = {}
        """Of the latest lines: whether each is an echo."""

    def write(self, commit: Commit, notes: Sequence[LoggedNote], readers: LogReaders) -> None:
        """Append notes to the log's topic, if there is one."""
        topic = commit.topic(TOPIC)
        if topic is None:
            return
        kept: list[LoggedNote] = []
        echoes: list[bool] = []
        for note in notes:
            echo = self._is_echo(note, readers)
            if echo is not None:
                kept.append(note)
                echoes.append(echo)
        if not kept:
            return
        now = self._clock.now_ms()
        rows = [_line(now, n) for n in kept[:LINES_PER_COMMIT]]
        left = sum(n.note.count for n in kept[LINES_PER_COMMIT:])
        if left:
            rows.append((now, "", "", "skipped", f"{left} more lines were left out", *[None] * 4))
            echoes[LINES_PER_COMMIT:] = [any(echoes[LINES_PER_COMMIT:])]
        records = commit.append(topic.id, _records(commit, rows, now))
        _remember(self._by_seq, records.seq.tolist(), echoes)
        _remember(self._by_offset, records.offset.tolist(), echoes)
        end = commit.end(topic.id)
        if end - commit.start(topic.id) > KEPT_LINES + KEPT_LINES // 4:
            commit.trim(topic.id, end - KEPT_LINES)

    def _is_echo(self, logged: LoggedNote, readers: LogReaders) -> bool | None:
        """Whether a line about this would be about a line; None: it must not be written."""
        note = logged.note
        if logged.query_id not in readers.queries:
            if note.topic == TOPIC:
                echo = self._by_offset.get(note.offset, False)
                return None if echo else True
            return None if note.topic in readers.topics else False
        if note.topic not in (None, TOPIC) and note.writer not in readers.numbers:
            return False  # it reads something else, too
        # On its way from query to query a record may get another seq: then nothing tells any more
        # which line it comes from.
        unknown = logged.query_id not in readers.direct
        echo = note.seq < 0 or self._by_seq.get(note.seq, unknown)
        return None if echo else note.seq in self._by_seq


def _remember(known: dict[int, bool], numbers: list[int], echoes: list[bool]) -> None:
    known.update(zip(numbers, echoes, strict=True))
    for number in list(known)[: max(0, len(known) - _REMEMBERED_LINES)]:
        del known[number]


def _records(commit: Commit, rows: list[tuple[object, ...]], now: int) -> Records:
    count = len(rows)
    arrays = [
        arrow.from_python(column, c.type)
        for column, c in zip(zip(*rows, strict=True), SCHEMA.value, strict=True)
    ]
    first = commit.allocate_seq(count)
    return Records(
        partition=np.zeros(count, np.int32),
        offset=np.full(count, -1, np.int64),
        seq=np.arange(first, first + count),
        writer=np.zeros(count, np.int32),
        rowtime=np.full(count, now, np.int64),
        key=TypedPart(_KEY, [], np.ones(count, bool)),
        value=TypedPart(_VALUE, arrays),
    )


def _line(now: int, logged: LoggedNote) -> tuple[object, ...]:
    note = logged.note
    message = note.message
    if len(message) > MESSAGE_LENGTH:
        message = f"{message[:MESSAGE_LENGTH]}…"
    if note.count > 1:
        message = f"{message} ({note.count} rows)"
    return (
        now,
        logged.query_id,
        note.step,
        note.kind,
        message,
        note.topic,
        note.partition if note.partition >= 0 else None,
        note.offset if note.offset >= 0 else None,
        None if note.record is None else note.record[:RECORD_BYTES],
    )
