"""The buffers of one partition of a stream-stream join, and which rows meet in them."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from dataclasses import dataclass, field

from millstream.engine.operators.stream_stream_rows import SideRows

Entry = tuple[int, int, bytes]
"""A buffered row: event time, id, key code. Sorts by time, then arrival."""

Waiting = tuple[int, bytes, int]
"""A row that found no match yet: event time, serialised key, id."""

NO_ROW = -1


@dataclass(frozen=True, slots=True)
class JoinTimes:
    """The times of a join in ms, per side (0 left, 1 right).

    A row of side s meets rows of the other side from `back[s]` before it to `ahead[s]` after it.
    Misses of side s are wanted where `keeps[s]`. With `grace` None they are given at once; else
    when the stream time has passed the row's time by more than `ahead[s] + grace`.
    """

    back: tuple[int, int]
    ahead: tuple[int, int]
    keeps: tuple[bool, bool]
    grace: int | None
    retention: int


@dataclass(slots=True)
class Found:
    """Result rows: the row of the merged input that caused each, the ids of its left and right
    rows (-1 for none) and its event time. `alone`: per side, the rows that are not kept."""

    trigger: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    rowtime: list[int] = field(default_factory=list)
    alone: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))

    def add(self, trigger: int, side: int, row: int, other: int, rowtime: int) -> None:
        """A result of a row of a side and a row of the other side."""
        self.trigger.append(trigger)
        (self.right if side else self.left).append(row)
        (self.left if side else self.right).append(other)
        self.rowtime.append(rowtime)


class JoinTask:
    """One partition: its stream time, what each side's buffer has observed, and the buffers.

    A buffer forgets what is older than its own observed time less the retention, row by row.
    """

    def __init__(self, times: JoinTimes, rows: tuple[SideRows, SideRows]) -> None:
        self.times = times
        self.rows = rows
        self.stream_time = -1
        self.observed = [-1, -1]
        self._by_key: tuple[dict[bytes, list[Entry]], ...] = ({}, {})
        self._by_time: tuple[list[Entry], ...] = ([], [])
        self._waiting: tuple[list[Waiting], ...] = ([], [])

    def process(
        self, side: int, time: int, row: int, key: bytes, sort_key: bytes, place: int, found: Found
    ) -> None:
        """Take a row of a side: it closes windows, meets the other side, and is kept."""
        times = self.times
        if time >= self.stream_time:
            self.stream_time = time
            if self._waiting[0] or self._waiting[1]:
                self._close(place, found)
        if not self._match(side, time, row, key, place, found) and times.keeps[side]:
            if times.grace is None or time + times.ahead[side] < self.stream_time:
                found.add(place, side, row, NO_ROW, time)
            else:
                heapq.heappush(self._waiting[side], (time, sort_key, row))
                self.rows[side].wait(row)
        self.keep(side, (time, row, key))

    def keep(self, side: int, entry: Entry) -> None:
        """Put a row into its side's buffer."""
        self.observed[side] = max(self.observed[side], entry[0])
        entries = self._by_key[side].setdefault(entry[2], [])
        if entries and entry < entries[-1]:
            insort(entries, entry)
        else:
            entries.append(entry)
        heapq.heappush(self._by_time[side], entry)

    def expect(self, side: int, waiting: Waiting) -> None:
        """Put back a row that waited for a match."""
        heapq.heappush(self._waiting[side], waiting)

    def horizon(self, side: int) -> int:
        """The largest event time that a side's buffer has forgotten."""
        return self.observed[side] - self.times.retention

    def _match(self, side: int, time: int, row: int, key: bytes, place: int, found: Found) -> bool:
        other = 1 - side
        entries = self._by_key[other].get(key)
        if not entries:
            return False
        first = max(time - self.times.back[side], self.horizon(other) + 1)
        last = time + self.times.ahead[side]
        start = bisect_left(entries, (first,))
        settle = self.rows[other].settle
        at = start
        while at < len(entries):
            other_time, other_row, _ = entries[at]
            if other_time > last:
                break
            settle(other_row)
            found.add(place, side, row, other_row, max(time, other_time))
            at += 1
        return at > start

    def _close(self, place: int, found: Found) -> None:
        """Give the misses whose windows are closed: by time, right before left, by key's bytes."""
        grace = self.times.grace
        assert grace is not None
        closed: list[tuple[int, int, bytes, int]] = []
        for side, heap in enumerate(self._waiting):
            limit = self.stream_time - self.times.ahead[side] - grace
            while heap and heap[0][0] < limit:
                time, sort_key, row = heapq.heappop(heap)
                if row in self.rows[side].waiting:
                    closed.append((time, -side, sort_key, row))
        closed.sort()
        for time, negative_side, _, row in closed:
            self.rows[-negative_side].settle(row)
            found.add(place, -negative_side, row, NO_ROW, time)

    def expire(self, side: int) -> list[int]:
        """Take the rows out that the side's buffer has forgotten; gives their ids."""
        heap, horizon = self._by_time[side], self.horizon(side)
        gone, kept = [], []
        while heap and heap[0][0] <= horizon:
            entry = heapq.heappop(heap)
            if entry[1] in self.rows[side].waiting:
                kept.append(entry)
                continue
            gone.append(entry[1])
            entries = self._by_key[side][entry[2]]
            del entries[bisect_left(entries, entry)]
            if not entries:
                del self._by_key[side][entry[2]]
        for entry in kept:
            heapq.heappush(heap, entry)
        return gone
