"""GROUP BY over a stream in session windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from millstream.columns import segments as sg
from millstream.columns.batch import Batch, concat, mask_or_none
from millstream.columns.segments import Segments
from millstream.engine.operators.aggregate_calls import (
    AggregateCalls,
    previous_states,
    take_states,
    take_values,
)
from millstream.engine.operators.aggregate_output import (
    empty_changes,
    per_partition,
    row_by_row,
    table_rows,
)
from millstream.engine.operators.base import Emission, StepContext, StreamTimes
from millstream.engine.operators.final import SessionClosing
from millstream.engine.operators.session_events import (
    Events,
    joined_events,
    net_events,
    no_events,
    session_changes,
    valid_until,
)
from millstream.engine.operators.session_few import FEW_ROWS, step_few
from millstream.engine.operators.session_rows import (
    EventList,
    add_row,
)
from millstream.engine.operators.session_state import BEFORE, END, LAST_END, START, SessionState
from millstream.engine.operators.windows import AggregateSpec, WindowSpec
from millstream.engine.state.slots import Rows, joined_rows
from millstream.functions.aggregates.kernels import States
from millstream.store.interfaces import Commit, StoreId, View


@dataclass(slots=True)
class Arrived:
    """A batch with what every row meets: stream time with the row and before it, and its key."""

    batch: Batch
    ids: np.ndarray
    stream_time: np.ndarray
    before: np.ndarray


class SessionAggregation:
    """States by key and session."""

    def __init__(self, name: str, store: StoreId, spec: AggregateSpec, window: WindowSpec) -> None:
        self.name = name
        self.spec = spec
        self.window = window
        self.calls = AggregateCalls(spec)
        self.state = SessionState(store, spec, window, self.calls)
        self.keys = self.state.keys
        self.times = StreamTimes()
        self.closing = SessionClosing(name, window)
        self._may_be_plain = self.calls.columnar and not spec.final
        self._store = store

    # --- steps --------------------------------------------------------------------------------

    def step(self, batch: Batch, context: StepContext) -> Batch:
        """Aggregate rows; gives changes of the result table, or final rows of closed sessions."""
        if len(batch) == 0:
            return empty_changes(batch, self.spec.output, True)
        if context.row_wise and len(batch) > 1:
            return row_by_row(batch, context, self.step)
        if len(batch) <= FEW_ROWS and self._may_be_plain and not context.row_wise:
            few = step_few(self, batch, last=context.emission is Emission.LAST)
            if few is not None:
                return few
        stream_time, before = self._observe(batch)
        ids = self.keys.ids(batch.key_arrays, batch.partition)
        arrived = Arrived(batch, ids, stream_time, before)
        if self.spec.final:
            return self._step_final(arrived, context)
        events = self._events(arrived, context, context.emission)
        self.state.expire(self.times)
        if len(events) == 0:
            return empty_changes(batch, self.spec.output, True)
        return session_changes(batch, events, self.calls, self.spec)

    def _observe(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Stream time at each row, and before it, which is what the store has observed."""
        parts = per_partition(batch.partition)
        known = [self.times.get(partition) for partition, _ in parts]
        stream_time = self.times.observe(batch.rowtime, batch.partition)
        before = np.empty_like(stream_time)
        if len(parts) == 1:
            before[0], before[1:] = known[0], stream_time[:-1]
            return stream_time, before
        for (_, rows), time in zip(parts, known, strict=True):
            mine = slice(None) if rows is None else rows
            shifted = np.empty_like(stream_time[mine])
            shifted[0] = time
            shifted[1:] = stream_time[mine][:-1]
            before[mine] = shifted
        return stream_time, before

    def _events(self, arrived: Arrived, context: StepContext, emission: Emission) -> Events:
        """What the rows do to sessions, in the order in which it happens."""
        return self._by_key(arrived, context, emission).in_order()

    def _by_key(self, arrived: Arrived, context: StepContext, emission: Emission) -> Events:
        segments = sg.by_code(arrived.ids)
        latest = self.state.latest.gather(arrived.ids[segments.order[segments.starts]])
        odd = self._odd_keys(arrived, segments, latest, context)
        if not odd.any():
            return self._regular(arrived, segments, latest, context, emission)
        regular_rows = np.sort(segments.order[~np.repeat(odd, segments.lengths)])
        parts = []
        if len(regular_rows):
            mine = _pick(arrived, regular_rows)
            own = sg.by_code(mine.ids)
            part = self._regular(mine, own, latest.take(np.flatnonzero(~odd)), context, emission)
            part.row = regular_rows[part.row]
            parts.append(part)
        odd_events = self._one_by_one(arrived, segments, odd, context)
        parts.append(odd_events if emission is Emission.ALL else net_events(odd_events))
        return joined_events(parts)

    def _odd_keys(
        self, arrived: Arrived, segments: Segments, latest: Rows, context: StepContext
    ) -> np.ndarray:
        """Keys that must go row by row: out of order, late, or with object aggregates."""
        if context.row_wise or not self.calls.columnar:
            return np.ones(len(segments), bool)
        times = arrived.batch.rowtime[segments.order]
        odd = times[segments.starts] < np.where(latest.live, latest.extra[LAST_END], -1)
        backwards = np.zeros(len(times), bool)
        backwards[1:] = times[1:] < times[:-1]
        backwards[segments.starts] = False
        limit = arrived.stream_time - (self.window.size_ms + self.window.grace_ms)
        late = (arrived.batch.rowtime < limit)[segments.order]
        bad = backwards | late
        if bad.any():
            odd |= np.logical_or.reduceat(bad, segments.starts)
        return np.asarray(odd)

    # --- keys in order ------------------------------------------------------------------------

    def _regular(
        self,
        arrived: Arrived,
        segments: Segments,
        latest: Rows,
        context: StepContext,
        emission: Emission,
    ) -> Events:
        batch, window = arrived.batch, self.window
        times = batch.rowtime[segments.order]
        heads = segments.starts
        ends_before = sg.previous(latest.extra[LAST_END], times, segments)
        known = np.ones(len(times), bool)
        known[heads] = latest.live
        fresh = ~known | (times - ends_before > window.size_ms)
        fresh |= ends_before < arrived.before[segments.order] - window.kept_ms
        starts_at = fresh.copy()
        starts_at[heads] = True
        sessions = Segments(segments.order, np.flatnonzero(starts_at))
        first = sessions.starts
        goes_on = ~fresh[first]
        key_of = segments.number[first]
        ids = arrived.ids[segments.order[first]]
        start = np.where(goes_on, latest.extra[START][key_of], times[first])
        located = self.state.sessions.locate(ids, start)
        stored = self.state.sessions.gather(located)
        self.calls.reset(stored.states, np.flatnonzero(~goes_on))
        values = take_values(self.calls.prepare(batch), segments.order)
        last_time = times[sessions.ends]
        if emission is Emission.ALL:
            every, states = self.calls.running(stored.states, values, sessions)
            events = self._all_events(
                arrived, sessions, ids, start, times, ends_before, ~fresh, stored, every
            )
        else:
            states = self.calls.last(stored.states, values, sessions)
            events = self._last_events(
                sessions, ids, start, times, ends_before, goes_on, stored, states
            )
        before = np.where(goes_on, stored.extra[BEFORE], -1)
        self._chain(before, goes_on, start, key_of, latest)
        self.state.put(located, start, last_time, before, states)
        last_of_key = np.append(key_of[1:] != key_of[:-1], True)
        self.state.put_latest(ids[last_of_key], start[last_of_key], last_time[last_of_key])
        return events

    def _all_events(
        self,
        arrived: Arrived,
        sessions: Segments,
        ids: np.ndarray,
        start: np.ndarray,
        times: np.ndarray,
        ends_before: np.ndarray,
        grows: np.ndarray,
        stored: Rows,
        every: list[States],
    ) -> Events:
        """Per row: the session that it replaces is gone, and there is a longer one."""
        number = sessions.number
        starts = start[number]
        same = grows & (starts == times) & (ends_before == times)
        old = previous_states(stored.states, every, sessions)
        goes = np.flatnonzero(grows & ~same)
        row = sessions.order
        return Events(
            np.concatenate([row[goes], row]),
            np.repeat([0, 1], [len(goes), len(row)]),
            np.concatenate([ids[number[goes]], ids[number]]),
            np.concatenate([starts[goes], starts]),
            np.concatenate([ends_before[goes], times]),
            np.repeat([True, False], [len(goes), len(row)]),
            np.concatenate([np.ones(len(goes), bool), same]),
            _stacked(self.calls.initial(len(goes)), every),
            _stacked(take_states(old, goes), old),
        )

    def _last_events(
        self,
        sessions: Segments,
        ids: np.ndarray,
        start: np.ndarray,
        times: np.ndarray,
        ends_before: np.ndarray,
        goes_on: np.ndarray,
        stored: Rows,
        states: list[States],
    ) -> Events:
        """Per session: the stored one is gone where it grew, and there is the final one."""
        first_end = ends_before[sessions.starts]
        last_time = times[sessions.ends]
        grew = np.flatnonzero(goes_on & (last_time > first_end))
        # A stored session leaves at the first row that is later than its end.
        later = times > np.repeat(np.where(goes_on, first_end, -1), sessions.lengths)
        place = np.where(later, np.arange(len(times)), len(times))
        leaves = np.minimum.reduceat(place, sessions.starts)[grew]
        same = goes_on & (last_time == first_end)
        return Events(
            np.concatenate([sessions.order[leaves], sessions.order[sessions.ends]]),
            np.repeat([0, 1], [len(grew), len(ids)]),
            np.concatenate([ids[grew], ids]),
            np.concatenate([start[grew], start]),
            np.concatenate([first_end[grew], last_time]),
            np.repeat([True, False], [len(grew), len(ids)]),
            np.concatenate([np.ones(len(grew), bool), same]),
            _stacked(self.calls.initial(len(grew)), states),
            _stacked(take_states(stored.states, grew), stored.states),
        )

    def _chain(
        self,
        before: np.ndarray,
        goes_on: np.ndarray,
        start: np.ndarray,
        key_of: np.ndarray,
        latest: Rows,
    ) -> None:
        """Fill in, for new sessions, the start of the key's session before."""
        first_of_key = np.append(True, key_of[1:] != key_of[:-1])
        inner = np.flatnonzero(~first_of_key)
        before[inner] = start[inner - 1]
        outer = np.flatnonzero(first_of_key & ~goes_on)
        known = latest.live[key_of[outer]]
        before[outer] = np.where(known, latest.extra[START][key_of[outer]], -1)

    # --- keys out of order --------------------------------------------------------------------

    def _one_by_one(
        self, arrived: Arrived, segments: Segments, odd: np.ndarray, context: StepContext
    ) -> Events:
        numbers = np.flatnonzero(odd)
        batch = arrived.batch
        ends = segments.starts + segments.lengths
        rows_of_key = [segments.order[segments.starts[n] : ends[n]] for n in numbers.tolist()]
        ids = np.array([arrived.ids[rows[0]] for rows in rows_of_key])
        earliest = np.array([batch.rowtime[rows].min() for rows in rows_of_key])
        keys = self.state.load_keys(ids, earliest - self.window.size_ms)
        arguments = self._argument_rows(batch)
        events, late = EventList(self.calls), []
        for sessions, rows in zip(keys, rows_of_key, strict=True):
            for row in rows.tolist():
                if not add_row(
                    sessions,
                    row,
                    int(batch.rowtime[row]),
                    int(arrived.stream_time[row]),
                    int(arrived.before[row]),
                    [a[row] for a in arguments],
                    self.window,
                    events,
                ):
                    late.append(row)
        self.state.store_keys(keys)
        if late:
            context.note(
                self.name,
                "late",
                "a row came after its session had closed",
                int(batch.seq[min(late)]),
                len(late),
            )
        return events.columns()

    def _argument_rows(self, batch: Batch) -> list[list[tuple[object, ...]]]:
        prepared = self.calls.prepare(batch, True)
        return [
            list(zip(*[v.values.tolist() for v in columns], strict=True))
            if columns
            else [()] * len(batch)
            for columns in prepared
        ]

    # --- final results ------------------------------------------------------------------------

    def _step_final(self, arrived: Arrived, context: StepContext) -> Batch:
        """Each state of a session is final if stream time passes it before the next one comes."""
        batch = arrived.batch
        parts = per_partition(batch.partition)
        spans = {
            p: self.closing.advance(p, int(arrived.stream_time[-1 if rows is None else rows[-1]]))
            for p, rows in parts
        }
        events = joined_events(
            [
                self._stored_versions(spans),
                self._events(arrived, context, Emission.ALL),
            ]
        )
        self.state.expire(self.times)
        until = valid_until(events)
        partition = self.keys.partitions(events.ids)
        closed = []
        for number, rows in parts:
            if spans[number] is None:
                continue
            mine = np.arange(len(batch)) if rows is None else rows
            own = np.flatnonzero((partition == number) & ~events.gone)
            place = self.closing.trigger(events.end[own], arrived.stream_time[mine])
            due = place < len(mine)
            own, trigger = own[due], mine[place[due]]
            in_time = trigger < until[own]
            closed.append((own[in_time], trigger[in_time]))
        if not closed:
            return empty_changes(batch, self.spec.output, True)
        places, trigger = (np.concatenate(c) for c in zip(*closed, strict=True))
        lost = self.closing.lost(events.end[places], arrived.stream_time[trigger])
        self.closing.note_lost(int(np.count_nonzero(lost)), context)
        return self._final_rows(batch, events.take(places[~lost]), trigger[~lost])

    def _stored_versions(self, spans: dict[int, tuple[int, int] | None]) -> Events:
        """Stored sessions that may close now, as events before the batch."""
        closing = [s for s in spans.values() if s is not None]
        if not closing:
            return no_events(self.calls)
        first, last = min(s[0] for s in closing), max(s[1] for s in closing)
        ids, starts, found = [], [], []
        for segment, slots in self.state.closing(first, last):
            rows = segment.table.gather(slots)
            kept = np.flatnonzero((rows.extra[END] >= first) & (rows.extra[END] <= last))
            ids.append(segment.ids[slots[kept]])
            starts.append(segment.positions[slots[kept]])
            found.append(rows.take(kept))
        if not ids:
            return no_events(self.calls)
        every, rows = np.concatenate(ids), joined_rows(found)
        first_end = np.array([(spans.get(p) or (0, 0))[0] for p in self.keys.partitions(every)])
        count = len(every)
        events = Events(
            np.full(count, -1, np.int64),
            np.zeros(count, np.int64),
            every,
            np.concatenate(starts),
            rows.extra[END],
            np.zeros(count, bool),
            np.zeros(count, bool),
            rows.states,
            rows.states,
        )
        return events.take(np.flatnonzero(events.end >= first_end))

    def _final_rows(self, batch: Batch, events: Events, trigger: np.ndarray) -> Batch:
        keys = self.keys.index.arrays(events.ids)
        order = self.closing.order(trigger, events.start, events.end, keys, self.spec)
        events, trigger = events.take(order), trigger[order]
        count = len(order)
        return batch.derive(
            trigger,
            self.spec.output,
            [*self.keys.index.arrays(events.ids), *self.calls.results(events.new)],
            rowtime=events.end,
            window_start=events.start,
            window_end=events.end,
            old=self.calls.old_results(self.calls.initial(count)),
            old_null=mask_or_none(np.ones(count, bool)),
        )

    # --- reading ------------------------------------------------------------------------------

    def rows(self) -> Batch:
        """All visible rows of the table."""
        ids, starts, found = [], [], []
        for segment, slots in self.state.scan():
            ids.append(segment.ids[slots])
            starts.append(segment.positions[slots])
            found.append(segment.table.gather(slots))
        if not ids:
            return self._table(np.empty(0, np.int64), np.empty(0, np.int64), self.state.no_rows())
        every, start, rows = np.concatenate(ids), np.concatenate(starts), joined_rows(found)
        seen = self.state.visible(every, rows.extra[END], self.times)
        order = seen[np.lexsort((start[seen], every[seen]))]
        return self._table(every[order], start[order], rows.take(order))

    def lookup(self, keys: list[pa.Array], start: int | None, end: int | None) -> Batch:
        """The visible rows of some keys."""
        wanted = self.keys.index.find(keys)
        parts = []
        for key in wanted[wanted >= 0].tolist():
            ids, starts, rows = self.state.walk(key)
            keep = self.state.visible(ids, rows.extra[END], self.times)
            if start is not None:
                keep = keep[starts[keep] >= start]
            if end is not None:
                keep = keep[starts[keep] <= end]
            parts.append(self._table(ids[keep], starts[keep], rows.take(keep)))
        none = np.empty(0, np.int64)
        return concat(parts) if parts else self._table(none, none, self.state.no_rows())

    def _table(self, ids: np.ndarray, start: np.ndarray, rows: Rows) -> Batch:
        return table_rows(
            self.spec.output,
            self.keys.index.arrays(ids),
            self.calls.results(rows.states),
            rows.extra[END],
            self.keys.partitions(ids),
            (start, rows.extra[END]),
        )

    # --- persistence --------------------------------------------------------------------------

    def write(self, commit: Commit) -> None:
        """Write what changed."""
        self.state.write(commit)
        commit.put_state_meta(
            self._store,
            {
                "times": self.times.dump(),
                "closed": self.closing.dump(),
                "sequences": self.calls.sequences(),
            },
        )

    def load(self, view: View) -> None:
        """Read what was written."""
        self.state.load(view)
        meta = view.state_meta(self._store)
        if meta:
            self.times.restore(meta["times"])
            self.closing.restore(meta["closed"])
            self.calls.restore_sequences(meta["sequences"])


def _pick(arrived: Arrived, rows: np.ndarray) -> Arrived:
    return Arrived(
        arrived.batch.take(rows),
        arrived.ids[rows],
        arrived.stream_time[rows],
        arrived.before[rows],
    )


def _stacked(first: list[States], second: list[States]) -> list[States]:
    return [
        [np.concatenate([x, y]) for x, y in zip(a, b, strict=True)]
        for a, b in zip(first, second, strict=True)
    ]
