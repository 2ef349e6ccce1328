"""Large columns as compressed bytes, without what compression cannot see.

Arrow keeps where each string begins, 4 bytes a string that only ever grow, and LZ4 finds nothing
to save in them: they were more than half of a stored run of clicks (5.2 MB of 100,000 records; 2.1
MB this way, and less to write is worth more than the 2 ms that it costs to read). So strings are
stored as lengths, in as few bytes as the longest one takes (none at all, where all are as long),
and bytes. All that has an entry a row is one Arrow message; the bytes of strings follow it.

The pieces are compressed by us, since Arrow compresses each buffer of a message on its own, which
takes 20 µs however small it is: 1 ms for the sixteen columns of a thousand records, now 0.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

# LZ4 rather than ZSTD: on clicks, raw and typed, a commit takes the same time with either (ZSTD
# writes half the bytes and computes longer for it), but LZ4 reads back twice as fast.
_CODEC = pa.Codec("lz4_raw")

_TEXTS = (pa.string(), pa.binary())
_WIDTHS: dict[int, tuple[type[np.signedinteger[Any]], pa.DataType]] = {
    1: (np.int8, pa.int8()),
    2: (np.int16, pa.int16()),
    4: (np.int32, pa.int32()),
}

# Buffers below this size are compressed together with their neighbours, larger ones on their own,
# which saves copying them.
_JOINED_BYTES = 64 << 10


class _Text(msgspec.Struct, array_like=True, frozen=True):
    """How strings are stored: validity if any is null; lengths, in integers of `width` bytes, or,
    where `width` is 0, all as long as `length`."""

    has_nulls: bool
    width: int
    length: int = 0


class _Group(msgspec.Struct, array_like=True, frozen=True):
    """Buffers that were compressed together: the size of each, and of what they have become;
    `stored` 0 means that they lie as they are, since compression gained nothing."""

    sizes: list[int]
    stored: int


class _Plan(msgspec.Struct, array_like=True, frozen=True):
    """What a packed body holds: its strings' columns in order, and its buffers, the first of which
    is the message."""

    texts: list[_Text]
    groups: list[_Group]


_encode_plan = msgspec.msgpack.Encoder().encode
_decode_plan = msgspec.msgpack.Decoder(_Plan).decode
_LENGTH_BYTES = 4
_AS_IT_WAS = bytes(_LENGTH_BYTES)
_WORTH_BYTES = 1024


def squeeze(whole: bytes) -> bytes:
    """Bytes compressed, with their number before them; 0 means that they are as they were, since
    they are so few."""
    if len(whole) < _WORTH_BYTES:
        return _AS_IT_WAS + whole
    packed: bytes = _CODEC.compress(whole, asbytes=True)
    return len(whole).to_bytes(_LENGTH_BYTES, "little") + packed


def unsqueeze(body: bytes) -> pa.Buffer:
    """The opposite of `squeeze`."""
    size = int.from_bytes(body[:_LENGTH_BYTES], "little")
    rest = pa.py_buffer(body).slice(_LENGTH_BYTES)
    return _CODEC.decompress(rest, decompressed_size=size) if size else rest


def pack(arrays: Sequence[pa.Array]) -> bytes:
    """Columns of any types but dictionaries, of one length that is not 0, as bytes."""
    columns: list[pa.Array] = []
    texts: list[_Text] = []
    buffers: list[pa.Buffer] = []
    for array in arrays:
        if array.type in _TEXTS:
            texts.append(_pack_text(array, columns, buffers))
        else:
            columns.append(array)
    schema = _schema([a.type for a in columns])
    message = pa.RecordBatch.from_arrays(columns, schema=schema).serialize()
    groups: list[_Group] = []
    stored: list[Any] = []
    for joined in _grouped([message, *buffers]):
        whole = joined[0] if len(joined) == 1 else b"".join(joined)
        packed = _CODEC.compress(whole)
        is_smaller = len(packed) < len(whole)
        groups.append(_Group([len(b) for b in joined], len(packed) if is_smaller else 0))
        stored.append(packed if is_smaller else whole)
    plan = _encode_plan(_Plan(texts, groups))
    return b"".join([len(plan).to_bytes(_LENGTH_BYTES, "little"), plan, *stored])


def unpack(body: bytes, count: int, types: Sequence[pa.DataType]) -> list[pa.Array]:
    """The columns that `pack` got: `count` is their length, `types` are their types."""
    whole = pa.py_buffer(body)
    start = _LENGTH_BYTES + int.from_bytes(body[:_LENGTH_BYTES], "little")
    plan = _decode_plan(body[_LENGTH_BYTES:start])
    buffers = _buffers(whole.slice(start), plan.groups)
    texts = iter(plan.texts)
    layout = [next(texts) if t in _TEXTS else None for t in types]
    schema = _schema([s for text, t in zip(layout, types, strict=True) for s in _stored(text, t)])
    columns = iter(pa.ipc.read_record_batch(next(buffers), schema).columns)
    return [
        next(columns) if text is None else _unpack_text(t, text, count, columns, buffers)
        for text, t in zip(layout, types, strict=True)
    ]


def _pack_text(array: pa.Array, columns: list[pa.Array], buffers: list[pa.Buffer]) -> _Text:
    count = len(array)
    _, offset_buffer, data = array.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32, count + 1, array.offset * 4)
    first, last = int(offsets[0]), int(offsets[-1])
    lengths = np.diff(offsets)
    longest = int(lengths.max())
    has_nulls = array.null_count > 0
    if has_nulls:
        columns.append(array.is_valid())
    buffers.append(pa.py_buffer(b"") if data is None else data.slice(first, last - first))
    if int(lengths.min()) == longest:
        return _Text(has_nulls, 0, longest)
    width = next(w for w in _WIDTHS if longest < 1 << (8 * w - 1))
    columns.append(pa.array(lengths.astype(_WIDTHS[width][0], copy=False)))
    return _Text(has_nulls, width)


def _unpack_text(
    arrow_type: pa.DataType,
    text: _Text,
    count: int,
    columns: Iterator[pa.Array],
    buffers: Iterator[pa.Buffer],
) -> pa.Array:
    validity = next(columns).buffers()[1] if text.has_nulls else None
    if text.width:
        offsets = np.zeros(count + 1, np.int32)
        np.cumsum(next(columns).to_numpy(), out=offsets[1:])
    else:
        offsets = np.arange(count + 1, dtype=np.int32) * np.int32(text.length)
    return pa.Array.from_buffers(
        arrow_type, count, [validity, pa.py_buffer(offsets), next(buffers)]
    )


def _stored(text: _Text | None, arrow_type: pa.DataType) -> list[pa.DataType]:
    """The types of the columns in the message that a column has become."""
    if text is None:
        return [arrow_type]
    validity = [pa.bool_()] if text.has_nulls else []
    return [*validity, _WIDTHS[text.width][1]] if text.width else validity


def _schema(types: Sequence[pa.DataType]) -> pa.Schema:
    return pa.schema([pa.field("", t) for t in types])


def _grouped(buffers: Sequence[pa.Buffer]) -> Iterator[list[pa.Buffer]]:
    group: list[pa.Buffer] = []
    for buffer in buffers:
        if group and (buffer.size >= _JOINED_BYTES or group[-1].size >= _JOINED_BYTES):
            yield group
            group = []
        group.append(buffer)
    yield group


def _buffers(stored: pa.Buffer, groups: Sequence[_Group]) -> Iterator[pa.Buffer]:
    at = 0
    for group in groups:
        size = sum(group.sizes)
        length = group.stored or size
        whole = stored.slice(at, length)
        if group.stored:
            whole = _CODEC.decompress(whole, decompressed_size=size)
        at += length
        inside = 0
        for part in group.sizes:
            yield whole.slice(inside, part)
            inside += part
