"""RETENTION_MS: topics forget old records that nobody has yet to read, and all else goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest

from millstream.clock import FixedClock
from millstream.database import Database
from millstream.database.retention import COMMITS_BETWEEN, Retention
from millstream.errors import SemanticError
from tests.properties.engine_runs import Row, append, check_healthy, dump
from tests.properties.program_records import Record

LATER_MS = 10_000_000
STREAM = (
    "CREATE STREAM s (k VARCHAR KEY, a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON',"
    " PARTITIONS={}, RETENTION_MS={});"
)


def open_database(
    path: str = ":memory:", *, partitions: int = 1, retention_ms: int = 1000
) -> Database:
    """A database with a stream that keeps its records so long; its clock is far ahead of them."""
    properties = {"auto.offset.reset": "earliest", "cache.max.bytes.buffering": "0"}
    database = Database.open(path, clock=FixedClock(LATER_MS), properties=properties)
    if "S" not in database.catalog.sources:
        database.execute(STREAM.format(partitions, retention_ms))
    return database


@pytest.fixture
def db() -> Iterator[Database]:
    """Such a database in memory."""
    with open_database() as database:
        yield database


def feed(database: Database, times: Sequence[int], topic: str = "s", key: bytes = b"x") -> None:
    """Append a record at each of these times, and step."""
    found = [Record(topic, key, b'{"a":%d}' % (at % 1000), at) for at in times]
    database.engine.step([lambda commit: append(commit, found)])


def kept(database: Database, topic: str = "s") -> list[Row]:
    """The records that a topic still has."""
    return dump(database)[topic]


def times_of(database: Database, topic: str = "s") -> list[int]:
    """Their event times."""
    return [row[2] for row in kept(database, topic)]


# --- what goes, and what stays -------------------------------------------------------------------


def test_records_older_than_the_retention_go_from_the_front(db: Database) -> None:
    feed(db, [0, 500, 999, 1500, 1000])
    assert Retention(db).enforce() == 1
    assert times_of(db) == [500, 999, 1500, 1000]
    assert Retention(db).enforce() == 0
    feed(db, [2000])
    assert Retention(db).enforce() == 2
    # What lies behind a young record stays until that one goes.
    feed(db, [100, 2300])
    assert Retention(db).enforce() == 0
    assert times_of(db) == [1500, 1000, 2000, 100, 2300]
    feed(db, [9000])
    assert Retention(db).enforce() == 5
    assert times_of(db) == [9000], "the newest record is never too old"


def test_how_records_came_in_does_not_matter() -> None:
    random = Random(1)
    times = [max(0, 60 * i + random.randint(-900, 900)) for i in range(200)]
    expected: list[int] | None = None
    for most in (1, 7, 50, 200):
        with open_database() as database:
            start = 0
            while start < len(times):
                size = random.randint(1, most)
                feed(database, times[start : start + size])
                start += size
            Retention(database).enforce()
            found = times_of(database)
            expected = expected or found
            assert found == expected
    assert expected and 10 < len(expected) < 60


def test_a_timestamp_from_the_future_drives_nothing_out(db: Database) -> None:
    feed(db, [LATER_MS - 100, 9_000_000_000_000, LATER_MS])
    assert Retention(db).enforce() == 0
    assert isinstance(db.clock, FixedClock)
    db.clock.time_ms += 5000
    assert Retention(db).enforce() == 1
    assert len(kept(db)) == 2


@pytest.mark.parametrize("retention_ms", [-1, 0])
def test_below_zero_is_for_ever_and_zero_keeps_the_newest(retention_ms: int) -> None:
    with open_database(retention_ms=retention_ms) as database:
        feed(database, [1, 2, 50_000])
        Retention(database).enforce()
        assert times_of(database) == ([1, 2, 50_000] if retention_ms < 0 else [50_000])


def test_offsets_go_on_counting(tmp_path: Path) -> None:
    path = str(tmp_path / "offsets.db")
    for partitions in (1, 3):
        database = open_database(path + str(partitions), partitions=partitions)
        for start in range(0, 30_000, 3000):
            keys = (b"x", b"y", b"z", b"u", b"v")
            found = [Record("s", k, b"{}", start + i) for i, k in enumerate(keys)]
            database.engine.step([lambda commit, f=found: append(commit, f)])  # type: ignore[misc]
        before = kept(database)
        assert Retention(database).enforce() == 45
        assert kept(database) == before[45:]
        database.close()
        database = open_database(path + str(partitions))
        assert kept(database) == before[45:]
        feed(database, [27_500])
        last = kept(database)[-1]
        same = [row for row in before if row[5] == last[5]]
        assert last[6] == len(same), "an offset is never given twice"
        shown = database.execute("PRINT s FROM BEGINNING LIMIT 100;")[0].table
        assert shown is not None
        assert [row[2] for row in shown.rows] == [row[6] for row in kept(database)]
        database.close()


# --- who protects what ---------------------------------------------------------------------------


def test_what_a_query_has_not_read_stays(db: Database) -> None:
    """Be it paused, or lagging; a query that was ended protects nothing."""
    db.execute("CREATE TABLE q AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;")
    feed(db, [0, 1])
    db.execute("PAUSE ALL;")
    feed(db, [2, 3, 100_000])
    assert Retention(db).enforce() == 2
    db.execute("CREATE STREAM late AS SELECT * FROM s; PAUSE CSAS_LATE_1;")
    feed(db, [200_000])
    assert Retention(db).enforce() == 0
    db.execute("RESUME ALL;")
    db.run(until_idle=True)
    check_healthy(db)
    assert db.sql("SELECT n FROM q").rows() == [(6,)]
    assert times_of(db, "LATE") == [2, 3, 100_000, 200_000]
    assert times_of(db) == [200_000], "the loop has looked"
    db.execute("PAUSE CSAS_LATE_1;")
    feed(db, [300_000, 400_000])
    assert Retention(db).enforce() == 1
    db.execute("TERMINATE CSAS_LATE_1;")
    assert Retention(db).enforce() == 1
    assert times_of(db) == [400_000]


def test_what_a_sink_has_not_delivered_stays(db: Database) -> None:
    db.execute(
        "CREATE SINK CONNECTOR e WITH ('connector.class'='ElasticsearchSink',"
        " 'connection.url'='http://127.0.0.1:9', 'topics'='S', 'key.ignore'='true');"
        " PAUSE CONNECTOR e;"
    )
    feed(db, [0, 1, 100_000])
    assert Retention(db).enforce() == 0
    db.execute("DROP CONNECTOR e;")
    assert Retention(db).enforce() == 2


def test_a_failed_query_protects_what_it_did_not_read(db: Database) -> None:
    db.execute(
        "CREATE STREAM timed (k VARCHAR KEY, a BIGINT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON',"
        " TIMESTAMP='a'); SET 'ksql.timestamp.throw.on.invalid'='true';"
        " CREATE STREAM q AS SELECT * FROM timed;"
    )
    found = [Record("s", b"x", b'{"a":5}', 0), Record("s", b"x", b'{"a":-5}', 1)]
    db.engine.step([lambda commit: append(commit, found[:1])])
    db.engine.step([lambda commit: append(commit, found[1:])])
    assert db.catalog.queries["CSAS_Q_0"].state == "ERROR"
    feed(db, [100_000])
    assert Retention(db).enforce() == 1


# --- late queries --------------------------------------------------------------------------------


def test_a_late_query_begins_at_the_first_record_that_is_kept(tmp_path: Path) -> None:
    path = str(tmp_path / "late.db")
    database = open_database(path)
    database.execute("CREATE TABLE early AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;")
    for at in range(0, 5000, 250):
        feed(database, [at])
    assert Retention(database).enforce() == 15
    database.execute("CREATE TABLE late AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;")
    assert database.sql("SELECT * FROM late").lag == 5
    database.run(until_idle=True)
    for _ in range(2):
        assert database.sql("SELECT n FROM early").rows() == [(20,)]
        assert database.sql("SELECT n FROM late").rows() == [(5,)]
        assert database.sql("SELECT * FROM late").lag == 0
        with database.subscribe("SELECT a FROM s EMIT CHANGES LIMIT 5") as rows:
            assert len(list(rows)) == 5
        database.close()
        database = open_database(path)
    feed(database, [5000])
    assert database.sql("SELECT n FROM late").rows() == [(6,)]
    database.close()


def test_a_late_query_equals_an_early_one_that_saw_what_is_kept() -> None:
    script = (
        "CREATE TABLE q AS SELECT k, COUNT(*) AS n, SUM(a) AS sa FROM s"
        " WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY k;"
    )
    times = [40 * i for i in range(200)]
    with open_database() as trimmed, open_database(retention_ms=-1) as whole:
        feed(trimmed, times)
        gone = Retention(trimmed).enforce()
        assert gone == 174
        trimmed.execute(script)
        whole.execute(script)
        feed(whole, times[gone:])
        for database in (trimmed, whole):
            database.run(until_idle=True)
        assert kept(trimmed, "Q") == kept(whole, "Q")


# --- topics of queries ---------------------------------------------------------------------------


def test_the_topic_of_a_stream_made_by_a_query_is_trimmed_too(db: Database) -> None:
    db.execute("CREATE STREAM q WITH (RETENTION_MS=50) AS SELECT * FROM s;")
    db.execute("CREATE TABLE c AS SELECT k, COUNT(*) AS n FROM q GROUP BY k;")
    feed(db, [0, 10, 70, 100])
    assert Retention(db).enforce() == 2
    assert times_of(db, "Q") == [70, 100]
    assert db.sql("SELECT n FROM c").rows() == [(4,)]
    # The sink's order goes on behind what is gone.
    feed(db, [5000])
    assert Retention(db).enforce() == 4 + 2
    feed(db, [5001])
    assert db.sql("SELECT n FROM c").rows() == [(6,)]


def test_a_windowed_table_keeps_its_rows_while_its_topic_forgets(db: Database) -> None:
    """Its topic keeps records no shorter than the table its windows."""
    db.execute(
        "CREATE TABLE q WITH (RETENTION_MS=5000) AS SELECT k, COUNT(*) AS n FROM s"
        " WINDOW TUMBLING (SIZE 1 SECOND, RETENTION 60 SECONDS, GRACE PERIOD 0 SECONDS)"
        " GROUP BY k;"
    )
    with db.store.view() as view:
        topic = view.topic("Q")
        assert topic is not None
        assert (topic.retention_ms, topic.cleanup_policy) == (60_000, "compact,delete")
    feed(db, [0, 100, 30_000, 70_000])
    Retention(db).enforce()
    assert times_of(db, "Q") == [30_000, 70_000]
    shown = db.sql("SELECT WINDOWSTART, n FROM q").rows()
    assert shown == [(30_000, 1), (70_000, 1)]


def test_tables_without_windows_forget_nothing(db: Database) -> None:
    db.execute(
        "CREATE TABLE t (k VARCHAR PRIMARY KEY, a INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON',"
        " PARTITIONS=1, RETENTION_MS=1000);"
        "CREATE TABLE q AS SELECT * FROM t;"
        "CREATE TABLE c AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;"
    )
    for at, key in ((0, b"x"), (1, b"y"), (50_000, b"x")):
        feed(db, [at], "t", key)
        feed(db, [at], "s", key)
    assert Retention(db).enforce() == 2
    assert len(kept(db, "t")) == 3
    assert sorted(db.sql("SELECT k FROM t").rows()) == [("x",), ("y",)]
    assert sorted(db.sql("SELECT k FROM q").rows()) == [("x",), ("y",)]
    assert sorted(db.sql("SELECT k, n FROM c").rows()) == [("x", 2), ("y", 1)]
    with db.store.view() as view:
        policies = {t.name: t.cleanup_policy for t in view.topics()}
    assert (policies["t"], policies["Q"], policies["C"]) == ("compact", "compact", "compact")


def test_a_table_without_windows_takes_no_retention(db: Database) -> None:
    with pytest.raises(SemanticError, match="no windows") as caught:
        db.execute(
            "CREATE TABLE q WITH (RETENTION_MS=1000) AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;"
        )
    assert caught.value.hint and "WINDOW" in caught.value.hint
    assert "Q" not in db.catalog.sources


def test_a_policy_may_be_asked_for(db: Database) -> None:
    for name, policy in (("c", "compact"), ("d", "compact,delete"), ("e", "delete")):
        db.execute(
            f"CREATE STREAM {name} (k VARCHAR KEY, a INT) WITH (KAFKA_TOPIC='{name}',"
            f" VALUE_FORMAT='JSON', PARTITIONS=1, RETENTION_MS=10, CLEANUP_POLICY='{policy}');"
        )
        feed(db, [0, 100], name)
    Retention(db).enforce()
    assert [len(kept(db, name)) for name in "cde"] == [2, 1, 1]


def test_how_long_a_topic_keeps_its_records_is_shown(db: Database) -> None:
    feed(db, [0, 100, 5000])
    Retention(db).enforce()
    topics, stream = (o.table for o in db.execute("SHOW TOPICS EXTENDED; DESCRIBE s EXTENDED;"))
    assert topics is not None and stream is not None
    (shown,) = (dict(zip(topics.columns, row, strict=True)) for row in topics.rows)
    assert (shown["records"], shown["cleanup policy"], shown["retention ms"]) == (1, "delete", 1000)
    assert ("(topic)", "s, 1 partition, 1 record", "") in stream.rows
    assert ("(cleanup)", "delete, 1000 ms", "") in stream.rows


# --- in the loop ---------------------------------------------------------------------------------


def test_the_loop_looks_now_and_then(db: Database) -> None:
    """After some commits; also where it is stepped from outside and never comes to rest."""
    for at in range(0, 100 * (COMMITS_BETWEEN + 2), 100):
        db.insert("s", [{"k": "x", "a": 1, "rowtime": at}])
        db.step()
    assert 11 <= len(kept(db)) < 20
    assert times_of(db)[-1] == 100 * (COMMITS_BETWEEN + 1)


def test_the_loop_looks_before_it_rests(db: Database) -> None:
    db.insert("s", [{"k": "x", "a": 1, "rowtime": at} for at in (0, 1000, 5000)])
    db.run(until_idle=True)
    assert times_of(db) == [5000]


def test_a_trim_that_fails_takes_nothing_away(tmp_path: Path) -> None:
    """What is trimmed stays so; where the commit of the trim fails, nothing is."""
    path = str(tmp_path / "trim.db")
    database = open_database(path)
    feed(database, [0, 1, 2, 5000])
    begin = database.store.begin

    def failing() -> object:
        commit = begin()

        def fail() -> None:
            raise OSError("no room")

        commit.commit = fail  # type: ignore[method-assign]
        return commit

    database.store.begin = failing  # type: ignore[method-assign, assignment]
    with pytest.raises(OSError, match="no room"):
        Retention(database).enforce()
    database.store.begin = begin  # type: ignore[method-assign]
    assert len(kept(database)) == 4
    database.close()
    database = open_database(path)
    assert len(kept(database)) == 4
    database.run(until_idle=True)
    database.close()
    with open_database(path) as database:
        assert times_of(database) == [5000]
