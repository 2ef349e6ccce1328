"""A segment of windowed state: the rows of some neighbouring positions, by key and position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from millstream.columns import segments as sg
from millstream.columns.block_index import BlockIndex
from millstream.columns.hash_index import HashIndex
from millstream.engine.state.pages import columns_of
from millstream.engine.state.slots import SlotTable
from millstream.functions.aggregates.kernels import ColumnKernel
from millstream.store.state_rows import RowShape, StateRows

IDS, POSITIONS, FIRST_EXTRA = 1, 2, 5
"""Columns of stored rows: slot, key's number, position, whether it is live, row time, extra ones,
then the states of the calls."""

_PLAIN_BYTES = 48


def bytes_of_row(kernels: Sequence[ColumnKernel], extra: int) -> int:
    """About how much memory a row takes, with its place in the index."""
    return _PLAIN_BYTES + 8 * (extra + sum(k.stored_width for k in kernels))


class Segment:
    """The rows of `span` positions from `first` on."""

    def __init__(
        self,
        first: int,
        span: int,
        kernels: Sequence[ColumnKernel],
        extra: int,
        shape: RowShape,
        index: HashIndex | BlockIndex,
    ) -> None:
        self.index = index
        self.ids = np.empty(0, np.int64)
        self.positions = np.empty(0, np.int64)
        self.table = SlotTable(kernels, extra)
        self.touched = 0
        self._first = first
        self._span = span
        self._shape = shape

    def __len__(self) -> int:
        return len(self.index)

    def slots(self, ids: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """The slots of pairs, which are distinct; unknown ones are added."""
        before = len(self.index)
        if len(ids) <= self.index.few:
            span, first = self._span, self._first
            pairs = zip(ids.tolist(), positions.tolist(), strict=True)
            slots = self.index.insert_few([i * span + at - first for i, at in pairs])
        else:
            slots = self.index.find_or_insert_distinct(self._code(ids, positions))
        count = len(self.index)
        if count > before:
            self._reserve(count)
            fresh = slots >= before
            self.ids[slots[fresh]] = ids[fresh]
            self.positions[slots[fresh]] = positions[fresh]
            self.table.extend(count)
        return slots

    def find(self, ids: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """The slots of pairs, -1 for unknown ones."""
        return self.index.find(self._code(ids, positions))

    def slots_of_keys(self, ids: np.ndarray, first: int | None, last: int | None) -> np.ndarray:
        """The slots of the rows of some keys at positions from `first` to `last`, key by key."""
        low, high = self._first, self._first + self._span - 1
        low = low if first is None else max(low, first)
        high = high if last is None else min(high, last)
        count = high - low + 1
        if count <= 0:
            return np.empty(0, np.int64)
        slots = self.find(np.repeat(ids, count), np.tile(np.arange(low, high + 1), len(ids)))
        return np.asarray(slots[self.table.is_live(slots)])

    def live_slots(self, first: int | None, last: int | None) -> np.ndarray:
        """The slots of rows at positions from `first` to `last`."""
        slots = self.table.live()
        at = self.positions[slots]
        if first is not None:
            slots, at = slots[at >= first], at[at >= first]
        return slots if last is None else slots[at <= last]

    def keys(self) -> np.ndarray:
        """The key's number of every row."""
        return self.ids[: len(self)]

    def stored(self, slots: np.ndarray) -> StateRows:
        """Rows as a part of a page; a slot's number is part of its row, and never changes."""
        columns = [slots, self.ids[slots], self.positions[slots], *self.table.stored(slots)]
        return self._shape.rows(columns)

    def fill(self, parts: Sequence[pa.RecordBatch], keys: np.ndarray | None = None) -> None:
        """Take in what was stored, oldest first, into a segment that is empty: all rows with the
        slots that they had, or those of some keys, with slots of no meaning."""
        if not parts:
            return
        columns = columns_of(parts)
        slots = columns[0].to_numpy()
        if keys is None:
            last = _last_by_slot(slots)
        else:
            mine = np.flatnonzero(np.isin(columns[IDS].to_numpy(), keys))
            _, last = sg.last_of_each(slots[mine])
            last = mine[last]
        if last is not None:
            picked = pa.array(last)
            columns = [c.take(picked) for c in columns]
        # Slots are given in order, so that each row gets the one that it had.
        self.ids, self.positions = (c.to_numpy().copy() for c in columns[IDS : POSITIONS + 1])
        given = self.index.find_or_insert_distinct(self._code(self.ids, self.positions))
        self.table.extend(len(given))
        self.table.restore(given, columns[POSITIONS + 1 :])

    def _code(self, ids: np.ndarray, positions: np.ndarray) -> np.ndarray:
        return np.asarray(ids * self._span + (positions - self._first))

    def _reserve(self, count: int) -> None:
        if count > len(self.ids):
            size = max(count, 2 * len(self.ids), 64)
            self.ids = np.resize(self.ids, size)
            self.positions = np.resize(self.positions, size)


def _last_by_slot(slots: np.ndarray) -> np.ndarray | None:
    """The last row of each slot, by slot; None where there is one of each, in their order."""
    count = int(slots.max(initial=-1)) + 1
    if count == len(slots) and (slots == np.arange(count)).all():
        return None
    last = np.full(count, -1, np.int64)
    # Of rows for one slot the last is kept.
    last[slots] = np.arange(len(slots))
    assert (last >= 0).all(), "every slot of a segment was written"
    return last
