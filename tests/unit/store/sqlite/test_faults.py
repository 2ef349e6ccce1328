"""Whichever statement fails, the commit is undone, the error speaks, and the store goes on."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pyarrow as pa
import pytest

import millstream.store.sqlite.commit
import millstream.store.sqlite.write
from millstream.errors import StoreError
from millstream.store.interfaces import Store, StoreId
from millstream.store.sqlite.store import SqliteStore
from tests.unit.store.builders import VALUE_LAYOUT, lines, plain, raw, records, typed
from tests.unit.store.model import Model

STATE = StoreId(1, "agg", "h")
ERRORS = {
    "locked by another process": sqlite3.SQLITE_BUSY,
    "disk failed": sqlite3.SQLITE_IOERR_WRITE,
    "disk is full": sqlite3.SQLITE_FULL,
    "cannot be written": sqlite3.SQLITE_READONLY,
    "damaged": sqlite3.SQLITE_CORRUPT,
}


class Faulty(sqlite3.Connection):
    """A connection whose n-th statement from now on fails."""

    left: ClassVar[int | None] = None
    code: ClassVar[int] = sqlite3.SQLITE_IOERR
    also_rollback: ClassVar[bool] = False

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        self.count(sql)
        return super().execute(sql, *parameters)

    def executemany(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        self.count(sql)
        return super().executemany(sql, *parameters)

    @classmethod
    def count(cls, sql: str) -> None:
        if cls.left is None:
            return
        cls.left -= 1
        # What fails once goes on failing, but for the rollback, unless it is to fail as well.
        if cls.left <= 0 and (cls.also_rollback or sql != "ROLLBACK"):
            error = sqlite3.OperationalError("injected")
            error.sqlite_errorcode = cls.code
            raise error

    @classmethod
    @contextmanager
    def failing(cls, at: int, code: int = sqlite3.SQLITE_IOERR) -> Iterator[None]:
        """Within the block, the statement number `at` fails, and all after it."""
        cls.left, cls.code = at, code
        try:
            yield
        finally:
            cls.left = None


@pytest.fixture(params=["file", "memory"])
def faulty(request: pytest.FixtureRequest, path: str) -> Iterator[SqliteStore]:
    Faulty.also_rollback = False
    store = SqliteStore(path if request.param == "file" else ":memory:", factory=Faulty)
    yield store
    store.close()


def fill(store: Store) -> Model:
    """Something of everything; the model of it."""
    model = Model()
    with store.begin() as commit:
        for name in ("a", "b"):
            topic = commit.create_topic(name, 2)
            run = records(raw([b"k"]), typed(VALUE_LAYOUT, [[1], ["x"]]))
            model.topics[topic.id], model.records[topic.id] = (
                topic,
                plain(commit.append(topic.id, run)),
            )
            commit.set_position("q", topic.id, 1)
            model.positions.setdefault("q", {})[topic.id] = 1
        rows = [{"n": 1}]
        commit.put_delta(STATE, 0, pa.RecordBatch.from_pylist(rows))
        commit.put_state_meta(STATE, {"t": 1})
        model.pages[STATE], model.metas[STATE] = {0: rows}, {"t": 1}
        commit.put_entry("source", commit.allocate_id("source"), {"n": 1})
        model.entries["source"] = {1: {"n": 1}}
        model.seq = commit.allocate_seq(7) + 7
        commit.commit()
    return model


def change_little(store: Store, model: Model) -> None:
    """A commit that becomes a frame."""
    with store.begin() as commit:
        topic = commit.topics()[0]
        model.records[topic.id] += plain(commit.append(topic.id, lines(["y"], partition=[1])))
        commit.set_position("q", topic.id, 2)
        model.positions["q"][topic.id] = 2
        rows = [{"n": 2}]
        commit.put_delta(STATE, 0, pa.RecordBatch.from_pylist(rows))
        commit.put_state_meta(STATE, {"t": 2})
        model.put_delta(STATE, 0, rows)
        model.metas[STATE] = {"t": 2}
        model.seq = commit.allocate_seq(1) + 1
        commit.commit()


def change_much(store: Store, model: Model) -> None:
    """A commit into all tables, which also merges frames, drops a topic and state."""
    with store.begin() as commit:
        first, second = commit.topics()
        run = commit.append(first.id, lines(["y"] * 2000, partition=[0] * 2000))
        model.records[first.id] += plain(run)
        commit.drop_topic(second.id)
        model.drop_topic(second.id)
        third = commit.create_topic("b", 1)
        model.topics[third.id], model.records[third.id] = third, []
        rows = [{"n": 3}]
        commit.put_page(STATE, 0, pa.RecordBatch.from_pylist(rows))
        model.put_page(STATE, 0, rows)
        other = StoreId(2, "agg", "h")
        commit.put_delta(other, 0, pa.record_batch({"new": pa.array(["x"])}))
        commit.drop_state(2)
        run = records(raw([None]), typed(VALUE_LAYOUT, [[2], ["z"]]))
        model.records[third.id] += plain(commit.append(third.id, run))
        commit.put_entry("source", 2, {"n": 2})
        commit.delete_entry("source", 1)
        model.entries["source"] = {2: {"n": 2}}
        commit.commit()


def check(store: Store, model: Model) -> None:
    with store.view() as view:
        model.check(view, [STATE, StoreId(2, "agg", "h")], ["q"])


def fail_everywhere(store: SqliteStore, model: Model, much: bool) -> Model:
    """Let each statement of a commit fail in turn, until none is left that does; the model of
    what was committed at last is given."""
    change = change_much if much else change_little
    for at in range(1, 200):
        message, code = list(ERRORS.items())[at % len(ERRORS)]
        attempt = model.copy()
        try:
            with Faulty.failing(at, code):
                change(store, attempt)
        except StoreError as error:
            assert message in error.message
            assert not store._database.is_writing or Faulty.also_rollback
            check(store, model)
            # The store goes on, with commits small and large.
            if at % 3 == 0:
                change_little(store, model)
                check(store, model)
        else:
            check(store, attempt)
            assert at > 3
            return attempt
    raise AssertionError("the commit never succeeded")


@pytest.mark.parametrize("much", [False, True], ids=["frame", "tables"])
def test_any_statement_may_fail(faulty: SqliteStore, much: bool) -> None:
    model = fill(faulty)
    change_little(faulty, model)
    fail_everywhere(faulty, model, much)


def test_the_rollback_may_fail_too(path: str) -> None:
    Faulty.also_rollback = True
    store = SqliteStore(path, factory=Faulty)
    model = fill(store)
    fail_everywhere(store, model, much=True)
    store.close()


def test_a_spilled_commit_may_fail(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(millstream.store.sqlite.commit, "SPILL_BYTES", 1)
    store = SqliteStore(path, factory=Faulty)
    Faulty.also_rollback = False
    model = fill(store)
    change_little(store, model)
    model = fail_everywhere(store, model, much=True)
    store.close()
    store = SqliteStore(path)
    change_little(store, model)
    check(store, model)
    store.close()


def test_what_a_spilled_commit_read_of_itself_is_forgotten(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(millstream.store.sqlite.commit, "SPILL_BYTES", 1)
    store = SqliteStore(path)
    model = fill(store)
    first = min(model.topics)
    with store.begin() as commit:
        commit.append(first, lines(["never"]))
        assert len(list(commit.read(first, 1))) == 1
    assert store._cache.find(first, 1) is None
    change_little(store, model)
    check(store, model)
    store.close()


def test_an_interrupt_undoes_the_commit(
    faulty: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fill(faulty)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(millstream.store.sqlite.commit, "write_tables", interrupt)
        with pytest.raises(KeyboardInterrupt):
            change_much(faulty, model.copy())
    check(faulty, model)
    change_much(faulty, model)
    check(faulty, model)


def test_a_view_may_fail_and_the_next_one_works(faulty: SqliteStore) -> None:
    model = fill(faulty)
    faulty._cache.clear()
    for at in range(1, 20):
        try:
            with Faulty.failing(at), faulty.view() as view:
                model.check(view, [STATE], ["q"])
        except StoreError as error:
            assert "disk failed" in error.message
            check(faulty, model)
            faulty._cache.clear()
        else:
            return
    pytest.fail("the view never succeeded")


@pytest.mark.parametrize("at", range(1, 40))
def test_opening_may_fail_and_leaves_no_lock(path: str, at: int) -> None:
    Faulty.also_rollback = False
    try:
        with Faulty.failing(at):
            SqliteStore(path, factory=Faulty).close()
    except StoreError as error:
        assert "disk failed" in error.message
    store = SqliteStore(path)
    check(store, fill(store))
    store.close()


def test_a_record_too_big_for_the_file_says_so(path: str) -> None:
    class Narrow(sqlite3.Connection):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100_000)

    store = SqliteStore(path, factory=Narrow)
    model = fill(store)
    with pytest.raises(StoreError, match="too big"), store.begin() as commit:
        commit.append(1, records(raw([None]), raw([random.Random(0).randbytes(200_000)])))
        commit.commit()
    check(store, model)
    store.close()
