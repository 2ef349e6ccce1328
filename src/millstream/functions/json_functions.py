"""Functions of JSON in text."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from millstream import types as t
from millstream.functions.json_values import MISSING, json_text, parse_json, typed_json_text
from millstream.functions.registry import ArrayOf, Generic, ScalarFunction, Variant

S, I, T = t.STRING, t.INTEGER, Generic("T")  # noqa: E741
_STEP = re.compile(r"\.([^.\[\]\"]+)|\[(-?\d+)\]|\[\"((?:[^\"\\]|\\.)*)\"\]|\[([^\]\"]+)\]")


@functools.lru_cache(maxsize=1024)
def json_path(path: str) -> tuple[str, ...]:
    """The steps of a path like `$.a.b[0]["c d"]`; ValueError where it is none."""
    if not path.startswith("$"):
        raise ValueError(f"the JSON path '{path}' does not start with $")
    steps: list[str] = []
    place = 1
    while place < len(path):
        match = _STEP.match(path, place)
        if match is None:
            raise ValueError(f"'{path}' is not a JSON path")
        steps.append(next(g for g in match.groups() if g is not None))
        place = match.end()
    return tuple(steps)


def _extract(text: str, path: str) -> str | None:
    node = parse_json(text)
    for step in json_path(path):
        if isinstance(node, list):
            if not step.isdigit() or int(step) >= len(node):
                return None
            node = node[int(step)]
        elif isinstance(node, dict) and step in node:
            node = node[step]
        else:
            return None
    if node is MISSING:
        return None
    return node if isinstance(node, str) else json_text(node)


def _is_json(text: str | None) -> bool:
    if text is None:
        return False
    try:
        return parse_json(text) is not MISSING
    except ValueError:
        return False


def _array_length(text: str) -> int | None:
    node = parse_json(text)
    return len(node) if isinstance(node, list) else None


def _items(text: str) -> list[str] | None:
    node = parse_json(text)
    return [json_text(v) for v in node] if isinstance(node, list) else None


def _keys(text: str) -> list[str] | None:
    node = parse_json(text)
    return list(node) if isinstance(node, dict) else None


def _records(text: str) -> dict[str, str] | None:
    node = parse_json(text)
    return {k: json_text(v) for k, v in node.items()} if isinstance(node, dict) else None


def _concat(*texts: str | None) -> str | None:
    nodes = []
    for text in texts:
        if text is None or (node := parse_json(text)) is MISSING:
            return None
        nodes.append(node)
    if not nodes:
        return None
    if all(isinstance(n, dict) for n in nodes):
        return json_text({k: v for n in nodes for k, v in n.items()})
    items: list[Any] = []
    for node in nodes:
        items.extend(node if isinstance(node, list) else [node])
    return json_text(items)


def _array_contains(types: Sequence[t.SqlType | None]) -> Callable[[str | None, Any], bool]:
    wanted = types[1]

    def apply(text: str | None, value: Any) -> bool:
        if text is None:
            raise ValueError("the JSON is null")
        try:
            node = parse_json(text)
        except ValueError:
            return False
        return isinstance(node, list) and any(_matches(n, value, wanted) for n in node)

    return apply


def _matches(node: Any, value: Any, wanted: t.SqlType | None) -> bool:
    if node is None or value is None:
        return node is None and value is None
    if isinstance(node, bool):
        return wanted == t.BOOLEAN and node == value
    if isinstance(node, int):
        return wanted in (t.INTEGER, t.BIGINT) and node == value
    if isinstance(node, Decimal):
        return wanted == t.DOUBLE and float(node) == value
    return isinstance(node, str) and wanted == t.STRING and node == value


def _to_json(types: Sequence[t.SqlType | None]) -> Callable[[Any], str]:
    return lambda value: typed_json_text(value, types[0])


def _function(name: str, what: str, example: tuple[str, str], variant: Variant) -> ScalarFunction:
    return ScalarFunction(name, "json", what, (variant,), (example,))


FUNCTIONS = (
    _function(
        "EXTRACTJSONFIELD", "The value at a path, as text; null where there is none.",
        ("EXTRACTJSONFIELD('{\"a\": [1, 2]}', '$.a[0]')", "'1'"), Variant((S, S), S, _extract),
    ),
    _function(
        "IS_JSON_STRING", "Whether the text is JSON.", ("IS_JSON_STRING('[1]')", "true"),
        Variant((S,), t.BOOLEAN, _is_json, null_if_null=False),
    ),
    _function(
        "JSON_ARRAY_CONTAINS", "Whether a JSON array holds a value of the same kind.",
        ("JSON_ARRAY_CONTAINS('[1, 2]', 2)", "true"),
        Variant((S, T), t.BOOLEAN, row_for=_array_contains, null_if_null=False),
    ),
    _function(
        "JSON_ARRAY_LENGTH", "The number of items of a JSON array.",
        ("JSON_ARRAY_LENGTH('[1, 2]')", "2"), Variant((S,), I, _array_length),
    ),
    _function(
        "JSON_CONCAT", "JSON objects merged, or everything in one JSON array.",
        ("JSON_CONCAT('[1]', '2')", "'[1,2]'"),
        Variant((S,), S, _concat, variadic=0, null_if_null=False),
    ),
    _function(
        "JSON_ITEMS", "The items of a JSON array, each as JSON text.",
        ("JSON_ITEMS('[1, {\"a\": 2}]')", "['1', '{\"a\":2}']"), Variant((S,), ArrayOf(S), _items),
    ),
    _function(
        "JSON_KEYS", "The names of a JSON object.", ("JSON_KEYS('{\"a\": 1}')", "['a']"),
        Variant((S,), ArrayOf(S), _keys),
    ),
    _function(
        "JSON_RECORDS", "The members of a JSON object, each value as JSON text.",
        ("JSON_RECORDS('{\"a\": 1}')", "{'a': '1'}"), Variant((S,), t.Map(S, S), _records),
    ),
    _function(
        "TO_JSON_STRING", "The value as JSON text.", ("TO_JSON_STRING(ARRAY[1, 2])", "'[1,2]'"),
        Variant((T,), S, row_for=_to_json, null_if_null=False),
    ),
)  # fmt: skip
"""The family."""
