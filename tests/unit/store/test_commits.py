"""The contract of commits and views that random sequences do not spell out."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from millstream.errors import StoreError
from millstream.store.interfaces import Store, StoreId
from millstream.store.open import open_store
from millstream.store.sqlite.store import SqliteStore
from tests.unit.store.builders import (
    RICH_LAYOUT,
    VALUE_LAYOUT,
    lines,
    plain_state,
    plain_topic,
    raw,
    records,
    typed,
    values,
)

STATE = StoreId(1, "agg", "h")


def rows(*numbers: int) -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array(numbers, pa.int64())})


def in_thread(action: object) -> threading.Thread:
    thread = threading.Thread(target=action)  # type: ignore[arg-type]
    thread.start()
    return thread


def test_a_commit_left_without_commit_is_undone(store: Store) -> None:
    with store.begin() as commit:
        topic = commit.create_topic("a", 1)
        commit.commit()
    with store.begin() as commit:
        commit.append(topic.id, lines(["x"]))
    with pytest.raises(RuntimeError, match="mine"), store.begin() as commit:
        commit.append(topic.id, lines(["y"]))
        raise RuntimeError("mine")
    with store.view() as view:
        assert view.end(topic.id) == 0


def test_offsets_sequence_and_ids_go_back_with_a_rollback(store: Store) -> None:
    with store.begin() as commit:
        topic = commit.create_topic("a", 1)
        commit.commit()
    for _ in range(2):
        with store.begin() as commit:
            assert commit.allocate_seq(5) == 0
            assert commit.allocate_id("query") == 1
            assert commit.append(topic.id, lines(["x", "y"])).offset.tolist() == [0, 1]
            assert commit.create_topic("b", 1).id == topic.id + 1


def test_a_view_shows_the_last_commit_while_a_commit_is_open(store: Store) -> None:
    with store.begin() as commit:
        topic = commit.create_topic("a", 1)
        commit.append(topic.id, lines(["1"]))
        commit.commit()
    with store.begin() as commit:
        commit.append(topic.id, lines(["2"]))
        commit.put_delta(STATE, 0, rows(1))
        with store.view() as view:
            assert values(view, topic.id) == ["1"]
            assert list(view.state(STATE)) == []
        assert values(commit, topic.id) == ["1", "2"]
        commit.commit()
    with store.view() as view:
        assert values(view, topic.id) == ["1", "2"]


def test_a_view_of_a_file_stays_as_it_is(path: str) -> None:
    store = open_store(path)
    with store.begin() as commit:
        topic = commit.create_topic("a", 1)
        commit.append(topic.id, lines(["1"]))
        commit.put_delta(STATE, 0, rows(1))
        commit.commit()
    with store.view() as view:
        for number in range(2, 600):
            with store.begin() as commit:
                commit.append(topic.id, lines([str(number)]))
                commit.put_delta(STATE, 0, rows(number))
                commit.commit()
        with store.begin() as commit:
            commit.put_page(STATE, 0, rows(0))
            commit.drop_topic(topic.id)
            commit.commit()
        assert values(view, topic.id) == ["1"]
        assert plain_state(view.state(STATE)) == {0: [{"n": 1}]}
        assert view.topic("a") == topic
    with store.view() as view:
        assert view.topic("a") is None
        assert plain_state(view.state(STATE)) == {0: [{"n": 0}]}
    store.close()


def test_in_memory_a_commit_waits_for_the_views_of_other_threads() -> None:
    store = SqliteStore(":memory:")
    gate = store._gate
    assert gate is not None
    with store.begin() as commit:
        topic = commit.create_topic("a", 1)
        commit.append(topic.id, lines(["1"]))
        commit.commit()
    entered, leave = threading.Event(), threading.Event()
    order: list[str] = []

    def read() -> None:
        with store.view() as view:
            entered.set()
            leave.wait()
            order.append(f"read {values(view, topic.id)}")

    def write() -> None:
        with store.begin() as commit:
            commit.append(topic.id, lines(["2"]))
            commit.commit()
        order.append("committed")

    reader = in_thread(read)
    entered.wait()
    writer = in_thread(write)
    while not gate.writers_waiting:
        threading.Event().wait(0.001)
    leave.set()
    reader.join()
    writer.join()
    assert order == ["read ['1']", "committed"]
    store.close()


def test_in_memory_a_thread_cannot_commit_over_its_own_view() -> None:
    store = open_store(":memory:")
    with store.view(), store.begin() as commit:
        commit.create_topic("a", 1)
        with pytest.raises(StoreError, match="same thread"):
            commit.commit()
    with store.begin() as commit:
        commit.create_topic("a", 1)
        commit.commit()
    store.close()


def test_two_commits_in_one_thread_are_an_error(store: Store) -> None:
    with store.begin(), pytest.raises(StoreError, match="open already"):
        store.begin()
    with store.begin():
        pass


def test_a_second_thread_waits_for_its_turn(store: Store) -> None:
    order: list[str] = []
    begun = threading.Event()

    def second() -> None:
        begun.set()
        with store.begin() as commit:
            order.append("second")
            assert commit.topic("a") is not None

    with store.begin() as commit:
        thread = in_thread(second)
        begun.wait()
        commit.create_topic("a", 1)
        order.append("first")
        commit.commit()
    thread.join()
    assert order == ["first", "second"]


def test_a_commit_that_is_over_says_so(store: Store) -> None:
    with store.begin() as commit:
        commit.commit()
        with pytest.raises(StoreError, match="over"):
            commit.allocate_seq(1)
    with pytest.raises(StoreError, match="over"):
        commit.commit()


def test_a_view_that_is_over_says_so(store: Store) -> None:
    with store.begin() as commit:
        topic = commit.create_topic("a", 1)
        commit.append(topic.id, lines(["x"]))
        commit.commit()
    with store.view() as view:
        runs: Iterator[object] = view.read(topic.id, 0)
    with pytest.raises(StoreError, match="over"):
        next(runs)
    with pytest.raises(StoreError, match="over"):
        view.topics()


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.begin()
    with pytest.raises(StoreError, match="closed"), store.view():
        pass


def test_closing_undoes_an_open_commit(path: str) -> None:
    store = open_store(path)
    commit = store.begin()
    commit.create_topic("a", 1)
    store.close()
    with pytest.raises(StoreError):
        commit.commit()
    store = open_store(path)
    with store.view() as view:
        assert view.topics() == []
    store.close()


def test_topics_are_checked(store: Store) -> None:
    with store.begin() as commit:
        topic = commit.create_topic("a", 2)
        with pytest.raises(StoreError, match="already"):
            commit.create_topic("a", 1)
        with pytest.raises(StoreError, match="partition"):
            commit.create_topic("b", 0)
        for partition in (2, -1):
            with pytest.raises(StoreError, match="2 partitions"):
                commit.append(topic.id, lines(["x"], partition=[partition]))
        commit.drop_topic(topic.id)
        again = commit.create_topic("a", 1)
        assert again.id != topic.id
        with pytest.raises(StoreError, match="no topic"):
            commit.end(topic.id)
        with pytest.raises(StoreError, match="no topic"):
            commit.set_position("q", topic.id, 0)
        commit.commit()
    with store.view() as view:
        assert view.topics() == [again]


@pytest.mark.parametrize("framed", [False, True])
def test_a_commit_sees_its_own_pages(store: Store, framed: bool) -> None:
    """What was replaced or dropped hides what lies in the tables, and what lies in frames."""
    with store.begin() as commit:
        for page in range(4):
            commit.put_delta(STATE, page, rows(page))
        commit.commit()
    if framed:
        with store.begin() as commit:
            for page in range(4):
                commit.put_delta(STATE, page, rows(10 + page))
            commit.commit()
    with store.begin() as commit:
        commit.put_page(STATE, 1, rows(21))
        commit.put_delta(STATE, 1, rows(31))
        commit.drop_page(STATE, 2)
        commit.put_delta(STATE, 3, rows(33))
        commit.drop_page(STATE, 3)
        commit.put_delta(STATE, 3, rows(43))
        expected = {
            0: [{"n": 0}, {"n": 10}] if framed else [{"n": 0}],
            1: [{"n": 21}, {"n": 31}],
            3: [{"n": 43}],
        }
        assert plain_state(commit.state(STATE)) == expected
        commit.commit()
    with store.view() as view:
        assert plain_state(view.state(STATE)) == expected


def test_appending_nothing_leaves_nothing(store: Store) -> None:
    with store.begin() as commit:
        topic = commit.create_topic("a", 1)
        assert len(commit.append(topic.id, lines([]))) == 0
        assert len(commit.append(topic.id, records(raw([]), typed(VALUE_LAYOUT, [[], []])))) == 0
        commit.put_delta(STATE, 0, rows())
        commit.put_page(STATE, 1, rows())
        commit.commit()
    with store.view() as view:
        assert view.end(topic.id) == 0
        assert list(view.read(topic.id, 0)) == []
        assert list(view.state(STATE)) == []


def test_reading_stops_after_enough_rows(store: Store) -> None:
    with store.begin() as commit:
        topic = commit.create_topic("a", 1)
        for start in range(0, 30, 10):
            commit.append(topic.id, lines([str(i) for i in range(start, start + 10)]))
        commit.commit()
    with store.view() as view:

        def counts(start: int, most: int | None) -> list[tuple[int, int]]:
            return [(base, len(run)) for base, run in view.read(topic.id, start, most)]

        assert counts(0, None) == [(0, 10), (10, 10), (20, 10)]
        assert counts(5, 5) == [(5, 5)]
        assert counts(5, 6) == [(5, 5), (10, 10)]
        assert counts(0, 0) == []
        assert counts(30, None) == []
        assert counts(99, None) == []


def test_what_was_appended_is_what_is_read_without_decoding(store: Store) -> None:
    """The arrays of a commit's records are handed on as they are, within it and after it."""
    with store.begin() as commit:
        topic = commit.create_topic("a", 1)
        run = commit.append(topic.id, records(raw([b"k"]), typed(VALUE_LAYOUT, [[1], ["x"]])))
        ((_, within),) = commit.read(topic.id, 0)
        assert within.value is run.value
        commit.commit()
    with store.view() as view:
        ((_, after),) = view.read(topic.id, 0)
        assert after.value is run.value


def test_layouts_and_state_schemas_survive_a_rollback_of_their_first_use(store: Store) -> None:
    with store.begin() as commit:
        topic = commit.create_topic("a", 1)
        commit.commit()
    rich = [[None] for _ in RICH_LAYOUT.columns]
    with store.begin() as commit:
        commit.append(topic.id, records(raw([None]), typed(RICH_LAYOUT, rich)))
        commit.put_delta(STATE, 0, pa.record_batch({"other": pa.array(["x"])}))
    with store.begin() as commit:
        commit.append(topic.id, records(raw([None]), typed(VALUE_LAYOUT, [[1], ["x"]])))
        commit.put_delta(STATE, 0, rows(1))
        commit.commit()
    for number in range(300):
        with store.begin() as commit:
            commit.append(topic.id, records(raw([None]), typed(RICH_LAYOUT, rich)))
            commit.append(topic.id, records(raw([None]), typed(VALUE_LAYOUT, [[number], ["x"]])))
            commit.put_delta(STATE, 0, rows(number))
            commit.commit()
    with store.view() as view:
        read = [row[8] for row in plain_topic(view, topic.id)]
        assert read[0] == ("typed", VALUE_LAYOUT, (1, "x"))
        assert {row[1] for row in read[1::2]} == {RICH_LAYOUT}
        assert [row[2][0] for row in read[2::2]] == list(range(300))
        assert plain_state(view.state(STATE)) == {0: [{"n": n} for n in [1, *range(300)]]}


def test_meta_and_entries_hold_what_json_holds(store: Store) -> None:
    content = {"text": "\ud800 é \0", "big": 10**30, "list": [None, True, 1.5], "in": {"a": {}}}
    with store.begin() as commit:
        commit.put_state_meta(STATE, content)
        commit.put_entry("source", commit.allocate_id("source"), content)
        commit.commit()
    with store.view() as view:
        assert view.state_meta(STATE) == content
        assert view.entries("source") == {1: content}
        view.entries("source")[1]["text"] = "changed"
        assert view.entries("source") == {1: content}
        assert view.entries("query") == {}


def test_threads_see_whole_commits_only(store: Store) -> None:
    """Each commit writes the same number to two topics, a position, a meta and state."""
    with store.begin() as commit:
        first, second = commit.create_topic("a", 1), commit.create_topic("b", 1)
        commit.put_state_meta(STATE, {"n": 0})
        commit.commit()
    done = threading.Event()
    wrong: list[object] = []
    views = [0, 0]

    def read(reader: int) -> None:
        try:
            while not done.is_set() or not views[reader]:
                with store.view() as view:
                    views[reader] += 1
                    count = view.end(first.id)
                    seen = (
                        len(values(view, first.id)),
                        len(values(view, second.id)),
                        view.positions("q").get(first.id, 0),
                        view.state_meta(STATE)["n"],
                        sum(part.rows.num_rows for part in view.state(STATE)),
                    )
                    if seen != (count,) * 5:
                        wrong.append((count, seen))
        except BaseException as error:
            wrong.append(error)

    threads = [in_thread(lambda n=n: read(n)) for n in range(2)]
    for number in range(1, 200):
        size = 70 if number % 7 == 0 else 1
        with store.begin() as commit:
            texts = [str(number)] * size
            commit.append(first.id, lines(texts))
            commit.append(second.id, lines(texts))
            total = commit.end(first.id)
            commit.set_position("q", first.id, total)
            commit.put_state_meta(STATE, {"n": total})
            commit.put_delta(STATE, number % 3, rows(*[number] * size))
            commit.commit()
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_numbers_are_int64_whatever_was_appended(store: Store) -> None:
    with store.begin() as commit:
        topic = commit.create_topic("a", 1)
        run = lines(["x"])
        run.partition = run.partition.astype(np.int32)
        run.rowtime = run.rowtime.astype(np.int32)
        appended = commit.append(topic.id, run)
    assert {a.dtype for a in (appended.partition, appended.rowtime, appended.offset)} == {
        np.dtype(np.int64)
    }
