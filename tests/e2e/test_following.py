"""Subscriptions, and many threads that use one database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import millstream
from millstream import Database
from millstream.clock import FixedClock
from millstream.errors import (
    SemanticError,
)
from tests.e2e.readings import SCRIPT, settle


@pytest.fixture
def db() -> Iterator[Database]:
    """A database in memory with a stream and a table; its clock stands at 1000 ms."""
    with millstream.connect(clock=FixedClock(1_000)) as database:
        database.execute(SCRIPT)
        yield database


# --- subscribe --------------------------------------------------------------------------------


def test_subscription_ends_at_its_limit(db: Database) -> None:
    db.insert("readings", [("attic", 31.5), ("cellar", 9.0), ("attic", 12.0)])
    seen = []
    for row in db.subscribe("SELECT sensor, celsius FROM readings EMIT CHANGES LIMIT 2;"):
        seen.append(row)
    assert seen == [("attic", 31.5), ("cellar", 9.0)]


def test_subscription_begins_where_the_session_says(db: Database) -> None:
    db.insert("readings", [("attic", 31.5)])
    query = "SELECT * FROM readings EMIT CHANGES;"
    with db.subscribe(query) as everything:
        db.execute("SET 'auto.offset.reset' = 'latest';")
        with db.subscribe(query) as news:
            assert news.columns == ["SENSOR", "CELSIUS"]
            db.insert("readings", [("cellar", 9.0)])
            assert everything.poll() == [("attic", 31.5), ("cellar", 9.0)]
            assert news.poll() == [("cellar", 9.0)]
            assert news.poll() == []


def test_subscription_to_an_aggregation_of_its_own(db: Database) -> None:
    query = "SELECT sensor, COUNT(*) AS n FROM readings GROUP BY sensor EMIT CHANGES;"
    with db.subscribe(query) as counts:
        db.insert("readings", [("attic", 1.0), ("cellar", 1.0)])
        assert counts.poll() == [("attic", 1), ("cellar", 1)]
        db.insert("readings", [("attic", 2.0)])
        assert counts.poll() == [("attic", 2)]


def test_subscription_to_a_table_sees_rows_go(db: Database) -> None:
    db.execute(
        "CREATE TABLE busy AS SELECT celsius, COUNT(*) AS n FROM readings GROUP BY celsius"
        " HAVING COUNT(*) < 2;"
    )
    with db.subscribe("SELECT * FROM busy EMIT CHANGES;") as changes:
        db.insert("readings", [("attic", 1.0)])
        settle(db)
        (row,) = changes.poll()
        assert (row, row.tombstone) == ((1.0, 1), False)
        db.insert("readings", [("attic", 1.0)])
        settle(db)
        (row,) = changes.poll()
        assert row.tombstone
        assert row[0] == 1.0


def test_subscription_waits_for_rows_of_another_thread(db: Database) -> None:
    db.start()
    seen: list[Any] = []

    def follow() -> None:
        query = "SELECT n FROM hottest WHERE sensor = 'attic' EMIT CHANGES;"
        for row in db.subscribe(query):
            seen.append(row[0])
            if row[0] == 50:
                return

    thread = threading.Thread(target=follow)
    thread.start()
    for _ in range(50):
        db.insert("readings", [("attic", 1.0)])
    thread.join(60)
    assert not thread.is_alive()
    # Each commit tells the last count; none goes back, none is told twice.
    assert seen == sorted(set(seen))
    assert seen[-1] == 50


def test_closing_ends_a_waiting_subscription() -> None:
    for close_database in (False, True):
        with millstream.connect() as db:
            db.execute(SCRIPT)
            subscription = db.subscribe("SELECT * FROM readings EMIT CHANGES;")
            ended = threading.Event()

            def wait(subscription: Any = subscription, ended: threading.Event = ended) -> None:
                assert list(subscription) == []
                ended.set()

            thread = threading.Thread(target=wait)
            thread.start()
            db.close() if close_database else subscription.close()
            assert ended.wait(60)
            thread.join()


# --- threads ----------------------------------------------------------------------------------


def run_all(*tasks: Callable[[], None]) -> None:
    """Run tasks at the same time; raise what one of them raised."""
    problems: list[BaseException] = []

    def guarded(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=guarded, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    if problems:
        raise problems[0]


def test_writers_and_readers_on_many_threads(db: Database) -> None:
    db.start()
    sums: list[tuple[int, int]] = []

    def write(name: str) -> Callable[[], None]:
        def task() -> None:
            for number in range(100):
                db.insert("readings", [(name, float(number)), (name, float(number))])

        return task

    def read() -> None:
        for _ in range(30):
            # Both come from one commit, so the table is never ahead of the stream. A writer's
            # two rows are one commit, so their number is even.
            (row,) = db.sql(
                "SELECT (SELECT COUNT(*) FROM readings), (SELECT COALESCE(SUM(n), 0) FROM hottest)"
            ).rows()
            sums.append((int(row[0]), int(row[1])))

    run_all(write("a"), write("b"), write("c"), read, read)
    assert all(stream >= table and stream % 2 == table % 2 == 0 for stream, table in sums)
    db.stop()
    settle(db)
    assert sorted(db.sql("SELECT * FROM hottest;").rows()) == [(n, 99.0, 200) for n in "abc"]


def test_statements_on_many_threads(db: Database) -> None:
    db.start()
    made: list[int] = []

    def create(number: int) -> Callable[[], None]:
        def task() -> None:
            for _ in range(5):
                try:
                    db.execute("CREATE STREAM same AS SELECT * FROM readings;")
                    made.append(number)
                except SemanticError as error:
                    assert "exists already" in error.message
                name = f"own_{number}"
                db.execute(
                    f"CREATE TABLE {name} AS SELECT sensor, COUNT(*) AS n FROM readings"
                    " GROUP BY sensor;"
                )
                db.execute(f"DROP TABLE {name} DELETE TOPIC;")

        return task

    def write() -> None:
        for number in range(50):
            db.insert("readings", [("attic", float(number))])

    run_all(create(1), create(2), create(3), write)
    assert len(made) == 1
    db.stop()
    settle(db)
    assert [q.sink for q in db.catalog.queries.values()] == ["HOTTEST", "SAME"]
    assert len(db.sql("SELECT * FROM same;")) == 50


def test_start_and_stop_may_be_called_twice(db: Database) -> None:
    db.start()
    db.start()
    db.insert("readings", [("attic", 1.0)])
    db.stop()
    db.stop()
    settle(db)
    assert db.sql("SELECT n FROM hottest;").rows() == [(1,)]


def test_run_for_a_time_returns(db: Database) -> None:
    db.insert("readings", [("attic", 1.0)])
    db.run(for_ms=0)
    assert db.sql("SELECT n FROM hottest;").rows() == [(1,)]
