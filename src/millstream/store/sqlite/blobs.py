"""Runs of records, to and from what is stored of them.

A run is a head (MessagePack: how each column is stored) and a body. Offsets are not stored at all:
they follow from the partitions and the first offset of each.

The body of a few records is their numbers as they are, then the buffers of all other columns, or,
where these are nested, one bare Arrow message; their types are known from the head and the layouts.
It is compressed as a whole, in a frame together with all others: that takes 20 µs and fewer bytes
than anything cleverer.

The body of many is packed (see `packing`). A column of numbers that grows by a fixed step, a
constant included, takes no room in it; other numbers are stored as differences in as few bytes as
the largest one takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from operator import is_
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from millstream.serde.base import Part, RawPart, TypedPart
from millstream.store.interfaces import Records
from millstream.store.sqlite.layouts import KnownLayout, know
from millstream.store.sqlite.packing import pack, squeeze, unpack, unsqueeze

HEADERS_ARROW = pa.list_(pa.struct([pa.field("KEY", pa.string()), pa.field("VALUE", pa.binary())]))
"""The Arrow type of records' headers."""

FEW_ROWS = 1024
FEW_BYTES = 1 << 20
"""More records than this are many, and so are larger ones, which are better not copied."""

_BYTES_BEFORE, _BYTES_EACH = 4096, 256
"""Buffers with more bytes than this, and for each record, may be mostly those of other records."""

_FEW, _FEW_SQUEEZED, _MANY = 0, 1, 2
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


class RunHead(msgspec.Struct, array_like=True, frozen=True):
    """How the columns of a run are stored."""

    body: int
    offsets: list[tuple[int, int]]
    """The first one of each partition."""
    key: int
    key_null: int
    value: int
    value_null: int
    """Layouts' ids (0: raw bytes), and which records have no key and no value."""
    window_start: bool
    window_end: bool
    headers: bool
    numbers: list[Numbers] = []
    """Of many records: what is told of partitions, seqs, writers, row times and, where there are
    any, bounds of windows."""
    buffers: list[int] = []
    """Of few: how many bytes each buffer has, -1 where there is none; empty for a message."""


encode_head = msgspec.msgpack.Encoder().encode
decode_head = msgspec.msgpack.Decoder(RunHead).decode

_Kind = tuple[int, KnownLayout | None]
"""Which records of a part are null, and its layout; None: raw bytes."""

_Parts = tuple[_Kind, _Kind, bool]
"""Of keys and of values, and whether there are headers."""


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

    def parts(self, records: Records) -> _Parts:
        key, value = self._part(records.key), self._part(records.value)
        has_headers = records.headers is not None and records.headers.null_count < len(records)
        if has_headers:
            self.arrays.append(records.headers)
        return key, value, has_headers

    def _part(self, part: Part) -> _Kind:
        if isinstance(part, RawPart):
            if part.data.null_count == len(part.data):
                return _ALL_NULL, None
            self.arrays.append(part.data)
            return _NOT_NULL, None
        gone = 0 if part.null is None else np.count_nonzero(part.null)
        if part.null is None or gone == 0:
            null = _NOT_NULL
        elif gone == len(part.null):
            return _ALL_NULL, know(part.layout)
        else:
            null = _SOME_NULL
            self.arrays.append(pa.array(part.null))
        self.arrays += part.arrays
        return null, know(part.layout)


def canonical(records: Records) -> Records:
    """The records with int64 numbers, boolean masks and arrays of exactly the layouts' types; their
    offsets are given to them later."""
    return Records(
        partition=np.ascontiguousarray(records.partition, np.int64),
        offset=records.offset,
        seq=np.ascontiguousarray(records.seq, np.int64),
        writer=np.ascontiguousarray(records.writer, np.int64),
        rowtime=np.ascontiguousarray(records.rowtime, np.int64),
        key=_canonical_part(records.key),
        value=_canonical_part(records.value),
        window_start=_int64_or_none(records.window_start),
        window_end=_int64_or_none(records.window_end),
        headers=None if records.headers is None else _plain(records.headers, HEADERS_ARROW),
    )


def encode_run(
    records: Records, size: int, layouts: Mapping[KnownLayout, int]
) -> tuple[RunHead, bytes]:
    """Head and body of canonical records, of which there is at least one; `size` is about how many
    bytes they have."""
    firsts = first_offsets(records.partition, records.offset)
    if len(records) <= FEW_ROWS and size <= FEW_BYTES:
        head, body = encode_few(records, firsts, layouts, _FEW_SQUEEZED)
        return head, squeeze(body)
    columns = _Columns()
    numbers = [columns.numbers(values) for values in _numbers_of(records)]
    head = _head(_MANY, records, firsts, columns.parts(records), layouts, numbers, [])
    return head, pack(columns.arrays) if columns.arrays else b""


def encode_few(
    records: Records,
    firsts: list[tuple[int, int]],
    layouts: Mapping[KnownLayout, int],
    kind: int = _FEW,
) -> tuple[RunHead, bytes]:
    """As `encode_run`, of a few records in a frame, which is compressed as a whole; `firsts` are
    the first offset of each partition."""
    columns = _Columns()
    parts = columns.parts(records)
    pieces: list[Any] = _numbers_of(records)
    key, value, has_headers = parts
    sizes: list[int] = []
    if not has_headers and _is_flat(key) and _is_flat(value):
        sizes = _add_buffers(columns.arrays, len(records), pieces)
    if columns.arrays and not sizes:
        schema = _schema(*key, *value, has_headers)
        pieces.append(pa.RecordBatch.from_arrays(columns.arrays, schema=schema).serialize())
    head = _head(kind, records, firsts, parts, layouts, [], sizes)
    return head, b"".join(pieces)


def decode_run(head: RunHead, body: Any, count: int, layouts: Mapping[int, KnownLayout]) -> Records:
    """The records of a stored run."""
    key: _Kind = head.key_null, None if head.key == _RAW else layouts[head.key]
    value: _Kind = head.value_null, None if head.value == _RAW else layouts[head.value]
    schema = _schema(*key, *value, head.headers)
    numbers: Iterator[np.ndarray]
    if head.body == _MANY:
        widths = [_WIDTHS[n.width][1] for n in head.numbers if n.width]
        types = [*widths, *schema.types]
        arrays = iter(unpack(body, count, types) if types else [])
        numbers = iter([_numbers(told, count, arrays) for told in head.numbers])
    else:
        plain = pa.py_buffer(body) if head.body == _FEW else unsqueeze(body)
        width = 4 + head.window_start + head.window_end
        # A copy, since what lies in bytes cannot be written to.
        block = np.frombuffer(plain, "<i8", width * count).astype(np.int64)
        numbers = iter(block.reshape(width, count))
        arrays = iter(_few_columns(head.buffers, plain.slice(block.nbytes), count, schema))
    partition = next(numbers)
    return Records(
        partition,
        number_offsets(partition, dict(head.offsets)),
        seq=next(numbers),
        writer=next(numbers),
        rowtime=next(numbers),
        key=_part(*key, count, arrays),
        value=_part(*value, count, arrays),
        window_start=next(numbers) if head.window_start else None,
        window_end=next(numbers) if head.window_end else None,
        headers=next(arrays) if head.headers else None,
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


def _is_flat(part: _Kind) -> bool:
    return part[1] is None or part[1].is_flat


def _add_buffers(arrays: list[pa.Array], count: int, pieces: list[Any]) -> list[int]:
    """Add the buffers of columns that are not nested; how many bytes each has. None are added where
    columns were cut out of longer ones."""
    buffers = [buffer for array in arrays for buffer in array.buffers()]
    sizes = [-1 if buffer is None else buffer.size for buffer in buffers]
    is_cut = sum([array.offset for array in arrays]) > 0
    if is_cut or sum(sizes) > _BYTES_BEFORE + count * _BYTES_EACH:
        return []
    pieces += [buffer for buffer in buffers if buffer is not None]
    return sizes


def _few_columns(
    sizes: list[int], stored: pa.Buffer, count: int, schema: pa.Schema
) -> list[pa.Array]:
    if len(schema) == 0:
        return []
    if not sizes:
        return list(pa.ipc.read_record_batch(stored, schema).columns)
    columns, buffers, at = [], iter(sizes), 0
    for arrow_type in schema.types:
        mine = []
        for size in islice(buffers, arrow_type.num_buffers):
            # A copy, since what Arrow works on has to begin at a whole word.
            piece = None if size < 0 else pa.py_buffer(stored.slice(at, size).to_pybytes())
            mine.append(piece)
            at += max(0, size)
        columns.append(pa.Array.from_buffers(arrow_type, count, mine))
    return columns


def _numbers_of(records: Records) -> list[np.ndarray]:
    """The columns of numbers, in the order in which they are stored."""
    numbers = [records.partition, records.seq, records.writer, records.rowtime]
    if records.window_start is not None:
        numbers.append(records.window_start)
    if records.window_end is not None:
        numbers.append(records.window_end)
    return numbers


def _head(
    body: int,
    records: Records,
    firsts: list[tuple[int, int]],
    parts: _Parts,
    layouts: Mapping[KnownLayout, int],
    numbers: list[Numbers],
    buffers: list[int],
) -> RunHead:
    (key_null, key), (value_null, value), has_headers = parts
    return RunHead(
        body,
        firsts,
        _RAW if key is None else layouts[key],
        key_null,
        _RAW if value is None else layouts[value],
        value_null,
        records.window_start is not None,
        records.window_end is not None,
        has_headers,
        numbers,
        buffers,
    )


@lru_cache(maxsize=1024)
def _schema(
    key_null: int,
    key: KnownLayout | None,
    value_null: int,
    value: KnownLayout | None,
    has_headers: bool,
) -> pa.Schema:
    """The schema of all of a run that is not numbers."""
    types: list[pa.DataType] = []
    for null, known in ((key_null, key), (value_null, value)):
        types += _part_types(null, None if known is None else known.types)
    if has_headers:
        types.append(HEADERS_ARROW)
    return pa.schema([pa.field(str(i), t) for i, t in enumerate(types)])


def _part_types(null: int, types: tuple[pa.DataType, ...] | None) -> list[pa.DataType]:
    """The types of the columns of a part, given those of its layout (None: raw bytes)."""
    if null == _ALL_NULL:
        return []
    if types is None:
        return [pa.binary()]
    return [pa.bool_(), *types] if null == _SOME_NULL else list(types)


def _numbers(told: Numbers, count: int, arrays: Iterator[pa.Array]) -> np.ndarray:
    if told.width:
        values = np.cumsum(next(arrays).to_numpy(), dtype=np.int64)
        values += told.first
        return values
    if told.step == 0:
        return np.full(count, told.first, np.int64)
    return told.first + told.step * np.arange(count, dtype=np.int64)


def _part(null: int, known: KnownLayout | None, count: int, arrays: Iterator[pa.Array]) -> Part:
    if known is None:
        return RawPart(pa.nulls(count, pa.binary()) if null == _ALL_NULL else next(arrays))
    if null == _ALL_NULL:
        nothing = [pa.nulls(count, a) for a in known.types]
        return TypedPart(known.layout, nothing, np.ones(count, bool))
    mask = None
    if null == _SOME_NULL:
        mask = np.array(next(arrays).to_numpy(zero_copy_only=False), bool)
    return TypedPart(known.layout, [next(arrays) for _ in known.types], mask)


def _int64_or_none(values: np.ndarray | None) -> np.ndarray | None:
    return None if values is None else np.ascontiguousarray(values, np.int64)


def _canonical_part(part: Part) -> Part:
    if isinstance(part, RawPart):
        data = _plain(part.data, pa.binary())
        return part if data is part.data else RawPart(data)
    known = know(part.layout)
    null = None if part.null is None else np.asarray(part.null, bool)
    arrays = [
        a if a.type == t and isinstance(a, pa.Array) else _plain(a, t)
        for a, t in zip(part.arrays, known.types, strict=True)
    ]
    if known.layout is part.layout and null is part.null and all(map(is_, arrays, part.arrays)):
        return part
    return TypedPart(known.layout, arrays, null)


def _plain(array: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return array if array.type == arrow_type else array.cast(arrow_type)
