"""From a query's last batch to the records of its sink topic."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.columns import arrow
from millstream.columns.batch import Batch, is_null, mask_or_none
from millstream.columns.segments import coalesce, without_nothing
from millstream.engine.operators.base import Emission, StepContext
from millstream.functions.java_time import JavaTimeFormat
from millstream.plan.nodes import Sink
from millstream.serde.base import TypedPart
from millstream.serde.formats import format_named
from millstream.serde.keys import partition_of
from millstream.store.interfaces import Records

_FEW = 64


class SinkWriter:
    """Makes records of rows: normalised columns, partition by key bytes, event time.

    `writer` is the query's creation number.
    """

    def __init__(self, sink: Sink, writer: int) -> None:
        self.sink = sink
        self.writer = writer
        key_format = sink.key_layout.format if sink.key_layout.columns else "NONE"
        self._writers = _few(writer)
        self._key = format_named(key_format).encoder(sink.key_layout)
        self._value = format_named(sink.value_layout.format).encoder(sink.value_layout)
        pattern = None if sink.timestamp is None else sink.timestamp.pattern
        self._time_format = None if pattern is None else JavaTimeFormat(pattern)

    def records(
        self, batch: Batch, context: StepContext, partitions: int, *, is_net: bool = False
    ) -> Records | None:
        """The records that the rows become in a topic of so many partitions; None: there are none.

        `is_net`: of changes it is known that there is one a key (and window).
        """
        if batch.old is not None and context.emission is Emission.LAST:
            batch = without_nothing(batch) if is_net else coalesce(batch)
        batch = self._timed(batch, context)
        length = len(batch)
        if length == 0:
            return None
        key_arrays, key_null = self._key.normalise(batch.key_arrays, self._key_null(batch))
        value_null = batch.value_null
        value_arrays, value_null = self._value.normalise(batch.value_arrays, value_null)
        return Records(
            partition=self._partition(key_arrays, key_null, batch, partitions),
            offset=_repeated(_UNKNOWN, length),
            seq=batch.seq,
            writer=_repeated(self._writers, length),
            rowtime=batch.rowtime,
            key=TypedPart(self.sink.key_layout, key_arrays, key_null),
            value=TypedPart(self.sink.value_layout, value_arrays, value_null),
            window_start=batch.window_start,
            window_end=batch.window_end,
            headers=batch.headers,
        )

    def _key_null(self, batch: Batch) -> np.ndarray | None:
        """A key of one column is null with it; a key of several only where there is no key."""
        if not self.sink.key_layout.columns:
            return np.ones(len(batch), bool)
        if len(self.sink.key_layout.columns) == 1:
            key = batch.arrays[0]
            return mask_or_none(~arrow.valid_mask(key)) if key.null_count else None
        return batch.key_null

    def _partition(
        self, keys: list[pa.Array], key_null: np.ndarray | None, batch: Batch, partitions: int
    ) -> np.ndarray:
        if partitions == 1:
            return _repeated(_FIRST, len(batch))
        encoded = self._key.encode(keys, key_null, len(batch))
        placed = partition_of(encoded, partitions)
        keyless = is_null(key_null, len(batch))
        return np.where(keyless, batch.partition % partitions, placed).astype(np.int64)

    def _timed(self, batch: Batch, context: StepContext) -> Batch:
        """Event time from the sink's TIMESTAMP column; rows that have none there are skipped."""
        if self.sink.timestamp is None or len(batch) == 0:
            return batch
        index = next(
            i for i, c in enumerate(batch.schema.columns) if c.name == self.sink.timestamp.column
        )
        times = self._times(batch.arrays[index], batch.schema.columns[index].type)
        nothing = is_null(batch.value_null, len(batch))
        times = np.where(nothing, batch.rowtime, times)
        wrong = times < 0
        if wrong.any():
            message = f"{self.sink.timestamp.column} holds no timestamp"
            context.note_rows("sink", "skipped", message, batch.seq[wrong])
        batch = batch.take(np.arange(len(batch)))
        batch.rowtime = times
        return batch.where(~wrong)

    def _times(self, column: pa.Array, sql_type: t.SqlType) -> np.ndarray:
        if self._time_format is None:
            return np.asarray(pc.fill_null(column, -1).to_numpy(), np.int64)
        parsed = []
        for text in column.to_pylist():
            try:
                parsed.append(-1 if text is None else self._time_format.parse_ms(text))
            except ValueError:
                parsed.append(-1)
        return np.array(parsed, np.int64)


def _few(number: int) -> np.ndarray:
    some = np.full(_FEW, number, np.int64)
    some.flags.writeable = False
    return some


_UNKNOWN, _FIRST = _few(-1), _few(0)


def _repeated(some: np.ndarray, length: int) -> np.ndarray:
    """So many of the same number; of few no new array is made."""
    return some[:length] if length <= _FEW else np.full(length, some[0])
