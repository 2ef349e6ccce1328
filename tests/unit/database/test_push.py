"""Subscriptions: rows of push queries as they come."""

from __future__ import annotations

import threading

import pytest

from millstream.database import Database, push
from millstream.errors import SemanticError
from tests.unit.database.setups import CLICKS, COUNTS, USERS, WINDOWS, click, settle


def test_rows_come_as_they_are_committed(db: Database) -> None:
    db.execute(CLICKS)
    db.insert("clicks", click(("a", 1, 1)))
    subscription = db.subscribe("SELECT k, n + 1 AS m FROM clicks WHERE n > 0 EMIT CHANGES;")
    assert subscription.columns == ["K", "M"]
    assert subscription.poll() == [("a", 2)]
    assert subscription.poll() == []
    db.insert("clicks", click(("b", 0, 2), ("c", 5, 3)))
    assert subscription.poll() == [("c", 6)]
    subscription.close()


def test_the_latest_only(db: Database) -> None:
    db.execute(CLICKS + "SET 'auto.offset.reset'='latest';")
    db.insert("clicks", click(("a", 1, 1)))
    subscription = db.subscribe("SELECT k FROM clicks EMIT CHANGES")
    assert subscription.poll() == []
    db.insert("clicks", click(("b", 1, 1)))
    assert subscription.poll() == [("b",)]
    subscription.close()


def test_limit_ends_it(db: Database) -> None:
    db.execute(CLICKS)
    db.insert("clicks", click(("a", 1, 1), ("b", 1, 1), ("c", 1, 1)))
    assert list(db.subscribe("SELECT k FROM clicks EMIT CHANGES LIMIT 2")) == [("a",), ("b",)]
    assert list(db.subscribe("SELECT k FROM clicks EMIT CHANGES LIMIT 0")) == []


def test_every_change_of_an_aggregation_and_a_table(db: Database) -> None:
    db.execute(CLICKS + COUNTS + WINDOWS)
    counts = db.subscribe("SELECT k, COUNT(*) AS n FROM clicks GROUP BY k EMIT CHANGES")
    table = db.subscribe("SELECT * FROM counts EMIT CHANGES")
    windows = db.subscribe("SELECT * FROM windows EMIT CHANGES")
    db.insert("clicks", click(("a", 1, 1), ("a", 2, 12_000)))
    settle(db)
    assert counts.poll() == [("a", 1), ("a", 2)]
    assert table.poll() == [("a", 1, 1), ("a", 2, 3)]
    assert windows.poll() == [("a", 0, 10_000, 1), ("a", 10_000, 20_000, 1)]
    for subscription in (counts, table, windows):
        subscription.close()


def test_tombstones_are_told_apart(db: Database) -> None:
    db.execute(
        CLICKS
        + "CREATE TABLE few AS SELECT k, COUNT(*) AS n FROM clicks GROUP BY k HAVING COUNT(*) < 2;"
    )
    subscription = db.subscribe("SELECT * FROM few EMIT CHANGES")
    db.insert("clicks", click(("a", 1, 1), ("a", 2, 2)))
    settle(db)
    first, second = subscription.poll()
    assert (first, first.tombstone) == (("a", 1), False)
    assert (second, second.tombstone) == (("a", None), True)
    subscription.close()


def test_a_join(db: Database) -> None:
    db.execute(CLICKS + USERS)
    subscription = db.subscribe(
        "SELECT c.k, u.name FROM clicks c LEFT JOIN users u ON c.k = u.id EMIT CHANGES"
    )
    db.insert("clicks", click(("a", 1, 1)))
    db.insert("users", [("a", "Ann")])
    db.insert("clicks", click(("a", 1, 1)))
    assert subscription.poll() == [("a", None), ("a", "Ann")]
    subscription.close()


def test_one_that_waits_ends_when_it_or_the_database_is_closed(db: Database) -> None:
    db.execute(CLICKS)
    found: list[list[tuple[object, ...]]] = []
    subscriptions = [db.subscribe("SELECT k FROM clicks EMIT CHANGES") for _ in range(2)]

    def read(number: int) -> None:
        found.append(list(subscriptions[number]))

    threads = [threading.Thread(target=read, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    db.insert("clicks", click(("a", 1, 1)))
    subscriptions[0].close()
    threads[0].join()
    db.close()
    threads[1].join()
    assert len(found) == 2


def test_refusals(db: Database) -> None:
    db.execute(CLICKS)
    for query, word in (
        ("SELECT * FROM clicks", "EMIT"),
        ("SELECT * FROM nowhere EMIT CHANGES", "NOWHERE"),
        ("SELECT nothing FROM clicks EMIT CHANGES", "NOTHING"),
        ("SHOW TABLES", "SELECT"),
    ):
        with pytest.raises(SemanticError, match=word):
            db.subscribe(query)


def test_two_sources_of_one_topic(db: Database) -> None:
    db.execute(CLICKS)
    db.execute(
        "CREATE TABLE last (k VARCHAR PRIMARY KEY, n INT)"
        " WITH (KAFKA_TOPIC='clicks', VALUE_FORMAT='JSON');"
    )
    with db.subscribe(
        "SELECT c.n AS n, l.n AS ln FROM clicks c JOIN last l ON c.k = l.k EMIT CHANGES"
    ) as subscription:
        db.insert("clicks", click(("a", 1, 1), ("a", 2, 2)))
        assert len(subscription.poll()) > 0
        db.insert("clicks", click(("a", 3, 3)))
        assert {n for n, _ in subscription.poll()} == {3}


def test_each_partition_has_a_time_of_its_own(db: Database) -> None:
    db.execute(CLICKS.replace("PARTITIONS=1", "PARTITIONS=4"))
    windows = (
        "SELECT k, COUNT(*) AS n FROM clicks WINDOW TUMBLING (SIZE 1 SECOND, GRACE PERIOD"
        " 0 SECONDS) GROUP BY k"
    )
    db.execute(f"CREATE TABLE w AS {windows};")
    found = db.subscribe(f"{windows} EMIT CHANGES")
    keys = "abcdefgh"
    db.insert("clicks", click(*((k, 1, 60_000 if k == "a" else 5) for k in keys)))
    settle(db)
    table = db.sql("SELECT k, n FROM w").rows()
    assert 1 < len(table) < len(keys)
    assert sorted(found.poll()) == sorted(table)
    found.close()


def test_sources_are_read_up_to_the_same_moment(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "_ROWS_A_READ", 2)
    db.execute(CLICKS + USERS)
    for number in range(6):
        db.insert("users", [("a", f"name {number}")])
        db.insert("clicks", click(*([("a", number, number)] * (1 + number % 3))))
    subscription = db.subscribe(
        "SELECT c.n, u.name FROM clicks c LEFT JOIN users u ON c.k = u.id EMIT CHANGES"
    )
    found = [row for _ in range(20) for row in subscription.poll()]
    subscription.close()
    assert found == [(n, f"name {n}") for n in range(6) for _ in range(1 + n % 3)]
