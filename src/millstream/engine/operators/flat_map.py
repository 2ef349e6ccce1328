"""Table functions: from a row with lists to a row for each of their values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from millstream.columns import arrow
from millstream.columns.batch import Batch
from millstream.engine.operators.base import Stateless, StepContext
from millstream.engine.operators.stateless import Evaluator
from millstream.plan import typed
from millstream.types import Schema


class FlatMapOperator(Stateless):
    """Repeats each row once for each value of its lists, the values behind the row's columns.

    Several lists are zipped, short ones padded with null. Rows whose lists are all null or empty,
    and records without a value, give nothing.
    """

    def __init__(self, name: str, schema: Schema, lists: Sequence[typed.Expression]) -> None:
        self.name = name
        self.schema = schema
        self._lists = Evaluator(name, lists)

    def step(self, batch: Batch, context: StepContext) -> Batch:
        """The rows that the input rows are flattened to, in order."""
        if batch.value_null is not None:
            batch = batch.where(~batch.value_null)
        lists = self._lists.evaluate(batch.arrays, batch, context)
        lengths = [_lengths(a) for a in lists]
        count = np.maximum.reduce(lengths)
        row = np.repeat(np.arange(len(batch)), count)
        place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        repeated = batch.take(row)
        values = [_pick(a, n, row, place) for a, n in zip(lists, lengths, strict=True)]
        repeated.schema = self.schema
        repeated.arrays = [*repeated.arrays, *values]
        return repeated


def _lengths(lists: pa.Array) -> np.ndarray:
    """How many items each list has; 0 where it is null."""
    return np.asarray(lists.value_lengths().fill_null(pa.scalar(0, pa.int32())), np.int64)


def _pick(lists: pa.Array, lengths: np.ndarray, row: np.ndarray, place: np.ndarray) -> pa.Array:
    """The item at `place` of each row's list, null behind its end."""
    starts = np.cumsum(lengths) - lengths
    index = starts[row] + place
    missing = place >= lengths[row]
    if missing.all():
        return pa.nulls(len(row), lists.type.value_type)
    return arrow.concat([lists.flatten()]).take(pa.array(index, mask=missing))
