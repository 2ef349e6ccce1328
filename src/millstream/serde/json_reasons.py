"""Why a record is not JSON, in words: what is wrong and at which byte."""

from __future__ import annotations

import re

_PLACED = re.compile(r"JSON is malformed: (.*) \(byte (\d+)\)\Z", re.DOTALL)
_HALF_AT_END = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}[^\\]{0,6}\Z")
_HALF = "half of a surrogate pair stands alone in a text"

_REASONS = {
    "trailing characters": "something follows behind its end",
    "trailing comma in array": "nothing follows a comma of an array",
    "trailing comma in object": "nothing follows a comma of an object",
    "expected ',' or ']'": "a comma or the end of the array is missing",
    "expected ',' or '}'": "a comma or the end of the object is missing",
    "expected ':'": "a colon is missing",
    "object keys must be strings": "a name in double quotes is missing",
    "invalid number": "a number is malformed",
    "invalid escape character in string": "a text has an unknown escape",
    "invalid escaped character": "a text has an unknown escape",
    "invalid character in unicode escape": "a \\u escape needs four hexadecimal digits",
    "unexpected end of hex escape": "a \\u escape needs four hexadecimal digits",
    "invalid utf-16 surrogate pair": _HALF,
    "unexpected end of escaped utf-16 surrogate pair": _HALF,
}
"""The parser's reasons, in our words."""
_ONE_PAST = (
    "trailing characters",
    "invalid escape character in string",
    "invalid character in unicode escape",
)
"""Reasons that the parser gives when it has taken the character."""


def sentence(error: Exception, data: bytes) -> str:
    """What an error of the parser says of a record."""
    return f"The record is not valid JSON: {_reason(error, data)}."


def _reason(error: Exception, data: bytes) -> str:
    if isinstance(error, UnicodeDecodeError):
        return _not_utf8(data)
    if isinstance(error, ArithmeticError):
        return "a number has too large an exponent"
    told = str(error)
    placed = _PLACED.match(told)
    if placed is None:
        if "out of range" in told:
            return "a number is too large"
        return _early_end(data)
    at = int(placed[2])
    known = _REASONS.get(placed[1])
    if known is None:
        if at >= len(data):
            return f"it ends too early, at byte {len(data)}"
        return f"unexpected {_character(data, at)} at byte {at}"
    return f"{known} at byte {at - (placed[1] in _ONE_PAST)}"


def _early_end(data: bytes) -> str:
    if not data.strip():
        return "it is empty"
    if _HALF_AT_END.search(data) is not None:
        return _HALF
    return f"it ends too early, at byte {len(data)}"


def _not_utf8(data: bytes) -> str:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"it is not UTF-8 at byte {error.start}"
    return "it is not UTF-8"


def _character(data: bytes, at: int) -> str:
    text = data[at : at + 4].decode("utf-8", "replace")[:1]
    return f"character {text}" if text.isprintable() and text != "\ufffd" else f"0x{data[at]:02x}"
