"""Rows of any types by slot: append-only Arrow chunks, and an index from slot to row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.columns import arrow

_PIECE_ROWS = 1 << 20
_PIECE_BYTES = 64 << 20
"""Pieces beyond this are left as they are: what is copied at once, and Arrow's 2 GB of text per
array, stay far away."""


class Chunks:
    """A column that only grows; small pieces are merged, so that reading stays cheap."""

    def __init__(self, arrow_type: pa.DataType) -> None:
        self.type = arrow_type
        self._pieces: list[pa.Array] = []
        self._starts = np.zeros(0, np.int64)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, array: pa.Array) -> None:
        """Add values at the end. Pieces double, so each value is copied a few times at most."""
        if len(array) == 0:
            return
        pieces = self._pieces
        pieces.append(array)
        self._length += len(array)
        while len(pieces) > 1:
            left, right = pieces[-2:]
            if (
                len(left) > 2 * len(right)
                or len(left) > _PIECE_ROWS
                or left.nbytes > _PIECE_BYTES
                or right.nbytes > _PIECE_BYTES
            ):
                break
            pieces[-2:] = [pa.concat_arrays([left, right])]
        if len(pieces) > 1:
            self._starts = np.cumsum([0, *(len(p) for p in pieces[:-1])])

    def take(self, rows: np.ndarray | pa.Array) -> pa.Array:
        """The values at the given rows, in that order; null at a null row of an Arrow array."""
        if not self._pieces:
            return pa.nulls(0, self.type)
        if len(self._pieces) == 1:
            return self._pieces[0].take(pa.array(rows))
        if isinstance(rows, np.ndarray):
            return self._take(rows)
        if rows.null_count == 0:
            return self._take(rows.to_numpy())
        valid = arrow.valid_mask(rows)
        found = self._take(rows.drop_null().to_numpy())
        return found.take(pa.array(np.cumsum(valid) - 1, mask=~valid))

    def _take(self, rows: np.ndarray) -> pa.Array:
        """Piece by piece: Arrow's take from a chunked array joins all its pieces first, which costs
        as much as there is and not as much as is wanted."""
        if len(rows) == 0:
            return pa.nulls(0, self.type)
        piece = np.searchsorted(self._starts, rows, side="right") - 1
        first, last = int(piece.min()), int(piece.max())
        if first == last:
            return self._pieces[first].take(pa.array(rows - self._starts[first]))
        order = np.argsort(piece, kind="stable")
        ends = np.searchsorted(piece[order], np.arange(first, last + 1), side="right").tolist()
        taken, start = [], 0
        for number, end in enumerate(ends, first):
            if end > start:
                local = rows[order[start:end]] - self._starts[number]
                taken.append(self._pieces[number].take(pa.array(local)))
            start = end
        back = np.empty(len(rows), np.int64)
        back[order] = np.arange(len(rows))
        return arrow.concat(taken).take(pa.array(back))


class RowStore:
    """Slot to a row of value columns. Old rows stay where they are until half of all are dead."""

    def __init__(self, types: Sequence[t.SqlType]) -> None:
        self.types = tuple(types)
        self._columns = [Chunks(arrow.arrow_type(x)) for x in self.types]
        self._row = np.full(64, -1, np.int64)
        self._appended = 0
        self._live = 0

    def __len__(self) -> int:
        """How many slots hold a row."""
        return self._live

    def get(self, slots: np.ndarray) -> tuple[list[pa.Array], np.ndarray]:
        """The rows at the slots, and a mask that is true where there is none (its values: null)."""
        rows = self._rows_at(slots)
        absent = rows < 0
        if not absent.any():
            return [c.take(rows) for c in self._columns], absent
        index = pa.array(rows, mask=absent)
        if self._appended == 0:
            return [arrow.nulls(x, len(slots)) for x in self.types], absent
        return [c.take(index) for c in self._columns], absent

    def has(self, slots: np.ndarray) -> np.ndarray:
        """A mask: true where the slot holds a row."""
        return self._rows_at(slots) >= 0

    def put(self, slots: np.ndarray, arrays: list[pa.Array]) -> None:
        """Set the rows of the slots; where a slot occurs twice its last row counts."""
        if len(slots) == 0:
            return
        self._reserve(int(slots.max()) + 1)
        fresh = np.arange(self._appended, self._appended + len(slots))
        absent = self._row[slots] < 0
        self._row[slots] = fresh
        # Of rows for one slot the last is in place: it counts for the slot.
        self._live += int(np.count_nonzero(absent & (self._row[slots] == fresh)))
        self._appended += len(slots)
        for column, array in zip(self._columns, arrays, strict=True):
            column.append(array)
        self._compact()

    def remove(self, slots: np.ndarray) -> None:
        """Forget the rows of the slots; one without a row is left alone."""
        slots = slots[self.has(slots)]
        if len(slots) == 0:
            return
        turn = np.arange(len(slots))
        self._row[slots] = turn
        self._live -= int(np.count_nonzero(self._row[slots] == turn))
        self._row[slots] = -1
        self._compact()

    def slots(self) -> np.ndarray:
        """All slots that hold a row, ascending."""
        return np.flatnonzero(self._row >= 0)

    # --- inside -------------------------------------------------------------------------------

    def _rows_at(self, slots: np.ndarray) -> np.ndarray:
        """Row numbers; -1 for slots without a row, negative and never used ones included."""
        inside = (slots >= 0) & (slots < len(self._row))
        if inside.all():
            return np.asarray(self._row[slots])
        return np.where(inside, self._row[np.where(inside, slots, 0)], -1)

    def _reserve(self, size: int) -> None:
        if size > len(self._row):
            grown = np.full(max(size, 2 * len(self._row)), -1, np.int64)
            grown[: len(self._row)] = self._row
            self._row = grown

    def _compact(self) -> None:
        if self._appended < 4096 or self._appended < 2 * self._live:
            return
        slots = self.slots()
        rows = self._row[slots]
        for number, column in enumerate(self._columns):
            self._columns[number] = Chunks(column.type)
            for start in range(0, len(rows), _PIECE_ROWS):
                self._columns[number].append(column.take(rows[start : start + _PIECE_ROWS]))
        self._row[slots] = np.arange(len(slots))
        self._appended = len(slots)
