"""CREATE STREAM|TABLE with columns: from the statement to the stream or table it declares."""

from __future__ import annotations

import re
from dataclasses import dataclass

from millstream import types as t
from millstream.catalog.catalog import Catalog
from millstream.catalog.model import TimestampColumn, WindowInfo
from millstream.errors import Position, SemanticError
from millstream.functions.java_time import JavaTimeFormat
from millstream.plan import layouts
from millstream.plan.properties import CREATE, Properties
from millstream.plan.scope import RESERVED
from millstream.serde.base import Layout
from millstream.sql import ast

_SIZE = re.compile(r"\s*(\d+)\s+([A-Za-z]+)\s*\Z")
_ROLES = {
    ast.ColumnConstraint.NONE: t.Role.VALUE,
    ast.ColumnConstraint.KEY: t.Role.KEY,
    ast.ColumnConstraint.PRIMARY_KEY: t.Role.KEY,
    ast.ColumnConstraint.HEADERS: t.Role.HEADERS,
    ast.ColumnConstraint.HEADER: t.Role.HEADERS,
}


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a CREATE statement declares; the topic may have to be made, with `partitions`."""

    name: str
    kind: ast.SourceKind
    schema: t.Schema
    topic: str
    partitions: int | None
    replicas: int | None
    retention_ms: int | None
    cleanup_policy: str | None
    key_layout: Layout
    value_layout: Layout
    window: WindowInfo | None
    timestamp: TimestampColumn | None
    wrap_setting: bool | None


def declare(statement: ast.CreateSource, catalog: Catalog, session: dict[str, str]) -> Declaration:
    """Check a CREATE STREAM|TABLE statement; SemanticError says what is wrong with it."""
    where = statement.position
    properties = Properties.of(statement.properties, CREATE, where)
    schema = declared_schema(statement, catalog)
    topic = properties.text("KAFKA_TOPIC")
    if topic is None:
        raise SemanticError(
            f"{statement.name} does not say which topic it reads",
            where,
            hint="Add WITH (KAFKA_TOPIC = '..').",
        )
    key, value = _layouts(properties, schema, session, where)
    return Declaration(
        name=statement.name,
        kind=statement.kind,
        schema=schema,
        topic=topic,
        partitions=properties.positive("PARTITIONS"),
        replicas=properties.positive("REPLICAS"),
        retention_ms=properties.retention_ms(),
        cleanup_policy=properties.cleanup_policy(),
        key_layout=key,
        value_layout=value,
        window=_window(properties, schema, where),
        timestamp=timestamp_column(properties, schema, where),
        wrap_setting=properties.boolean("WRAP_SINGLE_VALUE"),
    )


def declared_schema(statement: ast.CreateSource, catalog: Catalog) -> t.Schema:
    """The schema that a statement's column list declares."""
    if not statement.columns:
        raise SemanticError(
            f"{statement.name} declares no columns",
            statement.position,
            hint="List them: CREATE STREAM s (id INT KEY, name VARCHAR) WITH (..).",
        )
    columns = tuple(_column(c, statement.kind, catalog) for c in statement.columns)
    schema = t.Schema(columns)
    if statement.kind is ast.SourceKind.TABLE and not schema.key:
        raise SemanticError(
            f"table {statement.name} has no primary key",
            statement.position,
            hint="Write PRIMARY KEY behind the type of the column that identifies a row.",
        )
    _check_names(statement, schema)
    return schema


def _check_names(statement: ast.CreateSource, schema: t.Schema) -> None:
    seen: set[str] = set()
    for column, written in zip(schema, statement.columns, strict=True):
        if column.name in seen:
            raise SemanticError(f"column {column.name} is declared twice", written.position)
        seen.add(column.name)
    whole = [c for c in schema.headers if c.header is None]
    if len(whole) > 1:
        raise SemanticError("only one column can be HEADERS", statement.position)
    named = [c.header for c in schema.headers if c.header is not None]
    if whole and named:
        raise SemanticError(
            "a HEADERS column and HEADER('..') columns exclude each other", statement.position
        )
    if len(set(named)) < len(named):
        raise SemanticError("two columns show the same header", statement.position)


def _column(written: ast.ColumnDefinition, kind: ast.SourceKind, catalog: Catalog) -> t.Column:
    if written.name in RESERVED:
        raise SemanticError(
            f"{written.name} is a reserved name",
            written.position,
            hint="Give the column another name.",
        )
    sql_type = catalog.resolve_type(written.type)
    is_table = kind is ast.SourceKind.TABLE
    match written.constraint:
        case ast.ColumnConstraint.PRIMARY_KEY if not is_table:
            raise SemanticError(
                f"a stream has no primary key, but {written.name} is one",
                written.position,
                hint="Write KEY instead of PRIMARY KEY.",
            )
        case ast.ColumnConstraint.KEY if is_table:
            raise SemanticError(
                f"a table's key must be a PRIMARY KEY, but {written.name} is only a KEY",
                written.position,
                hint="Write PRIMARY KEY instead of KEY.",
            )
        case ast.ColumnConstraint.HEADERS if sql_type != t.HEADERS_TYPE:
            raise SemanticError(
                f"a HEADERS column is ARRAY<STRUCT<key STRING, value BYTES>>, not {sql_type}",
                written.position,
            )
        case ast.ColumnConstraint.HEADER if sql_type != t.BYTES:
            raise SemanticError(f"a HEADER('..') column is BYTES, not {sql_type}", written.position)
    return t.Column(written.name, sql_type, _ROLES[written.constraint], written.header)


def _layouts(
    properties: Properties, schema: t.Schema, session: dict[str, str], where: Position | None
) -> tuple[Layout, Layout]:
    key_format = properties.format_of("KEY")
    if key_format is None:
        key_format = session.get(layouts.DEFAULT_KEY_FORMAT, "KAFKA").upper()
        if not schema.key:
            key_format = "NONE"
    value_format = properties.format_of("VALUE") or session.get(layouts.DEFAULT_VALUE_FORMAT)
    if value_format is None:
        raise SemanticError(
            "the format of the values is not given", where, hint="Add VALUE_FORMAT = 'JSON'."
        )
    wrap = properties.boolean("WRAP_SINGLE_VALUE")
    if wrap is None:
        wrap = layouts.default_wrapping(session, schema.value)
    key = layouts.key_layout(key_format, schema.key, properties.delimiter("KEY"), where)
    value = layouts.value_layout(
        value_format.upper(), schema.value, wrap, properties.delimiter("VALUE"), where
    )
    return key, value


def _window(properties: Properties, schema: t.Schema, where: Position | None) -> WindowInfo | None:
    kind = properties.text("WINDOW_TYPE")
    size = properties.text("WINDOW_SIZE")
    if kind is None:
        if size is not None:
            raise SemanticError("WINDOW_SIZE goes with WINDOW_TYPE only", where)
        return None
    kind = kind.upper()
    if kind not in ("TUMBLING", "HOPPING", "SESSION"):
        raise SemanticError(f"WINDOW_TYPE must be TUMBLING, HOPPING or SESSION, not {kind}", where)
    if not schema.key:
        raise SemanticError("a windowed key needs a key column", where)
    if kind == "SESSION":
        if size is not None:
            raise SemanticError("sessions have no WINDOW_SIZE: each has its own", where)
        return WindowInfo(kind)
    if size is None:
        raise SemanticError(
            f"{kind} windows need their size", where, hint="Add WINDOW_SIZE = '30 SECONDS'."
        )
    return WindowInfo(kind, _size_ms(size, where))


def _size_ms(text: str, where: Position | None) -> int:
    match = _SIZE.match(text)
    if match is not None:
        unit = match[2].upper()
        unit = unit if unit.endswith("S") else unit + "S"
        if unit in ast.UNIT_MS and len(match[1]) < 20:
            size_ms = int(match[1]) * ast.UNIT_MS[unit]
            if 0 < size_ms <= ast.MOST_MS:
                return size_ms
    raise SemanticError(
        f"WINDOW_SIZE must be a number and a unit, not {text!r}",
        where,
        hint="For example WINDOW_SIZE = '30 SECONDS'.",
    )


def timestamp_column(
    properties: Properties, schema: t.Schema, where: Position | None
) -> TimestampColumn | None:
    """The TIMESTAMP and TIMESTAMP_FORMAT properties, checked against a schema."""
    name = properties.text("TIMESTAMP")
    pattern = properties.text("TIMESTAMP_FORMAT")
    if name is None:
        if pattern is not None:
            raise SemanticError("TIMESTAMP_FORMAT goes with TIMESTAMP only", where)
        return None
    column = schema.find(_column_name(name)) or schema.find(name)
    if column is None:
        raise SemanticError(f"the TIMESTAMP column {name} is not among the columns", where)
    if column.type == t.STRING:
        if pattern is None:
            raise SemanticError(
                f"the TIMESTAMP column {column.name} is text and needs its form",
                where,
                hint="Add TIMESTAMP_FORMAT = 'yyyy-MM-dd HH:mm:ss'.",
            )
        try:
            JavaTimeFormat(pattern)
        except ValueError as error:
            raise SemanticError(f"TIMESTAMP_FORMAT: {error}", where) from None
    elif column.type not in (t.BIGINT, t.TIMESTAMP):
        raise SemanticError(
            f"the TIMESTAMP column {column.name} must be BIGINT, TIMESTAMP or STRING,"
            f" not {column.type}",
            where,
        )
    elif pattern is not None:
        raise SemanticError(f"{column.name} is no text: TIMESTAMP_FORMAT is for text", where)
    return TimestampColumn(column.name, pattern)


def _column_name(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == "`":
        return text[1:-1].replace("``", "`")
    return text.upper()
