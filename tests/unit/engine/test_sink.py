"""From result rows to records: keys, tombstones, partitions, event times, coalescing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.catalog.model import TimestampColumn
from millstream.columns.batch import Batch
from millstream.engine.operators.base import Emission, StepContext
from millstream.engine.sink import SinkWriter
from millstream.engine.source_rows import encode_part
from millstream.plan.nodes import Sink
from millstream.serde.base import Layout
from millstream.serde.keys import partition_of
from millstream.sql.ast import SourceKind
from millstream.store.interfaces import Records
from tests.unit.engine.fakes import batch_of

KEY = (("K", t.STRING),)
VALUE = (("N", t.BIGINT), ("S", t.STRING))


def writer(
    key: tuple[tuple[str, t.SqlType], ...] = KEY,
    timestamp: TimestampColumn | None = None,
    key_format: str = "KAFKA",
) -> SinkWriter:
    """The writer of a query numbered 7."""
    schema = t.Schema.of(key, VALUE)
    sink = Sink(
        name="OUT",
        kind=SourceKind.STREAM,
        topic="OUT",
        schema=schema,
        key_layout=Layout(key_format, schema.key, wrap=len(key) > 1),
        value_layout=Layout("DELIMITED", schema.value),
        window=None,
        timestamp=timestamp,
        partitions=1,
        replicas=1,
    )
    return SinkWriter(sink, 7)


def batch(rows: list[tuple[Any, ...]], key: Any = KEY, **more: Any) -> Batch:
    """Rows as a batch whose times are 10, 11, .."""
    made = batch_of(key, VALUE, rows, range(10, 10 + len(rows)))
    return replace(made, **more)


def written(records: Records | None) -> list[tuple[Any, ...]]:
    assert records is not None
    count = len(records)
    keys = encode_part(records.key, count).to_pylist()
    values = encode_part(records.value, count).to_pylist()
    return list(zip(keys, values, records.rowtime.tolist(), strict=True))


def test_records_of_rows() -> None:
    records = writer().records(batch([("a", 1, "x"), (None, 2, None)]), StepContext(), 1)
    assert written(records) == [(b"a", b"1,x", 10), (None, b"2,", 11)]
    assert records is not None
    assert records.writer.tolist() == [7, 7]
    assert records.seq.tolist() == [1000, 1001]
    assert records.offset.tolist() == [-1, -1]


def test_nothing_becomes_of_nothing() -> None:
    assert writer().records(batch([]), StepContext(), 1) is None


def test_tombstones_have_no_value() -> None:
    given = batch([("a", None, None), ("b", None, None)], value_null=np.array([True, False]))
    assert written(writer().records(given, StepContext(), 1)) == [
        (b"a", None, 10),
        (b"b", b",", 11),
    ]


def test_what_a_format_cannot_hold_is_stored_as_it_will_be_read() -> None:
    records = writer().records(batch([("a", 1, "")]), StepContext(), 1)
    assert records is not None
    assert records.value.arrays[1].to_pylist() == [None]  # type: ignore[union-attr]


def test_keys_of_several_columns_and_of_none() -> None:
    two = (("K", t.STRING), ("L", t.INTEGER))
    given = batch([("a", None, 1, "x")], two)
    assert written(writer(two, key_format="JSON").records(given, StepContext(), 1)) == [
        (b'{"K":"a","L":null}', b"1,x", 10)
    ]
    none = batch([(1, "x")], ())
    assert written(writer(()).records(none, StepContext(), 1)) == [(None, b"1,x", 10)]


def test_partitions_follow_the_key_bytes_and_keyless_rows_stay() -> None:
    keys = [*"abcdefgh", None]
    given = batch([(k, 1, "x") for k in keys], partition=np.full(9, 5, np.int32))
    records = writer().records(given, StepContext(), 4)
    assert records is not None
    placed = partition_of(pa.array([k.encode() for k in "abcdefgh"], pa.binary()), 4)
    assert records.partition.tolist() == [*placed.tolist(), 1]


def test_time_from_a_column() -> None:
    context = StepContext()
    sink = writer(timestamp=TimestampColumn("N", None))
    given = batch([("a", 500, "x"), ("b", None, "x"), ("c", -1, "x"), ("d", None, None)])
    given.value_null = np.array([False, False, False, True])
    assert written(sink.records(given, context, 1)) == [
        (b"a", b"500,x", 500),
        (b"d", None, 13),
    ]
    assert sum(n.count for n in context.notes if n.kind == "skipped") == 2
    assert given.rowtime.tolist() == [10, 11, 12, 13]
    text = writer(timestamp=TimestampColumn("S", "yyyy-MM-dd"))
    given = batch([("a", 1, "1970-01-02"), ("b", 1, "soon")])
    assert written(text.records(given, context, 1)) == [(b"a", b"1,1970-01-02", 86_400_000)]


def test_changes_of_a_table_are_coalesced_under_a_cache_only() -> None:
    given = batch(
        [("a", 1, "x"), ("b", 1, "x"), ("a", 2, "y"), ("c", 1, "x"), ("c", None, None)],
        old=[],
        old_null=np.array([True, True, False, True, False]),
        value_null=np.array([False, False, False, False, True]),
    )
    assert len(written(writer().records(given, StepContext(Emission.ALL), 1))) == 5
    assert written(writer().records(given, StepContext(Emission.LAST), 1)) == [
        (b"b", b"1,x", 11),
        (b"a", b"2,y", 12),
    ]
