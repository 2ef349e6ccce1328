"""Queries: clauses, joins, windows, and words that are names here and clauses there."""

from __future__ import annotations

import pytest

from millstream.errors import ParseError
from millstream.sql import ast, format_statement, parse_statement

A, B = ast.ColumnRef("A"), ast.ColumnRef("B")
ONE = ast.IntegerLiteral(1)


def _query(text: str) -> ast.Query:
    statement = parse_statement(text)
    assert isinstance(statement, ast.Select)
    assert parse_statement(format_statement(statement)) == statement
    return statement.query


def _from(text: str) -> ast.Relation:
    return _query(f"SELECT * FROM {text};").relation


def _relation(name: str, alias: str | None = None) -> ast.NamedRelation:
    return ast.NamedRelation(name, alias or name)


def _seconds(value: int) -> ast.Duration:
    return ast.Duration(value, "SECONDS")


def test_every_clause() -> None:
    query = _query(
        "select a, b as x from s window tumbling (size 1 second) where a = 1 group by a, b"
        " partition by b having b = 1 emit changes limit 3;"
    )
    assert query == ast.Query(
        select=(ast.SelectItem(A), ast.SelectItem(B, "X")),
        relation=_relation("S"),
        window=ast.TumblingWindow(_seconds(1)),
        where=ast.Comparison("=", A, ONE),
        group_by=(A, B),
        partition_by=(B,),
        having=ast.Comparison("=", B, ONE),
        emit=ast.Emit.CHANGES,
        limit=3,
    )
    assert _query("SELECT a FROM s EMIT FINAL;").emit is ast.Emit.FINAL


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("*", ast.SelectAll()),
        ("s.*", ast.SelectAll("S")),
        ("`s`.*", ast.SelectAll("s")),
        ("a->*", ast.SelectStructAll(A)),
        ("s.a[1]->b->*", None),
        ("(a)->*", ast.SelectStructAll(A)),
        ("a b", ast.SelectItem(A, "B")),
        ("a AS b", ast.SelectItem(A, "B")),
        ("a `b`", ast.SelectItem(A, "b")),
        ("a AS window", ast.SelectItem(A, "WINDOW")),
        ("a emit", ast.SelectItem(A, "EMIT")),
        ("a partition", ast.SelectItem(A, "PARTITION")),
        ("window", ast.SelectItem(ast.ColumnRef("WINDOW"))),
        ("a AND b", ast.SelectItem(ast.Logical("AND", A, B))),
    ],
)
def test_items(text: str, item: ast.Selection | None) -> None:
    items = _query(f"SELECT {text} FROM s;").select
    if item is None:
        assert isinstance(items[0], ast.SelectStructAll)
    else:
        assert items == (item,)


@pytest.mark.parametrize(
    ("text", "relation"),
    [
        ("s", _relation("S")),
        ("s x", _relation("S", "X")),
        ("s AS x", _relation("S", "X")),
        ("`s`", _relation("s")),
        ("window", _relation("WINDOW")),
        ("s window", _relation("S", "WINDOW")),
        ("s emit", _relation("S", "EMIT")),
        ("values", _relation("VALUES")),
    ],
)
def test_relations(text: str, relation: ast.Relation) -> None:
    assert _from(text) == relation


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("JOIN", "INNER"),
        ("INNER JOIN", "INNER"),
        ("LEFT JOIN", "LEFT"),
        ("LEFT OUTER JOIN", "LEFT"),
        ("RIGHT OUTER JOIN", "RIGHT"),
        ("FULL JOIN", "FULL"),
        ("full outer join", "FULL"),
    ],
)
def test_joins(words: str, kind: str) -> None:
    condition = ast.Comparison("=", ast.ColumnRef("ID", "S"), ast.ColumnRef("ID", "T"))
    assert _from(f"s {words} t ON s.id = t.id") == ast.Join(
        ast.JoinKind(kind), _relation("S"), _relation("T"), condition
    )


def test_joins_nest_to_the_left() -> None:
    relation = _from("a JOIN b x WITHIN 1 SECOND ON a LEFT JOIN c ON b")
    assert relation == ast.Join(
        ast.JoinKind.LEFT,
        ast.Join(
            ast.JoinKind.INNER,
            _relation("A"),
            _relation("B", "X"),
            A,
            ast.Within(_seconds(1), _seconds(1)),
        ),
        _relation("C"),
        B,
    )


@pytest.mark.parametrize(
    ("text", "within"),
    [
        ("WITHIN 2 SECONDS", ast.Within(_seconds(2), _seconds(2))),
        ("WITHIN (1 SECOND, 2 SECONDS)", ast.Within(_seconds(1), _seconds(2))),
        (
            "WITHIN (1 SECOND, 2 SECONDS) GRACE PERIOD 3 SECONDS",
            ast.Within(_seconds(1), _seconds(2), _seconds(3)),
        ),
        (
            "WITHIN 1 DAY GRACE PERIOD 0 MILLISECONDS",
            ast.Within(
                ast.Duration(1, "DAYS"),
                ast.Duration(1, "DAYS"),
                ast.Duration(0, "MILLISECONDS"),
            ),
        ),
    ],
)
def test_within(text: str, within: ast.Within) -> None:
    relation = _from(f"s JOIN t {text} ON a")
    assert isinstance(relation, ast.Join)
    assert relation.within == within


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("TUMBLING (SIZE 1 SECOND)", ast.TumblingWindow(_seconds(1))),
        (
            "HOPPING (SIZE 2 SECONDS, ADVANCE BY 1 SECOND)",
            ast.HoppingWindow(_seconds(2), _seconds(1)),
        ),
        ("SESSION (30 seconds)", ast.SessionWindow(_seconds(30))),
        ("my_window SESSION (30 seconds)", ast.SessionWindow(_seconds(30))),
        (
            "TUMBLING (SIZE 1 SECOND, RETENTION 3 SECONDS, GRACE PERIOD 2 SECONDS)",
            ast.TumblingWindow(_seconds(1), retention=_seconds(3), grace=_seconds(2)),
        ),
        (
            "HOPPING (SIZE 2 SECONDS, ADVANCE BY 1 SECOND, RETENTION 3 SECONDS)",
            ast.HoppingWindow(_seconds(2), _seconds(1), retention=_seconds(3)),
        ),
        (
            "SESSION (1 SECOND, GRACE PERIOD 2 SECONDS)",
            ast.SessionWindow(_seconds(1), grace=_seconds(2)),
        ),
    ],
)
def test_windows(text: str, window: ast.Window) -> None:
    assert _query(f"SELECT a FROM s WINDOW {text} GROUP BY a;").window == window
    assert _query(f"SELECT a FROM s x WINDOW {text} GROUP BY a;").window == window


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("5 MILLISECONDS", 5),
        ("5 SECOND", 5_000),
        ("5 minutes", 300_000),
        ("5 HOUR", 18_000_000),
        ("5 DAYS", 432_000_000),
    ],
)
def test_durations(text: str, ms: int) -> None:
    window = _query(f"SELECT a FROM s WINDOW SESSION ({text}) GROUP BY a;").window
    assert isinstance(window, ast.SessionWindow)
    assert window.gap.ms == ms


@pytest.mark.parametrize("clause", ["GROUP BY", "PARTITION BY"])
@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a", (A,)),
        ("a, b", (A, B)),
        ("(a)", (A,)),
        ("(a, b)", (A, B)),
        ("((a), b)", (A, B)),
        ("(a) + b", (ast.Arithmetic("+", A, B),)),
        ("(a), b", (A, B)),
        ("(a AND b)", (ast.Logical("AND", A, B),)),
        ("(a = 1), b", (ast.Comparison("=", A, ONE), B)),
        ("NULL", (ast.NullLiteral(),)),
        ("f(a = b)", (ast.FunctionCall("F", (ast.Comparison("=", A, B),)),)),
    ],
)
def test_lists_of_values(clause: str, text: str, items: tuple[ast.Expression, ...]) -> None:
    query = _query(f"SELECT * FROM s {clause} {text} HAVING a EMIT CHANGES;")
    assert (query.group_by or query.partition_by) == items


@pytest.mark.parametrize(
    "clauses",
    [
        "GROUP BY a AND b",
        "PARTITION BY a AND b",
        "GROUP BY a = b",
        "GROUP BY NOT a",
        "GROUP BY a IS NULL",
        "GROUP BY a, (b, c)",
        "GROUP BY (a, b), c",
        "GROUP BY (a, b = c)",
        "GROUP BY ()",
        "GROUP BY",
        "GROUP a",
        "GROUP BY a,",
        "WHERE",
        "WHERE a WHERE b",
        "HAVING a GROUP BY a",
        "LIMIT 1 EMIT CHANGES",
        "LIMIT -1",
        "LIMIT 1.5",
        "LIMIT 'x'",
        "LIMIT x",
        "EMIT NOW",
        "ORDER BY a",
        "ORDER BY a DESC",
        "UNION SELECT * FROM t",
        ", t",
        "JOIN t",
        "JOIN t ON",
        "JOIN t ON a WITHIN 1 SECOND",
        "JOIN t WITHIN 1 ON a",
        "JOIN t WITHIN SECONDS ON a",
        "JOIN t WITHIN (1 SECOND) ON a",
        "JOIN (SELECT * FROM t) ON a",
        "CROSS JOIN t",
        "OUTER JOIN t ON a",
        "WINDOW TUMBLING (1 SECOND)",
        "WINDOW TUMBLING SIZE 1 SECOND",
        "WINDOW TUMBLING (SIZE 1 FORTNIGHT)",
        "WINDOW TUMBLING (SIZE -1 SECONDS)",
        "WINDOW HOPPING (SIZE 1 SECOND)",
        "WINDOW SESSION (SIZE 1 SECOND)",
        "WINDOW SESSION (1 SECOND, GRACE PERIOD 1 SECOND, RETENTION 1 SECOND)",
        "WINDOW SESSION (1 SECOND, RETENTION 1 SECOND, RETENTION 1 SECOND)",
        "WINDOW TUMBLNG (SIZE 1 SECOND)",
        "WHERE a WINDOW SESSION (1 SECOND)",
    ],
)
def test_what_is_no_clause(clauses: str) -> None:
    with pytest.raises(ParseError):
        parse_statement(f"SELECT * FROM s {clauses};")


@pytest.mark.parametrize(
    "items",
    [
        "",
        "a,",
        ", a",
        "DISTINCT a",
        "a AS",
        "a AS 'b'",
        "a 'b'",
        "a AS from",
        "a + b->*",
        "*, ->*",
        "a = b->*",
        "s.*.a",
        "-a->*",
    ],
)
def test_what_is_no_item(items: str) -> None:
    with pytest.raises(ParseError):
        parse_statement(f"SELECT {items} FROM s;")


@pytest.mark.parametrize(
    "text", ["SELECT a;", "SELECT a FROM;", "SELECT a FROM (SELECT b FROM c);"]
)
def test_a_query_reads_from_a_stream_or_table(text: str) -> None:
    with pytest.raises(ParseError):
        parse_statement(text)
