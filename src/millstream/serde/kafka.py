"""The KAFKA format: one column as Kafka's own serialisers write it.

INTEGER is 4 bytes and BIGINT 8, big endian; DOUBLE is 8 bytes of IEEE 754, big endian; STRING is
UTF-8; BYTES are themselves. Bytes that are not UTF-8 become U+FFFD, as in Java.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.columns.arrow import arrow_type, nulls, valid_mask
from millstream.serde.arrays import blank_out, offsets_and_data, utf8, with_missing
from millstream.serde.base import Decoded, Decoder, Encoder, Failure, Layout
from millstream.serde.rules import map_in_key, never_wrapped, unsupported_type

_TYPES: frozenset[t.SqlType] = frozenset((t.INTEGER, t.BIGINT, t.DOUBLE, t.STRING, t.BYTES))
_WIRE: dict[t.SqlType, np.dtype] = {
    t.INTEGER: np.dtype(">i4"),
    t.BIGINT: np.dtype(">i8"),
    t.DOUBLE: np.dtype(">f8"),
}


class KafkaFormat:
    """A single column in the bytes of Kafka's serialisers."""

    name = "KAFKA"

    def check(self, columns: Sequence[t.Column], *, is_key: bool) -> str | None:
        """See `Format.check`."""
        if is_key and (problem := map_in_key(columns)):
            return problem
        if problem := unsupported_type(self.name, columns, _TYPES, decimals=False):
            return problem
        if len(columns) > 1:
            names = ", ".join(t.quote_name(c.name) for c in columns)
            part = "key" if is_key else "value"
            return (
                f"The KAFKA format carries one column, but the {part} has {names}. "
                "Use another format, such as JSON."
            )
        return None

    def wrapping(self, wrap: bool | None, columns: Sequence[t.Column]) -> bool:
        """See `Format.wrapping`."""
        never_wrapped(self.name, wrap, columns)
        return False

    def decoder(self, layout: Layout) -> Decoder:
        """See `Format.decoder`."""
        return KafkaCodec(layout)

    def encoder(self, layout: Layout) -> Encoder:
        """See `Format.encoder`."""
        return KafkaCodec(layout)


class KafkaCodec:
    """Reads and writes one column; without a column bytes are ignored and nulls written."""

    def __init__(self, layout: Layout) -> None:
        self._type = layout.columns[0].type if layout.columns else None
        self._name = layout.columns[0].name if layout.columns else ""

    def decode(self, records: pa.Array, needed: Sequence[bool] | None = None) -> Decoded:
        """See `Decoder.decode`."""
        present = valid_mask(records)
        null = None if present.all() else ~present
        if self._type is None:
            return Decoded([], null)
        failures: list[Failure] = []
        wire = _WIRE.get(self._type)
        if wire is not None:
            array, failures = self._numbers(records, present, wire)
        elif self._type == t.STRING:
            array = utf8(records)
        else:
            array = records
        if needed is not None and not needed[0]:
            array = nulls(self._type, len(records))
        return Decoded([array], null, failures)

    def encode(self, arrays: list[pa.Array], null: np.ndarray | None, length: int) -> pa.Array:
        """See `Encoder.encode`."""
        if self._type is None:
            return pa.nulls(length, pa.binary())
        (array,), _ = blank_out(arrays, null)
        wire = _WIRE.get(self._type)
        if wire is None:
            return array.cast(pa.binary())
        present = valid_mask(array)
        values = array.to_numpy(zero_copy_only=False) if present.all() else _dense(array)
        offsets = np.zeros(length + 1, np.int32)
        np.cumsum(present * wire.itemsize, out=offsets[1:])
        validity = None if present.all() else _bitmap(present)
        data = values.astype(wire).tobytes()
        buffers = [validity, pa.py_buffer(offsets), pa.py_buffer(data)]
        return pa.Array.from_buffers(pa.binary(), length, buffers)

    def normalise(
        self, arrays: list[pa.Array], null: np.ndarray | None
    ) -> tuple[list[pa.Array], np.ndarray | None]:
        """See `Encoder.normalise`."""
        if self._type is None:
            return [], None if null is None else np.ones(len(null), bool)
        return blank_out(arrays, with_missing(arrays[0], null))

    def _numbers(
        self, records: pa.Array, present: np.ndarray, wire: np.dtype
    ) -> tuple[pa.Array, list[Failure]]:
        offsets, data = offsets_and_data(records)
        width = wire.itemsize
        lengths = np.diff(offsets)
        good = present & (lengths == width)
        bad = np.flatnonzero(present & ~good).tolist()
        starts = offsets[:-1][good]
        raw = data[starts[:, None] + np.arange(width)]
        values = np.zeros(len(records), wire.newbyteorder("="))
        values[good] = np.ascontiguousarray(raw).view(wire)[:, 0]
        array = pa.array(values, arrow_type(self._type or t.BYTES), mask=~good)
        failures = [
            Failure(
                row,
                f"Column {self._name} is {self._type}, which takes {width} bytes in the KAFKA "
                f"format, but the record has {int(lengths[row])}.",
            )
            for row in bad
        ]
        return array, failures


def _dense(array: pa.Array) -> np.ndarray:
    values: np.ndarray = array.drop_null().to_numpy(zero_copy_only=False)
    return values


def _bitmap(present: np.ndarray) -> pa.Buffer:
    return pa.py_buffer(np.packbits(present, bitorder="little").tobytes())
