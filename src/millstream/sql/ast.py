"""The tree of a script: immutable nodes, each knowing where in the text it stands.

Names are stored as the catalogue spells them: unquoted ones in upper case, quoted ones as written.
Positions take no part in equality, so a tree equals its own round trip through the formatter.
"""

from __future__ import annotations

import decimal
from dataclasses import dataclass, field
from enum import Enum

from millstream.errors import Position
from millstream.types import SqlType


@dataclass(frozen=True, kw_only=True)
class Node:
    """Base of every node."""

    position: Position | None = field(default=None, compare=False, repr=False)


# --- expressions -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Expression(Node):
    """Anything that has a value."""


@dataclass(frozen=True)
class NullLiteral(Expression):
    """NULL."""


@dataclass(frozen=True)
class BooleanLiteral(Expression):
    """TRUE or FALSE."""

    value: bool


@dataclass(frozen=True)
class IntegerLiteral(Expression):
    """Digits: INTEGER where the value fits 32 bits, else BIGINT."""

    value: int


@dataclass(frozen=True)
class DecimalLiteral(Expression):
    """Digits with a point: DECIMAL, scale as written."""

    value: decimal.Decimal


@dataclass(frozen=True)
class DoubleLiteral(Expression):
    """Digits with an exponent: DOUBLE."""

    value: float


@dataclass(frozen=True)
class StringLiteral(Expression):
    """Text between single quotes."""

    value: str


@dataclass(frozen=True)
class TypedLiteral(Expression):
    """DATE '..', TIME '..' or TIMESTAMP '..'; `kind` is the word."""

    kind: str
    text: str


@dataclass(frozen=True)
class TimeUnit(Expression):
    """A unit of time as a bare word, for functions that take one; stored in the plural: DAYS."""

    name: str


@dataclass(frozen=True)
class ColumnRef(Expression):
    """A column, a pseudo column or a lambda's variable; `source` is the qualifier, if any."""

    name: str
    source: str | None = None


@dataclass(frozen=True)
class FieldAccess(Expression):
    """`base->field`."""

    base: Expression
    field_name: str


@dataclass(frozen=True)
class Subscript(Expression):
    """`base[index]`: an array's item or a map's value."""

    base: Expression
    index: Expression


@dataclass(frozen=True)
class FunctionCall(Expression):
    """A scalar, aggregate or table function; `||` is CONCAT. `star` marks COUNT(*)."""

    name: str
    arguments: tuple[Expression, ...]
    star: bool = False


@dataclass(frozen=True)
class Lambda(Expression):
    """`(a, b) => body`, only as a function's argument."""

    parameters: tuple[str, ...]
    body: Expression


@dataclass(frozen=True)
class Negation(Expression):
    """`-x` (op "-") or `+x` (op "+")."""

    op: str
    operand: Expression


@dataclass(frozen=True)
class Arithmetic(Expression):
    """op is one of + - * / %."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Comparison(Expression):
    """op is one of = <> < <= > >= and "IS DISTINCT FROM", "IS NOT DISTINCT FROM"; != is <>."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Logical(Expression):
    """op is AND or OR."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Not(Expression):
    """NOT x."""

    operand: Expression


@dataclass(frozen=True)
class IsNull(Expression):
    """x IS [NOT] NULL."""

    operand: Expression
    negated: bool = False


@dataclass(frozen=True)
class Between(Expression):
    """x [NOT] BETWEEN low AND high."""

    operand: Expression
    low: Expression
    high: Expression
    negated: bool = False


@dataclass(frozen=True)
class In(Expression):
    """x [NOT] IN (items)."""

    operand: Expression
    items: tuple[Expression, ...]
    negated: bool = False


@dataclass(frozen=True)
class Like(Expression):
    """x [NOT] LIKE pattern [ESCAPE 'c']."""

    operand: Expression
    pattern: Expression
    escape: str | None = None
    negated: bool = False


@dataclass(frozen=True)
class When(Node):
    """WHEN condition THEN result; in a simple CASE the condition is the value compared with."""

    condition: Expression
    result: Expression


@dataclass(frozen=True)
class Case(Expression):
    """CASE [operand] WHEN .. THEN .. [ELSE default] END."""

    operand: Expression | None
    whens: tuple[When, ...]
    default: Expression | None


@dataclass(frozen=True)
class Cast(Expression):
    """CAST(operand AS type)."""

    operand: Expression
    type: SqlType


@dataclass(frozen=True)
class ArrayConstructor(Expression):
    """ARRAY[..]."""

    items: tuple[Expression, ...]


@dataclass(frozen=True)
class MapConstructor(Expression):
    """MAP(k := v, ..)."""

    entries: tuple[tuple[Expression, Expression], ...]


@dataclass(frozen=True)
class StructConstructor(Expression):
    """STRUCT(name := value, ..)."""

    fields: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True)
class AtTimeZone(Expression):
    """x AT TIME ZONE 'zone': in ksqlDB's grammar only."""

    operand: Expression
    zone: str


# --- queries ---------------------------------------------------------------------------------

UNIT_MS = {
    "MILLISECONDS": 1,
    "SECONDS": 1_000,
    "MINUTES": 60_000,
    "HOURS": 3_600_000,
    "DAYS": 86_400_000,
}


@dataclass(frozen=True)
class Duration(Node):
    """A number and a unit in the plural, one of UNIT_MS."""

    value: int
    unit: str

    @property
    def ms(self) -> int:
        """The duration in milliseconds."""
        return self.value * UNIT_MS[self.unit]


@dataclass(frozen=True)
class Window(Node):
    """Base of the three windows; RETENTION and GRACE PERIOD where written."""

    retention: Duration | None = field(default=None, kw_only=True)
    grace: Duration | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class TumblingWindow(Window):
    """TUMBLING (SIZE ..)."""

    size: Duration


@dataclass(frozen=True)
class HoppingWindow(Window):
    """HOPPING (SIZE .., ADVANCE BY ..)."""

    size: Duration
    advance: Duration


@dataclass(frozen=True)
class SessionWindow(Window):
    """SESSION (gap)."""

    gap: Duration


@dataclass(frozen=True)
class SelectItem(Node):
    """An expression with its alias, if any."""

    expression: Expression
    alias: str | None = None


@dataclass(frozen=True)
class SelectAll(Node):
    """`*` or `source.*`."""

    source: str | None = None


@dataclass(frozen=True)
class SelectStructAll(Node):
    """`struct->*`."""

    base: Expression


Selection = SelectItem | SelectAll | SelectStructAll


@dataclass(frozen=True)
class Relation(Node):
    """What FROM names."""


@dataclass(frozen=True)
class NamedRelation(Relation):
    """A stream or table, and the alias it goes by (its own name where none is written)."""

    name: str
    alias: str


class JoinKind(Enum):
    """How rows without a match are treated."""

    INNER = "INNER"
    LEFT = "LEFT"
    RIGHT = "RIGHT"
    FULL = "FULL"


@dataclass(frozen=True)
class Within(Node):
    """WITHIN d | (before, after) [GRACE PERIOD g]."""

    before: Duration
    after: Duration
    grace: Duration | None = None


@dataclass(frozen=True)
class Join(Relation):
    """left JOIN right ON condition; joins of more than two nest to the left."""

    kind: JoinKind
    left: Relation
    right: NamedRelation
    condition: Expression
    within: Within | None = None


class Emit(Enum):
    """EMIT CHANGES or EMIT FINAL."""

    CHANGES = "CHANGES"
    FINAL = "FINAL"


@dataclass(frozen=True)
class Query(Node):
    """SELECT and its clauses, as written."""

    select: tuple[Selection, ...]
    relation: Relation
    window: Window | None = None
    where: Expression | None = None
    group_by: tuple[Expression, ...] = ()
    partition_by: tuple[Expression, ...] = ()
    having: Expression | None = None
    emit: Emit | None = None
    limit: int | None = None


# --- statements ------------------------------------------------------------------------------


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
    """EXPLAIN statement, or EXPLAIN query id."""

    statement: Statement | None
    query_id: str | None


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
