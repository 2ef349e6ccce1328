"""Rows of state on their way into a store: columns of NumPy as they are, until Arrow is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa

Column: TypeAlias = np.ndarray | pa.Array
"""Values without nulls as NumPy has them, or anything at all as Arrow has it."""


class StateRows:
    """Rows as columns of one length. To make a record batch of a few rows takes longer than all
    else that is done with them, so one is made only for who asks. The columns must not be changed
    afterwards."""

    __slots__ = ("_batch", "_columns", "num_rows", "schema")

    def __init__(self, schema: pa.Schema, columns: Sequence[Column]) -> None:
        self.schema = schema
        self.num_rows = len(columns[0])
        self._columns: Sequence[Column] | None = columns
        self._batch: pa.RecordBatch | None = None

    @classmethod
    def of(cls, rows: pa.RecordBatch | StateRows) -> StateRows:
        """The same rows, whatever they are in."""
        if isinstance(rows, StateRows):
            return rows
        mine = cls.__new__(cls)
        mine.schema, mine.num_rows = rows.schema, rows.num_rows
        mine._columns, mine._batch = None, rows
        return mine

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        if self._columns is None:
            assert self._batch is not None
            return int(self._batch.nbytes)
        return sum(c.nbytes for c in self._columns)

    def batch(self) -> pa.RecordBatch:
        """The rows as a record batch."""
        if self._batch is None:
            assert self._columns is not None
            arrays = [pa.array(c) if isinstance(c, np.ndarray) else c for c in self._columns]
            self._batch = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        return self._batch

    def numbers(self) -> Sequence[np.ndarray] | None:
        """The columns, where all of them are NumPy's."""
        columns = self._columns
        if columns is None or not all(isinstance(c, np.ndarray) for c in columns):
            return None
        return columns


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """The schema of rows whose columns have no names of their own."""
    return pa.schema(
        [
            (f"c{i}", pa.from_numpy_dtype(c.dtype) if isinstance(c, np.ndarray) else c.type)
            for i, c in enumerate(columns)
        ]
    )


def joined(parts: Sequence[StateRows]) -> StateRows:
    """The rows of several, of one schema that has columns, one after the other."""
    if len(parts) == 1:
        return parts[0]
    numbers = [part.numbers() for part in parts]
    plain = [columns for columns in numbers if columns is not None]
    if len(plain) == len(parts):
        return StateRows(parts[0].schema, [np.concatenate(c) for c in zip(*plain, strict=True)])
    table = pa.Table.from_batches([part.batch() for part in parts])
    (rows,) = table.combine_chunks().to_batches()
    return StateRows.of(rows)
