"""Frames are merged while nobody waits, and nobody notices."""

from __future__ import annotations

import pytest

from millstream.store.interfaces import Store
from millstream.store.open import open_store
from millstream.store.sqlite import write
from millstream.store.sqlite.store import SqliteStore
from tests.unit.store.ahead import write_as_late_as_can_be
from tests.unit.store.sqlite.test_faults import Faulty
from tests.unit.store.sqlite.test_frames import begin, check, count, small_commit


@pytest.fixture(autouse=True)
def _merge_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "MERGE_FRAMES", 3)


def filled(path: str) -> Store:
    """A store whose third small commit is to be merged with the two before."""
    store = begin(path)
    for number in (1, 2, 3):
        small_commit(store, number)
    return store


def test_frames_are_merged_without_another_commit(path: str) -> None:
    store = filled(path)
    store.settle()
    assert count(path, "frame") == 0
    check(store, 3)
    store.close()
    store = open_store(path)
    check(store, 3)
    store.close()


def test_views_before_and_after_a_merge_show_the_same(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_as_late_as_can_be(monkeypatch, worth_rows=4096)
    store = filled(path)
    reader = open_store(path, read_only=True)
    check(store, 3)
    check(reader, 3)
    with store.view() as view:
        assert count(path, "frame") == 3
        store.settle()
        assert count(path, "frame") == 0
        assert view.end(1) == 3
        assert sum(len(records) for _, records in view.read(1, 0)) == 3
    check(store, 3)
    check(reader, 3)
    small_commit(store, 4)
    check(store, 4)
    check(reader, 4)
    reader.close()
    store.close()


def test_a_commit_may_begin_before_the_merge_is_over(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_as_late_as_can_be(monkeypatch, worth_rows=4096)
    store = filled(path)
    with store.begin(ahead=True) as commit:
        assert sum(len(records) for _, records in commit.read(1, 0)) == 3
        assert count(path, "frame") == 3
        commit.put_entry("source", 1, {"n": 1})
        commit.commit()
    assert count(path, "frame") == 1
    check(store, 3)
    store.close()


@pytest.mark.parametrize("at", range(1, 12))
def test_a_merge_may_fail_and_is_left_to_the_next_commit(path: str, at: int) -> None:
    Faulty.also_rollback = False
    begin(path).close()
    store = SqliteStore(path, factory=Faulty)
    for number in (1, 2):
        small_commit(store, number)
    with Faulty.failing(at + 1):
        small_commit(store, 3)
        store.settle()
    check(store, 3)
    small_commit(store, 4)
    check(store, 4)
    store.close()
    reader = open_store(path, read_only=True)
    check(reader, 4)
    reader.close()


def test_where_there_is_no_thread_commits_merge(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    store = begin(path)
    assert isinstance(store, SqliteStore)
    with monkeypatch.context() as patch:
        patch.setattr(store._background, "submit", refuse)
        for number in range(1, 5):
            small_commit(store, number)
    assert count(path, "frame") == 0
    check(store, 4)
    store.close()
