"""Records come into a topic in the order of their numbers, whoever writes late."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from millstream import types as t
from millstream.engine.arrival import Arrivals
from millstream.engine.merging import merge_pieces
from millstream.serde.base import Layout, TypedPart
from millstream.store.interfaces import Commit, Records, Store
from millstream.store.open import open_store

KEY = Layout("NONE", ())
ONE = Layout("JSON", (t.Column("A", t.INTEGER, t.Role.VALUE),))
TWO = Layout("JSON", (*ONE.columns, t.Column("B", t.INTEGER, t.Role.VALUE)))


@pytest.fixture
def store() -> Iterator[Store]:
    """A store with one topic, of id 1, and a hundred numbers given away."""
    found = open_store(":memory:")
    with found.begin() as commit:
        commit.create_topic("out", 1)
        commit.allocate_seq(100)
        commit.commit()
    yield found
    found.close()


def written(writer: int, seqs: list[int], layout: Layout = ONE) -> Records:
    """What a query writes: records of these origins, their values telling writer and origin."""
    count = len(seqs)
    values = pa.array([1000 * writer + s for s in seqs], pa.int32())
    return Records(
        partition=np.zeros(count, np.int32),
        offset=np.full(count, -1, np.int64),
        seq=np.array(seqs, np.int64),
        writer=np.full(count, writer, np.int32),
        rowtime=np.zeros(count, np.int64),
        key=TypedPart(KEY, [], np.ones(count, bool)),
        value=TypedPart(layout, [values] * len(layout.columns)),
    )


def topic(commit: Commit) -> tuple[list[int], list[int]]:
    """Numbers and values of all records."""
    seqs: list[int] = []
    values: list[int] = []
    for _, records in commit.read(commit.topics()[0].id, 0):
        assert isinstance(records.value, TypedPart)
        seqs += records.seq.tolist()
        values += records.value.arrays[0].to_pylist()
    return seqs, values


def append(store: Store, arrivals: Arrivals, *pieces: Records, passed: int = -1) -> None:
    """One commit."""
    with store.begin() as commit:
        arrivals.append(commit, commit.topics()[0].id, pieces, passed)
        commit.commit()


def test_pieces_of_one_commit_merge(store: Store) -> None:
    arrivals = Arrivals()
    append(store, arrivals, written(2, [3, 5]), written(1, [3, 4]))
    append(store, arrivals, written(1, [6, 6]))
    with store.begin() as commit:
        assert topic(commit) == ([3, 3, 4, 5, 6, 6], [1003, 2003, 1004, 2005, 1006, 1006])


def test_what_comes_behind_the_last_record_gets_numbers_of_the_moment(store: Store) -> None:
    arrivals = Arrivals()
    append(store, arrivals, written(1, [8, 9]))
    append(store, arrivals, written(2, [7, 20]), written(1, [10]))
    with store.begin() as commit:
        assert topic(commit) == ([8, 9, 10, 100, 101], [1008, 1009, 1010, 2007, 2020])
        assert commit.next_seq() == 102


@pytest.mark.parametrize("known", [True, False])
def test_an_older_writer_at_the_last_record_comes_late(store: Store, known: bool) -> None:
    arrivals = Arrivals()
    append(store, arrivals, written(5, [9]))
    if not known:
        arrivals = Arrivals()
    append(store, arrivals, written(3, [9]))
    append(store, arrivals, written(6, [9]))
    with store.begin() as commit:
        assert topic(commit) == ([9, 100, 101], [5009, 3009, 6009])


def test_what_a_reader_has_passed_gets_numbers_of_the_moment(store: Store) -> None:
    arrivals = Arrivals()
    append(store, arrivals, written(1, [4, 9]), written(2, [8]), passed=7)
    with store.begin() as commit:
        assert topic(commit) == ([8, 100, 101], [2008, 1004, 1009])


def test_records_from_outside_count(store: Store) -> None:
    arrivals = Arrivals()
    append(store, arrivals, written(1, [4]))
    with store.begin() as commit:
        commit.append(commit.topics()[0].id, written(0, [50]))
        commit.commit()
    append(store, arrivals, written(1, [5]))
    with store.begin() as commit:
        assert topic(commit) == ([4, 50, 100], [1004, 50, 1005])


def test_a_failed_commit_is_forgotten(store: Store) -> None:
    arrivals = Arrivals()
    with store.begin() as commit:
        arrivals.append(commit, commit.topics()[0].id, [written(1, [9])], -1)
    arrivals.clear()
    append(store, arrivals, written(1, [5]))
    with store.begin() as commit:
        assert topic(commit) == ([5], [1005])


def test_runs_of_fewer_and_more_columns_keep_the_order() -> None:
    pieces = [written(1, [1, 3, 4]), written(2, [2, 4, 5], TWO), written(3, [4], ONE)]
    runs = merge_pieces(pieces)
    assert [len(r) for r in runs] == [1, 1, 2, 1, 1, 1]
    order = [(int(s), int(w)) for r in runs for s, w in zip(r.seq, r.writer, strict=True)]
    assert order == [(1, 1), (2, 2), (3, 1), (4, 1), (4, 2), (4, 3), (5, 2)]
    for run in runs:
        assert isinstance(run.value, TypedPart)
        assert run.value.layout == (TWO if run.writer[0] == 2 else ONE)
        assert len(run.value.arrays) == len(run.value.layout.columns)
