"""Rules that formats share: what may stand in a key, and how single values are wrapped."""

from __future__ import annotations

from collections.abc import Sequence

from millstream import types as t


def map_in_key(columns: Sequence[t.Column]) -> str | None:
    """Why these columns cannot be a key: a MAP has no order that its bytes could rely on."""
    for column in columns:
        if _holds_map(column.type):
            return (
                f"Key column {t.quote_name(column.name)} is {column.type}: a key cannot hold a "
                "MAP, because equal maps may have different bytes. Use a STRUCT or an ARRAY."
            )
    return None


def unsupported_type(
    name: str, columns: Sequence[t.Column], supported: frozenset[t.SqlType], *, decimals: bool
) -> str | None:
    """Which column the format of this name has no bytes for, or None."""
    for column in columns:
        fits = column.type in supported or (decimals and isinstance(column.type, t.Decimal))
        if not fits:
            return (
                f"{name} has no form for {base_name(column.type)} values, but column "
                f"{t.quote_name(column.name)} is {column.type}. Use another format, such as JSON."
            )
    return None


def base_name(sql_type: t.SqlType) -> str:
    """The type's name without its parameters, such as ARRAY."""
    match sql_type:
        case t.Array():
            return "ARRAY"
        case t.Map():
            return "MAP"
        case t.Struct():
            return "STRUCT"
        case t.Decimal():
            return "DECIMAL"
    return str(sql_type)


def single_value_wrapping(wrap: bool | None, columns: Sequence[t.Column]) -> bool:
    """WRAP_SINGLE_VALUE of a format that can do both; raises ValueError where it has no meaning."""
    if wrap is None:
        return True
    if len(columns) != 1:
        raise ValueError(
            f"WRAP_SINGLE_VALUE is for sources with one value column, but this one has "
            f"{len(columns)}. Leave it out."
        )
    return wrap


def never_wrapped(name: str, wrap: bool | None, columns: Sequence[t.Column]) -> None:
    """Check WRAP_SINGLE_VALUE of a format that cannot wrap; raises ValueError where it is set."""
    single_value_wrapping(wrap, columns)
    if wrap:
        raise ValueError(
            f"The {name} format cannot wrap a single value. Leave WRAP_SINGLE_VALUE out."
        )


def _holds_map(sql_type: t.SqlType) -> bool:
    match sql_type:
        case t.Map():
            return True
        case t.Array(item):
            return _holds_map(item)
        case t.Struct(fields):
            return any(_holds_map(f.type) for f in fields)
    return False
