"""Functions of text: case, parts, joining, padding, searching, splitting.

Lengths and positions count UTF-16 units, as Java does; they differ from characters only where a
text holds characters beyond U+FFFF.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.functions.limits import check_length
from millstream.functions.registry import ArrayOf, ScalarFunction, Variant

S, I, B = t.STRING, t.INTEGER, t.BYTES  # noqa: E741
JAVA_WHITESPACE = "".join(map(chr, range(33)))
"""What Java's `trim` takes away."""
_MAX_BMP_BYTE = 0xEF
_EMPTY = pa.scalar("", pa.string())


def text_bytes(array: pa.Array) -> np.ndarray:
    """The UTF-8 bytes of an array's texts, nulls' leftovers included."""
    _, offsets_buffer, data = array.buffers()
    if data is None or len(array) == 0:
        return np.zeros(0, np.uint8)
    offsets = np.frombuffer(offsets_buffer, np.int32)
    start, end = int(offsets[array.offset]), int(offsets[array.offset + len(array)])
    return np.frombuffer(data, np.uint8)[start:end]


def has_astral(array: pa.Array) -> bool:
    """Whether a text holds a character that takes two UTF-16 units."""
    raw = text_bytes(array)
    return bool(len(raw)) and int(raw.max()) > _MAX_BMP_BYTE


def is_ascii(array: pa.Array) -> bool:
    """Whether all texts are ASCII."""
    raw = text_bytes(array)
    return not len(raw) or int(raw.max()) < 128


def utf16_length(text: str) -> int:
    """The number of UTF-16 units of a text."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def utf16_slice(text: str, start: int, end: int) -> str:
    """The UTF-16 units from `start` to before `end`."""
    if text.isascii() or utf16_length(text) == len(text):
        return text[start:end]
    units = text.encode("utf-16-le", "surrogatepass")[2 * start : 2 * end]
    return units.decode("utf-16-le", "replace")


def by_row(function: Callable[..., object], sql_type: pa.DataType) -> Callable[..., pa.Array]:
    """A columnar form that asks the row form, for arrays where the fast one is not equal."""

    def apply(*arrays: pa.Array) -> pa.Array:
        rows = zip(*(a.to_pylist() for a in arrays), strict=True)
        return pa.array([None if None in r else function(*r) for r in rows], sql_type)

    return apply


# --- case and length ---


def _upper(array: pa.Array) -> pa.Array:
    return pc.ascii_upper(array) if is_ascii(array) else by_row(str.upper, pa.string())(array)


def _lower(array: pa.Array) -> pa.Array:
    return pc.ascii_lower(array) if is_ascii(array) else by_row(str.lower, pa.string())(array)


def _length(array: pa.Array) -> pa.Array:
    if has_astral(array):
        return by_row(utf16_length, pa.int32())(array)
    return pc.utf8_length(array)


def _trim(text: str) -> str:
    return text.strip(JAVA_WHITESPACE)


def _trim_column(array: pa.Array) -> pa.Array:
    return pc.utf8_trim(array, characters=JAVA_WHITESPACE)


_WORD = re.compile(r"[^ \t\n\x0b\f\r]+[ \t\n\x0b\f\r]*")


def _initcap(text: str) -> str:
    words = _WORD.findall(text.lower())
    return "".join(w[:1].upper() + w[1:] for w in words)


# --- parts ---


def _bounds(length: int, position: int, count: int | None) -> tuple[int, int]:
    start = max(length + position, 0) if position < 0 else min(max(position - 1, 0), length)
    end = length if count is None else max(min(start + count, length), start)
    return start, end


def substring(text: str, position: int, count: int | None = None) -> str:
    """The text from a 1-based position (from the end where negative), `count` units of it."""
    start, end = _bounds(utf16_length(text), position, count)
    return utf16_slice(text, start, end)


def _substring_column(
    text: pa.Array, position: pa.Scalar, count: pa.Scalar | None = None
) -> pa.Array:
    varying = [a for a in (text, position, count) if isinstance(a, pa.Array)]
    if len(varying) > 1 or not isinstance(text, pa.Array) or has_astral(text):
        length = len(varying[0])
        arrays = [
            a if isinstance(a, pa.Array) else pa.repeat(a, length)
            for a in (text, position, count)
            if a is not None
        ]
        return by_row(substring, pa.string())(*arrays)
    start, size = position.as_py(), None if count is None else count.as_py()
    if start >= 0 or size is None:
        first = start if start < 0 else max(start - 1, 0)
        stop = None if size is None else first + max(size, 0)
        return pc.utf8_slice_codeunits(text, first, stop)
    tail = pc.utf8_slice_codeunits(text, start)
    return pc.utf8_slice_codeunits(tail, 0, max(size, 0))


def _substring_bytes(value: bytes, position: int, count: int | None = None) -> bytes:
    start, end = _bounds(len(value), position, count)
    return value[start:end]


# --- joining ---


def _concat(*parts: str | None) -> str:
    given = [p for p in parts if p is not None]
    check_length(sum(map(len, given)), max(map(len, given), default=0))
    return "".join(given)


def _concat_columns(*arrays: pa.Array) -> pa.Array:
    # With null_handling="skip" Arrow leaves rows out in which all texts are null.
    return pc.binary_join_element_wise(*arrays, _EMPTY, null_handling="replace")


def _concat_bytes(*parts: bytes | None) -> bytes:
    return b"".join(p for p in parts if p is not None)


def _concat_ws(separator: str | None, *parts: str | None) -> str | None:
    return None if separator is None else separator.join(p for p in parts if p is not None)


def _concat_ws_bytes(separator: bytes | None, *parts: bytes | None) -> bytes | None:
    return None if separator is None else separator.join(p for p in parts if p is not None)


def _replace(text: str, old: str, new: str) -> str:
    if len(new) > len(old):
        check_length(len(text) + text.count(old) * (len(new) - len(old)), len(text))
    return text.replace(old, new)


def _filler(missing: int, padding: str) -> str:
    units = utf16_length(padding)
    return utf16_slice(padding * (missing // units + 1), 0, missing)


def _left_pad(text: str, length: int, padding: str) -> str | None:
    if length < 0 or not padding:
        return None
    own = utf16_length(text)
    check_length(length, own)
    return utf16_slice(text, 0, length) if length <= own else _filler(length - own, padding) + text


def _right_pad(text: str, length: int, padding: str) -> str | None:
    if length < 0 or not padding:
        return None
    own = utf16_length(text)
    check_length(length, own)
    return utf16_slice(text, 0, length) if length <= own else text + _filler(length - own, padding)


def _left_pad_bytes(value: bytes, length: int, padding: bytes) -> bytes | None:
    if length < 0 or not padding:
        return None
    check_length(length, len(value))
    missing = max(length - len(value), 0)
    return ((padding * (missing // len(padding) + 1))[:missing] + value)[:length]


def _right_pad_bytes(value: bytes, length: int, padding: bytes) -> bytes | None:
    if length < 0 or not padding:
        return None
    check_length(length, len(value))
    missing = max(length - len(value), 0)
    return (value + (padding * (missing // len(padding) + 1))[:missing])[:length]


# --- searching and choosing ---


def _instr(text: str, part: str, position: int = 1, occurrence: int = 1) -> int:
    if abs(position) > len(text) or position == 0 or occurrence < 1:
        return 0
    if position < 0:
        found = _nth(text[::-1], part[::-1], -position - 1, occurrence)
        return 0 if found < 0 else len(text) - found - len(part) + 1
    return _nth(text, part, position - 1, occurrence) + 1


def _nth(text: str, part: str, start: int, occurrence: int) -> int:
    place = start - 1
    for _ in range(occurrence):
        place = text.find(part, place + 1)
        if place < 0:
            return -1
    return place


def _elt(place: int | None, *choices: str | None) -> str | None:
    return choices[place - 1] if place is not None and 1 <= place <= len(choices) else None


def _field(wanted: str | None, *choices: str | None) -> int:
    return choices.index(wanted) + 1 if wanted is not None and wanted in choices else 0


def _chr_of_code(code: int) -> str | None:
    return chr(code) if 0 <= code <= 0x10FFFF and not 0xD800 <= code < 0xE000 else None


_ESCAPE = re.compile(r"\\u+([0-9a-fA-F]{4})")


def _chr_of_text(text: str) -> str | None:
    if len(text) < 6 or not text.startswith("\\u"):
        return None
    units = _ESCAPE.sub(lambda m: chr(int(m[1], 16)), text)
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


# --- splitting ---


def _split(text: str, delimiter: str) -> list[str]:
    return list(text) if not delimiter and text else text.split(delimiter or "\0")


def _split_bytes(value: bytes, delimiter: bytes) -> list[bytes]:
    if not delimiter:
        return [value[i : i + 1] for i in range(len(value))] or [b""]
    return value.split(delimiter)


def _split_to_map(text: str, entry_end: str, key_end: str) -> dict[str, str] | None:
    if not entry_end or not key_end or entry_end == key_end:
        return None
    entries = (e.split(key_end) for e in text.split(entry_end) if key_end in e)
    return {parts[0]: parts[1] for parts in entries}


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _function(
    name: str, description: str, example: tuple[str, str], *variants: Variant
) -> ScalarFunction:
    return ScalarFunction(name, "string", description, variants, (example,))


FUNCTIONS = (
    _function(
        "UCASE", "The text in upper case.", ("UCASE('abc')", "'ABC'"),
        Variant((S,), S, str.upper, _upper),
    ),
    _function(
        "LCASE", "The text in lower case.", ("LCASE('ABC')", "'abc'"),
        Variant((S,), S, str.lower, _lower),
    ),
    _function(
        "INITCAP", "The text with a capital at the start of each word, the rest in lower case.",
        ("INITCAP('the QUICK fox')", "'The Quick Fox'"), Variant((S,), S, _initcap),
    ),
    _function(
        "LEN", "The length of a text in UTF-16 units, or of BYTES.", ("LEN('abc')", "3"),
        Variant((S,), I, utf16_length, _length),
        Variant((B,), I, len, pc.binary_length),
    ),
    _function(
        "TRIM", "The text without white space at its ends.", ("TRIM('  a ')", "'a'"),
        Variant((S,), S, _trim, _trim_column),
    ),
    _function(
        "SUBSTRING", "The part from a 1-based position, counted from the end where negative.",
        ("SUBSTRING('stream', 2, 3)", "'tre'"),
        Variant((S, I), S, substring, _substring_column, takes_scalars=True),
        Variant((S, I, I), S, substring, _substring_column, takes_scalars=True),
        Variant((B, I), B, _substring_bytes),
        Variant((B, I, I), B, _substring_bytes),
    ),
    _function(
        "CONCAT", "The texts one after the other; nulls are skipped.",
        ("CONCAT('a', NULL, 'b')", "'ab'"),
        Variant(
            (S,), S, _concat, _concat_columns, variadic=0, null_if_null=False, takes_scalars=True
        ),
        Variant((B,), B, _concat_bytes, variadic=0, null_if_null=False),
    ),
    _function(
        "CONCAT_WS", "The texts with the first one between them; nulls are skipped.",
        ("CONCAT_WS('-', 'a', 'b')", "'a-b'"),
        Variant((S, S), S, _concat_ws, variadic=1, null_if_null=False),
        Variant((B, B), B, _concat_ws_bytes, variadic=1, null_if_null=False),
    ),
    _function(
        "REPLACE", "The text with every occurrence of one part replaced by another.",
        ("REPLACE('banana', 'a', 'o')", "'bonono'"), Variant((S, S, S), S, _replace),
    ),
    _function(
        "LPAD", "The text filled up on the left, or cut, to a length.",
        ("LPAD('7', 3, '0')", "'007'"),
        Variant((S, I, S), S, _left_pad), Variant((B, I, B), B, _left_pad_bytes),
    ),
    _function(
        "RPAD", "The text filled up on the right, or cut, to a length.",
        ("RPAD('7', 3, '0')", "'700'"),
        Variant((S, I, S), S, _right_pad), Variant((B, I, B), B, _right_pad_bytes),
    ),
    _function(
        "INSTR", "The 1-based place of a part from a position on, its n-th occurrence; else 0.",
        ("INSTR('corporate floor', 'or', 4, 2)", "14"),
        Variant((S, S), I, _instr), Variant((S, S, I), I, _instr), Variant((S, S, I, I), I, _instr),
    ),
    _function(
        "ELT", "The n-th of the texts that follow.", ("ELT(2, 'a', 'b')", "'b'"),
        Variant((I, S), S, _elt, variadic=1, null_if_null=False),
    ),
    _function(
        "FIELD", "The place of the first text among those that follow, or 0.",
        ("FIELD('b', 'a', 'b')", "2"), Variant((S, S), I, _field, variadic=1, null_if_null=False),
    ),
    _function(
        "CHR", "The character of a code point, or of a text like \\u004b.", ("CHR(75)", "'K'"),
        Variant((I,), S, _chr_of_code), Variant((S,), S, _chr_of_text),
    ),
    _function(
        "SPLIT", "The parts between a delimiter; single characters where that is empty.",
        ("SPLIT('a,b', ',')", "['a', 'b']"),
        Variant((S, S), ArrayOf(S), _split), Variant((B, B), ArrayOf(B), _split_bytes),
    ),
    _function(
        "SPLIT_TO_MAP", "A map of the entries between one delimiter, keys ending at another.",
        ("SPLIT_TO_MAP('a:1/b:2', '/', ':')", "{'a': '1', 'b': '2'}"),
        Variant((S, S, S), t.Map(S, S), _split_to_map),
    ),
    _function(
        "MD5", "The MD5 digest of a text in hexadecimal digits.",
        ("MD5('a')", "'0cc175b9c0f1b6a831c399e269772661'"), Variant((S,), S, _md5),
    ),
)  # fmt: skip
"""The family."""
