"""A column that grows at its end, in pieces of Arrow arrays."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import pyarrow as pa

from millstream.columns import arrow

_PIECE_ROWS = 1 << 18
_PIECE_BYTES = 16 << 20
"""Pieces beyond this are left as they are: what is copied at once stays small, and Arrow's 2 GB of
text per array stay far away."""


class Chunks:
    """Values by row number, which count up from 0; those before some row may be forgotten.

    Small pieces are merged, so that reading stays cheap.
    """

    def __init__(self, arrow_type: pa.DataType) -> None:
        self.type = arrow_type
        self._pieces: list[pa.Array] = []
        self._first: list[int] = []
        """The row number of each piece's first value."""
        self._starts = np.zeros(0, np.int64)
        self._kept = 0
        self._length = 0

    def __len__(self) -> int:
        """How many values were appended."""
        return self._length

    def append(self, array: pa.Array) -> None:
        """Add values at the end. Pieces double, so each value is copied a few times at most."""
        if len(array) == 0:
            return
        pieces, first = self._pieces, self._first
        pieces.append(array)
        first.append(self._length)
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
            gone = self._kept - first[-2]
            if gone > 0:
                left = left.slice(gone)
                first[-2] += gone
            pieces[-2:] = [pa.concat_arrays([left, right])]
            first.pop()
        self._starts = np.array(first)

    def forget_before(self, row: int) -> None:
        """Free the memory of values before a row, piece by piece; they are not read any more."""
        self._kept = row
        gone = 0
        while gone < len(self._pieces) and self._first[gone] + len(self._pieces[gone]) <= row:
            gone += 1
        if gone:
            del self._pieces[:gone], self._first[:gone]
            self._starts = np.array(self._first, np.int64)

    def take(self, rows: np.ndarray | pa.Array, index: pa.Array | None = None) -> pa.Array:
        """The values at the given rows, in that order; null at a null row of an Arrow array.

        `index` may hold the same rows as an Arrow array, where more than one column is read.
        """
        if not self._pieces:
            return pa.nulls(len(rows), self.type)
        whole = len(self._pieces) == 1 and self._first[0] == 0
        if isinstance(rows, np.ndarray):
            if whole and len(rows) > 1:
                return arrow.take(self._pieces[0], pa.array(rows) if index is None else index)
            return self._take(rows)
        if whole:
            return arrow.take(self._pieces[0], rows)
        if rows.null_count == 0:
            return self._take(rows.to_numpy())
        valid = arrow.valid_mask(rows)
        found = self._take(rows.drop_null().to_numpy())
        return found.take(pa.array(np.cumsum(valid) - 1, mask=~valid))

    def _take(self, rows: np.ndarray) -> pa.Array:
        """Piece by piece: Arrow's take from a chunked array joins all its pieces first, which costs
        as much as there is and not as much as is wanted."""
        if len(rows) <= arrow.VERY_FEW:
            return self.few(rows.tolist())
        if len(self._pieces) == 1:
            return arrow.pick(self._pieces[0], rows - self._first[0])
        piece = np.searchsorted(self._starts, rows, side="right") - 1
        first, last = int(piece.min()), int(piece.max())
        if first == last:
            return arrow.pick(self._pieces[first], rows - self._starts[first])
        order = np.argsort(piece, kind="stable")
        ends = np.searchsorted(piece[order], np.arange(first, last + 1), side="right").tolist()
        taken, start = [], 0
        for number, end in enumerate(ends, first):
            if end > start:
                local = rows[order[start:end]] - self._starts[number]
                taken.append(arrow.pick(self._pieces[number], local))
            start = end
        back = np.empty(len(rows), np.int64)
        back[order] = np.arange(len(rows))
        return arrow.take(arrow.concat(taken), pa.array(back))

    def few(self, rows: list[int]) -> pa.Array:
        """As `take`, of a few rows."""
        if rows and (len(self._pieces) == 1 or min(rows) >= self._first[-1]):
            first = self._first[-1]
            return arrow.pick_few(self._pieces[-1], [row - first for row in rows])
        return arrow.joined([self._one(row) for row in rows], self.type)

    def _one(self, row: int) -> pa.Array:
        number = len(self._pieces) - 1
        if row < self._first[number]:
            number = bisect_right(self._first, row) - 1
        return self._pieces[number].slice(row - self._first[number], 1)
