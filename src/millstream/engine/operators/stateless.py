"""Filters, projections and new keys: steps that look at one row at a time and keep nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import attrgetter

import numpy as np
import pyarrow as pa

from millstream.columns import arrow
from millstream.columns.batch import Batch, is_null, mask_or_none
from millstream.engine.expressions import (
    Compiled,
    EvaluationContext,
    Frame,
    compile_expression,
)
from millstream.engine.operators.base import Stateless, StepContext
from millstream.plan import typed
from millstream.serde.base import Encoder
from millstream.serde.keys import partition_of
from millstream.types import Schema

_NULL_COUNT = attrgetter("null_count")


class Evaluator:
    """Several expressions over the same batch; failures go to the processing log."""

    def __init__(self, step: str, expressions: Sequence[typed.Expression]) -> None:
        self.step = step
        self.compiled: list[Compiled] = [compile_expression(e) for e in expressions]
        self.reads: frozenset[int] = frozenset().union(*(c.columns for c in self.compiled))
        """Indices of the columns that the expressions read."""
        columns = [c.column for c in self.compiled if c.column is not None]
        self._columns = columns if len(columns) == len(self.compiled) else None

    def evaluate(
        self, columns: Sequence[pa.Array], batch: Batch, context: StepContext
    ) -> list[pa.Array]:
        """One array per expression; null where it failed."""
        if self._columns is not None:
            return [columns[i] for i in self._columns]
        evaluation = EvaluationContext(context.clock)
        frame = Frame(columns, len(batch), evaluation)
        results = [c.within(frame).values for c in self.compiled]
        if evaluation.failures:
            self._report(batch, evaluation, context)
        return results

    def truth(self, columns: Sequence[pa.Array], batch: Batch, context: StepContext) -> np.ndarray:
        """Where the first expression, a condition, is true."""
        evaluation = EvaluationContext(context.clock)
        true = self.compiled[0].truth(Frame(columns, len(batch.rowtime), evaluation))
        if evaluation.failures:
            self._report(batch, evaluation, context)
        return true

    def _report(self, batch: Batch, evaluation: EvaluationContext, context: StepContext) -> None:
        nothing = is_null(batch.value_null, len(batch))
        for row, message in evaluation.reports:
            if not nothing[row]:
                context.note(self.step, "expression", message, int(batch.seq[row]))
        missed = evaluation.failures - len(evaluation.reports)
        if missed > 0:
            context.note(self.step, "expression", "more rows failed like these", count=missed)


class FilterOperator(Stateless):
    """Keeps rows for which a predicate is true.

    In a stream the others are dropped, records without a value among them. In a table a row that
    stops to match becomes a tombstone, and one that never matched leaves nothing (HAVING too).
    """

    def __init__(self, name: str, predicate: typed.Expression, *, is_table: bool) -> None:
        self.name = name
        self.is_table = is_table
        self._evaluator = Evaluator(name, [predicate])
        self.reads = self._evaluator.reads
        """Indices of the columns of its input that it reads."""
        self._unread: frozenset[int] = frozenset()

    def read_only(self, columns: Collection[int], count: int) -> None:
        """Of the `count` columns of a stream only those at some indices are read behind it: the
        others need not be handed on."""
        self._unread = frozenset(range(count)).difference(columns)

    def step(self, batch: Batch, context: StepContext) -> Batch:
        """The rows that match, and in a table the ends of those that did."""
        visible = self._evaluator.truth(batch.arrays, batch, context)
        if batch.value_null is not None:
            visible = visible & ~batch.value_null
        if not self.is_table:
            return batch.where(visible, self._unread)
        if batch.old is None:
            return batch.where(visible)
        was_visible = self._was_visible(batch, context)
        return self._changes(batch, visible, was_visible)

    def _was_visible(self, batch: Batch, context: StepContext) -> np.ndarray:
        assert batch.old is not None
        if batch.old_null is None:
            absent = None
        elif batch.old_null.all():
            return np.zeros(len(batch), bool)
        else:
            absent = batch.old_null
        quiet = context.quiet()
        match = self._evaluator.truth([*batch.key_arrays, *batch.old], batch, quiet)
        return match if absent is None else np.asarray(match & ~absent)

    def _changes(self, batch: Batch, visible: np.ndarray, was_visible: np.ndarray) -> Batch:
        either = visible | was_visible
        kept = batch.where(either)
        if len(kept) == 0:
            return kept
        if len(kept) < len(batch):
            visible, was_visible = visible[either], was_visible[either]
        return kept.with_nulls(mask_or_none(~visible), mask_or_none(~was_visible))


class ProjectOperator(Stateless):
    """Computes the columns of a result. Key columns are handed on as they are."""

    def __init__(self, name: str, schema: Schema, expressions: Sequence[typed.Expression]) -> None:
        self.name = name
        self.schema = schema
        self._evaluator = Evaluator(name, expressions)
        self.reads = self._evaluator.reads
        """Indices of the columns of its input that it reads."""

    def step(self, batch: Batch, context: StepContext) -> Batch:
        """The same rows with other columns; of old rows only whether they were there is kept."""
        arrays = self._evaluator.evaluate(batch.arrays, batch, context)
        return batch.with_columns(self.schema, arrays)


class Partitioner:
    """Places rows by the bytes of their new key, as Kafka's own partitioner does."""

    def __init__(self, encoder: Encoder, partitions: int) -> None:
        self.encoder = encoder
        self.partitions = partitions

    def place(self, keys: list[pa.Array], length: int) -> np.ndarray:
        """The partition of each row's key."""
        if self.partitions == 1:
            return np.zeros(length, np.int32)
        encoded = self.encoder.encode(keys, None, length)
        return partition_of(encoded, self.partitions).astype(np.int32)


class RekeyOperator(Stateless):
    """PARTITION BY: evaluates new key columns and puts the old columns behind them.

    A key of one column is null where its value is; a key of several never is. Records without a
    value get a key too, from key expressions in which all value columns are null.
    """

    def __init__(
        self,
        name: str,
        schema: Schema,
        keys: Sequence[typed.Expression],
        partitioner: Partitioner | None,
    ) -> None:
        self.name = name
        self.schema = schema
        self._evaluator = Evaluator(name, keys)
        self._partitioner = partitioner
        self._count = len(keys)

    def step(self, batch: Batch, context: StepContext) -> Batch:
        """The same rows under another key."""
        keys = self._evaluator.evaluate(batch.arrays, batch, context)
        key_null = None
        if self._count == 0:
            key_null = np.ones(len(batch), bool)
        elif self._count == 1:
            key_null = mask_or_none(~arrow.valid_mask(keys[0]))
        partition = batch.partition
        if self._partitioner is not None:
            partition = self._partitioner.place(keys, len(batch))
        arrays = [*keys, *batch.arrays]
        return batch.rekeyed(self.schema, arrays, partition, key_null, batch.value_null)


class GroupOperator(Stateless):
    """Evaluates the keys and arguments of an aggregation over a stream.

    Rows with a null or failed key, and records without a value, are dropped and counted.
    """

    def __init__(
        self,
        name: str,
        schema: Schema,
        keys: Sequence[typed.Expression],
        arguments: Sequence[typed.Expression],
        partitioner: Partitioner | None,
    ) -> None:
        self.name = name
        self.schema = schema
        self._keys = Evaluator(name, keys)
        self._arguments = Evaluator(name, arguments)
        self.reads = self._keys.reads | self._arguments.reads
        """Indices of the columns of its input that it reads."""
        self._partitioner = partitioner

    def step(self, batch: Batch, context: StepContext) -> Batch:
        """Rows of key columns and arguments, ready to be aggregated."""
        keys = self._keys.evaluate(batch.arrays, batch, context)
        if batch.value_null is not None or sum(map(_NULL_COUNT, keys)):
            keep = self._kept(batch, keys, context)
            batch = batch.where(keep)
            if len(batch) < len(keep):
                index = pa.array(keep.nonzero()[0])
                keys = [arrow.take(k, index) for k in keys]
        return self._grouped(batch, keys, context)

    def _kept(self, batch: Batch, keys: list[pa.Array], context: StepContext) -> np.ndarray:
        """Which rows take part; those that have a value but no key are noted."""
        keep = ~is_null(batch.value_null, len(batch))
        without_key = np.zeros(len(batch), bool)
        for key in keys:
            if key.null_count:
                without_key |= ~arrow.valid_mask(key)
        lost = (keep & without_key).nonzero()[0]
        if len(lost):
            first = int(batch.seq[lost[0]])
            context.note(self.name, "skipped", "the grouping key is null", first, len(lost))
        return keep & ~without_key

    def _grouped(self, batch: Batch, keys: list[pa.Array], context: StepContext) -> Batch:
        arguments = self._arguments.evaluate(batch.arrays, batch, context)
        partition = batch.partition
        if self._partitioner is not None and len(batch):
            partition = self._partitioner.place(keys, len(batch))
        return batch.rekeyed(self.schema, [*keys, *arguments], partition, None)


class TableGroupOperator(Stateless):
    """Evaluates the keys and arguments of an aggregation over a table.

    A change becomes two rows: the old row is taken back (sign -1), then the new one added (+1).
    Rows whose grouping key is null take no part.
    """

    def __init__(
        self,
        name: str,
        schema: Schema,
        keys: Sequence[typed.Expression],
        arguments: Sequence[typed.Expression],
        partitioner: Partitioner | None,
    ) -> None:
        self.name = name
        self.schema = schema
        self._both = Evaluator(name, [*keys, *arguments])
        self._partitioner = partitioner

    def step_signed(self, batch: Batch, context: StepContext) -> tuple[Batch, np.ndarray]:
        """Rows of key columns and arguments, and the sign of each."""
        assert batch.old is not None
        rows = np.repeat(np.arange(len(batch)), 2)
        sign = np.tile(np.array([-1, 1], np.int8), len(batch))
        columns = [*batch.key_arrays, *batch.old]
        before = self._both.evaluate(columns, batch, context.quiet())
        after = self._both.evaluate(batch.arrays, batch, context)
        interleave = np.arange(len(batch))
        index = np.empty(2 * len(batch), np.int64)
        index[0::2] = interleave
        index[1::2] = interleave + len(batch)
        arrays = [
            arrow.concat([b, a]).take(pa.array(index)) for b, a in zip(before, after, strict=True)
        ]
        present = np.empty(2 * len(batch), bool)
        present[0::2] = ~is_null(batch.old_null, len(batch))
        present[1::2] = ~is_null(batch.value_null, len(batch))
        for key in arrays[: len(self.schema.key)]:
            if key.null_count:
                present &= arrow.valid_mask(key)
        signed = batch.derive(rows, self.schema, arrays).where(present)
        if self._partitioner is not None and len(signed):
            signed.partition = self._partitioner.place(signed.key_arrays, len(signed))
        return signed, sign[present]
