"""JSON text of single values, and the text that a JSON value becomes in a STRING column."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from millstream import types as t
from millstream.columns.java_text import decimal_to_text, double_to_text

_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_ESCAPES = {chr(code): f"\\u{code:04X}" for code in range(0x20)} | {
    '"': '\\"',
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}


def escape(text: str) -> str:
    """The text as it stands between the quotes of a JSON string; only what must be is escaped."""
    return _ESCAPED.sub(lambda match: _ESCAPES[match[0]], text)


def quote(text: str) -> str:
    """The text as a JSON string."""
    return f'"{escape(text)}"'


def double_text(value: float) -> str:
    """A DOUBLE in JSON: Java's text; what is not finite stands in quotes."""
    text = double_to_text(value)
    return text if text[-1].isdigit() else f'"{text}"'


def text_of(value: Any) -> str:
    """What a decoded JSON value becomes in a STRING column.

    A string is itself, a number keeps its text, an object is its compact JSON text, and an array
    is listed as Java lists it: `[a, b, null]`, its items by the same rule.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        items = []
        for item in value:  # a loop costs one frame a level, a generator would cost two
            items.append("null" if item is None else text_of(item))
        return f"[{', '.join(items)}]"
    return compact(value)


def compact(value: Any) -> str:
    """The compact JSON text of a decoded JSON value, members in their order."""
    parts: list[str] = []
    _write(value, parts)
    return "".join(parts)


def _write(value: Any, parts: list[str]) -> None:
    if value is None:
        parts.append("null")
    elif isinstance(value, bool):
        parts.append("true" if value else "false")
    elif isinstance(value, str):
        parts.append(quote(value))
    elif isinstance(value, dict):
        separator = "{"
        for key, member in value.items():
            parts.append(f"{separator}{quote(key)}:")
            _write(member, parts)
            separator = ","
        parts.append("}" if value else "{}")
    elif isinstance(value, list):
        separator = "["
        for item in value:
            parts.append(separator)
            _write(item, parts)
            separator = ","
        parts.append("]" if value else "[]")
    elif isinstance(value, Decimal):
        parts.append(number_text(value))
    else:
        parts.append(str(value))


def number_text(value: Decimal) -> str:
    """A number as `BigDecimal.toString` gives it; Java's decimals know no negative zero."""
    return str(value.copy_abs() if value.is_zero() else value)


def writer(sql_type: t.SqlType) -> Callable[[Any], str]:
    """A function from a Python value of the type (null is None) to its JSON text."""
    write = _value_writer(sql_type)
    return lambda value: "null" if value is None else write(value)


def _value_writer(sql_type: t.SqlType) -> Callable[[Any], str]:
    match sql_type:
        case t.BOOLEAN:
            return lambda value: "true" if value else "false"
        case t.DOUBLE:
            return double_text
        case t.STRING:
            return quote
        case t.BYTES:
            return lambda value: f'"{b64encode(value).decode("ascii")}"'
        case t.Decimal():
            return decimal_to_text
        case t.Array(item):
            write_item = writer(item)
            return lambda value: "[" + ",".join(map(write_item, value)) + "]"
        case t.Map(_, item):
            write_item = writer(item)
            return lambda value: (
                "{" + ",".join(f"{quote(k)}:{write_item(v)}" for k, v in value.items()) + "}"
            )
        case t.Struct(fields):
            parts = [(f"{quote(f.name)}:", f.name, writer(f.type)) for f in fields]
            return lambda value: (
                "{" + ",".join(head + write(value[name]) for head, name, write in parts) + "}"
            )
    return str
