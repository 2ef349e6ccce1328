"""A store of state in memory, and batches from plain Python rows, for operators' tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.columns import arrow
from millstream.columns.batch import Batch
from millstream.store.interfaces import Later, StatePart, StoreId, View
from millstream.store.state_rows import StateRows


class FakeStore:
    """Commit and View at once: pages of state, in the order in which they were written.

    `in_memory`: nothing is read later, as where the store itself lies in memory.
    """

    def __init__(self, in_memory: bool = False) -> None:
        self.in_memory = in_memory
        self.reads = 0
        self.parts: dict[StoreId, list[StatePart]] = {}
        self.meta: dict[StoreId, str] = {}
        self.rows_written = 0

    def put_delta(self, store: StoreId, page: int, rows: pa.RecordBatch | StateRows) -> None:
        self.rows_written += rows.num_rows
        batch = StateRows.of(rows).batch()
        self.parts.setdefault(store, []).append(StatePart(page, _copied(batch)))

    def put_page(self, store: StoreId, page: int, rows: pa.RecordBatch | StateRows) -> None:
        self.drop_page(store, page)
        self.put_delta(store, page, rows)

    def drop_page(self, store: StoreId, page: int) -> None:
        self.parts[store] = [p for p in self.parts.get(store, []) if p.page != page]

    def put_state_meta(self, store: StoreId, meta: dict[str, Any]) -> None:
        self.meta[store] = json.dumps(meta)

    def state(self, store: StoreId, pages: range | None = None) -> Iterator[StatePart]:
        for part in list(self.parts.get(store, [])):
            if pages is None or part.page in pages:
                yield part

    def pages(self, store: StoreId) -> list[int]:
        return sorted({p.page for p in self.parts.get(store, [])})

    def later(self) -> Later | None:
        return None if self.in_memory else self._again

    def _again(self) -> AbstractContextManager[View]:
        self.reads += 1
        return nullcontext(self)  # type: ignore[arg-type]

    def state_meta(self, store: StoreId) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.meta.get(store, "{}"))
        return found


def _copied(rows: pa.RecordBatch) -> pa.RecordBatch:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_batch(rows)
    return pa.ipc.open_stream(sink.getvalue()).read_next_batch()


def batch_of(
    key: Sequence[tuple[str, t.SqlType]],
    value: Sequence[tuple[str, t.SqlType]],
    rows: Sequence[tuple[Any, ...]],
    rowtime: Sequence[int],
    partition: Sequence[int] | None = None,
    first: int = 0,
) -> Batch:
    """A batch of rows (key values, then value values); `first` is the first row's place."""
    columns = [*key, *value]
    count = len(rows)
    places = np.arange(first, first + count)
    return Batch(
        schema=t.Schema.of(key, value),
        arrays=[arrow.from_python([r[i] for r in rows], x) for i, (_, x) in enumerate(columns)],
        rowtime=np.array(rowtime, np.int64),
        order=places,
        seq=places + 1000,
        partition=np.array([0] * count if partition is None else partition, np.int32),
        offset=places,
    )


def changes(batch: Batch) -> list[tuple[Any, ...]]:
    """Each row as (order, key, window, rowtime, new values or None, old values or None)."""
    count = len(batch)
    columns = [
        arrow.to_python(a, c.type)
        for a, c in zip(batch.arrays, (*batch.schema.key, *batch.schema.value), strict=True)
    ]
    keys = len(batch.schema.key)
    olds = [
        arrow.to_python(a, c.type)
        for a, c in zip(batch.old or [], batch.schema.value, strict=False)
    ]
    rows = []
    for i in range(count):
        gone = batch.value_null is not None and bool(batch.value_null[i])
        absent = batch.old is None or (batch.old_null is not None and bool(batch.old_null[i]))
        window = (
            None
            if batch.window_start is None or batch.window_end is None
            else (int(batch.window_start[i]), int(batch.window_end[i]))
        )
        rows.append(
            (
                int(batch.order[i]),
                tuple(c[i] for c in columns[:keys]),
                window,
                int(batch.rowtime[i]),
                None if gone else tuple(_exact(c[i]) for c in columns[keys:]),
                None if absent else tuple(_exact(c[i]) for c in olds),
            )
        )
    return rows


def _exact(value: Any) -> Any:
    """Floats by their bits, so that comparing is exact and NaN equals itself."""
    return value.hex() if isinstance(value, float) else value
