"""The bulk decoder of JSON: equal to the row decoder, for records of few shapes.

Records are read in blocks that fit the processor's cache. A row is taken in bulk only where it is
proven that the row decoder would give the same (see `json_shapes` and `json_scalars`); all other
rows go to the row decoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.columns.arrow import concat, nulls, valid_mask
from millstream.serde.arrays import offsets_and_data
from millstream.serde.base import Decoded, Failure, Layout
from millstream.serde.json_rows import JsonRowDecoder
from millstream.serde.json_scalars import column_of, scalars
from millstream.serde.json_shapes import Matches, Shape, Words, learn, match
from millstream.serde.json_values import locate

_BLOCK_BYTES = 1 << 20
_MOST_SHAPES = 24
_MOST_ATTEMPTS = 4
"""How many shapes a block may add; the rest of its rows go row by row."""

_QUOTE, _BACKSLASH, _FIRST_PRINTABLE, _FIRST_NOT_ASCII = 0x22, 0x5C, 0x20, 0x80
_ABSENT, _TEXT, _BARE = 0, 1, 2


class JsonBulkDecoder:
    """Decodes batches of wrapped JSON records; remembers the shapes it has met."""

    def __init__(self, layout: Layout, rows: JsonRowDecoder) -> None:
        self._columns = layout.columns
        self._rows = rows
        self._shapes: list[tuple[Shape, list[int | None]]] = []

    def decode(self, records: pa.Array, needed: Sequence[bool] | None = None) -> Decoded:
        """See `Decoder.decode`."""
        length = len(records)
        present = valid_mask(records)
        spans = _Spans(records, len(self._columns))
        self._find_spans(records, present, spans)
        arrays: list[pa.Array] = []
        for index, column in enumerate(self._columns):
            wanted = needed is None or needed[index]
            arrays.append(self._column(spans, index, column.type, wanted=wanted))
        null = None if present.all() else ~present
        rest = np.flatnonzero(present & ~spans.taken)
        if len(rest) == 0:
            return Decoded(arrays, null)
        others = self._rows.decode(records.take(pa.array(rest)), needed)
        order = np.arange(length)
        order[rest] = length + np.arange(len(rest))
        places = pa.array(order)
        merged = [concat([a, b]).take(places) for a, b in zip(arrays, others.arrays, strict=True)]
        if others.null is not None:
            null = np.zeros(length, bool) if null is None else null
            null[rest] |= others.null
        failures = [Failure(int(rest[f.row]), f.message) for f in others.failures]
        return Decoded(merged, null, failures)

    def _column(self, spans: _Spans, index: int, sql_type: t.SqlType, *, wanted: bool) -> pa.Array:
        """A column of the rows taken so far; rows that turn out unproven are given back."""
        length = len(spans.taken)
        kinds = spans.kinds[index]
        bare = kinds == _BARE
        if sql_type == t.STRING and not wanted:
            spans.check_scalars(index, bare)
            return nulls(sql_type, length)
        array, unproven = column_of(spans.texts(index), bare, sql_type)
        if unproven is not None:
            spans.taken &= ~unproven
        return array if wanted else nulls(sql_type, length)

    def _find_spans(self, records: pa.Array, present: np.ndarray, spans: _Spans) -> None:
        length = len(records)
        offsets = spans.offsets
        row = 0
        while row < length:
            limit = int(offsets[row]) + _BLOCK_BYTES
            stop = max(row + 1, int(np.searchsorted(offsets, limit, side="right")) - 1)
            stop = min(stop, length)
            block = _Block(records, spans, row, stop, present)
            self._match_block(block, spans)
            row = stop

    def _match_block(self, block: _Block, spans: _Spans) -> None:
        open_rows = block.candidates
        hits: list[tuple[int, int]] = []
        for place, (shape, slots) in enumerate(self._shapes):
            if not open_rows.any():
                break
            hits.append((self._try(shape, slots, block, spans, open_rows), place))
        if any(hits[i][0] < hits[i + 1][0] for i in range(len(hits) - 1)):
            self._shapes = [self._shapes[p] for _, p in sorted(hits, reverse=True)] + self._shapes[
                len(hits) :
            ]
        attempts = 0
        while attempts < _MOST_ATTEMPTS and open_rows.any():
            attempts += 1
            row = int(np.argmax(open_rows))
            shape_found = learn(block.record(row))
            if shape_found is None:
                open_rows[row] = False
                continue
            known = (shape_found, self._slots(shape_found))
            self._shapes = [*self._shapes[: _MOST_SHAPES - 1], known]
            self._try(*known, block, spans, open_rows)
            open_rows[row] = False

    def _slots(self, shape: Shape) -> list[int | None]:
        """Which value of a record of the shape each column takes, by the row decoder's rule."""
        members: dict[str, int] = {}
        for place, name in enumerate(shape.names):
            members[name] = place
        return [locate(members, column.name) for column in self._columns]

    def _try(
        self,
        shape: Shape,
        slots: list[int | None],
        block: _Block,
        spans: _Spans,
        open_rows: np.ndarray,
    ) -> int:
        """Take the open rows that have the shape, close them, and tell how many they are."""
        rows = block.rows_with(shape.quotes, open_rows)
        if len(rows) == 0:
            return 0
        everything = len(rows) == len(open_rows)
        pick = slice(None) if everything else rows
        found = match(
            shape,
            block.words,
            block.places,
            block.first[pick],
            block.starts[pick],
            block.ends[pick],
        )
        used = {slot for slot in slots if slot is not None}
        for slot, is_bare in enumerate(shape.bare):
            if is_bare and slot not in used:
                _keep_scalars(block, found, slot)
        if found.rows.all():
            chosen: slice | np.ndarray = slice(None)
            taken: slice | np.ndarray = pick if isinstance(pick, slice) else rows
            count = len(rows)
        else:
            chosen = np.flatnonzero(found.rows)
            taken = rows[chosen]
            count = len(chosen)
        spans.take(block, taken, chosen, found, slots, shape.bare)
        open_rows[taken] = False
        return count


class _Spans:
    """Where each column's value lies in the bytes of a batch, and which rows are taken."""

    def __init__(self, records: pa.Array, columns: int) -> None:
        self.offsets, self.data = offsets_and_data(records)
        length = len(records)
        starts = self.offsets[:-1]
        self.taken = np.zeros(length, bool)
        self.kinds = np.zeros((columns, length), np.uint8)
        # Start and end of each row's value in turn; absent ones are empty places in their row.
        self._bounds = np.empty((columns, 2 * length), np.int32)
        self._bounds[:, 0::2] = starts
        self._bounds[:, 1::2] = starts

    def take(
        self,
        block: _Block,
        taken: slice | np.ndarray,
        chosen: slice | np.ndarray,
        found: Matches,
        slots: list[int | None],
        bare: tuple[bool, ...],
    ) -> None:
        """Note the values of the block's rows `taken`, which are the matched rows `chosen`."""
        self.taken[block.row : block.stop][taken] = True
        for index, slot in enumerate(slots):
            if slot is None:
                continue
            bounds = self._bounds[index, 2 * block.row : 2 * block.stop]
            bounds[0::2][taken] = found.starts[slot][chosen] + block.base
            bounds[1::2][taken] = found.ends[slot][chosen] + block.base
            kinds = self.kinds[index, block.row : block.stop]
            kinds[taken] = _BARE if bare[slot] else _TEXT

    def texts(self, index: int) -> pa.Array:
        """The texts of a column, null where absent."""
        length = len(self.taken)
        if length == 0:
            return pa.array([], pa.string())
        return self._texts(index, np.arange(0, 2 * length, 2, dtype=np.int32), self.kinds[index])

    def check_scalars(self, index: int, bare: np.ndarray) -> None:
        """Give back the rows whose bare text in the column is no JSON scalar."""
        if bare.any():
            rows = np.flatnonzero(bare)
            unproven = scalars(self._texts(index, (2 * rows).astype(np.int32), None))
            if unproven is not None:
                self.taken[rows[unproven]] = False

    def _texts(self, index: int, places: np.ndarray, kinds: np.ndarray | None) -> pa.Array:
        bounds = self._bounds[index]
        # Values and the gaps between them are the elements of one string array without a copy.
        spread = pa.Array.from_buffers(
            pa.string(), len(bounds) - 1, [None, pa.py_buffer(bounds), pa.py_buffer(self.data)]
        )
        absent = None if kinds is None or kinds.all() else kinds == _ABSENT
        return spread.take(pa.array(places, mask=absent))


class _Block:
    """Some rows of a batch: their bytes, the places of quotes, and which rows can be tried.

    `base` is where the block's bytes start in the batch's; all other places count from there.
    """

    def __init__(
        self, records: pa.Array, spans: _Spans, row: int, stop: int, present: np.ndarray
    ) -> None:
        self.row, self.stop = row, stop
        bounds = spans.offsets[row : stop + 1].astype(np.int64)
        self.base = int(bounds[0])
        bounds -= self.base
        self.starts, self.ends = bounds[:-1], bounds[1:]
        data = spans.data[self.base : self.base + bounds[-1]]
        self._data = data
        self.words = Words(data)
        self.places = np.flatnonzero(data == _QUOTE)
        self.candidates = present[row:stop].copy()
        self._exclude_special(records)
        self._count_quotes()

    def record(self, row: int) -> bytes:
        """The bytes of one row of the block."""
        return self._data[self.starts[row] : self.ends[row]].tobytes()

    def rows_with(self, quotes: int, open_rows: np.ndarray) -> np.ndarray:
        """The open rows that have this many quotes."""
        if self._uniform is not None:
            if self._uniform != quotes:
                return np.zeros(0, np.int64)
            return np.flatnonzero(open_rows)
        return np.flatnonzero(open_rows & (self._counts == quotes))

    def texts(self, starts: np.ndarray, ends: np.ndarray) -> pa.Array:
        """The texts in the given places, which follow each other."""
        bounds = np.empty(2 * len(starts), np.int32)
        bounds[0::2] = starts
        bounds[1::2] = ends
        spread = pa.Array.from_buffers(
            pa.string(), len(bounds) - 1, [None, pa.py_buffer(bounds), pa.py_buffer(self._data)]
        )
        return spread.take(pa.array(np.arange(0, len(bounds), 2, dtype=np.int32)))

    def _exclude_special(self, records: pa.Array) -> None:
        """Leave rows with escapes, control characters or bad UTF-8 to the row decoder."""
        data = self._data
        if len(data) == 0:
            return
        backslash = data == _BACKSLASH
        if backslash.any():
            self._exclude(np.flatnonzero(backslash))
        if data.min() < _FIRST_PRINTABLE:
            self._exclude(np.flatnonzero(data < _FIRST_PRINTABLE))
        if data.max() >= _FIRST_NOT_ASCII:
            try:
                records.slice(self.row, self.stop - self.row).cast(pa.string())
            except pa.ArrowInvalid:
                self._exclude(np.flatnonzero(data >= _FIRST_NOT_ASCII))

    def _exclude(self, places: np.ndarray) -> None:
        self.candidates[np.searchsorted(self.ends, places, side="right")] = False

    def _count_quotes(self) -> None:
        rows, found = len(self.starts), len(self.places)
        self._uniform: int | None = None
        count, odd = divmod(found, rows)
        if not odd and count:
            table = self.places.reshape(rows, count)
            if (table[:, 0] >= self.starts).all() and (table[:, -1] < self.ends).all():
                self._uniform = count
                self.first = np.arange(0, found, count)
                return
        bounds = np.searchsorted(self.places, np.append(self.starts, self.ends[-1]))
        self.first = bounds[:-1]
        self._counts = np.diff(bounds)


def _keep_scalars(block: _Block, found: Matches, slot: int) -> None:
    """Of the matched rows keep those whose bare value in the slot is a JSON scalar."""
    rows = np.flatnonzero(found.rows)
    if len(rows) == 0:
        return
    unproven = scalars(block.texts(found.starts[slot][rows], found.ends[slot][rows]))
    if unproven is not None:
        found.rows[rows[unproven]] = False
