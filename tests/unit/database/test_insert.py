"""Rows from Python, Arrow and INSERT VALUES."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from millstream.database import Database
from millstream.errors import ExecutionError, MillstreamError, SemanticError
from tests.unit.database.setups import CLICKS, COUNTS, USERS, WINDOWS, rows, shown

ALL_TYPES = (
    "CREATE STREAM types (k INT KEY, b BOOLEAN, l BIGINT, d DOUBLE, s VARCHAR, e DECIMAL(6, 2),"
    " a ARRAY<INT>, m MAP<STRING, INT>, r STRUCT<x INT, y VARCHAR>, t TIMESTAMP, da DATE, ti TIME,"
    " y BYTES) WITH (KAFKA_TOPIC='types', VALUE_FORMAT='JSON', PARTITIONS=1);"
)


def values(database: Database, topic: str) -> list[object]:
    return [r[4] for r in shown(database, f"PRINT '{topic}' FROM BEGINNING;")]


def test_dicts_and_tuples(db: Database) -> None:
    db.execute(CLICKS)
    assert db.insert("clicks", [{"k": "a", "N": 1, "rowtime": 77}, {"d": 2}]) == 2
    assert db.insert("CLICKS", [("b", 2, 0.5)]) == 1
    assert db.insert("clicks", []) == 0
    assert rows(db, "SELECT k, n, d, ROWTIME AS t FROM clicks") == [
        ("a", 1, None, 77),
        ("b", 2, 0.5, 1000),
        (None, None, 2.0, 1000),
    ]


def test_arrow(db: Database) -> None:
    db.execute(CLICKS)
    table = pa.table({"n": pa.array([1, 2], pa.int64()), "k": ["a", None], "ROWTIME": [5, 6]})
    assert db.insert("clicks", table) == 2
    assert db.insert("clicks", table.to_batches()[0].slice(1)) == 1
    assert rows(db, "SELECT k, n, d, ROWTIME AS t FROM clicks") == [
        ("a", 1, None, 5),
        (None, 2, None, 6),
        (None, 2, None, 6),
    ]
    dictionary = pa.table({"k": pa.array(["x", "x"]).dictionary_encode()})
    assert db.insert("clicks", dictionary) == 2
    times = pa.table({"ROWTIME": pa.array([datetime.datetime(1970, 1, 1, 0, 0, 9)])})
    assert db.insert("clicks", times) == 1
    assert max(rows(db, "SELECT ROWTIME AS t FROM clicks")) == (9000,)


def test_every_type(db: Database) -> None:
    db.execute(ALL_TYPES)
    row = (1, True, 2, 0.5, "s", "3.10", [1, None], {"a": 1}, {"X": 1, "Y": "y"}, 5, 6, 7, b"\x01")
    db.insert("types", [row, [1, *[None] * 12]])
    db.execute(
        "INSERT INTO types VALUES (1, true, 2, 0.5, 's', 3.1, ARRAY[1, NULL], MAP('a' := 1),"
        " STRUCT(x := 1, y := 'y'), '1970-01-01T00:00:00.005', '1970-01-07', '00:00:00.007',"
        " TO_BYTES('01', 'hex'));"
    )
    found = db.sql("SELECT * FROM types").rows()
    expected = (*row[:5], Decimal("3.10"), *row[6:])
    assert found[0] == expected
    assert found[2] == expected
    assert values(db, "types")[0] == values(db, "types")[2]


def test_insert_values(db: Database) -> None:
    db.execute(CLICKS + USERS)
    db.execute("INSERT INTO clicks VALUES ('a', 1, 1.5);")
    db.execute("INSERT INTO clicks (ROWTIME, n, k) VALUES (9, 1 + 1, CONCAT('b', 'c'));")
    db.execute("INSERT INTO clicks (k) VALUES (NULL);")
    assert rows(db, "SELECT k, n, ROWTIME AS t FROM clicks") == [
        ("a", 1, 1000),
        ("bc", 2, 9),
        (None, None, 1000),
    ]
    for statement in (
        "INSERT INTO users (name) VALUES ('x');",
        "INSERT INTO users VALUES (NULL, 'x');",
        "INSERT INTO clicks (nothing) VALUES (1);",
        "INSERT INTO clicks (n) VALUES ('x');",
        "INSERT INTO clicks (n) VALUES (3000000000);",
        "INSERT INTO clicks (n, n) VALUES (1, 2);",
        "INSERT INTO clicks (n) VALUES (1, 2);",
        "INSERT INTO clicks VALUES (1);",
        "INSERT INTO clicks (ROWTIME, n) VALUES (-1, 2);",
        "INSERT INTO nowhere VALUES (1);",
    ):
        with pytest.raises(SemanticError) as caught:
            db.execute(statement)
        assert caught.value.position is not None
    assert len(rows(db, "SELECT * FROM clicks")) == 3


def test_wrong_rows_are_refused_and_nothing_is_written(db: Database) -> None:
    db.execute(CLICKS + WINDOWS)
    good = {"k": "a", "n": 1}
    for bad in (
        {"nothing": 1},
        {"n": "x"},
        {"n": 3_000_000_000},
        {"k": 5},
        {"n": 1.5},
        {"rowtime": -1},
        {"rowtime": "x"},
    ):
        with pytest.raises(ExecutionError):
            db.insert("clicks", [good, bad])
    for row in (("a",), ("a", 1, 1.0, 4)):
        with pytest.raises(ExecutionError):
            db.insert("clicks", [row])
    for table in (
        pa.table({"n": ["x"]}),
        pa.table({"nothing": [1]}),
        pa.table({"n": [3_000_000_000]}),
        pa.table({"rowtime": [-1]}),
    ):
        with pytest.raises(ExecutionError):
            db.insert("clicks", table)
    with pytest.raises(ExecutionError):
        db.insert("windows", [("a", 1)])
    with pytest.raises(MillstreamError, match="NOWHERE"):
        db.insert("nowhere", [good])
    assert rows(db, "SELECT * FROM clicks") == []


def test_a_table_needs_its_key(db: Database) -> None:
    db.execute(USERS)
    for given in ([{"name": "x"}], pa.table({"name": ["x"]})):
        with pytest.raises(ExecutionError):
            db.insert("users", given)
    db.insert("users", [("a", "x")])
    assert rows(db, "SELECT * FROM users") == [("a", "x")]


def test_rows_into_a_stream_that_a_query_writes(db: Database) -> None:
    db.execute(CLICKS + "CREATE STREAM s AS SELECT k, n FROM clicks;" + COUNTS)
    db.insert("clicks", [("a", 1, None)])
    db.insert("s", [("b", 2)])
    db.run(until_idle=True)
    assert rows(db, "SELECT * FROM s") == [("a", 1), ("b", 2)]


def test_several_partitions_follow_the_key(db: Database) -> None:
    db.execute(CLICKS.replace("PARTITIONS=1", "PARTITIONS=4"))
    db.insert("clicks", [(k, 1, None) for k in "abcdefgh"])
    db.insert("clicks", pa.table({"k": list("abcdefgh")}))
    for key in "abcdefgh":
        db.execute(f"INSERT INTO clicks (k) VALUES ('{key}');")
    found = {(r[3], r[1]) for r in shown(db, "PRINT clicks FROM BEGINNING;")}
    assert len(found) == 8
    assert len({p for _, p in found}) > 1
