"""A topic that is trimmed loses its oldest records, and nothing else."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from millstream.serde.base import RawPart
from millstream.store.interfaces import Store, View
from millstream.store.open import open_store
from tests.unit.store.builders import lines


def contents(view: View, topic_id: int, start: int = 0) -> list[tuple[int, str]]:
    """The ordinals and values of the records that are there."""
    found: list[tuple[int, str]] = []
    for ordinal, records in view.read(topic_id, start):
        assert isinstance(records.value, RawPart)
        texts = records.value.data.to_pylist()
        found += [(ordinal + i, text.decode()) for i, text in enumerate(texts)]
    return found


def append(store: Store, topic_id: int, texts: list[str], trim: int = 0) -> None:
    """Append records, and trim in the same commit."""
    with store.begin() as commit:
        if texts:
            commit.append(topic_id, lines(texts))
        commit.trim(topic_id, trim)
        commit.commit()


def make(store: Store, name: str = "log") -> int:
    """Make a topic."""
    with store.begin() as commit:
        topic = commit.create_topic(name, 1)
        commit.commit()
    return topic.id


@pytest.mark.parametrize("path", [":memory:", "file"])
@pytest.mark.parametrize("seed", range(4))
def test_like_a_list(path: str, seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    name = path if path == ":memory:" else str(tmp_path / "x.db")
    store = open_store(name)
    topic = make(store)
    texts: list[str] = []
    first = 0
    for _ in range(120):
        # Small commits become frames; now and then a large one goes into the tables.
        new = [f"{len(texts) + i}" for i in range(chance.choice([0, 1, 1, 2, 1500]))]
        texts += new
        trim = chance.randrange(len(texts) + 20) if chance.random() < 0.3 else 0
        append(store, topic, new, trim)
        first = max(first, min(trim, len(texts)))
        if name != ":memory:" and chance.random() < 0.1:
            store.close()
            store = open_store(name)
        with store.view() as view:
            assert (view.start(topic), view.end(topic)) == (first, len(texts))
            assert contents(view, topic) == list(enumerate(texts))[first:]
            start = chance.randrange(len(texts) + 1)
            assert contents(view, topic, start) == list(enumerate(texts))[max(start, first) :]
    store.close()


def test_what_was_trimmed_leaves_the_file(tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    store = open_store(path)
    topic, other = make(store), make(store, "other")
    append(store, other, ["kept"] * 2000)
    for _ in range(5):
        append(store, topic, ["x"] * 2000)
    append(store, topic, ["y"] * 2000, trim=7000)
    store.close()
    connection = sqlite3.connect(path)
    runs = connection.execute("SELECT topic, base FROM run ORDER BY topic, base").fetchall()
    connection.close()
    assert runs == [(topic, 6000), (topic, 8000), (topic, 10000), (other, 0)]


def test_a_view_keeps_what_it_saw(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "x.db"))
    topic = make(store)
    append(store, topic, ["a"] * 2000)
    with store.view() as view:
        append(store, topic, ["b"] * 2000, trim=3000)
        assert len(contents(view, topic)) == 2000
    with store.view() as view:
        assert len(contents(view, topic)) == 1000
    store.close()


def test_an_undone_commit_trims_nothing() -> None:
    store = open_store(":memory:")
    topic = make(store)
    append(store, topic, ["a", "b"])
    with store.begin() as commit:
        commit.trim(topic, 1)
        assert contents(commit, topic) == [(1, "b")]
    with store.view() as view:
        assert contents(view, topic) == [(0, "a"), (1, "b")]
    store.close()


def test_a_topic_of_the_same_name_begins_anew(tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    store = open_store(path)
    topic = make(store)
    append(store, topic, ["a"] * 2000, trim=1500)
    with store.begin() as commit:
        commit.drop_topic(topic)
        commit.commit()
    again = make(store)
    append(store, again, ["b"])
    store.close()
    store = open_store(path)
    with store.view() as view:
        assert (view.start(again), contents(view, again)) == (0, [(0, "b")])
    store.close()
    connection = sqlite3.connect(path)
    counters = {name for (name,) in connection.execute("SELECT name FROM counter")}
    connection.close()
    assert not {name for name in counters if name.startswith("first")}
