"""What random programs are made of: streams and tables, and the programs themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.properties.program_records import Record


@dataclass(frozen=True)
class Relation:
    """A stream or table as a query sees it. `key` and `value` are (name, type) pairs.

    `windowed`: its key has a window; `window` and `window_size` (s) are those of a windowed table.
    `derived`: a query writes it. `ancestors` are the input topics it comes from. With a cache,
    `changing`: what a joining stream sees of it depends on the cut; `loose`: so may the times of
    its rows; `regrouped`: also which of its groups without rows there are.
    """

    name: str
    is_table: bool
    key: tuple[tuple[str, str], ...]
    value: tuple[tuple[str, str], ...]
    topic: str
    value_format: str
    partitions: int
    key_format: str
    windowed: bool = False
    window: str = ""
    window_size: int = 0
    derived: bool = False
    changing: bool = False
    loose: bool = False
    regrouped: bool = False
    ancestors: frozenset[str] = frozenset()

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Key, then value."""
        return (*self.key, *self.value)

    def result(
        self, name: str, key: Sequence[tuple[str, str]], value: Sequence[tuple[str, str]]
    ) -> Relation:
        """What a query over this relation makes, where it stays a stream or table."""
        return replace(
            self, name=name, key=tuple(key), value=tuple(value), topic=name, derived=True
        )


@dataclass(frozen=True)
class Program:
    """`script` makes everything; `records` are what the input topics get, in this order."""

    script: tuple[str, ...]
    records: tuple[Record, ...]
    sinks: tuple[str, ...]
    tables: tuple[str, ...]
    loose: tuple[str, ...] = ()
    regrouped: tuple[str, ...] = ()

    def text(self) -> str:
        """The script."""
        return "\n".join(self.script)


@dataclass(frozen=True)
class Traits:
    """What a program may hold. `cached`: only what a cache leaves the same in the end. `writers`:
    several queries may write one stream, in the order in which they were made."""

    cached: bool = False
    writers: bool = True
    max_queries: int = 4
    max_records: int = 14
    partitions: Sequence[int] = (1, 1, 2, 3)
    harsh_doubles: bool = True
