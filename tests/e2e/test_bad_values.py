"""Values that do not fit their columns: refused by name, and none of the rows is written."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from millstream import Database
from millstream.errors import MillstreamError, SemanticError
from tests.e2e.raw_topic import connect

COLUMNS = {
    "bo": "BOOLEAN", "i": "INT", "l": "BIGINT", "d": "DOUBLE", "n": "DECIMAL(4, 2)",
    "w": "VARCHAR", "y": "BYTES", "da": "DATE", "ti": "TIME", "ts": "TIMESTAMP",
    "a": "ARRAY<STRUCT<x INT>>", "m": "MAP<VARCHAR, STRUCT<x INT>>",
    "r": "STRUCT<x INT, `Y y` VARCHAR>",
}  # fmt: skip
STREAM = (
    f"CREATE STREAM s (k VARCHAR KEY, {', '.join(f'{c} {x}' for c, x in COLUMNS.items())})"
    " WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
)
HOLDS_ITSELF: list[Any] = []
HOLDS_ITSELF.append(HOLDS_ITSELF)
EAST = datetime.timezone(datetime.timedelta(hours=1))


def count(db: Database) -> int:
    """How many rows the stream has."""
    (row,) = db.sql("SELECT COUNT(*) FROM s;").rows()
    return int(row[0])


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("k", [1, True, b"\xff", "\ud800", ["x"], object()]),
        ("bo", [1, 0.0, "true", b"", [True]]),
        ("i", [True, "1", 1.5, math.nan, math.inf, 2**31, -(2**31) - 1, 10**5_000, Decimal("NaN")]),
        ("i", [Decimal("1.5"), Decimal("1e9999999"), [1], {"x": 1}, datetime.date(2020, 1, 1)]),
        ("l", [2**63, -(2**63) - 1, 9.3e18, "x"]),
        ("d", [True, "1.5", 10**400, Decimal("1e999"), [1.0]]),
        ("n", ["x", "", 100, 1.234, Decimal("1.234"), Decimal("NaN"), math.inf, 1e300, True]),
        ("w", [1, 1.5, True, ["x"], {"x": 1}, "\ud800", b"\xff"]),
        ("y", [1, [1], "\ud800"]),
        ("da", [2**31, "2020-01-01", 1.5, datetime.datetime(2020, 1, 1)]),
        ("ti", [-1, 86_400_000, "10:00", datetime.datetime(2020, 1, 1)]),
        ("ts", [2**63, "2020-01-01", datetime.date(2020, 1, 1), datetime.timedelta(1)]),
        ("a", [1, "x", {"x": 1}, [1], [{"x": "y"}], [{"z": 1}], [[{"x": 1}]], HOLDS_ITSELF]),
        ("m", [1, [], {"k": 1}, {1: {"x": 1}}, {None: {"x": 1}}, {"k": {"z": 1}}]),
        ("r", [1, [], [("x", 1)], {"z": 1}, {"x": 1, "z": 2}, {"x": 1, "X": 2}, {"x": "y"}]),
        ("r", [{"y y": "x"}, {1: 2}, {None: 1}]),
    ],
)
def test_python_values(column: str, values: list[Any]) -> None:
    with connect(STREAM) as db:
        for value in values:
            with pytest.raises(MillstreamError) as caught:
                db.insert("s", [{"k": "good"}, {"k": "x", column: value}])
            message = caught.value.message
            assert message.startswith(f"S: row 2, column {column.upper()}")
            assert len(message) < 300
            assert not any(
                word in message for word in ("pyarrow", "C long", "codec", "bytes object")
            )
        assert count(db) == 0


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("i", 3.0, 3),
        ("i", np.int64(3), 3),
        ("i", Decimal("3.00"), 3),
        ("l", -(2**63), -(2**63)),
        ("d", 3, 3.0),
        ("d", math.inf, math.inf),
        ("d", Decimal("0.5"), 0.5),
        ("n", 1, Decimal("1.00")),
        ("n", 1.5, Decimal("1.50")),
        ("n", "99.99", Decimal("99.99")),
        ("n", Decimal("1.500"), Decimal("1.50")),
        ("w", b"x", "x"),
        ("w", '\x00 it\'s "😀"', '\x00 it\'s "😀"'),
        ("y", bytearray(b"\xff"), b"\xff"),
        ("da", datetime.date(1969, 12, 31), -1),
        ("da", datetime.date.min, -719_162),
        ("ti", datetime.time(0, 0, 1, 2_999), 1_002),
        ("ts", datetime.datetime(1970, 1, 1, 1), 3_600_000),
        ("ts", datetime.datetime(1970, 1, 1, 1, tzinfo=EAST), 0),
        ("ts", -62_198_755_200_000, -62_198_755_200_000),
        ("a", [{"x": 1}, None, {"X": None}], [{"X": 1}, None, {"X": None}]),
        ("a", np.array([None]), [None]),
        ("m", {"k": {"x": 1}, "": None}, {"k": {"X": 1}, "": None}),
        ("r", {"x": 1, "Y y": "z"}, {"X": 1, "Y y": "z"}),
        ("r", {}, {"X": None, "Y y": None}),
    ],
)
def test_python_values_that_fit(column: str, value: Any, expected: Any) -> None:
    with connect(STREAM) as db:
        db.insert("s", [{column: value}, {"k": "last"}])
        assert db.sql(f"SELECT {column} FROM s;").rows() == [(expected,), (None,)]
        # And through the bytes that readers of another process would get.
        assert db.execute("PRINT s FROM BEGINNING LIMIT 2;")[0].table is not None


@pytest.mark.parametrize(
    "rows",
    [None, 5, "text", b"bytes", {"k": "x"}, [5], ["text"], [b"bytes"], [None], [{"z": 1}],
     [{"k": "x", "K": "y"}], [()], [("x",) * 15], [{"ROWTIME": "x"}], [{"ROWTIME": True}],
     [{"ROWTIME": 1.5}], [{1: 2}], [{None: 1}]],
)  # fmt: skip
def test_rows_that_are_none(rows: Any) -> None:
    with connect(STREAM) as db:
        with pytest.raises(MillstreamError):
            db.insert("s", rows)
        assert count(db) == 0


@pytest.mark.parametrize(
    "columns",
    [
        {"z": ["x"]},
        {"k": ["x"], "K": ["y"]},
        {"k": [b"\xff"]},
        {"i": [2**31]},
        {"i": [1.5]},
        {"i": ["x"]},
        {"n": [1.239]},
        {"n": [100]},
        {"n": ["NaN"]},
        {"ti": [-1]},
        {"ti": [86_400_000]},
        {"r": [{"z": 1}]},
        {"a": [[{"x": 1, "z": 2}]]},
        {"ROWTIME": [-1]},
        {"ROWTIME": ["x"]},
    ],
)
def test_arrow_tables(columns: dict[str, list[Any]]) -> None:
    with connect(STREAM) as db:
        with pytest.raises(MillstreamError, match=next(iter(columns)).upper()):
            db.insert("s", pa.table(columns))
        assert count(db) == 0


def test_maps_of_arrow_with_a_key_twice() -> None:
    item = pa.struct([("x", pa.int64())])
    good = pa.array([[("a", {"x": 1})]], pa.map_(pa.string(), item))
    bad = pa.array([[("a", {"x": 1}), ("a", None)]], pa.map_(pa.string(), item))
    with connect(STREAM) as db:
        with pytest.raises(MillstreamError, match="column M"):
            db.insert("s", pa.table({"m": bad}))
        db.insert("s", pa.table({"m": good}))
        assert db.sql("SELECT m FROM s;").rows() == [({"a": {"X": 1}},)]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("i", ["'x'", "1.5", "2147483648", "true", "ARRAY[1]", "1 / 0", "k"]),
        ("l", ["9223372036854775808", "'1'", "1e3"]),
        ("d", ["1e999", "'x'", "true"]),
        ("n", ["100", "1.234", "'x'"]),
        ("w", ["1", "TO_BYTES('61', 'hex')", "ARRAY['x']"]),
        ("y", ["'!'", "1"]),
        ("da", ["'2020-02-30'", "'x'", "true"]),
        ("ti", ["'25:00'", "'x'"]),
        ("ts", ["'x'", "'2020-13-01'", "'292000000-01-01'", "''"]),
        ("a", ["STRUCT(x := 1)", "ARRAY[STRUCT(z := 1)]", "ARRAY[STRUCT(x := 'y')]"]),
        ("m", ["ARRAY[1]", "MAP('k' := STRUCT(z := 1))", "MAP(1 := STRUCT(x := 1))"]),
        ("r", ["1", "STRUCT(z := 1)", "STRUCT(x := 1, z := 2)", "STRUCT(x := 'y')"]),
        ("z", ["1"]),
        ("ROWTIME", ["-1", "'x'", "1.5", "9223372036854775808"]),
    ],
)
def test_insert_values(column: str, values: list[str]) -> None:
    with connect(STREAM) as db:
        for value in values:
            with pytest.raises(MillstreamError) as caught:
                db.execute(
                    "INSERT INTO s (k) VALUES ('good');\n"
                    f"INSERT INTO s ({column}) VALUES ({value});"
                    "INSERT INTO s (k) VALUES ('late');"
                )
            position = getattr(caught.value, "position", None)
            assert position is not None
            assert position.line == 2
        assert db.sql("SELECT k FROM s;").rows() == [("good",)] * len(values)


def test_a_table_without_its_key() -> None:
    with connect(
        "CREATE TABLE t (k INT PRIMARY KEY, a INT)"
        " WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
    ) as db:
        for statement in ("(a) VALUES (1)", "VALUES (NULL, 1)"):
            with pytest.raises(SemanticError, match="primary key"):
                db.execute(f"INSERT INTO t {statement};")
        for rows in ([{"a": 1}], [{"k": 1}, {"a": 2}], pa.table({"a": [1]})):
            with pytest.raises(MillstreamError, match="primary key"):
                db.insert("t", rows)
        assert db.sql("SELECT * FROM t;").rows() == []
