"""State by key: a key's number is its slot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from millstream.columns import segments as sg
from millstream.engine.state.keys import StoredKeys
from millstream.engine.state.pages import columns_of
from millstream.engine.state.ring import Ring
from millstream.engine.state.slots import Rows, SlotTable
from millstream.functions.aggregates.kernels import ColumnKernel
from millstream.store.interfaces import Commit, StoreId, View
from millstream.store.state_rows import RowShape, StateRows
from millstream.types import SqlType


class KeyedState:
    """One row of states per key, in the pages of a ring."""

    def __init__(
        self,
        store: StoreId,
        types: Sequence[SqlType],
        kernels: Sequence[ColumnKernel],
        extra: int = 0,
    ) -> None:
        self.keys = StoredKeys(types, store)
        self._table = SlotTable(kernels, extra)
        self._store = store
        self._ring = Ring(store)
        self._shape = RowShape()

    def gather(self, slots: np.ndarray) -> Rows:
        """The rows of some keys."""
        self._table.extend(len(self.keys.index))
        return self._table.gather(slots)

    def scatter(self, slots: np.ndarray, rows: Rows) -> None:
        """Set the rows of some keys, which are distinct."""
        self._table.scatter(slots, rows)

    def forget(self, slots: np.ndarray) -> None:
        """Remove the rows of some keys."""
        if len(slots):
            rows = self.gather(slots)
            rows.live[:] = False
            self._table.scatter(slots, rows)

    def live(self) -> np.ndarray:
        """The keys that have a row, in order of first occurrence."""
        return self._table.live()

    def is_live(self, slots: np.ndarray) -> np.ndarray:
        """Which of the keys have a row; -1 has none."""
        return self._table.is_live(slots)

    def write(self, commit: Commit) -> None:
        """Write new keys and changed rows."""
        self.keys.write(commit)
        changed = self._table.changed()
        if len(changed):
            self._ring.write(commit, changed, self._table.size, self._rows, self._table.live)

    def load(self, view: View) -> None:
        """Read keys and rows."""
        self.keys.load(view)
        parts = []
        for part in view.state(self._store):
            self._ring.loaded(part.page, part.rows)
            parts.append(part.rows)
        if not parts:
            return
        columns = columns_of(parts)
        _, last = sg.last_of_each(columns[0].to_numpy())
        picked = pa.array(last)
        slots = columns[0].to_numpy()[last]
        self._table.extend(max(len(self.keys.index), int(slots.max()) + 1))
        self._table.restore(slots, [c.take(picked) for c in columns[1:]])

    def _rows(self, slots: np.ndarray) -> StateRows:
        return self._shape.rows([slots, *self._table.stored(slots)])
