"""Databases whose queries are replaced, and their input."""

from __future__ import annotations

import json
from random import Random

from millstream.clock import FixedClock
from millstream.database import Database
from tests.properties.engine_runs import append, check_healthy, dump
from tests.properties.program_records import Record

SOURCES = """
CREATE STREAM s (k VARCHAR KEY, p INT, a INT, b VARCHAR)
  WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE STREAM r (k VARCHAR KEY, p INT, x INT)
  WITH (KAFKA_TOPIC='r', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE TABLE t (k VARCHAR PRIMARY KEY, n VARCHAR, g INT)
  WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=2);
"""


def open_database(path: str = ":memory:", max_rows: int = 50_000, cache: int = 0) -> Database:
    """A database at this path, its sources made."""
    properties = {"auto.offset.reset": "earliest", "cache.max.bytes.buffering": str(cache)}
    database = Database.open(
        path, clock=FixedClock(1_000), properties=properties, max_rows=max_rows
    )
    if "S" not in database.catalog.sources:
        database.execute(SOURCES)
    return database


def events(random: Random, count: int, phase: int, now: int) -> list[Record]:
    """Records of all topics; those of `s` tell their phase."""
    found = []
    for _ in range(count):
        now = max(0, now + random.choice([0, 400, 1000, 2500, 6000, -2000]))
        key = random.choice([b"x", b"y", b"z"])
        topic = random.choice("sssrt")
        content = {
            "s": {
                "p": phase,
                "a": random.choice([0, 1, 2, 3]),
                "b": random.choice(["x", "y", None]),
            },
            "r": {"p": phase, "x": random.randint(0, 3)},
            "t": {"n": random.choice("pqr"), "g": random.randint(-1, 1)},
        }[topic]
        found.append(Record(topic, key, json.dumps(content).encode(), now))
    return found


def feed(database: Database, found: list[Record]) -> None:
    """Append records and step, in one commit."""
    database.engine.step([lambda commit: append(commit, found)])


def settle(database: Database) -> None:
    """Run until nothing is left."""
    database.run(until_idle=True)
    check_healthy(database)


def values(database: Database, topic: str) -> list[tuple[object, object]]:
    """Key and value of a topic's records."""
    settle(database)
    return [(row[0], row[1]) for row in dump(database)[topic]]
