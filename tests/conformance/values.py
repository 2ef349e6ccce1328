"""The values of test cases as bytes and back, and the rules by which values count as equal.

Nothing of Millstream's own formats is used here, so that an error in them cannot hide itself.

A value read from a record is None, a bool, an int, a Decimal (a JSON number with a point: its scale
counts), a float (where a case asks for inexact comparison, and in formats with a schema), a str,
bytes, a list, or a dict.
"""

from __future__ import annotations

import base64
import binascii
import decimal
import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from millstream import types as t

from .model import Json, Number

Actual = None | bool | int | Decimal | float | str | bytes | list["Actual"] | dict[str, "Actual"]
"""A value as it was read from a record."""

TOLERANCE = 1e-6
"""How far DOUBLEs may lie apart where they are not compared exactly."""

_INT, _LONG, _DOUBLE = struct.Struct(">i"), struct.Struct(">q"), struct.Struct(">d")


class ValueProblem(Exception):
    """A value cannot be written or read in its format."""


class FormatNotSupportedYet(ValueProblem):
    """The runner cannot write or read the format yet."""

    def __init__(self, name: str) -> None:
        super().__init__(f"records in {name} are not supported yet")


@dataclass(frozen=True)
class Side:
    """How the keys or the values of a topic are written: the format, and the columns' types."""

    format: str
    columns: tuple[t.SqlType, ...]


# --- writing -------------------------------------------------------------------------------------


def to_bytes(value: Json, side: Side) -> bytes | None:
    """An input's key or value as bytes; None where the record has none."""
    match side.format:
        case "NONE":
            return None
        case _ if value is None:
            return None
        case "JSON":
            return json_text(value).encode()
        case "DELIMITED":
            return plain_text(value).encode()
        case "KAFKA":
            return _to_kafka(value, side.columns)
    raise FormatNotSupportedYet(side.format)


def json_text(value: Json) -> str:
    """Compact JSON, numbers as they were written."""
    match value:
        case Number():
            return value.text
        case Decimal():
            return str(value)
        case list():
            return "[" + ",".join(map(json_text, value)) + "]"
        case dict():
            fields = (f"{json_text(k)}:{json_text(v)}" for k, v in value.items())
            return "{" + ",".join(fields) + "}"
    return json.dumps(value, ensure_ascii=False)


def plain_text(value: Json) -> str:
    """The text itself, or the JSON text of what is not one."""
    return value if isinstance(value, str) else json_text(value)


def _to_kafka(value: Json, columns: Sequence[t.SqlType]) -> bytes:
    column = columns[0] if columns else t.STRING
    try:
        match column:
            case t.INTEGER:
                return _INT.pack(int(plain_text(value)))
            case t.BIGINT:
                return _LONG.pack(int(plain_text(value)))
            case t.DOUBLE:
                return _DOUBLE.pack(float(plain_text(value)))
    except (ValueError, struct.error) as error:
        raise ValueProblem(f"{value!r} is not a KAFKA {column}: {error}") from error
    return plain_text(value).encode()


# --- reading -------------------------------------------------------------------------------------


def from_bytes(data: bytes | None, side: Side, *, exact: bool = True) -> Actual:
    """A record's key or value; `exact` reads JSON numbers with a point as decimals."""
    match side.format:
        case "NONE":
            if data is not None:
                raise ValueProblem("NONE must have no bytes")
            return None
        case "JSON" | "DELIMITED" | "KAFKA" if data is None:
            return None
        case "JSON":
            return _from_json(data or b"", exact)
        case "DELIMITED":
            return _utf8(data or b"")
        case "KAFKA":
            return _from_kafka(data or b"", side.columns)
    raise FormatNotSupportedYet(side.format)


def _from_json(data: bytes, exact: bool) -> Actual:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    try:
        value: Actual = json.loads(
            _utf8(data), parse_float=Decimal if exact else float, parse_constant=refuse
        )
    except ValueError as error:
        raise ValueProblem(f"{data[:80]!r} is not JSON: {error}") from error
    return value


def _from_kafka(data: bytes, columns: Sequence[t.SqlType]) -> Actual:
    column = columns[0] if columns else t.STRING
    try:
        match column:
            case t.INTEGER:
                return int(_INT.unpack(data)[0])
            case t.BIGINT:
                return int(_LONG.unpack(data)[0])
            case t.DOUBLE:
                return java_decimal(float(_DOUBLE.unpack(data)[0]))
    except struct.error as error:
        raise ValueProblem(f"{data!r} is not a KAFKA {column}: {error}") from error
    return _utf8(data)


def _utf8(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueProblem(f"{data[:80]!r} is not UTF-8") from error


def java_decimal(number: float) -> Actual:
    """The decimal that Java's text of a DOUBLE stands for (scale included), or that text."""
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else ("Infinity" if number > 0 else "-Infinity")
    shortest = Decimal(repr(number))
    if number == 0 or 1e-3 <= abs(number) < 1e7:
        return shortest if _scale(shortest) >= 1 else shortest.quantize(Decimal("0.1"))
    # Scientific, one digit before the point and at least one behind it.
    digits = len(shortest.normalize().as_tuple().digits)
    behind = max(digits - 1, 1)
    unit = Decimal(1).scaleb(shortest.adjusted() - behind)
    return _quantize(shortest, unit)


def _quantize(number: Decimal, unit: Decimal) -> Decimal:
    return number.quantize(unit, context=decimal.Context(prec=400))


def _scale(number: Decimal) -> int:
    """Digits behind the point; negative where the last digit stands for tens or more."""
    exponent = number.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


# --- comparing -----------------------------------------------------------------------------------


def difference(expected: Json, actual: Actual, path: str = "") -> str | None:
    """Where and how a value differs from what is expected, or None where it does not."""
    match expected:
        case None:
            same = actual is None
        case bool():
            same = isinstance(actual, bool) and actual == expected
        case int() | Decimal():
            same = _equal_number(expected, actual)
        case str():
            same = _equal_text(expected, actual)
        case list():
            return _list_difference(expected, actual, path)
        case dict():
            return _object_difference(expected, actual, path)
    return None if same else _told(expected, actual, path)


def _list_difference(expected: list[Json], actual: Actual, path: str) -> str | None:
    if not isinstance(actual, list) or len(actual) != len(expected):
        return _told(expected, actual, path)
    for index, (wanted, got) in enumerate(zip(expected, actual, strict=True)):
        found = difference(wanted, got, f"{path}[{index}]")
        if found is not None:
            return found
    return None


def _object_difference(expected: dict[str, Json], actual: Actual, path: str) -> str | None:
    if not isinstance(actual, dict) or len(actual) != len(expected):
        return _told(expected, actual, path)
    for name, wanted in expected.items():
        key = name if name in actual else name.upper()
        # A field that is not there reads as null, as looking it up in a Java map does.
        found = difference(wanted, actual.get(key), f"{path}.{name}")
        if found is not None:
            return found
    return None


def _equal_number(expected: int | Decimal, actual: Actual) -> bool:
    match actual:
        case bool():
            return False
        case int():
            return int(expected) == actual
        case float():
            return abs(float(expected) - actual) < TOLERANCE
        case Decimal() if isinstance(expected, Decimal):
            return actual == expected and _scale(actual) == _scale(expected)
        case Decimal():
            return _scale(actual) <= 0 and actual == expected
    return False


def _equal_text(expected: str, actual: Actual) -> bool:
    match actual:
        case str():
            return actual == expected
        case Decimal():
            try:
                return _equal_number(Decimal(expected), actual)
            except decimal.InvalidOperation:
                return False
        case bytes():
            try:
                return base64.b64decode(expected, validate=True) == actual
            except (binascii.Error, ValueError):
                return False
    return False


def _told(expected: Json, actual: Actual, path: str) -> str:
    where = f" at {path.lstrip('.')}" if path else ""
    return f"expected {_shown(expected)}, got {_shown(actual)}{where}"


def _shown(value: Json | Actual) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 160 else text[:157] + "..."
