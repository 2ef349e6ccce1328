"""Operators, casts and conditions: Java's arithmetic, ksqlDB's nulls and failures."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from millstream import types as t
from millstream.functions import default_registry
from millstream.functions.registry import ScalarFunction, Variant

INT_MAX, INT_MIN = 2**31 - 1, -(2**31)
LONG_MAX, LONG_MIN = 2**63 - 1, -(2**63)


@pytest.mark.parametrize(
    ("sql", "row", "expected"),
    [
        ("I + 1", {"I": INT_MAX}, INT_MIN),
        ("I - 1", {"I": INT_MIN}, INT_MAX),
        ("I * 2", {"I": INT_MAX}, -2),
        ("-I", {"I": INT_MIN}, INT_MIN),
        ("L + 1", {"L": LONG_MAX}, LONG_MIN),
        ("I + L", {"I": 1, "L": INT_MAX}, INT_MAX + 1),
        ("I / 2", {"I": -7}, -3),
        ("I / -1", {"I": INT_MIN}, INT_MIN),
        ("L / -1", {"L": LONG_MIN}, LONG_MIN),
        ("I % 3", {"I": -7}, -1),
        ("I % -3", {"I": 7}, 1),
        ("I % -1", {"I": INT_MIN}, 0),
        ("D / 0", {"D": 1.0}, math.inf),
        ("D / 0", {"D": -1.0}, -math.inf),
        ("D / 0", {"D": 0.0}, math.nan),
        ("D % 2", {"D": -5.5}, -1.5),
        ("D % 0", {"D": 1.0}, math.nan),
        ("N + 1", {"N": Decimal("10.10")}, Decimal("11.10")),
        ("N * N", {"N": Decimal("1.50")}, Decimal("2.2500")),
        ("N / 3", {"N": Decimal("1.50")}, Decimal("0.5000000000000")),
        ("N % 1", {"N": Decimal("-1.50")}, Decimal("-0.50")),
        ("N + D", {"N": Decimal("1.50"), "D": 1.0}, 2.5),
        ("S + 'x'", {"S": "a"}, "ax"),
        ("S + 'x'", {}, "nullx"),
        ("'a' || S || 'c'", {}, "ac"),
        ("-N", {"N": Decimal("1.50")}, Decimal("-1.50")),
        ("-2147483648", {}, INT_MIN),
        ("2147483648", {}, INT_MAX + 1),
    ],
)
def test_arithmetic(table: Any, sql: str, row: dict[str, Any], expected: Any) -> None:
    given = table.one(sql, **row)
    assert given == expected or (given != given and expected != expected)
    assert type(given) is type(expected)


@pytest.mark.parametrize(
    ("sql", "row"),
    [
        ("I / 0", {"I": 1}),
        ("L % 0", {"L": 1}),
        ("N / 0", {"N": Decimal("1.00")}),
        ("N / 3", {"N": Decimal("1.00")}),
        ("CAST(S AS INT)", {"S": "x"}),
        ("N / N > 1", {"N": Decimal("0.00")}),
    ],
)
def test_failures_are_null_and_reported(table: Any, sql: str, row: dict[str, Any]) -> None:
    found = table.rows(sql, [{}, row, {}])
    assert found.values[1] is None
    assert [index for index, _ in found.reports] == [1]


@pytest.mark.parametrize("sql", ["I + 1", "-I", "NOT B", "N * 2", "I / 0", "A[I]"])
def test_null_operands_fail_without_a_report(table: Any, sql: str) -> None:
    found = table.rows(sql, [{"A": [1]}])
    assert found.values == [None]
    assert found.failed == [True]
    assert found.reports == []


def test_a_failure_reaches_the_whole_expression(table: Any) -> None:
    assert table.one("(I / 0) IS NULL", I=1) is None
    assert table.one("NOT (I / 0 = 1)", I=1) is None
    assert table.one("COALESCE(I + 1, 5)") is None


def test_casts_calls_fields_and_constructors_stop_a_failure(table: Any) -> None:
    assert table.one("CAST(I / 0 AS STRING) IS NULL", I=1) is True
    assert table.one("COALESCE(STRINGTODATE(S, 'yyyy'), 5)", S="x") == 5
    assert table.one("ARRAY[1, I / 0]", I=1) == [1, None]
    assert table.one("STRUCT(X := I / 0)", I=1) == {"X": None}
    assert table.one("MAP('k' := I / 0)", I=1) == {"k": None}


@pytest.mark.parametrize(
    ("sql", "row", "expected"),
    [
        ("I = 1", {}, False),
        ("NOT (I = 1)", {}, True),
        ("I <> 1", {}, False),
        ("I IS DISTINCT FROM 1", {}, True),
        ("I IS NOT DISTINCT FROM L", {}, True),
        ("I IS NOT DISTINCT FROM L", {"I": 1, "L": 1}, True),
        ("I IS DISTINCT FROM L", {"L": 1}, True),
        ("D <> D", {"D": math.nan}, False),
        ("D = D", {"D": math.nan}, False),
        ("D < 1.1", {"D": 1.1}, False),
        ("D <= 1.1", {"D": 1.1}, True),
        ("D = 0.1", {"D": 0.1}, True),
        ("D = 0.10000000000000001", {"D": 0.1}, False),
        ("I > 1.5", {"I": 2}, True),
        ("I > 1.5", {"I": 1}, False),
        ("I >= 1.5", {"I": 1}, False),
        ("I < 1.5", {"I": 1}, True),
        ("I = 1.5", {"I": 1}, False),
        ("I <> 1.5", {"I": 1}, True),
        ("I <> 1.5", {}, False),
        ("1.5 < I", {"I": 2}, True),
        ("I = 1.0", {"I": 1}, True),
        ("N = 1.5", {"N": Decimal("1.50")}, True),
        ("N > D", {"N": Decimal("1.50"), "D": 1.4}, True),
        ("S < 'b'", {"S": "a"}, True),
        ("S BETWEEN 'b' AND 'c'", {"S": "ba"}, True),
        ("I NOT BETWEEN 2 AND 4", {"I": 5}, True),
        ("I NOT BETWEEN 2 AND 4", {}, True),
        ("B = true", {"B": True}, True),
        ("Y > Y", {"Y": b"a"}, False),
        ("A = ARRAY[1, 2]", {"A": [1, 2]}, True),
        ("M = MAP('a' := 1)", {"M": {"a": 1}}, True),
        ("R = R", {"R": {"F": 1, "G": None}}, True),
        ("TS > '1970-01-01T00:00:00.010'", {"TS": 11}, True),
        ("DT = '1970-01-11'", {"DT": 10}, True),
        ("TM = '00:00:00.010'", {"TM": 10}, True),
        ("DT > TS", {"DT": 10, "TS": 863_999_999}, True),
        ("TS > S", {"TS": 11, "S": "1970-01-01"}, True),
        ("I IN (1, '2', 3.0)", {"I": 2}, True),
        ("I IN (1, NULL)", {}, False),
        ("I NOT IN (1)", {}, True),
        ("I IN (L, L * 2)", {"I": 4, "L": 2}, True),
        ("A IN (ARRAY[1, 2], ARRAY['3', NULL])", {"A": [3, None]}, True),
        ("R IN (STRUCT(G := 'x', F := 1))", {"R": {"F": 1, "G": "x"}}, True),
        ("S IS NULL", {}, True),
        ("S IS NOT NULL", {}, False),
        ("NULL IS NULL", {}, True),
        ("B AND I = 1", {"B": False}, False),
        ("B OR I = 1", {"B": True}, True),
        ("B OR true", {}, None),
        ("B AND false", {}, None),
    ],
)
def test_conditions(table: Any, sql: str, row: dict[str, Any], expected: Any) -> None:
    assert table.one(sql, **row) is expected


def test_right_side_is_not_evaluated_where_the_left_decides(table: Any) -> None:
    found = table.rows("I <> 0 AND 10 / I > 2", [{"I": 0}, {"I": 3}, {"I": 9}])
    assert found.values == [False, True, False]
    assert found.reports == []
    found = table.rows("I = 0 OR 10 / I > 2", [{"I": 0}, {"I": 3}, {"I": 9}])
    assert found.values == [True, True, False]
    assert found.reports == []


def test_case_is_lazy_and_calls_a_site_once_a_row(table_of: Any) -> None:
    calls: list[tuple[str, int]] = []

    def spy(site: str, value: int) -> int:
        calls.append((site, value))
        return value

    registry = default_registry()
    variant = Variant((t.STRING, t.INTEGER), t.INTEGER, spy)
    registry.add(ScalarFunction("SPY", "test", "Notes its calls.", (variant,)))
    rows = [{"I": 1}, {"I": 2}, {"I": 3}]
    sql = "CASE WHEN SPY('w', I) = 1 THEN SPY('a', I) WHEN I = 2 THEN SPY('b', I) ELSE 0 END"
    assert table_of(registry).rows(sql, rows).values == [1, 2, 0]
    assert sorted(calls) == [("a", 1), ("b", 2), ("w", 1), ("w", 2), ("w", 3)]


@pytest.mark.parametrize(
    ("sql", "row", "expected"),
    [
        ("CASE WHEN I > 2.0 THEN 'foo' ELSE 'bar' END", {}, "bar"),
        ("CASE WHEN B THEN 1 END", {"B": False}, None),
        ("CASE WHEN B THEN 1 ELSE 2 END", {}, None),
        ("CASE I WHEN 1 THEN 'one' WHEN 2 THEN 'two' END", {"I": 2}, "two"),
        ("CASE WHEN B THEN NULL ELSE I END", {"B": False, "I": 5}, 5),
        ("CASE WHEN B THEN I ELSE L END", {"B": True, "I": 5}, 5),
        ("CASE WHEN B THEN A ELSE ARRAY[0] END", {"B": False}, [0]),
        ("CASE WHEN B THEN I / 0 ELSE 1 END", {"B": True, "I": 1}, None),
    ],
)
def test_case(table: Any, sql: str, row: dict[str, Any], expected: Any) -> None:
    assert table.one(sql, **row) == expected


def test_case_puts_each_row_in_its_place(table: Any) -> None:
    rows = [{"I": i, "S": f"s{i}"} for i in (3, 1, 2, 1, 4, 2)]
    sql = "CASE WHEN I = 1 THEN S WHEN I = 2 THEN UCASE(S) WHEN I = 3 THEN 'three' END"
    assert table.rows(sql, rows).values == ["three", "s1", "S2", "s1", None, "S2"]


CASTS = [
    ("CAST(B AS STRING)", {"B": True}, "true"),
    ("CAST(I AS STRING)", {"I": -5}, "-5"),
    ("CAST(I AS BIGINT)", {"I": -5}, -5),
    ("CAST(I AS DOUBLE)", {"I": 5}, 5.0),
    ("CAST(I AS DECIMAL(2, 1))", {"I": 1}, Decimal("1.0")),
    ("CAST(I AS DECIMAL(2, 1))", {"I": 10}, None),
    ("CAST(L AS INT)", {"L": 2**32 + 5}, 5),
    ("CAST(L AS STRING)", {"L": LONG_MIN}, "-9223372036854775808"),
    ("CAST(D AS INT)", {"D": 1.9}, 1),
    ("CAST(D AS INT)", {"D": -1.9}, -1),
    ("CAST(D AS INT)", {"D": 1e30}, INT_MAX),
    ("CAST(D AS INT)", {"D": math.nan}, 0),
    ("CAST(D AS BIGINT)", {"D": 1e30}, LONG_MAX),
    ("CAST(D AS BIGINT)", {"D": -1e30}, LONG_MIN),
    ("CAST(D AS STRING)", {"D": 1e7}, "1.0E7"),
    ("CAST(D AS STRING)", {"D": 100.0}, "100.0"),
    ("CAST(D AS DECIMAL(2, 1))", {"D": 0.99}, Decimal("1.0")),
    ("CAST(D AS DECIMAL(2, 1))", {"D": math.nan}, None),
    ("CAST(N AS INT)", {"N": Decimal("-1.99")}, -1),
    ("CAST(N AS DOUBLE)", {"N": Decimal("1.99")}, 1.99),
    ("CAST(N AS STRING)", {"N": Decimal("0.00")}, "0.00"),
    ("CAST(N AS DECIMAL(4, 1))", {"N": Decimal("1.95")}, Decimal("2.0")),
    ("CAST(N AS DECIMAL(3, 2))", {"N": Decimal("10.00")}, None),
    ("CAST(S AS BOOLEAN)", {"S": "tR"}, True),
    ("CAST(S AS BOOLEAN)", {"S": "yes"}, True),
    ("CAST(S AS BOOLEAN)", {"S": "on"}, False),
    ("CAST(S AS BOOLEAN)", {"S": ""}, False),
    ("CAST(S AS INT)", {"S": " +7 "}, 7),
    ("CAST(S AS INT)", {"S": "2147483648"}, None),
    ("CAST(S AS INT)", {"S": "1.5"}, None),
    ("CAST(S AS INT)", {"S": ""}, None),
    ("CAST(S AS INT)", {"S": "1_000"}, None),
    ("CAST(S AS BIGINT)", {"S": "-9223372036854775808"}, LONG_MIN),
    ("CAST(S AS BIGINT)", {"S": "9223372036854775808"}, None),
    ("CAST(S AS DOUBLE)", {"S": "1e3"}, 1000.0),
    ("CAST(S AS DOUBLE)", {"S": ".5"}, 0.5),
    ("CAST(S AS DOUBLE)", {"S": "NaN"}, None),
    ("CAST(S AS DOUBLE)", {"S": "1e999"}, None),
    ("CAST(S AS DECIMAL(4, 2))", {"S": "10.125"}, Decimal("10.13")),
    ("CAST(S AS DECIMAL(4, 2))", {"S": "100"}, None),
    ("CAST(S AS TIMESTAMP)", {"S": "2022-04-28T21:44:47.943Z"}, 1651182287943),
    ("CAST(S AS DATE)", {"S": "1970-01-11"}, 10),
    ("CAST(S AS DATE)", {"S": "1970-02-30"}, None),
    ("CAST(S AS TIME)", {"S": "00:00:10"}, 10_000),
    ("CAST(S AS BYTES)", {"S": "IQ=="}, b"!"),
    ("CAST(TS AS STRING)", {"TS": 10}, "1970-01-01T00:00:00.010"),
    ("CAST(TS AS DATE)", {"TS": -1}, -1),
    ("CAST(TS AS TIME)", {"TS": -1}, 86_399_999),
    ("CAST(DT AS STRING)", {"DT": -1}, "1969-12-31"),
    ("CAST(DT AS TIMESTAMP)", {"DT": 1}, 86_400_000),
    ("CAST(TM AS STRING)", {"TM": 60_000}, "00:01"),
    ("CAST(TM AS STRING)", {"TM": 61_500}, "00:01:01"),
    ("CAST(A AS STRING)", {"A": [1, None]}, "[1, null]"),
    ("CAST(A AS ARRAY<STRING>)", {"A": [1, None]}, ["1", None]),
    ("CAST(M AS STRING)", {"M": {"a": 1, "b": None}}, "{a=1, b=null}"),
    ("CAST(M AS MAP<STRING, DOUBLE>)", {"M": {"a": 1}}, {"a": 1.0}),
    ("CAST(R AS STRING)", {"R": {"F": 1, "G": None}}, "Struct{F=1}"),
    ("CAST(R AS STRUCT<F STRING, H INT>)", {"R": {"F": 1, "G": "x"}}, {"F": "1", "H": None}),
    ("CAST(NULL AS ARRAY<INT>)", {}, None),
]


@pytest.mark.parametrize(("sql", "row", "expected"), CASTS)
def test_casts(table: Any, sql: str, row: dict[str, Any], expected: Any) -> None:
    given = table.one(sql, **row)
    assert given == expected
    assert type(given) is type(expected)


@pytest.mark.parametrize("sql", sorted({sql for sql, _, _ in CASTS}))
def test_casts_of_null(table: Any, sql: str) -> None:
    found = table.rows(sql, [{}])
    assert found.values == [None]
    assert found.reports == []


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("%html%", "/a.html?x", True),
        ("%html%", "/a.HTML", False),
        ("%html%", "a\nhtml", False),
        ("%html%", "html\u2028", False),
        ("html%", "html", True),
        ("%html", "x.html", True),
        ("%", "", True),
        ("%", "\n", False),
        ("", "", True),
        ("f_o", "foo", True),
        ("f_o", "f\no", False),
        ("a.c", "abc", False),
        ("100\\%", "100\\anything", True),
        ("[a]%", "[a]b", True),
        ("_%_", "a", False),
        ("é_%", "éé", True),
        ("_", "\U0001f600", True),
    ],
)
def test_like(table: Any, pattern: str, text: str, matches: bool) -> None:
    quoted = pattern.replace("'", "''")
    assert table.one(f"S LIKE '{quoted}'", S=text) is matches
    assert table.one(f"'{text}' LIKE S", S=pattern) is matches
    assert table.one(f"S NOT LIKE '{quoted}'", S=text) is not matches


def test_like_escape_and_nulls(table: Any) -> None:
    assert table.one("S LIKE '!%' ESCAPE '!'", S="%") is True
    assert table.one("S LIKE '!%' ESCAPE '!'", S="x") is False
    assert table.one("S LIKE '%!%%' ESCAPE '!'", S="a%b") is True
    assert table.one("S LIKE '%x'") is False
    assert table.one("S NOT LIKE '%x'") is True
    assert table.rows("S LIKE 'a!' ESCAPE '!'", [{"S": "a"}]).reports != []


@pytest.mark.parametrize(
    ("sql", "row", "expected"),
    [
        ("A[1]", {"A": [7, 8]}, 7),
        ("A[-1]", {"A": [7, 8]}, 8),
        ("A[0]", {"A": [7, 8]}, None),
        ("A[3]", {"A": [7, 8]}, None),
        ("A[-3]", {"A": [7, 8]}, None),
        ("A[1]", {}, None),
        ("M['a']", {"M": {"a": 1}}, 1),
        ("M['b']", {"M": {"a": 1}}, None),
        ("M[S]", {"M": {"a": 1}}, None),
        ("R->F", {"R": {"F": 1, "G": None}}, 1),
        ("R->F", {}, None),
        ("ARRAY[NULL, 10, '2e1', I]", {"I": 30}, [None, 10, 20, 30]),
        ("ARRAY['a', 10]", {}, ["a", "10"]),
        ("MAP(S := I, NULL := 5)", {"S": "k", "I": 1}, {"k": 1, "null": 5}),
        ("STRUCT(P := I, `q` := S)", {"I": 1, "S": "x"}, {"P": 1, "q": "x"}),
    ],
)
def test_nested_values(table: Any, sql: str, row: dict[str, Any], expected: Any) -> None:
    assert table.one(sql, **row) == expected


@pytest.mark.parametrize(
    ("sql", "row", "expected"),
    [
        ("TRANSFORM(A, x => x + I)", {"A": [1, 2], "I": 10}, [11, 12]),
        ("FILTER(A, x => x > 1)", {"A": [1, None, 2]}, [2]),
        ("REDUCE(A, 2, (s, x) => s + x)", {"A": [3, 6]}, 11),
        ("REDUCE(A, 2, (s, x) => s + x)", {"A": [3, None]}, None),
        ("REDUCE(A, 2, (s, x) => s + x)", {}, 2),
        ("TRANSFORM(A, x => TRANSFORM(A, y => x * y))", {"A": [1, 2]}, [[1, 2], [2, 4]]),
        ("FILTER(M, (k, v) => k = 'a' AND v % 2 = 1)", {"M": {"a": 1, "b": 2}}, {"a": 1}),
        ("FILTER(M, (k, v) => v % 2 = 1)", {"M": {"a": None}}, None),
        ("TRANSFORM(M, (k, v) => UCASE(k), (k, v) => v + 1)", {"M": {"a": 1}}, {"A": 2}),
    ],
)
def test_lambdas(table: Any, sql: str, row: dict[str, Any], expected: Any) -> None:
    assert table.one(sql, **row) == expected


def test_reports_of_selected_rows_carry_their_own_index(table: Any) -> None:
    rows = [{"I": 1, "S": "1"}, {"I": 2, "S": "x"}, {"I": 2, "S": "y"}]
    found = table.rows("CASE WHEN I = 2 THEN CAST(S AS INT) ELSE 0 END", rows)
    assert found.values == [0, None, None]
    assert [index for index, _ in found.reports] == [1, 2]


def test_reports_are_bounded_and_counted(table: Any) -> None:
    from millstream.columns import arrow
    from millstream.engine.expressions import EvaluationContext

    context = EvaluationContext(limit=3)
    columns = [arrow.nulls(s, 500) for s in table.columns.values()]
    place = list(table.columns).index("S")
    columns[place] = arrow.from_python([f"x{i % 5}" for i in range(500)], t.STRING)
    table.compile("CAST(S AS INT)").evaluate(columns, 500, context)
    assert context.failures == 500
    assert [index for index, _ in context.reports] == [0, 1, 2]


def test_no_rows_at_all(table: Any) -> None:
    for sql in ("I / 0", "CASE WHEN B THEN S END", "S LIKE '%x%'", "CAST(S AS INT)", "A[1]"):
        assert table.rows(sql, []).values == []
