"""The keys of a state, kept with it: numbers for keys, and each key's partition."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from millstream.columns import arrow
from millstream.columns import segments as sg
from millstream.columns.keys import KeyIndex
from millstream.engine.state.pages import columns_of, part_of
from millstream.engine.state.ring import Ring
from millstream.store.interfaces import Commit, StoreId, View
from millstream.store.state_rows import RowShape, StateRows
from millstream.types import SqlType

_FEWEST_SWEPT = 65_536


class StoredKeys:
    """A key index that writes the keys it gained and lost, each with the partition it came in."""

    def __init__(self, types: Sequence[SqlType], store: StoreId) -> None:
        self.index = KeyIndex(types)
        self._store = part_of(store, "keys")
        self._ring = Ring(self._store)
        self._shape = RowShape()
        self._partitions = np.empty(0, np.int32)
        self._changed: list[np.ndarray] = []
        self._swept = 0

    def ids(self, arrays: list[pa.Array], partition: np.ndarray) -> np.ndarray:
        """The number of each row's key; unknown keys get the next numbers."""
        recalled = self.index.recall(arrays)
        if recalled is not None:
            return recalled
        ids, first = self.index.insert(arrays)
        if len(first):
            self._reserve(len(self.index))
            self._partitions[ids[first]] = partition[first]
            self._changed.append(ids[first])
        return ids

    def partitions(self, ids: np.ndarray) -> np.ndarray:
        """The partition of each key."""
        return np.asarray(self._partitions[ids])

    def sweep(self, holders: Callable[[int], np.ndarray | None]) -> np.ndarray:
        """Forget keys that no state holds, once their number has doubled since the last time.

        `holders` gives a mask over that many keys: which ones are still held; or None where that
        takes another call to know. The numbers of the forgotten ones are given.
        """
        used = self.index.used
        if used <= max(2 * self._swept, _FEWEST_SWEPT):
            return np.empty(0, np.int64)
        count = len(self.index)
        held = holders(count)
        if held is None:
            return np.empty(0, np.int64)
        known = self.index.holds(np.arange(count))
        gone = np.flatnonzero(known & ~held)
        if len(gone):
            self.index.release(gone)
            self._changed.append(gone)
        self._swept = self.index.used
        return gone

    def write(self, commit: Commit) -> None:
        """Write the keys gained and lost since the last write."""
        if not self._changed:
            return
        changed = sg.distinct(np.concatenate(self._changed))
        self._changed.clear()
        self._ring.write(commit, changed, len(self.index), self._rows)

    def load(self, view: View) -> None:
        """Read all keys."""
        parts = []
        for part in view.state(self._store):
            self._ring.loaded(part.page, part.rows)
            parts.append(part.rows)
        if not parts:
            return
        columns = columns_of(parts)
        ids = columns[0].to_numpy()
        _, last = sg.last_of_each(ids)
        last = last[arrow.true_mask(columns[1])[last]]
        last = last[np.argsort(ids[last])]
        partition, *keys = (c.take(pa.array(last)) for c in columns[2:])
        self.index.restore(keys, ids[last])
        self._reserve(len(self.index))
        self._partitions[ids[last]] = partition.to_numpy()

    def _reserve(self, count: int) -> None:
        if count > len(self._partitions):
            grown = np.zeros(max(count, 2 * len(self._partitions), 64), np.int32)
            grown[: len(self._partitions)] = self._partitions
            self._partitions = grown

    def _rows(self, ids: np.ndarray) -> StateRows:
        live, partition = self.index.holds(ids), self._partitions[ids]
        return self._shape.rows([ids, live, partition, *self.index.arrays(ids)])
