"""From a decoded JSON value to a column's value: the rules of ksqlDB's JSON format by SQL type.

| SQL type | takes |
|---|---|
| BOOLEAN | booleans |
| INTEGER, BIGINT | numbers (digits behind the point are cut off), integers in strings |
| DOUBLE | numbers, numbers in strings |
| DECIMAL | numbers and numbers in strings that fit without loss |
| STRING | anything (`json_text.text_of`) |
| BYTES | strings in base64 |
| DATE, TIME, TIMESTAMP | as BIGINT: days, milliseconds of the day, milliseconds |
| ARRAY, MAP, STRUCT | arrays, objects, objects; names in a struct as in the record itself |

A null anywhere is null. Where ksqlDB lets Java cut high bits off a number that is too large for its
column, or makes it infinite, the record is bad here: a wrong number would go unnoticed.
"""

from __future__ import annotations

import binascii
import math
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from millstream import types as t
from millstream.serde import text_numbers as numbers
from millstream.serde.json_text import compact, text_of

Converter = Callable[[Any], Any]
"""Takes a decoded JSON value other than null; raises `Mismatch`."""

MISSING = object()
"""Stands for a name that a record does not have."""

_LONGEST_SHOWN = 60


class Mismatch(Exception):
    """A value that its column cannot take: the way to it, what was expected, what was found."""

    def __init__(self, expected: str, found: Any, problem: str = "") -> None:
        super().__init__(expected)
        self.path = ""
        self.expected = expected
        self.found = found
        self.problem = problem

    def within(self, step: str) -> Mismatch:
        """The same mismatch seen from one level further out."""
        self.path = step + self.path
        return self

    def sentence(self) -> str:
        """What is wrong, in a sentence."""
        where = f"Column {self.path} takes" if self.path else "The record should be"
        problem = f", {self.problem}" if self.problem else ""
        return f"{where} {self.expected}, but the record has {describe(self.found)}{problem}."


def describe(value: Any) -> str:
    """A decoded JSON value as a sentence names it, cut where it is long."""
    try:
        return _describe(value)
    except RecursionError:
        return "a deeply nested value"


def _describe(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the boolean {compact(value)}"
    if isinstance(value, dict):
        return f"the object {_cut(compact(value))}"
    if isinstance(value, list):
        return f"the array {_cut(compact(value))}"
    if isinstance(value, str):
        return f'the text "{_cut(value)}"'
    return f"the number {_cut(compact(value))}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def locate(members: Mapping[str, int], name: str) -> int | None:
    """What stands under a name, as `record_reader` finds it: exactly, else the last whose upper
    case is the name, else None."""
    found = members.get(name)
    if found is None:
        for key, member in members.items():
            if key.upper() == name:
                found = member
    return found


def record_reader(
    columns: Sequence[tuple[str, t.SqlType]],
) -> Callable[[dict[str, Any]], list[Any]]:
    """A function from a JSON object to the values of the named columns, in their order."""
    parts = [(name, converter(sql_type)) for name, sql_type in columns]

    def read(record: dict[str, Any]) -> list[Any]:
        values: list[Any] = []
        upper: dict[str, Any] | None = None
        for name, convert in parts:
            value = record.get(name, MISSING)
            if value is MISSING:
                if upper is None:
                    upper = {key.upper(): found for key, found in record.items()}
                value = upper.get(name)
            if value is not None:
                try:
                    value = convert(value)
                except Mismatch as mismatch:
                    raise mismatch.within(name) from None
            values.append(value)
        return values

    return read


def converter(sql_type: t.SqlType) -> Converter:
    """The function that makes a JSON value (not null) a value of the type."""
    match sql_type:
        case t.Primitive():
            return _PRIMITIVE[sql_type]
        case t.Decimal(precision, scale):
            return _decimal(sql_type, precision, scale)
        case t.Array(item):
            return _array(sql_type, converter(item))
        case t.Map(_, item):
            return _map(sql_type, converter(item))
        case t.Struct():
            return _struct(sql_type)
    raise TypeError(f"JSON has no form of {sql_type}")


def _boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise Mismatch("a BOOLEAN", value)


def _integer(noun: str, bounds: tuple[int, int]) -> Converter:
    low, high = bounds

    def convert(value: Any) -> int:
        kind = type(value)
        if kind is int:
            number = value
        elif kind is str:
            parsed = numbers.parse_integer(value, bounds)
            if parsed is None:
                raise Mismatch(noun, value)
            return parsed
        elif kind is Decimal:
            if value.adjusted() > 19 and not value.is_zero():
                raise Mismatch(noun, value, "which is out of range")
            number = int(value)
        else:
            raise Mismatch(noun, value)
        if low <= number <= high:
            return int(number)
        raise Mismatch(noun, value, "which is out of range")

    return convert


def _double(value: Any) -> float:
    kind = type(value)
    if kind is Decimal or kind is int:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isinf(number):
            raise Mismatch("a DOUBLE", value, "which is out of range")
        # Java reads JSON numbers as BigDecimal, which has no negative zero.
        return number + 0.0
    if kind is str:
        parsed = numbers.parse_double(value)
        if parsed is not None:
            return parsed
    raise Mismatch("a DOUBLE", value)


def _bytes(value: Any) -> bytes:
    if type(value) is str:
        try:
            return b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise Mismatch("BYTES in base64", value) from None
    raise Mismatch("BYTES in base64", value)


def _decimal(sql_type: t.SqlType, precision: int, scale: int) -> Converter:
    noun = f"a {sql_type}"

    def convert(value: Any) -> Decimal:
        kind = type(value)
        number: Decimal | None
        if kind is Decimal:
            number = value
        elif kind is int:
            number = Decimal(value)
        elif kind is str:
            number = numbers.parse_decimal(value)
        else:
            number = None
        if number is None:
            raise Mismatch(noun, value)
        fitted = numbers.fit_decimal(number, precision, scale)
        if fitted is None:
            raise Mismatch(noun, value, "which does not fit without loss")
        return fitted

    return convert


def _array(sql_type: t.SqlType, convert_item: Converter) -> Converter:
    def convert(value: Any) -> list[Any]:
        if type(value) is not list:
            raise Mismatch(f"an {sql_type}", value)
        items: list[Any] = []
        for item in value:
            if item is not None:
                try:
                    item = convert_item(item)
                except Mismatch as mismatch:
                    raise mismatch.within(f"[{len(items) + 1}]") from None
            items.append(item)
        return items

    return convert


def _map(sql_type: t.SqlType, convert_item: Converter) -> Converter:
    def convert(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise Mismatch(f"a {sql_type}", value)
        items: dict[str, Any] = {}
        for key, item in value.items():
            if item is not None:
                try:
                    item = convert_item(item)
                except Mismatch as mismatch:
                    raise mismatch.within(f"['{_cut(key)}']") from None
            items[key] = item
        return items

    return convert


def _struct(sql_type: t.Struct) -> Converter:
    names = [f.name for f in sql_type.fields]
    read = record_reader([(f.name, f.type) for f in sql_type.fields])

    def convert(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise Mismatch(f"a {sql_type}", value)
        try:
            return dict(zip(names, read(value), strict=True))
        except Mismatch as mismatch:
            raise mismatch.within("->") from None

    return convert


_PRIMITIVE: dict[t.Primitive, Converter] = {
    t.BOOLEAN: _boolean,
    t.INTEGER: _integer("an INTEGER", numbers.INT_RANGE),
    t.BIGINT: _integer("a BIGINT", numbers.BIGINT_RANGE),
    t.DOUBLE: _double,
    t.STRING: text_of,
    t.BYTES: _bytes,
    t.DATE: _integer("a DATE (days since 1970)", numbers.INT_RANGE),
    t.TIME: _integer("a TIME (milliseconds of the day)", numbers.TIME_RANGE),
    t.TIMESTAMP: _integer("a TIMESTAMP (milliseconds since 1970)", numbers.BIGINT_RANGE),
}
