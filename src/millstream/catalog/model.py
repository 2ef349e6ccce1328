"""What the catalogue knows: streams, tables, queries, connectors and types."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from millstream.serde.base import Layout
from millstream.sql.ast import SourceKind
from millstream.types import Role, Schema, SqlType


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
    that made it and whose results it shows, if any. `statement` is the text that made it, `history`
    all others that made or changed it, oldest first.
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
    history: tuple[str, ...] = ()
    properties: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def is_table(self) -> bool:
        """Whether it is a table."""
        return self.kind is SourceKind.TABLE

    @property
    def reading(self) -> tuple[int, int]:
        """What tells apart how its records are read: its id, and how many value columns it has.
        Columns are only ever added, at the end."""
        return self.id, len(self.value_layout.columns)

    def as_of(self, width: int) -> Source:
        """What it was when it had so many value columns."""
        value = self.schema.value
        if width >= len(value):
            return self
        later = {c.name for c in value[width:]}
        columns = tuple(c for c in self.schema if c.role is not Role.VALUE or c.name not in later)
        layout = replace(self.value_layout, columns=value[:width])
        return replace(self, schema=Schema(columns), value_layout=layout)


@dataclass(frozen=True, slots=True)
class QueryInfo:
    """A persistent query. `number` is its creation number: it orders what queries write.

    `sources` and `sink` are names of streams and tables; `state` is RUNNING, PAUSED or ERROR.
    `properties` are those of the session that created it. `widths` tells how many value columns its
    sources and its sink had then, and `types` what custom types stood for: what was declared later
    does not change its meaning.
    """

    number: int
    id: str
    statement: str
    sources: tuple[str, ...]
    sink: str
    properties: dict[str, str]
    state: str = "RUNNING"
    error: str | None = None
    widths: dict[str, int] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)


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
