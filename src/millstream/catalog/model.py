"""What the catalogue knows: streams, tables, queries, connectors and types."""

from __future__ import annotations

from dataclasses import dataclass, field

from millstream.serde.base import Layout
from millstream.sql.ast import SourceKind
from millstream.types import Schema, SqlType


@dataclass(frozen=True, slots=True)
class WindowInfo:
    """The window in a source's key: TUMBLING, HOPPING or SESSION; size in ms (None: session)."""

    kind: str
    size_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TimestampColumn:
    """Where event time comes from instead of the record: a column, and for text its pattern."""

    column: str
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A stream or table: a schema over a topic.

    `wrap_setting` is WRAP_SINGLE_VALUE as written (None: not written). `query_id` names the query
    that made it and whose results it shows, if any. `statement` is the text that made it.
    """

    id: int
    name: str
    kind: SourceKind
    schema: Schema
    topic: str
    topic_id: int
    key_layout: Layout
    value_layout: Layout
    window: WindowInfo | None = None
    timestamp: TimestampColumn | None = None
    wrap_setting: bool | None = None
    read_only: bool = False
    query_id: str | None = None
    statement: str = ""
    properties: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def is_table(self) -> bool:
        """Whether it is a table."""
        return self.kind is SourceKind.TABLE


@dataclass(frozen=True, slots=True)
class QueryInfo:
    """A persistent query. `number` is its creation number: it orders what queries write.

    `sources` and `sink` are names of streams and tables; `state` is RUNNING, PAUSED or ERROR.
    `properties` are those of the session that created it.
    """

    number: int
    id: str
    statement: str
    sources: tuple[str, ...]
    sink: str
    properties: dict[str, str]
    state: str = "RUNNING"
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ConnectorInfo:
    """A connector: its SQL identifier, its options as written, and how it fares."""

    id: int
    name: str
    direction: str
    options: dict[str, str]
    state: str = "RUNNING"
    message: str | None = None
    statement: str = ""


@dataclass(frozen=True, slots=True)
class CustomType:
    """A type that CREATE TYPE made."""

    id: int
    name: str
    type: SqlType
