"""Rows of state that nobody touched for a while, packed into a small part of the memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

_CODEC = "zstd"
_NARROW = (np.uint8, np.uint16, np.uint32)


@dataclass(frozen=True, slots=True)
class Frozen:
    """Packed rows. Integers lie close together inside a segment: they are kept as differences from
    the smallest, in as few bytes as the largest takes; those that count up take no room at all.
    That makes the compressor faster, too."""

    schema: pa.Schema
    count: int
    lowest: tuple[int | None, ...]
    """Per column what was subtracted, None for columns that are kept as they are."""
    counted: tuple[bool, ...]
    """Which columns are the lowest value, then one more in each row."""
    body: bytes

    @property
    def nbytes(self) -> int:
        """Bytes of the packed rows."""
        return len(self.body)

    def thaw(self) -> pa.RecordBatch:
        """The rows."""
        with pa.ipc.open_stream(self.body) as reader:
            packed = iter(reader.read_next_batch().columns)
        columns = []
        for lowest, counted in zip(self.lowest, self.counted, strict=True):
            if counted:
                assert lowest is not None
                columns.append(pa.array(np.arange(self.count) + lowest))
            elif lowest is None:
                columns.append(next(packed))
            else:
                columns.append(pa.array(next(packed).to_numpy().astype(np.int64) + lowest))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def freeze(rows: pa.RecordBatch) -> Frozen:
    """Pack rows."""
    lowest: list[int | None] = []
    counted = []
    packed = []
    for column in rows.columns:
        low, counts_up, narrow = _narrow(column)
        lowest.append(low)
        counted.append(counts_up)
        if not counts_up:
            packed.append(narrow)
    batch = pa.RecordBatch.from_arrays(packed, [str(i) for i in range(len(packed))])
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=_CODEC)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    body = sink.getvalue().to_pybytes()
    return Frozen(rows.schema, rows.num_rows, tuple(lowest), tuple(counted), body)


def _narrow(column: pa.Array) -> tuple[int | None, bool, pa.Array]:
    if column.type != pa.int64() or column.null_count or len(column) == 0:
        return None, False, column
    values = column.to_numpy()
    low, high = int(values.min()), int(values.max())
    if high - low == len(values) - 1 and (np.diff(values) == 1).all():
        return low, True, column
    for narrow in _NARROW:
        if high - low <= np.iinfo(narrow).max:
            return low, False, pa.array((values - low).astype(narrow))
    return None, False, column
