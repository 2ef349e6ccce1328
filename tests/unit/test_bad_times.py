"""Event times and windows that nobody foresaw: before 1970, beyond any calendar, without an end."""

from __future__ import annotations

import json

import numpy as np
import pytest

from millstream.columns.segments import by_pair
from millstream.errors import MillstreamError, ParseError, SemanticError
from tests.feeding import Line, feed, log, memory_database, rows, settle, states

STREAM = (
    "CREATE STREAM events (k VARCHAR KEY, n INT)"
    " WITH (KAFKA_TOPIC = 'events', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
)
YEAR_MS = 31_556_952_000
LAST = 2**63 - 1
ABSURD = [-1, -62_167_219_200_000 - YEAR_MS, -(2**63), 292_000_000 * YEAR_MS, LAST - 60_000, LAST]
WINDOWS = [
    "TUMBLING (SIZE 1 MINUTE)",
    "TUMBLING (SIZE 1 MILLISECOND)",
    "TUMBLING (SIZE 10000000000 DAYS)",
    "TUMBLING (SIZE 1 MINUTE, RETENTION 10000000000 DAYS, GRACE PERIOD 10000000000 DAYS)",
    "HOPPING (SIZE 1 MINUTE, ADVANCE BY 5 SECONDS)",
    "HOPPING (SIZE 10000000000 DAYS, ADVANCE BY 1000000000 DAYS)",
    "SESSION (1 MINUTE)",
    "SESSION (10000000000 DAYS)",
]


def places(lines: list[Line]) -> list[tuple[str, int | None]]:
    """The kind of each line and the record it is about."""
    return [(line.kind, line.offset) for line in lines]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("emit", ["CHANGES", "FINAL"])
def test_absurd_times_are_logged_and_leave_the_windows_of_others_alone(
    window: str, emit: str
) -> None:
    script = (
        f"{STREAM} CREATE TABLE counts AS SELECT k, COUNT(*) AS c FROM events WINDOW {window}"
        f" GROUP BY k EMIT {emit};"
    )
    with memory_database(script) as db, memory_database(script) as plain:
        for one, times in ((db, [1_000, *ABSURD, 2_000]), (plain, [1_000, 2_000])):
            feed(one, "events", [b'{"n": 1}'] * len(times), [b"k"] * len(times), times)
            settle(one)
            assert states(one) == {"CTAS_COUNTS_0": "RUNNING"}
        assert "skipped" not in {line.kind for line in log(plain)}
        told = [line for line in log(db) if line.kind == "skipped"]
        assert sorted(places(told)) == [("skipped", offset) for offset in range(1, 7)]
        bounds = "SELECT k, WINDOWSTART, WINDOWEND, c, ROWTIME FROM counts;"
        assert rows(db, bounds) == rows(plain, bounds)


@pytest.mark.parametrize("unit", [10**3, 10**6])
@pytest.mark.parametrize("window", WINDOWS)
def test_micro_and_nanoseconds_taken_for_milliseconds(window: str, unit: int) -> None:
    with memory_database(
        f"{STREAM} CREATE TABLE counts AS SELECT k, COUNT(*) AS c FROM events WINDOW {window}"
        " GROUP BY k;"
    ) as db:
        times = [1_700_000_000_000 * unit, 1_700_000_000_000 * unit + 1]
        feed(db, "events", [b"{}"] * 2, [b"k"] * 2, times)
        settle(db)
        assert states(db) == {"CTAS_COUNTS_0": "RUNNING"}
        counted = sum(c for (c,) in rows(db, "SELECT c FROM counts;"))
        assert counted >= 2 or [line.kind for line in log(db)] == ["skipped"] * 2


def test_a_stream_without_windows_hands_any_time_on() -> None:
    with memory_database(f"{STREAM} CREATE STREAM copies AS SELECT * FROM events;") as db:
        feed(db, "events", [b'{"n": 1}'] * 3, [b"k"] * 3, [0, LAST, LAST - 1])
        settle(db)
        assert rows(db, "SELECT ROWTIME FROM copies;") == [(0,), (LAST,), (LAST - 1,)]


def test_times_far_apart_in_one_batch_stay_apart() -> None:
    with memory_database(
        f"{STREAM} CREATE TABLE counts AS SELECT k, COUNT(*) AS c FROM events"
        " WINDOW TUMBLING (SIZE 4 MILLISECONDS, GRACE PERIOD 10000000000 DAYS) GROUP BY k;",
    ) as db:
        times = [0, 2**50, 3, 2**50 + 1, 2**49]
        keys = [b"a", b"b", b"c", b"d", b"e"]
        feed(db, "events", [b"{}"] * 25, keys * 5, [t for t in times for _ in keys])
        settle(db)
        found = rows(db, "SELECT k, WINDOWSTART, c FROM counts;")
        expected = {0: 2, 2**50: 2, 2**49: 1}
        assert sorted(found) == sorted(
            (k.decode(), start, c) for k in keys for start, c in expected.items()
        )


def test_grouping_by_two_codes_whose_product_overflows() -> None:
    first = np.array([0, 4, 0, 4, 3, 3])
    second = np.array([0, 0, 2**62 - 1, 2**62 - 1, 5, 0])
    segments = by_pair(first, second)
    assert segments.order.tolist() == [0, 2, 5, 4, 1, 3]
    assert len(segments) == 6
    assert len(by_pair(first[:0], second[:0])) == 0


@pytest.mark.parametrize("within", ["1 HOUR", "10000000000 DAYS", "0 SECONDS"])
@pytest.mark.parametrize("kind", ["JOIN", "LEFT JOIN"])
def test_absurd_times_in_a_join_of_streams(within: str, kind: str) -> None:
    with memory_database(
        "CREATE STREAM a (k VARCHAR KEY, x INT)"
        " WITH (KAFKA_TOPIC = 'a', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
        "CREATE STREAM b (k VARCHAR KEY, y INT)"
        " WITH (KAFKA_TOPIC = 'b', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
        f"CREATE STREAM pairs AS SELECT a.k, x, y FROM a {kind} b WITHIN {within} ON a.k = b.k;"
    ) as db:
        for time in (1_000, *ABSURD, 1_000):
            feed(db, "a", [b'{"x": 1}'], [b"k"], [time])
            feed(db, "b", [b'{"y": 2}'], [b"k"], [time])
            settle(db)
        assert states(db) == {"CSAS_PAIRS_0": "RUNNING"}
        found = rows(db, "SELECT * FROM pairs;")
        assert found.count(("k", 1, 2)) == 4
        assert len([line for line in log(db) if line.kind == "skipped"]) == 12


# --- the TIMESTAMP column -----------------------------------------------------------------------


def timed(column: str, extra: str = "") -> str:
    """A stream that takes its event time from a column, and two queries over it."""
    return (
        f"CREATE STREAM events (k VARCHAR KEY, t {column}, n INT) WITH (KAFKA_TOPIC = 'events',"
        f" VALUE_FORMAT = 'JSON', PARTITIONS = 1, TIMESTAMP = 't'{extra});"
        "CREATE STREAM copies AS SELECT k, n FROM events;"
        "CREATE TABLE counts AS SELECT k, COUNT(*) AS c FROM events"
        " WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 5 SECONDS) GROUP BY k;"
    )


def test_a_timestamp_column_that_holds_no_time() -> None:
    given = [1, -1, None, LAST, LAST - 5_000, -(2**63), -62_198_755_200_000, 7]
    with memory_database(timed("BIGINT")) as db:
        records = [json.dumps({"t": t, "n": n}).encode() for n, t in enumerate(given)]
        records += [b'{"n": 8}', b'{"t": "x", "n": 9}', b'{"t": 1e30, "n": 10}']
        feed(db, "events", records, [b"k"] * len(records))
        settle(db)
        assert set(states(db).values()) == {"RUNNING"}
        assert rows(db, "SELECT n, ROWTIME FROM copies;") == [
            (0, 1),
            (3, LAST),
            (4, LAST - 5_000),
            (7, 7),
        ]
        assert rows(db, "SELECT c FROM counts;") == [(2,)]
        told = [line for line in log(db) if line.step == "source EVENTS"]
        assert sorted(places(told)) == [
            *[("deserialization", offset) for offset in (9, 10)],
            *[("skipped", offset) for offset in (1, 2, 5, 6, 8)],
        ]
        assert {line.offset: line.record for line in told}[1] == records[1]
        assert "T holds no timestamp: -1" in {line.message for line in told}


def test_a_timestamp_column_of_text() -> None:
    given = ["2020-01-01", "", None, "9999-12-31", "292278995-01-01", "x" * 100_000, "1969-01-01"]
    with memory_database(timed("VARCHAR", ", TIMESTAMP_FORMAT = 'yyyy-MM-dd'")) as db:
        records = [json.dumps({"t": t, "n": n}).encode() for n, t in enumerate(given)]
        feed(db, "events", records, [b"k"] * len(records))
        settle(db)
        assert set(states(db).values()) == {"RUNNING"}
        assert rows(db, "SELECT n FROM copies;") == [(0,), (3,)]
        told = log(db)
        assert [line.offset for line in told] == [1, 2, 4, 5, 6]
        assert all(len(line.message) < 1_000 for line in told)


def test_a_sink_whose_timestamp_column_holds_no_time() -> None:
    with memory_database(
        "CREATE STREAM events (k VARCHAR KEY, t BIGINT)"
        " WITH (KAFKA_TOPIC = 'events', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
        "CREATE STREAM copies WITH (TIMESTAMP = 't') AS SELECT k, t FROM events;"
    ) as db:
        feed(db, "events", [b'{"t": 5}', b'{"t": -5}', b"{}", b'{"t": %d}' % LAST], [b"k"] * 4)
        settle(db)
        assert rows(db, "SELECT ROWTIME FROM copies;") == [(5,), (LAST,)]
        assert places(log(db)) == [("skipped", 1), ("skipped", 2)]


def test_only_the_query_that_asks_for_it_stops_at_an_invalid_time() -> None:
    with memory_database(
        "CREATE STREAM events (k VARCHAR KEY, t BIGINT)"
        " WITH (KAFKA_TOPIC = 'events', VALUE_FORMAT = 'JSON', PARTITIONS = 1, TIMESTAMP = 't');"
        "CREATE STREAM lenient AS SELECT k, t FROM events;"
        "SET 'ksql.timestamp.throw.on.invalid' = 'true';"
        "CREATE STREAM strict AS SELECT k, t FROM events;"
    ) as db:
        feed(db, "events", [b'{"t": 1}', b'{"t": -1}', b'{"t": 2}'], [b"k"] * 3)
        settle(db)
        assert states(db) == {"CSAS_LENIENT_0": "RUNNING", "CSAS_STRICT_1": "ERROR"}
        assert rows(db, "SELECT t FROM lenient;") == [(1,), (2,)]
        assert db.catalog.queries["CSAS_STRICT_1"].error == "EVENTS: T holds no timestamp: -1"


# --- windows ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ("TUMBLING (SIZE 0 SECONDS)", "a window must last at least one millisecond"),
        ("SESSION (0 SECONDS)", "a window must last at least one millisecond"),
        ("HOPPING (SIZE 1 HOUR, ADVANCE BY 0 SECONDS)", "must last at least one millisecond"),
        ("HOPPING (SIZE 1 HOUR, ADVANCE BY 2 HOURS)", "cannot advance by more than its size"),
        ("HOPPING (SIZE 1 DAY, ADVANCE BY 1 MILLISECOND)", "would fall into 86400000 windows"),
        ("HOPPING (SIZE 1000 SECONDS, ADVANCE BY 1 MILLISECOND)", "into 1000000 windows"),
        ("TUMBLING (SIZE 9223372036854775807 DAYS)", "The duration of .* is too long"),
        ("TUMBLING (SIZE 9223372036854775807 MILLISECONDS)", "The duration of .* is too long"),
        ("TUMBLING (SIZE 1 DAY, GRACE PERIOD 99999999999999 DAYS)", "is too long"),
        ("TUMBLING (SIZE 1 DAY, RETENTION 99999999999999 DAYS)", "is too long"),
        ("TUMBLING (SIZE 99999999999999999999 DAYS)", "does not fit a BIGINT"),
        ("TUMBLING (SIZE -1 DAYS)", "Expected a duration"),
    ],
)
def test_windows_that_cannot_be(window: str, message: str) -> None:
    with memory_database(STREAM) as db:
        with pytest.raises(MillstreamError, match=message) as caught:
            db.execute(
                f"CREATE TABLE t AS SELECT k, COUNT(*) AS c FROM events WINDOW {window} GROUP BY k;"
            )
        assert isinstance(caught.value, SemanticError | ParseError)
        assert caught.value.position is not None
        assert "T" not in db.catalog.sources


@pytest.mark.parametrize(
    "size", ["0 SECONDS", "99999999999999 DAYS", "9" * 5_000 + " DAYS", "-1 DAYS", "1", "x"]
)
def test_window_sizes_of_topics_that_cannot_be(size: str) -> None:
    with memory_database() as db, pytest.raises(SemanticError, match="WINDOW_SIZE must be"):
        db.execute(
            "CREATE STREAM w (k VARCHAR KEY, n INT) WITH (KAFKA_TOPIC = 'w', PARTITIONS = 1,"
            f" VALUE_FORMAT = 'JSON', WINDOW_TYPE = 'TUMBLING', WINDOW_SIZE = '{size}');"
        )


def test_within_cannot_be_endless() -> None:
    with memory_database(STREAM) as db, pytest.raises(ParseError, match="is too long"):
        db.execute(
            "CREATE STREAM pairs AS SELECT a.k, a.n FROM events a JOIN events b"
            " WITHIN 9223372036854775807 DAYS ON a.k = b.k;"
        )
