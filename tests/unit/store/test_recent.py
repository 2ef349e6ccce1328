"""A view from memory shows the last commit as a view of the file does, or says that it cannot."""

from __future__ import annotations

import pytest

from millstream.store.interfaces import NotInMemoryError, Store
from millstream.store.open import open_store
from tests.unit.store.builders import lines, values


def append(store: Store, *texts: str) -> None:
    with store.begin() as commit:
        if commit.topic("a") is None:
            commit.create_topic("a", 1)
        commit.append(1, lines(texts, seq=list(range(len(texts)))))
        commit.commit()


def test_it_shows_the_last_commit_and_no_more(store: Store) -> None:
    append(store, "a", "b")
    recent = store.recent()
    assert recent is not None
    assert values(recent, 1) == ["a", "b"]
    append(store, "c")
    assert values(recent, 1) == ["a", "b"]
    newer = store.recent()
    assert newer is not None
    assert newer.end(1) == 3
    assert values(newer, 1, 1) == ["b", "c"]


def test_an_open_commit_is_not_in_it(store: Store) -> None:
    append(store, "a")
    with store.begin() as commit:
        commit.append(1, lines(["b"], seq=[1]))
        recent = store.recent()
        assert recent is not None
        assert values(recent, 1) == ["a"]


def test_what_only_the_file_holds_it_does_not_have(path: str) -> None:
    store = open_store(path)
    append(store, *map(str, range(5000)))
    append(store, "last")
    store.close()
    store = open_store(path)
    recent = store.recent()
    assert recent is not None
    assert recent.end(1) == 5001
    with pytest.raises(NotInMemoryError):
        values(recent, 1)
    assert values(recent, 1, 5000) == ["last"]
    store.close()


def test_who_may_not_know_the_last_commit_has_none(path: str) -> None:
    writer = open_store(path)
    append(writer, "a")
    reader = open_store(path, read_only=True)
    assert reader.recent() is None
    reader.close()
    writer.close()
