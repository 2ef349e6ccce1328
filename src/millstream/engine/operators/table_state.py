"""The rows of a table that a query reads, kept so that a change knows what was there before."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from millstream.columns import arrow
from millstream.columns.batch import Batch, is_null
from millstream.columns.keys import KeyIndex
from millstream.columns.row_store import RowStore
from millstream.columns.segments import Segments, by_code, distinct
from millstream.engine.operators.base import StepContext
from millstream.engine.state.ring import Ring
from millstream.store.interfaces import Commit, StoreId, View
from millstream.types import BIGINT, Schema

_ROWTIME = "$rowtime"
_SLOT = "$slot"
_LIVE = "$live"
_FEW_ROWS = 16
"""So few rows are kept as they are; of many a copy, that does not hold on to all they came with."""
_FEWEST_SWEPT = 65_536


class TableState:
    """Materialises a table: turns its records into changes with old rows.

    Rows lie in slots numbered by key in order of appearance, and are written by slot (see `Ring`).
    """

    def __init__(self, name: str, schema: Schema, store: StoreId) -> None:
        self.name = name
        self.schema = schema
        self.store = store
        self._key_count = len(schema.key)
        self._keys = KeyIndex([c.type for c in schema.key])
        self._rows = RowStore([c.type for c in schema.value] + [BIGINT])
        self._dirty: list[np.ndarray] = []
        self._ring = Ring(store)

    # --- steps -------------------------------------------------------------------------------

    def step(self, batch: Batch, context: StepContext) -> Batch:
        """The same rows as changes: each with the row of its key before it."""
        slots = self._keys.ids(batch.key_arrays)
        segments = by_code(slots)
        stored, absent = self.get(slots)
        old, old_null = self._old_rows(batch, segments, stored, absent)
        self._put(batch, slots, segments)
        return batch.with_old(old, old_null)

    def _old_rows(
        self, batch: Batch, segments: Segments, stored: list[pa.Array], absent: np.ndarray
    ) -> tuple[list[pa.Array], np.ndarray]:
        """Old rows: the stored one for a key's first change, its previous change's for others."""
        if len(segments) == len(batch):
            return stored, absent
        length = len(batch)
        before = np.arange(length) + length
        later = np.ones(length, bool)
        later[segments.starts] = False
        places = np.flatnonzero(later)
        before[segments.order[places]] = segments.order[places - 1]
        index = pa.array(before)
        old = [
            pa.concat_arrays([new, kept]).take(index)
            for new, kept in zip(batch.value_arrays, stored, strict=True)
        ]
        gone = np.concatenate([is_null(batch.value_null, length), absent])
        return old, gone[before]

    def _put(self, batch: Batch, slots: np.ndarray, segments: Segments) -> None:
        if len(segments) == len(batch) <= _FEW_ROWS and batch.value_null is None:
            self._rows.put(slots, [*batch.value_arrays, pa.array(batch.rowtime)])
            self._dirty.append(slots)
            return
        last = segments.order[segments.ends]
        gone = is_null(batch.value_null, len(batch))[last]
        kept = last[~gone]
        index = pa.array(kept)
        values = [a.take(index) for a in batch.value_arrays]
        self._rows.put(slots[kept], [*values, pa.array(batch.rowtime[kept])])
        self._rows.remove(slots[last[gone]])
        self._dirty.append(slots[last])

    # --- reading -----------------------------------------------------------------------------

    def find(self, keys: list[pa.Array]) -> np.ndarray:
        """The slots of keys, -1 where a key never had a row."""
        recalled = self._keys.recall(keys)
        return self._keys.find(keys) if recalled is None else recalled

    def keys_at(self, slots: np.ndarray) -> list[pa.Array]:
        """The key columns at slots; null at -1."""
        index = np.maximum(slots, 0)
        if len(self._keys) == 0:
            return [arrow.nulls(c.type, len(slots)) for c in self.schema.key]
        return arrow.masked(self._keys.arrays(index), slots < 0)

    def get(self, slots: np.ndarray) -> tuple[list[pa.Array], np.ndarray]:
        """The value columns at slots, and a mask of those that hold no row now."""
        return self._rows.get(slots, len(self.schema.value))

    def rows(self) -> Batch:
        """All rows, in the order in which their keys came."""
        return self._batch(self._rows.slots())

    def lookup(self, keys: list[pa.Array]) -> Batch:
        """The rows of the given keys."""
        slots = self._keys.find(keys)
        return self._batch(slots[self._rows.has(slots)])

    def _batch(self, slots: np.ndarray) -> Batch:
        values, _ = self._rows.get(slots)
        count = len(slots)
        rowtime = values[-1].to_numpy() if count else np.empty(0, np.int64)
        return Batch(
            schema=self.schema,
            arrays=[*self._keys.arrays(slots), *values[:-1]],
            rowtime=rowtime,
            order=np.arange(count),
            seq=np.full(count, -1, np.int64),
            partition=np.zeros(count, np.int32),
            offset=np.full(count, -1, np.int64),
        )

    # --- persistence -------------------------------------------------------------------------

    def write(self, commit: Commit) -> None:
        """Write the rows that changed since the last write."""
        if not self._dirty:
            return
        changed = distinct(np.concatenate(self._dirty))
        self._dirty.clear()
        self._sweep()
        self._ring.write(commit, changed, len(self._keys), self._encode, self._kept)

    def _sweep(self) -> None:
        """Forget the keys of rows that are gone, once they are the larger part."""
        used = self._keys.used
        if used >= _FEWEST_SWEPT and 2 * len(self._rows) < used:
            slots = np.arange(len(self._keys))
            self._keys.release(slots[self._keys.holds(slots) & ~self._rows.has(slots)])

    def _kept(self, low: int, high: int) -> np.ndarray:
        """The slots of a range that have a key."""
        slots = np.arange(low, high)
        return np.asarray(slots[self._keys.holds(slots)])

    def _encode(self, slots: np.ndarray) -> pa.RecordBatch:
        values, absent = self._rows.get(slots)
        columns = {_SLOT: pa.array(slots), _LIVE: pa.array(~absent)}
        for number, key in enumerate(self._keys.arrays(slots)):
            columns[f"k{number}"] = key
        for number, value in enumerate(values[:-1]):
            columns[f"v{number}"] = value
        columns[_ROWTIME] = values[-1]
        return pa.RecordBatch.from_pydict(columns)

    def load(self, view: View) -> None:
        """Read what the last commit left; keys of rows that are gone are forgotten."""
        parts = []
        for part in view.state(self.store):
            parts.append(part.rows)
            self._ring.loaded(part.page, part.rows)
        if not parts:
            return
        slots = np.concatenate([p.column(_SLOT).to_numpy() for p in parts])
        segments = by_code(slots)
        last = segments.order[segments.ends]
        live = arrow.concat([p.column(_LIVE) for p in parts]).to_numpy(zero_copy_only=False)
        kept = last[live[last]]
        index = pa.array(kept)
        keys = [
            arrow.concat([p.column(f"k{n}") for p in parts]).take(index)
            for n in range(self._key_count)
        ]
        self._keys.restore(keys, slots[kept])
        names = [f"v{n}" for n in range(len(self.schema.value))] + [_ROWTIME]
        values = [arrow.concat([p.column(n) for p in parts]).take(index) for n in names]
        self._rows.put(slots[kept], values)
