"""Streams and tables that the database's tests share."""

from __future__ import annotations

from typing import Any

from millstream.database import Database

PROPERTIES = {"auto.offset.reset": "earliest", "cache.max.bytes.buffering": "0"}
CLICKS = (
    "CREATE STREAM clicks (k VARCHAR KEY, n INT, d DOUBLE)"
    " WITH (KAFKA_TOPIC='clicks', VALUE_FORMAT='JSON', PARTITIONS=1);"
)
USERS = (
    "CREATE TABLE users (id VARCHAR PRIMARY KEY, name VARCHAR)"
    " WITH (KAFKA_TOPIC='users', VALUE_FORMAT='JSON', PARTITIONS=1);"
)
COUNTS = "CREATE TABLE counts AS SELECT k, COUNT(*) AS n, SUM(n) AS s FROM clicks GROUP BY k;"
WINDOWS = (
    "CREATE TABLE windows AS SELECT k, COUNT(*) AS n FROM clicks"
    " WINDOW TUMBLING (SIZE 10 SECONDS) GROUP BY k;"
)


def settle(database: Database) -> None:
    """Run until nothing is left."""
    database.run(until_idle=True)


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    """What a query answers, sorted."""
    return sorted(database.sql(query).rows(), key=repr)


def shown(database: Database, statement: str) -> list[tuple[Any, ...]]:
    """The rows of a statement that lists something."""
    table = database.execute(statement)[0].table
    assert table is not None
    return table.rows


def click(*rows_: tuple[str | None, int | None, int]) -> list[dict[str, Any]]:
    """Clicks of (key, number, event time)."""
    return [{"K": k, "N": n, "D": None, "ROWTIME": t} for k, n, t in rows_]
