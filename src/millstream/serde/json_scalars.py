"""Texts of JSON values to columns, where a whole column can be proven plain.

A value is a string's content (without escapes) or bare (a number, true, false, null). Whatever is
not proven to come out as the row decoder has it is reported, and left to the row decoder.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.columns.arrow import nulls, true_mask
from millstream.serde.arrays import ZERO, equals, nullify, offsets_and_data
from millstream.serde.text_columns import values_of

_INTEGER = r"\A(?:0|-?[1-9][0-9]{0,17})\z"
_NUMBER = r"\A-?(?:0|[1-9][0-9]{0,200})(?:\.[0-9]{1,200})?(?:[eE][+-]?[0-9]{1,3})?\z"
_SCALAR = rf"{_NUMBER}|\A(?:true|false|null)\z"

_LONGEST_NUMBER = 200
_DIGIT, _MINUS, _POINT = 1, 2, 4
_CLASS = np.zeros(256, np.uint8)
_CLASS[ord("0") : ord("9") + 1] = _DIGIT
_CLASS[ord("-")] = _MINUS
_CLASS[ord(".")] = _POINT


def column_of(
    texts: pa.Array, bare: np.ndarray, sql_type: t.SqlType
) -> tuple[pa.Array, np.ndarray | None]:
    """The column, and a mask of the rows that are not proven (null in the column), or None.

    `texts` is a string array, null where the record has no such value; `bare` marks bare texts.
    """
    match sql_type:
        case t.STRING:
            return _strings(texts, bare)
        case t.BOOLEAN:
            return _booleans(texts, bare)
        case t.Array() | t.Map() | t.Struct():
            return _nothing(texts, bare, sql_type)
        case t.BYTES:
            if bare.any():
                kept, unproven = _without_bare(texts, bare)
                return _checked(kept, sql_type, unproven)
            return _checked(texts, sql_type, np.zeros(len(texts), bool))
    return _numbers(texts, bare, sql_type)


def scalars(texts: pa.Array) -> np.ndarray | None:
    """A mask of the bare texts that are not proven to be JSON scalars, or None where all are."""
    if _all_plain_numbers(texts):
        return None
    unproven: np.ndarray = ~true_mask(pc.match_substring_regex(texts, _SCALAR))
    return unproven if unproven.any() else None


def _strings(texts: pa.Array, bare: np.ndarray) -> tuple[pa.Array, np.ndarray | None]:
    if not bare.any():
        return texts, None
    rows = np.flatnonzero(bare)
    found = texts.take(pa.array(rows))
    kept = true_mask(pc.match_substring_regex(found, rf"{_INTEGER}|\A(?:true|false)\z"))
    empty = equals(found, "null")
    unproven = np.zeros(len(texts), bool)
    unproven[rows[~kept & ~empty]] = True
    gone = unproven.copy()
    gone[rows[empty]] = True
    return nullify(texts, gone), unproven if unproven.any() else None


def _booleans(texts: pa.Array, bare: np.ndarray) -> tuple[pa.Array, np.ndarray | None]:
    true = equals(texts, "true") & bare
    false = equals(texts, "false") & bare
    empty = ~np.asarray(texts.is_valid()) | (equals(texts, "null") & bare)
    unproven = ~(true | false | empty)
    return pa.array(true, mask=~(true | false)), unproven if unproven.any() else None


def _nothing(
    texts: pa.Array, bare: np.ndarray, sql_type: t.SqlType
) -> tuple[pa.Array, np.ndarray | None]:
    """A nested type: no scalar but null fits it."""
    empty = equals(texts, "null") & bare
    unproven = np.asarray(texts.is_valid()) & ~empty
    return nulls(sql_type, len(texts)), unproven if unproven.any() else None


def _without_bare(texts: pa.Array, bare: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    unproven = bare & ~equals(texts, "null")
    return nullify(texts, bare), unproven


def _numbers(
    texts: pa.Array, bare: np.ndarray, sql_type: t.SqlType
) -> tuple[pa.Array, np.ndarray | None]:
    """A numeric column; the rules for numbers in strings are those of `text_columns`."""
    if bare.any():
        found = texts if bare.all() else texts.filter(pa.array(bare))
        if not _all_plain_numbers(found):
            return _mixed_numbers(texts, bare, sql_type)
    array, unproven = _checked(texts, sql_type, np.zeros(len(texts), bool))
    return _positive_zero(array, bare, sql_type), unproven


def _mixed_numbers(
    texts: pa.Array, bare: np.ndarray, sql_type: t.SqlType
) -> tuple[pa.Array, np.ndarray | None]:
    empty = equals(texts, "null") & bare
    number = true_mask(pc.match_substring_regex(texts, _NUMBER))
    unproven = bare & ~empty & ~number
    array, unproven_too = _checked(nullify(texts, empty | unproven), sql_type, unproven)
    return _positive_zero(array, bare, sql_type), unproven_too


def _checked(
    texts: pa.Array, sql_type: t.SqlType, unproven: np.ndarray
) -> tuple[pa.Array, np.ndarray | None]:
    array, bad = values_of(texts, sql_type)
    unproven[bad] = True
    return array, unproven if unproven.any() else None


def _positive_zero(array: pa.Array, bare: np.ndarray, sql_type: t.SqlType) -> pa.Array:
    if sql_type != t.DOUBLE or not bare.any():
        return array
    positive = pc.add(array, ZERO)
    return positive if bare.all() else pc.if_else(pa.array(bare), positive, array)


def _all_plain_numbers(texts: pa.Array) -> bool:
    """Whether all texts (none is null) are JSON numbers without exponent, by a look at bytes."""
    offsets, data = offsets_and_data(texts)
    starts, ends = offsets[:-1], offsets[1:]
    if len(starts) == 0:
        return True
    lengths = ends - starts
    if texts.null_count or lengths.min() < 1 or lengths.max() > _LONGEST_NUMBER:
        return False
    used = _CLASS[data[starts[0] : ends[-1]]]
    if not used.all():
        return False
    negative = data[starts] == ord("-")
    if np.count_nonzero(used == _MINUS) != np.count_nonzero(negative):
        return False
    heads = starts + negative
    if (heads >= ends).any():
        return False
    # What follows a leading zero; beyond the end it stands for the end itself.
    after = _CLASS[data[np.minimum(heads + 1, len(data) - 1)]]
    ended = heads + 1 == ends
    leading_zero = (data[heads] == ord("0")) & ~ended & (after != _POINT)
    if leading_zero.any():
        return False
    return used.max() != _POINT or _points_are_inside(data, used, heads, ends)


def _points_are_inside(
    data: np.ndarray, used: np.ndarray, heads: np.ndarray, ends: np.ndarray
) -> bool:
    """At most one point a text, with digits on both sides."""
    if (data[heads] == ord(".")).any() or (data[ends - 1] == ord(".")).any():
        return False
    points = np.flatnonzero(used == _POINT)
    base = ends[-1] - len(used)
    rows = np.searchsorted(ends, points + base, side="right")
    return not (np.diff(rows) == 0).any()
