"""State by key and position in time, in segments: a batch touches few, and expiry drops whole ones.

A position is a window's number or a session's start; a segment holds `span` positions. Segments
that nothing touched for a while leave memory, those that were touched longest ago first, once all
together take more than `COLD_BYTES`: what they hold is in the store. They come back when a step
touches them; whoever only looks reads them without bringing them back; expiry drops their pages
unread. After a restart nothing is in memory. Where the store itself lies in memory, segments are
packed instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from millstream.columns import segments as sg
from millstream.columns.block_index import BlockIndex
from millstream.columns.hash_index import HashIndex
from millstream.engine.state.frozen import Frozen, freeze
from millstream.engine.state.held import HeldKeys
from millstream.engine.state.ring import RING_PAGES, Ring
from millstream.engine.state.segment import FIRST_EXTRA, IDS, Segment, bytes_of_row
from millstream.engine.state.slots import Rows, fresh_rows
from millstream.functions.aggregates.kernels import ColumnKernel
from millstream.store.interfaces import Commit, Later, StoreId, View
from millstream.store.state_rows import RowShape

COLD_BYTES = 32 << 20
"""So much memory the segments of one operator may take, beyond those touched since the last
commit."""

FREEZE_ROWS = 4096
"""Fewer rows are not worth packing."""

_FEW = 64

_WASTE = 1.5
"""A segment that leaves is written whole where what is stored of it has so many times its rows."""

Look = Callable[[int], Segment | None]
"""Gives a segment by its number, None where there is none."""


@dataclass(slots=True)
class Located:
    """Where some (key, position) pairs are: per segment, which pairs and their slots."""

    count: int
    parts: list[tuple[Segment, np.ndarray | None, np.ndarray]]


class WindowedState:
    """All segments of one operator.

    `neighbours`: most rows come with others of the same key at the positions beside theirs.
    """

    def __init__(
        self,
        store: StoreId,
        kernels: Sequence[ColumnKernel],
        span: int,
        extra: int = 0,
        *,
        neighbours: bool = False,
    ) -> None:
        self.kernels = tuple(kernels)
        self.span = span
        self.extra = extra
        self._index: type[HashIndex | BlockIndex] = BlockIndex if neighbours else HashIndex
        self._store = store
        self._shape = RowShape()
        self._row_bytes = bytes_of_row(self.kernels, extra)
        self._later: Later | None = None
        self._rings: dict[int, Ring] = {}
        self._segments: dict[int, Segment] = {}
        self._packed: dict[int, list[pa.RecordBatch | Frozen]] = {}
        self._away: dict[int, tuple[int, ...]] = {}
        """Segments that are in the store alone, and their pages."""
        self._held = HeldKeys()
        self._changed: set[int] = set()
        self._dropped: list[int] = []
        self._oldest: int | None = None
        self._clock = 1
        self._room = 0
        """So many rows at least may come before segments must leave."""

    # --- access -------------------------------------------------------------------------------

    def locate(self, ids: np.ndarray, positions: np.ndarray, insert: bool = True) -> Located:
        """Find pairs, which are distinct; unknown ones are added, or left out if not `insert`."""
        groups = self._split(positions)
        if self._away:
            self.bring([number for number, _ in groups])
        parts = []
        for number, some in groups:
            mine, at = (ids, positions) if some is None else (ids[some], positions[some])
            segment = self._open(number, insert)
            if segment is None:
                continue
            if insert:
                parts.append((segment, some, segment.slots(mine, at)))
                continue
            slots = segment.find(mine, at)
            known = np.flatnonzero(slots >= 0)
            if len(known):
                parts.append((segment, known if some is None else some[known], slots[known]))
        return Located(len(ids), parts)

    def locate_between(
        self, ids: np.ndarray, positions: np.ndarray, first: int, last: int
    ) -> Located:
        """As `locate`, of pairs whose positions are known to lie from `first` to `last`."""
        number = first // self.span
        if last // self.span != number or number in self._away:
            return self.locate(ids, positions)
        segment = self._open(number, True)
        assert segment is not None
        return Located(len(ids), [(segment, None, segment.slots(ids, positions))])

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

    def bring(self, numbers: Iterable[int]) -> None:
        """Have those of the segments in memory that are in the store alone."""
        wanted = [n for n in numbers if n in self._away]
        if not wanted:
            return
        with self._view() as view:
            for number in wanted:
                ring, segment, parts = Ring(self._store, number * RING_PAGES), self._new(number), []
                for part in view.state(self._store, _pages_of(number)):
                    ring.loaded(part.page, part.rows)
                    parts.append(part.rows)
                segment.fill(parts)
                self._rings[number], self._segments[number] = ring, segment
                self._room = 0
                del self._away[number]
                self._held.unknown.discard(number)

    # --- looking ------------------------------------------------------------------------------

    def numbers(self, first: int | None = None, last: int | None = None) -> list[int]:
        """The segments that there are of the positions from `first` to `last`, ascending."""
        found = sorted({*self._segments, *self._packed, *self._away})
        low = None if first is None else first // self.span
        high = None if last is None else last // self.span
        if low is None and high is None:
            return found
        return [n for n in found if (low is None or n >= low) and (high is None or n <= high)]

    def scan(
        self, first: int | None = None, last: int | None = None, *, keep: bool = False
    ) -> Iterator[Segment]:
        """The segments of the positions from `first` to `last`, oldest first; to be used in turn.

        `keep`: what it brings into memory stays, for the next step.
        """
        return self.each(self.numbers(first, last), keep)

    def each(self, numbers: Sequence[int], keep: bool) -> Iterator[Segment]:
        """The segments of some numbers; `keep`: they are brought into memory for it."""
        if keep:
            self.bring(numbers)
        with self.look() as segment_of:
            for number in numbers:
                segment = segment_of(number)
                if segment is not None:
                    if keep:
                        segment.touched = self._clock
                    yield segment

    @contextmanager
    def look(self, keys: np.ndarray | None = None) -> Iterator[Look]:
        """To look at segments, or at the rows of some keys, and to bring nothing into memory.

        What is not there is read: whole each time, or the rows of the keys once.
        """
        copies: dict[int, Segment] = {}
        with ExitStack() as stack:
            views: list[View] = []

            def segment_of(number: int) -> Segment | None:
                segment = self._segments.get(number)
                if segment is None:
                    segment = copies.get(number)
                if segment is None and (number in self._packed or number in self._away):
                    if number in self._away and not views:
                        views.append(stack.enter_context(self._view()))
                    segment = self._new(number)
                    segment.fill(self._parts(number, views), keys)
                    if keys is not None:
                        copies[number] = segment
                return segment

            yield segment_of

    def find_keys(
        self, ids: np.ndarray, first: int | None, last: int | None
    ) -> list[tuple[Segment, np.ndarray]]:
        """Where the given keys have rows at positions from `first` to `last`: slots by segment."""
        found = []
        with self.look(ids) as segment_of:
            for number in self.numbers(first, last):
                segment = segment_of(number)
                assert segment is not None
                found.append((segment, segment.slots_of_keys(ids, first, last)))
        return found

    def largest(self, number: int, extra: int) -> int:
        """The largest value of a further column in a segment, dead rows included; -1 for none."""
        segment = self._segments.get(number)
        if segment is not None:
            rows = segment.table.gather(np.arange(len(segment)))
            return int(rows.extra[extra].max(initial=-1))
        with ExitStack() as stack:
            views = [stack.enter_context(self._view())] if number in self._away else []
            columns = [p.column(FIRST_EXTRA + extra) for p in self._parts(number, views)]
        return max((int(c.to_numpy().max(initial=-1)) for c in columns), default=-1)

    def census(self) -> tuple[int, int, int]:
        """How many segments are in memory, how many are not, and the rows of the former."""
        rows = sum(map(len, self._segments.values()))
        return len(self._segments), len(self._packed) + len(self._away), rows

    # --- keys ---------------------------------------------------------------------------------

    def holders(self, count: int) -> np.ndarray | None:
        """A mask over that many key numbers: which have rows here, or may have.

        None while some segment's keys are not known: each call has a look at one of them, so that
        no commit waits for all.
        """
        if self._held.unknown:
            self._learn(min(self._held.unknown))
        if self._held.unknown:
            return None
        held = np.zeros(count, bool)
        for segment in self._segments.values():
            held[segment.keys()] = True
        self._held.mark(held, (*self._packed, *self._away))
        return held

    def _learn(self, number: int) -> None:
        with ExitStack() as stack:
            views = [stack.enter_context(self._view())] if number in self._away else []
            parts = [p.column(IDS).to_numpy() for p in self._parts(number, views)]
        self._held.note(number, np.concatenate(parts) if parts else np.empty(0, np.int64))

    # --- dropping ------------------------------------------------------------------------------

    def drop_before(self, position: int) -> None:
        """Forget the segments whose every position is below."""
        limit = position // self.span
        if self._oldest is not None and self._oldest >= limit:
            return
        numbers = self.numbers()
        for number in [n for n in numbers if n < limit]:
            self.drop(number)
        self._oldest = next((n for n in numbers if n >= limit), None)

    def drop(self, number: int) -> None:
        """Forget a segment; what is stored of it is not read."""
        self._segments.pop(number, None)
        self._packed.pop(number, None)
        self._changed.discard(number)
        self._held.unknown.discard(number)
        ring = self._rings.pop(number, None)
        self._dropped += self._away.pop(number, ()) if ring is None else ring.pages()

    # --- persistence ---------------------------------------------------------------------------

    def write(self, commit: Commit) -> None:
        """Write what changed; then let segments leave that nothing touched for a while."""
        for page in self._dropped:
            commit.drop_page(self._store, page)
        self._dropped.clear()
        for number in sorted(self._changed):
            segment = self._segments[number]
            changed = segment.table.changed()
            if len(changed):
                self._ring(number).write(commit, changed, len(segment), segment.stored)
                self._room -= len(changed)
        self._changed.clear()
        self._let_go(commit)
        self._clock += 1

    def load(self, view: View) -> None:
        """Read which segments there are; each stays in the store until something touches it."""
        self._segments.clear()
        self._packed.clear()
        self._rings.clear()
        self._away.clear()
        self._held = HeldKeys()
        self._oldest = None
        self._later = view.later()
        if self._later is None:
            self._load_packed(view)
        else:
            pages: dict[int, list[int]] = {}
            for page in view.pages(self._store):
                pages.setdefault(page // RING_PAGES, []).append(page)
            self._away = {number: tuple(some) for number, some in pages.items()}
        self._held.unknown = {*self._packed, *self._away}

    def _load_packed(self, view: View) -> None:
        for part in view.state(self._store):
            number = part.page // RING_PAGES
            self._ring(number).loaded(part.page, part.rows)
            self._packed.setdefault(number, []).append(part.rows)
        for parts in self._packed.values():
            for place, rows in enumerate(parts):
                if isinstance(rows, pa.RecordBatch) and rows.num_rows >= FREEZE_ROWS:
                    parts[place] = freeze(rows)

    # --- inside --------------------------------------------------------------------------------

    def _split(self, positions: np.ndarray) -> list[tuple[int, np.ndarray | None]]:
        if len(positions) == 0:
            return []
        if len(positions) <= _FEW:
            some: dict[int, list[int]] = {}
            for place, position in enumerate(positions.tolist()):
                some.setdefault(position // self.span, []).append(place)
            if len(some) == 1:
                return [(next(iter(some)), None)]
            return [(number, np.array(some[number])) for number in sorted(some)]
        first, last = int(positions.min()) // self.span, int(positions.max()) // self.span
        if first == last:
            return [(first, None)]
        if last == first + 1:
            early = positions < last * self.span
            return [(first, early.nonzero()[0]), (last, (~early).nonzero()[0])]
        numbers = positions // self.span
        groups = sg.by_code(numbers)
        ends = np.append(groups.starts[1:], len(positions))
        return [
            (int(numbers[groups.order[start]]), groups.order[start:end])
            for start, end in zip(groups.starts.tolist(), ends.tolist(), strict=True)
        ]

    def _open(self, number: int, insert: bool) -> Segment | None:
        """A segment that is not in the store alone, in memory."""
        segment = self._segments.get(number)
        if segment is None:
            parts = self._packed.pop(number, None)
            if parts is None and not insert:
                return None
            for other in self._segments.values():
                other.index.forget_recalled()
            segment = self._segments[number] = self._new(number)
            if parts is not None:
                segment.fill(list(map(_thawed, parts)))
                self._room = 0
                self._held.unknown.discard(number)
            elif self._oldest is not None:
                self._oldest = min(self._oldest, number)
        segment.touched = self._clock
        if insert:
            self._changed.add(number)
        return segment

    def _new(self, number: int) -> Segment:
        first = number * self.span
        return Segment(first, self.span, self.kernels, self.extra, self._shape, self._index())

    def _view(self) -> AbstractContextManager[View]:
        assert self._later is not None
        return self._later()

    def _parts(self, number: int, views: Sequence[View]) -> list[pa.RecordBatch]:
        """What is stored of a segment that is not in memory; `views` has one if it is away."""
        packed = self._packed.get(number)
        if packed is not None:
            return list(map(_thawed, packed))
        return [p.rows for p in views[0].state(self._store, _pages_of(number))]

    def _ring(self, number: int) -> Ring:
        ring = self._rings.get(number)
        if ring is None:
            ring = self._rings[number] = Ring(self._store, number * RING_PAGES)
        return ring

    def _let_go(self, commit: Commit) -> None:
        """Let segments leave, those touched longest ago first, until the others fit.

        What was touched since the last write stays: only what an earlier commit has written can be
        read by a view of the last one.
        """
        if self._room > 0:
            return
        budget = COLD_BYTES // self._row_bytes
        rows = sum(map(len, self._segments.values()))
        if rows <= budget:
            self._room = budget - rows
            return
        cold = [(s.touched, n) for n, s in self._segments.items() if s.touched < self._clock]
        for _, number in sorted(cold):
            if rows <= budget:
                return
            segment = self._segments[number]
            if self._later is None:
                if len(segment) < FREEZE_ROWS:
                    continue
                self._packed[number] = [freeze(segment.stored(np.arange(len(segment))).batch())]
            else:
                self._leave(commit, number, segment)
            rows -= len(segment)
            self._held.note(number, segment.keys())
            del self._segments[number]

    def _leave(self, commit: Commit, number: int, segment: Segment) -> None:
        """Have a segment in the store alone."""
        ring = self._rings.pop(number, None)
        if ring is None:
            return
        if ring.stored_rows > _WASTE * len(segment):
            ring.settle(commit, len(segment), segment.stored)
        self._away[number] = ring.pages()


def _pages_of(number: int) -> range:
    return range(number * RING_PAGES, (number + 1) * RING_PAGES)


def _thawed(rows: pa.RecordBatch | Frozen) -> pa.RecordBatch:
    return rows.thaw() if isinstance(rows, Frozen) else rows
