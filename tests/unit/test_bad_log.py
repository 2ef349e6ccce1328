"""The processing log itself: told once, never of itself for ever, and bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

import millstream
from millstream import Database
from millstream.clock import FixedClock
from millstream.errors import MillstreamError
from tests.feeding import feed, feed_json, log, memory_database, rows, settle, states

NUMBERS = (
    "CREATE STREAM numbers (k VARCHAR KEY, n INT)"
    " WITH (KAFKA_TOPIC = 'numbers', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
)
MOST_STEPS = 20


def step_until_still(db: Database) -> None:
    """Step until nothing happens; fails where that does not come."""
    for _ in range(MOST_STEPS):
        if not db.step():
            return
    pytest.fail("there is always something left to do")


# --- once ---------------------------------------------------------------------------------------


def test_a_record_that_several_queries_read_is_logged_once() -> None:
    with memory_database(
        NUMBERS
        + "".join(f"CREATE STREAM copy{i} AS SELECT * FROM numbers;" for i in range(5))
        + "CREATE TABLE counts AS SELECT k, COUNT(*) AS c FROM numbers GROUP BY k;"
    ) as db:
        feed(db, "numbers", [b'{"n": 1}', b"{", b'{"n": "x"}', b'{"n": 2}'], [b"k"] * 4)
        settle(db)
        assert [(line.offset, line.record) for line in log(db)] == [(1, b"{"), (2, b'{"n": "x"}')]
        assert db.metrics().log_count == 2


def test_a_query_that_comes_later_logs_nothing_again() -> None:
    with memory_database(NUMBERS + "CREATE STREAM early AS SELECT * FROM numbers;") as db:
        feed(db, "numbers", [b"{", b'{"n": 1}', b"["], [b"k"] * 3)
        settle(db)
        db.execute("CREATE STREAM late AS SELECT * FROM numbers;")
        settle(db)
        feed(db, "numbers", [b"]"], [b"k"])
        settle(db)
        db.execute("CREATE STREAM later AS SELECT * FROM numbers;")
        settle(db)
        assert [line.record for line in log(db)] == [b"{", b"[", b"]"]
        assert [len(rows(db, f"SELECT * FROM {s};")) for s in ("early", "late", "later")] == [1] * 3


def test_what_an_early_query_did_not_read_is_logged_by_the_late_one() -> None:
    with memory_database(NUMBERS) as db:
        feed(db, "numbers", [b"old"] * 3, [b"k"] * 3)
        db.execute(
            "SET 'auto.offset.reset' = 'latest'; CREATE STREAM fresh AS SELECT * FROM numbers;"
        )
        feed(db, "numbers", [b"new"], [b"k"])
        settle(db)
        assert [line.offset for line in log(db)] == [3]
        db.execute(
            "SET 'auto.offset.reset' = 'earliest'; CREATE STREAM whole AS SELECT * FROM numbers;"
        )
        settle(db)
        assert [line.offset for line in log(db)] == [3, 0, 1, 2]


def test_what_was_logged_is_known_after_a_restart(tmp_path: Path) -> None:
    path = str(tmp_path / "numbers.db")
    properties = {"auto.offset.reset": "earliest"}
    with millstream.connect(path, clock=FixedClock(1), properties=properties) as db:
        db.execute(NUMBERS + "CREATE STREAM early AS SELECT * FROM numbers;")
        feed(db, "numbers", [b"{", b'{"n": 1}'], [b"k"] * 2)
        settle(db)
    with millstream.connect(path, clock=FixedClock(1), properties=properties) as db:
        db.execute("CREATE STREAM late AS SELECT * FROM numbers;")
        feed(db, "numbers", [b"["], [b"k"])
        settle(db)
        assert [line.record for line in log(db)] == [b"{", b"["]


def test_each_source_over_a_topic_has_its_own_say() -> None:
    with memory_database(
        NUMBERS
        + "CREATE STREAM words (k VARCHAR KEY, n VARCHAR, m INT)"
        + " WITH (KAFKA_TOPIC = 'numbers', VALUE_FORMAT = 'JSON');"
        + "CREATE STREAM a AS SELECT * FROM numbers; CREATE STREAM b AS SELECT * FROM words;"
    ) as db:
        feed(db, "numbers", [b'{"n": "x"}', b'{"m": "y"}', b"{"], [b"k"] * 3)
        settle(db)
        assert sorted((line.step, line.offset) for line in log(db)) == [
            ("source NUMBERS", 0),
            ("source NUMBERS", 2),
            ("source WORDS", 1),
            ("source WORDS", 2),
        ]


def test_a_source_that_is_made_again_starts_anew() -> None:
    with memory_database(NUMBERS + "CREATE STREAM a AS SELECT * FROM numbers;") as db:
        feed(db, "numbers", [b"{"], [b"k"])
        settle(db)
        db.execute("DROP STREAM a; DROP STREAM numbers;")
        db.execute(NUMBERS.replace(", PARTITIONS = 1", ""))
        db.execute("CREATE STREAM a AS SELECT * FROM numbers;")
        settle(db)
        assert [line.offset for line in log(db)] == [0, 0]


# --- what a line tells ---------------------------------------------------------------------------


def test_a_line_of_a_failed_expression_tells_the_record() -> None:
    with memory_database(
        NUMBERS + "CREATE STREAM inverse AS SELECT k, 10 / n AS v FROM numbers WHERE 1 / n < 9;"
    ) as db:
        feed_json(db, "numbers", {"n": 5})
        feed_json(db, "numbers", {"n": 2}, {"n": 0}, {"n": 1})
        settle(db)
        (line,) = log(db)
        assert line.kind == "expression"
        assert (line.query_id, line.step) == ("CSAS_INVERSE_0", "where-1")
        assert (line.topic, line.partition, line.offset) == ("numbers", 0, 2)
        assert (line.message, line.record) == ("division by zero", b'{"n": 0}')


def test_a_line_of_a_late_row_tells_the_record() -> None:
    with memory_database(
        NUMBERS + "CREATE TABLE counts AS SELECT k, COUNT(*) AS c FROM numbers"
        " WINDOW TUMBLING (SIZE 1 SECOND, GRACE PERIOD 0 SECONDS) GROUP BY k;"
    ) as db:
        feed(db, "numbers", [b"{}", b'{"n": 7}'], [b"k"] * 2, [50_000, 1_000])
        settle(db)
        (line,) = log(db)
        assert (line.kind, line.offset, line.record) == ("late", 1, b'{"n": 7}')


def test_a_line_names_the_record_of_the_topic_that_was_read() -> None:
    with memory_database(
        NUMBERS + "CREATE STREAM copies AS SELECT k, n FROM numbers WHERE n <> 3;"
        "CREATE STREAM inverse AS SELECT k, 10 / n AS v FROM copies;"
    ) as db:
        feed_json(db, "numbers", {"n": 3}, {"n": 3}, {"n": 0})
        settle(db)
        (line,) = log(db)
        assert (line.topic, line.offset, line.record) == ("COPIES", 0, b'{"N":0}')


def test_long_records_and_messages_are_cut() -> None:
    with memory_database(
        "CREATE STREAM words (k VARCHAR KEY, w VARCHAR)"
        " WITH (KAFKA_TOPIC = 'words', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
        "CREATE STREAM numbers AS SELECT k, CAST(w AS INT) AS n FROM words;"
    ) as db:
        feed(db, "words", [b'{"w": "' + b"x" * 3_000_000 + b'"}', b"x" * 3_000_000], [b"k"] * 2)
        settle(db)
        told = log(db)
        assert {line.kind for line in told} == {"expression", "deserialization"}
        assert all(len(line.message) < 600 and len(line.record or b"") == 4096 for line in told)


def test_many_broken_records_are_counted_and_the_others_read() -> None:
    with memory_database(
        NUMBERS + "CREATE TABLE counts AS SELECT k, COUNT(*) AS c, SUM(n) AS s FROM numbers"
        " GROUP BY k;"
    ) as db:
        records = [b'{"n": %d}' % i if i % 2 else b'{"n": %d' % i for i in range(5_000)]
        feed(db, "numbers", records, [b"k"] * 5_000)
        settle(db)
        assert rows(db, "SELECT c, s FROM counts;") == [(2_500, sum(range(1, 5_000, 2)))]
        told = log(db)
        assert [line.offset for line in told[:-1]] == list(range(0, 2_000, 2))
        assert told[-1].message == "1500 more lines were left out"
        assert db.metrics().log_count == 2_500


# --- a stream like any other ---------------------------------------------------------------------


def test_the_log_answers_pull_push_and_persistent_queries() -> None:
    with (
        memory_database(
            NUMBERS + "CREATE STREAM inverse AS SELECT k, 10 / n AS v FROM numbers;"
            "CREATE TABLE kinds AS SELECT kind, COUNT(*) AS c FROM KSQL_PROCESSING_LOG"
            " GROUP BY kind;"
        ) as db,
        db.subscribe("SELECT kind, `OFFSET` FROM KSQL_PROCESSING_LOG EMIT CHANGES;") as pushed,
    ):
        feed(db, "numbers", [b"{", b'{"n": 0}', b"["], [b"k"] * 3)
        settle(db)
        expected = [("deserialization", 0), ("deserialization", 2), ("expression", 1)]
        assert sorted(pushed.poll()) == expected
        asked = "SELECT kind, `OFFSET` FROM KSQL_PROCESSING_LOG"
        assert sorted(rows(db, f"{asked};")) == expected
        assert rows(db, f"{asked} WHERE kind = 'expression';") == [("expression", 1)]
        assert sorted(rows(db, "SELECT * FROM kinds;")) == [
            ("deserialization", 2),
            ("expression", 1),
        ]


@pytest.mark.parametrize(
    "statement",
    [
        "DROP STREAM KSQL_PROCESSING_LOG;",
        "DROP STREAM KSQL_PROCESSING_LOG DELETE TOPIC;",
        "INSERT INTO KSQL_PROCESSING_LOG (message) VALUES ('x');",
        "INSERT INTO KSQL_PROCESSING_LOG SELECT k AS message FROM numbers;",
        "CREATE STREAM s WITH (KAFKA_TOPIC = 'millstream_processing_log') AS"
        " SELECT * FROM numbers;",
        "CREATE STREAM view (a VARCHAR) WITH (KAFKA_TOPIC = 'millstream_processing_log',"
        " VALUE_FORMAT = 'JSON'); INSERT INTO view VALUES ('x');",
        "CREATE STREAM view (a VARCHAR) WITH (KAFKA_TOPIC = 'millstream_processing_log',"
        " VALUE_FORMAT = 'JSON'); DROP STREAM view DELETE TOPIC;",
        "CREATE STREAM view (a VARCHAR) WITH (KAFKA_TOPIC = 'millstream_processing_log',"
        " VALUE_FORMAT = 'JSON'); INSERT INTO view SELECT k AS a FROM numbers;",
    ],
)
def test_nobody_else_writes_or_drops_the_log(statement: str) -> None:
    with memory_database(NUMBERS) as db:
        with pytest.raises(MillstreamError) as caught:
            db.execute(statement)
        assert caught.value.message
        feed(db, "numbers", [b"{"], [b"k"])
        db.execute("CREATE STREAM a AS SELECT * FROM numbers;")
        settle(db)
        assert len(log(db)) == 1


# --- without end ---------------------------------------------------------------------------------


def test_a_query_that_fails_on_the_log_comes_to_an_end() -> None:
    with memory_database(
        NUMBERS + "CREATE STREAM inverse AS SELECT k, 10 / n AS v FROM numbers;"
        "CREATE STREAM failing AS SELECT kind, CAST(message AS INT) AS x FROM KSQL_PROCESSING_LOG;"
    ) as db:
        feed(db, "numbers", [b"{", b'{"n": 0}'], [b"k"] * 2)
        step_until_still(db)
        # Two lines, and that the query failed on each of them; no more of these two.
        assert [line.query_id for line in log(db)].count("CSAS_FAILING_1") == 2
        assert len(log(db)) == 4
        assert len(rows(db, "SELECT * FROM failing;")) == 4
        feed(db, "numbers", [b"["], [b"k"])
        step_until_still(db)
        assert len(log(db)) == 6
        assert set(states(db).values()) == {"RUNNING"}


def test_a_query_behind_one_that_reads_the_log_comes_to_an_end() -> None:
    with memory_database(
        NUMBERS + "CREATE STREAM inverse AS SELECT k, 10 / n AS v FROM numbers;"
        "CREATE STREAM messages AS SELECT message FROM KSQL_PROCESSING_LOG;"
        "CREATE STREAM failing AS SELECT CAST(message AS INT) AS x FROM messages;"
        "CREATE STREAM again AS SELECT CAST(message AS BIGINT) AS x FROM messages;"
    ) as db:
        feed(db, "numbers", [b"{"], [b"k"])
        step_until_still(db)
        assert len(log(db)) == 3


def test_a_circle_through_the_log_comes_to_an_end() -> None:
    with memory_database(
        "CREATE STREAM texts (t VARCHAR)"
        " WITH (KAFKA_TOPIC = 'texts', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
        "INSERT INTO texts SELECT message AS t FROM KSQL_PROCESSING_LOG;"
        "CREATE STREAM failing AS SELECT CAST(t AS INT) AS x FROM texts;"
    ) as db:
        db.execute("INSERT INTO texts VALUES ('no number'); INSERT INTO texts VALUES ('none');")
        step_until_still(db)
        told = [line.message for line in log(db)]
        assert told[:2] == [f"'{t}' does not read as INTEGER" for t in ("no number", "none")]
        assert len(told) == 4
        assert len(rows(db, "SELECT * FROM failing;")) == 6


def test_a_stream_that_misreads_the_log_comes_to_an_end() -> None:
    with memory_database(
        NUMBERS + "CREATE STREAM copies AS SELECT * FROM numbers;"
        "CREATE STREAM misread (a INT, b INT)"
        " WITH (KAFKA_TOPIC = 'millstream_processing_log', VALUE_FORMAT = 'DELIMITED');"
        "CREATE STREAM more AS SELECT * FROM misread;"
    ) as db:
        feed(db, "numbers", [b"{"], [b"k"])
        step_until_still(db)
        assert [line.step for line in log(db)] == ["source NUMBERS", "source MISREAD"]


def test_a_restart_begins_no_endless_story(tmp_path: Path) -> None:
    path = str(tmp_path / "numbers.db")
    script = (
        NUMBERS + "CREATE STREAM inverse AS SELECT k, 10 / n AS v FROM numbers;"
        "CREATE STREAM failing AS SELECT CAST(message AS INT) AS x FROM KSQL_PROCESSING_LOG;"
    )
    with millstream.connect(path, properties={"auto.offset.reset": "earliest"}) as db:
        db.execute(script)
        feed(db, "numbers", [b"{"], [b"k"])
        db.step()
    for _ in range(3):
        with millstream.connect(path) as db:
            db.step()
    with millstream.connect(path) as db:
        step_until_still(db)
        assert len(log(db)) <= 6


# --- bounded -------------------------------------------------------------------------------------


def test_who_comes_late_reads_from_the_first_line_that_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("millstream.database.processing_log.KEPT_LINES", 100)
    with memory_database(NUMBERS + "CREATE STREAM copies AS SELECT * FROM numbers;") as db:
        for _ in range(15):
            feed(db, "numbers", [b"{"] * 20, [b"k"] * 20)
            settle(db)
        kept = [line.offset for line in log(db)]
        assert 100 <= len(kept) <= 125
        assert kept == list(range(300 - len(kept), 300))
        db.execute("CREATE STREAM late AS SELECT `OFFSET` AS o FROM KSQL_PROCESSING_LOG;")
        settle(db)
        assert [o for (o,) in rows(db, "SELECT o FROM late;")] == kept
        feed(db, "numbers", [b"{"] * 40, [b"k"] * 40)
        settle(db)
        assert [o for (o,) in rows(db, "SELECT o FROM late;")] == [*kept, *range(300, 340)]
        db.execute("PRINT 'millstream_processing_log' FROM BEGINNING;")


def test_a_paused_reader_of_the_log_goes_on_behind_what_was_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("millstream.database.processing_log.KEPT_LINES", 100)
    with memory_database(
        NUMBERS + "CREATE STREAM copies AS SELECT * FROM numbers;"
        "CREATE STREAM follower AS SELECT `OFFSET` AS o FROM KSQL_PROCESSING_LOG;"
    ) as db:
        feed(db, "numbers", [b"{"] * 10, [b"k"] * 10)
        settle(db)
        db.execute("PAUSE CSAS_FOLLOWER_1;")
        for _ in range(15):
            feed(db, "numbers", [b"{"] * 20, [b"k"] * 20)
            settle(db)
        db.execute("RESUME CSAS_FOLLOWER_1;")
        settle(db)
        kept = [line.offset for line in log(db)]
        assert [o for (o,) in rows(db, "SELECT o FROM follower;")] == [*range(10), *kept]
