from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream import types as t
from millstream.columns import arrow
from millstream.engine.operators import table_state
from millstream.engine.operators.base import StepContext
from millstream.engine.operators.table_state import TableState
from millstream.engine.state import ring
from millstream.store.interfaces import StoreId
from tests.unit.engine.fakes import FakeStore
from tests.unit.engine.operators.records import (
    Record,
    batch_of,
    changes_of,
    pieces,
    rows_of,
)

SCHEMA = t.Schema.of([("K", t.STRING)], [("A", t.INTEGER), ("B", t.Array(t.STRING))])
STORE = StoreId(1, "table-1", "schema")

VALUES = st.tuples(
    st.one_of(st.none(), st.integers(0, 9)), st.lists(st.sampled_from("xy"), max_size=2)
)
RECORDS = st.lists(
    st.tuples(st.sampled_from("abcde"), st.one_of(st.none(), VALUES), st.integers(0, 99)),
    max_size=40,
).map(lambda rows: [Record(i, (k,), v, time) for i, (k, v, time) in enumerate(rows)])
CUTS = st.lists(st.integers(0, 40), max_size=6)


@pytest.fixture(autouse=True)
def keys_are_soon_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_state, "_FEWEST_SWEPT", 3)


def state(schema: t.Schema = SCHEMA) -> TableState:
    return TableState("table-1", schema, STORE)


def restarted(store: FakeStore) -> TableState:
    fresh = state()
    fresh.load(store)  # type: ignore[arg-type]
    return fresh


@given(RECORDS, CUTS, st.sets(st.integers(0, 6)))
def test_each_change_knows_the_row_before_it(
    records: list[Record], cuts: list[int], restarts: set[int]
) -> None:
    """However the input is cut, and with restarts after some of the commits."""
    store, table = FakeStore(), state()
    rows: dict[str, tuple[Any, ...]] = {}
    times: dict[str, int] = {}
    for number, some in enumerate(pieces(records, cuts)):
        expected = []
        for record in some:
            key = record.key[0]
            expected.append((record.order, record.key, record.value, rows.get(key)))
            if record.value is None:
                rows.pop(key, None)
            else:
                rows[key] = record.value
                times[key] = record.time
        batch = table.step(batch_of(SCHEMA, some), StepContext())
        assert changes_of(batch) == expected
        table.write(store)  # type: ignore[arg-type]
        if number in restarts:
            table = restarted(store)
        kept = table.rows()
        assert sorted(rows_of(kept)) == sorted((k, *v) for k, v in rows.items())
        by_key = dict(zip(kept.arrays[0].to_pylist(), kept.rowtime.tolist(), strict=True))
        assert by_key == {k: times[k] for k in rows}


def test_keys_are_looked_up() -> None:
    table = state()
    records = [
        Record(0, ("a",), (1, [])),
        Record(1, ("b",), (2, ["x"]), 7),
        Record(2, ("a",), None),
    ]
    table.step(batch_of(SCHEMA, records), StepContext())
    found = table.lookup([arrow.from_python(["b", "a", "never", "b"], t.STRING)])
    assert rows_of(found) == [("b", 2, ["x"]), ("b", 2, ["x"])]
    assert found.rowtime.tolist() == [7, 7]


def test_rows_keep_the_order_of_their_keys_first_records() -> None:
    store, table = FakeStore(), state()
    for first in (0, 3):
        records = [Record(first + i, (k,), (first, [])) for i, k in enumerate("cab")]
        table.step(batch_of(SCHEMA, records), StepContext())
        table.write(store)  # type: ignore[arg-type]
    for one in (table, restarted(store)):
        assert [r[:2] for r in rows_of(one.rows())] == [("c", 3), ("a", 3), ("b", 3)]


def test_what_was_deleted_may_come_back_after_a_restart() -> None:
    store, table = FakeStore(), state()
    for place, value in enumerate([(1, ["x"]), None]):
        table.step(batch_of(SCHEMA, [Record(place, ("a",), value)]), StepContext())
        table.write(store)  # type: ignore[arg-type]
    table = restarted(store)
    assert len(table.rows()) == 0
    batch = table.step(batch_of(SCHEMA, [Record(2, ("a",), (2, []))]), StepContext())
    assert changes_of(batch) == [(2, ("a",), (2, []), None)]


def test_only_what_changed_is_written() -> None:
    store, table = FakeStore(), state()
    many = [Record(i, (f"k{i}",), (i, [])) for i in range(5000)]
    table.step(batch_of(SCHEMA, many), StepContext())
    table.write(store)  # type: ignore[arg-type]
    written = store.rows_written
    table.step(batch_of(SCHEMA, [Record(5000, ("k7",), (0, []))]), StepContext())
    table.write(store)  # type: ignore[arg-type]
    table.write(store)  # type: ignore[arg-type]
    assert store.rows_written == written + 1


def test_what_is_stored_follows_the_rows_and_not_their_history(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ring, "_FEWEST_ROWS", 64)
    store, table = FakeStore(), state()
    for place in range(200):
        records = [Record(place, (f"k{i}",), (place, [])) for i in range(100)]
        table.step(batch_of(SCHEMA, records), StepContext())
        table.write(store)  # type: ignore[arg-type]
    assert sum(p.rows.num_rows for p in store.parts[STORE]) < 3000
    assert {r[1] for r in rows_of(restarted(store).rows())} == {199}


def test_keys_of_several_columns_may_hold_nulls() -> None:
    schema = t.Schema.of([("K", t.INTEGER), ("L", t.STRING)], [("V", t.INTEGER)])
    store, table = FakeStore(), state(schema)
    records = [
        Record(0, (1, None), (10,)),
        Record(1, (1, "x"), (11,)),
        Record(2, (None, "x"), (12,)),
        Record(3, (1, None), (13,)),
    ]
    batch = table.step(batch_of(schema, records), StepContext())
    assert [c[3] for c in changes_of(batch)] == [None, None, None, (10,)]
    table.write(store)  # type: ignore[arg-type]
    table = state(schema)
    table.load(store)  # type: ignore[arg-type]
    assert rows_of(table.rows()) == [(1, None, 13), (1, "x", 11), (None, "x", 12)]


def test_slots_without_a_row_give_nulls() -> None:
    table = state()
    slots = table.find([pa.array(["a"])])
    columns, absent = table.get(slots)
    assert absent.tolist() == [True]
    assert [c.null_count for c in (*columns, *table.keys_at(slots))] == [1, 1, 1]


@pytest.mark.parametrize("restarts", [False, True])
def test_keys_of_rows_that_are_gone_are_forgotten(
    restarts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "_FEWEST_ROWS", 16)
    store, table = FakeStore(), state()
    for place in range(300):
        records = [
            Record(2 * place, (f"k{place}",), (place, [])),
            Record(2 * place + 1, (f"k{place - 5}",), None),
        ]
        batch = table.step(batch_of(SCHEMA, records), StepContext())
        assert [c[3] is None for c in changes_of(batch)] == [True, place < 5]
        table.write(store)  # type: ignore[arg-type]
        if restarts and place % 7 == 0:
            table = restarted(store)
    assert sorted(r[1] for r in rows_of(table.rows())) == [295, 296, 297, 298, 299]
    assert len(table._keys) < 30
    assert sum(p.rows.num_rows for p in store.parts[STORE]) < 200
    assert sorted(rows_of(restarted(store).rows())) == sorted(rows_of(table.rows()))
