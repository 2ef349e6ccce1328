"""Statements."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from millstream.sql.ast.expressions import Expression, Node
from millstream.sql.ast.queries import Duration, Query
from millstream.types import SqlType


@dataclass(frozen=True)
class Statement(Node):
    """Base of statements."""


Properties = tuple[tuple[str, Expression], ...]
"""WITH (name = literal, ..) in order; names of streams' and tables' properties in upper case."""


class SourceKind(Enum):
    """STREAM or TABLE."""

    STREAM = "STREAM"
    TABLE = "TABLE"


class ColumnConstraint(Enum):
    """What stands behind a column's type."""

    NONE = ""
    KEY = "KEY"
    PRIMARY_KEY = "PRIMARY KEY"
    HEADERS = "HEADERS"
    HEADER = "HEADER"


@dataclass(frozen=True)
class ColumnDefinition(Node):
    """name type [KEY | PRIMARY KEY | HEADERS | HEADER('h')]."""

    name: str
    type: SqlType
    constraint: ColumnConstraint = ColumnConstraint.NONE
    header: str | None = None


@dataclass(frozen=True)
class CreateSource(Statement):
    """CREATE [OR REPLACE] [SOURCE] STREAM|TABLE [IF NOT EXISTS] name (columns) WITH (..)."""

    kind: SourceKind
    name: str
    columns: tuple[ColumnDefinition, ...]
    properties: Properties = ()
    or_replace: bool = False
    if_not_exists: bool = False
    read_only: bool = False


@dataclass(frozen=True)
class CreateAsSelect(Statement):
    """CREATE [OR REPLACE] STREAM|TABLE [IF NOT EXISTS] name [WITH (..)] AS SELECT .."""

    kind: SourceKind
    name: str
    query: Query
    properties: Properties = ()
    or_replace: bool = False
    if_not_exists: bool = False


@dataclass(frozen=True)
class InsertIntoSelect(Statement):
    """INSERT INTO name [WITH (QUERY_ID = '..')] SELECT .."""

    target: str
    query: Query
    properties: Properties = ()


@dataclass(frozen=True)
class InsertValues(Statement):
    """INSERT INTO name [(columns)] VALUES (..)."""

    target: str
    columns: tuple[str, ...]
    values: tuple[Expression, ...]


@dataclass(frozen=True)
class Select(Statement):
    """A query on its own: push with EMIT, pull without."""

    query: Query


@dataclass(frozen=True)
class DropSource(Statement):
    """DROP STREAM|TABLE [IF EXISTS] name [DELETE TOPIC]."""

    kind: SourceKind
    name: str
    if_exists: bool = False
    delete_topic: bool = False


@dataclass(frozen=True)
class AlterSource(Statement):
    """ALTER STREAM|TABLE name ADD [COLUMN] c type, .."""

    kind: SourceKind
    name: str
    columns: tuple[ColumnDefinition, ...]


@dataclass(frozen=True)
class CreateType(Statement):
    """CREATE TYPE [IF NOT EXISTS] name AS type."""

    name: str
    type: SqlType
    if_not_exists: bool = False


@dataclass(frozen=True)
class DropType(Statement):
    """DROP TYPE [IF EXISTS] name."""

    name: str
    if_exists: bool = False


class QueryAction(Enum):
    """What is done to running queries."""

    TERMINATE = "TERMINATE"
    PAUSE = "PAUSE"
    RESUME = "RESUME"


@dataclass(frozen=True)
class ControlQuery(Statement):
    """TERMINATE|PAUSE|RESUME query id, or ALL where `query_id` is None."""

    action: QueryAction
    query_id: str | None


@dataclass(frozen=True)
class SetProperty(Statement):
    """SET 'name' = 'value'; `system` for ALTER SYSTEM."""

    name: str
    value: str
    system: bool = False


@dataclass(frozen=True)
class UnsetProperty(Statement):
    """UNSET 'name'."""

    name: str


@dataclass(frozen=True)
class DefineVariable(Statement):
    """DEFINE name = 'value'."""

    name: str
    value: str


@dataclass(frozen=True)
class UndefineVariable(Statement):
    """UNDEFINE name."""

    name: str


@dataclass(frozen=True)
class CreateConnector(Statement):
    """CREATE SOURCE|SINK CONNECTOR [IF NOT EXISTS] name WITH (..); names of options as written."""

    direction: str
    name: str
    properties: Properties = ()
    if_not_exists: bool = False


@dataclass(frozen=True)
class DropConnector(Statement):
    """DROP CONNECTOR [IF EXISTS] name."""

    name: str
    if_exists: bool = False


@dataclass(frozen=True)
class ControlConnector(Statement):
    """PAUSE|RESUME CONNECTOR name (Millstream's own; ksqlDB leaves this to Kafka Connect)."""

    action: QueryAction
    name: str


@dataclass(frozen=True)
class Show(Statement):
    """SHOW|LIST what; `what` is one of PROPERTIES, TOPICS, ALL TOPICS, STREAMS, TABLES, FUNCTIONS,
    CONNECTORS, SOURCE CONNECTORS, SINK CONNECTORS, CONNECTOR PLUGINS, TYPES, VARIABLES, QUERIES."""

    what: str
    extended: bool = False


@dataclass(frozen=True)
class Describe(Statement):
    """DESCRIBE name [EXTENDED]; DESCRIBE STREAMS|TABLES [EXTENDED] has `all_of` and no name."""

    name: str | None
    extended: bool = False
    all_of: SourceKind | None = None


@dataclass(frozen=True)
class DescribeFunction(Statement):
    """DESCRIBE FUNCTION name."""

    name: str


@dataclass(frozen=True)
class DescribeConnector(Statement):
    """DESCRIBE CONNECTOR name."""

    name: str


@dataclass(frozen=True)
class PrintTopic(Statement):
    """PRINT topic [FROM BEGINNING] [INTERVAL n] [LIMIT n]."""

    topic: str
    from_beginning: bool = False
    interval: int | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Explain(Statement):
    """EXPLAIN statement, or EXPLAIN [ANALYZE] query id. ANALYZE is Millstream's own."""

    statement: Statement | None
    query_id: str | None
    analyze: bool = False


@dataclass(frozen=True)
class AssertTopic(Statement):
    """ASSERT [NOT EXISTS] TOPIC name [WITH (..)] [TIMEOUT ..]."""

    topic: str
    properties: Properties = ()
    exists: bool = True
    timeout: Duration | None = None


@dataclass(frozen=True)
class AssertSchema(Statement):
    """ASSERT [NOT EXISTS] SCHEMA [SUBJECT s] [ID n] [TIMEOUT ..]."""

    subject: str | None
    schema_id: int | None
    exists: bool = True
    timeout: Duration | None = None


@dataclass(frozen=True)
class AssertValues(Statement):
    """ASSERT VALUES s (cols) VALUES (..), in files of SQL tests."""

    source: str
    columns: tuple[str, ...]
    values: tuple[Expression, ...]


@dataclass(frozen=True)
class AssertTombstone(Statement):
    """ASSERT NULL VALUES s (key cols) KEY (..), in files of SQL tests."""

    source: str
    columns: tuple[str, ...]
    values: tuple[Expression, ...]


@dataclass(frozen=True)
class AssertSource(Statement):
    """ASSERT STREAM|TABLE s (cols) WITH (..), in files of SQL tests."""

    kind: SourceKind
    name: str
    columns: tuple[ColumnDefinition, ...]
    properties: Properties = ()


@dataclass(frozen=True)
class RunScript(Statement):
    """RUN SCRIPT 'file'."""

    path: str
