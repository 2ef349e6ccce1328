from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream import types as t
from millstream.columns import arrow
from millstream.columns.batch import Batch
from millstream.engine.operators.base import StepContext
from millstream.engine.operators.stateless import Partitioner
from millstream.engine.operators.stream_table_join import StreamTableJoinOperator
from millstream.engine.operators.table_state import TableState
from millstream.plan import typed
from millstream.serde.base import Layout
from millstream.serde.formats import format_named
from millstream.serde.keys import murmur2
from millstream.store.interfaces import StoreId
from tests.unit.engine.fakes import FakeStore
from tests.unit.engine.operators.records import Record, batch_of, pieces, rows_of

STREAM = t.Schema.of([("S_ID", t.STRING)], [("S_K", t.INTEGER), ("S_V", t.INTEGER)])
TABLE = t.Schema.of([("T_K", t.INTEGER)], [("T_A", t.STRING), ("T_B", t.Array(t.INTEGER))])
JOINED = t.Schema.of(
    [("KEY", t.INTEGER)], [(c.name, c.type) for c in (*STREAM.columns, *TABLE.columns)]
)

TABLE_VALUES = st.tuples(st.sampled_from(["a", "b", None]), st.lists(st.integers(0, 3), max_size=2))
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("stream"), st.one_of(st.none(), st.integers(0, 3)), st.booleans()),
        st.tuples(st.just("table"), st.integers(0, 3), st.one_of(st.none(), TABLE_VALUES)),
    ),
    max_size=40,
)
CUTS = st.lists(st.integers(0, 40), max_size=6)


class Join:
    """A table and the join over it."""

    def __init__(self, *, left: bool, partitioner: Partitioner | None = None) -> None:
        self.table = TableState("table-1", TABLE, StoreId(1, "table-1", "schema"))
        self.operator = StreamTableJoinOperator(
            "join-1",
            JOINED,
            self.table,
            typed.Column(type=t.INTEGER, index=1, name="S_K"),
            partitioner,
            keep_unmatched=left,
        )

    def step(self, stream: list[Record], table: list[Record]) -> Batch:
        """What the stream's records give; the table's are applied first, as a query does."""
        changes = self.table.step(batch_of(TABLE, table), StepContext())
        return self.operator.step(batch_of(STREAM, stream), changes, StepContext())


def records_of(events: list[tuple[str, Any, Any]]) -> list[tuple[str, Record]]:
    result = []
    for place, (side, key, more) in enumerate(events):
        if side == "stream":
            value = (key, place) if more else None
            result.append((side, Record(place, (f"s{place}",), value, place * 10)))
        else:
            result.append((side, Record(place, (key,), more, 5)))
    return result


def expected(records: list[tuple[str, Record]], *, left: bool) -> list[tuple[Any, ...]]:
    """The join record by record over a dict."""
    table: dict[int, tuple[Any, ...]] = {}
    rows: list[tuple[Any, ...]] = []
    for side, record in records:
        if side == "table":
            if record.value is None:
                table.pop(record.key[0], None)
            else:
                table[record.key[0]] = record.value
        elif record.value is not None:
            key = record.value[0]
            found = None if key is None else table.get(key)
            if found is not None:
                rows.append((record.order, key, *record.key, *record.value, key, *found))
            elif left:
                rows.append((record.order, key, *record.key, *record.value, None, None, None))
    return rows


@given(EVENTS, CUTS, st.booleans(), st.sets(st.integers(0, 6)))
def test_any_cut_gives_the_oracles_rows(
    events: list[tuple[str, Any, Any]], cuts: list[int], left: bool, restarts: set[int]
) -> None:
    records = records_of(events)
    store, join = FakeStore(), Join(left=left)
    rows: list[tuple[Any, ...]] = []
    for number, some in enumerate(pieces(records, cuts)):
        stream, table = ([r for side, r in some if side == s] for s in ("stream", "table"))
        batch = join.step(stream, table)
        rows += [(int(o), *row) for o, row in zip(batch.order, rows_of(batch), strict=True)]
        assert batch.rowtime.tolist() == [int(o) * 10 for o in batch.order]
        join.table.write(store)  # type: ignore[arg-type]
        if number in restarts:
            join = Join(left=left)
            join.table.load(store)  # type: ignore[arg-type]
    assert rows == expected(records, left=left)


def test_several_changes_of_one_key_in_a_batch() -> None:
    """Each stream row sees the last change before it, in the same batch too."""
    join = Join(left=True)
    join.step([], [Record(0, (1,), ("before", [])), Record(1, (2,), ("other", []))])
    table = [
        Record(3, (1,), ("first", [])),
        Record(5, (1,), None),
        Record(7, (1,), ("second", [])),
        Record(8, (1,), ("third", [])),
    ]
    stream = [Record(place, ("s",), (1, place)) for place in (2, 4, 6, 9)]
    stream.insert(2, Record(5, ("s",), (2, 5)))
    batch = join.step(stream, table)
    names = batch.arrays[5].to_pylist()
    assert list(zip(batch.order.tolist(), names, strict=True)) == [
        (2, "before"),
        (4, "first"),
        (5, "other"),
        (6, None),
        (9, "third"),
    ]


def test_a_record_that_is_a_row_of_both_does_not_see_itself() -> None:
    """Where one topic feeds both sides, the stream's row comes first."""
    join = Join(left=True)
    batch = join.step([Record(5, ("s",), (1, 0))], [Record(5, (1,), ("itself", []))])
    assert rows_of(batch) == [(1, "s", 1, 0, None, None, None)]


@pytest.mark.parametrize("left", [False, True])
def test_null_and_unknown_keys_match_nothing(left: bool) -> None:
    join = Join(left=left)
    stream = [Record(1, ("s",), (None, 1)), Record(2, ("s",), (9, 2)), Record(3, ("s",), (1, 3))]
    batch = join.step(stream, [Record(0, (1,), ("x", [4]))])
    match = (1, "s", 1, 3, 1, "x", [4])
    missed = [(None, "s", None, 1, None, None, None), (9, "s", 9, 2, None, None, None)]
    assert rows_of(batch) == ([*missed, match] if left else [match])
    assert join.operator.unmatched_rows == 2
    if left:
        assert batch.key_null is not None
        assert batch.key_null.tolist() == [True, False, False]
    else:
        assert batch.key_null is None


def test_headers_and_place_are_the_streams() -> None:
    join = Join(left=False)
    stream = batch_of(STREAM, [Record(1, ("s",), (7, 1), 3), Record(2, ("s",), (1, 2), 4, 2)])
    headers = [[{"KEY": "h", "VALUE": b"1"}], [{"KEY": "h", "VALUE": b"2"}]]
    stream.headers = arrow.from_python(headers, t.HEADERS_TYPE)
    changes = join.table.step(batch_of(TABLE, [Record(0, (1,), ("x", []), 99)]), StepContext())
    batch = join.operator.step(stream, changes, StepContext())
    assert (batch.seq.tolist(), batch.offset.tolist(), batch.partition.tolist()) == (
        [1002],
        [52],
        [2],
    )
    assert batch.rowtime.tolist() == [4]
    assert batch.headers is not None
    assert batch.headers.to_pylist() == [headers[1]]


def test_a_rekeyed_stream_goes_to_the_partitions_of_its_new_key() -> None:
    layout = Layout("KAFKA", JOINED.key)
    join = Join(left=True, partitioner=Partitioner(format_named("KAFKA").encoder(layout), 4))
    keys = [0, 1, 2, 3, 4, 5]
    batch = join.step([Record(i, ("s",), (k, 0)) for i, k in enumerate(keys)], [])
    wanted = [(murmur2(k.to_bytes(4, "big")) & 0x7FFFFFFF) % 4 for k in keys]
    assert batch.partition.tolist() == wanted
    assert len(set(wanted)) > 1
