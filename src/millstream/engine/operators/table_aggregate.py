"""GROUP BY over a table: a change of the source takes its old row back and adds its new one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from millstream.columns import segments as sg
from millstream.columns.batch import Batch, mask_or_none
from millstream.columns.segments import Segments
from millstream.engine.operators.aggregate_calls import (
    AggregateCalls,
    take_states,
    take_values,
)
from millstream.engine.operators.aggregate_output import empty_changes, table_rows
from millstream.engine.operators.base import Emission, StepContext
from millstream.engine.operators.windows import AggregateSpec
from millstream.engine.state.keyed import KeyedState
from millstream.engine.state.slots import Rows
from millstream.store.interfaces import Commit, StoreId, View


class TableAggregateOperator:
    """Aggregates a table's rows by key. A group that lost its last row keeps a result (COUNT 0)."""

    def __init__(self, name: str, store: StoreId, spec: AggregateSpec) -> None:
        self.name = name
        self.spec = spec
        self.calls = AggregateCalls(spec)
        self.state = KeyedState(store, [c.type for c in spec.key], self.calls.kernels)
        self._store = store

    def step_signed(
        self,
        batch: Batch,
        sign: np.ndarray,
        context: StepContext,
        change: np.ndarray | None = None,
    ) -> Batch:
        """The changes that added (sign +1) and taken back (-1) rows cause, in order.

        `change` numbers the source's changes, never decreasing: the row that a change takes back
        and the one that it adds come one after the other, and are one update where their group is
        the same. Without it, neighbours of signs -1 and +1 with the same `order` are one change. A
        row taken back from a group that has none yet is left out.
        """
        if len(batch) == 0:
            return empty_changes(batch, self.spec.output, False)
        ids = self.state.keys.ids(batch.key_arrays, batch.partition)
        pairs = _pairs(ids, sign, batch.order if change is None else change)
        segments = sg.by_code(ids)
        known = self.state.gather(ids[segments.heads]).live
        orphans = _orphans(segments, sign, known)
        if orphans.any():
            kept = ~orphans
            pairs = pairs[kept]
            batch, sign, ids = batch.where(kept), sign[kept], ids[kept]
            if len(batch) == 0:
                return empty_changes(batch, self.spec.output, False)
            segments = sg.by_code(ids)
        return self._update(batch, sign, ids, pairs, segments, context)

    def _update(
        self,
        batch: Batch,
        sign: np.ndarray,
        ids: np.ndarray,
        pairs: np.ndarray,
        segments: Segments,
        context: StepContext,
    ) -> Batch:
        if context.row_wise:
            context.rows_forced += len(batch)
        slots = ids[segments.heads]
        before = self.state.gather(slots)
        values = take_values(self.calls.prepare(batch, context.row_wise), segments.order)
        every = self.calls.signed(
            before.states, values, sign[segments.order], segments, context.row_wise
        )
        times = sg.running_max(before.rowtime, batch.rowtime[segments.order], segments)
        ends = segments.ends
        states = take_states(every, ends)
        self.state.scatter(slots, Rows(states, times[ends], np.ones(len(slots), bool), []))
        if context.emission is Emission.LAST:
            new_place, old_place, number = ends, np.full(len(ends), -1), np.arange(len(ends))
        else:
            new_place, old_place, number = _updates(segments, pairs)
        by_row = np.argsort(segments.order[new_place])
        new_place, old_place, number = new_place[by_row], old_place[by_row], number[by_row]
        trigger = segments.order[new_place]
        first = old_place < 0
        old = [
            [np.where(first, b[number], e[old_place]) for b, e in zip(start, run, strict=True)]
            for start, run in zip(before.states, every, strict=True)
        ]
        index = pa.array(trigger)
        return batch.derive(
            trigger,
            self.spec.output,
            [
                *(k.take(index) for k in batch.key_arrays),
                *self.calls.results(take_states(every, new_place)),
            ],
            rowtime=times[new_place],
            old=self.calls.results(old),
            old_null=mask_or_none(first & ~before.live[number]),
        )

    def write(self, commit: Commit) -> None:
        """Write what changed since the last write."""
        self.state.write(commit)
        commit.put_state_meta(self._store, {"sequences": self.calls.sequences()})

    def load(self, view: View) -> None:
        """Read the state that the last commit left."""
        self.state.load(view)
        meta = view.state_meta(self._store)
        if meta:
            self.calls.restore_sequences(meta["sequences"])

    def rows(self, start_ms: int | None = None, end_ms: int | None = None) -> Batch:
        """All rows of the table, in order of their keys' first occurrence; they have no windows,
        and so no bounds of these."""
        return self._table(self.state.live())

    def lookup(
        self, keys: list[pa.Array], start_ms: int | None = None, end_ms: int | None = None
    ) -> Batch:
        """The rows of the given keys, key after key; bounds mean nothing here."""
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


def _pairs(ids: np.ndarray, sign: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Rows that are taken back only to be followed, in the same change, by one of their group."""
    first = np.zeros(len(ids), bool)
    first[:-1] = (
        (sign[:-1] < 0) & (sign[1:] > 0) & (change[:-1] == change[1:]) & (ids[:-1] == ids[1:])
    )
    return first


def _orphans(segments: Segments, sign: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Rows taken back before their group had any."""
    taken = sign[segments.order] < 0
    if known.all() or not taken[segments.starts[~known]].any():
        return np.zeros(len(sign), bool)
    added = sg.running_count(known.astype(np.int64), ~taken, segments)
    result = np.zeros(len(sign), bool)
    result[segments.order] = added == 0
    return result


def _updates(segments: Segments, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per update: the place of its new state, of its old one (-1: before the batch), its segment.

    The first row of a pair is passed over: its update is that of the second.
    """
    shown = ~pairs[segments.order]
    place = np.flatnonzero(shown)
    number = segments.number[place]
    old = np.full(len(place), -1)
    old[1:] = place[:-1]
    old[np.append(True, number[1:] != number[:-1])] = -1
    return place, old, number
