"""GROUP BY over a stream in tumbling or hopping windows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from millstream.columns import arrow
from millstream.columns import segments as sg
from millstream.columns.batch import Batch, concat, mask_or_none
from millstream.columns.segments import Segments
from millstream.engine.operators.aggregate_calls import (
    AggregateCalls,
    Prepared,
    Results,
    previous_states,
    take_states,
    take_values,
)
from millstream.engine.operators.aggregate_few import FEW_ROWS, step_few
from millstream.engine.operators.aggregate_output import (
    empty_changes,
    per_partition,
    row_by_row,
    table_rows,
)
from millstream.engine.operators.aggregate_panes import reduce_panes
from millstream.engine.operators.base import Emission, StepContext, StreamTimes
from millstream.engine.operators.final import WindowClosing
from millstream.engine.operators.open_windows import Expanded, OpenWindows
from millstream.engine.operators.windows import AggregateSpec, WindowSpec, windows_of
from millstream.engine.state.keys import StoredKeys
from millstream.engine.state.segment import Segment
from millstream.engine.state.slots import Rows, all_live, joined_rows
from millstream.engine.state.windowed import Located, WindowedState
from millstream.functions.aggregates.kernels import States
from millstream.store.interfaces import Commit, StoreId, View

_MOST_WINDOWS_PER_SEGMENT = 64
_SEGMENTS_PER_RETENTION = 64
_FEW_ROWS = 64
_PIECE_ROWS = 1 << 16
_MANY_WINDOWS = 4
"""So many of a row's windows are worth an index of neighbours."""


@dataclass(slots=True)
class Updated:
    """What a batch did to its groups (a key in a window): rows before and after."""

    located: Located
    number: np.ndarray
    before: Rows
    states: list[States]
    rowtime: np.ndarray


class WindowedAggregation:
    """States by key and window."""

    def __init__(self, name: str, store: StoreId, spec: AggregateSpec, window: WindowSpec) -> None:
        self.name = name
        self.spec = spec
        self.window = window
        self.calls = AggregateCalls(spec)
        self.keys = StoredKeys([c.type for c in spec.key], store)
        self.state = WindowedState(
            store,
            self.calls.kernels,
            _windows_per_segment(window),
            neighbours=window.size_ms >= _MANY_WINDOWS * window.advance_ms,
        )
        self.windows = OpenWindows(window)
        self.times = StreamTimes()
        self.observed = StreamTimes()
        self.closing = WindowClosing(name, window)
        self._store = store

    # --- steps --------------------------------------------------------------------------------

    def step(self, batch: Batch, context: StepContext) -> Batch:
        """Aggregate rows; gives changes of the result table, or final rows of closed windows."""
        if len(batch) == 0:
            return empty_changes(batch, self.spec.output, True)
        if context.row_wise and len(batch) > 1:
            return row_by_row(batch, context, self.step)
        if len(batch) <= FEW_ROWS and not self.spec.final and not context.row_wise:
            few = step_few(self, batch, last=context.emission is Emission.LAST)
            if few is not None:
                return few
        stream_time = self.times.observe(batch.rowtime, batch.partition)
        if self._can_combine(batch, stream_time, context):
            output = self._step_panes(batch)
            if output is not None:
                return output

        def note_late(row: int, count: int) -> None:
            message = "an update came after its window had closed"
            context.note(self.name, "late", message, int(batch.seq[row]), count)

        expanded = self.windows.expand(batch.rowtime, stream_time, note_late)
        if self.spec.final:
            return self._step_final(batch, expanded, stream_time, context)
        if len(expanded.row) == 0:
            return empty_changes(batch, self.spec.output, True)
        ids = self.keys.ids(batch.key_arrays, batch.partition)
        values = self.calls.prepare(batch, context.row_wise)
        if context.emission is Emission.LAST:
            output = self._step_last(batch, expanded, ids, values, context)
        else:
            output = self._step_all(batch, expanded, ids, values, context)
        self._observe(batch.partition, expanded.row, expanded.number)
        self._expire()
        return output

    def _step_all(
        self,
        batch: Batch,
        expanded: Expanded,
        ids: np.ndarray,
        values: Prepared,
        context: StepContext,
    ) -> Batch:
        """Piece by piece: what lies between fits the processor's cache, and memory holds little
        more than the result."""
        count = len(expanded.row)
        if count <= _PIECE_ROWS:
            every = self._every(batch, expanded, ids, values, context)
        else:
            every = self._room(count)
            for start in range(0, count, _PIECE_ROWS):
                piece = slice(start, start + _PIECE_ROWS)
                some = Expanded(expanded.row[piece], expanded.number[piece])
                every.put(piece, self._every(batch, some, ids, values, context))
        return self.changes(batch, expanded.row, expanded.number, every)

    def _every(
        self,
        batch: Batch,
        expanded: Expanded,
        ids: np.ndarray,
        values: Prepared,
        context: StepContext,
    ) -> Results:
        """Update groups; gives the result after each row."""
        segments = self._group(ids, expanded)
        group = self._before(ids, expanded, segments)
        source = segments.arranged(expanded.row)
        every, states = self.calls.running(
            group.before.states, take_values(values, source), segments, context.row_wise
        )
        times = sg.running_max(group.before.rowtime, batch.rowtime[source], segments)
        group.states, group.rowtime = states, segments.last(times)
        self._store_group(group)
        absent = np.zeros(len(source), bool)
        absent[segments.starts] = ~group.before.live
        results = Results(
            every, times, previous_states(group.before.states, every, segments), absent
        )
        return results if segments.in_order else results.take(sg.unsort(segments.order))

    def _room(self, count: int) -> Results:
        """Results that are still to be filled in."""

        def states() -> list[States]:
            return [[np.empty(count, c.dtype) for c in state] for state in self.calls.initial(0)]

        return Results(states(), np.empty(count, np.int64), states(), np.empty(count, bool))

    def _step_last(
        self,
        batch: Batch,
        expanded: Expanded,
        ids: np.ndarray,
        values: Prepared,
        context: StepContext,
    ) -> Batch:
        segments = self._group(ids, expanded)
        group = self._reduce(batch, expanded, ids, values, segments, context)
        results, number = _results(group), group.number
        if segments.single and segments.in_order:
            trigger = None if expanded.one_each else expanded.row
            return self.changes(batch, trigger, number, results)
        place = segments.last(segments.order)
        if sg.ascends(place):
            return self.changes(batch, expanded.row[place], number, results)
        by_place = _rank(place, segments.rows)
        return self.changes(
            batch, expanded.row[place[by_place]], number[by_place], results.take(by_place)
        )

    def _step_final(
        self, batch: Batch, expanded: Expanded, stream_time: np.ndarray, context: StepContext
    ) -> Batch:
        started = expanded.number * self.window.advance_ms
        observed = self.closing.observed(batch, expanded.row, started, self.observed)
        if len(expanded.row):
            ids = self.keys.ids(batch.key_arrays, batch.partition)
            values = self.calls.prepare(batch, context.row_wise)
            segments = self._group(ids, expanded)
            self._reduce(batch, expanded, ids, values, segments, context)
        closed = [
            self._final_rows(batch, partition, rows, stream_time, observed, context)
            for partition, rows in per_partition(batch.partition)
        ]
        self._observe(batch.partition, expanded.row, expanded.number)
        self._expire()
        if len(closed) == 1:
            return closed[0]
        joined = concat(closed)
        return joined.take(np.argsort(joined.order, kind="stable"))

    # --- panes --------------------------------------------------------------------------------

    def _can_combine(self, batch: Batch, stream_time: np.ndarray, context: StepContext) -> bool:
        """Whether rows may be reduced by pane before they are spread over windows.

        Only the last results are wanted, states combine exactly, all rows of a pane share their
        windows, and all these are open.
        """
        window = self.window
        if (
            context.emission is not Emission.LAST
            or context.row_wise
            or self.spec.final
            or window.size_ms < 3 * window.advance_ms
            or window.size_ms % window.advance_ms
            or len(batch) < _FEW_ROWS
            or not self.calls.exact
        ):
            return False
        # Each window of a row ends after the row, so this much settles most batches.
        if (batch.rowtime > stream_time - window.grace_ms).all():
            return True
        oldest = np.maximum(batch.rowtime // window.advance_ms * window.advance_ms, 0)
        ends = np.maximum(oldest - window.size_ms + window.advance_ms, 0) + window.size_ms
        return bool((ends + window.grace_ms > stream_time).all())

    def _step_panes(self, batch: Batch) -> Batch | None:
        """The last results by way of panes; None where there are too many to gain anything."""
        ids = self.keys.ids(batch.key_arrays, batch.partition)
        panes = reduce_panes(batch, ids, self.calls, self.window.advance_ms)
        if panes is None:
            return None
        expanded = Expanded(*windows_of(panes.start, self.window))
        segments = self._group(panes.ids, expanded)
        group = self._before(panes.ids, expanded, segments)
        source = segments.arranged(expanded.row)
        parts = take_states(panes.states, source)
        group.states = self.calls.combine(group.before.states, parts, segments)
        group.rowtime = sg.segment_max(group.before.rowtime, panes.rowtime[source], segments)
        self._store_group(group)
        last_row = np.maximum.reduceat(panes.last_row[source], segments.starts)
        order = np.lexsort((group.number, last_row))
        self._observe(batch.partition, panes.last_row[expanded.row], expanded.number)
        self._expire()
        return self.changes(
            batch, last_row[order], group.number[order], _results(group).take(order)
        )

    # --- pieces -------------------------------------------------------------------------------

    def _group(self, ids: np.ndarray, expanded: Expanded) -> Segments:
        return sg.by_pair(ids[expanded.row], expanded.number)

    def _before(self, ids: np.ndarray, expanded: Expanded, segments: Segments) -> Updated:
        row, number = expanded.row, expanded.number
        if not (segments.single and segments.in_order):
            heads = segments.heads
            row, number = row[heads], number[heads]
        located = self.state.locate(ids[row], number)
        before = self.state.gather(located)
        return Updated(located, number, before, before.states, before.rowtime)

    def _reduce(
        self,
        batch: Batch,
        expanded: Expanded,
        ids: np.ndarray,
        values: Prepared,
        segments: Segments,
        context: StepContext,
    ) -> Updated:
        group = self._before(ids, expanded, segments)
        source = segments.arranged(expanded.row)
        group.states = self.calls.last(
            group.before.states, take_values(values, source), segments, context.row_wise
        )
        group.rowtime = sg.segment_max(group.before.rowtime, batch.rowtime[source], segments)
        self._store_group(group)
        return group

    def _store_group(self, group: Updated) -> None:
        live = all_live(len(group.number))
        self.state.scatter(group.located, Rows(group.states, group.rowtime, live, []))

    def changes(
        self, batch: Batch, trigger: np.ndarray | None, number: np.ndarray, results: Results
    ) -> Batch:
        """The results as changes; `trigger` are the rows that cause them, None: one row each."""
        start = number * self.window.advance_ms
        if trigger is not None and _is_every_row(trigger, len(batch)):
            trigger = None
        keys = batch.key_arrays
        return batch.derive(
            trigger,
            self.spec.output,
            [
                *(keys if trigger is None else arrow.pick_all(keys, trigger)),
                *self.calls.results(results.new),
            ],
            rowtime=results.rowtime,
            window_start=start,
            window_end=start + self.window.size_ms,
            old=self.calls.old_results(results.old),
            old_null=mask_or_none(results.absent),
        )

    def _observe(self, partition: np.ndarray, row: np.ndarray, number: np.ndarray) -> None:
        """Writing a window moves its partition's store to the window's start."""
        if len(row) == 0:
            return
        for one, rows in per_partition(partition):
            some = number if rows is None else number[partition[row] == one]
            if len(some):
                last = max(some.tolist()) if len(some) <= _FEW_ROWS else int(some.max())
                self.observed.advance(one, last * self.window.advance_ms)

    def observe(self, partition: int, newest: int) -> None:
        """Windows of a partition were written, the newest of them with this number."""
        start_ms = newest * self.window.advance_ms
        if start_ms > self.observed.get(partition):
            self.observed.advance(partition, start_ms)
            self._expire()

    def _expire(self) -> None:
        """Forget segments that no partition can see any more."""
        oldest = (self.observed.oldest() - self.window.kept_ms) // self.window.advance_ms
        if oldest > 0:
            self.state.drop_before(oldest)

    # --- final results ------------------------------------------------------------------------

    def _final_rows(
        self,
        batch: Batch,
        partition: int,
        rows: np.ndarray | None,
        stream_time: np.ndarray,
        observed: np.ndarray,
        context: StepContext,
    ) -> Batch:
        mine = np.arange(len(batch)) if rows is None else rows
        span = self.closing.advance(partition, int(stream_time[mine[-1]]))
        if span is None:
            return empty_changes(batch, self.spec.output, True)
        ids, start, found = self._live(span, partition)
        trigger = self.closing.trigger(start, stream_time[mine])
        lost = start < observed[mine][trigger] - self.window.kept_ms
        self.closing.note_lost(int(np.count_nonzero(lost)), context)
        kept = np.flatnonzero(~lost)
        order = self.closing.order(
            trigger[kept], start[kept], self.keys.index.arrays(ids[kept]), self.spec
        )
        kept = kept[order]
        ids, start, found = ids[kept], start[kept], found.take(kept)
        values = self.calls.results(found.states)
        return batch.derive(
            mine[trigger[kept]],
            self.spec.output,
            [*self.keys.index.arrays(ids), *values],
            rowtime=found.rowtime,
            window_start=start,
            window_end=start + self.window.size_ms,
            old=self.calls.old_results(self.calls.initial(len(ids))),
            old_null=mask_or_none(np.ones(len(ids), bool)),
        )

    # --- reading ------------------------------------------------------------------------------

    def rows(self, start: int | None = None, end: int | None = None) -> Batch:
        """All visible rows of the table, or those of windows that start in [start, end]."""
        first, last = self._numbers(start, end)
        segments = self.state.scan(first, last)
        ids, starts, found = self._visible(*self._gathered(segments, first, last))
        return self._table(ids, starts, found, np.lexsort((starts, ids)))

    def lookup(self, keys: list[pa.Array], start: int | None, end: int | None) -> Batch:
        """The visible rows of some keys."""
        wanted = self.keys.index.find(keys)
        known = wanted[wanted >= 0]
        advance = self.window.advance_ms
        first, last = self._numbers(start, end)
        ids, starts, found = [], [], []
        for segment, mine in self.state.find_keys(known, first, last):
            ids.append(segment.ids[mine])
            starts.append(segment.positions[mine] * advance)
            found.append(segment.table.gather(mine))
        every, at, rows = self._visible(ids, starts, found)
        turn = np.full(len(self.keys.index), -1, np.int64)
        turn[known[::-1]] = np.arange(len(known))[::-1]
        return self._table(every, at, rows, np.lexsort((at, turn[every])))

    def _numbers(self, start: int | None, end: int | None) -> tuple[int | None, int | None]:
        """The windows that start in [start, end]."""
        advance = self.window.advance_ms
        return (
            None if start is None else -(-start // advance),
            None if end is None else end // advance,
        )

    def _live(self, span: tuple[int, int], partition: int) -> tuple[np.ndarray, np.ndarray, Rows]:
        """A partition's rows of the windows that start in `span`."""
        first, last = self._numbers(*span)
        segments = self.state.scan(first, last, keep=True)
        return _joined(*self._gathered(segments, first, last, partition), self.calls)

    def _gathered(
        self,
        segments: Iterable[Segment],
        first: int | None,
        last: int | None,
        partition: int | None = None,
    ) -> tuple[list[np.ndarray], list[np.ndarray], list[Rows]]:
        """Segment by segment the rows of windows from `first` to `last`: keys, starts, and rows."""
        ids, starts, found = [], [], []
        for segment in segments:
            slots = segment.live_slots(first, last)
            if partition is not None:
                slots = slots[self.keys.partitions(segment.ids[slots]) == partition]
            ids.append(segment.ids[slots])
            starts.append(segment.positions[slots] * self.window.advance_ms)
            found.append(segment.table.gather(slots))
        return ids, starts, found

    def _visible(
        self, ids: list[np.ndarray], starts: list[np.ndarray], found: list[Rows]
    ) -> tuple[np.ndarray, np.ndarray, Rows]:
        every, start, rows = _joined(ids, starts, found, self.calls)
        partition = self.keys.partitions(every)
        oldest = np.full(len(every), -1, np.int64)
        for number, some in per_partition(partition):
            mine = slice(None) if some is None else some
            oldest[mine] = self.observed.get(number) - self.window.kept_ms
        seen = np.flatnonzero(start >= oldest)
        return every[seen], start[seen], rows.take(seen)

    def _table(self, ids: np.ndarray, start: np.ndarray, rows: Rows, order: np.ndarray) -> Batch:
        ids, start, rows = ids[order], start[order], rows.take(order)
        return table_rows(
            self.spec.output,
            self.keys.index.arrays(ids),
            self.calls.results(rows.states),
            rows.rowtime,
            self.keys.partitions(ids),
            (start, start + self.window.size_ms),
        )

    # --- persistence --------------------------------------------------------------------------

    def write(self, commit: Commit) -> None:
        """Write what changed."""
        self.keys.sweep(self.state.holders)
        self.keys.write(commit)
        self.state.write(commit)
        commit.put_state_meta(
            self._store,
            {
                "times": self.times.dump(),
                "observed": self.observed.dump(),
                "closed": self.closing.dump(),
                "sequences": self.calls.sequences(),
            },
        )

    def load(self, view: View) -> None:
        """Read what was written."""
        self.keys.load(view)
        self.state.load(view)
        meta = view.state_meta(self._store)
        if meta:
            self.times.restore(meta["times"])
            self.observed.restore(meta["observed"])
            self.closing.restore(meta["closed"])
            self.calls.restore_sequences(meta["sequences"])


def _results(group: Updated) -> Results:
    return Results(group.states, group.rowtime, group.before.states, ~group.before.live)


def _is_every_row(rows: np.ndarray, count: int) -> bool:
    """Whether some of so many rows are all of them, in their order."""
    return len(rows) == count and sg.ascends(rows)


def _rank(place: np.ndarray, count: int) -> np.ndarray:
    """The order of places, which are distinct and below `count`."""
    turn = np.full(count, -1)
    turn[place] = np.arange(len(place))
    return np.asarray(turn[turn >= 0])


def _windows_per_segment(window: WindowSpec) -> int:
    """So many that a retention has about 64 segments, and a batch of a minute touches few."""
    wanted = window.kept_ms // (_SEGMENTS_PER_RETENTION * window.advance_ms)
    return int(min(max(wanted, 1), _MOST_WINDOWS_PER_SEGMENT))


def _joined(
    ids: list[np.ndarray], starts: list[np.ndarray], found: list[Rows], calls: AggregateCalls
) -> tuple[np.ndarray, np.ndarray, Rows]:
    if not ids:
        none = np.empty(0, np.int64)
        return none, none, Rows(calls.initial(0), none, np.empty(0, bool), [])
    return np.concatenate(ids), np.concatenate(starts), joined_rows(found)
