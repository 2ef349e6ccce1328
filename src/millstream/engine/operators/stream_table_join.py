"""JOIN of a stream with a table: each stream row meets the table's row of that moment."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from millstream.columns import arrow
from millstream.columns.batch import Batch, is_null
from millstream.columns.segments import by_code
from millstream.engine.operators.base import Stateless, StepContext
from millstream.engine.operators.stateless import Evaluator, Partitioner
from millstream.engine.operators.table_state import TableState
from millstream.plan import typed
from millstream.types import Schema


class StreamTableJoinOperator(Stateless):
    """Looks each stream row's key up in the table as it was just before the row.

    Without a match an inner join drops the row and a left join fills nulls; a null key matches
    nothing. Records without a value are ignored. Result: key, left columns, right columns; event
    time and place are the stream row's.
    """

    def __init__(
        self,
        name: str,
        schema: Schema,
        table: TableState,
        left_key: typed.Expression,
        partitioner: Partitioner | None,
        *,
        keep_unmatched: bool,
    ) -> None:
        self.name = name
        self.schema = schema
        self.table = table
        self.keep_unmatched = keep_unmatched
        self.unmatched_rows = 0
        self._key = Evaluator(name, [left_key])
        self._key_type = arrow.arrow_type(table.schema.key[0].type)
        self._partitioner = partitioner

    def step(self, left: Batch, changes: Batch, context: StepContext) -> Batch:
        """Rows that `left` causes. `changes` are the table's in the same step, already applied."""
        if left.value_null is not None:
            left = left.where(~left.value_null)
        (key,) = self._key.evaluate(left.arrays, left, context)
        slots = self.table.find([key])
        if key.null_count:
            slots = np.where(arrow.valid_mask(key), slots, -1)
        right, absent = self._right_rows(left, key, slots, changes)
        unmatched = arrow.any_true(absent)
        if unmatched:
            self.unmatched_rows += int(np.count_nonzero(absent))
        if unmatched and not self.keep_unmatched:
            rows = np.flatnonzero(~absent)
            index = pa.array(rows)
            left = left.take(rows)
            key = key.take(index)
            right = [a.take(index) for a in right]
        partition = left.partition
        if self._partitioner is not None and len(left):
            partition = self._partitioner.place([key], len(left))
        joined = left.with_columns(self.schema, [key, *left.arrays, *right])
        joined.partition = partition
        joined.key_null = ~arrow.valid_mask(key) if key.null_count else None
        return joined

    def _right_rows(
        self, left: Batch, key: pa.Array, slots: np.ndarray, changes: Batch
    ) -> tuple[list[pa.Array], np.ndarray]:
        """The table's columns for each left row, and a mask of the rows for which it has none,
        where they are null."""
        stored, absent = self.table.get(slots)
        if len(changes):
            stored, absent = self._as_of(left, slots, changes, stored, absent)
        # The table's key is the one that was looked up.
        if key.type != self._key_type:
            key = key.cast(self._key_type)
        return [*arrow.masked([key], absent), *stored], absent

    def _as_of(
        self,
        left: Batch,
        slots: np.ndarray,
        changes: Batch,
        stored: list[pa.Array],
        absent: np.ndarray,
    ) -> tuple[list[pa.Array], np.ndarray]:
        """Corrects rows of keys that changed in this step to what they were at each left row.

        The last change before the row gives its new row; before a key's first change, that
        change's old row is the one.
        """
        assert changes.old is not None
        changed = self.table.find(changes.key_arrays)
        segments = by_code(changed)
        spread = int(max(changes.order.max(), left.order.max(initial=0))) + 2
        sorted_slots = changed[segments.order]
        place = sorted_slots * spread + changes.order[segments.order] + 1
        before = np.searchsorted(place, slots * spread + left.order + 1, side="left") - 1
        hit = (before >= 0) & (slots >= 0) & (sorted_slots[before] == slots)
        first = np.searchsorted(sorted_slots[segments.starts], slots)
        first = np.minimum(first, len(segments) - 1)
        heads = segments.starts[first]
        early = ~hit & (sorted_slots[heads] == slots)
        length, count = len(changes), len(slots)
        pick = np.arange(count) + 2 * length
        pick[hit] = segments.order[before[hit]]
        pick[early] = segments.order[heads[early]] + length
        index = pa.array(pick)
        columns = [
            pa.concat_arrays([new, old, kept]).take(index)
            for new, old, kept in zip(changes.value_arrays, changes.old, stored, strict=True)
        ]
        gone = np.concatenate(
            [is_null(changes.value_null, length), is_null(changes.old_null, length), absent]
        )[pick]
        return arrow.masked(columns, gone), gone
