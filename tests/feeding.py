"""Records as bytes from outside, and what the processing log says of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

import millstream
from millstream import Database
from millstream.clock import FixedClock
from millstream.database.records import append_outside
from millstream.serde.base import RawPart

NOW_MS = 1_000
"""What the clock of a database says, and the event time of records that name none."""


class Line(NamedTuple):
    """A line of the processing log, as far as tests look at it."""

    kind: str
    message: str
    topic: str | None
    partition: int | None
    offset: int | None
    record: bytes | None
    query_id: str
    step: str


def memory_database(script: str = "", **properties: str) -> Database:
    """A database in memory whose clock stands still and whose queries read from the start."""
    db = millstream.connect(
        clock=FixedClock(NOW_MS), properties={"auto.offset.reset": "earliest", **properties}
    )
    db.execute(script)
    return db


def feed(
    db: Database,
    topic: str,
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None = None,
    times: Sequence[int] | None = None,
) -> None:
    """Append records of these bytes in one commit."""
    count = len(values)
    rowtime = np.array([NOW_MS] * count if times is None else list(times), np.int64)
    with db.engine.lock, db.store.begin() as commit:
        found = commit.topic(topic)
        assert found is not None
        append_outside(
            commit,
            found,
            RawPart(pa.array([None] * count if keys is None else list(keys), pa.binary())),
            RawPart(pa.array(list(values), pa.binary())),
            rowtime,
        )
        commit.commit()
    db.engine.announce()


def feed_json(db: Database, topic: str, *rows: dict[str, Any], key: bytes | None = b"k") -> None:
    """Append JSON objects, all under one key."""
    feed(db, topic, [json.dumps(r).encode() for r in rows], [key] * len(rows))


def settle(db: Database) -> None:
    """Do all there is to do now."""
    db.run(until_idle=True)


def rows(db: Database, query: str) -> list[tuple[Any, ...]]:
    """The rows of an answer."""
    return list(db.sql(query).rows())


def log(db: Database) -> list[Line]:
    """All lines of the processing log."""
    found = rows(
        db,
        "SELECT KIND, MESSAGE, TOPIC, `PARTITION`, `OFFSET`, RECORD, QUERY_ID, STEP"
        " FROM KSQL_PROCESSING_LOG;",
    )
    return [Line(*row) for row in found]


def states(db: Database) -> dict[str, str]:
    """The state of each query."""
    return {name: info.state for name, info in db.catalog.queries.items()}
