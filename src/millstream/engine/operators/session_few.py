"""A few rows in session windows, each of another key: what nearly every small step is.

The same as `SessionAggregation.step` gives, in one go: for a few rows its layers cost more than the
rows themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from millstream.columns import segments as sg
from millstream.columns.batch import Batch
from millstream.engine.operators.aggregate_calls import take_states
from millstream.engine.operators.session_events import Events, session_changes
from millstream.engine.operators.session_state import BEFORE, LAST_END, START

if TYPE_CHECKING:
    from millstream.engine.operators.session import SessionAggregation

FEW_ROWS = 32
"""More rows are not aggregated so."""


def step_few(form: SessionAggregation, batch: Batch, *, last: bool) -> Batch | None:
    """The changes that the rows of a batch cause; `last`: without a session that is taken away and
    comes again.

    None, and nothing is done, unless the rows are of one partition, each of another key, and none
    is late or before the end of its key's latest session.
    """
    partitions, times = batch.partition.tolist(), batch.rowtime.tolist()
    partition, count = partitions[0], len(times)
    if partitions.count(partition) < count:
        return None
    ids = form.keys.ids(batch.key_arrays, batch.partition)
    if len(set(ids.tolist())) < count:
        return None
    size_ms, kept_ms = form.window.size_ms, form.window.kept_ms
    closed_ms = size_ms + form.window.grace_ms
    latest = form.state.latest.gather(ids)
    lives, firsts = latest.live.tolist(), latest.extra[START].tolist()
    stream_ms = form.times.get(partition)
    starts: list[int] = []
    fresh: list[int] = []
    events: list[tuple[int, bool, bool, int]] = []
    for row, time_ms in enumerate(times):
        end_ms, observed_ms = latest.extra[LAST_END].item(row), stream_ms
        stream_ms = max(stream_ms, time_ms)
        if time_ms < stream_ms - closed_ms or (lives[row] and end_ms > time_ms):
            return None
        goes_on = lives[row] and time_ms - end_ms <= size_ms and end_ms >= observed_ms - kept_ms
        starts.append(firsts[row] if goes_on else time_ms)
        if not goes_on:
            fresh.append(row)
            events.append((row, False, False, time_ms))
        elif end_ms == time_ms and (last or starts[row] == time_ms):
            events.append((row, False, True, time_ms))
        else:  # the session is gone, then there is a longer one
            events.append((row, True, True, end_ms))
            events.append((row, False, False, time_ms))
    start = np.array(starts)
    located = form.state.sessions.locate(ids, start)
    stored = form.state.sessions.gather(located)
    before = stored.extra[BEFORE]
    if fresh:
        form.calls.reset(stored.states, np.array(fresh))
        before[fresh] = [firsts[row] if lives[row] else -1 for row in fresh]
    values = form.calls.prepare(batch)
    states = form.calls.last(stored.states, values, sg.singles(count))
    form.state.put(located, start, batch.rowtime, before, states)
    form.state.put_latest(ids, start, batch.rowtime)
    form.times.advance(partition, stream_ms)
    form.state.expire(form.times)
    rows, gone, had, ends = zip(*events, strict=True)
    place = np.array(rows)
    happened = Events(
        place,
        sg.singles(len(place)).order,
        ids[place],
        start[place],
        np.array(ends),
        np.array(gone),
        np.array(had),
        take_states(states, place),
        take_states(stored.states, place),
    )
    return session_changes(batch, happened, form.calls, form.spec)
