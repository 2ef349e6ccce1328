from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from millstream import types as t
from millstream.columns.batch import Batch
from millstream.engine.operators.base import StepContext
from millstream.engine.operators.stateless import (
    FilterOperator,
    GroupOperator,
    Partitioner,
    ProjectOperator,
    RekeyOperator,
    TableGroupOperator,
)
from millstream.engine.operators.table_state import TableState
from millstream.plan import typed
from millstream.serde.base import Layout
from millstream.serde.formats import format_named
from millstream.serde.keys import murmur2
from millstream.store.interfaces import StoreId
from tests.unit.engine.operators.records import (
    Record,
    batch_of,
    changes_of,
    pieces,
    rows_of,
)

SCHEMA = t.Schema.of([("K", t.STRING)], [("A", t.INTEGER), ("B", t.INTEGER)])


def column(index: int) -> typed.Column:
    found = SCHEMA.columns[index]
    return typed.Column(type=found.type, index=index, name=found.name)


def number(value: int) -> typed.Literal:
    return typed.Literal(type=t.INTEGER, value=value)


def arithmetic(op: str, left: typed.Expression, right: typed.Expression) -> typed.Arithmetic:
    return typed.Arithmetic(type=t.INTEGER, op=op, left=left, right=right)


def compare(left: typed.Expression, op: str, right: typed.Expression) -> typed.Comparison:
    return typed.Comparison(type=t.BOOLEAN, op=op, left=left, right=right)


KEY, A, B = column(0), column(1), column(2)
FAILS_AT_0 = compare(arithmetic("/", number(6), A), ">", number(2))
"""True for A = 1 and 2, an error at 0, null at null."""


def stream(*values: tuple[Any, ...] | None) -> Batch:
    return batch_of(SCHEMA, [Record(i, (f"k{i}",), v, i) for i, v in enumerate(values)])


# --- filters -----------------------------------------------------------------------------------


def test_a_stream_keeps_the_rows_that_match() -> None:
    operator = FilterOperator("where-1", FAILS_AT_0, is_table=False)
    context = StepContext()
    batch = operator.step(stream((1, 0), (0, 0), (3, 0), (None, 0), None, (2, 0)), context)
    assert batch.order.tolist() == [0, 5]
    assert batch.value_null is None or not batch.value_null.any()
    assert [(n.kind, n.step, n.seq) for n in context.notes] == [("expression", "where-1", 1001)]


def test_a_record_without_a_value_is_no_failure() -> None:
    """IS NULL over nothing would be true; the record is dropped all the same, in silence."""
    context = StepContext()
    predicate = typed.IsNull(type=t.BOOLEAN, operand=A, negated=False)
    batch = FilterOperator("where-1", predicate, is_table=False).step(stream(None), context)
    assert len(batch) == 0
    assert context.notes == []


TABLE_RECORDS = st.lists(
    st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.sampled_from([None, 0, 1, 2, 3]))),
    max_size=30,
).map(
    lambda rows: [Record(i, (k,), None if a is None else (a, i)) for i, (k, a) in enumerate(rows)]
)


@given(TABLE_RECORDS, st.lists(st.integers(0, 30), max_size=5))
def test_a_tables_row_that_stops_to_match_becomes_a_tombstone(
    records: list[Record], cuts: list[int]
) -> None:
    table = TableState("table-1", SCHEMA, StoreId(1, "table-1", "schema"))
    operator = FilterOperator("where-2", FAILS_AT_0, is_table=True)
    shown: dict[Any, tuple[Any, ...]] = {}
    for some in pieces(records, cuts):
        expected = []
        for record in some:
            matches = record.value is not None and record.value[0] in (1, 2)
            old = shown.pop(record.key, None)
            if matches:
                assert record.value is not None
                shown[record.key] = record.value
            if matches or old is not None:
                expected.append((record.order, record.key, shown.get(record.key), old))
        changes = table.step(batch_of(SCHEMA, some), StepContext())
        assert changes_of(operator.step(changes, StepContext())) == expected


# --- projections -------------------------------------------------------------------------------


def test_a_projection_computes_columns_and_a_failure_is_null_and_noted() -> None:
    schema = t.Schema.of([("K", t.STRING)], [("Q", t.INTEGER), ("A", t.INTEGER)])
    operator = ProjectOperator("project-1", schema, [KEY, arithmetic("/", B, A), A])
    context = StepContext()
    batch = operator.step(stream((2, 10), (0, 1), None), context)
    assert batch.schema is schema
    assert rows_of(batch) == [("k0", 5, 2), ("k1", None, 0), ("k2", None, None)]
    assert batch.value_null is not None
    assert batch.value_null.tolist() == [False, False, True]
    assert (batch.order.tolist(), batch.rowtime.tolist()) == ([0, 1, 2], [0, 1, 2])
    assert [(n.kind, n.step, n.seq) for n in context.notes] == [("expression", "project-1", 1001)]


def test_of_old_rows_a_projection_keeps_whether_they_were_there() -> None:
    table = TableState("table-1", SCHEMA, StoreId(1, "table-1", "schema"))
    records = [Record(0, ("k",), (1, 1)), Record(1, ("k",), None)]
    changes = table.step(batch_of(SCHEMA, records), StepContext())
    schema = t.Schema.of([("K", t.STRING)], [("A", t.INTEGER)])
    batch = ProjectOperator("project-1", schema, [KEY, A]).step(changes, StepContext())
    assert batch.old == []
    assert batch.old_null is not None
    assert batch.old_null.tolist() == [True, False]


# --- new keys ----------------------------------------------------------------------------------


def rekey(keys: list[typed.Expression], partitioner: Partitioner | None = None) -> RekeyOperator:
    key = [(f"N{i}", e.type or t.STRING) for i, e in enumerate(keys)]
    schema = t.Schema.of(key, [(c.name, c.type) for c in SCHEMA.columns])
    return RekeyOperator("rekey-1", schema, keys, partitioner)


def test_a_new_key_stands_in_front_of_all_columns() -> None:
    context = StepContext()
    batch = rekey([arithmetic("/", B, A)]).step(stream((2, 10), (0, 1), None), context)
    assert rows_of(batch) == [
        (5, "k0", 2, 10),
        (None, "k1", 0, 1),
        (None, "k2", None, None),
    ]
    assert batch.key_null is not None
    assert batch.key_null.tolist() == [False, True, True]
    assert batch.value_null is not None
    assert batch.value_null.tolist() == [False, False, True]
    assert [n.kind for n in context.notes] == ["expression"]


def test_a_key_of_several_columns_is_never_null() -> None:
    batch = rekey([A, B]).step(stream((None, None), (1, None)), StepContext())
    assert batch.key_null is None
    assert [r[:2] for r in rows_of(batch)] == [(None, None), (1, None)]


def test_a_stream_without_a_key() -> None:
    batch = rekey([]).step(stream((1, 2)), StepContext())
    assert batch.key_null is not None
    assert batch.key_null.all()
    assert rows_of(batch) == [("k0", 1, 2)]


def test_a_new_key_loses_the_window() -> None:
    batch = stream((1, 2))
    batch.window_start, batch.window_end = np.array([0]), np.array([10])
    batch = rekey([A]).step(batch, StepContext())
    assert batch.window_start is None
    assert batch.window_end is None


def test_a_new_key_decides_the_partition() -> None:
    key = (t.Column("N0", t.INTEGER, t.Role.KEY),)
    partitioner = Partitioner(format_named("KAFKA").encoder(Layout("KAFKA", key)), 5)
    values = [1, 2, 3, 4, 5, 6]
    batch = rekey([A], partitioner).step(stream(*((v, 0) for v in values)), StepContext())
    wanted = [(murmur2(v.to_bytes(4, "big")) & 0x7FFFFFFF) % 5 for v in values]
    assert batch.partition.tolist() == wanted


# --- groups ------------------------------------------------------------------------------------

GROUPED = t.Schema.of([("G", t.INTEGER)], [("ARGUMENT_0", t.INTEGER)])


def test_rows_without_a_value_or_a_key_take_no_part_in_a_group() -> None:
    operator = GroupOperator("group-1", GROUPED, [arithmetic("/", number(6), A)], [B], None)
    context = StepContext()
    batch = operator.step(stream((1, 10), None, (None, 11), (0, 12), (2, None)), context)
    assert rows_of(batch) == [(6, 10), (3, None)]
    assert batch.order.tolist() == [0, 4]
    assert batch.value_null is None
    notes = [(n.kind, n.seq, n.count) for n in context.notes]
    assert notes == [("expression", 1003, 1), ("skipped", 1002, 2)]


def test_an_argument_that_fails_is_null() -> None:
    operator = GroupOperator("group-1", GROUPED, [A], [arithmetic("/", number(6), B)], None)
    context = StepContext()
    assert rows_of(operator.step(stream((1, 0), (None, 0), (2, 3)), context)) == [(1, None), (2, 2)]
    assert [(n.kind, n.seq) for n in context.notes] == [("skipped", 1001), ("expression", 1000)]


def test_a_group_decides_the_partition_and_not_where_the_record_stood() -> None:
    partitioner = Partitioner(format_named("KAFKA").encoder(Layout("KAFKA", GROUPED.key)), 3)
    operator = GroupOperator("group-1", GROUPED, [A], [B], partitioner)
    batch = operator.step(stream((7, 0), (8, 0), (7, 0)), StepContext())
    wanted = [(murmur2(v.to_bytes(4, "big")) & 0x7FFFFFFF) % 3 for v in (7, 8, 7)]
    assert batch.partition.tolist() == wanted


def test_a_tables_change_is_taken_back_and_then_added() -> None:
    table = TableState("table-1", SCHEMA, StoreId(1, "table-1", "schema"))
    records = [
        Record(0, ("k",), (1, 10)),
        Record(1, ("k",), (2, 20)),
        Record(2, ("k",), (None, 30)),
        Record(3, ("k",), (3, 40)),
        Record(4, ("k",), None),
        Record(5, ("k",), None),
    ]
    changes = table.step(batch_of(SCHEMA, records), StepContext())
    operator = TableGroupOperator("group-1", GROUPED, [A], [B], None)
    signed, sign = operator.step_signed(changes, StepContext())
    assert list(zip(signed.order.tolist(), sign.tolist(), rows_of(signed), strict=True)) == [
        (0, 1, (1, 10)),
        (1, -1, (1, 10)),
        (1, 1, (2, 20)),
        (2, -1, (2, 20)),
        (3, 1, (3, 40)),
        (4, -1, (3, 40)),
    ]


def test_taking_back_a_row_that_failed_is_not_noted_again() -> None:
    table = TableState("table-1", SCHEMA, StoreId(1, "table-1", "schema"))
    operator = TableGroupOperator("group-1", GROUPED, [A], [arithmetic("/", number(6), B)], None)
    first = table.step(batch_of(SCHEMA, [Record(0, ("k",), (1, 0))]), StepContext())
    context = StepContext()
    operator.step_signed(first, context)
    assert len(context.notes) == 1
    second = table.step(batch_of(SCHEMA, [Record(1, ("k",), (1, 2))]), StepContext())
    context = StepContext()
    signed, sign = operator.step_signed(second, context)
    assert rows_of(signed) == [(1, None), (1, 3)]
    assert sign.tolist() == [-1, 1]
    assert context.notes == []


def test_no_rows_give_no_rows() -> None:
    empty = batch_of(SCHEMA, [])
    assert len(FilterOperator("f", FAILS_AT_0, is_table=False).step(empty, StepContext())) == 0
    assert len(ProjectOperator("p", SCHEMA, [KEY, A, B]).step(empty, StepContext())) == 0
    assert len(rekey([A]).step(empty, StepContext())) == 0
    group = GroupOperator("g", GROUPED, [A], [B], None)
    assert len(group.step(empty, StepContext())) == 0
