"""What the runner needs of an engine, and the engine that it runs against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from millstream import types as t
from millstream.catalog.model import Source as CatalogueSource
from millstream.clock import FixedClock
from millstream.functions.registry import Registry
from millstream.sql.script import Parsed
from tests.conformance.harness import CaseDatabase

_PROPERTIES = {"auto.offset.reset": "earliest", "cache.max.bytes.buffering": "0"}

RawHeader = tuple[str, bytes | None]
"""A header's key and value."""


@dataclass(frozen=True)
class RawRecord:
    """A record on the wire; `window` holds start and end in ms, beside the key's bytes."""

    key: bytes | None
    value: bytes | None
    rowtime: int
    headers: tuple[RawHeader, ...] = ()
    window: tuple[int, int] | None = None


@dataclass(frozen=True)
class Source:
    """A stream or table of the catalogue.

    `window_type` is TUMBLING, HOPPING or SESSION (None: not windowed), `window_size` in ms.
    `wrapping`: false where the value is unwrapped, true where wrapping was asked for, else None.
    """

    name: str
    kind: str
    schema: t.Schema
    topic: str
    key_format: str
    value_format: str
    window_type: str | None = None
    window_size: int | None = None
    wrapping: bool | None = None
    read_only: bool = False


class Engine(Protocol):
    """One database in memory, with a clock that stands at 0."""

    def ensure_topic(self, name: str, partitions: int) -> None:
        """Make a topic unless there is one of the name."""
        ...

    def prepare(self, script: str) -> Sequence[Parsed]:
        """All statements of a script; ParseError where one is none."""
        ...

    def execute(self, statement: Parsed) -> None:
        """Execute a statement; SemanticError or NotSupportedYetError."""
        ...

    def append(self, topic: str, records: Sequence[RawRecord]) -> None:
        """Append records to a topic's only partition in use."""
        ...

    def drain(self, input_topics: set[str]) -> None:
        """Run every persistent query once, in the order of their creation: first all records of
        those of its topics that got inputs, in the order in which they were appended, then the
        other topics, one after the other. ExecutionError where a record ends a query."""
        ...

    def read(self, topic: str) -> list[RawRecord]:
        """All records of a topic in log order; none where there is no such topic."""
        ...

    def sources(self) -> list[Source]:
        """The streams and tables that exist, oldest first."""
        ...

    def topics(self) -> dict[str, int]:
        """Every topic and its number of partitions."""
        ...

    @property
    def rows_forced(self) -> int:
        """How many times an operator took its row path because it was told to."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


def open_engine(registry: Registry, properties: Mapping[str, str], *, row_wise: bool) -> Engine:
    """The engine under test; `registry` has the functions that only tests know."""
    return DatabaseEngine(
        CaseDatabase.open(
            ":memory:",
            clock=FixedClock(0),
            registry=registry,
            properties={**_PROPERTIES, **properties},
            row_wise=row_wise,
        )
    )


class DatabaseEngine:
    """Millstream's Database, query by query."""

    def __init__(self, database: CaseDatabase) -> None:
        self._database = database

    def ensure_topic(self, name: str, partitions: int) -> None:
        """Make a topic unless there is one of the name."""
        self._database.ensure_topic(name, partitions=partitions)

    def prepare(self, script: str) -> Sequence[Parsed]:
        """All statements of a script."""
        return self._database.prepare(script)

    def execute(self, statement: Parsed) -> None:
        """Execute a statement."""
        self._database.execute_statement(statement)

    def append(self, topic: str, records: Sequence[RawRecord]) -> None:
        """Append records to partition 0."""
        rows = [(r.key, r.value, r.rowtime, list(r.headers) or None, r.window) for r in records]
        self._database.append_raw(topic, rows)

    def drain(self, input_topics: set[str]) -> None:
        """Run every persistent query once."""
        self._database.drain_conformance(input_topics)

    def read(self, topic: str) -> list[RawRecord]:
        """All records of a topic in log order."""
        return [
            RawRecord(
                r.key,
                r.value,
                r.rowtime,
                tuple(r.headers or ()),
                None if r.window is None else (r.window[0], r.window[1]),
            )
            for r in self._database.read_topic(topic)
        ]

    def sources(self) -> list[Source]:
        """The streams and tables that exist."""
        return [_source(entry) for entry in self._database.sources()]

    def topics(self) -> dict[str, int]:
        """Every topic and its number of partitions."""
        return self._database.topics()

    @property
    def rows_forced(self) -> int:
        """How many times an operator took its row path because it was told to."""
        return self._database.rows_forced

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _source(entry: CatalogueSource) -> Source:
    window = entry.window
    return Source(
        name=entry.name,
        kind=entry.kind.value,
        schema=entry.schema,
        topic=entry.topic,
        key_format=entry.key_layout.format,
        value_format=entry.value_layout.format,
        window_type=None if window is None else window.kind,
        window_size=None if window is None else window.size_ms,
        wrapping=entry.wrap_setting if entry.value_layout.wrap else False,
        read_only=entry.read_only,
    )
