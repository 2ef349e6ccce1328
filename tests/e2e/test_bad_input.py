"""Records that nobody foresaw: each is told in the processing log, and the good ones all arrive."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from millstream.cli.tables import presented, print_rows
from millstream.errors import MillstreamError
from tests.e2e.raw_topic import RAW, Told, connect, read, told, write

DEEP = 100_000
MEGABYTE = 1_000_000
WIDE = 10_000


def one_bad(columns: str, value_format: str, good: bytes, bad: bytes) -> str:
    """Read a record between two good ones that must be bad: what is said of it."""
    found = read(columns, value_format, [good, bad, good])
    assert len(found.good) == 2
    assert found.good[0] == found.good[1]
    ((offset, kind, message),) = found.told
    assert (offset, kind) == (1, "deserialization")
    return message.removeprefix("value: ")


# --- JSON ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", "it is empty"),
        (b'{"a": 1', "it ends too early, at byte 7"),
        (b'{"a": 1}}', "something follows behind its end at byte 8"),
        (b'{"a": 1,}', "nothing follows a comma of an object at byte 8"),
        (b"{'a': 1}", "a name in double quotes is missing at byte 1"),
        (b'{"a": NaN}', "unexpected character N at byte 6"),
        (b'{"a": Infinity}', "unexpected character I at byte 6"),
        (b'{"a": 01}', "a number is malformed at byte 7"),
        (b'{"w": "\xff"}', "it is not UTF-8 at byte 7"),
        (b'{"w": "\x00"}', "unexpected 0x00 at byte 7"),
        (b'{"w": "\\ud800"}', "half of a surrogate pair stands alone in a text"),
        ('{"a": 1}'.encode("utf-16"), "unexpected 0xff at byte 0"),
        (b"\x00" * 100, "unexpected 0x00 at byte 0"),
    ],
)
def test_malformed_json(record: bytes, reason: str) -> None:
    message = one_bad("a INT, w VARCHAR", "JSON", b'{"a": 1, "w": "x"}', record)
    assert message == f"The record is not valid JSON: {reason}."


@pytest.mark.parametrize("record", [b"5", b'"x"', b"[]", b"true"])
def test_json_that_is_no_object(record: bytes) -> None:
    message = one_bad("a INT, w VARCHAR", "JSON", b'{"a": 1}', record)
    assert message.startswith("The record should be a JSON object, but the record has the ")


@pytest.mark.parametrize(
    ("sql_type", "values"),
    [
        ("INT", ["true", '"x"', '""', "[1]", "{}", "2147483648", "-2147483649", "1e400"]),
        ("INT", ["1" * 400, "1e999999999"]),
        ("BIGINT", ["9223372036854775808", "-9223372036854775809", "1e30", '"1.5x"']),
        ("DOUBLE", ["1e400", "-1e400", '"inf"', "true", "[]"]),
        ("DECIMAL(5, 2)", ["1000", "1.234", '"NaN"', "1e999999999", "true"]),
        ("BOOLEAN", ["1", '"true"', "{}"]),
        ("BYTES", ['"!"', "1", '"YQ"']),
        ("DATE", ["99999999999", '"2020-01-01"', "true"]),
        ("TIME", ["-1", "99999999999", '"10:00"']),
        ("TIMESTAMP", ["9223372036854775808", '"2020-01-01"', "{}"]),
        ("ARRAY<INT>", ["1", "{}", '["x"]', "[[1]]"]),
        ("MAP<VARCHAR, INT>", ["1", "[]", '{"k": "x"}']),
        ("STRUCT<x INT>", ["1", "[]", '{"x": "y"}']),
    ],
)
def test_values_of_another_type(sql_type: str, values: list[str]) -> None:
    bad = [f'{{"v": {value}, "n": 1}}'.encode() for value in values]
    good = b'{"v": null, "n": 1}'
    found = read(f"v {sql_type}, n INT", "JSON", [good, *bad, good])
    assert found.good == [(None, 1)] * 2
    assert found.offsets == list(range(1, len(bad) + 1))
    assert all(line.message.startswith("value: Column V") for line in found.told)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (b"{}", (None, None)),
        (b'{"a": null, "w": null}', (None, None)),
        (b'{"nope": 1, "more": {"w": 5}}', (None, None)),
        (b'{"a": 1, "a": 2, "w": "x", "w": "y"}', (2, "y")),
        (b'{"A": 1, "a": 2}', (1, None)),
        (b'{"a": "12", "w": 5}', (12, "5")),
        (b'{"a": 1.9, "w": [1, {"b": null}]}', (1, '[1, {"b":null}]')),
        (b'{"w": "\\u0000 \\ud83d\\ude00"}', (None, "\x00 😀")),
        (b'\xef\xbb\xbf{"a": 1}', (1, None)),
        (b' \r\n\t{"a" : 1 } \n', (1, None)),
    ],
)
def test_odd_json_that_is_good(record: bytes, expected: tuple[Any, ...]) -> None:
    assert read("a INT, w VARCHAR", "JSON", [record]) == ([expected], [])


def test_numbers_that_are_none() -> None:
    records = [b'{"d": "NaN"}', b'{"d": "-Infinity"}', b'{"d": 1e-400}', b'{"d": -0.0}']
    found = read("d DOUBLE", "JSON", records)
    assert repr(found.good) == "[(nan,), (-inf,), (0.0,), (0.0,)]"
    assert found.told == []


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
@pytest.mark.parametrize("closed", [True, False])
def test_json_nested_100_000_levels_deep(opening: bytes, closed: bool) -> None:
    closing = opening.replace(b"{", b"}").replace(b"[", b"]").replace(b'"a":', b"")[::-1]
    deep = opening * DEEP + b"1" + closing * DEEP * closed
    records = [deep, b'{"w": ' + deep + b"}", b'{"unknown": ' + deep + b"}"]
    good = b'{"w": "[[[["}'
    found = read("w VARCHAR, n ARRAY<ARRAY<INT>>", "JSON", [good, *records, good])
    assert found.good == [("[[[[", None)] * 2
    assert [line.message for line in found.told] == [
        "value: The record nests arrays and objects deeper than 400 levels."
    ] * 3


def test_brackets_in_an_endless_text_are_counted_in_linear_time() -> None:
    record = b'{"w": ' + b"[" * 500 + b'"' + b'\\"[' * 300_000
    assert read("w VARCHAR", "JSON", [record, b"{}"]).good == [(None,)]


# --- CSV ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", "The record is not a line of CSV: it has no fields."),
        (b"1,x", "The record has 2 fields, but there are 3 columns."),
        (b"1,x,2,3", "The record has 4 fields, but there are 3 columns."),
        (b"1;x;2", "The record has 1 field, but there are 3 columns."),
        (b'1,"x,2', "The record is not a line of CSV: a quoted field does not end."),
        (b'1,"x"y,2', "The record is not a line of CSV: text follows the end of a quoted field."),
        (b"y,x,2", 'Column A takes INTEGER, but the record has the text "y".'),
        (b"2147483648,x,2", 'Column A takes INTEGER, but the record has the text "2147483648".'),
        (b"1,x,1e400", 'Column D takes DOUBLE, but the record has the text "1e400".'),
        (b" 1,x,2", 'Column A takes INTEGER, but the record has the text " 1".'),
        (b"{}", "The record has 1 field, but there are 3 columns."),
    ],
)
def test_malformed_csv(record: bytes, reason: str) -> None:
    assert one_bad("a INT, w VARCHAR, d DOUBLE", "DELIMITED", b"1,x,2.5", record) == reason


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (b",,", (None, None, None)),
        (b'1,"x, ""y""",2', (1, 'x, "y"', 2.0)),
        (b'1,"x\ny",2\r\n', (1, "x\ny", 2.0)),
        (b"1,\x00\xff,2", (1, "\x00\ufffd", 2.0)),
        (b"1,x,-Infinity", (1, "x", float("-inf"))),
    ],
)
def test_odd_csv_that_is_good(record: bytes, expected: tuple[Any, ...]) -> None:
    assert read("a INT, w VARCHAR, d DOUBLE", "DELIMITED", [record]) == ([expected], [])


def test_csv_values_of_another_type() -> None:
    records = [b"1.55,a", b"99999,a", b"NaN,a", b"1e99999999,a", b"1.5,!", b"1.5,YQ=="]
    found = read("n DECIMAL(4, 1), y BYTES", "DELIMITED", records)
    assert found.good == [(Decimal("1.5"), b"a")]
    assert found.offsets == [0, 1, 2, 3, 4]


# --- Kafka's own bytes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql_type", "good", "expected", "bad"),
    [
        ("INT", struct.pack(">i", -1), -1, [b"", b"\x00", b"\x00" * 5, b"1234567"]),
        ("BIGINT", struct.pack(">q", 2**40), 2**40, [b"", b"\x00" * 4, b"x" * 9]),
        ("DOUBLE", struct.pack(">d", 0.5), 0.5, [b"", b"0.5", b"\x00" * 16]),
    ],
)
def test_bytes_of_another_type(sql_type: str, good: bytes, expected: Any, bad: list[bytes]) -> None:
    found = read(f"v {sql_type}", "KAFKA", [good, *bad, None, good])
    assert found.good == [(expected,), (None,), (expected,)]
    assert found.offsets == list(range(1, len(bad) + 1))
    for line, record in zip(found.told, bad, strict=True):
        assert line.message.endswith(f"in the KAFKA format, but the record has {len(record)}.")


def test_text_that_is_not_utf8_is_read_as_java_reads_it() -> None:
    found = read("v VARCHAR", "KAFKA", [b"\xff\xfe", b"\x00", b"", b"ok"])
    assert found == ([("\ufffd\ufffd",), ("\x00",), ("",), ("ok",)], [])


def test_numbers_that_are_none_in_kafkas_bytes() -> None:
    values = [struct.pack(">d", float(text)) for text in ("nan", "inf", "-inf")]
    assert (
        repr(read("v DOUBLE", "KAFKA", values))
        == "Outcome(good=[(nan,), (inf,), (-inf,)], told=[])"
    )


# --- keys ---------------------------------------------------------------------------------------


def test_keys_of_another_type_and_none() -> None:
    keys = [struct.pack(">i", 7), b"", b"12345", None, b"\x00" * 8, struct.pack(">i", 8)]
    found = read("a INT", "JSON", [b'{"a": %d}' % n for n in range(6)], keys, key="k INT KEY")
    assert found.good == [(0,), (3,), (5,)]
    assert found.offsets == [1, 2, 4]
    assert all(line.message.startswith("key: Column K is INTEGER") for line in found.told)


def test_null_keys_in_tables_and_groups() -> None:
    with connect(
        f"{RAW} CREATE STREAM s (k VARCHAR KEY, a INT)"
        " WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON');"
        "CREATE TABLE t (k VARCHAR PRIMARY KEY, a INT)"
        " WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON');"
        "CREATE TABLE sums AS SELECT k, SUM(a) AS n FROM s GROUP BY k;"
        "CREATE TABLE copy AS SELECT k, a FROM t;"
    ) as db:
        write(db, [b'{"a": 1}', b'{"a": 2}', None, b'{"a": 4}'], [b"x", None, None, b"y"])
        db.run(until_idle=True)
        for table in ("sums", "copy"):
            assert db.sql(f"SELECT * FROM {table};").rows() == [("x", 1), ("y", 4)]
        assert sorted(told(db)) == [
            Told(1, "skipped", "a table's key is null"),
            Told(1, "skipped", "the grouping key is null"),
            Told(2, "skipped", "a table's key is null"),
        ]


# --- many and large -----------------------------------------------------------------------------


def test_a_topic_with_half_broken_records() -> None:
    broken = [b"{", b"\xff", b'{"a": "x"}', b"[]", b"", b'{"a": 1e99}', b'{"a": {}}']
    values = [
        b'{"a": %d}' % number if number % 2 else broken[number // 2 % len(broken)]
        for number in range(1_000)
    ]
    found = read("a INT", "JSON", values)
    assert found.good == [(number,) for number in range(1, 1_000, 2)]
    assert found.offsets == list(range(0, 1_000, 2))


SHAPES = {
    "filtered": "CREATE STREAM r AS SELECT k, a FROM s WHERE a % 3 = 0;",
    "counted": "CREATE TABLE r AS SELECT k, COUNT(*) AS n, SUM(a) AS x FROM s GROUP BY k;",
    "tumbling": "CREATE TABLE r AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 7 SECONDS)"
    " GROUP BY k;",
    "final": "CREATE TABLE r AS SELECT k, SUM(a) AS x FROM s WINDOW HOPPING (SIZE 9 SECONDS,"
    " ADVANCE BY 3 SECONDS, GRACE PERIOD 2 SECONDS) GROUP BY k EMIT FINAL;",
    "sessions": "CREATE TABLE r AS SELECT k, MAX(a) AS x FROM s WINDOW SESSION (2 SECONDS)"
    " GROUP BY k;",
    "latest": "CREATE TABLE r AS SELECT k, LATEST_BY_OFFSET(a, 3) AS x FROM s GROUP BY k;",
    "joined": "CREATE STREAM r AS SELECT s.k AS k, s.a, t.a AS b FROM s LEFT JOIN t ON s.k = t.k;",
    "matched": "CREATE STREAM r AS SELECT s.k AS k, s.a, z.a AS b FROM s JOIN s2 z"
    " WITHIN 1 SECOND ON s.k = z.k;",
    "rekeyed": "CREATE STREAM r AS SELECT a % 5 AS p, k FROM s PARTITION BY a % 5;",
    "regrouped": "CREATE TABLE q AS SELECT k, a FROM t;"
    "CREATE TABLE r AS SELECT a % 3 AS g, COUNT(*) AS n FROM q GROUP BY a % 3;",
}


def results(shape: str, records: list[tuple[bytes | None, bytes | None, int]]) -> list[Any]:
    """What a query of this shape makes of records (key, value, time), their offsets aside."""
    with connect(
        f"{RAW} CREATE STREAM s (k INT KEY, a INT) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON');"
        "CREATE STREAM s2 (k INT KEY, a INT) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON');"
        "CREATE TABLE t (k INT PRIMARY KEY, a INT)"
        f" WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON'); {SHAPES[shape]}"
    ) as db:
        for start in range(0, len(records), 50):
            part = records[start : start + 50]
            db.insert("raw", [{"k": k, "v": v, "ROWTIME": at} for k, v, at in part])
            db.run(until_idle=True)
        assert {query.state for query in db.catalog.queries.values()} == {"RUNNING"}
        return sorted(db.sql("SELECT * FROM r;").rows(), key=repr)


@pytest.mark.parametrize("shape", SHAPES)
def test_queries_over_a_half_broken_topic_end_as_over_its_good_records(shape: str) -> None:
    good = [
        (struct.pack(">i", n * 7 % 4), b'{"a": %d}' % n, 1_000_000 + n * 500 + n * 37 % 900)
        for n in range(120)
    ]
    # Bad records come with any time, and must move neither windows nor the time of a stream.
    bad: list[tuple[bytes | None, bytes | None, int]] = [
        (struct.pack(">i", 1), b"{", 10**15),
        (b"x", b'{"a": 1}', 10**15),
        (struct.pack(">i", 2), b'{"a": "x"}', 0),
        (struct.pack(">i", 3), b"\xff", 2**63 - 1),
    ]
    mixed = [r for n, one in enumerate(good) for r in (bad[n % 4], one)]
    expected = results(shape, list(good))
    assert expected
    assert results(shape, mixed) == expected


@pytest.mark.parametrize(
    ("value_format", "shape"),
    [("JSON", b'{"n": 1, "w": "%s"}'), ("DELIMITED", b'1,"%s"')],
)
def test_records_of_ten_megabytes(value_format: str, shape: bytes) -> None:
    long = b"x" * 10 * MEGABYTE
    found = read(
        "n INT, w VARCHAR", value_format, [shape % long, (shape % long)[:-2], shape % b"short"]
    )
    assert [len(w) for _, w in found.good] == [10 * MEGABYTE, 5]
    assert found.offsets == [1]
    assert len(found.told[0].message) < 200


@pytest.mark.parametrize("value_format", ["JSON", "DELIMITED"])
def test_records_of_ten_thousand_columns(value_format: str) -> None:
    columns = ", ".join(f"c{n} INT" for n in range(WIDE))
    if value_format == "JSON":
        good = b"{" + b",".join(b'"c%d":%d' % (n, n) for n in range(WIDE)) + b"}"
        bad = good.replace(b'"c9999":9999', b'"c9999":"x"')
    else:
        good = b",".join(b"%d" % n for n in range(WIDE))
        bad = good.removesuffix(b"9999") + b"x"
    found = read(columns, value_format, [good, bad, good])
    assert found.good == [tuple(range(WIDE))] * 2
    assert found.offsets == [1]
    assert "C9999" in found.told[0].message


# --- times --------------------------------------------------------------------------------------

YEAR_MS = 31_556_952_000
ABSURD = {
    "year -1": -1970 * YEAR_MS - YEAR_MS,
    "just before 1970": -1,
    "the first": -(2**63),
}
FAR = {"year 292 million": 292_000_000 * YEAR_MS, "a minute before the end": 2**63 - 60_000}


@pytest.mark.parametrize("window", ["TUMBLING (SIZE 1 MINUTE)", "SESSION (1 MINUTE)"])
def test_absurd_timestamps_in_the_record(window: str) -> None:
    times = [1_000, *ABSURD.values(), *FAR.values(), 2**63 - 1, 2_000]
    with connect(
        f"{RAW} CREATE STREAM s (k VARCHAR KEY, at BIGINT)"
        " WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON', TIMESTAMP = 'at');"
        f"CREATE TABLE counts AS SELECT k, COUNT(*) AS n FROM s WINDOW {window} GROUP BY k;"
        "CREATE STREAM copy AS SELECT * FROM s;"
    ) as db:
        write(db, [b'{"at": %d}' % at for at in times])
        db.run(until_idle=True)
        assert {q.state for q in db.catalog.queries.values()} == {"RUNNING"}
        assert db.sql("SELECT n FROM counts WHERE WINDOWSTART < 60000;").rows() == [(2,)]
        counted = sum(n for (n,) in db.sql("SELECT n FROM counts;").rows())
        left_out = {line.offset for line in told(db)}
        assert counted + len(left_out) == len(times)
        assert left_out >= {1, 2, 3}
        # Without windows only times before 1970 cannot be.
        assert [at for _, at in db.sql("SELECT * FROM copy;").rows()] == [1_000, *times[4:]]


def test_a_rowtime_that_cannot_be_is_refused_and_nothing_is_written() -> None:
    with connect(RAW) as db:
        for rowtime in [*ABSURD.values(), 2**63, "yesterday", 1.5]:
            with pytest.raises(MillstreamError, match="ROWTIME"):
                db.insert("raw", [{"v": b"x"}, {"v": b"x", "ROWTIME": rowtime}])
        with pytest.raises(MillstreamError, match="ROWTIME cannot be negative"):
            db.execute("INSERT INTO raw (ROWTIME, k) VALUES (-1, NULL);")
        assert db.sql("SELECT COUNT(*) FROM raw;").rows() == [(0,)]
        for rowtime in FAR.values():
            db.insert("raw", [{"v": b"x", "ROWTIME": rowtime}])
        assert db.sql("SELECT ROWTIME FROM raw;").rows() == [(at,) for at in FAR.values()]


def test_times_that_no_calendar_has_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"ts": 2**63 - 1, "da": -(2**31), "w": "\x1b[2J"}
    with connect(
        "CREATE STREAM s (ts TIMESTAMP, da DATE, w VARCHAR)"
        " WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
    ) as db:
        db.insert("s", [values])
        found = db.sql("SELECT * FROM s;")
        assert found.rows() == [tuple(values.values())]
        assert db.sql("SELECT ts, da FROM s ORDER BY 1;").rows() == [
            ("+292278994-08-17T07:12:55.807", "-5877641-06-23")
        ]
        print_rows(Console(), found.columns, presented(found.rows(), found.types))
    assert capsys.readouterr().out.splitlines()[-1].split() == [
        *("+292278994-08-17T07:12:55.807", "-5877641-06-23", "\\x1b[2J")
    ]
