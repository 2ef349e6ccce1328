"""Rows of state, to and from what is stored of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import pyarrow as pa

from millstream.store.sqlite.packing import pack, squeeze, unpack, unsqueeze
from millstream.store.state_rows import StateRows

FEW_ROWS = 1024
SMALL_BYTES = 4096
"""So few rows, in so few bytes at most, are stored as a bare, uncompressed message."""

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")

_join: Callable[[Iterable[Any]], bytes] = b"".join


class Form(IntEnum):
    """How rows of state are stored."""

    MESSAGE = 0
    """A bare Arrow message without its schema."""

    PACKED = 1
    """See `packing`; without the schema, too."""

    STREAM = 2
    """An Arrow stream, which has the schema: rows with dictionaries."""

    NUMBERS = 3
    """Nothing but numbers, one column after the other, truth values in a byte each."""

    SQUEEZED = 4
    """The same, compressed."""


def encode_rows(parts: Sequence[StateRows], has_schema: bool) -> tuple[Form, Any]:
    """The body of rows of state of one schema, which has columns; those of several parts one after
    the other. `has_schema` tells whether the schema is stored elsewhere."""
    if has_schema and all(part.numbers is not None for part in parts):
        return Form.SQUEEZED, squeeze(_numbers(parts))
    rows = parts[0].batch()
    if len(parts) > 1:
        table = pa.Table.from_batches([part.batch() for part in parts])
        (rows,) = table.combine_chunks().to_batches()
    return _encode_batch(rows, has_schema)


def encode_few_rows(rows: StateRows, has_schema: bool) -> tuple[Form, bytes]:
    """As `encode_rows`, of a few rows that will be compressed together with others."""
    if not has_schema:
        form, body = _encode_batch(rows.batch(), has_schema)
        return form, bytes(body)
    if rows.numbers is not None:
        return Form.NUMBERS, _numbers([rows])
    return Form.MESSAGE, rows.batch().serialize().to_pybytes()


def decode_rows(form: int, count: int, body: Any, schema: pa.Schema | None) -> StateRows:
    """The `count` rows of a stored part; `schema` is None where the body has it."""
    if form == Form.STREAM:
        with pa.ipc.open_stream(body) as reader:
            return StateRows.of(reader.read_next_batch())
    assert schema is not None
    if form in (Form.NUMBERS, Form.SQUEEZED):
        plain = body if form == Form.NUMBERS else unsqueeze(body)
        return StateRows(schema, _columns(plain, count, schema), numeric=True)
    if form == Form.PACKED:
        arrays = unpack(body, count, schema.types)
        return StateRows.of(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return StateRows.of(pa.ipc.read_record_batch(pa.py_buffer(body), schema))


def is_dictionary(arrow_type: pa.DataType) -> bool:
    """Whether the type has dictionaries anywhere, which neither a bare message nor a packed body
    can carry."""
    if pa.types.is_dictionary(arrow_type):
        return True
    return any(is_dictionary(arrow_type.field(i).type) for i in range(arrow_type.num_fields))


def _encode_batch(rows: pa.RecordBatch, has_schema: bool) -> tuple[Form, Any]:
    if not has_schema:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema, options=_OPTIONS) as writer:
            writer.write_batch(rows)
        return Form.STREAM, sink.getvalue()
    # To ask for the bytes of a few rows takes longer than to write them out.
    if rows.num_rows <= FEW_ROWS:
        message = rows.serialize()
        if message.size < SMALL_BYTES:
            return Form.MESSAGE, message
    return Form.PACKED, pack(rows.columns)


def _numbers(parts: Sequence[StateRows]) -> bytes:
    """Column after column of parts that are numbers."""
    columns = zip(*[part.numbers for part in parts if part.numbers is not None], strict=True)
    return _join([piece for pieces in columns for piece in pieces])


def _columns(body: Any, count: int, schema: pa.Schema) -> list[np.ndarray]:
    columns, at = [], 0
    for arrow_type in schema.types:
        dtype = np.dtype(arrow_type.to_pandas_dtype())
        columns.append(np.frombuffer(body, dtype, count, at))
        at += count * dtype.itemsize
    return columns
