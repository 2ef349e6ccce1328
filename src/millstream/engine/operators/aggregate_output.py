"""Building the batches that aggregations give."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from millstream.columns import arrow
from millstream.columns import segments as sg
from millstream.columns.batch import Batch, concat
from millstream.engine.operators.base import Emission, StepContext, is_all
from millstream.types import Schema


def empty_changes(batch: Batch, output: Schema, windowed: bool) -> Batch:
    """No changes, caused by no row of a batch."""
    none = np.empty(0, np.int64)
    return batch.derive(
        none,
        output,
        [arrow.nulls(c.type, 0) for c in (*output.key, *output.value)],
        window_start=none if windowed else None,
        window_end=none if windowed else None,
        old=[arrow.nulls(c.type, 0) for c in output.value],
        old_null=np.empty(0, bool),
    )


def table_rows(
    output: Schema,
    keys: list[pa.Array],
    values: list[pa.Array],
    rowtime: np.ndarray,
    partition: np.ndarray,
    window: tuple[np.ndarray, np.ndarray] | None,
) -> Batch:
    """Rows of a table as it stands; they were caused by nothing in particular."""
    count = len(rowtime)
    return Batch(
        schema=output,
        arrays=[*keys, *values],
        rowtime=rowtime,
        order=np.zeros(count, np.int64),
        seq=np.full(count, -1, np.int64),
        partition=partition.astype(np.int32, copy=False),
        offset=np.full(count, -1, np.int64),
        window_start=None if window is None else window[0],
        window_end=None if window is None else window[1],
    )


def row_by_row(
    batch: Batch, context: StepContext, step: Callable[[Batch, StepContext], Batch]
) -> Batch:
    """The output of a step that is given one row at a time, in the context's emission."""
    context.rows_forced += len(batch)
    inner = StepContext(Emission.ALL, True, context.clock, context.notes)
    parts = [step(batch.take(np.array([i])), inner) for i in range(len(batch))]
    result = concat(parts)
    return result if context.emission is Emission.ALL else sg.coalesce(result)


def per_partition(partition: np.ndarray) -> list[tuple[int, np.ndarray | None]]:
    """The partitions of some rows, each with its rows (None: all of them)."""
    if len(partition) == 0:
        return []
    first = partition.item(0)
    if is_all(partition, first):
        return [(first, None)]
    return [(p, np.flatnonzero(partition == p)) for p in np.unique(partition).tolist()]
