"""CAST of one value: every pair of types, as ksqlDB converts them.

Numbers to whole numbers truncate (DOUBLE saturates, DECIMAL and BIGINT keep the low bits); to
DECIMAL rounds half up, and too many digits before the point are a failure.
"""

from __future__ import annotations

import base64
import decimal
import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from millstream import types as t
from millstream.columns.java_text import decimal_to_text, double_to_text
from millstream.engine.expressions.arithmetic import DECIMAL_CONTEXT, check_precision, wrap
from millstream.engine.expressions.base import EvaluationFailure
from millstream.functions import time_text

Caster = Callable[[Any], Any]
"""Converts a value that is not null; raises where it does not convert."""

JAVA_WHITESPACE = "".join(map(chr, range(33)))
"""What Java's `trim` takes away."""

_INTEGER = re.compile(r"[+-]?\d+\Z")
_DOUBLE = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[dDfF]?\Z", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z")
_MOST_DIGITS = 4_000
_LONGEST_SHOWN = 60
"""Python reads no number of more digits."""
_LIMITS: dict[t.SqlType, int] = {t.INTEGER: 2**31, t.BIGINT: 2**63}


def caster(source: t.SqlType, target: t.SqlType) -> Caster:
    """The conversion of `source` to `target`, a pair that `plan.coercion.castable` allows."""
    if source == target:
        return lambda value: value
    if target == t.STRING:
        return lambda value: to_text(value, source)
    match source, target:
        case t.Array(a), t.Array(b):
            item = null_safe(caster(a, b))
            return lambda value: [item(v) for v in value]
        case t.Map(ka, va), t.Map(kb, vb):
            key, inner = null_safe(caster(ka, kb)), null_safe(caster(va, vb))
            return lambda value: {key(k): inner(v) for k, v in value.items()}
        case t.Struct(), t.Struct():
            return _struct_caster(source, target)
    if source == t.STRING:
        return _from_text(target)
    if isinstance(target, t.Decimal):
        return _to_decimal(source, target)
    return _simple_caster(source, target)


def null_safe(function: Caster) -> Caster:
    """The conversion with null for null."""
    return lambda value: None if value is None else function(value)


def _struct_caster(source: t.Struct, target: t.Struct) -> Caster:
    fields: list[tuple[str, Caster]] = []
    for field in target.fields:
        mine = source.field(field.name)
        if mine is not None:
            fields.append((field.name, null_safe(caster(mine.type, field.type))))
    nothing = {f.name: None for f in target.fields}
    return lambda value: nothing | {name: convert(value[name]) for name, convert in fields}


def _simple_caster(source: t.SqlType, target: t.SqlType) -> Caster:
    if target == t.DOUBLE:
        return float
    if target in _LIMITS:
        if source == t.DOUBLE:
            return lambda value: saturated(value, target)
        return lambda value: wrap(int(value), target)
    if source == t.TIMESTAMP and target == t.DATE:
        return lambda value: value // time_text.DAY_MS
    if source == t.TIMESTAMP and target == t.TIME:
        return lambda value: value % time_text.DAY_MS
    if source == t.DATE and target == t.TIMESTAMP:
        return lambda value: value * time_text.DAY_MS
    raise TypeError(f"{source} cannot be cast to {target}")


def saturated(value: float, target: t.SqlType) -> int:
    """A DOUBLE without its fraction, held within the type; NaN is 0."""
    if value != value:
        return 0
    limit = _LIMITS[target]
    if value >= limit:
        return limit - 1
    return -limit if value <= -limit else int(value)


# --- from text ---


def _from_text(target: t.SqlType) -> Caster:
    if isinstance(target, t.Decimal):
        return lambda text: _rounded(parse_decimal(text), target)
    forms: dict[t.SqlType, Caster] = {
        t.BOOLEAN: parse_boolean,
        t.INTEGER: lambda text: parse_integer(text, t.INTEGER),
        t.BIGINT: lambda text: parse_integer(text, t.BIGINT),
        t.DOUBLE: parse_double,
        t.DATE: time_text.parse_date,
        t.TIME: time_text.parse_time,
        t.TIMESTAMP: time_text.parse_timestamp,
        t.BYTES: lambda text: base64.b64decode(text, validate=True),
    }
    return forms[target]


def _quoted(text: str) -> str:
    """A text in a message, cut where it is long."""
    return f"'{text}'" if len(text) <= _LONGEST_SHOWN else f"'{text[:_LONGEST_SHOWN]}…'"


def parse_boolean(text: str) -> bool:
    """Whether the text is a beginning of true or yes."""
    word = text.strip(JAVA_WHITESPACE).lower()
    return word != "" and ("true".startswith(word) or "yes".startswith(word))


def parse_integer(text: str, target: t.SqlType) -> int:
    """A whole number within the type."""
    trimmed = text.strip(JAVA_WHITESPACE)
    if _INTEGER.match(trimmed) is None:
        raise EvaluationFailure(f"{_quoted(text)} does not read as {target}")
    digits = trimmed.lstrip("+-").lstrip("0")
    if len(digits) > _MOST_DIGITS:
        raise EvaluationFailure(f"{_quoted(text)} is out of the range of {target}")
    value = int(digits or "0") * (-1 if trimmed[0] == "-" else 1)
    if not -_LIMITS[target] <= value < _LIMITS[target]:
        raise EvaluationFailure(f"{_quoted(text)} is out of the range of {target}")
    return value


def parse_double(text: str) -> float:
    """A finite DOUBLE."""
    match = _DOUBLE.match(text.strip(JAVA_WHITESPACE))
    if match is None:
        raise EvaluationFailure(f"{_quoted(text)} does not read as DOUBLE")
    value = float(match[1])
    if math.isinf(value):
        raise EvaluationFailure(f"{_quoted(text)} is out of the range of DOUBLE")
    return value


def parse_decimal(text: str) -> Decimal:
    """An exact number."""
    trimmed = text.strip(JAVA_WHITESPACE)
    if _DECIMAL.match(trimmed) is None:
        raise EvaluationFailure(f"{_quoted(text)} does not read as DECIMAL")
    return Decimal(trimmed)


# --- to DECIMAL ---


def _to_decimal(source: t.SqlType, target: t.Decimal) -> Caster:
    if source == t.DOUBLE:
        return lambda value: _rounded(_significant(value, target), target)
    return lambda value: _rounded(Decimal(value), target)


def _significant(value: float, target: t.Decimal) -> Decimal:
    """The exact value of a DOUBLE in as many digits as the type has."""
    if not math.isfinite(value):
        raise EvaluationFailure(f"{double_to_text(value)} has no DECIMAL")
    context = decimal.Context(prec=target.precision, rounding=decimal.ROUND_HALF_UP)
    return context.create_decimal(Decimal(value))


def _rounded(value: Decimal, target: t.Decimal) -> Decimal:
    """The value in the type's scale, half up; a failure where it is too large."""
    check_precision(value, target)
    context = DECIMAL_CONTEXT.copy()
    context.rounding = decimal.ROUND_HALF_UP
    rounded = context.quantize(value, Decimal((0, (1,), -target.scale)))
    check_precision(rounded, target)
    return rounded


# --- to text ---


def to_text(value: Any, source: t.SqlType | None) -> str:
    """The text of a value, nested ones as Java's `toString` shows them."""
    if isinstance(source, t.Decimal):
        return decimal_to_text(value)
    if source == t.TIMESTAMP:
        return time_text.format_timestamp(value)
    if source == t.DATE:
        return time_text.format_date(value)
    if source == t.TIME:
        return time_text.format_time(value)
    return java_string(value, source)


def java_string(value: Any, source: t.SqlType | None) -> str:
    """What Java's `String.valueOf` gives, null included."""
    if value is None:
        return "null"
    match source:
        case t.Array(item):
            return "[" + ", ".join(java_string(v, item) for v in value) + "]"
        case t.Map(key, inner):
            entries = (f"{java_string(k, key)}={java_string(v, inner)}" for k, v in value.items())
            return "{" + ", ".join(entries) + "}"
        case t.Struct(fields):
            present = (f for f in fields if value[f.name] is not None)
            shown = (f"{f.name}={java_string(value[f.name], f.type)}" for f in present)
            return "Struct{" + ",".join(shown) + "}"
        case t.Primitive("BOOLEAN"):
            return "true" if value else "false"
        case t.Primitive("DOUBLE"):
            return double_to_text(value)
        case t.Primitive("BYTES"):
            return base64.b64encode(value).decode("ascii")
        case t.Primitive("DATE" | "TIME" | "TIMESTAMP"):
            return to_text(value, source)
    return str(value)
