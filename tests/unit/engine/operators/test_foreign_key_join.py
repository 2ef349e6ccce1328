"""Joins by a foreign key, against a join that looks at one record after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream import types as t
from millstream.catalog.model import Source
from millstream.columns import arrow
from millstream.columns.batch import Batch
from millstream.columns.segments import coalesce
from millstream.engine.operators import foreign_key_join, table_state
from millstream.engine.operators.base import Emission, StepContext
from millstream.engine.operators.foreign_key_index import ForeignKeyIndex, ranges
from millstream.engine.operators.foreign_key_join import (
    ForeignKeyFilterOperator,
    ForeignKeyJoinOperator,
)
from millstream.engine.operators.stateless import Partitioner
from millstream.engine.operators.table_state import TableState
from millstream.plan import nodes, typed
from millstream.serde.base import Layout
from millstream.serde.formats import format_named
from millstream.serde.keys import murmur2
from millstream.sql.ast import JoinKind, SourceKind
from millstream.store.interfaces import StoreId
from tests.unit.engine.fakes import FakeStore
from tests.unit.engine.operators.records import Record, batch_of, changes_of, pieces

LEFT = t.Schema.of([("L", t.INTEGER)], [("F", t.STRING), ("A", t.INTEGER), ("L_TIME", t.BIGINT)])
RIGHT = t.Schema.of([("R", t.STRING)], [("B", t.STRING), ("R_TIME", t.BIGINT)])
JOINED = t.Schema.of(
    [("L", t.INTEGER)],
    [*((c.name, c.type) for c in (*LEFT.value, *RIGHT)), ("TIME", t.BIGINT)],
)
KEY = Layout("KAFKA", LEFT.key, wrap=False)

LEFT_EVENT = st.tuples(
    st.just("left"),
    st.integers(-2, 2),
    st.one_of(st.none(), st.tuples(st.sampled_from(["x", "y", "z", None]), st.integers(0, 9))),
    st.integers(0, 9),
)
RIGHT_EVENT = st.tuples(
    st.just("right"),
    st.sampled_from(["x", "y"]),
    st.one_of(st.none(), st.tuples(st.sampled_from(["b", None]))),
    st.integers(0, 9),
)
EVENTS = st.lists(st.one_of(LEFT_EVENT, RIGHT_EVENT), max_size=40)
CUTS = st.lists(st.integers(0, 40), max_size=6)


@pytest.fixture(autouse=True)
def keys_are_soon_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_state, "_FEWEST_SWEPT", 3)
    monkeypatch.setattr(foreign_key_join, "_FEWEST_SWEPT", 2)


def _read(name: str, schema: t.Schema) -> nodes.ReadSource:
    source = Source(
        id=1,
        name=name,
        kind=SourceKind.TABLE,
        topic=name,
        topic_id=1,
        schema=schema,
        key_layout=replace(KEY, columns=schema.key),
        value_layout=Layout("JSON", schema.value, wrap=True),
    )
    columns = tuple(c.name for c in schema)
    return nodes.ReadSource(
        schema=schema, is_table=True, source=source, alias=name, columns=columns, materialised=True
    )


class Join:
    """Two tables and the join over them."""

    def __init__(self, kind: JoinKind, partitioner: Partitioner | None = None) -> None:
        self.left = TableState("table-1", LEFT, StoreId(1, "table-1", "schema"))
        self.right = TableState("table-2", RIGHT, StoreId(1, "table-2", "schema"))
        node = nodes.ForeignKeyJoin(
            schema=JOINED,
            is_table=True,
            left=_read("LEFT", LEFT),
            right=_read("RIGHT", RIGHT),
            kind=kind,
            foreign_key=typed.Column(type=t.STRING, index=1, name="F"),
            right_time=2,
        )
        encoder = format_named("KAFKA").encoder(KEY)
        self.operator = ForeignKeyJoinOperator(
            "join-1", node, self.left, self.right, partitioner, encoder
        )

    def step(
        self, records: Sequence[tuple[str, Record]], context: StepContext | None = None
    ) -> Batch:
        """What the records give; the tables' states are changed first, as a query does."""
        context = context or StepContext()
        left, right = (
            state.step(batch_of(schema, [r for side, r in records if side == name]), context)
            for state, schema, name in (
                (self.left, LEFT, "left"),
                (self.right, RIGHT, "right"),
            )
        )
        return self.operator.step(left, right, context)

    def write(self, store: Any) -> None:
        for state in (self.left, self.right, self.operator):
            state.write(store)

    def load(self, store: Any) -> None:
        for state in (self.left, self.right, self.operator):
            state.load(store)


Row = tuple[Any, ...] | None


class Oracle:
    """The join record by record over dicts."""

    def __init__(self, kind: JoinKind) -> None:
        self.keeps_left = kind is JoinKind.LEFT
        self.left: dict[int, tuple[Any, ...]] = {}
        self.right: dict[str, tuple[Any, ...]] = {}

    def row(self, left: Row, right: Row) -> Row:
        """The joined row of a left row and the right row that it names."""
        if left is None or (right is None and not self.keeps_left):
            return None
        return (*left, *(right or (None, None, None)))

    def process(self, side: str, record: Record) -> list[tuple[Any, ...]]:
        """Changes as (place, key, new, old, event time)."""
        if side == "right":
            return self._right(record)
        found = self._left(record)
        return [] if found is None else [found]

    def _left(self, record: Record) -> tuple[Any, ...] | None:
        key, new = record.key[0], record.value
        old = self.left.pop(key, None)
        if new is not None:
            self.left[key] = new
        before = None if old is None else old[0]
        after = None if new is None else new[0]
        was, now = self.right.get(before or ""), self.right.get(after or "")
        met = now
        if self.keeps_left:
            passed = new is not None or old is not None
        elif after is None:
            passed, met = before is not None, was
        else:
            passed = now is not None or before not in (None, after)
        if not passed:
            return None
        time = record.time if met is None else max(record.time, met[2])
        return (record.order, (key,), self.row(new, now), self.row(old, was), time)

    def _right(self, record: Record) -> list[tuple[Any, ...]]:
        key = record.key[0]
        new = None if record.value is None else (key, *record.value)
        old = self.right.pop(key, None)
        if new is not None:
            self.right[key] = new
        followers = [k for k, row in self.left.items() if row[0] == key]
        followers.sort(key=lambda k: k.to_bytes(4, "big", signed=True))
        return [
            (
                record.order,
                (k,),
                self.row(self.left[k], new),
                self.row(self.left[k], old),
                record.time,
            )
            for k in followers
        ]


def records_of(events: Sequence[Any]) -> list[tuple[str, Record]]:
    return [
        (side, Record(place, (key,), None if value is None else (*value, time), time))
        for place, (side, key, value, time) in enumerate(events)
    ]


def seen(batch: Batch) -> list[tuple[Any, ...]]:
    """Changes as the oracle gives them: the event time as a column only of new rows."""
    if len(batch) == 0:
        return []
    result = []
    for change, time in zip(changes_of(batch), batch.rowtime.tolist(), strict=True):
        place, key, new, old = change
        if new is not None:
            assert new[-1] == time
        result.append((place, key, new and new[:-1], old and old[:-1], time))
    return result


@given(EVENTS, CUTS, st.sampled_from([JoinKind.INNER, JoinKind.LEFT]), st.sets(st.integers(0, 6)))
def test_any_cut_gives_the_oracles_changes(
    events: list[Any], cuts: list[int], kind: JoinKind, restarts: set[int]
) -> None:
    records = records_of(events)
    store, join, oracle = FakeStore(), Join(kind), Oracle(kind)
    found: list[tuple[Any, ...]] = []
    for number, some in enumerate(pieces(records, cuts)):
        batch = join.step(some)
        found += seen(batch)
        assert (batch.seq == batch.order + 1000).all()
        join.write(store)
        if number in restarts:
            join = Join(kind)
            join.load(store)
    assert found == [change for side, r in records for change in oracle.process(side, r)]


@given(EVENTS, st.sampled_from([JoinKind.INNER, JoinKind.LEFT]))
def test_last_updates_are_the_coalesced_ones(events: list[Any], kind: JoinKind) -> None:
    every, last = (
        Join(kind).step(records_of(events), StepContext(emission))
        for emission in (Emission.ALL, Emission.LAST)
    )
    assert seen(coalesce(last)) == seen(coalesce(every))


def _one_by_one(kind: JoinKind, *records: tuple[str, Record]) -> list[list[tuple[Any, ...]]]:
    join = Join(kind)
    return [seen(join.step([record])) for record in records]


def test_deleting_the_right_row_then_the_left_one_gives_two_tombstones() -> None:
    found = _one_by_one(
        JoinKind.INNER,
        ("right", Record(0, ("x",), ("b", 1), 1)),
        ("left", Record(1, (7,), ("x", 0, 2), 2)),
        ("right", Record(2, ("x",), None, 3)),
        ("left", Record(3, (7,), None, 4)),
    )
    row = ("x", 0, 2, "x", "b", 1)
    assert found == [
        [],
        [(1, (7,), row, None, 2)],
        [(2, (7,), None, row, 3)],
        [(3, (7,), None, None, 4)],
    ]


def test_a_left_row_that_moves_to_a_key_without_a_row_ends_its_result() -> None:
    found = _one_by_one(
        JoinKind.INNER,
        ("left", Record(0, (7,), ("x", 0, 1), 1)),
        ("left", Record(1, (7,), ("x", 1, 2), 2)),
        ("left", Record(2, (7,), ("y", 1, 3), 3)),
        ("left", Record(3, (7,), (None, 1, 4), 4)),
        ("left", Record(4, (7,), (None, 2, 5), 5)),
    )
    tombstone = [(2, (7,), None, None, 3)], [(3, (7,), None, None, 4)]
    assert found == [[], [], *tombstone, []]


def test_event_time_of_a_right_change_is_its_own() -> None:
    found = _one_by_one(
        JoinKind.LEFT,
        ("left", Record(0, (7,), ("x", 0, 9), 9)),
        ("right", Record(1, ("x",), ("b", 3), 3)),
        ("left", Record(2, (7,), ("x", 1, 1), 1)),
    )
    assert [change[-1] for changes in found for change in changes] == [9, 3, 3]


def test_followers_come_in_the_order_of_their_keys_bytes() -> None:
    join = Join(JoinKind.INNER)
    join.step([("left", Record(i, (key,), ("x", 0, 0))) for i, key in enumerate([5, -1, 300, 0])])
    batch = join.step([("right", Record(9, ("x",), ("b", 0))), ("right", Record(10, ("x",), None))])
    assert batch.arrays[0].to_pylist() == [0, 5, 300, -1] * 2
    assert batch.order.tolist() == [9] * 4 + [10] * 4


def test_results_stand_in_the_partition_of_their_key() -> None:
    join = Join(JoinKind.INNER, Partitioner(format_named("KAFKA").encoder(KEY), 4))
    batch = join.step(
        [
            ("left", Record(0, (1,), ("x", 0, 0), partition=3)),
            ("left", Record(1, (2,), ("x", 0, 0), partition=3)),
            ("right", Record(2, ("x",), ("b", 0), partition=1)),
        ]
    )
    hashes = [murmur2(k.to_bytes(4, "big")) & 0x7FFFFFFF for k in (1, 2)]
    assert batch.partition.tolist() == [h % 4 for h in hashes]
    assert Join(JoinKind.INNER).step([]).partition.tolist() == []


def test_a_filter_over_the_join_does_not_know_what_was_there() -> None:
    predicate = typed.Column(type=t.BOOLEAN, index=1, name="KEEP")
    schema = t.Schema.of([("K", t.INTEGER)], [("KEEP", t.BOOLEAN)])
    batch = batch_of(schema, [Record(i, (i,), (bool(i % 2),)) for i in range(2)])
    batch.old = [arrow.nulls(t.BOOLEAN, 2)]
    batch.old_null = np.ones(2, bool)
    result = ForeignKeyFilterOperator("where", predicate, is_table=True).step(batch, StepContext())
    assert [change[2] for change in changes_of(result)] == [None, (True,)]
    assert len(coalesce(result)) == 1


# --- the index ---------------------------------------------------------------------------------

ASSIGNMENTS = st.lists(
    st.dictionaries(st.integers(0, 200), st.integers(-1, 5), max_size=30), max_size=12
)


@given(ASSIGNMENTS)
def test_the_index_finds_what_a_dict_finds(assignments: list[dict[int, int]]) -> None:
    index, expected = ForeignKeyIndex(), dict[int, int]()
    for assigned in assignments:
        slots, keys = (np.array(list(x), np.int64) for x in (assigned.keys(), assigned.values()))
        index.assign(slots, keys)
        expected |= assigned
        found = list(zip(*(a.tolist() for a in index.slots_of(np.arange(6))), strict=True))
        assert found == sorted((k, s) for s, k in expected.items() if k >= 0)
        assert index.keys_of(np.arange(300)).tolist() == [expected.get(s, -1) for s in range(300)]


@pytest.mark.parametrize("slots", [1, 70])
def test_the_index_forgets_what_a_row_pointed_to(slots: int) -> None:
    index = ForeignKeyIndex()
    every = np.arange(slots)
    for turn in range(50):
        index.assign(every, np.full(slots, turn % 3))
    assert sum(len(run) for run in index._runs) <= 3 * slots
    assert index.slots_of(np.array([1]))[1].tolist() == every.tolist()


def test_ranges() -> None:
    assert ranges(np.array([3, 9, 5]), np.array([5, 9, 6])).tolist() == [3, 4, 5]


def test_foreign_keys_that_no_row_names_any_more_are_forgotten() -> None:
    join, store = Join(JoinKind.INNER), FakeStore()
    for place in range(200):
        records = [
            ("left", Record(3 * place, (place % 4,), (f"f{place}", place, 0))),
            ("right", Record(3 * place + 1, (f"f{place}",), ("b", 0))),
            ("right", Record(3 * place + 2, (f"f{place - 9}",), None)),
        ]
        found = changes_of(join.step(records))
        assert [c[2] is None for c in found if c[0] == 3 * place + 1] == [False]
        join.write(store)
    assert len(join.operator._numbers) < 30
    assert len(join.right._keys) < 40
