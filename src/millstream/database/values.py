"""Python values that people insert, as the columns of a stream or table hold them.

| SQL type | takes |
|---|---|
| BOOLEAN | bool |
| INTEGER, BIGINT | int, and float or Decimal without a fraction, within 32 or 64 bits |
| DOUBLE | float, int, Decimal |
| DECIMAL | Decimal, int, float and text, where they fit without loss |
| STRING | str, and bytes that are UTF-8 |
| BYTES | bytes, and str as its UTF-8 bytes |
| DATE | int (days since 1970), date |
| TIME | int (ms of the day), time |
| TIMESTAMP | int (ms since 1970), datetime (UTC where it names no zone) |
| ARRAY | list, tuple, NumPy array |
| MAP | dict without null keys |
| STRUCT | dict; a field is found by its name, or by its name in upper case |

None is null. What does not fit is refused; nothing is cut, rounded or left out, but for what is
below a millisecond in a time or datetime.
"""

from __future__ import annotations

import datetime
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.columns import arrow

_PLAIN: dict[t.SqlType, frozenset[type]] = {
    t.BOOLEAN: frozenset((bool,)),
    t.INTEGER: frozenset((int,)),
    t.BIGINT: frozenset((int,)),
    t.DOUBLE: frozenset((float,)),
    t.STRING: frozenset((str,)),
    t.BYTES: frozenset((bytes,)),
    t.DATE: frozenset((int,)),
    t.TIMESTAMP: frozenset((int,)),
}
"""Types of values that Arrow takes as they are, or refuses."""
_NULL = frozenset((type(None),))
_WITHOUT_CONVERTER: dict[t.SqlType, type[np.number[Any]] | None] = {
    t.INTEGER: np.int32,
    t.BIGINT: np.int64,
    t.DOUBLE: np.float64,
    t.STRING: None,
}
_FEW = 64
_LONGEST_SHOWN = 60
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MS = datetime.timedelta(milliseconds=1)
DAY_MS = 86_400_000


class Unfit(Exception):
    """A value that its column cannot hold: the way to it, what is wrong, and in which row."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.path = ""
        self.problem = problem
        self.row = 0

    def within(self, step: str) -> Unfit:
        """The same value seen from one level further out."""
        self.path = step + self.path
        return self


def column_of(values: Sequence[Any], sql_type: t.SqlType) -> pa.Array:
    """The values of one column, row by row. Raises `Unfit`; ArrowCapacityError where their texts
    are longer than 2 GB together."""
    plain = _PLAIN.get(sql_type)
    met = set(map(type, values))
    if met == _NULL:
        return arrow.nulls(sql_type, len(values))
    if plain is not None and plain.issuperset(met - _NULL):
        try:
            if met == plain and len(values) <= _FEW and sql_type in _WITHOUT_CONVERTER:
                return _few(values, sql_type)
            return arrow.from_python(values, sql_type)
        except pa.ArrowCapacityError:
            raise
        except (pa.ArrowException, ValueError, OverflowError):
            pass  # One of them is too large, or no Unicode: which one, is told below.
    convert = converter(sql_type)
    found = []
    for row, value in enumerate(values):
        try:
            found.append(None if value is None else convert(value))
        except Unfit as unfit:
            unfit.row = row
            raise
    return arrow.from_python(found, sql_type)


def _few(values: Sequence[Any], sql_type: t.SqlType) -> pa.Array:
    """A few values, none of them null, without Arrow's converters, whose code is seldom in the
    processor's caches. Raises OverflowError, UnicodeEncodeError."""
    number = _WITHOUT_CONVERTER[sql_type]
    return arrow.of_texts(values) if number is None else arrow.of_numbers(np.array(values, number))


def converter(sql_type: t.SqlType) -> Callable[[Any], Any]:
    """A function from a Python value other than None to one as `columns.arrow` documents them."""
    match sql_type:
        case t.Decimal():
            return lambda value: _decimal(value, sql_type)
        case t.Array(item):
            return _array(sql_type, converter(item))
        case t.Map(key, item):
            return _map(sql_type, converter(key), converter(item))
        case t.Struct():
            return _struct(sql_type)
    return _SCALARS[sql_type]


def show(value: object) -> str:
    """A value as a message shows it, cut where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of too many digits, a list that holds itself
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _unfit(value: object, sql_type: t.SqlType, why: str = "") -> Unfit:
    return Unfit(f"takes {sql_type}, not {show(value)}{why}")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise _unfit(value, t.BOOLEAN)


def _integer(sql_type: t.SqlType, low: int, high: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        number = _whole(value)
        if number is None:
            raise _unfit(value, sql_type)
        if not low <= number <= high:
            raise _unfit(value, sql_type, ", which is out of range")
        return number

    return convert


def _whole(value: Any) -> int | None:
    """The value as an int, None where it is no whole number."""
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, float | Decimal):
        # Nothing so large that turning it into an int takes long.
        fits = math.isfinite(value) and -(2**63) <= value <= 2**63
        return int(value) if fits and value == int(value) else None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _double(value: Any) -> float:
    if isinstance(value, int | float | Decimal | np.integer | np.floating) and not isinstance(
        value, bool
    ):
        try:
            number = float(value)
        except (OverflowError, ValueError):
            number = math.inf
        if math.isinf(number) and not (isinstance(value, float) or value in (math.inf, -math.inf)):
            raise _unfit(value, t.DOUBLE, ", which is out of range")
        return number
    raise _unfit(value, t.DOUBLE)


def _decimal(value: Any, sql_type: t.Decimal) -> Decimal:
    if isinstance(value, bool) or not isinstance(
        value, Decimal | int | float | str | np.integer | np.floating
    ):
        raise _unfit(value, sql_type)
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except (InvalidOperation, ValueError):
        raise _unfit(value, sql_type) from None
    if not number.is_finite():
        raise _unfit(value, sql_type)
    if number and number.adjusted() >= sql_type.precision - sql_type.scale:
        raise _unfit(value, sql_type, ", which is out of range")
    exact = Context(prec=sql_type.precision + 1)
    try:
        scaled = number.quantize(Decimal((0, (1,), -sql_type.scale)), context=exact)
    except InvalidOperation:
        scaled = None
    if scaled is None or scaled != number:
        raise _unfit(value, sql_type, f", which has more than {sql_type.scale} decimals")
    return scaled


def _string(value: Any) -> str:
    try:
        if isinstance(value, bytes):
            return value.decode("utf-8")
        if isinstance(value, str):
            value.encode("utf-8")
            return str(value)
    except UnicodeError:
        raise _unfit(value, t.STRING, ", which is not Unicode text") from None
    raise _unfit(value, t.STRING)


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return _string(value).encode("utf-8")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise _unfit(value, t.BYTES)


_days = _integer(t.DATE, -(2**31), 2**31 - 1)
_time_ms = _integer(t.TIME, 0, DAY_MS - 1)
_timestamp_ms = _integer(t.TIMESTAMP, -(2**63), 2**63 - 1)


def _date(value: Any) -> int:
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value.toordinal() - _EPOCH.toordinal()
    return _days(value)


def _time(value: Any) -> int:
    if isinstance(value, datetime.time) and value.tzinfo is None:
        seconds = (value.hour * 60 + value.minute) * 60 + value.second
        return seconds * 1000 + value.microsecond // 1000
    return _time_ms(value)


def _timestamp(value: Any) -> int:
    if isinstance(value, datetime.datetime):
        placed = value if value.tzinfo is not None else value.replace(tzinfo=datetime.UTC)
        return (placed - _EPOCH) // _MS
    return _timestamp_ms(value)


_SCALARS: dict[t.SqlType, Callable[[Any], Any]] = {
    t.BOOLEAN: _boolean,
    t.INTEGER: _integer(t.INTEGER, -(2**31), 2**31 - 1),
    t.BIGINT: _integer(t.BIGINT, -(2**63), 2**63 - 1),
    t.DOUBLE: _double,
    t.STRING: _string,
    t.BYTES: _bytes,
    t.DATE: _date,
    t.TIME: _time,
    t.TIMESTAMP: _timestamp,
}


def _array(sql_type: t.SqlType, convert: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    def read(value: Any) -> list[Any]:
        if not isinstance(value, list | tuple | np.ndarray):
            raise _unfit(value, sql_type)
        found = []
        for index, item in enumerate(value):
            try:
                found.append(None if item is None else convert(item))
            except Unfit as unfit:
                raise unfit.within(f"[{index + 1}]") from None
        return found

    return read


def _map(
    sql_type: t.SqlType, key_of: Callable[[Any], Any], item_of: Callable[[Any], Any]
) -> Callable[[Any], dict[Any, Any]]:
    def read(value: Any) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise _unfit(value, sql_type)
        found = {}
        for key, item in value.items():
            if key is None:
                raise Unfit("has a null key, which a MAP cannot hold")
            try:
                found[key_of(key)] = None if item is None else item_of(item)
            except Unfit as unfit:
                raise unfit.within(f"[{show(key)}]") from None
        return found

    return read


def _struct(sql_type: t.Struct) -> Callable[[Any], dict[str, Any]]:
    parts = {f.name: converter(f.type) for f in sql_type.fields}

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _unfit(value, sql_type)
        found: dict[str, Any] = dict.fromkeys(parts)
        given: set[str] = set()
        for key, item in value.items():
            name = key if key in parts else str(key).upper()
            if name not in parts:
                raise Unfit(f"has no field {show(key)}: its fields are {', '.join(parts)}")
            if name in given:
                raise Unfit(f"is given its field {name} twice")
            given.add(name)
            try:
                found[name] = None if item is None else parts[name](item)
            except Unfit as unfit:
                raise unfit.within(f"->{name}") from None
        return found

    return read
