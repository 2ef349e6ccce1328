"""Every tree the parser can make, written as text, reads back as the same tree."""

from __future__ import annotations

import decimal
from typing import Any, TypeVar

from hypothesis import assume, given
from hypothesis import strategies as st

from millstream import types as t
from millstream.errors import LINE_END, ParseError
from millstream.sql import (
    ast,
    format_expression,
    format_statement,
    format_type,
    parse_expression,
    parse_script,
    parse_statement,
    parse_type,
    split_statements,
    substitute,
)
from millstream.sql.words import KEYWORDS, TAKES_TIME_UNIT, UNITS

T = TypeVar("T")

names = st.one_of(
    st.sampled_from(
        ["A", "B", "ID", "S1", "_X", "a", "Mixed Case", "with`tick", 'q"uote', "1A", "é"]
    ),
    st.sampled_from(sorted(KEYWORDS | UNITS.keys())),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6),
)
source_names = st.one_of(
    st.sampled_from(["S", "T", "my-stream", "lower", "2nd"]), st.sampled_from(sorted(KEYWORDS))
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
whole_numbers = st.integers(0, 2**63 - 1)


def _tuples(items: st.SearchStrategy[T], least: int = 0, most: int = 3) -> st.SearchStrategy[Any]:
    return st.lists(items, min_size=least, max_size=most).map(tuple)


# --- types -----------------------------------------------------------------------------------

_decimals = st.integers(1, 40).flatmap(
    lambda precision: st.integers(0, precision).map(lambda scale: t.Decimal(precision, scale))
)
_leaf_types: st.SearchStrategy[t.SqlType] = st.one_of(
    st.sampled_from(sorted(set(t.PRIMITIVES.values()), key=str)),
    _decimals,
    names.filter(lambda name: name not in t.PRIMITIVES).map(t.NamedType),
)
sql_types: st.SearchStrategy[t.SqlType] = st.recursive(
    _leaf_types,
    lambda inner: st.one_of(
        inner.map(t.Array),
        st.builds(t.Map, inner, inner),
        st.lists(st.builds(t.Field, names, inner), max_size=3, unique_by=lambda field: field.name)
        .map(tuple)
        .map(t.Struct),
    ),
    max_leaves=4,
)

# --- expressions -----------------------------------------------------------------------------

_numbers: st.SearchStrategy[ast.Expression] = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(ast.IntegerLiteral),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(ast.DecimalLiteral),
    st.integers(-50, 50).map(lambda n: ast.DecimalLiteral(decimal.Decimal(n))),
    st.floats(allow_nan=False, allow_infinity=False).map(ast.DoubleLiteral),
)
_literals: st.SearchStrategy[ast.Expression] = st.one_of(
    _numbers,
    texts.map(ast.StringLiteral),
    st.booleans().map(ast.BooleanLiteral),
    st.just(ast.NullLiteral()),
)
_columns = st.builds(ast.ColumnRef, names, st.none() | names)
_leaves = st.one_of(
    _literals,
    _columns,
    st.builds(ast.TypedLiteral, st.sampled_from(["DATE", "TIME", "TIMESTAMP"]), texts),
    st.builds(ast.FunctionCall, names, st.just(()), star=st.booleans()),
)


def _branches(inner: st.SearchStrategy[ast.Expression]) -> st.SearchStrategy[ast.Expression]:
    negated = st.booleans()
    lambdas = st.builds(
        ast.Lambda, st.lists(names, min_size=1, max_size=2, unique=True).map(tuple), inner
    )
    comparisons = ["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"]
    return st.one_of(
        st.builds(ast.FieldAccess, inner, names),
        st.builds(ast.Subscript, inner, inner),
        st.builds(ast.FunctionCall, names, _tuples(inner, 1)),
        st.builds(
            lambda name, first, rest: ast.FunctionCall(name, (*first, *rest)),
            names,
            _tuples(inner, 1, 2),
            _tuples(lambdas, 1, 2),
        ),
        st.builds(
            lambda name, unit, rest: ast.FunctionCall(name, (ast.TimeUnit(unit), *rest)),
            st.sampled_from(sorted(TAKES_TIME_UNIT)),
            st.sampled_from(sorted(ast.UNIT_MS)),
            _tuples(inner),
        ),
        st.builds(
            lambda name, column: ast.FunctionCall(name, (ast.ColumnRef(column),)),
            st.sampled_from(sorted(TAKES_TIME_UNIT)),
            st.sampled_from(sorted(UNITS)),
        ),
        st.builds(_negation, st.sampled_from("+-"), inner),
        st.builds(ast.Arithmetic, st.sampled_from("+-*/%"), inner, inner),
        st.builds(ast.Comparison, st.sampled_from(comparisons), inner, inner),
        st.builds(ast.Logical, st.sampled_from(["AND", "OR"]), inner, inner),
        st.builds(ast.Not, inner),
        st.builds(ast.IsNull, inner, negated),
        st.builds(ast.Between, inner, inner, inner, negated),
        st.builds(ast.In, inner, _tuples(inner, 1), negated),
        st.builds(ast.Like, inner, inner, st.none() | st.sampled_from("!'\\"), negated),
        st.builds(
            ast.Case,
            st.none() | inner,
            _tuples(st.builds(ast.When, inner, inner), 1),
            st.none() | inner,
        ),
        st.builds(ast.Cast, inner, sql_types),
        st.builds(ast.ArrayConstructor, _tuples(inner)),
        st.builds(ast.MapConstructor, _tuples(st.tuples(inner, inner))),
        st.builds(ast.StructConstructor, _tuples(st.tuples(names, inner))),
        st.builds(ast.AtTimeZone, inner, texts),
    )


def _negation(op: str, operand: ast.Expression) -> ast.Expression:
    return ast.Negation(op, operand)


expressions = st.recursive(_leaves, _branches, max_leaves=8)
simple = st.recursive(_leaves, _branches, max_leaves=2)

# --- queries ---------------------------------------------------------------------------------

durations = st.builds(ast.Duration, whole_numbers, st.sampled_from(sorted(ast.UNIT_MS))).filter(
    lambda duration: duration.ms <= ast.MOST_MS
)
_options: dict[str, st.SearchStrategy[Any]] = {
    "retention": st.none() | durations,
    "grace": st.none() | durations,
}
windows = st.one_of(
    st.builds(ast.TumblingWindow, durations, **_options),
    st.builds(ast.HoppingWindow, durations, durations, **_options),
    st.builds(ast.SessionWindow, durations, **_options),
)
_named = st.one_of(
    st.builds(ast.NamedRelation, names, names),
    names.map(lambda name: ast.NamedRelation(name, name)),
)
_withins = st.builds(ast.Within, durations, durations, st.none() | durations)
relations: st.SearchStrategy[ast.Relation] = st.recursive(
    _named,
    lambda left: st.builds(
        ast.Join, st.sampled_from(ast.JoinKind), left, _named, simple, st.none() | _withins
    ),
    max_leaves=3,
)
_selections = st.one_of(
    st.builds(ast.SelectItem, simple, st.none() | names),
    st.builds(ast.SelectAll, st.none() | names),
    st.builds(ast.SelectStructAll, simple),
)
queries = st.builds(
    ast.Query,
    _tuples(_selections, 1),
    relations,
    st.none() | windows,
    st.none() | expressions,
    _tuples(simple),
    _tuples(simple),
    st.none() | simple,
    st.none() | st.sampled_from(ast.Emit),
    st.none() | whole_numbers,
)

# --- statements ------------------------------------------------------------------------------

_flags = st.booleans()
_kinds = st.sampled_from(ast.SourceKind)


def _properties(
    property_names: st.SearchStrategy[str], least: int = 0
) -> st.SearchStrategy[ast.Properties]:
    pairs = st.tuples(property_names, _literals)
    return st.lists(pairs, min_size=least, max_size=3, unique_by=lambda pair: pair[0]).map(tuple)


properties = _properties(texts.map(str.upper) | st.sampled_from(["KAFKA_TOPIC", "FORMAT"]))
connector_properties = _properties(texts | st.just("connector.class"), 1)


def _column(
    column: ast.ColumnDefinition, kind: ast.SourceKind, constraint: int, header: str
) -> ast.ColumnDefinition:
    """The column with one of the constraints that columns of this kind of source may have."""
    key = (
        ast.ColumnConstraint.KEY
        if kind is ast.SourceKind.STREAM
        else ast.ColumnConstraint.PRIMARY_KEY
    )
    allowed = [
        ast.ColumnConstraint.NONE,
        key,
        ast.ColumnConstraint.HEADERS,
        ast.ColumnConstraint.HEADER,
    ]
    chosen = allowed[constraint]
    named = header if chosen is ast.ColumnConstraint.HEADER else None
    return ast.ColumnDefinition(column.name, column.type, chosen, named)


_plain_columns = st.builds(ast.ColumnDefinition, names, sql_types)


def _columns_of(kind: ast.SourceKind) -> st.SearchStrategy[Any]:
    return _tuples(
        st.builds(_column, _plain_columns, st.just(kind), st.integers(0, 3), texts), 0, 3
    )


_sources = _kinds.flatmap(
    lambda kind: st.one_of(
        st.builds(
            ast.CreateSource,
            st.just(kind),
            source_names,
            _columns_of(kind),
            properties,
            _flags,
            _flags,
            _flags,
        ),
        st.builds(ast.AssertSource, st.just(kind), names, _columns_of(kind), properties),
    )
)
_shown = [
    *(
        ast.Show(what, extended)
        for what in ("TOPICS", "ALL TOPICS", "QUERIES")
        for extended in (False, True)
    ),
    *(ast.Show(what) for what in ("PROPERTIES", "CONNECTOR PLUGINS", "SINK CONNECTORS", "TYPES")),
]
_queries_paused = st.builds(ast.ControlQuery, st.sampled_from(ast.QueryAction), st.none() | names)
_rows = (names, _tuples(names), _tuples(simple))
_timeouts = st.none() | durations
_not_empty = texts.filter(bool)
_plain = st.sampled_from(["a", "Format", "topic", "select", "_x1"])
_unexplained: st.SearchStrategy[ast.Statement] = st.one_of(
    _sources,
    st.builds(ast.CreateAsSelect, _kinds, source_names, queries, properties, _flags, _flags),
    st.builds(ast.InsertIntoSelect, names, queries, properties),
    st.builds(ast.InsertValues, *_rows),
    queries.map(ast.Select),
    st.builds(ast.DropSource, _kinds, names, _flags, _flags),
    st.builds(ast.AlterSource, _kinds, names, _tuples(_plain_columns, 1)),
    st.builds(ast.CreateType, names, sql_types, _flags),
    st.builds(ast.DropType, names, _flags),
    _queries_paused,
    st.builds(ast.SetProperty, texts, texts, _flags),
    texts.map(ast.UnsetProperty),
    st.builds(ast.DefineVariable, _plain, texts),
    _plain.map(ast.UndefineVariable),
    st.builds(
        ast.CreateConnector,
        st.sampled_from(["SOURCE", "SINK"]),
        names,
        connector_properties,
        _flags,
    ),
    st.builds(ast.DropConnector, names, _flags),
    st.builds(
        ast.ControlConnector,
        st.sampled_from([ast.QueryAction.PAUSE, ast.QueryAction.RESUME]),
        names,
    ),
    st.sampled_from(_shown),
    st.builds(ast.Describe, names, _flags),
    st.builds(ast.Describe, st.none(), _flags, _kinds),
    names.map(ast.DescribeFunction),
    names.map(ast.DescribeConnector),
    st.builds(
        ast.PrintTopic, _not_empty, _flags, st.none() | whole_numbers, st.none() | whole_numbers
    ),
    st.builds(ast.AssertTopic, _not_empty, properties, _flags, _timeouts),
    st.builds(ast.AssertSchema, _not_empty, st.none() | whole_numbers, _flags, _timeouts),
    st.builds(ast.AssertSchema, st.none(), whole_numbers, _flags, _timeouts),
    st.builds(ast.AssertValues, *_rows),
    st.builds(ast.AssertTombstone, *_rows),
    texts.map(ast.RunScript),
)
statements = st.one_of(
    _unexplained,
    st.builds(ast.Explain, _unexplained, st.none()),
    st.builds(ast.Explain, st.none(), names, _flags),
)

# --- properties ------------------------------------------------------------------------------


@given(sql_types)
def test_types(sql_type: t.SqlType) -> None:
    assert parse_type(format_type(sql_type)) == sql_type


@given(expressions)
def test_expressions(expression: ast.Expression) -> None:
    written = format_expression(expression)
    assert parse_expression(written) == expression
    assert format_expression(parse_expression(written)) == written


@given(statements)
def test_statements(statement: ast.Statement) -> None:
    written = format_statement(statement)
    assert parse_statement(written) == statement


@given(st.lists(statements, max_size=4))
def test_scripts_are_cut_where_statements_end(script: list[ast.Statement]) -> None:
    written = [format_statement(statement) for statement in script]
    text = " -- ; a comment's\n".join(written)
    assume("${" not in text)
    assert [part.text for part in split_statements(text)] == written
    assert [parsed.statement for parsed in parse_script(text)] == script


@given(texts, st.sampled_from("'`\""))
def test_a_variable_inside_quotes_stays_what_it_is(value: str, quote: str) -> None:
    written = substitute(f"PRINT {quote}x${{V}}{quote}", {"v": value})
    assert parse_statement(written) == ast.PrintTopic("x" + value)


@given(
    st.lists(
        st.one_of(
            st.sampled_from(sorted(KEYWORDS)),
            st.sampled_from(
                ["a", "1", "'x'", "(", ")", ",", ";", "=", "->", "=>", ".", "<", ">", "*"]
            ),
            st.text(max_size=3),
        ),
        max_size=12,
    )
)
def test_any_text_is_a_script_or_refused_at_a_place_in_it(words: list[str]) -> None:
    text = " ".join(words)
    try:
        parse_script(text)
    except ParseError as refusal:
        assert refusal.position is not None
        assert refusal.source == text
        assert refusal.render()
        lines = LINE_END.split(text)
        assert 1 <= refusal.position.line <= len(lines)
        assert 1 <= refusal.position.column <= len(lines[refusal.position.line - 1]) + 1
