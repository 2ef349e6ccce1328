"""Expressions over values that nobody foresaw: null and a line in the log, and the row stays."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.feeding import feed_json, log, memory_database, rows, settle, states

COLUMNS = "a INT, l BIGINT, d DOUBLE, s VARCHAR, p VARCHAR, n DECIMAL(5, 2), f ARRAY<INT>"
INT_MAX, INT_MIN = 2**31 - 1, -(2**31)
LONG_MAX, LONG_MIN = 2**63 - 1, -(2**63)


def evaluated(expression: str, *given: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """What a query with the expression makes of rows, and what the log says."""
    with memory_database(
        f"CREATE STREAM given (k VARCHAR KEY, {COLUMNS})"
        " WITH (KAFKA_TOPIC = 'given', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
        f"CREATE STREAM results AS SELECT k, {expression} AS v FROM given;"
    ) as db:
        feed_json(db, "given", *given)
        settle(db)
        assert states(db) == {"CSAS_RESULTS_0": "RUNNING"}
        found = [v for _, v in rows(db, "SELECT * FROM results;")]
        assert len(found) == len(given)
        return found, [line.message for line in log(db) if line.kind == "expression"]


@pytest.mark.parametrize(
    ("expression", "given", "expected"),
    [
        ("a + 1", {"a": INT_MAX}, INT_MIN),
        ("a - 1", {"a": INT_MIN}, INT_MAX),
        ("a * a", {"a": INT_MAX}, 1),
        ("-a", {"a": INT_MIN}, INT_MIN),
        ("ABS(a)", {"a": INT_MIN}, INT_MIN),
        ("l + 1", {"l": LONG_MAX}, LONG_MIN),
        ("l * 2", {"l": LONG_MIN}, 0),
        ("-l", {"l": LONG_MIN}, LONG_MIN),
        ("CAST(l AS INT)", {"l": LONG_MAX}, -1),
        ("CAST(d AS INT)", {"d": 1e300}, INT_MAX),
        ("CAST(d AS BIGINT)", {"d": "-Infinity"}, LONG_MIN),
        ("CAST(d AS INT)", {"d": "NaN"}, 0),
        ("d * 10", {"d": 1e308}, float("inf")),
        ("d / 0", {"d": -1.0}, float("-inf")),
        ("n + 999.99", {"n": 999.99}, Decimal("1999.98")),
    ],
)
def test_numbers_overflow_as_in_java(expression: str, given: dict[str, Any], expected: Any) -> None:
    assert evaluated(expression, given) == ([expected], [])


@pytest.mark.parametrize(
    ("expression", "given", "message"),
    [
        ("a / 0", {"a": 1}, "division by zero"),
        ("a % a", {"a": 0}, "division by zero"),
        ("n / 0", {"n": 1}, "division by zero"),
        ("CAST(s AS INT)", {"s": "x"}, "'x' does not read as INTEGER"),
        ("CAST(s AS INT)", {"s": str(2**31)}, f"'{2**31}' is out of the range of INTEGER"),
        ("CAST(s AS BIGINT)", {"s": "9" * 9_000}, "is out of the range of BIGINT"),
        ("CAST(s AS DOUBLE)", {"s": "1e999"}, "'1e999' is out of the range of DOUBLE"),
        ("CAST(s AS DECIMAL(5, 2))", {"s": "1e99999999999999999999"}, "a number is beyond"),
        ("CAST(n AS DECIMAL(2, 1))", {"n": 99.99}, "99.99 is too large for DECIMAL(2, 1)"),
        ("CAST(d AS DECIMAL(5, 2))", {"d": "NaN"}, "NaN has no DECIMAL"),
        ("CAST(d AS DECIMAL(5, 2))", {"d": 1e300}, "is too large for DECIMAL(5, 2)"),
        ("CAST(s AS TIMESTAMP)", {"s": "soon"}, "'soon' is not a date"),
        ("EXTRACTJSONFIELD(s, '$.a')", {"s": "{"}, "the text is not JSON"),
        ("EXTRACTJSONFIELD(s, '$.a')", {"s": "[" * 100_000}, "nested too deeply"),
        ("JSON_ARRAY_LENGTH(s)", {"s": "[" + "9" * 9_000 + "]"}, "too many digits"),
        ("REGEXP_EXTRACT(s, 'x')", {"s": "("}, "is not a valid regular expression"),
        ("REGEXP_EXTRACT(s, 'x')", {"s": "(" * 5_000 + ")" * 5_000}, "nested too deeply"),
        ("REGEXP_EXTRACT(s, 'x')", {"s": "x{99999999999}"}, "repeats too often"),
        ("REGEXP_REPLACE(s, '(x)', '$2')", {"s": "x"}, "the pattern has no group $2"),
        ("GENERATE_SERIES(0, a)", {"a": INT_MAX}, "the array would have 2147483648 items"),
        ("RPAD(s, a, 'x')", {"s": "", "a": INT_MAX}, "the text would have a length of 2147483647"),
        ("LPAD(s, a, '😀')", {"s": "", "a": INT_MAX}, "the text would have a length"),
        ("REPLACE(s, 'x', RPAD('', 100000, 'y'))", {"s": "x" * 1_000}, "the text would have"),
        ("REGEXP_REPLACE(s, 'x', RPAD('', 100000, 'y'))", {"s": "x" * 1_000}, "the text would"),
        (
            "REDUCE(GENERATE_SERIES(1, 60), 'x', (all, i) => CONCAT(all, all))",
            {},
            "the text would have a length",
        ),
    ],
)
def test_what_has_no_value_is_null_and_logged(
    expression: str, given: dict[str, Any], message: str
) -> None:
    values, messages = evaluated(expression, given)
    assert values == [None]
    assert len(messages) == 1
    assert message in messages[0]


def test_the_rows_beside_one_that_fails_have_values() -> None:
    values, messages = evaluated("10 / a", {"a": 5}, {"a": 0}, {"a": None}, {"a": -3}, {})
    assert values == [2, None, None, -3, None]
    assert messages == ["division by zero"]  # a null has no quotient, which is no news


def test_case_evaluates_only_what_it_needs() -> None:
    values, messages = evaluated(
        "CASE WHEN a = 0 THEN -1 WHEN 10 / a > 2 THEN 1 ELSE 10 / (a - 9) END",
        {"a": 0},
        {"a": 1},
        {"a": 8},
        {"a": 9},
    )
    assert values == [-1, 1, -10, None]
    assert messages == ["division by zero"]


def test_a_predicate_that_fails_is_false() -> None:
    with memory_database(
        f"CREATE STREAM given (k VARCHAR KEY, {COLUMNS})"
        " WITH (KAFKA_TOPIC = 'given', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
        "CREATE STREAM kept AS SELECT k, a FROM given WHERE 10 / a >= 2;"
        "CREATE STREAM others AS SELECT k, a FROM given WHERE NOT (10 / a >= 2);"
    ) as db:
        feed_json(db, "given", {"a": 5}, {"a": 0}, {}, {"a": 10})
        settle(db)
        assert rows(db, "SELECT a FROM kept;") == [(5,)]
        assert rows(db, "SELECT a FROM others;") == [(10,)]
        assert [line.message for line in log(db)] == ["division by zero"] * 2


def test_concat_of_nulls_only_leaves_every_row_in_its_place() -> None:
    given = [{"s": s} for s in ("10", "", None, "x", None)]
    assert evaluated("CONCAT(s, s)", *given) == (["1010", "", "", "xx", ""], [])
    assert evaluated("s || p", *given)[0][3] is not None


@pytest.mark.parametrize(
    ("expression", "given", "expected"),
    [
        ("SPLIT(s, '')", {"s": ""}, [""]),
        ("SPLIT(s, '')", {"s": "ab"}, ["a", "b"]),
        ("SPLIT(s, p)", {"s": "", "p": ""}, [""]),
        ("REPLACE(s, '', 'x')", {"s": "ab"}, "xaxbx"),
        ("LPAD(s, 3, '')", {"s": "a"}, None),
        ("RPAD(s, 4, '😀')", {"s": "ab"}, "ab😀"),
        ("INSTR(s, '')", {"s": "ab"}, 1),
        ("SUBSTRING(s, 99, 99)", {"s": "ab"}, ""),
        ("ARRAY_JOIN(f, '')", {"f": []}, ""),
        ("f[99]", {"f": [1]}, None),
        ("REGEXP_SPLIT_TO_ARRAY(s, '')", {"s": ""}, [""]),
        ("s", {"s": "a\x00b"}, "a\x00b"),
        ("LEN(s)", {"s": "\x00😀"}, 3),
    ],
)
def test_empty_and_odd_texts(expression: str, given: dict[str, Any], expected: Any) -> None:
    assert evaluated(expression, given) == ([expected], [])


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("%a" * 200 + "%b", "a" * 100_000, False),
        ("%a" * 200 + "%", "a" * 100_000, True),
        ("%_a" * 50 + "%b", "a" * 20_000, False),
        ("_" * 5_000, "a" * 5_000, True),
        ("_" * 100_000, "a" * 100_000, True),
        ("%" * 10_000, "a" * 100, True),
        ("%a%", "b\na", False),
        ("b\na%", "b\nab", True),
    ],
)
def test_like_takes_time_by_the_lengths_only(pattern: str, text: str, expected: bool) -> None:
    assert evaluated("s LIKE p", {"s": text, "p": pattern}) == ([expected], [])
    written = pattern.replace("'", "''")
    assert evaluated(f"s LIKE '{written}'", {"s": text}) == ([expected], [])


def test_a_pattern_that_ends_with_its_escape_character() -> None:
    values, messages = evaluated("s LIKE 'a!' ESCAPE '!'", {"s": "a!"})
    assert values == [None]
    assert messages == ["the pattern 'a!' ends with its escape character"]
