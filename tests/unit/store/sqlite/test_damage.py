"""A value that was altered in the file is noticed by whoever reads it, and named."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from millstream.errors import StoreError
from millstream.store.interfaces import StoreId
from millstream.store.open import open_store
from millstream.store.sqlite.checksums import checksum
from tests.unit.store.builders import VALUE_LAYOUT, lines, plain_topic, raw, records, typed

STATE = StoreId(3, "aggregate", "h")

SMALL = ["counter", "topic", "position", "entry", "store", "layout", "shape", "trash", "frame"]

# The ids say nothing but the order. A part that is another store's now is missing in its own: only
# SQLite's own check of table and index notices that, since an UPDATE changes both, and a disk one.
SKIPPED = {("run", "id"), ("part", "id"), ("trash", "id"), ("part", "store")}


@pytest.fixture
def filled(path: str) -> str:
    """A closed database that has rows in every table."""
    store = open_store(path)
    with store.begin() as commit:
        topic = commit.create_topic("clicks", 2)
        gone = commit.create_topic("gone", 1)
        commit.append(topic.id, records(raw([b"k"]), typed(VALUE_LAYOUT, [[1], ["x"]])))
        commit.append(topic.id, lines(["y"] * 5000, partition=[i % 2 for i in range(5000)]))
        commit.append(gone.id, lines(["z"]))
        commit.set_position("query-3", topic.id, 1)
        commit.put_delta(STATE, 4, pa.record_batch({"n": [1, 2]}))
        commit.put_state_meta(STATE, {"time": 5})
        commit.put_entry("query", 3, {"id": "q"})
        commit.commit()
    with store.begin() as commit:
        commit.append(topic.id, lines(["late"]))
        commit.commit()
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        # As a topic leaves it that was dropped, and of which not all is deleted yet.
        crc = checksum("topic", 2)
        connection.execute("INSERT INTO trash (kind, owner, crc) VALUES ('topic', 2, ?)", (crc,))
        connection.execute("DELETE FROM topic WHERE name = 'gone'")
        connection.commit()
    return path


def read_all(path: str, *, read_only: bool) -> None:
    """Read whatever there is."""
    store = open_store(path, read_only=read_only)
    try:
        with store.view() as view:
            for topic in view.topics():
                plain_topic(view, topic.id)
            list(view.state(STATE))
    finally:
        store.close()


def altered(value: object) -> object:
    if isinstance(value, int):
        return value ^ 4
    if isinstance(value, str):
        return value[:-1] + chr(ord(value[-1]) ^ 1)
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1])
    return 0


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("table", [*SMALL, "run", "part"])
def test_every_altered_value_is_noticed(filled: str, table: str, read_only: bool) -> None:
    read_all(filled, read_only=read_only)
    whole = Path(filled).read_bytes()
    with closing(sqlite3.connect(filled)) as connection:
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    tried = 0
    for name in names:
        if (table, name) in SKIPPED:
            continue
        with closing(sqlite3.connect(filled)) as connection:
            row = f"SELECT rowid, {name} FROM {table} ORDER BY rowid DESC LIMIT 1"
            if table == "run":
                row = f"SELECT rowid, {name} FROM run WHERE base = 1"
            key, value = connection.execute(row).fetchone()
            changed = f"UPDATE {table} SET {name} = ? WHERE rowid = ?"
            connection.execute(changed, (altered(value), key))
            connection.commit()
        with pytest.raises(StoreError, match=r"cannot be read|is missing|damaged") as caught:
            read_all(filled, read_only=read_only)
        assert "check" in str(caught.value.hint)
        Path(filled).write_bytes(whole)
        tried += 1
    assert tried >= 3


def alter(path: str, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)
        connection.commit()


def test_the_records_and_the_topic_are_named(filled: str) -> None:
    alter(filled, "UPDATE run SET body = zeroblob(length(body)) WHERE base = 1")
    with pytest.raises(StoreError, match="records 1 to 5000 of topic 'clicks' cannot be read"):
        read_all(filled, read_only=True)


def test_the_state_and_the_query_are_named(filled: str) -> None:
    alter(filled, "UPDATE part SET count = 3")
    with pytest.raises(StoreError, match="page 4 of state 'aggregate' of query 3 cannot be read"):
        read_all(filled, read_only=True)


@pytest.mark.parametrize(
    "table", ["run", "part", "frame"], ids=["records", "state", "small commits"]
)
def test_what_is_no_blob_any_more_is_damage(filled: str, table: str) -> None:
    alter(filled, f"UPDATE {table} SET body = 'text'")
    with pytest.raises(StoreError, match="cannot be read"):
        read_all(filled, read_only=True)


def test_a_missing_small_commit_is_noticed(filled: str) -> None:
    store = open_store(filled)
    for number in range(3):
        with store.begin() as commit:
            commit.set_position("query-3", 1, number)
            commit.commit()
    store.close()
    alter(filled, "DELETE FROM frame WHERE id = (SELECT max(id) - 1 FROM frame)")
    with pytest.raises(StoreError, match="commit 4 is missing"):
        read_all(filled, read_only=True)


def test_a_text_that_is_none_is_damage(filled: str) -> None:
    alter(filled, "UPDATE entry SET content = CAST(x'FF' AS TEXT)")
    with pytest.raises(StoreError, match="damaged"):
        read_all(filled, read_only=True)


def test_a_table_that_is_called_otherwise_is_damage(filled: str) -> None:
    alter(filled, "ALTER TABLE position RENAME COLUMN crc TO cre")
    with pytest.raises(StoreError, match="damaged: no such column") as caught:
        read_all(filled, read_only=True)
    assert "millstream check" in str(caught.value.hint)


def test_a_file_of_the_version_before_is_refused(filled: str) -> None:
    alter(filled, "PRAGMA user_version = 1")
    with pytest.raises(StoreError, match="version 1 of the tables") as caught:
        read_all(filled, read_only=False)
    assert caught.value.hint is not None
