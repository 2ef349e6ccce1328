"""A commit that is made while the one before is still being written."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

import millstream.store.sqlite.commit
from millstream.errors import StoreError
from millstream.store.interfaces import Store
from millstream.store.sqlite.store import SqliteStore
from tests.unit.store.builders import lines


class Slow(sqlite3.Connection):
    """A connection that waits until it may go on before it commits, and may fail."""

    may_go_on: ClassVar[threading.Event]
    is_there: ClassVar[threading.Event]
    fails: ClassVar[bool]

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql.startswith(("COMMIT", "INSERT INTO frame")):
            self.is_there.set()
            assert self.may_go_on.wait(60)
            if self.fails:
                error = sqlite3.OperationalError("injected")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise error
        return super().execute(sql, *parameters)

    @classmethod
    def hold(cls, *, fails: bool = False) -> None:
        cls.fails = fails
        cls.is_there.clear()
        cls.may_go_on.clear()

    @classmethod
    def release(cls) -> None:
        cls.may_go_on.set()


@pytest.fixture
def store(path: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteStore]:
    """A store with a topic of one record, which writes every commit on its other thread."""
    Slow.may_go_on, Slow.is_there = threading.Event(), threading.Event()
    Slow.hold()
    Slow.release()
    monkeypatch.setattr(millstream.store.sqlite.commit, "WORTH_ROWS", 0)
    opened = SqliteStore(path, factory=Slow)
    with opened.begin() as commit:
        commit.create_topic("t", 1)
        commit.append(1, lines(["0"]))
        commit.commit()
    yield opened
    Slow.release()
    opened.close()


class Outcome:
    """What was told of a commit."""

    def __init__(self) -> None:
        self.told: list[BaseException | None] = []

    def __call__(self, error: BaseException | None) -> None:
        self.told.append(error)


def append(store: Store, text: str, done: Outcome) -> None:
    """Append a record, and have it written."""
    with store.begin(ahead=True) as commit:
        commit.append(1, lines([text]))
        commit.set_position("q", 1, commit.end(1))
        commit.commit_later(done)


def seen(store: Store) -> tuple[int, dict[int, int]]:
    """What a view shows."""
    with store.view() as view:
        return sum(len(run) for _, run in view.read(1, 0)), view.positions("q")


def test_the_next_one_reads_what_is_not_written_yet(store: SqliteStore) -> None:
    first, second = Outcome(), Outcome()
    Slow.hold()
    append(store, "1", first)
    assert Slow.is_there.wait(60)
    with store.begin(ahead=True) as commit:
        assert (commit.end(1), commit.positions("q")) == (2, {1: 2})
        assert [len(run) for _, run in commit.read(1, 0)] == [1, 1]
        commit.append(1, lines(["2"]))
        assert seen(store) == (1, {})
        assert first.told == []
        Slow.release()
        commit.commit_later(second)
    store.settle()
    assert (first.told, second.told) == ([None], [None])
    assert seen(store) == (3, {1: 2})


def test_what_has_begun_to_be_written_is_written_at_once(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next commit could not read it: it is no longer in memory, and not in the file yet."""
    monkeypatch.setattr(millstream.store.sqlite.commit, "SPILL_BYTES", 1)
    done = Outcome()
    with store.begin(ahead=True) as commit:
        commit.append(1, lines(["a text"] * 5_000))
        commit.append(1, lines(["another"] * 5_000))
        commit.commit_later(done)
    assert done.told == [None]
    with store.begin(ahead=True) as commit:
        assert sum(len(run) for _, run in commit.read(1, 0)) == 10_001


def test_where_no_thread_can_be_started_nothing_is_written(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Outcome()
    with monkeypatch.context() as patch:

        def refuse(*arguments: object) -> None:
            raise RuntimeError("can't start new thread")

        patch.setattr(store._background, "submit", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            append(store, "lost", done)
    assert seen(store) == (1, {})
    append(store, "1", done)
    store.settle()
    assert done.told == [None]
    assert seen(store) == (2, {1: 2})


def test_others_wait_for_it(store: SqliteStore) -> None:
    done = Outcome()
    Slow.hold()
    append(store, "1", done)
    threading.Thread(target=Slow.release).start()
    with store.begin() as commit:
        assert done.told == [None]
        assert commit.end(1) == 2
    store.close()


@pytest.mark.parametrize("later", [False, True])
def test_an_error_undoes_both(store: SqliteStore, later: bool) -> None:
    first, second = Outcome(), Outcome()
    Slow.hold(fails=True)
    append(store, "1", first)
    with store.begin(ahead=True) as commit:
        commit.append(1, lines(["2"]))
        Slow.release()
        with pytest.raises(StoreError, match="before this commit"):
            commit.commit_later(second) if later else commit.commit()
    (error,) = first.told
    assert isinstance(error, StoreError) and second.told == []
    assert seen(store) == (1, {})
    Slow.hold()
    Slow.release()
    append(store, "3", second)
    store.settle()
    assert second.told == [None]
    assert seen(store) == (2, {1: 2})


def test_leaving_the_next_one_leaves_the_one_before_alone(store: SqliteStore) -> None:
    done = Outcome()
    Slow.hold()
    append(store, "1", done)
    with store.begin(ahead=True) as commit:
        commit.append(1, lines(["2"]))
    Slow.release()
    store.settle()
    assert done.told == [None]
    assert seen(store) == (2, {1: 2})


def test_closing_waits_for_it(store: SqliteStore, path: str) -> None:
    done = Outcome()
    Slow.hold()
    append(store, "1", done)
    threading.Thread(target=Slow.release).start()
    store.close()
    assert done.told == [None]
    again = SqliteStore(path)
    assert seen(again) == (2, {1: 2})
    again.close()


def test_in_memory_it_is_written_at_once() -> None:
    store = SqliteStore(":memory:")
    with store.begin() as commit:
        commit.create_topic("t", 1)
        commit.commit()
    done = Outcome()
    append(store, "1", done)
    assert done.told == [None]
    assert seen(store) == (1, {1: 1})
    store.close()
