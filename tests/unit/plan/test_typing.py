"""Typing of expressions: types, conversions, overloads, and errors that say where and what."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from millstream import types as t
from millstream.errors import SemanticError
from millstream.functions import default_registry
from millstream.functions.registry import Generic, Registry, ScalarFunction, Variant
from millstream.plan import typed
from millstream.plan.coercion import coerce_value
from millstream.plan.typing import (
    literal_value,
    type_expression,
    type_predicate,
    unknown_column,
)
from millstream.sql import ast, parse_expression, parse_type

COLUMNS: dict[str, t.SqlType] = {
    "I": t.INTEGER,
    "L": t.BIGINT,
    "D": t.DOUBLE,
    "S": t.STRING,
    "B": t.BOOLEAN,
    "N": t.Decimal(4, 2),
    "TS": t.TIMESTAMP,
    "DT": t.DATE,
    "TM": t.TIME,
    "Y": t.BYTES,
    "A": t.Array(t.INTEGER),
    "M": t.Map(t.STRING, t.INTEGER),
    "R": t.Struct((t.Field("STATE", t.STRING), t.Field("CITY", t.STRING))),
    "ROWTIME": t.BIGINT,
}


class Columns:
    def resolve(self, ref: ast.ColumnRef) -> typed.Column:
        if ref.name not in COLUMNS:
            raise unknown_column(ref, COLUMNS)
        index = list(COLUMNS).index(ref.name)
        return typed.Column(type=COLUMNS[ref.name], index=index, name=ref.name)


REGISTRY = default_registry()


def _typed(sql: str, registry: Registry = REGISTRY) -> typed.Expression:
    return type_expression(parse_expression(sql), Columns(), registry)


def _error(sql: str) -> SemanticError:
    with pytest.raises(SemanticError) as caught:
        _typed(sql)
    return caught.value


@pytest.mark.parametrize(
    ("sql", "sql_type"),
    [
        ("1", "INT"),
        ("2147483647", "INT"),
        ("2147483648", "BIGINT"),
        ("-2147483648", "INT"),
        ("-9223372036854775808", "BIGINT"),
        ("1.5", "DECIMAL(2, 1)"),
        ("0.05", "DECIMAL(2, 2)"),
        ("0.0", "DECIMAL(2, 1)"),
        ("1e3", "DOUBLE"),
        ("'x'", "STRING"),
        ("TRUE", "BOOLEAN"),
        ("DATE '2020-01-01'", "DATE"),
        ("I + I", "INT"),
        ("I + L", "BIGINT"),
        ("L * D", "DOUBLE"),
        ("N + D", "DOUBLE"),
        ("N + N", "DECIMAL(5, 2)"),
        ("N - 1", "DECIMAL(13, 2)"),
        ("N + L", "DECIMAL(22, 2)"),
        ("N * N", "DECIMAL(9, 4)"),
        ("N / N", "DECIMAL(11, 7)"),
        ("N % N", "DECIMAL(4, 2)"),
        ("I % 2.50", "DECIMAL(3, 2)"),
        ("S + S", "STRING"),
        ("S || 'x'", "STRING"),
        ("I = 1", "BOOLEAN"),
        ("A[1]", "INT"),
        ("M['x']", "INT"),
        ("R->CITY", "STRING"),
        ("CASE WHEN B THEN 1 ELSE L END", "BIGINT"),
        ("CASE WHEN B THEN NULL ELSE N END", "DECIMAL(4, 2)"),
        ("CASE WHEN B THEN I ELSE 1.5 END", "DECIMAL(11, 1)"),
        ("ARRAY[NULL, 10, '2e1', I, L]", "ARRAY<DECIMAL(19, 0)>"),
        ("ARRAY[1, 2147483648]", "ARRAY<BIGINT>"),
        ("ARRAY[1, D, 1.5]", "ARRAY<DOUBLE>"),
        ("ARRAY[ARRAY[1], ARRAY[L]]", "ARRAY<ARRAY<BIGINT>>"),
        ("MAP('a' := I, 10 := 'b' )", None),
        ("MAP(S := TRUE, 'x' := 'no')", "MAP<STRING, BOOLEAN>"),
        ("STRUCT(X := I, Y := S)", "STRUCT<X INT, Y STRING>"),
        ("ARRAY[STRUCT(X := I), STRUCT(Y := S)]", "ARRAY<STRUCT<Y STRING, X INT>>"),
        ("COALESCE(NULL, I)", "INT"),
        ("ABS(N)", "DECIMAL(4, 2)"),
        ("ROUND(N)", "DECIMAL(2, 0)"),
        ("ROUND(D)", "BIGINT"),
        ("GREATEST(N, CAST(1 AS DECIMAL(7, 6)))", "DECIMAL(8, 6)"),
        ("GREATEST(DT, '2022-06-14')", "DATE"),
        ("ENTRIES(M, TRUE)", "ARRAY<STRUCT<K STRING, V INT>>"),
        ("TRANSFORM(A, x => x + L)", "ARRAY<BIGINT>"),
        ("TRANSFORM(M, (k, v) => LEN(k), (k, v) => k)", "MAP<INT, STRING>"),
        ("REDUCE(A, 0, (s, x) => s + x)", "INT"),
        ("DATEADD(DAYS, 5, DT)", "DATE"),
        ("CAST(NULL AS MAP<STRING, INT>)", "MAP<STRING, INT>"),
    ],
)
def test_types(sql: str, sql_type: str | None) -> None:
    if sql_type is None:
        _error(sql)
    else:
        assert _typed(sql).type == parse_type(sql_type)


def test_a_bare_null_has_no_type_until_one_is_expected() -> None:
    assert _typed("NULL").type is None
    literal = type_expression(parse_expression("NULL"), Columns(), REGISTRY, t.INTEGER)
    assert literal == typed.Literal(type=t.INTEGER, value=None)


def test_expected_types_convert_where_that_is_implicit() -> None:
    assert type_expression(parse_expression("1"), Columns(), REGISTRY, t.BIGINT).type == t.BIGINT
    widened = type_expression(parse_expression("I"), Columns(), REGISTRY, t.DOUBLE)
    assert isinstance(widened, typed.Cast)
    assert widened.implicit
    with pytest.raises(SemanticError):
        type_expression(parse_expression("D"), Columns(), REGISTRY, t.INTEGER)


def test_conversions_are_explicit() -> None:
    added = _typed("I + L")
    assert isinstance(added, typed.Arithmetic)
    assert isinstance(added.left, typed.Cast)
    assert added.left.implicit
    assert isinstance(added.right, typed.Column)
    exact = _typed("N + 1")
    assert isinstance(exact, typed.Arithmetic)
    assert exact.right == typed.Literal(type=t.Decimal(10, 0), value=Decimal(1))


def test_literals_take_the_type_they_meet() -> None:
    compared = _typed("DT = '1970-01-11'")
    assert isinstance(compared, typed.Comparison)
    assert compared.right == typed.Literal(type=t.DATE, value=10)
    found = _typed("B IN ('yes', 'F')")
    assert isinstance(found, typed.In)
    assert [i.value for i in found.items if isinstance(i, typed.Literal)] == [True, False]


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2018", 1514764800000),
        ("2018-01-01T00:00:00.001", 1514764800001),
        ("2020-02-10T08:31:44.001+0000", 1581323504001),
        ("2019-01-01T00:00:00+0445", 1546283700000),
        ("2019-01-01T00", 1546300800000),
        ("2019-01-01T1", 1546336800000),
    ],
)
def test_row_times_compare_with_texts(text: str, ms: int) -> None:
    for sql in (f"ROWTIME > '{text}'", f"'{text}' < ROWTIME"):
        compared = _typed(sql)
        assert isinstance(compared, typed.Comparison)
        assert typed.Literal(type=t.BIGINT, value=ms) in (compared.left, compared.right)
    assert isinstance(_typed(f"ROWTIME BETWEEN '{text}' AND 5"), typed.Logical)


def test_between_and_simple_case_are_lowered() -> None:
    between = _typed("I NOT BETWEEN 1 AND L")
    assert isinstance(between, typed.Not)
    assert isinstance(between.operand, typed.Logical)
    case = _typed("CASE I WHEN 1 THEN 'a' END")
    assert isinstance(case, typed.Case)
    assert isinstance(case.whens[0][0], typed.Comparison)


def test_lambdas_have_names_of_their_own() -> None:
    call = _typed("TRANSFORM(A, x => REDUCE(A, x, (s, x) => s + x))")
    assert isinstance(call, typed.Call)
    outer = call.arguments[1]
    assert isinstance(outer, typed.Lambda)
    assert isinstance(outer.body, typed.Call)
    inner = outer.body.arguments[2]
    assert isinstance(inner, typed.Lambda)
    names = [p.name for p in (*outer.parameters, *inner.parameters)]
    assert len(set(names)) == 3
    assert outer.body.arguments[1].name == names[0]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("sql", "column", "words"),
    [
        ("I + NOPE", 5, "NOPE"),
        ("I + S", 1, "numbers"),
        ("B + B", 1, "numbers"),
        ("I + NULL", 1, "NULL"),
        ("-S", 1, "number"),
        ("I = NULL", 1, "NULL"),
        ("I = '1'", 1, "compared"),
        ("B < TRUE", 1, "compared"),
        ("M < M", 1, "compared"),
        ("R > R", 1, "compared"),
        ("TM = DT", 1, "compared"),
        ("Y = S", 1, "compared"),
        ("S = 5", 1, "compared"),
        ("I LIKE 'x'", 1, "LIKE"),
        ("NOT I", 5, "BOOLEAN"),
        ("B AND S", 7, "BOOLEAN"),
        ("CASE WHEN I THEN 1 END", 11, "BOOLEAN"),
        ("CASE WHEN B THEN 1 ELSE S END", 25, "go together"),
        ("CASE WHEN B THEN NULL END", 1, "NULL"),
        ("ARRAY[]", 1, "at least one"),
        ("ARRAY[NULL]", 1, "NULL"),
        ("ARRAY[1, 'not a number']", 10, "INTEGER"),
        ("MAP()", 1, "at least one"),
        ("MAP(NULL := 1)", 1, "NULL"),
        ("STRUCT(X := 1, X := 2)", 1, "twice"),
        ("STRUCT(X := NULL)", 13, "type"),
        ("I IN (1, S)", 10, "go together"),
        ("B IN (TRUE, 'Not a boolean')", 13, "BOOLEAN"),
        ("A IN (ARRAY[B])", 13, "go together"),
        ("R IN (STRUCT(STATE := 5, CITY := I))", 34, "go together"),
        ("R->STAET", 1, "STAET"),
        ("S->X", 1, "STRUCT"),
        ("I[1]", 1, "ARRAY"),
        ("A['x']", 3, "whole number"),
        ("M[1.5]", 3, "STRING"),
        ("CAST(S AS STRUCT<F INT>)", 1, "cast"),
        ("CAST(B AS INT)", 1, "cast"),
        ("CAST(Y AS STRING)", 1, "cast"),
        ("ABSS(I)", 1, "ABSS"),
        ("ABS(S)", 1, "STRING"),
        ("ABS()", 1, "()"),
        ("COALESCE(I, L)", 1, "BIGINT"),
        ("GREATEST(I, L, N)", 1, "ambiguous"),
        ("GREATEST(NULL, NULL)", 1, "ambiguous"),
        ("COALESCE(NULL, NULL)", 1, "told"),
        ("COUNT(I)", 1, "aggregate"),
        ("EXPLODE(A)", 1, "table function"),
        ("TRANSFORM(A, (x, y) => x)", 1, "LAMBDA"),
        ("TRANSFORM(A, 5)", 1, "INTEGER"),
        ("FILTER(A, x => x + 1)", 11, "BOOLEAN"),
        ("REDUCE(A, 0, (s, x) => 'x')", 14, "INTEGER"),
        ("TRANSFORM(NULL, x => x)", 17, "told"),
        ("DATEADD(5, 5, DT)", 1, "INTEGER"),
        ("ABS(DAYS)", 5, "DAYS"),
        ("ROWTIME > 'yesterday'", 11, "yesterday"),
        ("DT = '1970-13-01'", 6, "1970-13-01"),
        ("TIMESTAMP 'soon'", 1, "soon"),
    ],
)
def test_errors_say_where_and_what(sql: str, column: int, words: str) -> None:
    error = _error(sql)
    assert words in error.message
    assert error.position is not None
    assert error.position.line == 1
    assert error.position.column == column


def test_suggestions() -> None:
    assert "Did you mean ABS?" in (_error("ABSS(I)").hint or "")
    assert "Did you mean ROWTIME?" in (_error("ROWTIM > 1").hint or "")
    assert "Did you mean STATE?" in (_error("R->STAET").hint or "")
    assert "SUBSTRING(STRING, INTEGER)" in (_error("SUBSTRING(I)").hint or "")


def test_predicates_are_boolean() -> None:
    assert type_predicate(parse_expression("I = 1"), Columns(), REGISTRY).type == t.BOOLEAN
    for sql in ("'not a boolean'", "RANDOM() + 1.5", "NULL"):
        with pytest.raises(SemanticError):
            type_predicate(parse_expression(sql), Columns(), REGISTRY)


# --- overloads ---------------------------------------------------------------------------------


def _variant(*parameters: Any, variadic: int | None = None) -> Variant:
    return Variant(parameters, t.STRING, lambda *a: None, variadic=variadic)


def _chosen(sql: str, *variants: Variant) -> int:
    registry = Registry()
    registry.add(ScalarFunction("F", "test", "A function to resolve.", variants))
    call = _typed(sql, registry)
    assert isinstance(call, typed.Call)
    return variants.index(call.variant)


def test_exact_types_come_before_widened_ones() -> None:
    variants = (_variant(t.BIGINT), _variant(t.INTEGER), _variant(t.DOUBLE))
    assert _chosen("F(I)", *variants) == 1
    assert _chosen("F(L)", *variants) == 0
    assert _chosen("F(N)", *variants) == 2


def test_fixed_parameters_come_before_repeated_ones() -> None:
    variants = (_variant(t.INTEGER, variadic=0), _variant(t.INTEGER, t.INTEGER), _variant())
    assert _chosen("F(I, I)", *variants) == 1
    assert _chosen("F(I, I, I)", *variants) == 0
    assert _chosen("F(I)", *variants) == 0
    assert _chosen("F()", *variants) == 2


def test_a_repeated_parameter_may_stand_anywhere() -> None:
    variants = (_variant(t.INTEGER, t.STRING, t.BOOLEAN, variadic=1),)
    for sql in ("F(I, B)", "F(I, S, B)", "F(I, S, S, S, B)"):
        assert _chosen(sql, *variants) == 0
    for sql in ("F(I)", "F(I, S)", "F(I, I, B)"):
        with pytest.raises(SemanticError):
            _chosen(sql, *variants)


def test_known_types_come_before_type_variables() -> None:
    variants = (_variant(Generic("T")), _variant(t.STRING))
    assert _chosen("F(S)", *variants) == 1
    assert _chosen("F(I)", *variants) == 0
    assert _chosen("F(NULL)", *variants) == 1


# --- constants ---------------------------------------------------------------------------------


def test_literal_values() -> None:
    assert literal_value(parse_expression("-5")) == -5
    assert literal_value(parse_expression("'x'")) == "x"
    assert literal_value(parse_expression("NULL")) is None
    with pytest.raises(SemanticError):
        literal_value(parse_expression("1 + 1"))
    with pytest.raises(SemanticError):
        literal_value(parse_expression("X"))


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (1, "INT", "DECIMAL(4, 2)", Decimal("1.00")),
        (1, "INT", "DOUBLE", 1.0),
        (Decimal("1.5"), "DECIMAL(2, 1)", "DOUBLE", 1.5),
        (Decimal("1.50"), "DECIMAL(3, 2)", "DECIMAL(4, 1)", Decimal("1.5")),
        (None, "INT", "DOUBLE", None),
        ("2020-01-01", "STRING", "TIMESTAMP", 1577836800000),
        ("IQ==", "STRING", "BYTES", b"!"),
        ([1, None], "ARRAY<INT>", "ARRAY<BIGINT>", [1, None]),
        ({"a": 1}, "MAP<STRING, INT>", "MAP<STRING, DOUBLE>", {"a": 1.0}),
        ({"X": 1}, "STRUCT<X INT>", "STRUCT<X BIGINT, Y INT>", {"X": 1, "Y": None}),
    ],
)
def test_strict_conversion(value: Any, source: str, target: str, expected: Any) -> None:
    given = coerce_value(value, parse_type(source), parse_type(target))
    assert given == expected
    assert type(given) is type(expected)


@pytest.mark.parametrize(
    ("value", "source", "target"),
    [
        (Decimal("1.234"), "DECIMAL(4, 3)", "DECIMAL(3, 2)"),
        (1000, "INT", "DECIMAL(4, 2)"),
        (1.5, "DOUBLE", "INT"),
        (2**40, "BIGINT", "INT"),
        ("1", "STRING", "INT"),
        (1, "INT", "STRING"),
        (True, "BOOLEAN", "STRING"),
        ({"Z": 1}, "STRUCT<Z INT>", "STRUCT<X INT>"),
        ("soon", "STRING", "DATE"),
    ],
)
def test_strict_conversion_refuses(value: Any, source: str, target: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        coerce_value(value, parse_type(source), parse_type(target))
