"""Small commits: each is one row of the file, and many are merged into runs and parts later.

A commit of one event through a dozen queries writes a dozen topics, as many pieces of state and as
many positions. Row by row that touches a dozen pages of the file, and leaves runs of one record
that take 200 µs each to read back. As one frame it touches one page; when enough frames have
gathered, they are merged, and a topic's records become one run.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby

import msgspec
import pyarrow as pa

from millstream.store.interfaces import Records
from millstream.store.records import concat_records, shape_of
from millstream.store.sqlite.blobs import RunHead, decode_run
from millstream.store.sqlite.layouts import KnownLayout
from millstream.store.sqlite.packing import squeeze, unsqueeze
from millstream.store.sqlite.parts import decode_rows
from millstream.store.state_rows import StateRows

MOST_ROWS = 1024
"""A commit with more records and rows of state than this is not a small one."""

MOST_BYTES = 256 << 10
"""Nor is one whose frame would be larger than this."""

_JOINED_RUNS = 8
"""So many runs of a topic are joined into one."""


class RunContent(msgspec.Struct, array_like=True, frozen=True):
    """A run of records in a frame."""

    topic: int
    base: int
    count: int
    head: RunHead
    body: bytes


class PartContent(msgspec.Struct, array_like=True, frozen=True):
    """Rows of state in a frame; `shape` is the id of their schema, 0 where the body has it."""

    store: int
    page: int
    shape: int
    form: int
    count: int
    body: bytes


class FrameContent(msgspec.Struct, array_like=True, frozen=True):
    """All that a small commit changed: counters, ends of topics (records, offsets), positions
    (owner, topic, ordinal), states' small values (store, JSON), the catalogue's entries (kind, id,
    JSON or None where it is gone), records and rows of state."""

    counters: dict[str, int]
    ends: list[tuple[int, int, list[int]]]
    positions: list[tuple[str, int, int]]
    metas: list[tuple[int, str]]
    entries: list[tuple[str, int, str | None]]
    runs: list[RunContent]
    parts: list[PartContent]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(FrameContent).decode


def encode_frame(content: FrameContent) -> bytes:
    """A frame as bytes. Arrow's messages of a few rows are mostly headers that repeat each other:
    20 KB become 3, in 20 µs."""
    return squeeze(_encode(content))


def decode_frame(body: bytes) -> FrameContent:
    """The opposite of `encode_frame`."""
    return _decode(unsqueeze(body))


class FrameRun:
    """A run of records in a frame, decoded when it is asked for."""

    __slots__ = ("_content", "_layouts", "_records", "base", "count")

    def __init__(
        self,
        base: int,
        count: int,
        records: Records | None = None,
        content: RunContent | None = None,
        layouts: Mapping[int, KnownLayout] | None = None,
    ) -> None:
        self.base = base
        self.count = count
        self._records = records
        self._content = content
        self._layouts = layouts

    @property
    def is_decoded(self) -> bool:
        """Whether its records are at hand."""
        return self._records is not None

    @property
    def records(self) -> Records:
        """The records."""
        if self._records is None:
            assert self._content is not None and self._layouts is not None
            content = self._content
            self._records = decode_run(content.head, content.body, self.count, self._layouts)
        return self._records


class FramePart:
    """Rows of state in a frame, decoded when they are asked for."""

    __slots__ = ("_content", "_rows", "_shapes", "number", "page", "shape")

    def __init__(
        self,
        number: int,
        page: int,
        shape: int,
        rows: StateRows | None = None,
        content: PartContent | None = None,
        shapes: Mapping[int, pa.Schema] | None = None,
    ) -> None:
        self.number = number
        self.page = page
        self.shape = shape
        """The id of the rows' schema, 0 where what is stored has it."""
        self._rows = rows
        self._content = content
        self._shapes = shapes

    @property
    def rows(self) -> StateRows:
        """The rows."""
        if self._rows is None:
            assert self._content is not None and self._shapes is not None
            content = self._content
            schema = self._shapes.get(content.shape)
            self._rows = decode_rows(content.form, content.count, content.body, schema)
        return self._rows


@dataclass(slots=True)
class Touched:
    """The keys of small values that differ from what the tables hold."""

    counters: set[str] = field(default_factory=set)
    logs: set[int] = field(default_factory=set)
    positions: set[tuple[str, int]] = field(default_factory=set)
    metas: set[int] = field(default_factory=set)
    entries: set[tuple[str, int]] = field(default_factory=set)

    def add(self, other: Touched) -> None:
        """Take over another's keys."""
        self.counters |= other.counters
        self.logs |= other.logs
        self.positions |= other.positions
        self.metas |= other.metas
        self.entries |= other.entries


@dataclass(frozen=True, slots=True)
class _TopicRuns:
    """A topic's runs in log order, and the ordinals of their first records. The first `joined` are
    to stay as they are."""

    bases: list[int] = field(default_factory=list)
    runs: list[FrameRun] = field(default_factory=list)
    joined: int = 0

    def with_joined(self) -> _TopicRuns:
        """The same records with the last runs joined, as far as they have one shape."""
        runs = self.runs[: self.joined]
        for _, alike in groupby(self.runs[self.joined :], lambda run: shape_of(run.records)):
            pieces = list(alike)
            records = concat_records([piece.records for piece in pieces])
            runs.append(FrameRun(pieces[0].base, len(records), records))
        return _TopicRuns([run.base for run in runs], runs, len(runs))


class Frames:
    """The frames since the last merge, by topic and by state store.

    Only grows, so that a view may share it with the writer: a view cuts a topic at the topic's
    end, and rows of state at its own commit number. Runs are joined a few at a time as they come,
    so that the commit that merges does not have to join all.
    """

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0
        self.touched = Touched()
        self._topics: dict[int, _TopicRuns] = {}
        self._parts: dict[int, list[FramePart]] = {}

    def add_run(self, topic: int, run: FrameRun) -> None:
        """Add a run at the end of a topic."""
        known = self._topics.setdefault(topic, _TopicRuns())
        known.runs.append(run)
        # Readers search the bases, so a base comes after its run.
        known.bases.append(run.base)
        if len(known.runs) - known.joined == _JOINED_RUNS:
            if all(run.is_decoded for run in known.runs[known.joined :]):
                self._topics[topic] = known.with_joined()
            else:
                self._topics[topic] = replace(known, joined=len(known.runs))

    def add_part(self, store: int, part: FramePart) -> None:
        """Add rows of state."""
        self._parts.setdefault(store, []).append(part)

    def find(self, topic: int, ordinal: int) -> FrameRun | None:
        """The run that holds the record at `ordinal`, if a frame has it."""
        known = self._topics.get(topic)
        at = -1 if known is None else bisect_right(known.bases, ordinal) - 1
        if known is None or at < 0:
            return None
        run = known.runs[at]
        return run if ordinal < run.base + run.count else None

    def parts(self, store: int, last: int) -> list[FramePart]:
        """A store's rows up to commit `last`, oldest first."""
        return [p for p in self._parts.get(store, ()) if p.number <= last]

    def topics(self) -> set[int]:
        """The topics that have runs here."""
        return set(self._topics)

    def runs(self, topic: int) -> list[FrameRun]:
        """A topic's runs, in log order."""
        known = self._topics.get(topic)
        return [] if known is None else list(known.runs)

    def all_runs(self) -> Iterator[tuple[int, list[FrameRun]]]:
        """Each topic's runs, in log order."""
        return ((topic, known.runs) for topic, known in self._topics.items())

    def all_parts(self) -> Iterator[tuple[int, list[FramePart]]]:
        """Each store's rows, oldest first."""
        return iter(self._parts.items())
