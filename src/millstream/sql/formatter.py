"""Statements to text: one readable layout that reads back as the same tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from millstream.sql import ast
from millstream.sql.expression_formatter import (
    format_base,
    format_conjuncts,
    format_expression,
    format_string,
    format_type,
    format_value,
)
from millstream.sql.words import format_name
from millstream.types import is_plain_name, quote_name

__all__ = [
    "format_columns",
    "format_expression",
    "format_name",
    "format_query",
    "format_statement",
    "format_type",
]

_WIDTH = 100


def format_statement(statement: ast.Statement) -> str:
    """The statement with its semicolon; queries with each clause on a line of its own."""
    return _statement(statement) + ";"


def _statement(statement: ast.Statement) -> str:
    return _FORMATTERS[type(statement)](statement)


# --- queries ---------------------------------------------------------------------------------


def format_query(query: ast.Query) -> str:
    """The query, each clause on a line of its own."""
    items = [_selection(item) for item in query.select]
    lines = [_fitting("SELECT ", items) if len(items) == 1 else _indented("SELECT", items)]
    lines.append(_from(query.relation))
    if query.window is not None:
        lines.append(f"WINDOW {_window(query.window)}")
    if query.where is not None:
        lines.append(_condition("WHERE", query.where))
    if query.group_by:
        lines.append(_fitting("GROUP BY ", map(format_value, query.group_by)))
    if query.partition_by:
        lines.append(_fitting("PARTITION BY ", map(format_value, query.partition_by)))
    if query.having is not None:
        lines.append(_condition("HAVING", query.having))
    if query.emit is not None:
        lines.append(f"EMIT {query.emit.value}")
    if query.limit is not None:
        lines.append(f"LIMIT {query.limit}")
    return "\n".join(lines)


def _indented(head: str, items: Iterable[str]) -> str:
    return head + "\n  " + ",\n  ".join(items)


def _fitting(head: str, items: Iterable[str]) -> str:
    """All items on one line, or each on its own where that gets too long."""
    parts = list(items)
    line = head + ", ".join(parts)
    return line if len(line) <= _WIDTH or len(parts) == 1 else _indented(head.rstrip(), parts)


def _in_parentheses(head: str, items: Iterable[str]) -> str:
    parts = list(items)
    line = f"{head}({', '.join(parts)})"
    return line if len(line) <= _WIDTH else f"{head}(\n  " + ",\n  ".join(parts) + "\n)"


def _condition(word: str, condition: ast.Expression) -> str:
    parts = format_conjuncts(condition)
    line = f"{word} {' AND '.join(parts)}"
    return line if len(line) <= _WIDTH else f"{word} " + "\n  AND ".join(parts)


def _selection(item: ast.Selection) -> str:
    if isinstance(item, ast.SelectAll):
        return "*" if item.source is None else f"{format_name(item.source)}.*"
    if isinstance(item, ast.SelectStructAll):
        return f"{format_base(item.base)}->*"
    written = format_expression(item.expression)
    return written if item.alias is None else f"{written} AS {format_name(item.alias)}"


def _named(relation: ast.NamedRelation) -> str:
    name = format_name(relation.name)
    return name if relation.alias == relation.name else f"{name} AS {format_name(relation.alias)}"


def _from(relation: ast.Relation) -> str:
    joins: list[str] = []
    while isinstance(relation, ast.Join):
        kind = "" if relation.kind is ast.JoinKind.INNER else f"{relation.kind.value} "
        within = "" if relation.within is None else f" {_within(relation.within)}"
        condition = format_expression(relation.condition)
        joins.append(f"  {kind}JOIN {_named(relation.right)}{within} ON {condition}")
        relation = relation.left
    assert isinstance(relation, ast.NamedRelation)
    return "\n".join([f"FROM {_named(relation)}", *reversed(joins)])


def _duration(duration: ast.Duration) -> str:
    return f"{duration.value} {duration.unit}"


def _within(within: ast.Within) -> str:
    if within.before == within.after:
        written = f"WITHIN {_duration(within.before)}"
    else:
        written = f"WITHIN ({_duration(within.before)}, {_duration(within.after)})"
    return written if within.grace is None else f"{written} GRACE PERIOD {_duration(within.grace)}"


def _window(window: ast.Window) -> str:
    if isinstance(window, ast.TumblingWindow):
        head, parts = "TUMBLING", [f"SIZE {_duration(window.size)}"]
    elif isinstance(window, ast.HoppingWindow):
        head = "HOPPING"
        parts = [f"SIZE {_duration(window.size)}", f"ADVANCE BY {_duration(window.advance)}"]
    else:
        assert isinstance(window, ast.SessionWindow)
        head, parts = "SESSION", [_duration(window.gap)]
    if window.retention is not None:
        parts.append(f"RETENTION {_duration(window.retention)}")
    if window.grace is not None:
        parts.append(f"GRACE PERIOD {_duration(window.grace)}")
    return f"{head} ({', '.join(parts)})"


# --- parts of statements ---------------------------------------------------------------------


def format_columns(columns: Sequence[ast.ColumnDefinition]) -> str:
    """Column definitions on one line, commas between them."""
    return ", ".join(map(_column, columns))


def _column(column: ast.ColumnDefinition) -> str:
    written = f"{format_name(column.name)} {format_type(column.type)}"
    if column.constraint is ast.ColumnConstraint.NONE:
        return written
    written = f"{written} {column.constraint.value}"
    return written if column.header is None else f"{written}({format_string(column.header)})"


def _with(properties: ast.Properties, *, as_written: bool = False) -> str:
    """` WITH (..)`, or nothing; `as_written` puts names in quotes, so that they keep their case."""
    if not properties:
        return ""
    pairs = []
    for name, value in properties:
        plain = not as_written and is_plain_name(name) and format_name(name) == name
        spelled = name if plain else format_string(name)
        pairs.append(f"{spelled} = {format_expression(value)}")
    return _in_parentheses(" WITH ", pairs)


def _names(names: Sequence[str]) -> str:
    return f" ({', '.join(map(format_name, names))})" if names else ""


def _values(values: Sequence[ast.Expression]) -> str:
    return f"({', '.join(map(format_value, values))})"


def _when(flag: bool, words: str) -> str:
    return words if flag else ""


# --- statements ------------------------------------------------------------------------------


def _create_source(s: ast.CreateSource) -> str:
    head = (
        f"CREATE {_when(s.or_replace, 'OR REPLACE ')}{_when(s.read_only, 'SOURCE ')}"
        f"{s.kind.value} {_when(s.if_not_exists, 'IF NOT EXISTS ')}{format_name(s.name)}"
    )
    if s.columns:
        head = _in_parentheses(f"{head} ", map(_column, s.columns))
    return head + _with(s.properties)


def _create_as_select(s: ast.CreateAsSelect) -> str:
    head = (
        f"CREATE {_when(s.or_replace, 'OR REPLACE ')}{s.kind.value} "
        f"{_when(s.if_not_exists, 'IF NOT EXISTS ')}{format_name(s.name)}"
    )
    return f"{head}{_with(s.properties)} AS\n{format_query(s.query)}"


def _insert_into(s: ast.InsertIntoSelect) -> str:
    return f"INSERT INTO {format_name(s.target)}{_with(s.properties)}\n{format_query(s.query)}"


def _insert_values(s: ast.InsertValues) -> str:
    return f"INSERT INTO {format_name(s.target)}{_names(s.columns)} VALUES {_values(s.values)}"


def _drop_source(s: ast.DropSource) -> str:
    return (
        f"DROP {s.kind.value} {_when(s.if_exists, 'IF EXISTS ')}{format_name(s.name)}"
        f"{_when(s.delete_topic, ' DELETE TOPIC')}"
    )


def _alter_source(s: ast.AlterSource) -> str:
    added = (f"ADD COLUMN {_column(column)}" for column in s.columns)
    return _fitting(f"ALTER {s.kind.value} {format_name(s.name)} ", added)


def _create_type(s: ast.CreateType) -> str:
    exists = _when(s.if_not_exists, "IF NOT EXISTS ")
    return f"CREATE TYPE {exists}{format_name(s.name)} AS {format_type(s.type)}"


def _control_query(s: ast.ControlQuery) -> str:
    return f"{s.action.value} {'ALL' if s.query_id is None else format_name(s.query_id)}"


def _set(s: ast.SetProperty) -> str:
    verb = "ALTER SYSTEM" if s.system else "SET"
    return f"{verb} {format_string(s.name)} = {format_string(s.value)}"


def _create_connector(s: ast.CreateConnector) -> str:
    exists = _when(s.if_not_exists, "IF NOT EXISTS ")
    head = f"CREATE {s.direction} CONNECTOR {exists}{format_name(s.name)}"
    return head + _with(s.properties, as_written=True)


def _describe(s: ast.Describe) -> str:
    what = f"{s.all_of.value}S" if s.all_of is not None else format_name(s.name or "")
    return f"DESCRIBE {what}{_when(s.extended, ' EXTENDED')}"


def _print(s: ast.PrintTopic) -> str:
    parts = [f"PRINT {format_string(s.topic)}"]
    if s.from_beginning:
        parts.append("FROM BEGINNING")
    if s.interval is not None:
        parts.append(f"INTERVAL {s.interval}")
    if s.limit is not None:
        parts.append(f"LIMIT {s.limit}")
    return " ".join(parts)


def _explain(s: ast.Explain) -> str:
    if s.statement is not None:
        return f"EXPLAIN {_statement(s.statement)}"
    return f"EXPLAIN {_when(s.analyze, 'ANALYZE ')}{format_name(s.query_id or '')}"


def _assert_head(exists: bool) -> str:
    return "ASSERT" if exists else "ASSERT NOT EXISTS"


def _timeout(timeout: ast.Duration | None) -> str:
    return "" if timeout is None else f" TIMEOUT {_duration(timeout)}"


def _assert_topic(s: ast.AssertTopic) -> str:
    head = f"{_assert_head(s.exists)} TOPIC {quote_name(s.topic)}"
    return f"{head}{_with(s.properties)}{_timeout(s.timeout)}"


def _assert_schema(s: ast.AssertSchema) -> str:
    written = f"{_assert_head(s.exists)} SCHEMA"
    if s.subject is not None:
        written += f" SUBJECT {quote_name(s.subject)}"
    if s.schema_id is not None:
        written += f" ID {s.schema_id}"
    return written + _timeout(s.timeout)


def _assert_values(s: ast.AssertValues) -> str:
    return f"ASSERT VALUES {format_name(s.source)}{_names(s.columns)} VALUES {_values(s.values)}"


def _assert_tombstone(s: ast.AssertTombstone) -> str:
    return f"ASSERT NULL VALUES {format_name(s.source)}{_names(s.columns)} KEY {_values(s.values)}"


def _assert_source(s: ast.AssertSource) -> str:
    head = f"ASSERT {s.kind.value} {format_name(s.name)}"
    if s.columns:
        head = _in_parentheses(f"{head} ", map(_column, s.columns))
    return head + _with(s.properties)


# Each formatter takes nodes of the type it stands under.
_FORMATTERS: dict[type[ast.Statement], Callable[[Any], str]] = {
    ast.CreateSource: _create_source,
    ast.CreateAsSelect: _create_as_select,
    ast.InsertIntoSelect: _insert_into,
    ast.InsertValues: _insert_values,
    ast.Select: lambda s: format_query(s.query),
    ast.DropSource: _drop_source,
    ast.AlterSource: _alter_source,
    ast.CreateType: _create_type,
    ast.DropType: lambda s: f"DROP TYPE {_when(s.if_exists, 'IF EXISTS ')}{format_name(s.name)}",
    ast.ControlQuery: _control_query,
    ast.SetProperty: _set,
    ast.UnsetProperty: lambda s: f"UNSET {format_string(s.name)}",
    ast.DefineVariable: lambda s: f"DEFINE {s.name} = {format_string(s.value)}",
    ast.UndefineVariable: lambda s: f"UNDEFINE {s.name}",
    ast.CreateConnector: _create_connector,
    ast.DropConnector: lambda s: (
        f"DROP CONNECTOR {_when(s.if_exists, 'IF EXISTS ')}{format_name(s.name)}"
    ),
    ast.ControlConnector: lambda s: f"{s.action.value} CONNECTOR {format_name(s.name)}",
    ast.Show: lambda s: f"SHOW {s.what}{_when(s.extended, ' EXTENDED')}",
    ast.Describe: _describe,
    ast.DescribeFunction: lambda s: f"DESCRIBE FUNCTION {format_name(s.name)}",
    ast.DescribeConnector: lambda s: f"DESCRIBE CONNECTOR {format_name(s.name)}",
    ast.PrintTopic: _print,
    ast.Explain: _explain,
    ast.AssertTopic: _assert_topic,
    ast.AssertSchema: _assert_schema,
    ast.AssertValues: _assert_values,
    ast.AssertTombstone: _assert_tombstone,
    ast.AssertSource: _assert_source,
    ast.RunScript: lambda s: f"RUN SCRIPT {format_string(s.path)}",
}
