"""Functions of maps, and those that take a lambda."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from millstream import types as t
from millstream.functions.registry import (
    ArrayOf,
    Generic,
    LambdaOf,
    MapOf,
    ScalarFunction,
    Variant,
)

S = t.STRING
T, R, K, V, STATE = Generic("T"), Generic("R"), Generic("K"), Generic("V"), Generic("S")


def _keys(mapping: dict[str, Any]) -> list[str]:
    return list(mapping)


def _values(mapping: dict[str, Any]) -> list[Any]:
    return list(mapping.values())


def _union(left: dict[str, Any] | None, right: dict[str, Any] | None) -> dict[str, Any] | None:
    if left is None and right is None:
        return None
    return {**(left or {}), **(right or {})}


def _as_map(keys: list[str], values: list[Any]) -> dict[str, Any]:
    return {k: values[i] if i < len(values) else None for i, k in enumerate(keys)}


def _entries(mapping: dict[str, Any], in_order: bool) -> list[dict[str, Any]]:
    names = sorted(mapping) if in_order else list(mapping)
    return [{"K": k, "V": mapping[k]} for k in names]


def _entry_type(types: Sequence[t.SqlType | None]) -> t.SqlType:
    given = types[0]
    if not isinstance(given, t.Map):
        raise ValueError("a bare NULL has no type; CAST it")
    return t.Array(t.Struct((t.Field("K", given.key), t.Field("V", given.value))))


# --- lambdas ---


def _filter(items: list[Any], keep: Callable[[Any], bool | None]) -> list[Any]:
    return [v for v in items if _kept(keep(v))]


def _filter_map(mapping: dict[Any, Any], keep: Callable[[Any, Any], bool | None]) -> dict[Any, Any]:
    return {k: v for k, v in mapping.items() if _kept(keep(k, v))}


def _kept(answer: bool | None) -> bool:
    if answer is None:
        raise ValueError("the lambda of FILTER gives null")
    return answer


def _reduce(items: list[Any] | None, state: Any, step: Callable[[Any, Any], Any]) -> Any:
    if items is None or state is None:
        return state
    for value in items:
        state = step(state, value)
    return state


def _reduce_map(
    mapping: dict[Any, Any] | None, state: Any, step: Callable[[Any, Any, Any], Any]
) -> Any:
    if mapping is None or state is None:
        return state
    for key, value in mapping.items():
        state = step(state, key, value)
    return state


def _transform(items: list[Any], change: Callable[[Any], Any]) -> list[Any]:
    return [change(v) for v in items]


def _transform_map(
    mapping: dict[Any, Any],
    change_key: Callable[[Any, Any], Any],
    change_value: Callable[[Any, Any], Any],
) -> dict[Any, Any]:
    changed: dict[Any, Any] = {}
    for key, value in mapping.items():
        new_key, new_value = change_key(key, value), change_value(key, value)
        if new_key in changed:
            raise ValueError(f"TRANSFORM gives the key {new_key} twice")
        if new_value is None:
            raise ValueError("TRANSFORM gives a null value for a map")
        changed[new_key] = new_value
    return changed


ANY_MAP = MapOf(K, V)
_MAP_VALUES = (t.INTEGER, t.BIGINT, t.DOUBLE, t.BOOLEAN, S)

FUNCTIONS = (
    ScalarFunction(
        "MAP_KEYS", "map", "The keys of a map.",
        (Variant((MapOf(S, V),), ArrayOf(S), _keys),), (("MAP_KEYS(MAP('a' := 1))", "['a']"),),
    ),
    ScalarFunction(
        "MAP_VALUES", "map", "The values of a map.",
        (Variant((MapOf(S, V),), ArrayOf(V), _values),), (("MAP_VALUES(MAP('a' := 1))", "[1]"),),
    ),
    ScalarFunction(
        "MAP_UNION", "map", "The entries of both maps; the second's count where keys are equal.",
        (Variant((MapOf(S, V), MapOf(S, V)), MapOf(S, V), _union, null_if_null=False),),
        (("MAP_UNION(MAP('a' := 1), MAP('b' := 2))", "{'a': 1, 'b': 2}"),),
    ),
    ScalarFunction(
        "AS_MAP", "map", "A map of keys and values from two arrays.",
        (Variant((ArrayOf(S), ArrayOf(V)), MapOf(S, V), _as_map),),
        (("AS_MAP(ARRAY['a'], ARRAY[1])", "{'a': 1}"),),
    ),
    ScalarFunction(
        "ENTRIES", "array", "The entries of a map as structs of K and V, by key where asked.",
        tuple(Variant((MapOf(S, v), t.BOOLEAN), _entry_type, _entries) for v in _MAP_VALUES),
        (("ENTRIES(MAP('a' := 1), TRUE)", "[{K: 'a', V: 1}]"),),
    ),
    ScalarFunction(
        "FILTER", "lambda", "The items or entries for which a lambda is true.",
        (
            Variant((ArrayOf(T), LambdaOf((T,), t.BOOLEAN)), ArrayOf(T), _filter),
            Variant((ANY_MAP, LambdaOf((K, V), t.BOOLEAN)), ANY_MAP, _filter_map),
        ),
        (("FILTER(ARRAY[1, 9], x => x > 5)", "[9]"),),
    ),
    ScalarFunction(
        "REDUCE", "lambda", "The items or entries folded into a state by a lambda.",
        (
            Variant((ArrayOf(T), STATE, LambdaOf((STATE, T), STATE)), STATE, _reduce,
                    null_if_null=False),
            Variant((ANY_MAP, STATE, LambdaOf((STATE, K, V), STATE)), STATE, _reduce_map,
                    null_if_null=False),
        ),
        (("REDUCE(ARRAY[1, 2], 10, (s, x) => s + x)", "13"),),
    ),
    ScalarFunction(
        "TRANSFORM", "lambda", "The items changed by a lambda, or keys and values by two.",
        (
            Variant((ArrayOf(T), LambdaOf((T,), R)), ArrayOf(R), _transform),
            Variant((ANY_MAP, LambdaOf((K, V), R), LambdaOf((K, V), T)), MapOf(R, T),
                    _transform_map),
        ),
        (("TRANSFORM(ARRAY[1, 2], x => x * 2)", "[2, 4]"),),
    ),
)  # fmt: skip
"""The family."""
