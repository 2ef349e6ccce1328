"""Rows of any types by slot: append-only Arrow chunks, and an index from slot to row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.columns import arrow
from millstream.columns.chunks import Chunks

_FEWEST_ROWS = 4096
"""With fewer rows than this nothing is moved."""
_MOVED, _FEWEST_MOVED = 4, 1024
"""Old rows that are looked at for each new one, and at least."""


class RowStore:
    """Slot to a row of value columns.

    Rows are only ever appended. While half of them are dead, each change looks at some of the
    oldest and appends those that live once more, so that the memory before them can be freed and
    no change pays for all.
    """

    def __init__(self, types: Sequence[t.SqlType]) -> None:
        self.types = tuple(types)
        self._columns = [Chunks(arrow.arrow_type(x)) for x in self.types]
        self._row = np.zeros(64, np.int64)
        """Each slot's row number plus one; 0 where it has none."""
        self._slot = np.zeros(64, np.int32)
        """The slot of each row from `_base` on."""
        self._base = 0
        self._oldest = 0
        self._appended = 0
        self._live = 0

    def __len__(self) -> int:
        """How many slots hold a row."""
        return self._live

    def get(self, slots: np.ndarray, count: int | None = None) -> tuple[list[pa.Array], np.ndarray]:
        """The rows at the slots, and a mask that is true where there is none (its values: null).

        `count`: so many of the first columns are wanted.
        """
        columns = self._columns[:count]
        if len(slots) <= arrow.VERY_FEW:
            few = self._few_rows_at(slots.tolist())
            if -1 not in few:
                return [c.few(few) for c in columns], np.zeros(len(few), bool)
        rows = self._rows_at(slots)
        absent = rows < 0
        if not arrow.any_true(absent):
            index = pa.array(rows) if len(rows) > arrow.VERY_FEW else None
            return [c.take(rows, index) for c in columns], absent
        if absent.all():
            return [pa.nulls(len(rows), c.type) for c in columns], absent
        index = pa.array(rows, mask=absent)
        return [c.take(index) for c in columns], absent

    def has(self, slots: np.ndarray) -> np.ndarray:
        """A mask: true where the slot holds a row."""
        return self._rows_at(slots) >= 0

    def put(self, slots: np.ndarray, arrays: list[pa.Array]) -> None:
        """Set the rows of the slots; where a slot occurs twice its last row counts."""
        if len(slots) == 0:
            return
        self._reserve(int(slots.max()) + 1)
        absent = self._row[slots] == 0
        placed = self._append(slots, arrays)
        # Of rows for one slot the last is in place: it counts for the slot.
        self._live += int(np.count_nonzero(absent & (self._row[slots] == placed)))
        self._clean(len(slots))

    def remove(self, slots: np.ndarray) -> None:
        """Forget the rows of the slots; one without a row is left alone."""
        slots = slots[self.has(slots)]
        if len(slots) == 0:
            return
        turn = np.arange(len(slots))
        self._row[slots] = turn
        self._live -= int(np.count_nonzero(self._row[slots] == turn))
        self._row[slots] = 0
        self._clean(len(slots))

    def slots(self) -> np.ndarray:
        """All slots that hold a row, ascending."""
        return np.flatnonzero(self._row)

    # --- inside -------------------------------------------------------------------------------

    def _rows_at(self, slots: np.ndarray) -> np.ndarray:
        """Row numbers; -1 for slots without a row, negative and never used ones included."""
        inside = (slots >= 0) & (slots < len(self._row))
        if inside.all():
            return np.asarray(self._row[slots] - 1)
        return np.where(inside, self._row[np.where(inside, slots, 0)] - 1, -1)

    def _few_rows_at(self, slots: list[int]) -> list[int]:
        row_at, size = self._row.item, len(self._row)
        return [row_at(slot) - 1 if 0 <= slot < size else -1 for slot in slots]

    def _reserve(self, size: int) -> None:
        if size > len(self._row):
            grown = np.zeros(max(size, 2 * len(self._row)), np.int64)
            grown[: len(self._row)] = self._row
            self._row = grown

    def _append(self, slots: np.ndarray, arrays: list[pa.Array]) -> np.ndarray:
        """Put rows at the end; gives what stands for them in the index."""
        start = self._appended - self._base
        end = start + len(slots)
        if end > len(self._slot):
            # What was moved leaves room, where that is much; else there must be more.
            gone = self._oldest - self._base
            used = self._slot[gone:start]
            self._slot = np.zeros(max(2 * (end - gone), 64), np.int32)
            self._slot[: len(used)] = used
            self._base += gone
            start, end = start - gone, end - gone
        self._slot[start:end] = slots
        placed = np.arange(self._appended + 1, self._appended + len(slots) + 1)
        self._row[slots] = placed
        self._appended += len(slots)
        for column, array in zip(self._columns, arrays, strict=True):
            column.append(array)
        return placed

    def _clean(self, changed: int) -> None:
        """Move some of the oldest rows to the end, where half of all are dead."""
        held = self._appended - self._oldest
        if held < _FEWEST_ROWS or held < 2 * self._live:
            return
        end = min(self._oldest + max(_MOVED * changed, _FEWEST_MOVED), self._appended)
        slots = self._slot[self._oldest - self._base : end - self._base]
        rows = np.arange(self._oldest, end)
        lives = self._row[slots] == rows + 1
        if lives.any():
            moved = rows[lives]
            self._append(slots[lives].astype(np.int64), [c.take(moved) for c in self._columns])
        self._oldest = end
        for column in self._columns:
            column.forget_before(end)
