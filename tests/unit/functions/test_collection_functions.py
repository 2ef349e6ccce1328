"""Functions of arrays, maps, lambdas and JSON; table functions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from millstream.functions import default_registry

CASES = [
    ("ARRAY_LENGTH(ARRAY[1, NULL])", 2),
    ("ARRAY_CONTAINS(ARRAY[1, 2], 2)", True),
    ("ARRAY_CONTAINS(CAST(NULL AS ARRAY<INT>), 2)", False),
    ("ARRAY_CONTAINS(ARRAY[1, NULL], CAST(NULL AS INT))", True),
    ("ARRAY_DISTINCT(ARRAY[0, NULL, 1, 0, NULL])", [0, None, 1]),
    ("ARRAY_DISTINCT(ARRAY[ARRAY[1], ARRAY[1]])", [[1]]),
    ("ARRAY_UNION(ARRAY['foo', 'bar', 'foo'], ARRAY['foo', 'baz'])", ["foo", "bar", "baz"]),
    ("ARRAY_INTERSECT(ARRAY[0, 0, 1, -1], ARRAY[1, -2, 0])", [0, 1]),
    ("ARRAY_EXCEPT(ARRAY[0, 0, 1, -1], ARRAY[1])", [0, -1]),
    ("ARRAY_EXCEPT(ARRAY[0], CAST(NULL AS ARRAY<INT>))", None),
    ("ARRAY_CONCAT(ARRAY[0], CAST(NULL AS ARRAY<INT>))", [0]),
    ("ARRAY_CONCAT(CAST(NULL AS ARRAY<INT>), CAST(NULL AS ARRAY<INT>))", None),
    ("ARRAY_REMOVE(ARRAY['foo', 'bar', 'foo'], 'foo')", ["bar"]),
    ("ARRAY_REMOVE(ARRAY[1, NULL], CAST(NULL AS INT))", [1]),
    ("ARRAY_MAX(ARRAY[1, NULL, 3])", 3),
    ("ARRAY_MIN(ARRAY['b', 'a'])", "a"),
    ("ARRAY_MIN(ARRAY[CAST(NULL AS INT)])", None),
    ("ARRAY_SORT(ARRAY[3, NULL, 1])", [1, 3, None]),
    ("ARRAY_SORT(ARRAY[3, NULL, 1], 'desc')", [3, 1, None]),
    ("ARRAY_SORT(ARRAY[3, 1], 'up')", None),
    ("ARRAY_JOIN(ARRAY[1, NULL, 2])", "1,null,2"),
    ("ARRAY_JOIN(ARRAY[TRUE, FALSE], '-')", "true-false"),
    ("ARRAY_JOIN(ARRAY[1.5E0, 2E0], NULL)", "1.52.0"),
    ("SLICE(ARRAY[1, 2, 3], 2, 3)", [2, 3]),
    ("SLICE(ARRAY[1, 2, 3], NULL, 1)", [1]),
    ("SLICE(ARRAY[1, 2, 3], 2, NULL)", [2, 3]),
    ("SLICE(ARRAY[1, 2, 3], 0, 1)", None),
    ("SLICE(ARRAY[1, 2, 3], 2, 9)", None),
    ("GENERATE_SERIES(0, 3)", [0, 1, 2, 3]),
    ("GENERATE_SERIES(3, 1)", [3, 2, 1]),
    ("GENERATE_SERIES(5, 5)", [5]),
    ("GENERATE_SERIES(9, 0, -3)", [9, 6, 3, 0]),
    ("GENERATE_SERIES(2147483648, 2147483649)", [2147483648, 2147483649]),
    ("MAP_KEYS(MAP('a' := 1, 'b' := 2))", ["a", "b"]),
    ("MAP_VALUES(MAP('a' := 1, 'b' := NULL))", [1, None]),
    ("MAP_UNION(MAP('a' := 1), MAP('a' := 2, 'b' := 3))", {"a": 2, "b": 3}),
    ("MAP_UNION(MAP('a' := 1), CAST(NULL AS MAP<STRING, INT>))", {"a": 1}),
    ("AS_MAP(ARRAY['a', 'b'], ARRAY[1, 2, 3])", {"a": 1, "b": 2}),
    ("AS_MAP(ARRAY['a', 'b'], ARRAY[1])", {"a": 1, "b": None}),
    ("ENTRIES(MAP('b' := 1, 'a' := 2), TRUE)", [{"K": "a", "V": 2}, {"K": "b", "V": 1}]),
    ("TRANSFORM(ARRAY['a', NULL], x => UCASE(x))", ["A", None]),
    ("TRANSFORM(MAP('a' := 1), (k, v) => k + '_x', (k, v) => v + 1)", {"a_x": 2}),
    ("FILTER(ARRAY[3, 6, 10], x => x > 5)", [6, 10]),
    ("FILTER(MAP('a' := 1, 'b' := 2), (k, v) => v = 2)", {"b": 2}),
    ("REDUCE(ARRAY['a', 'b'], '', (s, x) => CONCAT(s, x))", "ab"),
    ("REDUCE(MAP('a' := 1, 'bb' := 2), 10, (s, k, v) => s + v * LEN(k))", 15),
    ("REDUCE(ARRAY[1], CAST(NULL AS INT), (s, x) => s + x)", None),
    ("EXTRACTJSONFIELD('{\"a\": {\"b\": [1.50, 2]}}', '$.a.b[0]')", "1.50"),
    ("EXTRACTJSONFIELD('{\"a\": {\"b\": [1]}}', '$.a')", '{"b":[1]}'),
    ("EXTRACTJSONFIELD('{\"@type\": \"x\"}}', '$.@type')", "x"),
    ("EXTRACTJSONFIELD('{\"a b\": 1}', '$[\"a b\"]')", "1"),
    ("EXTRACTJSONFIELD('[1]', '$[5]')", None),
    ("EXTRACTJSONFIELD('{}', '$.a.b')", None),
    ("EXTRACTJSONFIELD('{\"a\": null}', '$.a')", "null"),
    ("IS_JSON_STRING('[1, 2]')", True),
    ("IS_JSON_STRING('abc')", False),
    ("IS_JSON_STRING('')", False),
    ("IS_JSON_STRING(NULL)", False),
    ("IS_JSON_STRING('NaN')", False),
    ("JSON_ARRAY_CONTAINS('[1, 2]', 2)", True),
    ("JSON_ARRAY_CONTAINS('[1, 2]', '2')", False),
    ("JSON_ARRAY_CONTAINS('[1.5]', 1.5E0)", True),
    ("JSON_ARRAY_CONTAINS('[null]', NULL)", True),
    ("JSON_ARRAY_CONTAINS('{}', 1)", False),
    ("JSON_ARRAY_CONTAINS('[true]', true)", True),
    ("JSON_ARRAY_LENGTH('[1, 2]')", 2),
    ("JSON_ARRAY_LENGTH('{}')", None),
    ("JSON_CONCAT('{\"a\": 1}', '{\"b\": 2}')", '{"a":1,"b":2}'),
    ("JSON_CONCAT('[1, 2]', '{\"a\": 1}', '4')", '[1,2,{"a":1},4]'),
    ("JSON_CONCAT('1', '', '2')", None),
    ("JSON_CONCAT('null', NULL)", None),
    ("JSON_ITEMS('[1, {\"a\": \"b\"}]')", ["1", '{"a":"b"}']),
    ("JSON_ITEMS('{}')", None),
    ("JSON_KEYS('{\"b\": 1, \"a\": 2}')", ["b", "a"]),
    ("JSON_RECORDS('{\"a\": \"abc\", \"b\": {\"c\": 1}}')", {"a": '"abc"', "b": '{"c":1}'}),
    ("TO_JSON_STRING(CAST(NULL AS INT))", "null"),
    ("TO_JSON_STRING('a\"b')", '"a\\"b"'),
    ("TO_JSON_STRING(1.50)", "1.50"),
    ("TO_JSON_STRING(1E7)", "1.0E7"),
    ("TO_JSON_STRING(TIME '16:43:40')", '"16:43:40"'),
    ("TO_JSON_STRING(DATE '1972-09-27')", '"1972-09-27"'),
    ("TO_JSON_STRING(STRUCT(A := ARRAY[1, NULL], B := MAP('k' := TRUE)))",
     '{"A":[1,null],"B":{"k":true}}'),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "expected"), CASES)
def test_values(value: Any, sql: str, expected: Any) -> None:
    given = value(sql)
    assert given == expected
    assert type(given) is type(expected)


@pytest.mark.parametrize(
    "sql",
    [
        "GENERATE_SERIES(0, 3, 0)",
        "GENERATE_SERIES(0, 3, -1)",
        "ARRAY_JOIN(ARRAY[ARRAY[1]])",
        "EXTRACTJSONFIELD('{', '$.a')",
        "EXTRACTJSONFIELD('{}', 'a')",
        "JSON_KEYS('{')",
        "TRANSFORM(MAP('a' := 1, 'b' := 2), (k, v) => 'x', (k, v) => v)",
    ],
)
def test_failures(value: Any, failed: Any, sql: str) -> None:
    assert value(sql) is failed


def test_explode_and_cube() -> None:
    tables = default_registry().tables
    explode, cube = (tables[n].variants[0].row for n in ("EXPLODE", "CUBE_EXPLODE"))
    assert explode is not None
    assert cube is not None
    assert explode([Decimal(1), None]) == [Decimal(1), None]
    assert cube([1, 2]) == [[None, None], [None, 2], [1, None], [1, 2]]
    assert cube([1, None]) == [[None, None], [1, None]]
