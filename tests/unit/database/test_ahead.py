"""Steps that run while the commit before them is written, and what becomes of both if it fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import millstream.database.loop
import millstream.store.sqlite.commit
from millstream.clock import FixedClock
from millstream.database import Database
from millstream.errors import StoreError
from tests.unit.database.setups import CLICKS, COUNTS, PROPERTIES, rows
from tests.unit.store.ahead import write_as_late_as_can_be

MAX_ROWS = 7
CLICKS_TOTAL = 50
SOURCE = (
    "CREATE SOURCE CONNECTOR codes WITH ('connector.class'='DatagenSource',"
    " 'kafka.topic'='codes', 'quickstart'='CLICKSTREAM_CODES', 'iterations'='30',"
    " 'maxInterval'='0');"
)


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database that takes few records a step, and writes a commit when somebody waits for it."""
    write_as_late_as_can_be(monkeypatch)
    monkeypatch.setattr(millstream.database.loop, "_PAUSE_AFTER_ERROR_S", 0.0)
    with Database.open(
        str(tmp_path / "x.db"), clock=FixedClock(0), properties=PROPERTIES, max_rows=MAX_ROWS
    ) as database:
        database.execute(CLICKS + COUNTS)
        database.insert("clicks", [(str(n % 5), n, None) for n in range(CLICKS_TOTAL)])
        yield database


def fail_once(monkeypatch: pytest.MonkeyPatch, at: int) -> list[int]:
    """Let the writing of one commit from now on fail; the first is number 0. The number that is
    given counts down, and is negative once that has happened."""
    left = [at]
    write = millstream.store.sqlite.commit.SqliteCommit._write

    def broken(self: object, image: object) -> None:
        left[0] -= 1
        if left[0] == -1:
            raise StoreError("the disk is full")
        write(self, image)  # type: ignore[arg-type]

    monkeypatch.setattr(millstream.store.sqlite.commit.SqliteCommit, "_write", broken)
    return left


def expected() -> list[tuple[str, int, int]]:
    numbers = range(CLICKS_TOTAL)
    return [(str(k), CLICKS_TOTAL // 5, sum(n for n in numbers if n % 5 == k)) for k in range(5)]


def stored(db: Database) -> tuple[int, int]:
    """How many clicks the query has read, and how many records it has written."""
    with db.store.view() as view:
        topic = view.topic("COUNTS")
        clicks = view.topic("clicks")
        assert topic is not None and clicks is not None
        (info,) = db.catalog.queries.values()
        return view.positions(f"query-{info.number}")[clicks.id], view.end(topic.id)


def test_a_step_is_one_commit_ahead_of_what_is_stored(db: Database) -> None:
    loop = db._loop
    for number in range(3):
        assert loop.step(ahead=True)
        assert stored(db) == (number * MAX_ROWS, number * MAX_ROWS)
    loop.settle()
    assert stored(db) == (3 * MAX_ROWS, 3 * MAX_ROWS)


def test_who_asks_finds_memory_and_file_at_the_same_commit(db: Database) -> None:
    loop = db._loop
    for number in range(1, 4):
        assert loop.step(ahead=True)
        assert sum(n for _, n, _ in rows(db, "SELECT * FROM counts")) == number * MAX_ROWS
        assert stored(db)[0] == number * MAX_ROWS
    db.run(until_idle=True)
    assert rows(db, "SELECT * FROM counts") == expected()


@pytest.mark.parametrize("at", range(9))
def test_a_commit_that_fails_takes_the_step_after_it_along(
    db: Database, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    fail_once(monkeypatch, at)
    if at < 8:
        with pytest.raises(StoreError, match="disk is full"):
            db.run(until_idle=True)
        assert stored(db) == (at * MAX_ROWS, at * MAX_ROWS)
        assert sum(n for _, n, _ in rows(db, "SELECT * FROM counts")) == at * MAX_ROWS
    db.run(until_idle=True)
    assert rows(db, "SELECT * FROM counts") == expected()
    assert stored(db) == (CLICKS_TOTAL, CLICKS_TOTAL)


@pytest.mark.parametrize("at", range(3))
def test_a_statement_meets_the_error_before_the_loop_does(
    db: Database, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    loop = db._loop
    fail_once(monkeypatch, at)
    for _ in range(at + 1):
        assert loop.step(ahead=True)
    assert sum(n for _, n, _ in rows(db, "SELECT * FROM counts")) == at * MAX_ROWS
    db.execute("CREATE STREAM copy AS SELECT k, n FROM clicks;")
    with pytest.raises(StoreError, match="disk is full"):
        loop.step(ahead=True)
    db.run(until_idle=True)
    assert rows(db, "SELECT * FROM counts") == expected()
    assert len(db.sql("SELECT * FROM copy;").rows()) == CLICKS_TOTAL


@pytest.mark.parametrize("at", range(3))
def test_sources_go_back_with_it(db: Database, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    db.execute(SOURCE)
    fail_once(monkeypatch, at)
    with pytest.raises(StoreError, match="disk is full"):
        db.run(until_idle=True)
    db.run(until_idle=True)
    with db.store.view() as view:
        topic = view.topic("codes")
        assert topic is not None and view.end(topic.id) == 30


@pytest.mark.parametrize("at", range(4))
def test_inserts_of_a_commit_that_fails_are_written_by_their_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr(millstream.store.sqlite.commit, "WORTH_ROWS", 0)
    monkeypatch.setattr(millstream.database.loop, "_PAUSE_AFTER_ERROR_S", 0.0)
    with Database.open(str(tmp_path / "y.db"), properties=PROPERTIES) as db:
        db.execute(CLICKS + COUNTS)
        left = fail_once(monkeypatch, at)
        db.start()
        for n in range(4):
            db.insert("clicks", [("new", n, None)])
        db.stop()
        db.run(until_idle=True)
        assert left[0] < 0
        assert rows(db, "SELECT k, n, s FROM counts WHERE k = 'new'") == [("new", 4, 6)]


def test_a_query_that_fails_leaves_the_commit_before_alone(db: Database) -> None:
    db.execute("CREATE STREAM odd AS SELECT k, n FROM clicks;")
    loop = db._loop
    (odd,) = [q for q in db.engine.queries.values() if q.info and q.info.sink == "ODD"]
    assert loop.step(ahead=True)
    step = odd.step

    def broken(*arguments: object) -> object:
        raise ValueError("odd")

    odd.step = broken  # type: ignore[method-assign, assignment]
    assert loop.step(ahead=True)
    odd.step = step  # type: ignore[method-assign]
    loop.settle()
    assert stored_rows(db, "COUNTS") == 2 * MAX_ROWS
    assert stored_rows(db, "ODD") == MAX_ROWS
    assert [q.state for q in db.catalog.queries.values()] == ["RUNNING", "ERROR"]


def stored_rows(db: Database, topic_name: str) -> int:
    with db.store.view() as view:
        topic = view.topic(topic_name)
        assert topic is not None
        return view.end(topic.id)
