"""Functions of arrays."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.columns.java_text import double_to_text
from millstream.functions.limits import check_count
from millstream.functions.numeric import java_order, wrapped
from millstream.functions.registry import ArrayOf, Generic, Pattern, ScalarFunction, Variant

I, L, S = t.INTEGER, t.BIGINT, t.STRING  # noqa: E741
T = Generic("T")
ITEMS = ArrayOf(T)


def identity_key(value: Any) -> Any:
    """A hashable stand-in that is equal where two values of one type are."""
    if isinstance(value, list):
        return ("array", tuple(map(identity_key, value)))
    if isinstance(value, dict):
        return ("map", frozenset((k, identity_key(v)) for k, v in value.items()))
    return value


def distinct(values: Iterable[Any]) -> list[Any]:
    """The values, each where it first stands."""
    seen: dict[Any, Any] = {}
    for value in values:
        seen.setdefault(identity_key(value), value)
    return list(seen.values())


def _union(left: list[Any], right: list[Any]) -> list[Any]:
    return distinct([*left, *right])


def _intersect(left: list[Any], right: list[Any]) -> list[Any]:
    kept = set(map(identity_key, right))
    return [v for v in distinct(left) if identity_key(v) in kept]


def _except(left: list[Any], right: list[Any]) -> list[Any]:
    dropped = set(map(identity_key, right))
    return [v for v in distinct(left) if identity_key(v) not in dropped]


def _concat(left: list[Any] | None, right: list[Any] | None) -> list[Any] | None:
    if left is None and right is None:
        return None
    return [*(left or ()), *(right or ())]


def _contains(items: list[Any] | None, value: Any) -> bool:
    return items is not None and value in items


def _remove(items: list[Any] | None, value: Any) -> list[Any] | None:
    return None if items is None else [v for v in items if v != value]


def _length_column(array: pa.Array) -> pa.Array:
    return pc.list_value_length(array)


def _extreme(choose: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    def apply(items: list[Any]) -> Any:
        given = [v for v in items if v is not None]
        return choose(given, key=java_order) if given else None

    return apply


def _sort(items: list[Any] | None, direction: str | None = "ASC") -> list[Any] | None:
    if items is None:
        return None
    if direction is None:
        raise ValueError("the direction is null")
    word = direction.upper()
    if word not in ("ASC", "ASCENDING", "DESC", "DESCENDING"):
        return None
    present = [v for v in items if v is not None]
    given = sorted(present, key=java_order, reverse=word.startswith("DESC"))
    return given + [None] * (len(items) - len(given))


def _join(items: list[Any] | None, delimiter: str | None = ",") -> str | None:
    return None if items is None else (delimiter or "").join(map(_item_text, items))


def _item_text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return double_to_text(value)
    if isinstance(value, int | Decimal | str):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    raise ValueError("ARRAY_JOIN takes arrays of simple values only")


def _slice(items: list[Any] | None, first: int | None, last: int | None) -> list[Any] | None:
    if items is None:
        return None
    start = 0 if first is None else first - 1
    end = len(items) if last is None else last
    if not 0 <= start <= end <= len(items):
        return None
    return items[start:end]


def _series(bits: int) -> Callable[..., list[int]]:
    def apply(start: int, end: int, step: int | None = None) -> list[int]:
        span = wrapped(end - start, bits)
        used = (1 if span > 0 else -1) if step is None else step
        if used == 0:
            raise ValueError("the step of GENERATE_SERIES is zero")
        if (span > 0) != (used > 0) and span != 0:
            raise ValueError("the step of GENERATE_SERIES has the wrong sign")
        count = 1 + abs(span) // abs(used)
        check_count(count)
        return [start + used * i for i in range(count)]

    return apply


def _array_function(
    name: str,
    what: str,
    example: tuple[str, str],
    parameters: tuple[Pattern, ...],
    returns: Any,
    row: Callable[..., Any],
    *,
    null_if_null: bool = True,
    columnar: Callable[..., pa.Array] | None = None,
) -> ScalarFunction:
    variant = Variant(parameters, returns, row, columnar, null_if_null=null_if_null)
    return ScalarFunction(name, "array", what, (variant,), (example,))


FUNCTIONS = (
    _array_function(
        "ARRAY_LENGTH", "The number of items.", ("ARRAY_LENGTH(ARRAY[1, 2])", "2"),
        (ITEMS,), I, len, columnar=_length_column,
    ),
    _array_function(
        "ARRAY_CONTAINS", "Whether the array holds a value.",
        ("ARRAY_CONTAINS(ARRAY[1, 2], 2)", "true"),
        (ITEMS, T), t.BOOLEAN, _contains, null_if_null=False,
    ),
    _array_function(
        "ARRAY_DISTINCT", "The items, each once.", ("ARRAY_DISTINCT(ARRAY[1, 2, 1])", "[1, 2]"),
        (ITEMS,), ITEMS, distinct,
    ),
    _array_function(
        "ARRAY_UNION", "The distinct items of both arrays.",
        ("ARRAY_UNION(ARRAY[1, 2], ARRAY[2, 3])", "[1, 2, 3]"), (ITEMS, ITEMS), ITEMS, _union,
    ),
    _array_function(
        "ARRAY_INTERSECT", "The distinct items that both arrays hold.",
        ("ARRAY_INTERSECT(ARRAY[1, 2], ARRAY[2, 3])", "[2]"), (ITEMS, ITEMS), ITEMS, _intersect,
    ),
    _array_function(
        "ARRAY_EXCEPT", "The distinct items of the first array that the second does not hold.",
        ("ARRAY_EXCEPT(ARRAY[1, 2], ARRAY[2, 3])", "[1]"), (ITEMS, ITEMS), ITEMS, _except,
    ),
    _array_function(
        "ARRAY_CONCAT", "The items of one array after those of the other.",
        ("ARRAY_CONCAT(ARRAY[1], ARRAY[1, 2])", "[1, 1, 2]"),
        (ITEMS, ITEMS), ITEMS, _concat, null_if_null=False,
    ),
    _array_function(
        "ARRAY_REMOVE", "The array without the items equal to a value.",
        ("ARRAY_REMOVE(ARRAY[1, 2, 1], 1)", "[2]"), (ITEMS, T), ITEMS, _remove, null_if_null=False,
    ),
    _array_function(
        "ARRAY_MAX", "The greatest item; nulls are skipped.", ("ARRAY_MAX(ARRAY[1, 3, 2])", "3"),
        (ITEMS,), T, _extreme(max),
    ),
    _array_function(
        "ARRAY_MIN", "The least item; nulls are skipped.", ("ARRAY_MIN(ARRAY[1, 3, 2])", "1"),
        (ITEMS,), T, _extreme(min),
    ),
    ScalarFunction(
        "ARRAY_SORT", "array", "The items in order, ASC or DESC; nulls last.",
        (Variant((ITEMS,), ITEMS, _sort), Variant((ITEMS, S), ITEMS, _sort, null_if_null=False)),
        (("ARRAY_SORT(ARRAY[2, 1], 'DESC')", "[2, 1]"),),
    ),
    ScalarFunction(
        "ARRAY_JOIN", "array", "The items as text with a delimiter between them, ',' unless told.",
        (Variant((ITEMS,), S, _join), Variant((ITEMS, S), S, _join, null_if_null=False)),
        (("ARRAY_JOIN(ARRAY[1, 2], '-')", "'1-2'"),),
    ),
    _array_function(
        "SLICE", "The items from one 1-based place to another, both included.",
        ("SLICE(ARRAY[1, 2, 3], 2, 3)", "[2, 3]"), (ITEMS, I, I), ITEMS, _slice, null_if_null=False,
    ),
    ScalarFunction(
        "GENERATE_SERIES", "array", "The numbers from one to another, both included.",
        (
            Variant((I, I), t.Array(I), _series(32)), Variant((I, I, I), t.Array(I), _series(32)),
            Variant((L, L), t.Array(L), _series(64)), Variant((L, L, I), t.Array(L), _series(64)),
        ),
        (("GENERATE_SERIES(1, 3)", "[1, 2, 3]"),),
    ),
)  # fmt: skip
"""The family."""
