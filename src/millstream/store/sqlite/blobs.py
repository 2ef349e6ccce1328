"""Runs of records and rows of state, to and from what is stored of them.

A run is a head (MessagePack: how each column is stored) and a body (one Arrow record batch of the
columns that the head cannot tell). A column of numbers that grows by a fixed step, a constant
included, takes no room in the body; other numbers are stored as differences in as few bytes as the
largest one takes. Offsets are not stored at all: they follow from the partitions and the first
offset of each.

A small body is the bare Arrow message, its schema known from the head and the layouts, which saves
both its bytes and 30 µs; a large one is packed (see `packing`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from millstream.serde.base import Part, RawPart, TypedPart
from millstream.store.interfaces import Records
from millstream.store.sqlite.layouts import KnownLayout, know
from millstream.store.sqlite.packing import pack, unpack
from millstream.store.state_rows import StateRows

HEADERS_ARROW = pa.list_(pa.struct([pa.field("KEY", pa.string()), pa.field("VALUE", pa.binary())]))
"""The Arrow type of records' headers."""

SMALL_BYTES = 4096
"""Bodies below this many bytes are stored as bare, uncompressed messages."""

FEW_ROWS = 1024
"""Those of more rows than this are not."""

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")

_NO_BODY, _MESSAGE, _PACKED = 0, 1, 2
_NOT_NULL, _ALL_NULL, _SOME_NULL = 0, 1, 2
_RAW = 0
_WIDTHS: dict[int, tuple[np.dtype, pa.DataType]] = {
    1: (np.dtype(np.int8), pa.int8()),
    2: (np.dtype(np.int16), pa.int16()),
    4: (np.dtype(np.int32), pa.int32()),
    8: (np.dtype(np.int64), pa.int64()),
}


class Numbers(msgspec.Struct, array_like=True, frozen=True):
    """A column of integers: `first`, then steps. With `width` 0 all steps are `step`; else the
    body has a column of steps, in integers of `width` bytes."""

    first: int
    step: int = 0
    width: int = 0


class PartHead(msgspec.Struct, array_like=True, frozen=True):
    """A part of the records: its layout's id (0: raw bytes), and which records have none."""

    layout: int
    null: int = _NOT_NULL


class RunHead(msgspec.Struct, array_like=True, frozen=True):
    """How the columns of a run are stored."""

    body: int
    partition: Numbers
    offsets: list[tuple[int, int]]
    seq: Numbers
    writer: Numbers
    rowtime: Numbers
    key: PartHead
    value: PartHead
    window_start: Numbers | None = None
    window_end: Numbers | None = None
    headers: bool = False
    numbers: bytes = b""
    """Of a small run: partitions, seqs, writers, row times and the bounds of windows, one after the
    other, in 8 bytes each. Then what is said of them above means nothing."""


_TOLD = Numbers(0)
"""In the place of numbers that stand elsewhere."""

_encode_head = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(RunHead).decode


class _Columns:
    """Collects the columns of a body."""

    def __init__(self) -> None:
        self.arrays: list[pa.Array] = []

    def numbers(self, values: np.ndarray) -> Numbers:
        first = int(values[0])
        if len(values) == 1:
            return Numbers(first)
        between = values[1:] - values[:-1]
        low, high = int(between.min()), int(between.max())
        if low == high:
            return Numbers(first, low)
        width = next(w for w in _WIDTHS if -(1 << (8 * w - 1)) <= low and high < 1 << (8 * w - 1))
        steps = np.empty(len(values), _WIDTHS[width][0])
        steps[0] = 0
        steps[1:] = between
        self.arrays.append(pa.array(steps))
        return Numbers(first, 0, width)

    def part(self, part: Part, layouts: Mapping[KnownLayout, int]) -> PartHead:
        if isinstance(part, RawPart):
            if part.data.null_count == len(part.data):
                return PartHead(_RAW, _ALL_NULL)
            self.arrays.append(part.data)
            return PartHead(_RAW)
        null = _NOT_NULL
        if part.null is not None and part.null.any():
            null = _ALL_NULL if part.null.all() else _SOME_NULL
        if null == _SOME_NULL:
            self.arrays.append(pa.array(part.null))
        if null != _ALL_NULL:
            self.arrays.extend(part.arrays)
        return PartHead(layouts[know(part.layout)], null)


def canonical(records: Records) -> Records:
    """The records with int64 numbers, boolean masks and arrays of exactly the layouts' types."""
    return Records(
        partition=_int64(records.partition),
        offset=_int64(records.offset),
        seq=_int64(records.seq),
        writer=_int64(records.writer),
        rowtime=_int64(records.rowtime),
        key=_canonical_part(records.key),
        value=_canonical_part(records.value),
        window_start=None if records.window_start is None else _int64(records.window_start),
        window_end=None if records.window_end is None else _int64(records.window_end),
        headers=None if records.headers is None else _plain(records.headers, HEADERS_ARROW),
    )


def encode_run(records: Records, layouts: Mapping[KnownLayout, int]) -> tuple[bytes, Any]:
    """Head and body of canonical records, of which there is at least one."""
    columns = _Columns()
    partition = columns.numbers(records.partition)
    seq = columns.numbers(records.seq)
    writer = columns.numbers(records.writer)
    rowtime = columns.numbers(records.rowtime)
    start, end = records.window_start, records.window_end
    window_start = None if start is None else columns.numbers(start)
    window_end = None if end is None else columns.numbers(end)
    key = columns.part(records.key, layouts)
    value = columns.part(records.value, layouts)
    has_headers = records.headers is not None and records.headers.null_count < len(records)
    if has_headers:
        columns.arrays.append(records.headers)
    kind, body = _encode_body(columns.arrays)
    head = RunHead(
        kind,
        partition,
        first_offsets(records.partition, records.offset),
        seq,
        writer,
        rowtime,
        key,
        value,
        window_start,
        window_end,
        has_headers,
    )
    return _encode_head(head), body


def encode_small_run(records: Records, layouts: Mapping[KnownLayout, int]) -> tuple[bytes, bytes]:
    """As `encode_run`, in a tenth of the time and more bytes: for a few records in a frame, which
    is compressed as a whole."""
    columns = _Columns()
    key = columns.part(records.key, layouts)
    value = columns.part(records.value, layouts)
    has_headers = records.headers is not None and records.headers.null_count < len(records)
    if has_headers:
        columns.arrays.append(records.headers)
    body = b""
    if columns.arrays:
        schema = _schema_of(key, value, has_headers, records)
        batch = pa.RecordBatch.from_arrays(columns.arrays, schema=schema)
        body = batch.serialize().to_pybytes()
    numbers = [records.partition, records.seq, records.writer, records.rowtime]
    start, end = records.window_start, records.window_end
    numbers += [bounds for bounds in (start, end) if bounds is not None]
    head = RunHead(
        _MESSAGE if columns.arrays else _NO_BODY,
        _TOLD,
        first_offsets(records.partition, records.offset),
        _TOLD,
        _TOLD,
        _TOLD,
        key,
        value,
        None if start is None else _TOLD,
        None if end is None else _TOLD,
        has_headers,
        b"".join([n.tobytes() for n in numbers]),
    )
    return _encode_head(head), body


def decode_run(head: bytes, body: Any, count: int, layouts: Mapping[int, KnownLayout]) -> Records:
    """The records of a stored run."""
    heading = _decode_head(head)
    arrays = iter(_decode_body(heading, body, count, layouts))
    told = _plain_numbers(heading.numbers, count)
    partition = _numbers(heading.partition, count, arrays, told)
    seq = _numbers(heading.seq, count, arrays, told)
    writer = _numbers(heading.writer, count, arrays, told)
    rowtime = _numbers(heading.rowtime, count, arrays, told)
    window_start = window_end = None
    if heading.window_start is not None:
        window_start = _numbers(heading.window_start, count, arrays, told)
    if heading.window_end is not None:
        window_end = _numbers(heading.window_end, count, arrays, told)
    key = _part(heading.key, count, arrays, layouts)
    value = _part(heading.value, count, arrays, layouts)
    return Records(
        partition,
        number_offsets(partition, dict(heading.offsets)),
        seq,
        writer,
        rowtime,
        key,
        value,
        window_start,
        window_end,
        next(arrays) if heading.headers else None,
    )


def number_offsets(partition: np.ndarray, first: Mapping[int, int]) -> np.ndarray:
    """Offsets of records in log order: per partition they count on from `first`."""
    count = len(partition)
    if len(first) == 1 or count == 1:
        start = first[int(partition[0])]
        return np.arange(start, start + count, dtype=np.int64)
    order = np.argsort(partition, kind="stable")
    ordered = partition[order]
    breaks = np.flatnonzero(np.diff(ordered)) + 1
    starts = np.concatenate(([0], breaks))
    lengths = np.diff(np.concatenate((starts, [count])))
    bases = np.array([first[p] for p in ordered[starts].tolist()], np.int64)
    offset = np.empty(count, np.int64)
    offset[order] = np.arange(count) + np.repeat(bases - starts, lengths)
    return offset


def first_offsets(partition: np.ndarray, offset: np.ndarray) -> list[tuple[int, int]]:
    """The first offset in each partition that occurs."""
    count, first = len(partition), int(partition[0])
    if count == 1 or (first == partition[-1] and np.count_nonzero(partition == first) == count):
        return [(first, int(offset[0]))]
    numbers, rows = np.unique(partition, return_index=True)
    return list(zip(numbers.tolist(), offset[rows].tolist(), strict=True))


class Form(IntEnum):
    """How rows of state are stored: as a bare message or packed, either without their schema, or,
    where they have dictionaries, as a stream that has it; or as nothing but the bytes of columns of
    numbers, one column after the other, truth values in a byte each."""

    MESSAGE = 0
    PACKED = 1
    STREAM = 2
    PLAIN = 3


def encode_rows(rows: pa.RecordBatch, has_schema: bool) -> tuple[Form, Any]:
    """The body of rows of state; `has_schema` tells whether their schema is stored elsewhere."""
    if not has_schema:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema, options=_OPTIONS) as writer:
            writer.write_batch(rows)
        return Form.STREAM, sink.getvalue()
    message = _small_message(rows)
    if message is not None:
        return Form.MESSAGE, message
    return Form.PACKED, pack(rows.columns)


def encode_small_rows(rows: StateRows, has_schema: bool) -> tuple[Form, int, bytes]:
    """As `encode_rows`, of a few rows that will be compressed together with others; in between the
    number of rows."""
    if not has_schema:
        form, body = encode_rows(rows.batch(), has_schema)
        return form, rows.num_rows, bytes(body)
    numbers = rows.numbers()
    if numbers is not None:
        return Form.PLAIN, rows.num_rows, b"".join([c.data for c in numbers])
    return Form.MESSAGE, rows.num_rows, rows.batch().serialize().to_pybytes()


def decode_rows(form: int, count: int, body: Any, schema: pa.Schema | None) -> StateRows:
    """The `count` rows of a stored part; `schema` is None where the body has it."""
    if form == Form.STREAM:
        with pa.ipc.open_stream(body) as reader:
            return StateRows.of(reader.read_next_batch())
    assert schema is not None
    if form == Form.PLAIN:
        return StateRows(schema, _plain_columns(body, count, schema))
    if form == Form.PACKED:
        batch = pa.RecordBatch.from_arrays(unpack(body, count, schema.types), schema=schema)
        return StateRows.of(batch)
    return StateRows.of(pa.ipc.read_record_batch(pa.py_buffer(body), schema))


def _plain_columns(body: bytes, count: int, schema: pa.Schema) -> list[np.ndarray]:
    columns, at = [], 0
    for arrow_type in schema.types:
        dtype = np.dtype(arrow_type.to_pandas_dtype())
        columns.append(np.frombuffer(body, dtype, count, at))
        at += count * dtype.itemsize
    return columns


def is_dictionary(arrow_type: pa.DataType) -> bool:
    """Whether the type has dictionaries anywhere, which neither a bare message nor a packed body
    can carry."""
    if pa.types.is_dictionary(arrow_type):
        return True
    return any(is_dictionary(arrow_type.field(i).type) for i in range(arrow_type.num_fields))


def _encode_body(arrays: list[pa.Array]) -> tuple[int, Any]:
    if not arrays:
        return _NO_BODY, b""
    schema = _positional(tuple(a.type for a in arrays))
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    message = _small_message(batch)
    return (_PACKED, pack(arrays)) if message is None else (_MESSAGE, message)


def _small_message(batch: pa.RecordBatch) -> pa.Buffer | None:
    """Rows as a bare message, None where that is not small. To ask for the bytes of a few rows
    takes longer than to write them out."""
    if batch.num_rows > FEW_ROWS:
        return None
    message = batch.serialize()
    return message if message.size < SMALL_BYTES else None


def _decode_body(
    head: RunHead, body: Any, count: int, layouts: Mapping[int, KnownLayout]
) -> list[pa.Array]:
    if head.body == _NO_BODY:
        return []
    types = _body_types(head, layouts)
    if head.body == _PACKED:
        return unpack(body, count, types)
    return list(pa.ipc.read_record_batch(pa.py_buffer(body), _positional(types)).columns)


def _body_types(head: RunHead, layouts: Mapping[int, KnownLayout]) -> tuple[pa.DataType, ...]:
    numbers = (
        head.partition,
        head.seq,
        head.writer,
        head.rowtime,
        head.window_start,
        head.window_end,
    )
    types = [_WIDTHS[n.width][1] for n in numbers if n is not None and n.width]
    for part in (head.key, head.value):
        known = None if part.layout == _RAW else layouts[part.layout].types
        types += _part_types(part.null, known)
    if head.headers:
        types.append(HEADERS_ARROW)
    return tuple(types)


@lru_cache(maxsize=1024)
def _positional(types: tuple[pa.DataType, ...]) -> pa.Schema:
    return pa.schema([pa.field(str(i), t) for i, t in enumerate(types)])


def _schema_of(key: PartHead, value: PartHead, has_headers: bool, records: Records) -> pa.Schema:
    """The schema of a small run's body, found without a look at its columns."""
    kinds = [
        (part.null, know(of.layout) if isinstance(of, TypedPart) else None)
        for part, of in ((key, records.key), (value, records.value))
    ]
    return _schema_of_kinds(*kinds[0], *kinds[1], has_headers)


@lru_cache(maxsize=1024)
def _schema_of_kinds(
    key_null: int,
    key: KnownLayout | None,
    value_null: int,
    value: KnownLayout | None,
    has_headers: bool,
) -> pa.Schema:
    types: list[pa.DataType] = []
    for null, known in ((key_null, key), (value_null, value)):
        types += _part_types(null, None if known is None else known.types)
    return _positional((*types, HEADERS_ARROW) if has_headers else tuple(types))


def _part_types(null: int, types: tuple[pa.DataType, ...] | None) -> list[pa.DataType]:
    """The types of the columns of a part, given those of its layout (None: raw bytes)."""
    if null == _ALL_NULL:
        return []
    if types is None:
        return [pa.binary()]
    return [pa.bool_(), *types] if null == _SOME_NULL else list(types)


def _plain_numbers(numbers: bytes, count: int) -> Iterator[np.ndarray] | None:
    """The columns of numbers of a small run; None where they are told one by one."""
    if not numbers:
        return None
    # A copy, since what lies in bytes cannot be written to.
    return iter(np.frombuffer(numbers, "<i8").astype(np.int64).reshape(-1, count))


def _numbers(
    head: Numbers, count: int, arrays: Any, told: Iterator[np.ndarray] | None
) -> np.ndarray:
    if told is not None:
        return next(told)
    if head.width:
        values = np.cumsum(next(arrays).to_numpy(), dtype=np.int64)
        values += head.first
        return values
    if head.step == 0:
        return np.full(count, head.first, np.int64)
    return head.first + head.step * np.arange(count, dtype=np.int64)


def _part(head: PartHead, count: int, arrays: Any, layouts: Mapping[int, KnownLayout]) -> Part:
    if head.layout == _RAW:
        return RawPart(pa.nulls(count, pa.binary()) if head.null == _ALL_NULL else next(arrays))
    known = layouts[head.layout]
    if head.null == _ALL_NULL:
        nothing = [pa.nulls(count, a) for a in known.types]
        return TypedPart(known.layout, nothing, np.ones(count, bool))
    null = None
    if head.null == _SOME_NULL:
        null = np.array(next(arrays).to_numpy(zero_copy_only=False), bool)
    return TypedPart(known.layout, [next(arrays) for _ in known.types], null)


def _int64(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.int64)


def _canonical_part(part: Part) -> Part:
    if isinstance(part, RawPart):
        data = _plain(part.data, pa.binary())
        return part if data is part.data else RawPart(data)
    known = know(part.layout)
    arrays = [_plain(a, t) for a, t in zip(part.arrays, known.types, strict=True)]
    null = None if part.null is None else np.asarray(part.null, bool)
    return TypedPart(known.layout, arrays, null)


def _plain(array: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return array if array.type == arrow_type else array.cast(arrow_type)
