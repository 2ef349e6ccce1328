"""Panes: rows reduced by key and advance, before they are spread over the windows they fall into.

The cost of a hopping window then follows the distinct (key, pane) pairs and not rows times windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from millstream.columns import segments as sg
from millstream.columns.batch import Batch
from millstream.engine.operators.aggregate_calls import AggregateCalls, take_values
from millstream.functions.aggregates.kernels import States

_GAIN = 2


@dataclass(slots=True)
class Panes:
    """One entry per key and pane: its start, the states of its rows alone, their largest row time,
    and the last of them (an index into the batch)."""

    ids: np.ndarray
    start: np.ndarray
    states: list[States]
    rowtime: np.ndarray
    last_row: np.ndarray


def reduce_panes(
    batch: Batch, ids: np.ndarray, calls: AggregateCalls, advance_ms: int
) -> Panes | None:
    """The panes of a batch, or None where they are not far fewer than its rows."""
    pane = batch.rowtime // advance_ms
    segments = sg.by_pair(ids, pane)
    if _GAIN * len(segments) > len(batch):
        return None
    order = segments.order
    heads = segments.heads
    count = len(segments)
    return Panes(
        ids[heads],
        pane[heads] * advance_ms,
        calls.last(calls.initial(count), take_values(calls.prepare(batch), order), segments),
        sg.segment_max(np.full(count, -1), batch.rowtime[order], segments),
        segments.last(order),
    )
