"""The columnar form of every operator equals its row form, whatever the rows hold."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

INT = st.integers(-(2**31), 2**31 - 1) | st.integers(-3, 3)
LONG = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)
DOUBLE = st.floats() | st.sampled_from([0.0, -0.0, 1.5, 2.0, 1e7, 0.1])
NUMERAL = st.from_regex(r"[ +-]?[0-9]{0,12}(\.[0-9]{1,3})?(e[0-9]{1,2})?", fullmatch=True)
TEXT = st.text(max_size=12) | NUMERAL | st.sampled_from(["a.html", "x\nhtml", "tr", "abc"])
MONEY = st.decimals(min_value=Decimal("-9999.99"), max_value=Decimal("9999.99"), places=2)

ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "I": INT,
            "L": LONG,
            "D": DOUBLE,
            "S": TEXT,
            "B": st.booleans(),
            "N": MONEY,
            "Y": st.binary(max_size=3),
            "TS": st.integers(-(10**14), 10**14),
            "A": st.lists(st.none() | INT, max_size=3),
            "R": st.fixed_dictionaries({"F": st.none() | INT, "G": st.none() | TEXT}),
        },
    ),
    max_size=30,
)

EXPRESSIONS = [
    "I + 1", "I - L", "L * 3", "I / 7", "L / I", "I % -3", "L % I", "-I", "-L", "-D",
    "D + I", "D * D", "D / D", "D % 3", "N + 1", "N - N", "N * 2.5", "N / 4", "N % 3", "-N",
    "I = 1", "I <> L", "I < 1.5", "L >= -0.5", "1.5 > I", "D < 1.5", "D = 0.1", "D <> D",
    "D <> 2", "N > 1.25", "N = D", "N <= I", "S = 'abc'", "S < 'b'", "S <> ''", "Y < Y", "Y = Y",
    "I IS DISTINCT FROM L", "S IS NOT DISTINCT FROM 'abc'", "D IS DISTINCT FROM 1.5",
    "I IN (1, 2, 3)", "S IN ('abc', 'tr')", "L IN (I, 2)", "S IS NULL", "B IS NOT NULL",
    "S LIKE '%html%'", "S LIKE 'a%'", "S LIKE '_b%'", "S NOT LIKE '%c'", "NOT B",
    "B AND I > 0", "B OR I > 0", "I > 0 AND 10 / I > 1", "I < 0 OR CAST(S AS INT) = 1",
    "NOT (B AND S = 'abc') OR D > 1", "I BETWEEN -2 AND 2",
    "CASE WHEN B THEN S ELSE 'no' END", "CASE WHEN I > 0 THEN 10 / I WHEN B THEN L END",
    "CASE I WHEN 1 THEN 'one' WHEN 2 THEN S END", "CASE WHEN B THEN A ELSE ARRAY[I] END",
    "CAST(I AS STRING)", "CAST(L AS INT)", "CAST(D AS INT)", "CAST(D AS BIGINT)",
    "CAST(D AS STRING)", "CAST(S AS INT)", "CAST(S AS BIGINT)", "CAST(S AS DOUBLE)",
    "CAST(S AS BOOLEAN)", "CAST(B AS STRING)", "CAST(I AS DOUBLE)", "CAST(N AS INT)",
    "CAST(N AS STRING)", "CAST(TS AS STRING)", "CAST(A AS STRING)", "CAST(I AS DECIMAL(5, 2))",
    "A[I]", "A[-1]", "R->F", "R->G", "STRUCT(X := I, Y := S)", "ARRAY[I, 2]",
    "S + 'x'", "S || '-' || CAST(I AS STRING)", "COALESCE(I, 5)", "IFNULL(S, 'none')",
    "COALESCE(S, R->G, 'none')", "NULLIF(I, 1)", "UCASE(S)", "LCASE(S)", "LEN(S)", "TRIM(S)",
    "SUBSTRING(S, 2)", "SUBSTRING(S, -3)", "SUBSTRING(S, 2, 3)", "SUBSTRING(S, -3, 2)",
    "SUBSTRING(S, I, 2)", "SUBSTRING(S, 0)", "CONCAT(S, '-', R->G)", "ABS(I)", "ABS(L)", "ABS(D)",
    "CEIL(D)", "FLOOR(D)", "ROUND(D)", "GREATEST(I, 3)", "LEAST(L, L)", "GREATEST(D, 1.5E0)",
    "UNIX_TIMESTAMP(TS)", "ARRAY_LENGTH(A)", "LEN(Y)", "REPLACE(S, 'a', 'b')",
    "TRANSFORM(A, x => x + I)", "CONCAT_WS('-', S, 'x')",
]  # fmt: skip


def _plain(value: Any) -> Any:
    """The value in a form whose equality tells apart what differs."""
    if isinstance(value, float):
        return "NaN" if value != value else (repr(value), "double")
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return (type(value).__name__, value)


@pytest.mark.parametrize("sql", EXPRESSIONS)
@given(rows=ROWS)
@settings(max_examples=15)
def test_columns_equal_rows(table: Any, sql: str, rows: list[dict[str, Any]]) -> None:
    columnar, single = table.rows(sql, rows), table.by_row(sql, rows)
    assert [_plain(v) for v in columnar.values] == [_plain(v) for v in single.values]
    assert len(columnar.reports) == len(single.reports)


@pytest.mark.parametrize("sql", EXPRESSIONS)
@given(rows=ROWS, cut=st.integers(0, 30))
@settings(max_examples=5)
def test_cutting_a_batch_changes_nothing(
    table: Any, sql: str, rows: list[dict[str, Any]], cut: int
) -> None:
    whole = table.rows(sql, rows)
    parts = table.rows(sql, rows[:cut]).values + table.rows(sql, rows[cut:]).values
    assert [_plain(v) for v in whole.values] == [_plain(v) for v in parts]
