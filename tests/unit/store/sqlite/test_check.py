"""A check names what is damaged, and what is not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from millstream.errors import StoreError
from millstream.store.interfaces import Store, StoreId
from millstream.store.open import open_store
from millstream.store.sqlite.check import Gap, check_file
from tests.unit.store.builders import lines

STATE = StoreId(3, "aggregate", "h")


@pytest.fixture
def store(path: str) -> Iterator[Store]:
    """A database with a topic of three runs, another one, state, and small commits."""
    opened = open_store(path)
    with opened.begin() as commit:
        clicks = commit.create_topic("clicks", 2)
        commit.create_topic("other", 1)
        for _ in range(3):
            commit.append(clicks.id, lines(["x"] * 200, partition=[0, 1] * 100))
        for page in range(4):
            commit.put_delta(STATE, page, pa.record_batch({"n": [page]}))
        commit.put_entry("query", 3, {"id": "Q", "sink": "S"})
        commit.put_entry("query", 4, {"id": "R", "sink": "T"})
        commit.commit()
    for _ in range(3):
        with opened.begin() as commit:
            commit.append(2, lines(["y"]))
            commit.put_delta(STATE, 9, pa.record_batch({"n": [9]}))
            commit.commit()
    yield opened
    opened.close()


def alter(path: str, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for sql in statements:
            assert connection.execute(sql).rowcount > 0
        connection.commit()


def test_an_intact_file(store: Store, path: str) -> None:
    # The writer has it open, and everything is in the log still.
    found = check_file(path)
    assert found.intact
    assert found.commit == 4
    assert [(t.name, t.end, t.lost) for t in found.topics] == [("clicks", 600, 0), ("other", 3, 0)]
    assert [(s.query, s.step, s.parts) for s in found.states] == [(3, "aggregate", 7)]
    assert found.entries == {"query": {3: {"id": "Q", "sink": "S"}, 4: {"id": "R", "sink": "T"}}}


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("UPDATE run SET body = x'00' WHERE base = 200", "the checksum does not match"),
        ("DELETE FROM run WHERE base = 200", "it is missing"),
    ],
)
def test_records_that_cannot_be_read(store: Store, path: str, sql: str, reason: str) -> None:
    store.close()
    alter(path, sql)
    clicks, other = check_file(path).topics
    assert clicks.gaps == [Gap(200, 399, [(0, 100, 199), (1, 100, 199)], reason)]
    assert clicks.lost == 200
    assert not other.gaps


def test_records_at_the_ends_of_a_topic(store: Store, path: str) -> None:
    store.close()
    alter(path, "DELETE FROM run WHERE base <> 200 AND topic = 1")
    clicks, _ = check_file(path).topics
    assert [(g.first, g.last) for g in clicks.gaps] == [(0, 199), (400, 599)]
    assert clicks.gaps[1].offsets == [(0, 200, 299), (1, 200, 299)]


def test_what_was_trimmed_is_not_missed(store: Store, path: str) -> None:
    with store.begin() as commit:
        commit.trim(1, 250)
        commit.drop_topic(2)
        commit.commit()
    store.close()
    found = check_file(path)
    assert found.intact
    assert [(t.start, t.end) for t in found.topics] == [(250, 600)]


def test_state_that_cannot_be_read(store: Store, path: str) -> None:
    store.close()
    alter(path, "UPDATE part SET count = 7 WHERE page = 2")
    (state,) = check_file(path).states
    assert state.damaged == [(2, "the checksum does not match")]


def test_small_values_that_cannot_be_read(store: Store, path: str) -> None:
    store.close()
    alter(
        path,
        "UPDATE entry SET content = '{}' WHERE id = 3",
        "UPDATE topic SET name = 'clocks' WHERE id = 1",
        "DELETE FROM frame WHERE id = 3",
    )
    found = check_file(path)
    assert not found.intact
    assert list(found.entries["query"]) == [4]
    assert found.tables["frame"] == ["commit 3 is missing"]
    assert found.tables.keys() == {"entry", "topic", "frame"}
    clicks, other = found.topics
    assert (clicks.name, clicks.end, clicks.lost) == (None, 600, 0)
    assert other.gaps == [Gap(1, 1, [(0, 1, 1)], "it is missing")]


def test_an_index_that_has_lost_a_row(store: Store, path: str) -> None:
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        sql = "CREATE UNIQUE INDEX part_place ON part (store, page, id)"
        changed = "UPDATE sqlite_master SET sql = ? WHERE name = 'part_place'"
        connection.execute(changed, (sql + " WHERE id > 2",))
        connection.commit()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("REINDEX part_place")
        connection.execute(changed, (sql,))
        connection.commit()
    with pytest.raises(StoreError, match="parts of it are missing"):
        open_store(path)
    found = check_file(path)
    assert "table part and its index do not have the same rows" in found.file
    assert not any(s.damaged for s in found.states)


def test_what_is_no_database(path: str) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        check_file(path)
    Path(path).write_text("It is a text, and longer than the header of a database." * 10)
    with pytest.raises(StoreError, match="not a Millstream database"):
        check_file(path)
    Path(path).unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    with pytest.raises(StoreError, match="another program"):
        check_file(path)


def test_a_name_in_the_header_that_was_altered(store: Store, path: str) -> None:
    store.close()
    alter(path, "UPDATE counter SET value = value")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 5")
    found = check_file(path)
    assert found.file == ["the file's header does not tell that it is Millstream's"]
    assert [t.lost for t in found.topics] == [0, 0]
