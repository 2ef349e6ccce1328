"""Joins of tables on their primary keys, against joins that look at one record after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream import types as t
from millstream.columns import arrow
from millstream.columns.batch import Batch, empty
from millstream.columns.segments import coalesce
from millstream.engine.operators.base import Emission, StepContext
from millstream.engine.operators.table_state import TableState
from millstream.engine.operators.table_table_join import TableTableJoinOperator
from millstream.engine.operators.table_table_rows import Current, Kept, rows_before
from millstream.plan import nodes
from millstream.sql.ast import JoinKind
from millstream.store.interfaces import StoreId
from tests.unit.engine.fakes import FakeStore
from tests.unit.engine.operators.records import Record, batch_of, changes_of, pieces, rows_of

KINDS = st.lists(st.sampled_from(JoinKind), min_size=1, max_size=3)
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 2),
        st.one_of(st.none(), st.sampled_from(["a", "b"])),
        st.integers(0, 9),
    ),
    max_size=30,
)
"""Table, key, value or a tombstone, event time."""
CUTS = st.lists(st.integers(0, 30), max_size=5)


def table(number: int) -> t.Schema:
    """A table's columns: key, a text, and the row's event time."""
    values: list[tuple[str, t.SqlType]] = [(f"V{number}", t.STRING), (f"T{number}", t.BIGINT)]
    return t.Schema.of([(f"K{number}", t.INTEGER)], values)


class Tree:
    """The first table joined with the second, the result with the third, and so on."""

    def __init__(self, kinds: Sequence[JoinKind]) -> None:
        self.states = [
            TableState(f"table-{i}", table(i), StoreId(1, f"table-{i}", "schema"))
            for i in range(len(kinds) + 1)
        ]
        self.joins: list[TableTableJoinOperator] = []
        schema, times = table(0), [2]
        current: Current = Kept(self.states[0])
        for number, kind in enumerate(kinds, 1):
            joined = t.Schema.of(
                [("KEY", t.INTEGER)], [(c.name, c.type) for c in (*schema, *table(number))]
            )
            node = nodes.TableTableJoin(
                schema=joined,
                is_table=True,
                left=_leaf(schema),
                right=_leaf(table(number)),
                kind=kind,
                left_times=tuple(times),
                right_times=(2,),
            )
            join = TableTableJoinOperator(
                f"join-{number}", node, current, Kept(self.states[number])
            )
            self.joins.append(join)
            times = [*(i + 1 for i in times), 1 + len(schema) + 2]
            schema, current = joined, join

    def step(self, records: Sequence[tuple[int, Record]], context: StepContext) -> Batch:
        """What the tables' records give."""
        changes = []
        for number, state in enumerate(self.states):
            mine = [r for table_number, r in records if table_number == number]
            changes.append(state.step(batch_of(state.schema, mine), context))
        batch = changes[0]
        for join, right in zip(self.joins, changes[1:], strict=True):
            if len(batch) == 0:
                batch = empty(batch.schema)
                batch.old = [arrow.nulls(c.type, 0) for c in batch.schema.value]
            batch = join.step(batch, right, context)
        return batch


def _leaf(schema: t.Schema) -> nodes.Node:
    return nodes.Node(schema=schema, is_table=True)


Row = tuple[Any, ...] | None
"""A row of some tables: (key, value, time) of each or Nones, flat."""


class Oracle:
    """The same joins, one record after the other, over dicts."""

    def __init__(self, kinds: Sequence[JoinKind]) -> None:
        self.kinds = kinds
        self.tables: list[dict[int, tuple[Any, ...]]] = [{} for _ in range(len(kinds) + 1)]

    def joined(self, level: int, left: Row, right: Row) -> Row:
        """The joined row of two rows."""
        kind = self.kinds[level - 1]
        there = {
            JoinKind.INNER: left is not None and right is not None,
            JoinKind.LEFT: left is not None,
            JoinKind.RIGHT: right is not None,
            JoinKind.FULL: left is not None or right is not None,
        }[kind]
        if not there:
            return None
        width = _width(level - 1)
        return (*(left or (None,) * width), *(right or (None,) * 3))

    def current(self, level: int, key: int) -> Row:
        """The row of a key after so many joins."""
        right = self.tables[level].get(key)
        if level == 0:
            return right
        row = self.joined(level, self.current(level - 1, key), right)
        return None if row is None else (key, *row)

    def process(self, number: int, record: Record) -> tuple[Any, ...] | None:
        """The change of the last join that a record of a table causes, if any."""
        key = record.key[0]
        new = None if record.value is None else (key, *record.value)
        old = self.tables[number].pop(key, None)
        if new is not None:
            self.tables[number][key] = new
        time, level, side = record.time, number, "right"
        if number == 0:
            level, side = 1, "left"
        while level < len(self.tables):
            change = self._change(level, side, key, new, old, time)
            if change is None:
                return None
            new, old, time = change
            new = None if new is None else (key, *new)
            old = None if old is None else (key, *old)
            level, side = level + 1, "left"
        return (record.order, (key,), new and new[1:], old and old[1:], time)

    def _change(
        self, level: int, side: str, key: int, new: Row, old: Row, time: int
    ) -> tuple[Row, Row, int] | None:
        kind = self.kinds[level - 1]
        if side == "left":
            other, other_time = self.tables[level].get(key), -1
            if other is not None:
                other_time = other[2]
            keeps = kind in (JoinKind.LEFT, JoinKind.FULL)
        else:
            other, other_time = self.current(level - 1, key), self.time_of(level - 1, key)
            keeps = kind in (JoinKind.RIGHT, JoinKind.FULL)
        if other is None and not (keeps and (new is not None or old is not None)):
            return None
        pairs = [(row, other) if side == "left" else (other, row) for row in (new, old)]
        after, before = (self.joined(level, *pair) for pair in pairs)
        return after, before, max(time, other_time if other is not None else -1)

    def time_of(self, level: int, key: int) -> int:
        """The event time of the row after so many joins: the latest of the rows in it."""
        row = self.current(level, key)
        if row is None:
            return -1
        return max(int(row[i]) for i in _time_places(level) if row[i] is not None)


def _width(level: int) -> int:
    """How many columns a row has after so many joins, each of which adds a key."""
    return 3 if level == 0 else 1 + _width(level - 1) + 3


def _time_places(level: int) -> list[int]:
    if level == 0:
        return [2]
    return [*(i + 1 for i in _time_places(level - 1)), 1 + _width(level - 1) + 2]


def records_of(events: Sequence[Any], tables: int) -> list[tuple[int, Record]]:
    return [
        (number % tables, Record(place, (key,), None if value is None else (value, time), time))
        for place, (number, key, value, time) in enumerate(events)
    ]


def seen(batch: Batch) -> list[tuple[Any, ...]]:
    if len(batch) == 0:
        return []
    times = batch.rowtime.tolist()
    return [(*change, time) for change, time in zip(changes_of(batch), times, strict=True)]


@given(KINDS, EVENTS, CUTS, st.sets(st.integers(0, 6)))
def test_any_cut_gives_the_oracles_changes(
    kinds: list[JoinKind], events: list[Any], cuts: list[int], restarts: set[int]
) -> None:
    records = records_of(events, len(kinds) + 1)
    store, tree, oracle = FakeStore(), Tree(kinds), Oracle(kinds)
    found: list[tuple[Any, ...]] = []
    for number, some in enumerate(pieces(records, cuts)):
        batch = tree.step(some, StepContext())
        found += seen(batch)
        assert (batch.seq == batch.order + 1000).all()
        for state in tree.states:
            state.write(store)  # type: ignore[arg-type]
        if number in restarts:
            tree = Tree(kinds)
            for state in tree.states:
                state.load(store)  # type: ignore[arg-type]
    expected = [oracle.process(number, record) for number, record in records]
    assert found == [change for change in expected if change is not None]


@given(KINDS, EVENTS)
def test_last_updates_are_the_coalesced_ones(kinds: list[JoinKind], events: list[Any]) -> None:
    records = records_of(events, len(kinds) + 1)
    every, last = (
        Tree(kinds).step(records, StepContext(emission))
        for emission in (Emission.ALL, Emission.LAST)
    )
    assert seen(coalesce(last)) == seen(coalesce(every))


@given(KINDS, EVENTS)
def test_rows_looked_up_are_those_that_the_changes_left(
    kinds: list[JoinKind], events: list[Any]
) -> None:
    records = records_of(events, len(kinds) + 1)
    tree, oracle = Tree(kinds), Oracle(kinds)
    tree.step(records, StepContext())
    for number, record in records:
        oracle.process(number, record)
    keys = [0, 1, 2, 9]
    join = tree.joins[-1]
    columns, absent = join.current([arrow.from_python(keys, t.INTEGER)])
    rows = [
        None if gone else row
        for row, gone in zip(
            zip(*(c.to_pylist() for c in columns), strict=True), absent, strict=True
        )
    ]
    current = [oracle.current(len(kinds), key) for key in keys]
    assert rows == [None if row is None else row[1:] for row in current]


@given(st.lists(st.just(JoinKind.INNER), min_size=1, max_size=3), EVENTS)
def test_rows_of_inner_joins_are_the_last_changes(kinds: list[JoinKind], events: list[Any]) -> None:
    tree = Tree(kinds)
    last: dict[Any, Any] = {}
    for _, key, new, _, time in seen(tree.step(records_of(events, len(kinds) + 1), StepContext())):
        last[key] = None if new is None else (*key, *new, time)
    join = tree.joins[-1]
    assert join.tells_times
    batch = join.rows([arrow.from_python([9, 2, 1, 0], t.INTEGER)])
    found = [(*row, time) for row, time in zip(rows_of(batch), batch.rowtime.tolist(), strict=True)]
    assert found == [last[(k,)] for k in (2, 1, 0) if last.get((k,)) is not None]


def _one_by_one(kind: JoinKind, *records: tuple[int, Record]) -> list[list[tuple[Any, ...]]]:
    tree = Tree([kind])
    return [seen(tree.step([record], StepContext())) for record in records]


LEFT, RIGHT = 0, 1


def test_an_inner_join_ends_with_either_side() -> None:
    found = _one_by_one(
        JoinKind.INNER,
        (LEFT, Record(0, (1,), ("l", 10), 10)),
        (RIGHT, Record(1, (1,), ("r", 5), 5)),
        (LEFT, Record(2, (1,), None, 12)),
        (RIGHT, Record(3, (1,), None, 13)),
        (LEFT, Record(4, (1,), ("m", 14), 14)),
    )
    row = (1, "l", 10, 1, "r", 5)
    assert found == [[], [(1, (1,), row, None, 10)], [(2, (1,), None, row, 12)], [], []]


def test_tombstones_of_rows_that_never_were() -> None:
    """The side that meets a row passes them on, whatever was there before."""
    nothing = (LEFT, Record(1, (1,), None, 3))
    row = (RIGHT, Record(0, (1,), ("r", 5), 5))
    assert _one_by_one(JoinKind.INNER, row, nothing)[1] == [(1, (1,), None, None, 5)]
    assert _one_by_one(JoinKind.LEFT, row, nothing)[1] == [(1, (1,), None, None, 5)]
    assert _one_by_one(JoinKind.LEFT, nothing) == [[]]
    assert _one_by_one(JoinKind.FULL, nothing) == [[]]


@pytest.mark.parametrize("kind", JoinKind)
def test_place_and_headers_are_the_changes(kind: JoinKind) -> None:
    tree = Tree([kind])
    left, right = (
        batch_of(table(0), [Record(0, (1,), ("l", 1), 1, partition=2)]),
        batch_of(table(1), [Record(1, (1,), ("r", 2), 2, partition=3)]),
    )
    right.headers = arrow.from_python([[{"KEY": "h", "VALUE": b"1"}]], t.HEADERS_TYPE)
    context = StepContext()
    batch = tree.joins[0].step(
        tree.states[0].step(left, context), tree.states[1].step(right, context), context
    )
    assert batch.partition.tolist()[-1] == 3
    assert batch.offset.tolist()[-1] == 51
    assert batch.headers is not None
    assert batch.headers.to_pylist()[-1] == [{"KEY": "h", "VALUE": b"1"}]
    assert batch.headers.null_count == len(batch) - 1


def test_which_row_held_before_a_place() -> None:
    changed, order = np.array([5, 7, 5, 7]), np.array([2, 3, 6, 6])
    wanted, at = np.array([5, 5, 5, 7, 6, -1, 8]), np.array([1, 2, 9, 4, 4, 4, 4])
    assert rows_before(changed, order, wanted, at).tolist() == [4, 4, 2, 1, -1, -1, -1]
    none = np.empty(0, np.int64)
    assert rows_before(none, none, wanted, at).tolist() == [-1] * 7
    assert rows_before(changed, order, none, none).tolist() == []
