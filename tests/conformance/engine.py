"""What the runner needs of an engine, and the engine that it runs against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from millstream import types as t
from millstream.functions.registry import Registry
from millstream.sql import ast

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
    `wrapping` is what WRAP_SINGLE_VALUE or its default setting said, None where nothing was said.
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


class Statement(Protocol):
    """A statement that was parsed."""

    @property
    def node(self) -> ast.Statement:
        """Its tree."""
        ...


class Engine(Protocol):
    """One database in memory, with a clock that stands at 0."""

    def ensure_topic(self, name: str, partitions: int) -> None:
        """Make a topic unless there is one of the name."""
        ...

    def prepare(self, script: str) -> Sequence[Statement]:
        """All statements of a script; ParseError where one is none."""
        ...

    def execute(self, statement: Statement) -> None:
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
    raise NotImplementedError("no engine to run against yet")
