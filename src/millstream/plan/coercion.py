"""Which types convert into which: common types, implicit widening, literals, arithmetic results.

Three strengths of conversion exist. *Implicit* is what function arguments and lists get without
being asked: INTEGER, BIGINT, DECIMAL, DOUBLE in this order, and STRING to the types of time.
*Lax* adds what literals may do: text that reads as a number or a boolean. *CAST* is everything
that the statement may ask for.
"""

from __future__ import annotations

import base64
import decimal
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from millstream import types as t
from millstream.columns.java_text import decimal_to_text, double_to_text
from millstream.errors import SemanticError
from millstream.functions.time_text import (
    DAY_MS,
    format_date,
    format_time,
    format_timestamp,
    parse_date,
    parse_time,
    parse_timestamp,
)
from millstream.plan import typed

TIME_TYPES: tuple[t.SqlType, ...] = (t.DATE, t.TIME, t.TIMESTAMP)
"""The types of time."""

_NUMBER_RANK = {"INTEGER": 0, "BIGINT": 1, "DECIMAL": 2, "DOUBLE": 3}
_INT_MAX = 2**31 - 1
_BIGINT_MAX = 2**63 - 1
_INTEGER_DIGITS = 10
_BIGINT_DIGITS = 19
MAX_DIGITS = 76
"""The most digits of a DECIMAL that columns hold; the results of arithmetic are held to it."""


def rank(sql_type: t.SqlType | None) -> int | None:
    """A numeric type's place in INTEGER, BIGINT, DECIMAL, DOUBLE; None for the rest."""
    if isinstance(sql_type, t.Decimal):
        return _NUMBER_RANK["DECIMAL"]
    return _NUMBER_RANK.get(sql_type.name) if isinstance(sql_type, t.Primitive) else None


def as_decimal(sql_type: t.SqlType) -> t.Decimal:
    """The DECIMAL that holds every value of an INTEGER, BIGINT or DECIMAL type."""
    if isinstance(sql_type, t.Decimal):
        return sql_type
    return t.Decimal(_INTEGER_DIGITS if sql_type == t.INTEGER else _BIGINT_DIGITS, 0)


def decimal_of_value(value: decimal.Decimal) -> t.Decimal:
    """The narrowest DECIMAL of a value, its scale as written."""
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"{value} is not a number")
    scale = max(-exponent, 0)
    whole = len(digits) + exponent if value else 1
    return t.Decimal(max(whole, 0) + scale or 1, scale)


def widen_decimals(left: t.Decimal, right: t.Decimal) -> t.Decimal:
    """The DECIMAL that holds all values of both."""
    scale = max(left.scale, right.scale)
    whole = max(left.precision - left.scale, right.precision - right.scale)
    return t.Decimal(whole + scale, scale)


def can_widen(source: t.SqlType, target: t.SqlType) -> bool:
    """Whether a function's argument of `source` is converted to `target` without being asked."""
    if source == target:
        return True
    source_rank, target_rank = rank(source), rank(target)
    if source_rank is not None and target_rank is not None:
        return source_rank <= target_rank
    return source == t.STRING and target in TIME_TYPES


def common_of(source: t.SqlType, target: t.SqlType, *, lax: bool = False) -> t.SqlType | None:
    """The type to which both sides convert if `source` widens into `target`, else None."""
    if source == target:
        return target
    source_rank, target_rank = rank(source), rank(target)
    if source_rank is not None and target_rank is not None:
        if source_rank > target_rank:
            return None
        if isinstance(target, t.Decimal):
            return widen_decimals(as_decimal(source), target)
        return target
    if source == t.STRING:
        if target in TIME_TYPES or target == t.BYTES or (lax and target == t.BOOLEAN):
            return target
        return target if lax and target_rank is not None else None
    if lax and target == t.STRING and _has_text(source):
        return target
    return _common_of_nested(source, target, lax)


def _has_text(sql_type: t.SqlType) -> bool:
    """Whether a literal of the type may stand where text is needed."""
    return sql_type == t.BOOLEAN or sql_type in TIME_TYPES or rank(sql_type) is not None


def _common_of_nested(source: t.SqlType, target: t.SqlType, lax: bool) -> t.SqlType | None:
    match source, target:
        case t.Array(a), t.Array(b):
            item = common_of(a, b, lax=lax)
            return None if item is None else t.Array(item)
        case t.Map(ka, va), t.Map(kb, vb):
            key, value = common_of(ka, kb, lax=lax), common_of(va, vb, lax=lax)
            return None if key is None or value is None else t.Map(key, value)
        case t.Struct(), t.Struct():
            fields = []
            for field in _united_names(source, target):
                one, other = source.field(field), target.field(field)
                if one is None or other is None:
                    fields.append(t.Field(field, (one or other).type))  # type: ignore[union-attr]
                    continue
                common = common_of(one.type, other.type, lax=lax)
                if common is None:
                    return None
                fields.append(t.Field(field, common))
            return t.Struct(tuple(fields))
    return None


def _united_names(first: t.Struct, second: t.Struct) -> list[str]:
    return list(dict.fromkeys([f.name for f in first.fields] + [f.name for f in second.fields]))


# --- the common type of a list -----------------------------------------------------------------


def common_type(items: Sequence[typed.Expression]) -> t.SqlType | None:
    """The widest type of a list (IN, ARRAY, MAP, CASE), found from the first non-null on.

    None where all items are NULL. Raises SemanticError at the item that does not fit.
    """
    common: t.SqlType | None = None
    for item in items:
        if item.type is None:
            continue
        common = item.type if common is None else _common_with(item, common)
    return common


def _common_with(item: typed.Expression, target: t.SqlType) -> t.SqlType:
    assert item.type is not None
    if isinstance(item, typed.MakeArray) and isinstance(target, t.Array):
        return t.Array(_common_inside(item.items, target.item))
    if isinstance(item, typed.MakeMap) and isinstance(target, t.Map):
        keys, values = zip(*item.entries, strict=True)
        return t.Map(_common_inside(keys, target.key), _common_inside(values, target.value))
    if isinstance(item, typed.MakeStruct) and isinstance(target, t.Struct):
        return _common_struct(item, target)
    lax = isinstance(item, typed.Literal)
    if isinstance(item, typed.Literal) and item.type == t.STRING and item.value is not None:
        if rank(target) is not None:
            return _common_with_numeric_text(item, target)
        if target == t.BOOLEAN:
            literal_value_as(item, target)
            return target
    common = common_of(item.type, target, lax=lax) or common_of(target, item.type, lax=lax)
    if common is None:
        raise SemanticError(
            f"values of {target} and {item.type} do not go together here",
            item.position,
            hint="Write an explicit CAST to one type.",
        )
    return common


def _common_inside(items: Sequence[typed.Expression], target: t.SqlType) -> t.SqlType:
    for item in items:
        if item.type is not None:
            target = _common_with(item, target)
    return target


def _common_struct(item: typed.MakeStruct, target: t.Struct) -> t.Struct:
    assert isinstance(item.type, t.Struct)
    values = dict(zip((f.name for f in item.type.fields), item.values, strict=True))
    fields = []
    for name in _united_names(item.type, target):
        mine, theirs = item.type.field(name), target.field(name)
        if mine is None or theirs is None:
            fields.append(t.Field(name, (mine or theirs).type))  # type: ignore[union-attr]
        else:
            fields.append(t.Field(name, _common_inside([values[name]], theirs.type)))
    return t.Struct(tuple(fields))


def _common_with_numeric_text(item: typed.Literal, target: t.SqlType) -> t.SqlType:
    try:
        number = parse_number(item.value)
    except ValueError as error:
        raise SemanticError(
            f"'{item.value}' does not read as {target}",
            item.position,
            hint="Write a number, or CAST the other values to STRING.",
        ) from error
    source: t.SqlType = decimal_of_value(number)
    if not any(c in item.value for c in ".eE"):
        if -_INT_MAX - 1 < number < _INT_MAX:
            source = t.INTEGER
        elif -_BIGINT_MAX - 1 < number < _BIGINT_MAX:
            source = t.BIGINT
    common = common_of(source, target) or common_of(target, source)
    assert common is not None
    return common


# --- putting conversions in --------------------------------------------------------------------


def coerce(item: typed.Expression, target: t.SqlType) -> typed.Expression:
    """The expression as `target`: itself, a converted literal, or an implicit cast."""
    if item.type == target:
        return item
    if isinstance(item, typed.Literal):
        if item.value is None:
            return replace(item, type=target)
        return literal_value_as(item, target)
    if item.type is None:
        return replace(item, type=target)
    return typed.Cast(type=target, operand=item, implicit=True, position=item.position)


def literal_value_as(item: typed.Literal, target: t.SqlType) -> typed.Literal:
    """The literal as a constant of `target`; SemanticError where its value does not fit."""
    try:
        value = convert_literal(item.value, item.type, target)
    except (ValueError, ArithmeticError) as error:
        raise SemanticError(
            f"{_shown(item.value)} is not a valid {target}",
            item.position,
            hint=f"Write a {target} value, or use CAST.",
        ) from error
    return typed.Literal(type=target, value=value, position=item.position)


def convert_literal(value: Any, source: t.SqlType | None, target: t.SqlType) -> Any:
    """A constant of `source` as one of `target`, by the lax rules; ValueError where impossible."""
    if value is None or source == target:
        return value
    if source == t.STRING:
        return _text_as(value, target)
    if rank(source) is not None and rank(target) is not None:
        return _number_as(value, target)
    if source == t.DATE and target == t.TIMESTAMP:
        return value * DAY_MS
    if target == t.STRING and source is not None and _has_text(source):
        return _literal_text(value, source)
    raise ValueError(f"{source} does not convert to {target}")


def _literal_text(value: Any, source: t.SqlType) -> str:
    formats: dict[t.SqlType, Any] = {
        t.DATE: format_date,
        t.TIME: format_time,
        t.TIMESTAMP: format_timestamp,
        t.DOUBLE: double_to_text,
        t.BOOLEAN: lambda truth: "true" if truth else "false",
    }
    if isinstance(source, t.Decimal):
        return decimal_to_text(value)
    text: str = formats.get(source, str)(value)
    return text


def _text_as(text: str, target: t.SqlType) -> Any:
    if target == t.BOOLEAN:
        return parse_boolean(text)
    if target == t.TIMESTAMP:
        return parse_timestamp(text)
    if target == t.DATE:
        return parse_date(text)
    if target == t.TIME:
        return parse_time(text)
    if target == t.BYTES:
        try:
            return base64.b64decode(text, validate=True)
        except ValueError:
            shown = text if len(text) <= 60 else f"{text[:60]}…"
            raise ValueError(f"{shown!r} is not base64") from None
    if rank(target) is not None:
        return _number_as(parse_number(text), target)
    raise ValueError(f"text does not convert to {target}")


def _number_as(value: int | float | decimal.Decimal, target: t.SqlType) -> Any:
    if target == t.DOUBLE:
        return float(value)
    exact = decimal.Decimal(value)
    if isinstance(target, t.Decimal):
        return fit_decimal(exact, target)
    if exact != exact.to_integral_value():
        raise ValueError(f"{value} is not whole")
    limit = _INT_MAX if target == t.INTEGER else _BIGINT_MAX
    if not -limit - 1 <= exact <= limit:
        raise ValueError(f"{value} is out of the range of {target}")
    return int(exact)


def fit_decimal(value: decimal.Decimal, target: t.Decimal) -> decimal.Decimal:
    """The value with the type's scale, where that takes no rounding; ValueError otherwise."""
    with decimal.localcontext(prec=max(60, target.precision + 60)):
        scaled = value.quantize(decimal.Decimal(1).scaleb(-target.scale))
        if scaled != value:
            raise ValueError(f"{value} has more than {target.scale} digits behind the point")
        if abs(scaled) >= decimal.Decimal(10) ** (target.precision - target.scale):
            raise ValueError(f"{value} is too large for {target}")
        return scaled


def parse_number(text: str) -> decimal.Decimal:
    """Text as an exact number; ValueError where it is none."""
    try:
        number = decimal.Decimal(text.strip())
    except decimal.InvalidOperation as error:
        raise ValueError(f"'{text}' is not a number") from error
    if not number.is_finite() or "_" in text:
        raise ValueError(f"'{text}' is not a number")
    return number


def parse_boolean(text: str) -> bool:
    """A literal's text as a boolean: a prefix of true, yes, false or no; ValueError otherwise."""
    word = text.strip().lower()
    if word and ("true".startswith(word) or "yes".startswith(word)):
        return True
    if word and ("false".startswith(word) or "no".startswith(word)):
        return False
    raise ValueError(f"'{text}' is neither true nor false")


def _shown(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


# --- CAST --------------------------------------------------------------------------------------

_SIMPLE_CASTS: dict[str, frozenset[str]] = {
    "BOOLEAN": frozenset({"STRING"}),
    "INTEGER": frozenset({"BIGINT", "DECIMAL", "DOUBLE", "STRING"}),
    "BIGINT": frozenset({"INTEGER", "DECIMAL", "DOUBLE", "STRING"}),
    "DECIMAL": frozenset({"INTEGER", "BIGINT", "DECIMAL", "DOUBLE", "STRING"}),
    "DOUBLE": frozenset({"INTEGER", "BIGINT", "DECIMAL", "STRING"}),
    "STRING": frozenset(
        ["BOOLEAN", "INTEGER", "BIGINT", "DECIMAL", "DOUBLE", "DATE", "TIME", "TIMESTAMP", "BYTES"]
    ),
    "BYTES": frozenset(),
    "DATE": frozenset({"STRING", "TIMESTAMP"}),
    "TIME": frozenset({"STRING"}),
    "TIMESTAMP": frozenset({"STRING", "DATE", "TIME"}),
}


def castable(source: t.SqlType, target: t.SqlType) -> bool:
    """Whether CAST takes `source` to `target`."""
    if source == target:
        return True
    match source, target:
        case t.Array(a), t.Array(b):
            return castable(a, b)
        case t.Map(ka, va), t.Map(kb, vb):
            return castable(ka, kb) and castable(va, vb)
        case t.Struct(), t.Struct(fields):
            pairs = ((source.field(f.name), f) for f in fields)
            return all(mine is None or castable(mine.type, theirs.type) for mine, theirs in pairs)
        case ((t.Array() | t.Map() | t.Struct()), t.Primitive("STRING")):
            return True
    return _simple_name(target) in _SIMPLE_CASTS.get(_simple_name(source), frozenset())


def _simple_name(sql_type: t.SqlType) -> str:
    if isinstance(sql_type, t.Decimal):
        return "DECIMAL"
    return sql_type.name if isinstance(sql_type, t.Primitive) else ""


# --- operators ---------------------------------------------------------------------------------


def arithmetic_type(op: str, left: t.SqlType, right: t.SqlType) -> t.SqlType | None:
    """The type of `left op right`, or None where arithmetic does not take the types."""
    left_rank, right_rank = rank(left), rank(right)
    if left_rank is None or right_rank is None:
        return None
    if t.DOUBLE in (left, right):
        return t.DOUBLE
    if isinstance(left, t.Decimal) or isinstance(right, t.Decimal):
        return _decimal_result(op, as_decimal(left), as_decimal(right))
    return left if left_rank >= right_rank else right


def _decimal_result(op: str, left: t.Decimal, right: t.Decimal) -> t.Decimal:
    p1, s1, p2, s2 = left.precision, left.scale, right.precision, right.scale
    if op in "+-":
        precision, scale = max(s1, s2) + max(p1 - s1, p2 - s2) + 1, max(s1, s2)
    elif op == "*":
        precision, scale = p1 + p2 + 1, s1 + s2
    elif op == "/":
        scale = max(6, s1 + p2 + 1)
        precision = p1 - s1 + s2 + scale
    else:
        precision, scale = min(p1 - s1, p2 - s2) + max(s1, s2), max(s1, s2)
    return t.Decimal(min(precision, MAX_DIGITS), min(scale, MAX_DIGITS))


_EQUALITY = ("=", "<>", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")


def comparable(op: str, left: t.SqlType, right: t.SqlType) -> bool:
    """Whether `left op right` compares."""
    if rank(left) is not None:
        return rank(right) is not None
    if left == t.STRING:
        return right == t.STRING or right in TIME_TYPES
    if left in (t.DATE, t.TIMESTAMP):
        return right in (t.DATE, t.TIMESTAMP, t.STRING)
    if left == t.TIME:
        return right in (t.TIME, t.STRING)
    if left == t.BYTES:
        return right == t.BYTES
    if left == t.BOOLEAN:
        return right == t.BOOLEAN and op in _EQUALITY
    return type(left) is type(right) and op in _EQUALITY


def comparison_type(left: t.SqlType, right: t.SqlType) -> t.SqlType | None:
    """The type in which two comparable sides meet; None where each keeps its own."""
    if left == right:
        return left
    left_rank, right_rank = rank(left), rank(right)
    if left_rank is not None and right_rank is not None:
        if isinstance(left, t.Decimal) or isinstance(right, t.Decimal):
            # A DOUBLE meets a DECIMAL by the digits of its text, so the evaluator compares them.
            return None
        return left if left_rank >= right_rank else right
    if t.TIMESTAMP in (left, right):
        return t.TIMESTAMP
    if t.DATE in (left, right):
        return t.DATE
    if t.TIME in (left, right):
        return t.TIME
    return common_of(left, right) or common_of(right, left)


# --- strict conversion of values ---------------------------------------------------------------


def coerce_value(value: Any, source: t.SqlType, target: t.SqlType) -> Any:
    """A value of `source` as one of `target`, as INSERT VALUES converts; ValueError otherwise.

    Numbers widen and must fit exactly, text becomes a type of time or base64 BYTES, nested types
    convert part by part.
    """
    if value is None or source == target:
        return value
    match source, target:
        case t.Array(a), t.Array(b):
            return [coerce_value(v, a, b) for v in value]
        case t.Map(ka, va), t.Map(kb, vb):
            return {coerce_value(k, ka, kb): coerce_value(v, va, vb) for k, v in value.items()}
        case t.Struct(fields), t.Struct():
            unknown = [f.name for f in fields if target.field(f.name) is None]
            if unknown:
                raise ValueError(f"there is no field {unknown[0]}")
            types = {f.name: f.type for f in fields}
            return {
                f.name: coerce_value(value[f.name], types[f.name], f.type)
                if f.name in types
                else None
                for f in target.fields
            }
    if source == t.STRING and (target == t.BYTES or target in TIME_TYPES):
        return _text_as(value, target)
    source_rank, target_rank = rank(source), rank(target)
    if source_rank is not None and target_rank is not None and source_rank <= target_rank:
        return _number_as(value, target)
    raise ValueError(f"{source} does not convert to {target}")
