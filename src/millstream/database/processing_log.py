"""The processing log: what went wrong with which record, as a stream like any other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from millstream import types as t
from millstream.catalog.model import Source
from millstream.clock import Clock
from millstream.columns import arrow
from millstream.engine.scheduler import LoggedNote
from millstream.serde.base import Layout, TypedPart
from millstream.sql.ast import SourceKind
from millstream.store.interfaces import Commit, Records, Topic

STREAM = "KSQL_PROCESSING_LOG"
TOPIC = "millstream_processing_log"
RECORD_BYTES = 4096
"""How much of a record at fault is kept."""
KEPT_LINES = 50_000
"""How many lines there are at most, and a quarter more before the oldest are forgotten."""
LINES_PER_COMMIT = 1000
"""How many lines one commit may add; what exceeds them is counted in one more line."""

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


def write_log(commit: Commit, notes: Sequence[LoggedNote], clock: Clock) -> None:
    """Append notes to the log's topic, if there is one."""
    topic = commit.topic(TOPIC)
    if topic is None or not notes:
        return
    now = clock.now_ms()
    rows = [_line(now, n) for n in notes[:LINES_PER_COMMIT]]
    left = sum(n.note.count for n in notes[LINES_PER_COMMIT:])
    if left:
        rows.append((now, "", "", "skipped", f"{left} more lines were left out", *[None] * 4))
    count = len(rows)
    arrays = [
        arrow.from_python(column, c.type)
        for column, c in zip(zip(*rows, strict=True), SCHEMA.value, strict=True)
    ]
    first = commit.allocate_seq(count)
    records = Records(
        partition=np.zeros(count, np.int32),
        offset=np.full(count, -1, np.int64),
        seq=np.arange(first, first + count),
        writer=np.zeros(count, np.int32),
        rowtime=np.full(count, now, np.int64),
        key=TypedPart(_KEY, [], np.ones(count, bool)),
        value=TypedPart(_VALUE, arrays),
    )
    commit.append(topic.id, records)
    end = commit.end(topic.id)
    if end - commit.start(topic.id) > KEPT_LINES + KEPT_LINES // 4:
        commit.trim(topic.id, end - KEPT_LINES)


def _line(now: int, logged: LoggedNote) -> tuple[object, ...]:
    note = logged.note
    message = note.message if note.count == 1 else f"{note.message} ({note.count} rows)"
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
