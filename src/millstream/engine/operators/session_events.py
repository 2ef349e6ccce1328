"""What happens to sessions, as columns: each is made, replaced or taken away by some row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from millstream.columns import arrow
from millstream.columns import segments as sg
from millstream.columns.batch import Batch, mask_or_none
from millstream.columns.hash_index import first_occurrences
from millstream.engine.operators.aggregate_calls import AggregateCalls, take_states
from millstream.engine.operators.windows import AggregateSpec
from millstream.functions.aggregates.kernels import States

FOREVER = np.iinfo(np.int64).max


@dataclass(slots=True)
class Events:
    """Changes of sessions. `row` caused it (an index into the batch), `turn` orders those of one
    row. `gone`: the session [start, end] of key `ids` is no more; otherwise it has the states
    `new`. `had`: it was there before, with the states `old`.
    """

    row: np.ndarray
    turn: np.ndarray
    ids: np.ndarray
    start: np.ndarray
    end: np.ndarray
    gone: np.ndarray
    had: np.ndarray
    new: list[States]
    old: list[States]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, places: np.ndarray) -> Events:
        """The events at the given places."""
        return Events(
            self.row[places],
            self.turn[places],
            self.ids[places],
            self.start[places],
            self.end[places],
            self.gone[places],
            self.had[places],
            take_states(self.new, places),
            take_states(self.old, places),
        )

    def in_order(self) -> Events:
        """The events in the order in which they happened."""
        place = self.row * (int(self.turn.max(initial=0)) + 1) + self.turn
        if len(place) < 2 or (place[1:] >= place[:-1]).all():
            return self
        return self.take(np.argsort(place))


def joined_events(parts: list[Events]) -> Events:
    """The events of several parts."""
    if len(parts) == 1:
        return parts[0]
    return Events(
        np.concatenate([p.row for p in parts]),
        np.concatenate([p.turn for p in parts]),
        np.concatenate([p.ids for p in parts]),
        np.concatenate([p.start for p in parts]),
        np.concatenate([p.end for p in parts]),
        np.concatenate([p.gone for p in parts]),
        np.concatenate([p.had for p in parts]),
        _joined_states([p.new for p in parts]),
        _joined_states([p.old for p in parts]),
    )


def _joined_states(parts: list[list[States]]) -> list[States]:
    return [
        [np.concatenate([p[i][j] for p in parts]) for j in range(len(state))]
        for i, state in enumerate(parts[0])
    ]


def net_events(events: Events) -> Events:
    """Per session bounds the first old to the last new, in the last one's place."""
    if len(events) < 2:
        return events
    _, group = first_occurrences([events.ids, events.start, events.end])
    first, last = sg.last_of_each(group)
    result = events.take(last)
    result.had = events.had[first]
    result.old = take_states(events.old, first)
    something = result.had | ~result.gone
    return result if something.all() else result.take(np.flatnonzero(something))


def valid_until(events: Events) -> np.ndarray:
    """For each event, in order: the row of the next one on the same bounds, or FOREVER."""
    _, group = first_occurrences([events.ids, events.start, events.end])
    segments = sg.by_code(group)
    following = np.full(len(events), FOREVER)
    rows = events.row[segments.order]
    following[:-1] = rows[1:]
    following[segments.ends] = FOREVER
    result = np.empty(len(events), np.int64)
    result[segments.order] = following
    return result


def session_changes(
    batch: Batch, events: Events, calls: AggregateCalls, spec: AggregateSpec
) -> Batch:
    """The events as changes of the result table; a session's row time is its end, and its key that
    of the row that caused the event."""
    keys = [arrow.pick(k, events.row) for k in batch.key_arrays]
    values = arrow.masked(calls.results(events.new), events.gone)
    olds = calls.old_results(events.old)
    return batch.derive(
        events.row,
        spec.output,
        [*keys, *values],
        rowtime=events.end,
        value_null=mask_or_none(events.gone),
        window_start=events.start,
        window_end=events.end,
        old=olds,
        old_null=mask_or_none(~events.had),
    )


def no_events(calls: AggregateCalls) -> Events:
    """No events."""
    none, false = np.empty(0, np.int64), np.empty(0, bool)
    return Events(none, none, none, none, none, false, false, calls.initial(0), calls.initial(0))


__all__ = [
    "FOREVER",
    "Events",
    "joined_events",
    "net_events",
    "no_events",
    "session_changes",
    "valid_until",
]
