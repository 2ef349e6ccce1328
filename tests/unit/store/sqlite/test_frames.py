"""Small commits become frames, frames become runs and parts, and nothing is lost on the way."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pyarrow as pa
import pytest

import millstream.store.sqlite.write as write
from millstream.store.interfaces import Store, StoreId
from millstream.store.open import open_store
from tests.unit.store.builders import (
    VALUE_LAYOUT,
    lines,
    plain,
    plain_state,
    plain_topic,
    raw,
    records,
    typed,
    values,
)

STATE = StoreId(1, "agg", "h")


def count(path: str, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def begin(path: str) -> Store:
    store = open_store(path)
    with store.begin() as commit:
        commit.create_topic("a", 1)
        commit.put_delta(STATE, 0, pa.record_batch({"n": [0]}))
        commit.commit()
    return store


def small_commit(store: Store, number: int) -> None:
    with store.begin() as commit:
        commit.append(1, lines([str(number)], seq=[commit.allocate_seq(1)]))
        commit.set_position(f"q{number}", 1, number)
        commit.put_delta(STATE, number % 2, pa.record_batch({"n": [number]}))
        commit.put_state_meta(STATE, {"n": number})
        commit.commit()


def check(store: Store, last: int) -> None:
    with store.view() as view:
        assert values(view, 1) == [str(n) for n in range(1, last + 1)]
        assert view.next_seq() == last
        assert view.state_meta(STATE) == ({"n": last} if last else {})
        for number in range(1, last + 1):
            assert view.positions(f"q{number}") == {1: number}
        even = [{"n": n} for n in range(0, last + 1, 2)]
        odd = [{"n": n} for n in range(1, last + 1, 2)]
        assert plain_state(view.state(STATE)) == ({0: even, 1: odd} if odd else {0: even})


@pytest.mark.parametrize("reopen_every", [1, 2, 5, 1000])
def test_all_is_there_after_any_restart(
    path: str, reopen_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "MERGE_FRAMES", 3)
    store = begin(path)
    reader = open_store(path, read_only=True)
    for number in range(1, 12):
        small_commit(store, number)
        if number % reopen_every == 0:
            store.close()
            store = open_store(path)
        check(store, number)
        check(reader, number)
    store.close()
    check(reader, 11)
    reader.close()


def test_many_small_commits_leave_few_rows(path: str) -> None:
    store = begin(path)
    for number in range(1, 601):
        small_commit(store, number)
    store.close()
    assert count(path, "frame") < write.MERGE_FRAMES
    assert count(path, "run") == 600 // write.MERGE_FRAMES
    assert count(path, "part") == 1 + 2 * (600 // write.MERGE_FRAMES)
    store = open_store(path, read_only=True)
    check(store, 600)
    store.close()


def test_frames_of_a_topic_and_state_that_are_dropped(path: str) -> None:
    store = begin(path)
    small_commit(store, 1)
    with store.begin() as commit:
        commit.drop_topic(1)
        commit.drop_state(1)
        commit.commit()
    for _ in range(2):
        with store.view() as view:
            assert view.topics() == []
            assert view.positions("q1") == {}
            assert list(view.state(STATE)) == []
            assert view.state_meta(STATE) == {}
        store.close()
        store = open_store(path)
    with store.begin() as commit:
        commit.put_delta(STATE, 0, pa.record_batch({"n": [7]}))
        assert plain_state(commit.state(STATE)) == {0: [{"n": 7}]}
        commit.commit()
    store.close()
    assert count(path, "run") == 0
    assert count(path, "part") == 1
    assert count(path, "trash") == 0


def test_runs_of_different_kinds_are_merged_apart(path: str) -> None:
    store = begin(path)
    for number in range(6):
        with store.begin() as commit:
            if number % 3:
                commit.append(1, lines([str(number)]))
            else:
                value = typed(VALUE_LAYOUT, [[number], ["x"]], [number == 0])
                commit.append(1, records(raw([None]), value))
            commit.commit()
    with store.begin() as commit:
        before = plain_topic(commit, 1)
        commit.append(1, lines(["more"] * 2000))
        commit.commit()
    store.close()
    store = open_store(path)
    with store.view() as view:
        assert plain_topic(view, 1)[:6] == before
    store.close()


def test_rows_of_different_schemas_and_dictionaries_are_merged_apart(path: str) -> None:
    store = begin(path)
    schemas = [
        pa.schema([("n", pa.int64())]),
        pa.schema([("n", pa.int64())], metadata={"codec": "2"}),
        pa.schema([("n", pa.dictionary(pa.int8(), pa.int64()))]),
        pa.schema([("m", pa.string())]),
    ]
    written = [
        pa.record_batch([pa.array([str(i) if s.names == ["m"] else i], s.field(0).type)], schema=s)
        for s in schemas
        for i in range(3)
    ]
    with store.begin() as commit:
        for rows in written:  # makes the schemas known
            commit.put_delta(STATE, 1, rows)
        commit.commit()
    for rows in written:
        with store.begin() as commit:
            commit.put_delta(STATE, 2, rows)
            commit.commit()
    with store.begin() as commit:
        commit.create_topic("b", 1)
        commit.commit()
    assert count(path, "frame") == 0
    store.close()
    store = open_store(path)
    with store.view() as view:
        parts = [part.rows for part in view.state(STATE) if part.page == 2]
    for schema in schemas:
        rows_of = [p for p in parts if p.schema.equals(schema, check_metadata=True)]
        assert sum(p.num_rows for p in rows_of) == 3
    store.close()


def in_parts(store: Store) -> list[tuple[int, int]]:
    """Page and value of each row of the state, in the order in which parts are read."""
    with store.view() as view:
        return [(p.page, r["n"]) for p in view.state(STATE) for r in p.rows.to_pylist()]


def test_a_merge_keeps_the_order_over_all_pages(path: str) -> None:
    store = begin(path)
    written = [(0, 0)]
    for number, pages in enumerate(["1", "12", "2", "2", "1321", "3", "3", "", "1"]):
        with store.begin() as commit:
            commit.append(1, lines(["x"]))
            for page in map(int, pages):
                number += 100
                commit.put_delta(STATE, page, pa.record_batch({"n": [number, -number]}))
                written += [(page, number), (page, -number)]
            commit.commit()
    assert count(path, "frame") == 9
    assert in_parts(store) == written
    with store.begin() as commit:
        commit.create_topic("b", 1)
        commit.put_delta(STATE, 3, pa.record_batch({"n": [7]}))
        commit.commit()
    assert (count(path, "frame"), count(path, "part")) == (0, 4)
    written.append((3, 7))
    assert in_parts(store) == written
    store.close()
    store = open_store(path)
    assert in_parts(store) == written
    for step in ("drop", "put"):
        with store.begin() as commit:
            if step == "drop":
                commit.drop_page(STATE, 1)
                written = [w for w in written if w[0] != 1]
            else:
                commit.put_page(STATE, 2, pa.record_batch({"n": [8]}))
                written = [*(w for w in written if w[0] != 2), (2, 8)]
            commit.commit()
        assert in_parts(store) == written
    store.close()


def test_rows_of_one_page_are_merged_without_cuts(path: str) -> None:
    store = begin(path)
    for number in range(5):
        with store.begin() as commit:
            commit.put_delta(STATE, 1, pa.record_batch({"n": [number]}))
            commit.commit()
    with store.begin() as commit:
        commit.create_topic("b", 1)
        commit.commit()
    store.close()
    assert count(path, "part") == 2
    assert count(path, "part WHERE cuts IS NOT NULL") == 0


def test_entries_lie_in_frames(path: str) -> None:
    store = begin(path)
    expected: dict[int, dict[str, int]] = {}
    for number in range(1, 9):
        with store.begin() as commit:
            assert commit.allocate_id("query") == number
            commit.put_entry("query", number, {"n": number})
            expected[number] = {"n": number}
            if number % 3 == 0:
                commit.delete_entry("query", number - 1)
                commit.delete_entry("query", 1)
                del expected[number - 1]
                expected.pop(1, None)
            if number % 4 == 0:
                commit.put_entry("query", number, {"n": -number})
                expected[number] = {"n": -number}
            assert commit.entries("query") == expected
            commit.commit()
        with store.view() as view:
            assert view.entries("query") == expected
    assert count(path, "frame") == 8
    for _ in range(2):
        store.close()
        store = open_store(path)
        with store.view() as view:
            assert view.entries("query") == expected
        with store.begin() as commit:
            commit.create_topic(f"b{count(path, 'frame')}", 1)
            commit.commit()
        assert count(path, "frame") == 0
        assert count(path, "entry") == len(expected)
    store.close()


def test_an_entry_that_did_not_change_is_not_written(path: str) -> None:
    store = begin(path)
    for _ in range(2):
        with store.begin() as commit:
            commit.put_entry("query", 1, {"n": 1})
            commit.delete_entry("query", 7)
            commit.commit()
    assert count(path, "frame") == 1
    store.close()


def test_an_undone_commit_leaves_the_entries_as_they_were(path: str) -> None:
    store = begin(path)
    with store.begin() as commit:
        commit.put_entry("query", 1, {"n": 1})
        commit.commit()
    with store.begin() as commit:
        commit.put_entry("query", 1, {"n": 2})
        commit.put_entry("query", 2, {"n": 2})
    with store.begin() as commit:
        commit.delete_entry("query", 1)
    with store.view() as view:
        assert view.entries("query") == {1: {"n": 1}}
    store.close()


def test_what_was_dropped_is_deleted_bit_by_bit(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "SWEEP_BYTES", 1)
    store = begin(path)
    with store.begin() as commit:
        topic = commit.create_topic("b", 1)
        for _ in range(3):
            commit.append(topic.id, lines(["x"]))
        commit.put_delta(StoreId(2, "agg", "h"), 0, pa.record_batch({"n": [0]}))
        commit.commit()
    with store.begin() as commit:
        commit.drop_topic(topic.id)
        commit.drop_state(2)
        commit.commit()
    counts = [(count(path, "run"), count(path, "part"))]
    store.close()
    store = open_store(path)
    for number in range(5):
        with store.begin() as commit:
            commit.create_topic(f"c{number}", 1)
            commit.commit()
        counts.append((count(path, "run"), count(path, "part")))
    store.close()
    assert counts == [(2, 2), (1, 2), (0, 2), (0, 1), (0, 1), (0, 1)]
    assert count(path, "trash") == 0


def test_entries_go_through_frames(path: str) -> None:
    store = begin(path)
    for step in range(3):
        with store.begin() as commit:
            commit.put_entry("query", 1, {"step": step})
            commit.put_entry("query", 2 + step, {})
            commit.delete_entry("query", 1 + step)
            commit.commit()
    assert count(path, "frame") == 3
    for _ in range(2):
        store.close()
        store = open_store(path)
        with store.view() as view:
            assert view.entries("query") == {1: {"step": 2}, 4: {}}
        with store.begin() as commit:
            commit.create_topic(f"t{commit.next_seq()}", 1)
            commit.allocate_seq(1)
            commit.commit()
        assert count(path, "frame") == 0
    store.close()


def test_runs_that_are_joined_as_they_come_stay_what_they_are(path: str) -> None:
    store = begin(path)
    views = []
    for number in range(1, 30):
        small_commit(store, number)
        recent = store.recent()
        assert recent is not None
        views.append((number, recent))
    for number, recent in views:
        assert values(recent, 1) == [str(n) for n in range(1, number + 1)]
        assert values(recent, 1, number - 1) == [str(number)]
    assert len(list(views[-1][1].read(1, 0))) == 3 + 5  # three joined, of eight each
    store.close()
    store = open_store(path)
    check(store, 29)
    small_commit(store, 30)
    check(store, 30)
    store.close()


def test_only_runs_of_one_shape_are_joined(path: str) -> None:
    store = begin(path)
    expected: list[tuple[object, ...]] = []
    for number in range(30):
        value = typed(VALUE_LAYOUT, [[number], ["x"]]) if number % 7 < 3 else raw([b"%d" % number])
        with store.begin() as commit:
            stored = commit.append(1, records(raw([None]), value, seq=[number]))
            commit.commit()
        expected += plain(stored)
        with store.view() as view:
            assert plain_topic(view, 1) == expected
            assert plain_topic(view, 1, number // 2) == expected[number // 2 :]
    store.close()
