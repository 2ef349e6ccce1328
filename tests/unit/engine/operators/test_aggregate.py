"""What aggregations say besides their results, and how their state grows and goes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from millstream import types as t
from millstream.columns.batch import Batch
from millstream.engine.operators.aggregate import AggregateOperator
from millstream.engine.operators.base import Emission, StepContext
from millstream.engine.operators.table_aggregate import TableAggregateOperator
from millstream.engine.operators.windows import WindowKind, WindowSpec
from millstream.engine.state import keys as stored_keys
from millstream.engine.state import ring, windowed
from millstream.store.interfaces import StoreId
from tests.properties.aggregation_oracle import KEY, VALUE, spec_of
from tests.unit.engine.fakes import FakeStore, batch_of, changes

STORE = StoreId(1, "aggregate", "hash")
TUMBLING = WindowSpec(WindowKind.TUMBLING, 10, 10, 0, 10)
SESSION = WindowSpec(WindowKind.SESSION, 10, 10, 0, 10)
COUNT: list[tuple[str, tuple[int, ...]]] = [("COUNT", ())]


def _operator(window: WindowSpec | None = None, final: bool = False) -> AggregateOperator:
    return AggregateOperator("aggregate", STORE, spec_of(COUNT, window, final))


def _rows(keys: str, times: list[int], first: int = 0) -> Batch:
    return batch_of(KEY, VALUE, [(k, None, None, None, None) for k in keys], times, None, first)


@pytest.mark.parametrize("window", [TUMBLING, SESSION])
@pytest.mark.parametrize("row_wise", [False, True])
def test_late_rows_are_counted_and_named(window: WindowSpec, row_wise: bool) -> None:
    context = StepContext(Emission.ALL, row_wise)
    got = changes(_operator(window).step(_rows("aaaa", [0, 50, 3, 4]), context))
    assert {(n.kind, n.step) for n in context.notes} == {("late", "aggregate")}
    assert sum(n.count for n in context.notes) == 2
    assert context.notes[0].seq == 1002
    assert len(got) == 2
    assert context.rows_forced == (4 if row_wise else 0)


@pytest.mark.parametrize("window", [None, TUMBLING, SESSION])
def test_no_rows_give_no_changes(window: WindowSpec | None) -> None:
    for final in (False, window is not None):
        got = _operator(window, final).step(_rows("", []), StepContext())
        assert len(got) == 0
        assert got.old is not None
        assert [str(c.type) for c in got.schema] == ["STRING", "BIGINT"]


@pytest.mark.parametrize("window", [None, TUMBLING, SESSION])
def test_an_operator_without_rows_has_an_empty_table(window: WindowSpec | None) -> None:
    operator, store = _operator(window), FakeStore()
    operator.load(store)  # type: ignore[arg-type]
    operator.write(store)  # type: ignore[arg-type]
    assert len(operator.rows()) == 0
    keys = _rows("a", [0]).key_arrays
    assert len(operator.lookup(keys)) == 0
    assert len(operator.lookup(keys, 0, 100)) == 0


def test_changes_carry_the_place_and_the_headers_of_their_row() -> None:
    import pyarrow as pa

    batch = _rows("ab", [1, 2], 7)
    batch.headers = pa.array(
        [[{"KEY": "h", "VALUE": b"1"}], None],
        pa.list_(pa.struct([("KEY", pa.string()), ("VALUE", pa.binary())])),
    )
    got = _operator(WindowSpec(WindowKind.HOPPING, 20, 10, 0, 20)).step(batch, StepContext())
    assert got.order.tolist() == [7, 8]
    assert got.seq.tolist() == [1007, 1008]
    assert got.headers is not None
    assert got.headers.to_pylist()[0] == [{"KEY": "h", "VALUE": b"1"}]


def test_stream_time_is_each_partitions_own() -> None:
    batch = batch_of(
        KEY, VALUE, [(k, None, None, None, None) for k in "abb"], [100, 5, 15], [0, 1, 1]
    )
    got = changes(_operator(TUMBLING).step(batch, StepContext()))
    assert [(c[1], c[2]) for c in got] == [
        (("a",), (100, 110)),
        (("b",), (0, 10)),
        (("b",), (10, 20)),
    ]


def test_a_session_that_repeats_its_moment_is_not_taken_away() -> None:
    got = changes(_operator(SESSION).step(_rows("aa", [5, 5]), StepContext()))
    assert [c[2:] for c in got] == [((5, 5), 5, (1,), None), ((5, 5), 5, (2,), (1,))]


def test_sessions_that_meet_are_taken_away_oldest_first() -> None:
    window = WindowSpec(WindowKind.SESSION, 10, 10, 1000, 1010)
    got = changes(_operator(window).step(_rows("aaa", [0, 15, 8]), StepContext()))
    assert [c[2:5] for c in got[2:]] == [
        ((0, 0), 0, None),
        ((15, 15), 15, None),
        ((0, 15), 15, (3,)),
    ]


def test_final_rows_come_when_stream_time_passes_and_only_then() -> None:
    operator = _operator(WindowSpec(WindowKind.TUMBLING, 10, 10, 0, 10), True)
    assert len(operator.step(_rows("ba", [1, 2]), StepContext())) == 0
    got = changes(operator.step(_rows("c", [10], 2), StepContext()))
    assert [(c[1], c[2], c[0]) for c in got] == [(("a",), (0, 10), 2), (("b",), (0, 10), 2)]


def test_final_rows_of_a_window_go_by_the_bytes_of_their_keys() -> None:
    key = (("K", t.INTEGER),)
    for key_bytes, expected in (
        (None, [2, 10, -1]),
        (lambda keys: [str(k).encode() for k in keys[0].to_pylist()], [-1, 10, 2]),
    ):
        spec = spec_of(COUNT, TUMBLING, True)
        output = t.Schema.of(key, [("R0", t.BIGINT)])
        spec = type(spec)(output.key, spec.calls, TUMBLING, output, True, key_bytes)
        operator = AggregateOperator("aggregate", STORE, spec)
        rows: list[tuple[Any, ...]] = [(10,), (-1,), (2,), (7,)]
        got = changes(operator.step(batch_of(key, (), rows, [1, 2, 3, 10]), StepContext()))
        assert [c[1][0] for c in got] == expected


def test_final_rows_that_expired_are_said_to_be_lost() -> None:
    operator, context = (
        _operator(WindowSpec(WindowKind.TUMBLING, 10, 10, 0, 10), True),
        StepContext(),
    )
    assert len(operator.step(_rows("aab", [1, 2, 500]), context)) == 0
    assert [(n.kind, n.count) for n in context.notes] == [("lost", 1)]


def test_expired_windows_leave_memory_and_the_store() -> None:
    window = WindowSpec(WindowKind.TUMBLING, 10, 10, 0, 10)
    operator, store = _operator(window), FakeStore()
    for at in range(0, 5000, 50):
        operator.step(_rows("ab", [at, at + 1], at), StepContext())
        operator.write(store)  # type: ignore[arg-type]
    assert len(store.parts[STORE]) < 5
    assert [r[2] for r in changes(operator.rows())] == [(4950, 4960)] * 2


def test_expired_sessions_leave_memory_and_the_store() -> None:
    operator, store = _operator(SESSION), FakeStore()
    for at in range(0, 10_000_000, 100_000):
        operator.step(_rows("ab", [at, at + 1], at), StepContext())
        operator.write(store)  # type: ignore[arg-type]
    assert len(store.parts[STORE]) < 5
    assert len(operator.rows()) == 2


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize("kind", [WindowKind.TUMBLING, WindowKind.SESSION])
def test_keys_that_no_window_holds_are_forgotten(
    monkeypatch: pytest.MonkeyPatch, kind: WindowKind, in_memory: bool
) -> None:
    monkeypatch.setattr(stored_keys, "_FEWEST_SWEPT", 10)
    monkeypatch.setattr(windowed, "COLD_BYTES", 0)
    monkeypatch.setattr(windowed, "FREEZE_ROWS", 1)
    scale = 60_000
    window = WindowSpec(kind, 10 * scale, 10 * scale, 20 * scale, 30 * scale)
    operator, plain, store = _operator(window), _operator(window), FakeStore(in_memory)
    for place in range(300):
        keys = [f"key{place}", f"key{place // 7}", "always"]
        rows = [(k, None, None, None, None) for k in keys]
        batch = batch_of(KEY, VALUE, rows, [place * 5 * scale] * 3, None, place)
        got = changes(operator.step(batch, StepContext()))
        assert got == changes(plain.step(batch, StepContext()))
        operator.write(store)  # type: ignore[arg-type]
        if place % 10 == 9:
            operator = _operator(window)
            operator.load(store)  # type: ignore[arg-type]
    rows_now = {r[1:3]: r[3:] for r in changes(plain.rows())}
    assert {r[1:3]: r[3:] for r in changes(operator.rows())} == rows_now
    for form, most in ((operator._form, 60), (plain._form, 400)):
        assert len(form.keys.index) < most  # type: ignore[attr-defined]


@pytest.mark.parametrize("in_memory", [False, True])
def test_segments_that_went_cold_come_back(
    monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    monkeypatch.setattr(windowed, "COLD_BYTES", 0)
    monkeypatch.setattr(windowed, "FREEZE_ROWS", 1)
    window = WindowSpec(WindowKind.TUMBLING, 10, 10, 10**9, 10**9 + 10)
    operator, plain, store = _operator(window), _operator(window), FakeStore(in_memory)
    operator.load(store)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    for at in range(0, 40_000, 1000):
        times = rng.integers(0, at + 1, 5).tolist()
        batch = _rows("abcab", times, at)
        assert changes(operator.step(batch, StepContext())) == changes(
            plain.step(batch, StepContext())
        )
        operator.write(store)  # type: ignore[arg-type]
    assert changes(operator.rows()) == changes(plain.rows())
    again = _operator(window)
    again.load(store)  # type: ignore[arg-type]
    assert changes(again.rows()) == changes(plain.rows())


def test_rows_that_change_again_and_again_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "PAGE_BITS", 3)
    monkeypatch.setattr(ring, "PAGE_SLOTS", 8)
    monkeypatch.setattr(ring, "_FEWEST_ROWS", 4)
    for window in (None, WindowSpec(WindowKind.TUMBLING, 10, 10, 10**9, 10**9 + 10), SESSION):
        operator, store = _operator(window), FakeStore()
        for place in range(200):
            operator.step(_rows("ab", [place, place], place), StepContext())
            operator.write(store)  # type: ignore[arg-type]
            again = _operator(window)
            again.load(store)  # type: ignore[arg-type]
            assert changes(again.rows()) == changes(operator.rows())
        assert sum(p.rows.num_rows for p in store.parts[STORE]) < 200


def test_a_group_that_lost_its_rows_keeps_a_result() -> None:
    operator = TableAggregateOperator("aggregate", STORE, spec_of(COUNT))
    signed = operator.step_signed(_rows("aab", [5, 9, 9]), np.array([1, -1, -1]), StepContext())
    assert [c[1:] for c in changes(signed)] == [
        (("a",), None, 5, (1,), None),
        (("a",), None, 9, (0,), (1,)),
    ]
    assert [r[4] for r in changes(operator.rows())] == [(0,)]


def test_keys_of_several_columns_hold_nulls_apart() -> None:
    key = (("A", t.STRING), ("B", t.INTEGER))
    spec = spec_of(COUNT)
    output = t.Schema.of(key, [("R0", t.BIGINT)])
    spec = type(spec)(output.key, spec.calls, None, output, False)
    operator = AggregateOperator("aggregate", STORE, spec)
    rows: list[tuple[Any, ...]] = [("x", None), ("x", 0), ("x", None), (None, 0)]
    got = changes(operator.step(batch_of(key, (), rows, [0] * 4), StepContext()))
    assert [(c[1], c[4]) for c in got] == [
        (("x", None), (1,)),
        (("x", 0), (1,)),
        (("x", None), (2,)),
        ((None, 0), (1,)),
    ]
