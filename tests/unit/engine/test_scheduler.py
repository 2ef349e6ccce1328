"""What one step takes, who waits for whom, and what a failure leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from millstream.clock import FixedClock
from millstream.database import Database
from millstream.engine.scheduler import Round
from millstream.errors import StoreError
from millstream.store.interfaces import Commit, View
from tests.properties.engine_runs import append
from tests.properties.program_records import Record

STREAM = (
    "CREATE STREAM {0} (k VARCHAR KEY, n INT)"
    " WITH (KAFKA_TOPIC='{0}', VALUE_FORMAT='JSON', PARTITIONS=1);"
)
COPY = "CREATE STREAM {1} AS SELECT k, n FROM {0};"


def opened(max_rows: int = 50_000) -> Database:
    properties = {"auto.offset.reset": "earliest", "cache.max.bytes.buffering": "0"}
    return Database.open(clock=FixedClock(0), properties=properties, max_rows=max_rows)


@pytest.fixture
def db() -> Iterator[Database]:
    with opened() as database:
        database.execute(STREAM.format("a") + STREAM.format("b"))
        yield database


def ends(database: Database) -> dict[str, int]:
    """How many records each topic has."""
    with database.store.view() as view:
        return {t.name: view.end(t.id) for t in view.topics()}


def some(topic: str, count: int, value: bytes = b'{"N": 1}') -> list[Record]:
    return [Record(topic, b"k", value, 1000 + i) for i in range(count)]


def test_a_step_goes_through_all_queries_in_one_commit(db: Database) -> None:
    db.execute(COPY.format("a", "c") + COPY.format("c", "d") + "INSERT INTO d SELECT k, n FROM b;")
    db.engine.step([lambda c: append(c, some("a", 3)), lambda c: append(c, some("b", 2))])
    assert (ends(db)["C"], ends(db)["D"]) == (3, 5)
    assert db.engine.idle()
    assert not db.engine.step()


def test_full_batches_of_several_sources_go_through_together() -> None:
    with opened(max_rows=4) as database:
        database.execute(STREAM.format("a") + STREAM.format("b") + COPY.format("a", "c"))
        database.execute(COPY.format("b", "d"))
        for number in range(1, 4):
            database.engine.step(
                [lambda c: append(c, some("a", 4)), lambda c: append(c, some("b", 4))]
            )
            assert (ends(database)["C"], ends(database)["D"]) == (4 * number, 4 * number)


def test_a_step_takes_so_many_rows_of_a_topic_at_most() -> None:
    with opened(max_rows=4) as database:
        database.execute(STREAM.format("a") + COPY.format("a", "c"))
        database.engine.step([lambda c: append(c, some("a", 10))])
        found = [ends(database)["C"]]
        while database.engine.step():
            found.append(ends(database)["C"])
        assert found == [4, 8, 10]


def test_a_join_takes_its_sources_up_to_the_same_moment() -> None:
    with opened(max_rows=2) as database:
        database.execute(
            STREAM.format("a")
            + "CREATE TABLE t (k VARCHAR PRIMARY KEY, n INT)"
            + " WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);"
            + "CREATE STREAM j AS SELECT a.k, t.n AS n FROM a LEFT JOIN t ON a.k = t.k;"
        )
        records = []
        for number in range(6):
            records += some("t", 1, b'{"N": %d}' % number)
            records += some("a", 1)
            records += some("a", number % 2)
        database.engine.step([lambda c: append(c, records)])
        database.run(until_idle=True)
        rows = database.sql("SELECT n FROM j").rows()
        assert rows == [(0,), (1,), (1,), (2,), (3,), (3,), (4,), (5,), (5,)]


def test_a_query_that_lags_keeps_nobody_waiting() -> None:
    with opened(max_rows=5_000) as database:
        database.execute(STREAM.format("a") + COPY.format("a", "c"))
        for _ in range(4):
            database.engine.step([lambda c: append(c, some("a", 5_000))])
        database.execute(COPY.format("a", "d") + COPY.format("d", "e"))
        behind = 0
        for number in range(1, 60):
            database.engine.step([lambda c: append(c, some("a", 1))])
            now = ends(database)
            assert now["C"] == 20_000 + number
            behind += now["D"] < now["C"]
        assert behind > 0
        database.run(until_idle=True)
        now = ends(database)
        assert now["D"] == now["E"] == now["C"] == now["a"]


def test_a_failing_query_is_taken_out_and_the_step_done_without_it(db: Database) -> None:
    db.execute(COPY.format("a", "c") + COPY.format("a", "d") + COPY.format("c", "e"))
    fed: list[int] = []

    def feed(commit: Commit) -> int:
        fed.append(1)
        return append(commit, some("a", 2))

    def broken(rows: Any) -> Any:
        raise ZeroDivisionError("broken")

    db.engine.queries[1].step = broken  # type: ignore[method-assign, assignment]
    assert db.engine.step([feed])
    assert ends(db) | {"a": 2, "C": 0, "D": 2, "E": 0} == ends(db)
    assert len(fed) == 2
    assert 1 not in db.engine.queries
    info = db.catalog.queries["CSAS_C_0"]
    assert (info.state, info.error) == ("ERROR", "ZeroDivisionError: broken")


def test_a_feed_that_fails_leaves_nothing(db: Database) -> None:
    db.execute(COPY.format("a", "c"))

    def broken(commit: Commit) -> int:
        raise OSError("gone")

    before = ends(db)
    with pytest.raises(OSError, match="gone"):
        db.engine.step([lambda c: append(c, some("a", 2)), broken])
    assert ends(db) == before
    db.engine.step([lambda c: append(c, some("a", 2))])
    assert ends(db)["C"] == 2


@pytest.mark.parametrize("place", ["run", "write_positions"])
def test_a_step_that_fails_at_any_place_is_as_if_it_never_was(
    db: Database, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    db.execute("CREATE TABLE t AS SELECT k, COUNT(*) AS c, SUM(n) AS s FROM a GROUP BY k;")
    db.engine.step([lambda c: append(c, some("a", 2))])
    whole = getattr(Round, place)

    def broken(self: Round, *arguments: Any) -> Any:
        whole(self, *arguments)
        raise OSError("full")

    with monkeypatch.context() as patch:
        patch.setattr(Round, place, broken)
        for _ in range(2):
            with pytest.raises(OSError, match="full"):
                db.engine.step([lambda c: append(c, some("a", 3))])
    assert db.sql("SELECT * FROM t").rows() == [("k", 2, 2)]
    db.engine.step([lambda c: append(c, some("a", 3))])
    while db.engine.step():
        pass  # where memory was short, less is taken at once
    assert db.sql("SELECT * FROM t").rows() == [("k", 5, 5)]
    assert ends(db)["T"] == 5


def test_a_reload_that_fails_is_done_before_the_next_step(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.execute("CREATE TABLE t AS SELECT k, COUNT(*) AS c FROM a GROUP BY k;")
    db.engine.step([lambda c: append(c, some("a", 2))])
    view = db.store.view

    @contextmanager
    def unreadable() -> Iterator[View]:
        raise StoreError("the disk is gone")
        yield

    def broken(self: Round) -> None:
        monkeypatch.setattr(db.store, "view", unreadable)
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(Round, "write_positions", broken)
        with pytest.raises(StoreError):
            db.engine.step([lambda c: append(c, some("a", 1))])
    with pytest.raises(StoreError):
        db.engine.step()
    monkeypatch.setattr(db.store, "view", view)
    db.engine.step([lambda c: append(c, some("a", 1))])
    assert db.sql("SELECT * FROM t").rows() == [("k", 3)]


def test_notes_are_logged_with_the_query_and_only_where_the_step_counts(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.execute("CREATE STREAM c AS SELECT k, 10 / n AS q FROM a;")
    bad = some("a", 1, b'{"N": 0}') + some("a", 1, b"{")
    with monkeypatch.context() as patch:
        patch.setattr(Round, "write_positions", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            db.engine.step([lambda c: append(c, bad)])
    log = "SELECT query_id, kind, topic, record FROM ksql_processing_log"
    assert db.sql(log).rows() == []
    db.engine.step([lambda c: append(c, bad)])
    found = sorted(db.sql(log).rows())
    assert [(q, kind) for q, kind, _, _ in found] == [
        ("CSAS_C_0", "deserialization"),
        ("CSAS_C_0", "expression"),
    ]
    assert found[0][2:] == ("a", b"{")


def test_a_query_over_the_processing_log(db: Database) -> None:
    db.execute(
        COPY.format("a", "c")
        + "CREATE TABLE kinds AS SELECT kind, COUNT(*) AS n FROM ksql_processing_log GROUP BY kind;"
    )
    db.engine.step([lambda c: append(c, some("a", 3, b"{"))])
    db.run(until_idle=True)
    assert db.sql("SELECT * FROM kinds").rows() == [("deserialization", 3)]
