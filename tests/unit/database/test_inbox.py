"""Callers who insert at the same time: each row lands once, and each error finds its caller."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from millstream.database import Database, inbox, records
from millstream.errors import ExecutionError, StoreError
from millstream.store.interfaces import Commit
from tests.unit.database.setups import CLICKS, COUNTS, PROPERTIES, USERS, rows

CALLERS = 4
ROWS_EACH = 25


@pytest.fixture(params=["memory", "file"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of each kind, with a stream and a table that counts it."""
    path = ":memory:" if request.param == "memory" else str(tmp_path / "x.db")
    with Database.open(path, properties=PROPERTIES) as database:
        database.execute(CLICKS + USERS + COUNTS)
        yield database


class Caller(threading.Thread):
    """A thread that does something and keeps the error."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__()
        self._work = work
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.error = error


def finish(*callers: Caller) -> list[BaseException | None]:
    """What became of them."""
    for caller in callers:
        caller.join()
    return [caller.error for caller in callers]


@contextmanager
def waiting(db: Database, *work: Callable[[], object]) -> Iterator[list[Caller]]:
    """Callers whose inserts wait, one behind the other, until the block is left."""
    callers = []
    with db.engine.lock:
        for one in work:
            before = len(db.inbox)
            callers.append(Caller(one))
            while len(db.inbox) == before:
                assert callers[-1].is_alive()
        yield callers
    finish(*callers)


def inserting(db: Database, *numbers: int, key: str = "a") -> Callable[[], object]:
    """Insert rows of one key."""
    return lambda: db.insert("clicks", [{"k": key, "n": n} for n in numbers])


def naming(db: Database) -> Callable[[], object]:
    """Insert a user."""
    return lambda: db.insert("users", [("u", "x")])


def numbers(db: Database) -> list[int]:
    """The numbers of all clicks, as the log has them."""
    return [n for (n,) in db.sql("SELECT n FROM clicks;").rows()]


@pytest.mark.parametrize("running", [False, True])
def test_every_row_lands_once_and_in_its_callers_order(db: Database, running: bool) -> None:
    if running:
        db.start()

    def insert(caller: int) -> None:
        for n in range(ROWS_EACH):
            db.insert("clicks", [{"k": str(caller), "n": n}])

    assert not any(finish(*[Caller(partial(insert, c)) for c in range(CALLERS)]))
    db.stop()
    found = db.sql("SELECT k, n FROM clicks;").rows()
    for caller in range(CALLERS):
        assert [n for k, n in found if k == str(caller)] == list(range(ROWS_EACH))
    db.run(until_idle=True)
    total = ROWS_EACH * (ROWS_EACH - 1) // 2
    assert rows(db, "SELECT * FROM counts") == [(str(c), ROWS_EACH, total) for c in range(CALLERS)]


def test_those_who_wait_share_a_commit_and_an_append(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    appended: list[int] = []
    append = records.append_numbered

    def count(commit: Commit, topic: Any, key: Any, value: Any, rowtime: Any, *rest: Any) -> Any:
        appended.append(len(rowtime))
        return append(commit, topic, key, value, rowtime, *rest)

    monkeypatch.setattr(inbox, "append_numbered", count)
    commits = db.engine.commits
    with waiting(db, inserting(db, 1, 2), naming(db), inserting(db, 3), inserting(db, 4)):
        pass
    assert (appended, db.engine.commits - commits) == ([4, 1], 1)
    assert numbers(db) == [1, 2, 3, 4]
    with db.store.view() as view:
        (clicks, users) = (view.topic(name) for name in ("clicks", "users"))
        assert clicks is not None and users is not None
        # Numbers tell the order in which they came, over all topics.
        assert [s for _, r in view.read(clicks.id, 0) for s in r.seq.tolist()] == [0, 1, 3, 4]
        assert [s for _, r in view.read(users.id, 0) for s in r.seq.tolist()] == [2]


def test_a_bad_row_is_its_callers_alone(db: Database) -> None:
    with waiting(db, inserting(db, 1)) as callers, pytest.raises(ExecutionError, match="column N"):
        db.insert("clicks", [{"k": "a", "n": "many"}])
    assert [c.error for c in callers] == [None]
    assert numbers(db) == [1]


@pytest.mark.parametrize("running", [False, True])
def test_rows_of_a_dropped_source_are_an_error(db: Database, running: bool) -> None:
    with waiting(db, inserting(db, 1), naming(db), inserting(db, 2)) as callers:
        db.execute("DROP TABLE users;")
        if running:
            db.start()
    db.stop()
    first, second, third = (c.error for c in callers)
    assert first is None and third is None
    assert isinstance(second, ExecutionError) and "USERS was dropped" in second.message
    assert numbers(db) == [1, 2]


@pytest.mark.parametrize("running", [False, True])
def test_a_topic_of_the_same_name_gets_no_old_rows(db: Database, running: bool) -> None:
    with waiting(db, naming(db)) as (caller,):
        db.execute(f"DROP TABLE users DELETE TOPIC; {USERS}")
        if running:
            db.start()
    db.stop()
    assert isinstance(caller.error, ExecutionError)
    assert db.sql("SELECT * FROM users;").rows() == []


def poison(monkeypatch: pytest.MonkeyPatch, bad: int) -> None:
    """Let a commit fail that has rows with this number."""
    append = records.append_numbered

    def fail(commit: Commit, topic: Any, key: Any, value: Any, *rest: Any) -> Any:
        if bad in value.arrays[0].to_pylist():
            raise MemoryError("too much")
        return append(commit, topic, key, value, *rest)

    monkeypatch.setattr(inbox, "append_numbered", fail)


@pytest.mark.parametrize("running", [False, True])
def test_who_makes_a_commit_fail_fails_alone(
    db: Database, monkeypatch: pytest.MonkeyPatch, running: bool
) -> None:
    poison(monkeypatch, 2)
    work = [inserting(db, n) for n in (1, 2, 3)]
    with waiting(db, *work) as callers:
        if running:
            db.start()
    db.stop()
    assert [type(c.error) for c in callers] == [type(None), MemoryError, type(None)]
    assert sorted(numbers(db)) == [1, 3]
    db.run(until_idle=True)
    assert rows(db, "SELECT * FROM counts") == [("a", 2, 4)]


def test_what_queries_make_of_it_is_there_when_insert_returns(db: Database) -> None:
    db.start()
    for n in range(1, 20):
        db.insert("clicks", [{"k": "a", "n": 1}])
        assert rows(db, "SELECT n FROM counts WHERE k = 'a'") == [(n,)]
        if db.store.path != ":memory:":
            with Database.open(db.store.path, read_only=True) as other:
                assert rows(other, "SELECT n FROM counts WHERE k = 'a'") == [(n,)]
    db.stop()


def test_inserts_go_on_where_steps_fail(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    step = db.engine.step

    def broken(*_: object, **__: object) -> bool:
        raise OSError("no step today")

    monkeypatch.setattr(db.engine, "step", broken)
    db.start()
    for n in range(3):
        db.insert("clicks", [{"k": "a", "n": n}])
    db.stop()
    assert numbers(db) == [0, 1, 2]
    monkeypatch.setattr(db.engine, "step", step)
    db.run(until_idle=True)
    assert rows(db, "SELECT * FROM counts") == [("a", 3, 3)]


def test_stopping_lets_nobody_wait(db: Database) -> None:
    for n in range(10):
        db.start()
        caller = Caller(inserting(db, n))
        db.stop()
        assert finish(caller) == [None]
    assert sorted(numbers(db)) == list(range(10))


def test_values_wait_for_the_commit_as_well(db: Database) -> None:
    db.start()
    db.execute(
        "INSERT INTO clicks (k, n) VALUES ('a', 1); INSERT INTO clicks (k, n) VALUES ('a', 2);"
        " CREATE STREAM more (n INT) WITH (KAFKA_TOPIC='more', VALUE_FORMAT='JSON', PARTITIONS=1);"
        " INSERT INTO more VALUES (3); DROP STREAM more DELETE TOPIC;"
    )
    assert rows(db, "SELECT * FROM counts") == [("a", 2, 3)]
    db.stop()


def test_of_many_callers_each_learns_of_its_own_bad_rows(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Odd:
        def __index__(self) -> int:
            raise KeyError("odd")

    bad = [{"k": "a", "n": 2}, {"n": "many", "k": "b"}]

    def alone() -> str:
        with pytest.raises(ExecutionError) as caught:
            db.insert("clicks", bad)
        return caught.value.render()

    text = alone()
    assert "row 2, column N takes INTEGER, not 'many'" in text
    work = [
        inserting(db, 1),
        lambda: db.insert("clicks", bad),
        lambda: db.insert("clicks", [("c", Odd(), 0.5)]),
        lambda: db.insert("clicks", [("c", 1 << 40, None)]),
        inserting(db, 3, 4),
    ]
    with waiting(db, *work) as callers:
        pass
    first, second, third, fourth, fifth = (c.error for c in callers)
    assert first is None and fifth is None
    assert isinstance(second, ExecutionError) and second.render() == text
    assert isinstance(third, KeyError)
    assert isinstance(fourth, ExecutionError) and "column N" in fourth.message
    assert "row" not in fourth.message and fourth.hint is None
    assert numbers(db) == [1, 3, 4]
    with db.store.view() as view:
        clicks = view.topic("clicks")
        assert clicks is not None
        assert [s for _, r in view.read(clicks.id, 0) for s in r.seq.tolist()] == [0, 1, 2]


def test_where_all_rows_are_bad_nothing_is_committed(db: Database) -> None:
    commits = db.engine.commits
    with waiting(db, lambda: db.insert("clicks", [("a", "x", None)])) as (caller,):
        pass
    assert isinstance(caller.error, ExecutionError)
    assert (db.engine.commits, numbers(db)) == (commits, [])


def test_rows_of_all_kinds_keep_their_order(db: Database) -> None:
    many = range(100, 300)
    work = [
        inserting(db, 1),
        lambda: db.insert("clicks", pa.table({"k": ["a", "a"], "N": pa.array([2, 3], pa.int64())})),
        lambda: db.insert("clicks", ({"n": n, "K": "a", "rowtime": n} for n in (4, 5))),
        lambda: db.insert("clicks", [("a", n, None) for n in many]),
        lambda: db.execute("INSERT INTO clicks (n) VALUES (6);"),
        inserting(db, 7),
    ]
    with waiting(db, *work):
        pass
    assert numbers(db) == [1, 2, 3, 4, 5, *many, 6, 7]
    found = db.sql("SELECT n, k, ROWTIME AS t FROM clicks;").rows()
    assert [(n, t) for n, _, t in found if n in (4, 5)] == [(4, 4), (5, 5)]
    assert [n for n, k, _ in found if k is None] == [6]


@pytest.mark.parametrize("running", [False, True])
def test_what_is_sent_lands_once_and_in_order(db: Database, running: bool) -> None:
    if running:
        db.start()
    futures = [db.send("clicks", [{"k": "a", "n": n}] * (n % 3)) for n in range(50)]
    futures.append(db.send("clicks", [("a", n, None) for n in range(100, 200)]))
    db.insert("clicks", [{"k": "a", "n": 1000}])
    assert [f.result() for f in futures] == [*(n % 3 for n in range(50)), 100]
    db.stop()
    sent = [n for n in range(50) for _ in range(n % 3)]
    assert numbers(db) == [*sent, *range(100, 200), 1000]


@pytest.mark.parametrize("running", [False, True])
def test_a_sent_row_that_does_not_fit_is_its_own_futures_error(db: Database, running: bool) -> None:
    if running:
        db.start()
    good, bad, other = [db.send("clicks", [{"k": "a", "n": n}]) for n in (1, "many", 2)]
    error = bad.exception()
    assert isinstance(error, ExecutionError)
    assert error.message == "CLICKS: column N takes INTEGER, not 'many'"
    assert (good.result(), other.result(), good.cancel()) == (1, 1, False)
    for wrong in ([("a", 1)], [{"x": 1}], 7, [("a", 1, None, -1)]):
        with pytest.raises(ExecutionError):
            db.send("clicks", wrong)
    with pytest.raises(ExecutionError, match="ROWTIME"):
        db.send("clicks", [{"ROWTIME": -1}])
    db.stop()
    assert numbers(db) == [1, 2]


@pytest.mark.parametrize("running", [False, True])
def test_who_sends_what_makes_a_commit_fail_fails_alone(
    db: Database, monkeypatch: pytest.MonkeyPatch, running: bool
) -> None:
    poison(monkeypatch, 2)
    with db.engine.lock:
        if running:
            db.start()
        futures = [db.send("clicks", [{"k": "a", "n": n}]) for n in (1, 2, 3)]
    errors = [f.exception() for f in futures]
    assert [type(e) for e in errors] == [type(None), MemoryError, type(None)]
    db.stop()
    assert numbers(db) == [1, 3]


def test_sending_goes_on_where_steps_fail(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> bool:
        raise OSError("no step today")

    monkeypatch.setattr(db.engine, "step", broken)
    db.start()
    assert [db.send("clicks", [{"n": n}]).result() for n in range(3)] == [1, 1, 1]
    db.stop()
    assert numbers(db) == [0, 1, 2]


@pytest.mark.parametrize("running", [False, True])
def test_closing_waits_for_what_was_sent(tmp_path: Path, running: bool) -> None:
    path = str(tmp_path / "x.db")
    with Database.open(path, properties=PROPERTIES) as db:
        db.execute(CLICKS)
        if running:
            db.start()
        futures = [db.send("clicks", [{"n": n}]) for n in range(200)]
    assert all(f.done() and f.result() == 1 for f in futures)
    with pytest.raises(StoreError):
        db.send("clicks", [{"n": 1}])
    with Database.open(path) as db:
        assert numbers(db) == list(range(200))


def test_who_sends_too_much_waits(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MOST_SENT_ROWS", 4)
    with db.engine.lock:
        # Who holds up the others is not held up.
        first = [db.send("clicks", [{"n": n}]) for n in range(6)]
        waits = threading.Event()
        wait = db.inbox._room.wait

        def told() -> None:
            waits.set()
            wait()

        monkeypatch.setattr(db.inbox._room, "wait", told)
        caller = Caller(lambda: db.send("clicks", [{"n": 6}]).result())
        assert waits.wait(60)
        assert len(db.inbox) == 6
    assert finish(caller) == [None]
    assert [f.result() for f in first] == [1] * 6
    assert numbers(db) == list(range(7))


def test_what_is_told_may_send_more_and_close(db: Database) -> None:
    told: list[int] = []
    done = threading.Event()

    def more(future: Future[int]) -> None:
        told.append(future.result())
        if len(told) < 3:
            db.send("clicks", [{"n": len(told)}]).add_done_callback(more)
        else:
            db.inbox.close()
            done.set()

    db.send("clicks", [{"n": 0}]).add_done_callback(more)
    done.wait()
    assert numbers(db) == [0, 1, 2]
