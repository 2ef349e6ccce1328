"""A topic into which any bytes can be written, and a stream that reads them in a format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import millstream
from millstream import Database
from millstream.clock import FixedClock

NOW_MS = 1_000
RAW = (
    "CREATE STREAM raw (k BYTES KEY, v BYTES)"
    " WITH (KAFKA_TOPIC = 't', KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'KAFKA', PARTITIONS = 1);"
)


class Told(NamedTuple):
    """A line of the processing log about a record."""

    offset: int | None
    kind: str
    message: str


class Outcome(NamedTuple):
    """What came out of records: the good ones, and what was said of the others."""

    good: list[tuple[Any, ...]]
    told: list[Told]

    @property
    def offsets(self) -> list[int | None]:
        """The offsets of the records about which something was said."""
        return [line.offset for line in self.told]


def connect(script: str = "", path: str = ":memory:") -> Database:
    """A database whose clock stands still and whose queries read from the start."""
    db = millstream.connect(
        path, clock=FixedClock(NOW_MS), properties={"auto.offset.reset": "earliest"}
    )
    db.execute(script)
    return db


def write(
    db: Database, values: Sequence[bytes | None], keys: Sequence[bytes | None] | None = None
) -> None:
    """Append records of these bytes."""
    given = [b"k"] * len(values) if keys is None else keys
    db.insert("raw", list(zip(given, values, strict=True)))


def told(db: Database) -> list[Told]:
    """What the processing log says."""
    found = db.sql("SELECT `OFFSET`, KIND, MESSAGE FROM KSQL_PROCESSING_LOG;").rows()
    return [Told(*row) for row in found]


def read(
    columns: str,
    value_format: str,
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None = None,
    *,
    key: str = "k VARCHAR KEY",
) -> Outcome:
    """What a persistent query makes of records. The rows come without their key, and a query that
    does not go on fails the test."""
    with connect(
        f"{RAW} CREATE STREAM s ({key}, {columns}) WITH (KAFKA_TOPIC = 't', KEY_FORMAT = 'KAFKA',"
        f" VALUE_FORMAT = '{value_format}'); CREATE STREAM good AS SELECT * FROM s;"
    ) as db:
        write(db, values, keys)
        db.run(until_idle=True)
        assert {query.state for query in db.catalog.queries.values()} == {"RUNNING"}
        return Outcome([row[1:] for row in db.sql("SELECT * FROM good;").rows()], told(db))
