"""The sessions of an operator: rows of state, and each key's chain from its latest session back.

A session is a row at (key, start); `extra` columns hold its end and the start of the key's session
before it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from millstream.columns import segments as sg
from millstream.engine.operators.aggregate_calls import AggregateCalls
from millstream.engine.operators.aggregate_output import per_partition
from millstream.engine.operators.base import StreamTimes
from millstream.engine.operators.session_rows import KeySessions, Session, packed
from millstream.engine.operators.windows import AggregateSpec, WindowSpec
from millstream.engine.state.keyed import KeyedState
from millstream.engine.state.pages import part_of
from millstream.engine.state.segment import Segment
from millstream.engine.state.slots import Rows, all_live, joined_rows
from millstream.engine.state.windowed import Located, WindowedState
from millstream.functions.aggregates.kernels import States
from millstream.store.interfaces import Commit, StoreId, View

_SEGMENTS_PER_RETENTION = 64
_SHORTEST_SEGMENT_MS = 60_000
_FEW_ROWS = 32
END, BEFORE = 0, 1
"""Further columns of a session."""
START, LAST_END = 0, 1
"""Further columns of a key: its latest session."""


class SessionState:
    """Sessions by key and start, and the latest one of each key.

    What the store has observed is the stream time of its partition: every row that moves it is
    put, for a row that is not late ends its session at its own time or later.
    """

    def __init__(
        self, store: StoreId, spec: AggregateSpec, window: WindowSpec, calls: AggregateCalls
    ) -> None:
        self.window = window
        self.calls = calls
        types = [c.type for c in spec.key]
        self.latest = KeyedState(part_of(store, "latest"), types, [], extra=2)
        self.keys = self.latest.keys
        span = max(window.kept_ms // _SEGMENTS_PER_RETENTION, _SHORTEST_SEGMENT_MS)
        self.sessions = WindowedState(store, calls.kernels, span, extra=2)
        self._reach: dict[int, int] = {}
        """Per segment the latest end of its sessions."""
        self._unmeasured: set[int] = set()
        """Segments of an earlier process, of which the reach tells too little."""

    # --- writing ------------------------------------------------------------------------------

    def put(
        self,
        located: Located,
        start: np.ndarray,
        end: np.ndarray,
        before: np.ndarray,
        states: list[States],
    ) -> None:
        """Set sessions, which are distinct."""
        live = all_live(len(start))
        self.sessions.scatter(located, Rows(states, end, live, [end, before]))
        span = self.sessions.span
        if len(start) <= _FEW_ROWS:
            for first, last in zip(start.tolist(), end.tolist(), strict=True):
                self._reached(first // span, last)
            return
        numbers = start // span
        if int(numbers.min()) == int(numbers.max()):
            self._reached(int(numbers[0]), int(end.max()))
            return
        for number, furthest in zip(*_largest_by(numbers, end), strict=True):
            self._reached(number, furthest)

    def _reached(self, number: int, end: int) -> None:
        self._reach[number] = max(self._reach.get(number, -1), end)

    def put_latest(self, ids: np.ndarray, start: np.ndarray, end: np.ndarray) -> None:
        """Set the latest sessions of keys, which are distinct."""
        self.latest.scatter(ids, Rows([], end, all_live(len(ids)), [start, end]))

    def expire(self, times: StreamTimes) -> None:
        """Forget segments whose every session has expired for every partition."""
        oldest = times.oldest() - self.window.kept_ms
        # A session ends where it starts or later.
        due = [n for n in self._unmeasured if (n + 1) * self.sessions.span <= oldest]
        for number in due:
            self._measure(number)
        for number in [n for n, end in self._reach.items() if end < oldest]:
            if number not in self._unmeasured:
                self.sessions.drop(number)
                del self._reach[number]

    def _measure(self, number: int) -> None:
        """Know a segment's reach, by reading it once."""
        self._unmeasured.discard(number)
        self._reached(number, self.sessions.largest(number, END))

    def store_keys(self, keys: list[KeySessions]) -> None:
        """Set what `load_keys` gave and rows have changed."""
        ids, start, end, before, states = [], [], [], [], []
        gone_ids, gone_start = [], []
        for key in keys:
            previous = key.before
            for session in key.sessions:
                ids.append(key.key)
                start.append(session.start)
                end.append(session.end)
                before.append(previous if previous < session.start else -1)
                states.append(session.states)
                previous = session.start
            kept = {s.start for s in key.sessions}
            for at in sorted(key.removed - kept):
                gone_ids.append(key.key)
                gone_start.append(at)
        if gone_ids:
            located = self.sessions.locate(np.array(gone_ids), np.array(gone_start))
            rows = self.sessions.gather(located)
            rows.live[:] = False
            self.sessions.scatter(located, rows)
        if ids:
            located = self.sessions.locate(np.array(ids), np.array(start))
            self.put(
                located,
                np.array(start),
                np.array(end),
                np.array(before),
                packed(self.calls, list(states)),
            )
        held = [k for k in keys if k.sessions]
        if held:
            self.put_latest(
                np.array([k.key for k in held]),
                np.array([k.sessions[-1].start for k in held]),
                np.array([k.sessions[-1].end for k in held]),
            )

    # --- reading ------------------------------------------------------------------------------

    def load_keys(self, ids: np.ndarray, reach: np.ndarray) -> list[KeySessions]:
        """The sessions of some keys, from the latest back to the first that ends before `reach`."""
        keys = [KeySessions(int(i), []) for i in ids.tolist()]
        latest = self.latest.gather(ids)
        active = np.flatnonzero(latest.live)
        at = latest.extra[START][active]
        while len(active):
            located = self.sessions.locate(ids[active], at, insert=False)
            rows = self.sessions.gather(located)
            states = self._unpacked(rows)
            going = np.zeros(len(active), bool)
            for i, number in enumerate(active.tolist()):
                if not rows.live[i]:
                    continue
                end, before = int(rows.extra[END][i]), int(rows.extra[BEFORE][i])
                if end < reach[number]:
                    keys[number].before = int(at[i])
                    continue
                keys[number].sessions.insert(0, Session(int(at[i]), end, states[i]))
                going[i] = before >= 0
            at = rows.extra[BEFORE][going]
            active = active[going]
        return keys

    def _unpacked(self, rows: Rows) -> list[list[tuple[object, ...]]]:
        return [
            [
                bound.kernel.unpack(state, i)
                for bound, state in zip(self.calls.calls, rows.states, strict=True)
            ]
            for i in range(len(rows.rowtime))
        ]

    def walk(self, key: int) -> tuple[np.ndarray, np.ndarray, Rows]:
        """All sessions of a key, oldest first."""
        ids = np.array([key])
        latest = self.latest.gather(ids)
        at = int(latest.extra[START][0]) if latest.live[0] else -1
        starts: list[int] = []
        found: list[Rows] = []
        with self.sessions.look(ids) as segment_of:
            while at >= 0:
                segment = segment_of(at // self.sessions.span)
                slots = None if segment is None else segment.find(ids, np.array([at]))
                if segment is None or slots is None or not segment.table.is_live(slots).all():
                    break
                rows = segment.table.gather(slots)
                starts.insert(0, at)
                found.insert(0, rows)
                at = int(rows.extra[BEFORE][0])
        rows = joined_rows(found) if found else self.no_rows()
        return np.full(len(starts), key), np.array(starts, np.int64), rows

    def visible(self, ids: np.ndarray, end: np.ndarray, times: StreamTimes) -> np.ndarray:
        """Which sessions of some keys have not expired."""
        partition = self.keys.partitions(ids)
        oldest = np.full(len(ids), -1, np.int64)
        for number, some in per_partition(partition):
            mine = slice(None) if some is None else some
            oldest[mine] = times.get(number) - self.window.kept_ms
        return np.flatnonzero(end >= oldest)

    def no_rows(self) -> Rows:
        """No sessions."""
        none = np.empty(0, np.int64)
        return Rows(self.calls.initial(0), none, np.empty(0, bool), [none, none])

    def scan(self) -> Iterator[tuple[Segment, np.ndarray]]:
        """All sessions, as slots by segment; to be used in turn."""
        for segment in self.sessions.scan():
            yield segment, segment.live_slots(None, None)

    def closing(self, first_end: int, last: int) -> Iterator[tuple[Segment, np.ndarray]]:
        """The segments that may have sessions which start by `last` and end at `first_end` or
        later, with the slots of those that start by then."""
        span = self.sessions.span
        numbers = [n for n in self.sessions.numbers() if n * span <= last]
        for number in self._unmeasured.intersection(numbers):
            self._measure(number)
        numbers = [n for n in numbers if self._reach.get(n, -1) >= first_end]
        for segment in self.sessions.each(numbers, keep=True):
            yield segment, segment.live_slots(None, last)

    # --- persistence --------------------------------------------------------------------------

    def write(self, commit: Commit) -> None:
        """Write what changed."""
        self.latest.forget(self.keys.sweep(self.sessions.holders))
        self.latest.write(commit)
        self.sessions.write(commit)

    def load(self, view: View) -> None:
        """Read what was written."""
        self.latest.load(view)
        self.sessions.load(view)
        self._reach.clear()
        self._unmeasured = set(self.sessions.numbers())


def _largest_by(numbers: np.ndarray, values: np.ndarray) -> tuple[list[int], list[int]]:
    groups = sg.by_code(numbers)
    furthest = np.maximum.reduceat(values[groups.order], groups.starts)
    return numbers[groups.order[groups.starts]].tolist(), furthest.tolist()
