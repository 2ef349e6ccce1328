"""Rows of state on their way into a store: columns of NumPy as they are, until Arrow is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa

Column: TypeAlias = np.ndarray | pa.Array
"""Values without nulls as NumPy has them, contiguous; or anything at all as Arrow has it."""


class StateRows:
    """Rows as columns of one length. To make a record batch of a few rows takes longer than all
    else that is done with them, so one is made only for who asks. The columns must not be changed
    afterwards."""

    __slots__ = ("_batch", "_columns", "num_rows", "numbers", "schema")

    def __init__(self, schema: pa.Schema, columns: Sequence[Column], *, numeric: bool) -> None:
        self.schema = schema
        self.num_rows = len(columns[0])
        self.numbers: Sequence[np.ndarray] | None = columns if numeric else None
        """The columns, where all of them are NumPy's (`numeric`)."""
        self._columns = columns
        self._batch: pa.RecordBatch | None = None

    @classmethod
    def of(cls, rows: pa.RecordBatch | StateRows) -> StateRows:
        """The same rows, whatever they are in."""
        if isinstance(rows, StateRows):
            return rows
        mine = cls.__new__(cls)
        mine.schema, mine.num_rows, mine.numbers = rows.schema, rows.num_rows, None
        mine._columns, mine._batch = (), rows
        return mine

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        if self._columns:
            return sum(c.nbytes for c in self._columns)
        return 0 if self._batch is None else int(self._batch.nbytes)

    def batch(self) -> pa.RecordBatch:
        """The rows as a record batch."""
        if self._batch is None:
            arrays = [pa.array(c) if isinstance(c, np.ndarray) else c for c in self._columns]
            self._batch = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        return self._batch

    def slice(self, start: int, stop: int) -> StateRows:
        """The rows from `start` up to, but without, `stop`; nothing is copied."""
        if self.numbers is None:
            return StateRows.of(self.batch().slice(start, stop - start))
        return StateRows(self.schema, [c[start:stop] for c in self.numbers], numeric=True)


class RowShape:
    """Makes rows of columns that have the same types each time, and no names of their own."""

    def __init__(self) -> None:
        self._kinds: list[np.dtype | pa.DataType] = []
        self._schema = pa.schema([])
        self._numeric = False

    def rows(self, columns: Sequence[Column]) -> StateRows:
        """The columns as rows; the schema is made once."""
        kinds = [c.dtype if isinstance(c, np.ndarray) else c.type for c in columns]
        if kinds != self._kinds:
            assert not self._kinds, "the columns have the types that they had before"
            self._kinds = kinds
            self._numeric = all(isinstance(kind, np.dtype) for kind in kinds)
            self._schema = pa.schema([(f"c{i}", _arrow_of(k)) for i, k in enumerate(kinds)])
        return StateRows(self._schema, columns, numeric=self._numeric)


def _arrow_of(kind: np.dtype | pa.DataType) -> pa.DataType:
    return pa.from_numpy_dtype(kind) if isinstance(kind, np.dtype) else kind
