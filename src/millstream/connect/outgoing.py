"""Stored records as the bytes that a sink sends."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream.columns.arrow import to_python
from millstream.connect.base import SinkRecords
from millstream.serde.base import Encoder, Layout, Part, RawPart, TypedPart
from millstream.store.interfaces import Records


class OutgoingEncoder:
    """Makes a sink's records of runs of stored ones. Encoders are made once a layout."""

    def __init__(self, encoder_of: Callable[[Layout], Encoder] | None = None) -> None:
        self._encoder_of = encoder_of or _format_encoder
        self._encoders: dict[Layout, Encoder] = {}

    def encode(self, topic: str, runs: Sequence[tuple[int, Records]]) -> SinkRecords:
        """The records of all runs, each from its given row on, as one."""
        return SinkRecords(
            topic=topic,
            partition=np.concatenate([run.partition[first:] for first, run in runs]),
            offset=np.concatenate([run.offset[first:] for first, run in runs]),
            rowtime=np.concatenate([run.rowtime[first:] for first, run in runs]),
            key=_joined([self._bytes(run.key, len(run)).slice(first) for first, run in runs]),
            value=_joined([self._bytes(run.value, len(run)).slice(first) for first, run in runs]),
            key_text=_joined([self._text(run.key, len(run)).slice(first) for first, run in runs]),
            window_start=_bounds([(first, run.window_start) for first, run in runs]),
            window_end=_bounds([(first, run.window_end) for first, run in runs]),
        )

    def _bytes(self, part: Part, length: int) -> pa.Array:
        if isinstance(part, RawPart):
            return part.data.cast(pa.binary())
        encoder = self._encoders.get(part.layout)
        if encoder is None:
            encoder = self._encoder_of(part.layout)
            self._encoders[part.layout] = encoder
        return encoder.encode(part.arrays, part.null, length).cast(pa.binary())

    def _text(self, part: Part, length: int) -> pa.Array:
        """A key as people read it: one column as its text, several as a JSON object."""
        if isinstance(part, RawPart):
            return _utf8_or_hex(part.data)
        if not part.arrays:
            return pa.nulls(length, pa.string())
        if len(part.arrays) == 1 and _has_plain_text(part.arrays[0].type):
            text = part.arrays[0].cast(pa.string())
        else:
            text = _json_text(part)
        if part.null is None:
            return text
        return pc.if_else(pa.array(part.null), pa.scalar(None, pa.string()), text)


def _format_encoder(layout: Layout) -> Encoder:
    from millstream.serde.formats import format_named  # formats load when used

    return format_named(layout.format).encoder(layout)


def _has_plain_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_integer(kind))


def _json_text(part: TypedPart) -> pa.Array:
    names = [column.name for column in part.layout.columns]
    columns = [
        to_python(array, column.type)
        for array, column in zip(part.arrays, part.layout.columns, strict=True)
    ]
    rows = [
        json.dumps(
            dict(zip(names, row, strict=True)), default=str, ensure_ascii=False, sort_keys=False
        )
        for row in zip(*columns, strict=True)
    ]
    return pa.array(rows, pa.string())


def _utf8_or_hex(data: pa.Array) -> pa.Array:
    binary = data.cast(pa.binary())
    try:
        return binary.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_one_text(b) for b in binary.to_pylist()], pa.string())


def _one_text(data: bytes | None) -> str | None:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "0x" + data.hex()


def _bounds(parts: Sequence[tuple[int, np.ndarray | None]]) -> np.ndarray | None:
    present = [bounds[first:] for first, bounds in parts if bounds is not None]
    return np.concatenate(present) if len(present) == len(parts) else None


def _joined(arrays: list[pa.Array]) -> pa.Array:
    return arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)
