"""Expressions: every form, and how tightly each binds."""

from __future__ import annotations

from decimal import Decimal

import pytest

from millstream import types as t
from millstream.errors import ParseError, Position
from millstream.sql import ast, format_expression, parse_expression, parse_type

A, B, C, D = (ast.ColumnRef(name) for name in "ABCD")
ONE, TWO, THREE = (ast.IntegerLiteral(value) for value in (1, 2, 3))


def _text(value: str) -> ast.StringLiteral:
    return ast.StringLiteral(value)


def _call(name: str, *arguments: ast.Expression) -> ast.FunctionCall:
    return ast.FunctionCall(name, arguments)


def _plus(left: ast.Expression, right: ast.Expression) -> ast.Arithmetic:
    return ast.Arithmetic("+", left, right)


def _equal(left: ast.Expression, right: ast.Expression) -> ast.Comparison:
    return ast.Comparison("=", left, right)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("null", ast.NullLiteral()),
        ("TRUE", ast.BooleanLiteral(True)),
        ("False", ast.BooleanLiteral(False)),
        ("007", ast.IntegerLiteral(7)),
        ("-1", ast.IntegerLiteral(-1)),
        ("-9223372036854775808", ast.IntegerLiteral(-(2**63))),
        ("9223372036854775807", ast.IntegerLiteral(2**63 - 1)),
        ("1.50", ast.DecimalLiteral(Decimal("1.50"))),
        ("-.5", ast.DecimalLiteral(Decimal("-0.5"))),
        ("1e3", ast.DoubleLiteral(1000.0)),
        ("'it''s'", _text("it's")),
        ("date '2020-01-01'", ast.TypedLiteral("DATE", "2020-01-01")),
        ("TIME '01:02'", ast.TypedLiteral("TIME", "01:02")),
        ("TIMESTAMP 'x'", ast.TypedLiteral("TIMESTAMP", "x")),
        ("a", A),
        ("`a`", ast.ColumnRef("a")),
        ('s."a"', ast.ColumnRef("a", "S")),
        ("a->b->c", ast.FieldAccess(ast.FieldAccess(A, "B"), "C")),
        ("a[1]['x']", ast.Subscript(ast.Subscript(A, ONE), _text("x"))),
        (
            "a.b->c[-1]",
            ast.Subscript(ast.FieldAccess(ast.ColumnRef("B", "A"), "C"), ast.IntegerLiteral(-1)),
        ),
        ("f()", _call("F")),
        ("`f`(a, 1)", _call("f", A, ONE)),
        ("count(*)", ast.FunctionCall("COUNT", (), star=True)),
        ("a || b || c", _call("CONCAT", _call("CONCAT", A, B), C)),
        ("-a", ast.Negation("-", A)),
        ("- -a", ast.Negation("-", ast.Negation("-", A))),
        ("-(1)", ast.Negation("-", ONE)),
        ("+1", ast.Negation("+", ONE)),
        ("a AT TIME ZONE 'UTC'", ast.AtTimeZone(A, "UTC")),
        ("a != b", ast.Comparison("<>", A, B)),
        ("a <> b", ast.Comparison("<>", A, B)),
        ("a IS DISTINCT FROM b", ast.Comparison("IS DISTINCT FROM", A, B)),
        ("a IS NOT DISTINCT FROM b", ast.Comparison("IS NOT DISTINCT FROM", A, B)),
        ("a IS NULL", ast.IsNull(A)),
        ("a IS NOT NULL", ast.IsNull(A, True)),
        ("a BETWEEN 1 AND 2", ast.Between(A, ONE, TWO)),
        ("a NOT BETWEEN 1 AND 2", ast.Between(A, ONE, TWO, True)),
        ("a IN (1)", ast.In(A, (ONE,))),
        ("a NOT IN (1, b = c)", ast.In(A, (ONE, _equal(B, C)), True)),
        ("a LIKE 'x%'", ast.Like(A, _text("x%"))),
        ("a NOT LIKE b ESCAPE '!'", ast.Like(A, B, "!", True)),
        ("CASE WHEN a THEN 1 END", ast.Case(None, (ast.When(A, ONE),), None)),
        (
            "CASE a WHEN 1 THEN b WHEN 2 THEN c ELSE d END",
            ast.Case(A, (ast.When(ONE, B), ast.When(TWO, C)), D),
        ),
        ("CAST(a AS VARCHAR(3))", ast.Cast(A, t.STRING)),
        ("ARRAY[]", ast.ArrayConstructor(())),
        ("array[a, 1]", ast.ArrayConstructor((A, ONE))),
        ("MAP()", ast.MapConstructor(())),
        ("MAP('k' := a, b := 1)", ast.MapConstructor(((_text("k"), A), (B, ONE)))),
        ("STRUCT()", ast.StructConstructor(())),
        ("STRUCT(x := a, `y` := 1)", ast.StructConstructor((("X", A), ("y", ONE)))),
        ("f(a, x => x + 1)", _call("F", A, ast.Lambda(("X",), _plus(ast.ColumnRef("X"), ONE)))),
        (
            "f(a, 1, (x, y) => x, z => z)",
            _call(
                "F",
                A,
                ONE,
                ast.Lambda(("X", "Y"), ast.ColumnRef("X")),
                ast.Lambda(("Z",), ast.ColumnRef("Z")),
            ),
        ),
        ("f((a), (b))", _call("F", A, B)),
        ("timestampadd(day, 1, a)", _call("TIMESTAMPADD", ast.TimeUnit("DAYS"), ONE, A)),
        ("DATESUB(HOURS, 1, a)", _call("DATESUB", ast.TimeUnit("HOURS"), ONE, A)),
    ],
)
def test_every_form(text: str, tree: ast.Expression) -> None:
    assert parse_expression(text) == tree
    assert parse_expression(format_expression(tree)) == tree


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a OR b AND c", "a OR (b AND c)"),
        ("a AND b OR c AND d", "(a AND b) OR (c AND d)"),
        ("NOT a AND b", "(NOT a) AND b"),
        ("NOT a = b", "NOT (a = b)"),
        ("NOT NOT a IS NULL", "NOT (NOT (a IS NULL))"),
        ("a BETWEEN 1 AND 2 AND b", "(a BETWEEN 1 AND 2) AND b"),
        ("a + 1 = b * 2", "(a + 1) = (b * 2)"),
        ("a + b * c", "a + (b * c)"),
        ("a - b - c", "(a - b) - c"),
        ("a / b * c % d", "((a / b) * c) % d"),
        ("-a * b", "(-a) * b"),
        ("a -1", "a - (1)"),
        ("a - -1", "a - (-1)"),
        ("a + b || c + d", "(a + b) || (c + d)"),
        ("-a AT TIME ZONE 'x'", "-(a AT TIME ZONE 'x')"),
        ("-a[1]", "-(a[1])"),
        ("a LIKE b || c", "a LIKE (b || c)"),
        ("a IN (1) OR b", "(a IN (1)) OR b"),
    ],
)
def test_what_binds_tighter(text: str, same: str) -> None:
    assert parse_expression(text) == parse_expression(same)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "a = b = c",
        "a IS NULL IS NULL",
        "a = NOT b",
        "a + NOT b",
        "a NOT b",
        "a IS TRUE",
        "a == b",
        "a IN ()",
        "a IN (SELECT b FROM c)",
        "(SELECT a FROM b)",
        "(a",
        "a)",
        "a LIKE 'x' ESCAPE 'ab'",
        "a LIKE 'x' ESCAPE b",
        "CASE END",
        "CASE WHEN a THEN END",
        "CASE WHEN a THEN b",
        "CAST(a, INT)",
        "CAST(a AS )",
        "ARRAY[1,]",
        "ARRAY[1",
        "MAP(a)",
        "MAP(a = b)",
        "STRUCT(1 := a)",
        "f(a,)",
        "f(,a)",
        "f(x => x)",
        "f(a, x => x, b)",
        "f(a, (x, x) => x)",
        "x => x",
        "COUNT(DISTINCT a)",
        "a.*",
        "a->*",
        "a->1",
        "a.b.c",
        "9223372036854775808",
        "-9223372036854775809",
        "1e999",
        "a AND",
        "AND a",
        "from",
        "a -> select",
    ],
)
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(ParseError):
        parse_expression(text)


@pytest.mark.parametrize(
    "word",
    [
        "time",
        "date",
        "bytes",
        "level",
        "count",
        "status",
        "key",
        "type",
        "topic",
        "window",
        "values",
        "timestamp",
        "day",
        "array",
        "map",
        "struct",
        "emit",
        "partition",
        "stream",
        "table",
        "at",
        "escape",
        "session",
        "id",
        "final",
        "changes",
        "headers",
    ],
)
def test_words_with_a_meaning_elsewhere_are_names(word: str) -> None:
    column = ast.ColumnRef(word.upper())
    for tree in (column, _plus(column, ONE), _call("F", column), ast.Like(A, column)):
        assert parse_expression(format_expression(tree)) == tree
    assert parse_expression(f"{word} + 1") == _plus(column, ONE)
    assert parse_expression(f"f({word})") == _call("F", column)


def test_a_unit_of_time_is_a_column_in_other_calls() -> None:
    assert parse_expression("SUM(day)") == _call("SUM", ast.ColumnRef("DAY"))
    quoted = parse_expression("DATEADD(`DAYS`, 1, a)")
    assert quoted == _call("DATEADD", ast.ColumnRef("DAYS"), ONE, A)
    assert parse_expression(format_expression(quoted)) == quoted


def test_operators_stand_for_all_of_their_text() -> None:
    tree = parse_expression("  a AND\n f(b) >= c->d ")
    assert isinstance(tree, ast.Logical)
    assert tree.position == Position(1, 3, 5)
    assert tree.right.position == Position(2, 2, 12)
    assert isinstance(tree.right, ast.Comparison)
    assert tree.right.left.position == Position(2, 2, 1)
    assert tree.right.right.position == Position(2, 10, 4)


def test_positions_take_no_part_in_equality() -> None:
    assert parse_expression("a+b") == parse_expression("  a \n + b")


@pytest.mark.parametrize("op", ["AND", "OR"])
def test_long_chains_of_conditions_stay_shallow(op: str) -> None:
    tree = parse_expression(f" {op} ".join(f"a = {i}" for i in range(3_000)))
    assert parse_expression(format_expression(tree)) == tree

    def depth(node: ast.Expression) -> int:
        return 1 + max(depth(node.left), depth(node.right)) if isinstance(node, ast.Logical) else 0

    assert depth(tree) < 100


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("(", ")"),
        ("f(a, ", ")"),
        ("ARRAY[", "]"),
        ("a[", "]"),
        ("CASE WHEN a THEN ", " END"),
        ("f(a, x => ", ")"),
        ("CAST(", " AS INT)"),
        ("NOT ", ""),
        ("- ", ""),
        ("1 + (", ")"),
    ],
)
def test_nesting_has_a_limit(opening: str, closing: str) -> None:
    parse_expression(opening * 45 + "a" + closing * 45)
    with pytest.raises(ParseError, match="more than"):
        parse_expression(opening * 5_000 + "a" + closing * 5_000)


@pytest.mark.parametrize("text", ["a" + " + 1" * 5_000, "a" + "->b" * 5_000, "a" + "[1]" * 5_000])
def test_rows_of_operators_have_a_limit(text: str) -> None:
    with pytest.raises(ParseError, match="in a row"):
        parse_expression(text)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("int", t.INTEGER),
        ("INTEGER", t.INTEGER),
        ("varchar", t.STRING),
        ("VARCHAR(20)", t.STRING),
        ("VARCHAR(STRING)", t.STRING),
        ("`STRING`", t.STRING),
        ("DECIMAL(10, 2)", t.Decimal(10, 2)),
        ("ARRAY<INT>", t.Array(t.INTEGER)),
        ("INT ARRAY ARRAY", t.Array(t.Array(t.INTEGER))),
        ("ARRAY<ARRAY<INT>>", t.Array(t.Array(t.INTEGER))),
        ("MAP<STRING, BYTES>", t.Map(t.STRING, t.BYTES)),
        (
            "STRUCT<a INT, `b` STRUCT<c DATE>>",
            t.Struct(
                (
                    t.Field("A", t.INTEGER),
                    t.Field("b", t.Struct((t.Field("C", t.DATE),))),
                )
            ),
        ),
        ("STRUCT<>", t.Struct(())),
        ("STRUCT< >", t.Struct(())),
        (
            "STRUCT<time TIME, type TIMESTAMP>",
            t.Struct((t.Field("TIME", t.TIME), t.Field("TYPE", t.TIMESTAMP))),
        ),
        ("address", t.NamedType("ADDRESS")),
        ("`Address`", t.NamedType("Address")),
    ],
)
def test_types(text: str, parsed: t.SqlType) -> None:
    assert parse_type(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "NULL",
        "MAP<STRING, NULL>",
        "ARRAY<>",
        "ARRAY",
        "MAP<INT>",
        "DECIMAL",
        "DECIMAL(4)",
        "DECIMAL(0, 0)",
        "DECIMAL(2, 3)",
        "DECIMAL(a, b)",
        "STRUCT<INT>",
        "INT(KEY)",
        "VARCHAR()",
        "KEY",
        "ARRAY<INT",
        "1",
        "'INT'",
        "ARRAY<" * 500,
    ],
)
def test_what_is_no_type(text: str) -> None:
    with pytest.raises(ParseError):
        parse_type(text)
