"""What a connector is: a source gives records to topics, a sink carries a topic's records away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from millstream.clock import Clock
from millstream.errors import MillstreamError


class ConnectorError(MillstreamError):
    """A connector cannot go on: it becomes FAILED and shows this sentence."""


class RetriableError(MillstreamError):
    """The outside does not answer now; the runtime backs off and tries again."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option that a connector understands, or accepts and ignores (`ignored`). A name that ends
    in `*` stands for every option that begins like it."""

    name: str
    description: str
    default: str | None = None
    required: bool = False
    ignored: bool = False


@dataclass(slots=True)
class SourceRecords:
    """New records for a topic: binary arrays (null: no key or value) and event times in ms."""

    topic: str
    key: pa.Array
    value: pa.Array
    rowtime: np.ndarray


@dataclass(frozen=True, slots=True)
class Rejected:
    """Input that became no record: a line for the processing log."""

    topic: str
    message: str
    record: bytes
    place: int = -1


@dataclass(slots=True)
class Poll:
    """What one poll of a source gave. `position` replaces the stored one in the same commit that
    appends the records, in list order."""

    records: list[SourceRecords]
    position: dict[str, Any]
    rejected: list[Rejected] = field(default_factory=list)


class Source(Protocol):
    """A running source."""

    def poll(self, max_rows: int) -> Poll | None:
        """Up to `max_rows` new records, or None where nothing is due."""
        ...

    def due_in_ms(self) -> int | None:
        """In how many ms the next poll may give something; None: never again (finished)."""
        ...

    def progress(self) -> tuple[int, int] | None:
        """(done, total) in any unit for a bounded source, None for an endless one."""
        ...

    def topics(self) -> Sequence[str]:
        """The topics it writes."""
        ...

    def close(self) -> None:
        """Release what it holds. Idempotent."""
        ...


@dataclass(slots=True)
class SinkRecords:
    """Records of a topic for the outside, as their bytes. `key_text` is the key as people read it
    (string array); `window_start` and `window_end` (ms) are set for windowed keys only, whose
    bytes do not hold them."""

    topic: str
    partition: np.ndarray
    offset: np.ndarray
    rowtime: np.ndarray
    key: pa.Array
    value: pa.Array
    key_text: pa.Array | None = None
    window_start: np.ndarray | None = None
    window_end: np.ndarray | None = None


class Sink(Protocol):
    """A running sink."""

    def topics(self) -> Sequence[str]:
        """The topics it reads, as written in its options (matched without regard to case)."""
        ...

    def put(self, records: SinkRecords) -> list[Rejected]:
        """Deliver all records, or raise RetriableError (all will come again) or ConnectorError.
        Records that the outside refuses for good are returned."""
        ...

    def close(self) -> None:
        """Release what it holds. Idempotent."""
        ...


class ConnectorClass(Protocol):
    """A kind of connector: its names, its options, how one is made."""

    names: tuple[str, ...]
    """Every `connector.class` that means it: Confluent Cloud's name and the self-managed class."""
    direction: str
    """SOURCE or SINK."""
    options: tuple[Option, ...]

    def create(
        self, name: str, options: Mapping[str, str], position: dict[str, Any], clock: Clock
    ) -> Source | Sink:
        """Make one, going on at `position` (empty: from the start). Raises ConnectorError."""
        ...
