"""Columns to JSON records, as ksqlDB writes them.

Names in their declared case and order, nulls written out, DOUBLE as Java's text, DECIMAL plain with
all digits of its scale, BYTES in base64, DATE, TIME and TIMESTAMP as numbers. Flat columns are
built column by column; the values of nested types, and strings with control characters, go through
Python.
"""

from __future__ import annotations

from base64 import b64encode

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.columns.arrow import to_python, true_mask
from millstream.columns.java_text import decimal_to_text, doubles_to_text
from millstream.serde.arrays import (
    ZERO,
    blank_out,
    holds_byte,
    null_where,
    text_scalar,
    used_bytes,
    with_missing,
)
from millstream.serde.base import Layout
from millstream.serde.json_text import escape, quote, writer

_NEEDS_ESCAPE = r'["\\\x00-\x1f]'
_FEW = 16
_QUOTE, _BACKSLASH, _FIRST_PRINTABLE = 0x22, 0x5C, 0x20
_MARK, _EMPTY, _NULL = text_scalar('"'), text_scalar(""), text_scalar("null")
_WIDEST_PLAIN_SCALE = 6
"""Arrow writes decimals of a larger scale with an exponent when they are small."""


class JsonEncoder:
    """Encodes columns as JSON records."""

    def __init__(self, layout: Layout) -> None:
        self._columns = layout.columns
        self._wrapped = layout.wrap or len(layout.columns) > 1
        self._with_doubles = [_holds_double(c.type) for c in layout.columns]
        self._writers = [(f"{quote(c.name)}:", writer(c.type)) for c in layout.columns]

    def encode(self, arrays: list[pa.Array], null: np.ndarray | None, length: int) -> pa.Array:
        """See `Encoder.encode`."""
        if length < _FEW and arrays:
            return self._encode_rows(arrays, null)
        if not self._wrapped:
            if not self._columns:
                return pa.nulls(length, pa.binary())
            texts = json_texts(arrays[0], self._columns[0].type)
        elif not self._columns:
            texts = pa.repeat(text_scalar("{}"), length)
        else:
            texts = self._objects(arrays)
        return null_where(texts.cast(pa.binary()), null)

    def normalise(
        self, arrays: list[pa.Array], null: np.ndarray | None
    ) -> tuple[list[pa.Array], np.ndarray | None]:
        """See `Encoder.normalise`."""
        read = arrays
        if True in self._with_doubles:
            read = [_as_read(a, c.type) for a, c in zip(arrays, self._columns, strict=True)]
        if not self._wrapped:
            if not read:
                return [], None if null is None else np.ones(len(null), bool)
            null = with_missing(read[0], null)
        return blank_out(read, null)

    def _encode_rows(self, arrays: list[pa.Array], null: np.ndarray | None) -> pa.Array:
        """The same, record by record: for a few records this is the faster way."""
        texts: list[list[str]] = []
        for column, array, (head, write) in zip(self._columns, arrays, self._writers, strict=True):
            values = to_python(array, column.type)
            if self._wrapped:
                texts.append([head + write(value) for value in values])
            else:
                texts.append(["" if value is None else write(value) for value in values])
        records: list[bytes | None] = []
        for parts in zip(*texts, strict=True):
            text = f"{{{','.join(parts)}}}" if self._wrapped else parts[0]
            records.append(text.encode("utf-8") if text else None)
        return null_where(pa.array(records, pa.binary()), null)

    def _objects(self, arrays: list[pa.Array]) -> pa.Array:
        parts: list[pa.Array | pa.Scalar] = []
        text = "{"
        for column, array in zip(self._columns, arrays, strict=True):
            text += f"{quote(column.name)}:"
            if column.type == t.STRING and array.null_count == 0:
                # The quotes join the constant text around the value.
                parts += [text_scalar(text + '"'), escape_all(array)]
                text = '",'
            else:
                values = json_texts(array, column.type)
                if values.null_count:
                    values = values.fill_null(_NULL)
                parts += [text_scalar(text), values]
                text = ","
        parts.append(text_scalar(text.removesuffix(",") + "}"))
        return pc.binary_join_element_wise(*parts, _EMPTY)


def json_texts(array: pa.Array, sql_type: t.SqlType) -> pa.Array:
    """The JSON text of each value as a string array; null stays null."""
    match sql_type:
        case t.BOOLEAN | t.INTEGER | t.BIGINT | t.DATE | t.TIME | t.TIMESTAMP:
            return array.cast(pa.string())
        case t.DOUBLE:
            return _double_texts(array)
        case t.STRING:
            return _in_quotes(escape_all(array))
        case t.BYTES:
            return _in_quotes(base64_texts(array))
        case t.Decimal():
            return decimal_texts(array, sql_type)
    write = writer(sql_type)
    values = to_python(array, sql_type)
    return pa.array([None if v is None else write(v) for v in values], pa.string())


def decimal_texts(array: pa.Array, sql_type: t.Decimal) -> pa.Array:
    """Each DECIMAL without exponent, with all digits of its scale."""
    if 0 <= sql_type.scale <= _WIDEST_PLAIN_SCALE:
        return array.cast(pa.string())
    texts = [None if v is None else decimal_to_text(v) for v in array.to_pylist()]
    return pa.array(texts, pa.string())


def base64_texts(array: pa.Array) -> pa.Array:
    """Each BYTES value in base64."""
    texts = [None if v is None else b64encode(v).decode("ascii") for v in array.to_pylist()]
    return pa.array(texts, pa.string())


def escape_all(array: pa.Array) -> pa.Array:
    """The strings as they stand between quotes; an array that needs no escapes is returned."""
    used = used_bytes(array)
    if len(used) == 0:
        return array
    if used.min() < _FIRST_PRINTABLE:
        rows = pa.array(true_mask(pc.match_substring_regex(array, _NEEDS_ESCAPE)))
        texts = [escape(text) for text in array.filter(rows).to_pylist()]
        return pc.replace_with_mask(array, rows, pa.array(texts, pa.string()))
    if holds_byte(array, _BACKSLASH):
        array = pc.replace_substring(array, "\\", "\\\\")
    if holds_byte(array, _QUOTE):
        array = pc.replace_substring(array, '"', '\\"')
    return array


def _double_texts(array: pa.Array) -> pa.Array:
    texts = doubles_to_text(array)
    finite = pc.is_finite(array)
    if pc.all(finite).as_py():
        return texts
    return pc.if_else(finite, texts, _in_quotes(texts))


def _in_quotes(array: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(_MARK, array, _MARK, _EMPTY)


def _as_read(array: pa.Array, sql_type: t.SqlType) -> pa.Array:
    """The column after a round trip: a reader knows no negative zero."""
    if sql_type == t.DOUBLE:
        return pc.add(array, ZERO)
    match sql_type:
        case t.Array(item) if _holds_double(item):
            values = _as_read(array.values, item)
            return pa.ListArray.from_arrays(array.offsets, values, mask=_null_mask(array))
        case t.Map(_, item) if _holds_double(item):
            items = _as_read(array.items, item)
            return pa.MapArray.from_arrays(array.offsets, array.keys, items, mask=_null_mask(array))
        case t.Struct(fields) if _holds_double(sql_type):
            parts = [_as_read(array.field(i), f.type) for i, f in enumerate(fields)]
            names = [f.name for f in fields]
            return pa.StructArray.from_arrays(parts, names=names, mask=_null_mask(array))
    return array


def _null_mask(array: pa.Array) -> pa.Array | None:
    return array.is_null() if array.null_count else None


def _holds_double(sql_type: t.SqlType) -> bool:
    match sql_type:
        case t.DOUBLE:
            return True
        case t.Array(item) | t.Map(_, item):
            return _holds_double(item)
        case t.Struct(fields):
            return any(_holds_double(f.type) for f in fields)
    return False
