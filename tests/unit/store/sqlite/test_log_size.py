"""The write-ahead log stays bounded under a steady load, whoever reads meanwhile."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import millstream.store.sqlite.database as database
from millstream.store.interfaces import Store
from millstream.store.open import open_store
from tests.unit.store.builders import raw, records

LIMIT = 256 << 10
CHECKPOINT = 64 << 10
COMMIT = 20_000


@pytest.fixture
def small_log(path: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(database, "_CHECKPOINT_PAGES", CHECKPOINT // database._PAGE_BYTES)
    monkeypatch.setattr(database, "_JOURNAL_LIMIT_BYTES", LIMIT)
    monkeypatch.setattr(database, "_LOG_PATIENCE_MS", 1)
    store = open_store(path)
    with store.begin() as commit:
        commit.create_topic("a", 1)
        commit.commit()
    yield store
    store.close()


def grow(store: Store, commits: int) -> int:
    """Commit incompressible records, too many for a frame; the largest size of the log is given."""
    largest = 0
    for number in range(commits):
        with store.begin() as commit:
            value = random.Random(number).randbytes(COMMIT)
            commit.append(1, records(raw([None] * 2000), raw([value, *[b""] * 1999])))
            commit.commit()
        largest = max(largest, os.path.getsize(f"{store.path}-wal"))
    return largest


def test_without_readers(small_log: Store) -> None:
    assert grow(small_log, 100) < CHECKPOINT + 5 * COMMIT


def test_with_views_that_overlap_all_the_time(
    small_log: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain of views, each left after the next one has begun: there is always one.

    SQLite needs a moment without an old one to begin the log anew, and now and then does not get
    it in time; so the log may double a few times, but is far from holding all that was written.
    """
    monkeypatch.setattr(database, "_LOG_PATIENCE_MS", 200)
    begun, done = threading.Event(), threading.Event()

    def read() -> None:
        chain = ExitStack()
        chain.enter_context(small_log.view())
        while not done.is_set():
            following = ExitStack()
            following.enter_context(small_log.view())
            begun.set()
            chain.close()
            chain = following
        chain.close()

    reader = threading.Thread(target=read)
    reader.start()
    begun.wait()
    largest = grow(small_log, 450)
    done.set()
    reader.join()
    assert largest < 16 * LIMIT < 450 * COMMIT / 2


def test_after_a_long_view(small_log: Store) -> None:
    with small_log.view() as view:
        assert grow(small_log, 50) > 2 * LIMIT
        assert view.end(1) == 0
    grow(small_log, 30)
    assert os.path.getsize(f"{small_log.path}-wal") <= LIMIT + 5 * COMMIT


def test_after_one_large_commit(small_log: Store) -> None:
    with small_log.begin() as commit:
        for number in range(50):
            value = random.Random(number).randbytes(COMMIT)
            commit.append(1, records(raw([None] * 2000), raw([value, *[b""] * 1999])))
        commit.commit()
    grow(small_log, 2)
    assert os.path.getsize(f"{small_log.path}-wal") <= LIMIT + 5 * COMMIT
