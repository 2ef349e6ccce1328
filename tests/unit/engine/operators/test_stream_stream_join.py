from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream import types as t
from millstream.catalog.model import WindowInfo
from millstream.columns import arrow
from millstream.columns.batch import Batch, mask_or_none
from millstream.engine.operators import stream_stream_rows
from millstream.engine.operators.base import StepContext
from millstream.engine.operators.stream_stream_join import (
    DEFAULT_GRACE_MS,
    StreamStreamJoinOperator,
)
from millstream.engine.state.pages import PAGE_SLOTS
from millstream.plan import nodes, typed
from millstream.sql.ast import JoinKind
from millstream.store.interfaces import StoreId
from tests.unit.engine.fakes import FakeStore

LEFT = t.Schema.of([("L_ID", t.INTEGER)], [("L_K", t.INTEGER), ("L_V", t.STRING)])
RIGHT = t.Schema.of([("R_ID", t.INTEGER)], [("R_K", t.INTEGER), ("R_V", t.STRING)])
STORE = StoreId(1, "join-1", "schema")


@dataclass(frozen=True)
class Event:
    """A record of a side (0 left, 1 right); `key` and `value` may be missing."""

    side: int
    key: int | None
    value: str | None
    time: int
    partition: int = 0


Row = tuple[int, int | None, str | None, str | None, int]
"""A result: place of the trigger, key, left value, right value, event time."""


def join_node(
    kind: JoinKind,
    before: int,
    after: int,
    grace: int | None = None,
    window: WindowInfo | None = None,
) -> nodes.StreamStreamJoin:
    def read(schema: t.Schema) -> nodes.Node:
        return nodes.Node(schema=schema, is_table=False)

    columns = [(c.name, c.type) for c in (*LEFT.columns, *RIGHT.columns)]
    return nodes.StreamStreamJoin(
        schema=t.Schema.of([("KEY", t.INTEGER)], columns),
        is_table=False,
        window=window,
        left=read(LEFT),
        right=read(RIGHT),
        kind=kind,
        left_key=typed.Column(type=t.INTEGER, index=1, name="L_K"),
        right_key=typed.Column(type=t.INTEGER, index=1, name="R_K"),
        left_rekeyed=False,
        right_rekeyed=False,
        before_ms=before,
        after_ms=after,
        grace_ms=grace,
    )


def operator_of(node: nodes.StreamStreamJoin) -> StreamStreamJoinOperator:
    return StreamStreamJoinOperator("join-1", node, STORE, None)


def side_batch(events: Sequence[Event], side: int, first: int) -> Batch:
    """The events of one side as a batch; places count over both sides from `first`."""
    chosen = [(i, e) for i, e in enumerate(events, first) if e.side == side]
    places = np.array([i for i, _ in chosen], np.int64)
    values = [e.value for _, e in chosen]
    keys = [e.key if e.value is not None else None for _, e in chosen]
    return Batch(
        schema=(LEFT, RIGHT)[side],
        arrays=[
            arrow.from_python([i for i, _ in chosen], t.INTEGER),
            arrow.from_python(keys, t.INTEGER),
            arrow.from_python(values, t.STRING),
        ],
        rowtime=np.array([e.time for _, e in chosen], np.int64),
        order=places,
        seq=places + 1000,
        partition=np.array([e.partition for _, e in chosen], np.int32),
        offset=places + 50,
        value_null=mask_or_none(np.array([v is None for v in values], bool)),
    )


def results(batch: Batch) -> list[Row]:
    columns = [a.to_pylist() for a in batch.arrays]
    return [
        (int(batch.order[i]), columns[0][i], columns[3][i], columns[6][i], int(batch.rowtime[i]))
        for i in range(len(batch))
    ]


def run(operator: StreamStreamJoinOperator, events: Sequence[Event], first: int = 0) -> list[Row]:
    left, right = (side_batch(events, side, first) for side in (0, 1))
    return results(operator.step(left, right, StepContext()))


# --- an oracle ---------------------------------------------------------------------------------


@dataclass
class OracleTask:
    """All that one partition of the join knows, in plain lists."""

    now: int = -1
    observed: list[int] = field(default_factory=lambda: [-1, -1])
    kept: list[tuple[int, int, int, Event]] = field(default_factory=list)
    waiting: list[tuple[int, int, int, int, Event]] = field(default_factory=list)


class Oracle:
    """The join record by record, with scans over everything it ever saw."""

    def __init__(self, kind: JoinKind, before: int, after: int, grace: int | None) -> None:
        self.grace = grace
        self.retention = before + after + (DEFAULT_GRACE_MS if grace is None else grace)
        ahead = (after, before)
        self.ahead = ahead[::-1] if kind is JoinKind.RIGHT else ahead
        self.keeps = (
            kind in (JoinKind.LEFT, JoinKind.FULL),
            kind in (JoinKind.RIGHT, JoinKind.FULL),
        )
        self.tasks: dict[int, OracleTask] = {}
        self.rows: list[Row] = []

    def emit(self, place: int, event: Event, other: Event | None) -> None:
        pair = (event, other) if event.side == 0 else (other, event)
        left, right = (None if e is None else e.value for e in pair)
        time = max(event.time, -1 if other is None else other.time)
        self.rows.append((place, event.key, left, right, time))

    def take(self, place: int, event: Event) -> None:
        task = self.tasks.setdefault(event.partition, OracleTask())
        task.now = max(task.now, event.time)
        if event.value is None:
            return
        if event.key is None:
            if self.keeps[event.side]:
                self.emit(place, event, None)
            return
        if event.time == task.now and self.grace is not None:
            self.close(place, task, self.grace)
        met = self.meet(task, event)
        for other_place, other in met:
            task.waiting = [w for w in task.waiting if w[3] != other_place]
            self.emit(place, event, other)
        if not met and self.keeps[event.side]:
            if self.grace is None or event.time + self.ahead[event.side] < task.now:
                self.emit(place, event, None)
            else:
                # Keys are few and not negative: their bytes sort as they do.
                task.waiting.append((event.time, -event.side, event.key, place, event))
        task.observed[event.side] = max(task.observed[event.side], event.time)
        task.kept.append((event.time, place, event.side, event))

    def close(self, place: int, task: OracleTask, grace: int) -> None:
        closed = [w for w in task.waiting if w[0] + self.ahead[w[4].side] + grace < task.now]
        task.waiting = [w for w in task.waiting if w not in closed]
        for waiting in sorted(closed, key=lambda w: w[:4]):
            self.emit(place, waiting[4], None)

    def meet(self, task: OracleTask, event: Event) -> list[tuple[int, Event]]:
        other = 1 - event.side
        first = event.time - self.ahead[other]
        last = event.time + self.ahead[event.side]
        forgotten = task.observed[other] - self.retention
        return [
            (place, e)
            for time, place, side, e in sorted(task.kept, key=lambda k: k[:2])
            if side == other and e.key == event.key and first <= time <= last and time > forgotten
        ]


def expected(
    events: Sequence[Event], kind: JoinKind, before: int, after: int, grace: int | None
) -> list[Row]:
    oracle = Oracle(kind, before, after, grace)
    for place, event in enumerate(events):
        oracle.take(place, event)
    return oracle.rows


# --- against the oracle ------------------------------------------------------------------------

EVENTS = st.lists(
    st.builds(
        Event,
        side=st.integers(0, 1),
        key=st.sampled_from([0, 1, 2, 1, 2, None]),
        value=st.sampled_from(["a", "b", "c", "d", None]),
        time=st.integers(0, 60),
        partition=st.sampled_from([0, 0, 1]),
    ),
    max_size=40,
)
KINDS = st.sampled_from(list(JoinKind))
TIMES = st.integers(0, 12)
GRACES = st.sampled_from([None, 0, 3, 20])
CUTS = st.lists(st.integers(0, 40), max_size=6)


def pieces(events: Sequence[Event], cuts: Sequence[int]) -> list[tuple[int, Sequence[Event]]]:
    bounds = sorted({0, len(events), *(c for c in cuts if c < len(events))})
    return [(a, events[a:b]) for a, b in itertools.pairwise(bounds)]


@given(EVENTS, KINDS, TIMES, TIMES, GRACES, CUTS)
def test_any_cut_gives_the_oracles_rows(
    events: list[Event], kind: JoinKind, before: int, after: int, grace: int | None, cuts: list[int]
) -> None:
    operator = operator_of(join_node(kind, before, after, grace))
    rows = [row for first, some in pieces(events, cuts) for row in run(operator, some, first)]
    assert rows == expected(events, kind, before, after, grace)


@given(
    EVENTS,
    KINDS,
    TIMES,
    TIMES,
    GRACES,
    CUTS,
    st.sets(st.integers(0, 6), max_size=3),
    st.sampled_from([1, 2, 16]),
)
def test_restarts_change_nothing(
    events: list[Event],
    kind: JoinKind,
    before: int,
    after: int,
    grace: int | None,
    cuts: list[int],
    running_on: set[int],
    page_bits: int,
) -> None:
    """Most commits are followed by a restart; pages may be small."""
    node = join_node(kind, before, after, grace)
    store, operator, rows = FakeStore(), operator_of(node), list[Row]()
    with mock.patch.object(stream_stream_rows, "PAGE_BITS", page_bits):
        for number, (first, some) in enumerate(pieces(events, cuts)):
            rows += run(operator, some, first)
            operator.write(store)  # type: ignore[arg-type]
            if number not in running_on:
                operator = operator_of(node)
                operator.load(store)  # type: ignore[arg-type]
    assert rows == expected(events, kind, before, after, grace)


def test_a_long_run_forgets_what_it_stores_and_holds() -> None:
    """Far more rows than are buffered at a time, over several pages, with restarts."""
    rng = np.random.default_rng(7)
    count, chunk = 3 * PAGE_SLOTS, 20_000
    node = join_node(JoinKind.FULL, 40, 40, 20)
    store, operator, total = FakeStore(), operator_of(node), 0
    sides, keys = rng.integers(0, 2, count), rng.integers(0, 5000, count)
    times = np.maximum(np.arange(count) // 50 + rng.integers(-30, 30, count), 0)
    for first in range(0, count, chunk):
        part = slice(first, first + chunk)
        left, right = (
            _numbered(first, sides[part], keys[part], times[part], side) for side in (0, 1)
        )
        total += len(operator.step(left, right, StepContext()))
        operator.write(store)  # type: ignore[arg-type]
        assert sum(len(rows._columns[0]) for rows in operator._rows) < 2 * chunk + 10_000
        if first % (3 * chunk) == 0:
            operator = operator_of(node)
            operator.load(store)  # type: ignore[arg-type]
    stored = sum(p.rows.num_rows for parts in store.parts.values() for p in parts)
    assert total > count // 2
    assert stored < count // 2
    assert sum(len(rows.waiting) for rows in operator._rows) < 10_000


def test_a_match_is_remembered_over_a_restart() -> None:
    node = join_node(JoinKind.LEFT, 5, 5, 0)
    store, operator = FakeStore(), operator_of(node)
    for place, event in enumerate([Event(0, 1, "met", 10), Event(0, 2, "missed", 10)]):
        run(operator, [event], place)
    operator.write(store)  # type: ignore[arg-type]
    operator = operator_of(node)
    operator.load(store)  # type: ignore[arg-type]
    assert run(operator, [Event(1, 1, "r", 12)], 2) == [(2, 1, "met", "r", 12)]
    operator.write(store)  # type: ignore[arg-type]
    operator = operator_of(node)
    operator.load(store)  # type: ignore[arg-type]
    assert run(operator, [Event(1, 9, "r", 99)], 3) == [(3, 2, "missed", None, 10)]


def test_what_is_over_leaves_the_store() -> None:
    node = join_node(JoinKind.FULL, 1, 1, 0)
    store, operator = FakeStore(), operator_of(node)
    with mock.patch.object(stream_stream_rows, "PAGE_BITS", 3):
        for place in range(100):
            run(operator, [Event(place % 2, place, "x", place * 10)], place)
            operator.write(store)  # type: ignore[arg-type]
    kept = {store_id.step: len(parts) for store_id, parts in store.parts.items() if parts}
    assert max(kept.values()) <= 8
    pages = {(store_id, p.page) for store_id, parts in store.parts.items() for p in parts}
    assert len(pages) <= 8


def _numbered(
    first: int, sides: np.ndarray, keys: np.ndarray, times: np.ndarray, side: int
) -> Batch:
    rows = np.flatnonzero(sides == side)
    places = rows + first
    numbers = pa.array(keys[rows].astype(np.int32))
    texts = pa.array(["x"]).take(pa.array(np.zeros(len(rows), np.int64)))
    return Batch(
        schema=(LEFT, RIGHT)[side],
        arrays=[numbers, numbers, texts],
        rowtime=times[rows],
        order=places,
        seq=places,
        partition=np.zeros(len(rows), np.int32),
        offset=places,
    )


# --- by hand -----------------------------------------------------------------------------------


def test_a_row_meets_the_buffer_in_order_of_time_then_arrival() -> None:
    events = [
        Event(0, 1, "late", 9),
        Event(0, 1, "early", 5),
        Event(0, 1, "late too", 9),
        Event(1, 1, "r", 7),
    ]
    assert run(operator_of(join_node(JoinKind.INNER, 10, 10)), events) == [
        (3, 1, "early", "r", 7),
        (3, 1, "late", "r", 9),
        (3, 1, "late too", "r", 9),
    ]


@pytest.mark.parametrize(
    ("left", "right", "meets"), [(10, 5, True), (10, 4, False), (10, 13, True), (10, 14, False)]
)
def test_both_ends_of_the_window_count(left: int, right: int, meets: bool) -> None:
    for events in (
        [Event(0, 1, "l", left), Event(1, 1, "r", right)],
        [Event(1, 1, "r", right), Event(0, 1, "l", left)],
    ):
        rows = run(operator_of(join_node(JoinKind.INNER, 5, 3)), events)
        assert bool(rows) == meets


def test_the_window_of_a_right_join_is_measured_from_its_right_rows() -> None:
    node = join_node(JoinKind.RIGHT, 5, 0)
    meeting = [Event(0, 1, "l", 10), Event(1, 1, "r", 15)]
    assert run(operator_of(node), meeting) == [(1, 1, "l", "r", 15)]
    missing = [Event(1, 1, "r", 10), Event(0, 1, "l", 15)]
    assert run(operator_of(node), missing) == [(0, 1, None, "r", 10)]


def test_without_grace_a_miss_comes_at_once_and_a_match_may_follow() -> None:
    events = [Event(0, 1, "l", 10), Event(1, 1, "r", 11)]
    assert run(operator_of(join_node(JoinKind.LEFT, 5, 5)), events) == [
        (0, 1, "l", None, 10),
        (1, 1, "l", "r", 11),
    ]


def test_with_grace_a_miss_waits_for_the_stream_time() -> None:
    operator = operator_of(join_node(JoinKind.LEFT, 5, 5, 10))
    assert run(operator, [Event(0, 1, "l", 10), Event(1, 2, "r", 25)]) == []
    assert run(operator, [Event(1, 2, "r", 26)], 2) == [(2, 1, "l", None, 10)]
    assert run(operator, [Event(0, 3, "old", 20)], 3) == [(3, 3, "old", None, 20)]
    assert run(operator, [Event(0, 4, "young", 21)], 4) == []


def test_misses_come_by_time_then_right_before_left_then_by_key() -> None:
    events = [
        Event(0, 2, "l2", 10),
        Event(0, 1, "l1", 10),
        Event(1, 9, "r9", 10),
        Event(1, 8, "r8", 9),
        Event(0, 7, "end", 99),
    ]
    assert [r[1:4] for r in run(operator_of(join_node(JoinKind.FULL, 1, 1, 0)), events)] == [
        (8, None, "r8"),
        (9, None, "r9"),
        (1, "l1", None),
        (2, "l2", None),
    ]


def test_an_old_row_still_meets_what_the_other_buffer_holds() -> None:
    """Each buffer forgets by what was put into it, not by the stream time."""
    events = [
        Event(0, 1, "x", 330),
        Event(0, 2, "forgotten", 90),
        Event(1, 2, "r2", 90),
        Event(1, 3, "held", 60),
        Event(0, 3, "l3", 90),
    ]
    assert run(operator_of(join_node(JoinKind.RIGHT, 60, 60, 60)), events) == [
        (2, 2, None, "r2", 90),
        (3, 3, None, "held", 60),
        (4, 3, "l3", "held", 90),
    ]


@pytest.mark.parametrize(("seen", "meets"), [(29, True), (30, False)])
def test_a_buffer_forgets_row_by_row(seen: int, meets: bool) -> None:
    """Retention is before + after + grace; what is as old as that is gone, in the same step too."""
    events = [Event(1, 1, "r", 10), Event(1, 2, "r", seen), Event(0, 1, "l", 12)]
    rows = run(operator_of(join_node(JoinKind.INNER, 5, 5, 10)), events)
    assert rows == ([(2, 1, "l", "r", 12)] if meets else [])


def test_a_null_key_is_dropped_and_counted_or_kept_with_nulls() -> None:
    events = [Event(0, None, "l", 10), Event(1, None, "r", 10)]
    for kind, rows, skipped in (
        (JoinKind.INNER, [], 2),
        (JoinKind.LEFT, [(0, None, "l", None, 10)], 1),
        (JoinKind.RIGHT, [(1, None, None, "r", 10)], 1),
        (JoinKind.FULL, [(0, None, "l", None, 10), (1, None, None, "r", 10)], 0),
    ):
        context = StepContext()
        operator = operator_of(join_node(kind, 5, 5, 0))
        left, right = (side_batch(events, side, 0) for side in (0, 1))
        batch = operator.step(left, right, context)
        assert results(batch) == rows
        assert sum(n.count for n in context.notes if n.kind == "skipped") == skipped
        if rows:
            assert batch.key_null is not None
            assert batch.key_null.all()


def test_a_result_stands_where_its_trigger_stood() -> None:
    left = side_batch([Event(0, 1, "l", 10, 3)], 0, 0)
    right = side_batch([Event(1, 1, "r", 8, 3)], 1, 1)
    header = [[{"KEY": "h", "VALUE": b"v"}]]
    right.headers = arrow.from_python(header, t.HEADERS_TYPE)
    batch = operator_of(join_node(JoinKind.INNER, 5, 5)).step(left, right, StepContext())
    assert (batch.order.tolist(), batch.seq.tolist(), batch.offset.tolist()) == ([1], [1001], [51])
    assert batch.partition.tolist() == [3]
    assert batch.rowtime.tolist() == [10]
    assert batch.headers is not None
    assert batch.headers.to_pylist() == header


def test_one_record_on_both_sides_is_left_first() -> None:
    left, right = side_batch([Event(0, 1, "x", 10)], 0, 5), side_batch([Event(1, 1, "x", 10)], 1, 5)
    batch = operator_of(join_node(JoinKind.FULL, 5, 5)).step(left, right, StepContext())
    assert results(batch) == [(5, 1, "x", None, 10), (5, 1, "x", "x", 10)]


def windowed_batch(side: int, place: int, start: int, end: int) -> Batch:
    batch = side_batch([Event(side, 1, f"{side}: {start}-{end}", start)], side, place)
    batch.window_start, batch.window_end = np.array([start]), np.array([end])
    return batch


@pytest.mark.parametrize(
    ("window", "meets"),
    [
        (WindowInfo("TUMBLING", 20), [(0, 10, 0, 20), (0, 30, 0, 20)]),
        (WindowInfo("SESSION"), [(0, 30, 0, 30)]),
    ],
)
def test_a_window_belongs_to_the_key(
    window: WindowInfo, meets: list[tuple[int, int, int, int]]
) -> None:
    """Time windows by their start, sessions by both bounds; results have the left's windows."""
    node = join_node(JoinKind.INNER, 50, 50, None, window)
    store, operator = FakeStore(), operator_of(node)
    none = side_batch([], 0, 0)
    for place, (start, end) in enumerate([(0, 10), (0, 30), (5, 10)]):
        operator.step(none, windowed_batch(1, place, start, end), StepContext())
    operator.write(store)  # type: ignore[arg-type]
    operator = operator_of(node)
    operator.load(store)  # type: ignore[arg-type]
    batch = operator.step(windowed_batch(0, 3, 0, 30), side_batch([], 1, 0), StepContext())
    assert batch.window_start is not None
    assert batch.window_end is not None
    assert batch.arrays[6].to_pylist() == [f"1: {start}-{end}" for start, end, _, _ in meets]
    bounds = zip(batch.window_start.tolist(), batch.window_end.tolist(), strict=True)
    assert list(bounds) == [(start, end) for _, _, start, end in meets]


def test_a_miss_of_the_right_side_has_a_window_as_long_as_the_lefts() -> None:
    node = join_node(JoinKind.FULL, 5, 5, 0, WindowInfo("HOPPING", 20))
    operator = operator_of(node)
    operator.step(side_batch([], 0, 0), windowed_batch(1, 0, 10, 12), StepContext())
    batch = operator.step(windowed_batch(0, 1, 50, 70), side_batch([], 1, 0), StepContext())
    assert results(batch) == [(1, 1, None, "1: 10-12", 10)]
    assert batch.window_start is not None
    assert batch.window_end is not None
    assert (batch.window_start.tolist(), batch.window_end.tolist()) == ([10], [30])


def test_nothing_is_written_when_nothing_happened() -> None:
    store, operator = FakeStore(), operator_of(join_node(JoinKind.INNER, 5, 5))
    operator.write(store)  # type: ignore[arg-type]
    assert not store.parts
    assert not store.meta


def any_values(batch: Batch) -> list[list[Any]]:
    return [a.to_pylist() for a in batch.arrays]


def test_every_column_of_both_sides_is_there() -> None:
    left, right = side_batch([Event(0, 1, "l", 1)], 0, 0), side_batch([Event(1, 1, "r", 1)], 1, 1)
    batch = operator_of(join_node(JoinKind.INNER, 5, 5)).step(left, right, StepContext())
    assert any_values(batch) == [[1], [0], [1], ["l"], [1], [1], ["r"]]
