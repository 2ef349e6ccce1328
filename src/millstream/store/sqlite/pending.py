"""What an open commit has gathered and not written yet."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from enum import Enum

from millstream.store.interfaces import Records
from millstream.store.records import size_of
from millstream.store.sqlite.frames import MOST_BYTES, MOST_ROWS, Touched
from millstream.store.state_rows import StateRows

FEW_ROWS = 256
"""More records or rows than this have their bytes counted."""


@dataclass(slots=True)
class PendingRun:
    """An appended run, and the first offset of each partition. It is encoded when it is written."""

    base: int
    records: Records
    firsts: list[tuple[int, int]]


class Action(Enum):
    """What happens to a page of state."""

    DELTA = "add rows"
    WHOLE = "replace"
    DROP = "remove"


@dataclass(slots=True)
class PendingPart:
    """A change of a page of state; `shape` is the id of the rows' schema, 0 where what is stored
    has it."""

    action: Action
    page: int
    shape: int = 0
    rows: StateRows | None = None

    @property
    def count(self) -> int:
        """The number of rows."""
        return 0 if self.rows is None else self.rows.num_rows


@dataclass(slots=True)
class Pending:
    """Changes by kind. Sets hold keys, whose values (or absence) stand in the commit's image.

    `bytes` is about what records and rows take, where they are many; to ask Arrow for the bytes of
    a few takes longer than to encode them.
    """

    touched: Touched = field(default_factory=Touched)
    topics: set[int] = field(default_factory=set)
    stores: set[int] = field(default_factory=set)
    layouts: list[int] = field(default_factory=list)
    shapes: list[int] = field(default_factory=list)
    runs: dict[int, list[PendingRun]] = field(default_factory=dict)
    parts: dict[int, list[PendingPart]] = field(default_factory=dict)
    rows: int = 0
    bytes: int = 0
    only_deltas: bool = True

    def add_run(self, topic: int, run: PendingRun) -> None:
        """Add a run at the end of a topic."""
        self.runs.setdefault(topic, []).append(run)
        count = len(run.records)
        self.rows += count
        if count > FEW_ROWS:
            self.bytes += size_of(run.records)

    def add_part(self, store: int, part: PendingPart) -> None:
        """Add a change of a page of state."""
        self.parts.setdefault(store, []).append(part)
        self.only_deltas &= part.action is Action.DELTA
        count = part.count
        self.rows += count
        if part.rows is not None and count > FEW_ROWS:
            self.bytes += part.rows.nbytes

    def find_run(self, topic: int, ordinal: int) -> PendingRun | None:
        """The run that holds the record at `ordinal`, if it was appended in this commit."""
        runs = self.runs.get(topic)
        if not runs or ordinal < runs[0].base:
            return None
        return runs[bisect_right(runs, ordinal, key=lambda r: r.base) - 1]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write at all."""
        touched = self.touched
        return not (
            touched.counters
            or touched.logs
            or touched.positions
            or touched.metas
            or touched.entries
            or self.runs
            or self.parts
            or self.is_structural
        )

    @property
    def is_structural(self) -> bool:
        """Whether topics, stores, layouts or schemas came or went."""
        return bool(self.topics or self.stores or self.layouts or self.shapes)

    @property
    def is_small(self) -> bool:
        """Whether it may be written as one frame."""
        return (
            self.rows <= MOST_ROWS
            # More is hardly compressed to what a frame may have, and not worth a try.
            and self.bytes <= 16 * MOST_BYTES
            and self.only_deltas
            and not self.is_structural
        )
