"""Functions of numbers and of nulls."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

CASES = [
    ("ABS(-5)", 5),
    ("ABS(-2147483648)", -2147483648),
    ("ABS(-1.50)", Decimal("1.50")),
    ("ABS(-1.5E0)", 1.5),
    ("SIGN(-5)", -1),
    ("SIGN(0.0E0)", 0),
    ("CEIL(1.1)", Decimal("2.0")),
    ("CEIL(-1.5E0)", -1.0),
    ("CEIL(7)", 7),
    ("FLOOR(-1.1)", Decimal("-2.0")),
    ("FLOOR(1.9E0)", 1.0),
    ("ROUND(1.5E0)", 2),
    ("ROUND(-1.5E0)", -1),
    ("ROUND(-1.7E0)", -2),
    ("ROUND(0.49999999999999994E0)", 0),
    ("ROUND(1E30)", 2**63 - 1),
    ("ROUND(7)", 7),
    ("ROUND(1.234567E0, 2)", 1.23),
    ("ROUND(12345.678E0, -2)", 12300.0),
    ("ROUND(-1.15E0, 1)", -1.1),
    ("ROUND(10.50)", Decimal("11")),
    ("ROUND(-10.50)", Decimal("-10")),
    ("ROUND(12345.678, 1)", Decimal("12345.7")),
    ("ROUND(12345.678, -2)", Decimal("12300.000")),
    ("TRUNC(1.9E0)", 1),
    ("TRUNC(-1.9E0)", -1),
    ("TRUNC(1.98E0, 1)", 1.9),
    ("TRUNC(-1.98, 1)", Decimal("-1.90")),
    ("TRUNC(7)", 7),
    ("GREATEST(4, NULL, 17, 5)", 17),
    ("LEAST(4, NULL, 17, 5)", 4),
    ("GREATEST('apple', 'banana')", "banana"),
    ("GREATEST(CAST(NULL AS INT), NULL)", None),
    ("LEAST(1.5, 1.25)", Decimal("1.25")),
    ("GREATEST(1.5, 1.25E0)", 1.5),
    ("SQRT(9)", 3.0),
    ("CBRT(-8)", -2.0),
    ("EXP(0)", 1.0),
    ("LN(0)", -math.inf),
    ("LOG(13)", 2.5649493574615367),
    ("LOG(2, 8)", 3.0),
    ("LOG(1, 0)", math.nan),
    ("LOG(0, 8)", math.nan),
    ("LN(-1)", math.nan),
    ("SQRT(-1)", math.nan),
    ("EXP(1000)", math.inf),
    ("POWER(2, 10)", 1024.0),
    ("POWER(0, -1)", math.inf),
    ("POWER(-8, 0.5)", math.nan),
    ("POWER(10, 400)", math.inf),
    ("POWER(-10, 401)", -math.inf),
    ("PI()", math.pi),
    ("SIN(0)", 0.0),
    ("COS(0)", 1.0),
    ("TAN(0)", 0.0),
    ("ASIN(2)", math.nan),
    ("ACOS(1)", 0.0),
    ("ATAN(0)", 0.0),
    ("ATAN2(0, -3)", math.pi),
    ("SINH(0)", 0.0),
    ("COSH(1000)", math.inf),
    ("SINH(-1000)", -math.inf),
    ("TANH(0)", 0.0),
    ("COT(0)", math.inf),
    ("DEGREES(PI())", 180.0),
    ("RADIANS(180)", math.pi),
    ("GEO_DISTANCE(37.4439, -122.1663, 51, 0)", 8682.459061368269),
    ("GEO_DISTANCE(37.4439, -122.1663, 51.5257, -0.1122, 'MI')", 5365.659729188262),
    ("COALESCE(NULL, 1, 2)", 1),
    ("COALESCE(CAST(NULL AS INT))", None),
    ("IFNULL(CAST(NULL AS STRING), 'x')", "x"),
    ("NULLIF('a', 'a')", None),
    ("NULLIF('a', 'b')", "a"),
    ("NULLIF(ARRAY[1], ARRAY[1])", None),
    ("AS_VALUE(5)", 5),
]


@pytest.mark.parametrize(("sql", "expected"), CASES)
def test_values(value: Any, sql: str, expected: Any) -> None:
    given = value(sql)
    assert type(given) is type(expected)
    if isinstance(expected, float) and math.isfinite(expected):
        assert given == pytest.approx(expected, abs=1e-9)
    else:
        assert given == expected or (given != given and expected != expected)


@pytest.mark.parametrize(
    "sql", ["GEO_DISTANCE(91, 0, 0, 0)", "GEO_DISTANCE(0, 0, 0, 0, 'FEET')", "ROUND(SQRT(-1), 2)"]
)
def test_failures(value: Any, failed: Any, sql: str) -> None:
    assert value(sql) is failed


def test_random_numbers(value: Any) -> None:
    numbers = {value("RANDOM()") for _ in range(5)}
    assert len(numbers) > 1
    assert all(0 <= n < 1 for n in numbers)
