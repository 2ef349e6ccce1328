"""Aggregations equal a plain oracle: any cut, both emissions, both paths, after a restart."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.columns.batch import Batch
from millstream.engine.operators import aggregate_windowed, session
from millstream.engine.operators.aggregate import AggregateOperator
from millstream.engine.operators.aggregate_panes import reduce_panes
from millstream.engine.operators.base import Emission, StepContext
from millstream.engine.operators.table_aggregate import TableAggregateOperator
from millstream.engine.operators.windows import AggregateSpec, WindowKind, WindowSpec
from millstream.store.interfaces import StoreId
from tests.properties.aggregation_oracle import (
    COLUMNAR,
    EXACT,
    KEY,
    OBJECTS,
    UNDOABLE,
    UNDOABLE_OBJECTS,
    VALUE,
    Oracle,
    Row,
    SessionOracle,
    TableOracle,
    coalesced,
    spec_of,
)
from tests.unit.engine.fakes import FakeStore, batch_of, changes

STORE = StoreId(1, "aggregate", "hash")
ALL, LAST = Emission.ALL, Emission.LAST

ints = st.none() | st.integers(-5, 5) | st.sampled_from([2**31 - 1, -(2**31)])
longs = st.none() | st.integers(-5, 5) | st.sampled_from([2**63 - 1, -(2**63)])
doubles = st.none() | st.sampled_from([0.0, -0.0, float("nan"), 1e17, 0.1]) | st.floats(-9, 9)
texts = st.none() | st.sampled_from(["", "a", "b", "\U0001f600", "\uffff"])
few_keys, many_keys = "abc", "abcdefghijklmnopqrst"


def rows_of(keys: str) -> st.SearchStrategy[Row]:
    return st.tuples(st.sampled_from(keys), ints, longs, doubles, texts)


rows = rows_of(few_keys)


@st.composite
def cuts_of(draw: Any, count: int) -> list[int]:
    """Where batches end: anywhere, or after a few rows each, as live records come."""
    if draw(st.booleans()):
        return sorted({*draw(st.lists(st.integers(1, count), max_size=3)), count})
    ends = accumulate(draw(st.lists(st.integers(1, 20), max_size=count)))
    return [*(end for end in ends if end < count), count]


@st.composite
def inputs(draw: Any) -> tuple[list[Row], list[int], list[int], list[int]]:
    """Rows, row times that mostly grow, partitions by key, and where to cut."""
    keys = draw(st.sampled_from([few_keys, many_keys]))
    some = draw(st.lists(rows_of(keys), min_size=1, max_size=40))
    steps = draw(st.lists(st.integers(-40, 25), min_size=len(some), max_size=len(some)))
    now, times = 0, []
    for step in steps:
        now = max(0, now + step)
        times.append(now)
    split = draw(st.booleans())
    partitions = [ord(r[0]) % 2 if split else 0 for r in some]
    return some, times, partitions, draw(cuts_of(len(some)))


windows = st.builds(
    lambda size, advance, grace, more: WindowSpec(
        WindowKind.TUMBLING if advance == size else WindowKind.HOPPING,
        size,
        advance,
        grace,
        size + grace + more,
    ),
    st.sampled_from([10, 30]),
    st.sampled_from([5, 10]),
    st.sampled_from([0, 7, 1000]),
    st.sampled_from([0, 20]),
)
calls = st.sampled_from([COLUMNAR, EXACT, [("COUNT", ())], OBJECTS])


def _batches(
    data: tuple[list[Row], list[int], list[int], list[int]],
) -> list[Batch]:
    some, times, partitions, cuts = data
    return [
        batch_of(KEY, VALUE, some[a:b], times[a:b], partitions[a:b], a)
        for a, b in zip([0, *cuts], cuts, strict=False)
    ]


def _whole(data: tuple[list[Row], list[int], list[int], list[int]]) -> Batch:
    return batch_of(KEY, VALUE, *data[:3])


def _expected(
    spec: AggregateSpec, data: tuple[list[Row], list[int], list[int], list[int]]
) -> tuple[list[list[tuple[Any, ...]]], Oracle]:
    """The oracle's changes, cut as the data says."""
    oracle = Oracle(spec)
    some, times, partitions, cuts = data
    out = [
        [c for i in range(a, b) for c in oracle.step(i, some[i], times[i], partitions[i])]
        for a, b in zip([0, *cuts], cuts, strict=False)
    ]
    return out, oracle


def _count(context: StepContext, kind: str) -> int:
    return sum(n.count for n in context.notes if n.kind == kind)


@given(inputs(), st.none() | windows, calls, st.booleans(), st.sampled_from([ALL, LAST]))
def test_any_cut_equals_the_oracle(
    data: tuple[list[Row], list[int], list[int], list[int]],
    window: WindowSpec | None,
    which: list[tuple[str, tuple[int, ...]]],
    row_wise: bool,
    emission: Emission,
) -> None:
    spec = spec_of(which, window)
    expected, oracle = _expected(spec, data)
    context = StepContext(emission, row_wise)
    operator = AggregateOperator("aggregate", STORE, spec_of(which, window))
    for part, batch in zip(expected, _batches(data), strict=True):
        got = changes(operator.step(batch, context))
        assert got == (part if emission is ALL else coalesced(part))
    assert _count(context, "late") == oracle.late
    visible = {
        (c[1], c[2]): c[3:5]
        for part in expected
        for c in part
        if c[2] is None or c[2][0] >= oracle.newest[oracle.partition[c[1][0]]] - _kept(window)
    }
    assert {(r[1], r[2]): r[3:5] for r in changes(operator.rows())} == visible


def _kept(window: WindowSpec | None) -> int:
    assert window is not None
    return window.kept_ms


@given(inputs(), st.none() | windows, calls, st.booleans())
def test_a_restart_in_the_middle_changes_nothing(
    data: tuple[list[Row], list[int], list[int], list[int]],
    window: WindowSpec | None,
    which: list[tuple[str, tuple[int, ...]]],
    final: bool,
) -> None:
    final = final and window is not None
    expected, _ = _expected(spec_of(which, window, final), data)
    store = FakeStore()
    for part, batch in zip(expected, _batches(data), strict=True):
        operator = AggregateOperator("aggregate", STORE, spec_of(which, window, final))
        operator.load(store)  # type: ignore[arg-type]
        assert changes(operator.step(batch, StepContext())) == part
        before = changes(operator.rows())
        operator.write(store)  # type: ignore[arg-type]
        again = AggregateOperator("aggregate", STORE, spec_of(which, window, final))
        again.load(store)  # type: ignore[arg-type]
        assert changes(again.rows()) == before


@given(inputs(), windows, calls, st.booleans(), st.sampled_from([ALL, LAST]))
def test_final_results_equal_the_oracle(
    data: tuple[list[Row], list[int], list[int], list[int]],
    window: WindowSpec,
    which: list[tuple[str, tuple[int, ...]]],
    row_wise: bool,
    emission: Emission,
) -> None:
    spec = spec_of(which, window, True)
    expected, oracle = _expected(spec, data)
    context = StepContext(emission, row_wise)
    operator = AggregateOperator("aggregate", STORE, spec_of(which, window, True))
    for part, batch in zip(expected, _batches(data), strict=True):
        assert changes(operator.step(batch, context)) == part
    assert _count(context, "lost") == oracle.lost
    assert _count(context, "late") == oracle.late


sessions = st.builds(
    lambda gap, grace, more: WindowSpec(WindowKind.SESSION, gap, gap, grace, gap + grace + more),
    st.sampled_from([3, 10]),
    st.sampled_from([0, 20, 1000]),
    st.sampled_from([0, 15]),
)


@given(
    inputs(),
    sessions,
    calls,
    st.booleans(),
    st.sampled_from([ALL, LAST]),
    st.booleans(),
    st.sampled_from([1, 5000]),
)
def test_sessions_equal_the_oracle(
    data: tuple[list[Row], list[int], list[int], list[int]],
    window: WindowSpec,
    which: list[tuple[str, tuple[int, ...]]],
    row_wise: bool,
    emission: Emission,
    final: bool,
    scale: int,
) -> None:
    some, times, partitions, cuts = data
    data = (some, [x * scale for x in times], partitions, cuts)
    if scale > 1:
        window = WindowSpec(
            window.kind,
            window.size_ms * scale,
            window.advance_ms * scale,
            window.grace_ms * scale,
            window.retention_ms * scale,
        )
    oracle = SessionOracle(spec_of(which, window, final))
    context = StepContext(emission, row_wise)
    operator = AggregateOperator("aggregate", STORE, spec_of(which, window, final))
    store = FakeStore()
    for batch, (a, b) in zip(_batches(data), zip([0, *cuts], cuts, strict=False), strict=True):
        expected = [
            c for i in range(a, b) for c in oracle.step(i, some[i], data[1][i], partitions[i])
        ]
        got = changes(operator.step(batch, context))
        assert got == (expected if emission is ALL or final else coalesced(expected))
        assert {r[1:3]: r[3:5] for r in changes(operator.rows())} == oracle.visible()
        operator.write(store)  # type: ignore[arg-type]
        if row_wise:
            continue
        operator = AggregateOperator("aggregate", STORE, spec_of(which, window, final))
        operator.load(store)  # type: ignore[arg-type]
    assert _count(context, "late") == oracle.late
    assert _count(context, "lost") == oracle.lost
    wanted = [(key,) for key in [*many_keys, "zz"]]
    keys = batch_of(KEY, (), wanted, [0] * len(wanted)).key_arrays
    found = changes(operator.lookup(keys))
    assert {r[1:3]: r[3:5] for r in found} == oracle.visible()
    assert found == sorted(found, key=lambda r: (r[1], r[2]))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.none() | rows, st.integers(0, 50)), min_size=1),
    st.lists(st.integers(1, 12), max_size=3),
    st.sampled_from([UNDOABLE, UNDOABLE_OBJECTS]),
    st.booleans(),
    st.sampled_from([ALL, LAST]),
    st.booleans(),
)
def test_aggregating_a_table_equals_the_oracle(
    source: list[tuple[int, Row | None, int]],
    cuts: list[int],
    which: list[tuple[str, tuple[int, ...]]],
    row_wise: bool,
    emission: Emission,
    numbered: bool,
) -> None:
    oracle = TableOracle(spec_of(which))
    operator = TableAggregateOperator("aggregate", STORE, spec_of(which))
    store, table = FakeStore(), dict[int, Row]()
    ends = sorted({*(c for c in cuts if c < len(source)), len(source)})
    for start, end in zip([0, *ends], ends, strict=False):
        expected, signed, times, signs, places = [], [], [], [], []
        for place in range(start, end):
            key, new, rowtime = source[place]
            old = table.pop(key, None)
            if new is not None:
                table[key] = new
            expected += oracle.step(place, old, new, rowtime)
            for sign, row in ((-1, old), (1, new)):
                if row is not None:
                    signed.append(row)
                    times.append(rowtime)
                    signs.append(sign)
                    places.append(place)
        batch = batch_of(KEY, VALUE, signed, times)
        batch.order = np.array(places, np.int64)
        got = operator.step_signed(
            batch,
            np.array(signs, np.int64),
            StepContext(emission, row_wise),
            np.array(places, np.int64) if numbered else None,
        )
        assert changes(got) == (expected if emission is ALL else coalesced(expected))
        operator.write(store)  # type: ignore[arg-type]
        operator = TableAggregateOperator("aggregate", STORE, spec_of(which))
        operator.load(store)  # type: ignore[arg-type]
    assert {r[1][0]: r[3:5] for r in changes(operator.rows())} == {
        k: (newest, oracle.results(states)) for k, (states, newest) in oracle.groups.items()
    }


def _many(seed: int, count: int, disorder: int) -> tuple[list[Row], list[int], list[int]]:
    rng = np.random.default_rng(seed)
    times = np.maximum(0, np.cumsum(rng.integers(0, 2, count)) - rng.integers(0, disorder, count))
    some = [
        (
            "abc"[rng.integers(0, 3)],
            int(rng.integers(-5, 5)) if rng.random() < 0.8 else None,
            int(rng.integers(-5, 5)) * 2**60,
            float(rng.normal()) if rng.random() < 0.8 else None,
            None,
        )
        for _ in range(count)
    ]
    return some, times.tolist(), [ord(r[0]) % 2 for r in some]


@given(
    st.integers(0, 10**6),
    st.sampled_from([1, 20, 60]),
    st.sampled_from([0, 15, 1000]),
    st.sampled_from([EXACT, COLUMNAR, [("COUNT", ())]]),
    st.sampled_from([30, 35, 20]),
)
def test_many_rows_of_hopping_windows_equal_the_oracle(
    seed: int,
    disorder: int,
    grace: int,
    which: list[tuple[str, tuple[int, ...]]],
    size: int,
) -> None:
    window = WindowSpec(WindowKind.HOPPING, size, 10, grace, size + grace)
    some, times, partitions = _many(seed, 260, disorder)
    data = (some, times, partitions, [100, 110, 260])
    expected, oracle = _expected(spec_of(which, window), data)
    operator = AggregateOperator("aggregate", STORE, spec_of(which, window))
    context = StepContext(LAST)
    for part, batch in zip(expected, _batches(data), strict=True):
        assert changes(operator.step(batch, context)) == coalesced(part)
    assert _count(context, "late") == oracle.late


@given(
    st.integers(0, 10**6),
    st.sampled_from([1, 20, 60]),
    st.sampled_from([0, 15, 1000]),
    st.sampled_from([EXACT, COLUMNAR, OBJECTS]),
    st.sampled_from([10, 35]),
)
def test_every_update_of_many_rows_comes_piece_by_piece(
    seed: int,
    disorder: int,
    grace: int,
    which: list[tuple[str, tuple[int, ...]]],
    size: int,
) -> None:
    kind = WindowKind.TUMBLING if size == 10 else WindowKind.HOPPING
    window = WindowSpec(kind, size, 10, grace, size + grace)
    some, times, partitions = _many(seed, 120, disorder)
    data = (some, times, partitions, [1, 70, 120])
    expected, _ = _expected(spec_of(which, window), data)
    operator = AggregateOperator("aggregate", STORE, spec_of(which, window))
    with mock.patch.object(aggregate_windowed, "_PIECE_ROWS", 17):
        for part, batch in zip(expected, _batches(data), strict=True):
            assert changes(operator.step(batch, StepContext(ALL))) == part


def test_few_keys_in_open_windows_go_by_pane(monkeypatch: pytest.MonkeyPatch) -> None:
    reduced = []

    def spy(*arguments: Any) -> Any:
        reduced.append(reduce_panes(*arguments))
        return reduced[-1]

    monkeypatch.setattr(aggregate_windowed, "reduce_panes", spy)
    window = WindowSpec(WindowKind.HOPPING, 30, 10, 1000, 1030)
    operator = AggregateOperator("aggregate", STORE, spec_of(EXACT, window))
    operator.step(batch_of(KEY, VALUE, *_many(1, 200, 20)), StepContext(LAST))
    assert len(reduced) == 1
    assert reduced[0] is not None
    assert len(reduced[0].ids) < 100


@given(
    inputs(),
    st.sampled_from(["windows", "sessions"]),
    windows,
    st.sampled_from([0, 7, 1000]),
    st.sampled_from([COLUMNAR, EXACT, OBJECTS]),
    st.sampled_from([ALL, LAST]),
)
def test_few_rows_go_the_way_of_many(
    data: tuple[list[Row], list[int], list[int], list[int]],
    form: str,
    window: WindowSpec,
    grace: int,
    which: list[tuple[str, tuple[int, ...]]],
    emission: Emission,
) -> None:
    some, times, partitions, cuts = data
    data = (some, [1000 + time for time in times], partitions, cuts)  # no window begins before 0
    window = replace(window, retention_ms=100_000)  # segments of more than one window
    if form == "sessions":
        window = WindowSpec(WindowKind.SESSION, 10, 10, grace, 10 + grace)

    def outcome() -> tuple[list[Any], list[Any], list[Any]]:
        operator = AggregateOperator("aggregate", STORE, spec_of(which, window))
        context = StepContext(emission)
        steps = [changes(operator.step(batch, context)) for batch in _batches(data)]
        return steps, changes(operator.rows()), context.notes

    as_they_come = outcome()
    with (
        mock.patch.object(aggregate_windowed, "FEW_ROWS", 0),
        mock.patch.object(session, "FEW_ROWS", 0),
    ):
        assert outcome() == as_they_come


@given(inputs(), windows)
def test_lookups_find_what_all_rows_hold(
    data: tuple[list[Row], list[int], list[int], list[int]], window: WindowSpec
) -> None:
    operator = AggregateOperator("aggregate", STORE, spec_of(COLUMNAR, window))
    operator.step(_whole(data), StepContext())
    everything = changes(operator.rows())
    keys = batch_of(KEY, (), [("b",), ("zz",), ("a",)], [0, 0, 0]).key_arrays
    found = changes(operator.lookup(keys, 10, 30))
    assert found == [r for k in "ba" for r in everything if r[1] == (k,) and 10 <= r[2][0] <= 30]
    assert changes(operator.rows(10, 30)) == [r for r in everything if 10 <= r[2][0] <= 30]
    assert changes(operator.rows(20)) == [r for r in everything if r[2][0] >= 20]


@pytest.mark.parametrize("rows_a_batch", [1, 7])
def test_what_is_written_follows_what_changed(rows_a_batch: int) -> None:
    operator = AggregateOperator("aggregate", STORE, spec_of([("COUNT", ())]))
    store = FakeStore()
    many = [(f"k{i}", None, None, None, None) for i in range(5000)]
    operator.step(batch_of(KEY, VALUE, many, [0] * 5000), StepContext())
    operator.write(store)  # type: ignore[arg-type]
    store.rows_written = 0
    for i in range(20):
        few = [(f"k{i}", None, None, None, None)] * rows_a_batch
        operator.step(batch_of(KEY, VALUE, few, [0] * rows_a_batch), StepContext())
        operator.write(store)  # type: ignore[arg-type]
    assert store.rows_written == 20
