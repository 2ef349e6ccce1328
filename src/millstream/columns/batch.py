"""What flows between a query's steps: rows in columns, each knowing which record caused it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from millstream.columns import arrow
from millstream.types import Column, Schema

_FEW = 64
"""Of so few rows some may be slices, which hold on to the memory of all of them."""


@dataclass(slots=True)
class Batch:
    """Rows of a stream, or changes of a table, in the order in which they happen.

    All arrays have one entry per row. `arrays` follows `schema.columns` (key columns first, then
    value columns). Masks are boolean arrays, or None where nothing is masked.

    - `order`: the place of the record that caused the row among all records that the query reads
      in this step, counted over all its topics; several rows may share one. Never decreasing.
    - `seq`: the database-wide number of the record that the row originates from.
    - `rowtime`: event time in ms. `partition`, `offset`: where the causing record stood; after a
      repartition `partition` is the partition of the new key and decides the row's stream time.
    - `window_start`, `window_end`: ms, for rows with a windowed key.
    - `value_null`: the record's value is null: a tombstone in a table.
    - `headers`: list<struct<KEY, VALUE>> of the causing record, or None where no row has any.
    - `old`: for changes of a table, the value columns before the change; `old_null` is true where
      there was no row. Both None for streams.
    """

    schema: Schema
    arrays: list[pa.Array]
    rowtime: np.ndarray
    order: np.ndarray
    seq: np.ndarray
    partition: np.ndarray
    offset: np.ndarray
    key_null: np.ndarray | None = None
    value_null: np.ndarray | None = None
    window_start: np.ndarray | None = None
    window_end: np.ndarray | None = None
    headers: pa.Array | None = None
    old: list[pa.Array] | None = None
    old_null: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rowtime)

    @property
    def key_arrays(self) -> list[pa.Array]:
        """The key columns."""
        return self.arrays[: len(self.schema.key)]

    @property
    def value_arrays(self) -> list[pa.Array]:
        """The value columns."""
        return self.arrays[len(self.schema.key) :]

    def take(self, rows: np.ndarray, unread: Collection[int] = ()) -> Batch:
        """The rows at the given indices, in that order; an index may repeat. Columns at the
        indices `unread` are of no use to anybody any more and come out null."""
        return Batch(
            self.schema,
            _take(self.arrays, rows) if not unread else self._read_at(rows, unread),
            self.rowtime[rows],
            self.order[rows],
            self.seq[rows],
            self.partition[rows],
            self.offset[rows],
            _pick(self.key_null, rows),
            _pick(self.value_null, rows),
            _pick(self.window_start, rows),
            _pick(self.window_end, rows),
            None if self.headers is None else arrow.pick(self.headers, rows),
            None if self.old is None else _take(self.old, rows),
            _pick(self.old_null, rows),
        )

    def where(self, keep: np.ndarray, unread: Collection[int] = ()) -> Batch:
        """The rows where `keep` (a boolean mask) is true; `unread` as in `take`."""
        kept = keep.tobytes()
        if 0 not in kept:
            return self
        count = kept.count(1)
        if count == 0:
            return self._between(0, 0)
        start = kept.index(1)
        if len(kept) <= _FEW and kept.rindex(1) - start < count:
            return self._between(start, start + count)
        return self.take(keep.nonzero()[0], unread)

    def _between(self, start: int, end: int) -> Batch:
        """The rows from `start` up to, but without, `end`; they share the memory of these."""

        def cut(array: np.ndarray | None) -> np.ndarray | None:
            return None if array is None else array[start:end]

        def slices(arrays: list[pa.Array], columns: Sequence[Column]) -> list[pa.Array]:
            if start == end:
                return arrow.no_values(columns[: len(arrays)])
            return [a.slice(start, end - start) for a in arrays]

        return Batch(
            self.schema,
            slices(self.arrays, self.schema.columns),
            self.rowtime[start:end],
            self.order[start:end],
            self.seq[start:end],
            self.partition[start:end],
            self.offset[start:end],
            cut(self.key_null),
            cut(self.value_null),
            cut(self.window_start),
            cut(self.window_end),
            None if self.headers is None else self.headers.slice(start, end - start),
            None if self.old is None else slices(self.old, self.schema.value),
            cut(self.old_null),
        )

    def _read_at(self, rows: np.ndarray, unread: Collection[int]) -> list[pa.Array]:
        read = [a for place, a in enumerate(self.arrays) if place not in unread]
        taken = iter(_take(read, rows))
        return [
            pa.nulls(len(rows), array.type) if place in unread else next(taken)
            for place, array in enumerate(self.arrays)
        ]

    def with_columns(self, schema: Schema, arrays: list[pa.Array]) -> Batch:
        """The same rows with other columns; of old rows only whether they were there is kept."""
        return Batch(
            schema,
            arrays,
            self.rowtime,
            self.order,
            self.seq,
            self.partition,
            self.offset,
            self.key_null,
            self.value_null,
            self.window_start,
            self.window_end,
            self.headers,
            None if self.old is None else [],
            self.old_null,
        )

    def widen(self, schema: Schema, more: list[pa.Array]) -> None:
        """Put further columns behind the others, of the old rows, too."""
        self.schema = schema
        self.arrays = [*self.arrays, *more]
        if self.old is not None:
            self.old = [*self.old, *more]

    def with_old(self, old: list[pa.Array] | None, old_null: np.ndarray | None) -> Batch:
        """The same rows as changes of other old rows."""
        return self._with_nulls(self.value_null, old, old_null)

    def with_nulls(self, value_null: np.ndarray | None, old_null: np.ndarray | None) -> Batch:
        """The same changes with other masks."""
        return self._with_nulls(value_null, self.old, old_null)

    def _with_nulls(
        self,
        value_null: np.ndarray | None,
        old: list[pa.Array] | None,
        old_null: np.ndarray | None,
    ) -> Batch:
        return Batch(
            self.schema,
            self.arrays,
            self.rowtime,
            self.order,
            self.seq,
            self.partition,
            self.offset,
            self.key_null,
            value_null,
            self.window_start,
            self.window_end,
            self.headers,
            old,
            old_null,
        )

    def rekeyed(
        self,
        schema: Schema,
        arrays: list[pa.Array],
        partition: np.ndarray,
        key_null: np.ndarray | None,
        value_null: np.ndarray | None = None,
    ) -> Batch:
        """Rows of a stream under another key, without windows, in the partition of that key."""
        return Batch(
            schema,
            arrays,
            self.rowtime,
            self.order,
            self.seq,
            partition,
            self.offset,
            key_null,
            value_null,
            headers=self.headers,
        )

    def derive(
        self,
        trigger: np.ndarray | None,
        schema: Schema,
        arrays: list[pa.Array],
        *,
        rowtime: np.ndarray | None = None,
        partition: np.ndarray | None = None,
        value_null: np.ndarray | None = None,
        window_start: np.ndarray | None = None,
        window_end: np.ndarray | None = None,
        old: list[pa.Array] | None = None,
        old_null: np.ndarray | None = None,
    ) -> Batch:
        """Rows of another schema, each caused by the row of this batch at index `trigger` (None:
        row by row).

        Order, seq, offset, headers and, unless given, rowtime and partition are the trigger's.
        """
        if trigger is None:
            headers, order, seq, offset = self.headers, self.order, self.seq, self.offset
            rowtime = self.rowtime if rowtime is None else rowtime
            partition = self.partition if partition is None else partition
        else:
            order, seq, offset = self.order[trigger], self.seq[trigger], self.offset[trigger]
            rowtime = self.rowtime[trigger] if rowtime is None else rowtime
            partition = self.partition[trigger] if partition is None else partition
            headers = None if self.headers is None else arrow.pick(self.headers, trigger)
        return Batch(
            schema,
            arrays,
            rowtime,
            order,
            seq,
            partition,
            offset,
            None,
            value_null,
            window_start,
            window_end,
            headers,
            old,
            old_null,
        )


def empty(schema: Schema) -> Batch:
    """A batch of no rows."""
    none = np.empty(0, np.int64)
    arrays = arrow.no_values(schema.columns)
    return Batch(schema, arrays, none, none, none, np.empty(0, np.int32), none)


def is_null(mask: np.ndarray | None, length: int) -> np.ndarray:
    """A mask as an array, where None stands for all false."""
    return np.zeros(length, bool) if mask is None else mask


def mask_or_none(mask: np.ndarray) -> np.ndarray | None:
    """The mask, or None where nothing is masked."""
    return mask if arrow.any_true(mask) else None


def concat(batches: Sequence[Batch]) -> Batch:
    """The rows of several batches of one schema, one after the other."""
    batches = [b for b in batches if len(b)] or batches[:1]
    first = batches[0]
    if len(batches) == 1:
        return first
    return replace(
        first,
        arrays=[arrow.concat([b.arrays[i] for b in batches]) for i in range(len(first.arrays))],
        rowtime=np.concatenate([b.rowtime for b in batches]),
        order=np.concatenate([b.order for b in batches]),
        seq=np.concatenate([b.seq for b in batches]),
        partition=np.concatenate([b.partition for b in batches]),
        offset=np.concatenate([b.offset for b in batches]),
        key_null=_join_masks([(b.key_null, len(b)) for b in batches]),
        value_null=_join_masks([(b.value_null, len(b)) for b in batches]),
        window_start=_join([b.window_start for b in batches]),
        window_end=_join([b.window_end for b in batches]),
        headers=_join_headers(batches),
        old=None
        if first.old is None
        else [
            arrow.concat([b.old[i] for b in batches if b.old is not None])
            for i in range(len(first.old))
        ],
        old_null=None
        if first.old is None
        else _join_masks([(b.old_null, len(b)) for b in batches]),
    )


def _take(arrays: list[pa.Array], rows: np.ndarray) -> list[pa.Array]:
    return arrow.pick_all(arrays, rows)


def _pick(array: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if array is None else array[rows]


def _join(parts: list[np.ndarray | None]) -> np.ndarray | None:
    present = [p for p in parts if p is not None]
    return np.concatenate(present) if present else None


def _join_masks(parts: list[tuple[np.ndarray | None, int]]) -> np.ndarray | None:
    if all(mask is None for mask, _ in parts):
        return None
    return np.concatenate([is_null(mask, length) for mask, length in parts])


def _join_headers(batches: Sequence[Batch]) -> pa.Array | None:
    known = next((b.headers.type for b in batches if b.headers is not None), None)
    if known is None:
        return None
    return pa.concat_arrays(
        [pa.nulls(len(b), known) if b.headers is None else b.headers for b in batches]
    )
