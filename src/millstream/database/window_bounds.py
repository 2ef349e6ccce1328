"""Which windows a WHERE can mean: so that a look-up reads no others."""

from __future__ import annotations

from collections.abc import Iterable

from millstream.functions.time_text import parse_timestamp
from millstream.sql import ast

Bounds = tuple[int | None, int | None]
"""The first and the last start of a window in ms; None where there is no such bound."""

UNBOUNDED: Bounds = (None, None)
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}


def window_starts(conditions: Iterable[ast.Expression]) -> Bounds:
    """Bounds of WINDOWSTART where all of some conditions hold. They may be wider than what the
    conditions mean, which are evaluated all the same: only comparisons with numbers and texts of
    time are looked at. A window never ends before it starts, so that its end's bound is one."""
    first: int | None = None
    last: int | None = None
    for name, op, value in _comparisons(conditions):
        if op in ("=", ">=", ">") and name == "WINDOWSTART":
            first = value if first is None else max(first, value)
        if op in ("=", "<=", "<"):
            last = value if last is None else min(last, value)
    return first, last


def _comparisons(conditions: Iterable[ast.Expression]) -> Iterable[tuple[str, str, int]]:
    for condition in conditions:
        match condition:
            case ast.Comparison(op, ast.ColumnRef(name), value) if op in _MIRRORED:
                found = [(name, op, _milliseconds(value))]
            case ast.Comparison(op, value, ast.ColumnRef(name)) if op in _MIRRORED:
                found = [(name, _MIRRORED[op], _milliseconds(value))]
            case ast.Between(ast.ColumnRef(name), low, high, False):
                found = [(name, ">=", _milliseconds(low)), (name, "<=", _milliseconds(high))]
            case _:
                continue
        for name, op, ms in found:
            if name in ("WINDOWSTART", "WINDOWEND") and ms is not None:
                yield name, op, ms


def _milliseconds(value: ast.Expression) -> int | None:
    match value:
        case ast.IntegerLiteral(number):
            return number
        case ast.StringLiteral(text):
            try:
                return parse_timestamp(text)
            except ValueError:
                return None
    return None
