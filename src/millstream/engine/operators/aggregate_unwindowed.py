"""GROUP BY over a stream without a window: one row per key, for ever."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from millstream.columns import arrow
from millstream.columns import segments as sg
from millstream.columns.batch import Batch, mask_or_none
from millstream.engine.operators.aggregate_calls import (
    AggregateCalls,
    previous_states,
    take_states,
    take_values,
)
from millstream.engine.operators.aggregate_output import (
    empty_changes,
    row_by_row,
    table_rows,
)
from millstream.engine.operators.base import Emission, StepContext
from millstream.engine.operators.windows import AggregateSpec
from millstream.engine.state.keyed import KeyedState
from millstream.engine.state.slots import Rows
from millstream.store.interfaces import Commit, StoreId, View


class UnwindowedAggregation:
    """States by key."""

    def __init__(self, name: str, store: StoreId, spec: AggregateSpec) -> None:
        self.name = name
        self.spec = spec
        self.calls = AggregateCalls(spec)
        self.state = KeyedState(store, [c.type for c in spec.key], self.calls.kernels)
        self._store = store

    def step(self, batch: Batch, context: StepContext) -> Batch:
        """Aggregate rows; gives changes of the result table."""
        if len(batch) == 0:
            return empty_changes(batch, self.spec.output, False)
        if context.row_wise and len(batch) > 1:
            return row_by_row(batch, context, self.step)
        keys = batch.key_arrays
        ids = self.state.keys.ids(keys, batch.partition)
        segments = sg.by_code(ids)
        slots = ids[segments.heads]
        before = self.state.gather(slots)
        values = self.calls.prepare(batch, context.row_wise)
        if not segments.in_order:
            values = take_values(values, segments.order)
        times = segments.arranged(batch.rowtime)
        if context.emission is Emission.LAST:
            states = self.calls.last(before.states, values, segments, context.row_wise)
            rowtime = sg.segment_max(before.rowtime, times, segments)
            new, old, absent = states, before.states, ~before.live
            trigger: np.ndarray | None = None
            out_time = rowtime
            if not (segments.single and segments.in_order):
                last_row = segments.last(segments.order)
                by_row = np.argsort(last_row)
                trigger = last_row[by_row]
                new, out_time = take_states(new, by_row), rowtime[by_row]
                old, absent = take_states(old, by_row), absent[by_row]
        else:
            new, states = self.calls.running(before.states, values, segments, context.row_wise)
            out_time = sg.running_max(before.rowtime, times, segments)
            rowtime = segments.last(out_time)
            trigger = None
            old = previous_states(before.states, new, segments)
            absent = np.zeros(len(batch), bool)
            absent[segments.starts] = ~before.live
            if not segments.in_order:
                back = sg.unsort(segments.order)
                new, out_time = take_states(new, back), out_time[back]
                old, absent = take_states(old, back), absent[back]
        self.state.scatter(slots, Rows(states, rowtime, np.ones(len(slots), bool), []))
        if trigger is not None:
            keys = arrow.pick_all(keys, trigger)
        return batch.derive(
            trigger,
            self.spec.output,
            [*keys, *self.calls.results(new)],
            rowtime=out_time,
            old=self.calls.old_results(old),
            old_null=mask_or_none(absent),
        )

    def write(self, commit: Commit) -> None:
        """Write what changed."""
        self.state.write(commit)
        commit.put_state_meta(self._store, {"sequences": self.calls.sequences()})

    def load(self, view: View) -> None:
        """Read what was written."""
        self.state.load(view)
        meta = view.state_meta(self._store)
        if meta:
            self.calls.restore_sequences(meta["sequences"])

    def rows(self) -> Batch:
        """All rows of the table."""
        return self._table(self.state.live())

    def lookup(self, keys: list[pa.Array], start: int | None, end: int | None) -> Batch:
        """The rows of some keys."""
        ids = self.state.keys.index.find(keys)
        return self._table(ids[self.state.is_live(ids)])

    def _table(self, slots: np.ndarray) -> Batch:
        found = self.state.gather(slots)
        return table_rows(
            self.spec.output,
            self.state.keys.index.arrays(slots),
            self.calls.results(found.states),
            found.rowtime,
            self.state.keys.partitions(slots),
            None,
        )
