"""A few rows in tumbling or hopping windows: what nearly every small step is.

The same as `WindowedAggregation.step` gives, in one go: for a few rows its layers cost more than
the rows themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.columns import segments as sg
from millstream.columns.batch import Batch
from millstream.engine.operators.aggregate_calls import Results, take_values
from millstream.engine.state.slots import Rows, all_live

if TYPE_CHECKING:
    from millstream.engine.operators.aggregate_windowed import WindowedAggregation

FEW_ROWS, _FEW_PAIRS = 48, 96
"""More rows are not aggregated so, nor more in all their windows where some share a key."""


def step_few(form: WindowedAggregation, batch: Batch, *, last: bool) -> Batch | None:
    """The changes that the rows of a batch cause; `last`: of each key and window only the last.

    None, and nothing is done, unless the rows are of one partition, all their windows are open, and
    no two rows have the same key, or only the last changes are wanted and the rows are very few.
    """
    partitions, times = batch.partition.tolist(), batch.rowtime.tolist()
    partition, oldest_ms, newest_ms = partitions[0], min(times), max(times)
    stream_ms = max(form.times.get(partition), newest_ms)
    bounds = form.windows.bounds(oldest_ms, newest_ms, stream_ms)
    if bounds is None or partitions.count(partition) < len(partitions):
        return None
    ids = form.keys.ids(batch.key_arrays, batch.partition)
    known = ids.tolist()
    expanded = form.windows.regular(batch.rowtime)
    row, number = expanded.row, expanded.number
    if len(set(known)) == len(known):
        segments = sg.singles(len(row))
        source = trigger = row
    elif last and len(row) <= _FEW_PAIRS:
        segments = sg.by_few_pairs(ids[row], number)
        source, trigger = row[segments.order], row[segments.last(segments.order)]
        number = number[segments.heads]
    else:
        return None
    located = form.state.locate_between(ids[trigger], number, *bounds)
    before = form.state.gather(located)
    values = take_values(form.calls.prepare(batch), source)
    states = form.calls.last(before.states, values, segments)
    rowtime = sg.segment_max(before.rowtime, batch.rowtime[source], segments)
    form.state.scatter(located, Rows(states, rowtime, all_live(len(number)), []))
    form.times.advance(partition, stream_ms)
    form.observe(partition, bounds[1])
    results = Results(states, rowtime, before.states, ~before.live)
    return form.changes(
        batch, None if expanded.one_each and trigger is row else trigger, number, results
    )
