"""The logical plan: what a query does, engine-neutral. Each node knows the schema of its rows.

Rows carry pseudo columns as ordinary value columns from the source on, where a query uses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from millstream.catalog.model import Source, TimestampColumn, WindowInfo
from millstream.functions.registry import Aggregator
from millstream.plan import typed
from millstream.serde.base import Layout
from millstream.sql.ast import Emit, JoinKind, SourceKind
from millstream.types import Schema, SqlType


@dataclass(frozen=True, kw_only=True)
class Node:
    """Base of plan nodes. `is_table`: rows are changes of a table."""

    schema: Schema
    is_table: bool
    window: WindowInfo | None = None


@dataclass(frozen=True, kw_only=True)
class ReadSource(Node):
    """Records of a stream or table, in log order.

    `columns` are the names of the source's columns and pseudo columns that become the node's
    schema, in that order. `materialised`: the table's rows are kept, so that changes know what
    was there before.
    """

    source: Source
    alias: str
    columns: tuple[str, ...]
    materialised: bool = False


@dataclass(frozen=True, kw_only=True)
class Filter(Node):
    """Rows for which the predicate is true; in a table the others are not there."""

    input: Node
    predicate: typed.Expression
    clause: str = "WHERE"


@dataclass(frozen=True, kw_only=True)
class Project(Node):
    """One expression per column of the schema; key columns are plain columns of the input's key."""

    input: Node
    expressions: tuple[typed.Expression, ...]


@dataclass(frozen=True, kw_only=True)
class Rekey(Node):
    """PARTITION BY: new key columns in front; every column of the input goes on as a value.

    No expressions: PARTITION BY NULL, a stream without a key.
    """

    input: Node
    keys: tuple[typed.Expression, ...]


@dataclass(frozen=True, kw_only=True)
class FlatMap(Node):
    """Table functions: a row for each value of the lists, the values as columns at the end."""

    input: Node
    lists: tuple[typed.Expression, ...]


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """A query's window. `size_ms` is the gap for SESSION; all times in ms."""

    kind: str
    size_ms: int
    advance_ms: int
    grace_ms: int
    retention_ms: int


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """One aggregate: what it computes and from which of the aggregation's arguments. `literals` are
    its arguments that are constants."""

    name: str
    aggregator: Aggregator
    arguments: tuple[int, ...]
    result: SqlType
    literals: tuple[object, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Aggregate(Node):
    """GROUP BY: key expressions and aggregates' arguments over the input, then the aggregates.

    The schema has the group's key columns and one value column per call.
    """

    input: Node
    keys: tuple[typed.Expression, ...]
    arguments: tuple[typed.Expression, ...]
    calls: tuple[AggregateCall, ...]
    spec: WindowSpec | None
    final: bool
    rekeyed: bool


@dataclass(frozen=True, kw_only=True)
class StreamTableJoin(Node):
    """Each stream row with the table's row at that moment. The schema has the key, then the
    left's columns, then the right's, under their qualified names."""

    left: Node
    right: Node
    kind: JoinKind
    left_key: typed.Expression
    rekeyed: bool


@dataclass(frozen=True, kw_only=True)
class StreamStreamJoin(Node):
    """Rows of two streams whose times are near: right in [left - before, left + after], ms.

    `grace_ms` is None for the eager form (no GRACE written)."""

    left: Node
    right: Node
    kind: JoinKind
    left_key: typed.Expression
    right_key: typed.Expression
    left_rekeyed: bool
    right_rekeyed: bool
    before_ms: int
    after_ms: int
    grace_ms: int | None


@dataclass(frozen=True, kw_only=True)
class TableTableJoin(Node):
    """Rows of two tables that have the same primary key. The schema has the key, then the left's
    columns, then the right's. `left_times` and `right_times` are the columns, by place in a side's
    schema, whose largest value is the event time of the side's row."""

    left: Node
    right: Node
    kind: JoinKind
    left_times: tuple[int, ...]
    right_times: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ForeignKeyJoin(Node):
    """Each row of a table with the row of another whose primary key `foreign_key` gives.

    Keyed by the left's primary key. The schema has it, then the left's values, the right's columns,
    and last the event time of the result."""

    left: ReadSource
    right: ReadSource
    kind: JoinKind
    foreign_key: typed.Expression
    right_time: int


@dataclass(frozen=True, slots=True)
class Sink:
    """Where a persistent query writes: everything that its records' bytes depend on."""

    name: str
    kind: SourceKind
    topic: str
    schema: Schema
    key_layout: Layout
    value_layout: Layout
    window: WindowInfo | None
    timestamp: TimestampColumn | None
    partitions: int
    replicas: int
    wrap_setting: bool | None = None
    retention_ms: int | None = None
    cleanup_policy: str = "delete"


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A query from its sources to its result. `sink` is None for queries on their own."""

    root: Node
    sources: tuple[Source, ...]
    emit: Emit | None
    limit: int | None
    sink: Sink | None = None


def children(node: Node) -> list[Node]:
    """A node's inputs, left first."""
    return [
        child
        for name in ("input", "left", "right")
        if isinstance(child := getattr(node, name, None), Node)
    ]


def walk(node: Node) -> list[Node]:
    """The node and everything below it, inputs first."""
    return [n for child in children(node) for n in walk(child)] + [node]


def sources_of(node: Node) -> list[ReadSource]:
    """All source reads below a node, left first."""
    return [n for n in walk(node) if isinstance(n, ReadSource)]


LiteralValue = Any
"""A Python value as `columns.arrow` documents it."""
