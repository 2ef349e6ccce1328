"""State by key and position in time, in segments: a batch touches few, and expiry drops whole ones.

A position is a window's number or a session's start; a segment holds `span` positions. Segments
that nothing touched for a while are packed, and come back when they are touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from millstream.columns import segments as sg
from millstream.columns.hash_index import HashIndex
from millstream.engine.state.frozen import Frozen, freeze
from millstream.engine.state.pages import columns_of, rows_of
from millstream.engine.state.ring import RING_PAGES, Ring
from millstream.engine.state.slots import Rows, SlotTable, fresh_rows
from millstream.functions.aggregates.kernels import ColumnKernel
from millstream.store.interfaces import Commit, StoreId, View

_HOT_SEGMENTS = 32
_HOT_ROWS = 500_000
_FREEZE_ROWS = 4096


class Segment:
    """The rows of some neighbouring positions."""

    def __init__(self, kernels: Sequence[ColumnKernel], extra: int) -> None:
        self.index = HashIndex()
        self.ids = np.empty(0, np.int64)
        self.positions = np.empty(0, np.int64)
        self.table = SlotTable(kernels, extra)
        self.touched = 0

    def __len__(self) -> int:
        return len(self.index)

    def slots(self, code: np.ndarray, ids: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """The slots of codes, which are distinct; unknown ones are added."""
        before = len(self.index)
        slots = self.index.find_or_insert_distinct(code)
        count = len(self.index)
        if count > before:
            self._reserve(count)
            fresh = slots >= before
            self.ids[slots[fresh]] = ids[fresh]
            self.positions[slots[fresh]] = positions[fresh]
            self.table.extend(count)
        return slots

    def live_slots(self, first: int | None, last: int | None) -> np.ndarray:
        """The slots of rows at positions from `first` to `last`."""
        slots = self.table.live()
        at = self.positions[slots]
        if first is not None:
            slots, at = slots[at >= first], at[at >= first]
        return slots if last is None else slots[at <= last]

    def stored(self, slots: np.ndarray) -> pa.RecordBatch:
        """Rows as a part of a page; a slot's number is part of its row, and never changes."""
        columns = [pa.array(slots), pa.array(self.ids[slots]), pa.array(self.positions[slots])]
        return rows_of([*columns, *self.table.stored(slots)])

    def _reserve(self, count: int) -> None:
        if count > len(self.ids):
            size = max(count, 2 * len(self.ids), 64)
            self.ids = np.resize(self.ids, size)
            self.positions = np.resize(self.positions, size)


@dataclass(slots=True)
class Located:
    """Where some (key, position) pairs are: per segment, which pairs and their slots."""

    count: int
    parts: list[tuple[Segment, np.ndarray | None, np.ndarray]]


class WindowedState:
    """All segments of one operator."""

    def __init__(
        self, store: StoreId, kernels: Sequence[ColumnKernel], span: int, extra: int = 0
    ) -> None:
        self.kernels = tuple(kernels)
        self.span = span
        self.extra = extra
        self._store = store
        self._rings: dict[int, Ring] = {}
        self._segments: dict[int, Segment] = {}
        self._cold: dict[int, list[pa.RecordBatch | Frozen]] = {}
        self._changed: set[int] = set()
        self._dropped: set[int] = set()
        self._clock = 0

    # --- access -------------------------------------------------------------------------------

    def locate(self, ids: np.ndarray, positions: np.ndarray, insert: bool = True) -> Located:
        """Find pairs, which are distinct; unknown ones are added, or left out if not `insert`."""
        self._clock += 1
        parts = []
        for number, some in self._split(positions):
            mine, at = (ids, positions) if some is None else (ids[some], positions[some])
            segment = self._open(number, insert)
            if segment is None:
                continue
            code = self._code(number, mine, at)
            if insert:
                parts.append((segment, some, segment.slots(code, mine, at)))
                continue
            slots = segment.index.find(code)
            known = np.flatnonzero(slots >= 0)
            if len(known):
                parts.append((segment, known if some is None else some[known], slots[known]))
        return Located(len(ids), parts)

    def gather(self, located: Located) -> Rows:
        """The rows of the pairs; those that are not there are fresh."""
        if len(located.parts) == 1 and located.parts[0][1] is None:
            segment, _, slots = located.parts[0]
            return segment.table.gather(slots)
        result = fresh_rows(self.kernels, located.count, self.extra)
        for segment, some, slots in located.parts:
            rows = segment.table.gather(slots)
            at = slice(None) if some is None else some
            for state, values in zip(result.states, rows.states, strict=True):
                for column, part in zip(state, values, strict=True):
                    column[at] = part
            result.rowtime[at], result.live[at] = rows.rowtime, rows.live
            for column, part in zip(result.extra, rows.extra, strict=True):
                column[at] = part
        return result

    def scatter(self, located: Located, rows: Rows) -> None:
        """Set the rows of the pairs."""
        for segment, some, slots in located.parts:
            segment.table.scatter(slots, rows if some is None else rows.take(some))

    def numbers(self) -> list[int]:
        """The segments that there are, ascending."""
        return sorted({*self._segments, *self._cold})

    def scan(self, first: int | None = None, last: int | None = None) -> list[Segment]:
        """The segments of the positions from `first` to `last`, oldest first."""
        low = None if first is None else first // self.span
        high = None if last is None else last // self.span
        found = []
        for number in self.numbers():
            if (low is None or number >= low) and (high is None or number <= high):
                segment = self._read(number)
                if segment is not None:
                    found.append(segment)
        return found

    def find_keys(
        self, ids: np.ndarray, first: int | None, last: int | None
    ) -> list[tuple[Segment, np.ndarray]]:
        """Where the given keys have rows at positions from `first` to `last`: slots by segment."""
        found = []
        for number in self.numbers():
            low, high = number * self.span, (number + 1) * self.span - 1
            low = low if first is None else max(low, first)
            high = high if last is None else min(high, last)
            if low > high:
                continue
            segment = self._read(number, ids)
            if segment is None:
                continue
            positions = np.tile(np.arange(low, high + 1), len(ids))
            code = self._code(number, np.repeat(ids, high - low + 1), positions)
            slots = segment.index.find(code)
            found.append((segment, slots[segment.table.is_live(slots)]))
        return found

    def holders(self, count: int) -> np.ndarray:
        """A mask over that many key numbers: which have rows here."""
        held = np.zeros(count, bool)
        for segment in self._segments.values():
            held[segment.ids[: len(segment)]] = True
        for parts in self._cold.values():
            for part in parts:
                held[_thawed(part).column(1).to_numpy()] = True
        return held

    def largest(self, extra: int) -> dict[int, int]:
        """Per segment the largest value of a further column, right after a load."""
        column = 5 + extra
        found: dict[int, int] = {}
        for number, parts in self._cold.items():
            values = [int(_thawed(p).column(column).to_numpy().max()) for p in parts]
            found[number] = max(values, default=-1)
        return found

    def drop_before(self, position: int) -> None:
        """Forget the segments whose every position is below."""
        limit = position // self.span
        for number in [n for n in (*self._segments, *self._cold) if n < limit]:
            self.drop(number)

    def drop(self, number: int) -> None:
        """Forget a segment."""
        self._segments.pop(number, None)
        self._cold.pop(number, None)
        self._changed.discard(number)
        self._dropped.add(number)

    # --- persistence ---------------------------------------------------------------------------

    def write(self, commit: Commit) -> None:
        """Write what changed; then let segments go cold that nothing touched for a while."""
        for number in sorted(self._dropped):
            ring = self._rings.pop(number, None)
            if ring is not None:
                ring.drop(commit)
        self._dropped.clear()
        for number in sorted(self._changed):
            self._write_segment(commit, number, self._segments[number])
        self._changed.clear()
        self._cool()

    def load(self, view: View) -> None:
        """Read all segments; they stay cold until something touches them."""
        self._segments.clear()
        self._cold.clear()
        self._rings.clear()
        for part in view.state(self._store):
            number = part.page // RING_PAGES
            self._ring(number).loaded(part.page, part.rows)
            self._cold.setdefault(number, []).append(part.rows)
        for number in sorted(self._cold)[:-_HOT_SEGMENTS]:
            self._cold[number] = [
                freeze(rows) if rows.num_rows >= _FREEZE_ROWS else rows
                for rows in self._cold[number]
                if isinstance(rows, pa.RecordBatch)
            ]

    # --- inside --------------------------------------------------------------------------------

    def _code(self, number: int, ids: np.ndarray, positions: np.ndarray) -> np.ndarray:
        return np.asarray(ids * self.span + (positions - number * self.span))

    def _split(self, positions: np.ndarray) -> list[tuple[int, np.ndarray | None]]:
        if len(positions) == 0:
            return []
        numbers = positions // self.span
        first, last = int(numbers.min()), int(numbers.max())
        if first == last:
            return [(first, None)]
        groups = sg.by_code(numbers)
        ends = np.append(groups.starts[1:], len(positions))
        return [
            (int(numbers[groups.order[start]]), groups.order[start:end])
            for start, end in zip(groups.starts.tolist(), ends.tolist(), strict=True)
        ]

    def _open(self, number: int, insert: bool) -> Segment | None:
        segment = self._segments.get(number)
        if segment is None:
            parts = self._cold.pop(number, None)
            if parts is None and not insert:
                return None
            segment = Segment(self.kernels, self.extra)
            if parts is not None:
                self._thaw(number, segment, parts)
            self._segments[number] = segment
        segment.touched = self._clock
        if insert:
            self._changed.add(number)
        return segment

    def _read(self, number: int, keys: np.ndarray | None = None) -> Segment | None:
        """A segment to look at, of a cold one a copy: with all its rows, or those of some keys."""
        parts = self._cold.get(number)
        if parts is None:
            return self._segments.get(number)
        segment = Segment(self.kernels, self.extra)
        self._thaw(number, segment, parts, keys)
        return segment

    def _thaw(
        self,
        number: int,
        segment: Segment,
        parts: list[pa.RecordBatch | Frozen],
        keys: np.ndarray | None = None,
    ) -> None:
        columns = columns_of([_thawed(p) for p in parts])
        if keys is not None:
            mine = pa.array(np.flatnonzero(np.isin(columns[1].to_numpy(), keys)))
            columns = [c.take(mine) for c in columns]
        _, last = sg.last_of_each(columns[0].to_numpy())
        last = last[np.argsort(columns[0].to_numpy()[last])]
        ids, positions = (c.to_numpy()[last] for c in columns[1:3])
        # Of all rows each gets the slot that it had: slots were given in this order.
        slots = segment.slots(self._code(number, ids, positions), ids, positions)
        segment.table.restore(slots, [c.take(pa.array(last)) for c in columns[3:]])

    def _write_segment(self, commit: Commit, number: int, segment: Segment) -> None:
        changed = segment.table.changed()
        if len(changed) == 0:
            return
        self._ring(number).write(commit, changed, len(segment), segment.stored)

    def _ring(self, number: int) -> Ring:
        ring = self._rings.get(number)
        if ring is None:
            ring = self._rings[number] = Ring(self._store, number * RING_PAGES)
        return ring

    def _cool(self) -> None:
        """Compress segments beyond the most recently touched ones."""
        rows = sum(len(s) for s in self._segments.values())
        if len(self._segments) <= _HOT_SEGMENTS and rows <= _HOT_ROWS:
            return
        rows = 0
        by_touch = sorted(self._segments.items(), key=lambda item: -item[1].touched)
        for place, (number, segment) in enumerate(by_touch):
            rows += len(segment)
            if place < _HOT_SEGMENTS and rows <= _HOT_ROWS:
                continue
            if segment.touched < self._clock and len(segment) >= _FREEZE_ROWS:
                self._cold[number] = [freeze(segment.stored(np.arange(len(segment))))]
                del self._segments[number]


def _thawed(rows: pa.RecordBatch | Frozen) -> pa.RecordBatch:
    return rows.thaw() if isinstance(rows, Frozen) else rows
