"""Columns of texts to columns of values, by the rules of `text_numbers`.

Where a look at the bytes proves that Arrow's own parser agrees with those rules, a whole column is
cast at once; otherwise its texts go through Python one by one.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.columns.arrow import arrow_type, from_python
from millstream.serde import text_numbers as numbers
from millstream.serde.arrays import offsets_and_data

_BOUNDS: dict[t.SqlType, tuple[int, int]] = {
    t.INTEGER: numbers.INT_RANGE,
    t.BIGINT: numbers.BIGINT_RANGE,
    t.DATE: numbers.INT_RANGE,
    t.TIME: numbers.TIME_RANGE,
    t.TIMESTAMP: numbers.BIGINT_RANGE,
}
_LONGEST_INTEGER = 18
_LONGEST_NUMBER = 200
_DIGIT = 1
_MINUS = 2
_POINT = 4
_CLASS = np.zeros(256, np.uint8)
_CLASS[ord("0") : ord("9") + 1] = _DIGIT
_CLASS[ord("-")] = _MINUS
_CLASS[ord(".")] = _POINT


def values_of(texts: pa.Array, sql_type: t.SqlType) -> tuple[pa.Array, list[int]]:
    """The values in a string array, and the rows whose text is no value of the type (null there).

    BOOLEAN is true for `true` in any case, else false. Nested types have no texts.
    """
    if sql_type == t.STRING:
        return texts, []
    cast = _cast(texts, sql_type)
    if cast is not None:
        return cast, []
    parse = _parser(sql_type)
    values: list[Any] = []
    bad: list[int] = []
    for row, text in enumerate(texts.to_pylist()):
        value = None if text is None else parse(text)
        if value is None and text is not None:
            bad.append(row)
        values.append(value)
    return from_python(values, sql_type), bad


def _cast(texts: pa.Array, sql_type: t.SqlType) -> pa.Array | None:
    """The whole column by Arrow's parser, or None where it might not agree."""
    integers = sql_type in _BOUNDS and sql_type != t.TIME
    if not integers and sql_type != t.DOUBLE and not isinstance(sql_type, t.Decimal):
        return None
    offsets, data = offsets_and_data(texts)
    used = data[offsets[0] : offsets[-1]]
    longest = _LONGEST_INTEGER if integers else _LONGEST_NUMBER
    if len(used) == 0 or np.diff(offsets).max() > longest:
        return None
    classes = _CLASS[used]
    if not classes.all() or (integers and classes.max() == _POINT):
        return None
    try:
        return texts.cast(arrow_type(sql_type))
    except pa.ArrowInvalid:
        return None


def _parser(sql_type: t.SqlType) -> Callable[[str], Any]:
    bounds = _BOUNDS.get(sql_type)
    if bounds is not None:
        return lambda text: numbers.parse_integer(text, bounds)
    match sql_type:
        case t.BOOLEAN:
            return lambda text: text.lower() == "true"
        case t.DOUBLE:
            return numbers.parse_double
        case t.BYTES:
            return _parse_bytes
        case t.Decimal(precision, scale):
            return lambda text: _parse_decimal(text, precision, scale)
    raise TypeError(f"{sql_type} has no text form")


def _parse_bytes(text: str) -> bytes | None:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _parse_decimal(text: str, precision: int, scale: int) -> Any:
    value = numbers.parse_decimal(text)
    return None if value is None else numbers.fit_decimal(value, precision, scale)
