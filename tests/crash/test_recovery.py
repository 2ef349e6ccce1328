"""A file of which a part is damaged: whatever does not need that part goes on, and what the check
advises works."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from millstream.clock import FixedClock
from millstream.database import Database
from millstream.errors import StoreError
from millstream.store.sqlite.check import check_file

SCRIPT = """
SET 'auto.offset.reset' = 'earliest';
CREATE STREAM clicks (page VARCHAR, n INT)
  WITH (KAFKA_TOPIC = 'clicks', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE TABLE pages AS SELECT page, COUNT(*) AS n FROM clicks GROUP BY page;
CREATE TABLE sums AS SELECT page, SUM(n) AS n FROM clicks GROUP BY page;
"""
SUMS = "CREATE TABLE sums AS SELECT page, SUM(n) AS n FROM clicks GROUP BY page;"


def open_(path: Path) -> Database:
    """The database."""
    return Database.open(str(path), clock=FixedClock(1_000_000))


def feed(db: Database, start: int) -> None:
    """Clicks, in a commit of their own, too many for a small one."""
    numbers = range(start, start + 2_000)
    columns = {"page": [f"/{n % 7}" for n in numbers], "n": pa.array(numbers, pa.int32())}
    db.insert("clicks", pa.table(columns))


def counts(db: Database, table: str = "pages") -> int:
    """The sum over a table."""
    return sum(n for (n,) in db.sql(f"SELECT n FROM {table};").rows())


def alter(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(sql).rowcount > 0
        connection.commit()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database that was closed."""
    found = tmp_path / "x.db"
    with open_(found) as db:
        db.execute(SCRIPT)
        for start in (0, 2_000, 4_000):
            feed(db, start)
            db.run(until_idle=True)
    return found


def states(db: Database) -> dict[str, str]:
    return {q.id: q.state for q in db.metrics().queries}


def test_state_that_is_damaged_stops_its_query_only(path: Path) -> None:
    alter(
        path,
        "UPDATE part SET body = x'00' WHERE store IN"
        " (SELECT id FROM store WHERE query = 2 AND step NOT LIKE '%.%')",
    )
    assert [s.query for s in check_file(str(path)).states if s.damaged] == [2]
    with open_(path) as db:
        assert states(db) == {"CTAS_PAGES_0": "RUNNING", "CTAS_SUMS_1": "ERROR"}
        (reason,) = [q.error for q in db.metrics().queries if q.error]
        assert "of query 2 cannot be read" in reason
        feed(db, 6_000)
        db.run(until_idle=True)
        assert counts(db) == 8_000
        with pytest.raises(StoreError, match="cannot be read"):
            db.sql("SELECT * FROM sums;")
        db.execute("SET 'auto.offset.reset' = 'earliest'; DROP TABLE sums DELETE TOPIC;" + SUMS)
        db.run(until_idle=True)
        assert counts(db, "sums") == sum(range(8_000))
        assert set(states(db).values()) == {"RUNNING"}
    assert check_file(str(path)).intact


def test_records_that_are_damaged_stop_who_has_to_read_them(path: Path) -> None:
    alter(path, "UPDATE run SET body = zeroblob(length(body)) WHERE topic = 2 AND base = 2000")
    with open_(path) as db:
        db.execute("SET 'auto.offset.reset' = 'earliest';")
        db.execute("CREATE TABLE late AS SELECT page, COUNT(*) AS n FROM clicks GROUP BY page;")
        db.execute("CREATE STREAM copy AS SELECT * FROM clicks;")
        feed(db, 6_000)
        db.run(until_idle=False, for_ms=0)
        while db.step():
            pass
        assert states(db) == {
            "CTAS_PAGES_0": "RUNNING",
            "CTAS_SUMS_1": "RUNNING",
            "CTAS_LATE_2": "ERROR",
            "CSAS_COPY_3": "ERROR",
        }
        reasons = {q.error for q in db.metrics().queries if q.error}
        assert all("records 2000 to 3999 of topic 'clicks'" in reason for reason in reasons)
        (outcome,) = db.execute("EXPLAIN CTAS_LATE_2;")
        assert "CTAS_LATE_2 is ERROR: records 2000 to 3999 of topic 'clicks'" in outcome.message
        # What lies before them was read.
        assert counts(db, "late") == 2_000
        assert counts(db) == 8_000
        with pytest.raises(StoreError, match="records 2000 to 3999 of topic 'clicks'"):
            db.sql("SELECT * FROM clicks;")
    with Database.open(str(path), read_only=True) as db:
        assert counts(db) == 8_000
