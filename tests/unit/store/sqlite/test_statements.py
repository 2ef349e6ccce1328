"""How many statements it takes: a small commit is one row, an empty one is nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from millstream.store.interfaces import StoreId
from millstream.store.sqlite.store import SqliteStore
from tests.unit.store.builders import VALUE_LAYOUT, raw, records, typed, values


class Counted(sqlite3.Connection):
    """A connection that remembers its statements' first words."""

    words: ClassVar[list[str]] = []

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        self.words.append(sql.split()[0])
        return super().execute(sql, *parameters)

    def executemany(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        self.words.append(sql.split()[0])
        return super().executemany(sql, *parameters)


@pytest.fixture
def counted(path: str) -> Iterator[SqliteStore]:
    store = SqliteStore(path, factory=Counted)
    write(store)
    Counted.words.clear()
    yield store
    store.close()


def write(store: SqliteStore) -> None:
    """A commit of one event as a dozen queries leave it."""
    with store.begin() as commit:
        for query in range(12):
            topic = commit.topic(f"t{query}") or commit.create_topic(f"t{query}", 2)
            commit.append(topic.id, records(raw([b"k"]), typed(VALUE_LAYOUT, [[1], ["x"]])))
            commit.set_position(f"q{query}", topic.id, commit.end(topic.id))
            commit.put_delta(StoreId(query, "agg", "h"), 0, pa.record_batch({"n": [1]}))
            commit.put_state_meta(StoreId(query, "agg", "h"), {"t": commit.allocate_seq(1)})
        commit.commit()


def test_a_small_commit_is_one_row(counted: SqliteStore) -> None:
    write(counted)
    assert Counted.words == ["INSERT"]


def test_an_empty_commit_is_nothing(counted: SqliteStore) -> None:
    with counted.begin() as commit:
        commit.commit()
    with counted.begin():
        pass
    assert Counted.words == []


def test_a_view_asks_only_which_commit_it_sees(counted: SqliteStore) -> None:
    with counted.view():
        pass  # opens the connection that later views use again
    write(counted)
    Counted.words.clear()
    with counted.view() as view:
        assert len(view.topics()) == 12
        assert view.positions("q1") == {2: 2}
        assert view.state_meta(StoreId(1, "agg", "h"))["t"] > 0
        assert values(view, 1) == []  # typed records: none is text
    assert Counted.words == ["BEGIN", "SELECT", "ROLLBACK"]


def test_what_is_durable_is_synced(counted: SqliteStore) -> None:
    writer = counted._database.writer
    assert writer is not None
    assert writer.one("PRAGMA synchronous") == (2,)
