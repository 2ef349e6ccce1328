"""Parts of some pages, which pages there are, and reading what a view has left unread."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from millstream.errors import StoreError
from millstream.store.interfaces import Store, StoreId, View
from millstream.store.open import open_store

STATE = StoreId(1, "step", "hash")


def _rows(*values: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values, pa.int64())], ["c0"])


def _found(view: View, pages: range | None = None) -> list[tuple[int, list[int]]]:
    return [(p.page, p.rows.column(0).to_pylist()) for p in view.state(STATE, pages)]


def _values(view: View, pages: range | None = None) -> list[tuple[int, int]]:
    """Page and value of each row: neighbours in one page may be one part or several."""
    return [(page, value) for page, values in _found(view, pages) for value in values]


def _write(store: Store) -> None:
    """Parts of pages 1, 5 and 9, some of them in one row of the file, some in small commits."""
    for number in range(3):
        with store.begin() as commit:
            for page in (9, 1, 5):
                commit.put_delta(STATE, page, _rows(number, page))
            commit.commit()


@pytest.mark.parametrize("merged", [False, True])
def test_a_range_of_pages_is_read_alone_and_in_order(store: Store, merged: bool) -> None:
    _write(store)
    if merged:
        with store.begin() as commit:
            commit.create_topic("other", 1)
            commit.commit()
    with store.view() as view:
        assert view.pages(STATE) == [1, 5, 9]
        assert view.pages(StoreId(2, "step", "hash")) == []
        every = _values(view)
        assert _values(view, range(2, 6)) == [row for row in every if row[0] == 5]
        assert _values(view, range(2, 5)) == []
        assert _values(view, range(5, 10)) == [row for row in every if row[0] != 1]


def test_a_commit_reads_the_pages_that_it_writes(store: Store) -> None:
    _write(store)
    with store.begin() as commit:
        commit.drop_page(STATE, 5)
        commit.put_page(STATE, 1, _rows(7))
        commit.put_delta(STATE, 6, _rows(8))
        assert commit.pages(STATE) == [1, 6, 9]
        assert _found(commit, range(9)) == [(1, [7]), (6, [8])]
        commit.drop_page(STATE, 6)
        assert commit.pages(STATE) == [1, 9]


def test_what_a_view_left_is_read_from_the_last_commit(tmp_path: Path) -> None:
    with_file = open_store(str(tmp_path / "some.db"))
    try:
        _write(with_file)
        with with_file.view() as view:
            later = view.later()
            assert later is not None
            with later() as same:
                assert same is view
        with with_file.begin() as commit:
            commit.put_page(STATE, 5, _rows(1))
            inside = commit.later()
            assert inside is not None
            with inside() as same, later() as before:
                assert _found(same, range(5, 6)) == [(5, [1])]
                assert len(_found(before, range(5, 6))) > 0
                assert (5, [1]) not in _found(before)
            commit.commit()
        for opens in (later, inside):
            with opens() as after:
                assert _found(after, range(5, 6)) == [(5, [1])]
    finally:
        with_file.close()


def test_a_store_in_memory_has_nothing_to_read_later() -> None:
    store = open_store(":memory:")
    with store.view() as view:
        assert view.later() is None
    store.close()


def test_a_read_only_store_reads_only_while_its_view_lasts(tmp_path: Path) -> None:
    path = str(tmp_path / "some.db")
    writer = open_store(path)
    _write(writer)
    reader = open_store(path, read_only=True)
    try:
        with reader.view() as view:
            later = view.later()
            assert later is not None
            with later() as same:
                assert same is view
        with pytest.raises(StoreError, match="view is over"):
            later()
    finally:
        reader.close()
        writer.close()
