"""What an operator is: a step from batches to a batch, with state written at each commit."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np

from millstream.clock import Clock, SystemClock
from millstream.columns.batch import Batch
from millstream.store.interfaces import Commit, View


class Emission(Enum):
    """Which updates of a table leave an operator.

    ALL: every one, as ksqlDB does with its record cache at 0. LAST: per key and window the first
    old row to the last new row of the batch, at the place of the last update; what did not exist
    before and does not exist after leaves nothing. LAST == coalesce(ALL), always.
    """

    ALL = "ALL"
    LAST = "LAST"


KEPT_BYTES = 4096
"""How much of a record at fault a note keeps."""
MOST_NOTES = 1_000
"""How many records of a batch are noted one by one, for the same kind of reason."""


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the processing log. `seq` is the origin of the record at fault, -1 if unknown;
    `kind` is one of deserialization, expression, late, lost, skipped; `count` rows are meant.
    Topic, partition, offset, writer (the creation number of the query that wrote it, 0 for records
    from outside) and bytes of the record are given where they are known; `row` is its index in the
    run of records that a source read."""

    step: str
    kind: str
    message: str
    seq: int = -1
    count: int = 1
    topic: str | None = None
    partition: int = -1
    offset: int = -1
    record: bytes | None = None
    row: int = -1
    writer: int = -1


@dataclass(slots=True)
class StepContext:
    """What a step may know besides its input: how to emit, and where to write what went wrong."""

    emission: Emission = Emission.ALL
    row_wise: bool = False
    clock: Clock = field(default_factory=SystemClock)
    notes: list[Note] = field(default_factory=list)
    rows_forced: int = 0
    window_starts: tuple[int | None, int | None] = (None, None)
    """Where rows are looked up: the first and the last start of a window that is wanted."""

    def quiet(self) -> StepContext:
        """The same, whose notes nobody reads."""
        return StepContext(self.emission, self.row_wise, self.clock)

    def note(self, step: str, kind: str, message: str, seq: int = -1, count: int = 1) -> None:
        """Add a line to the processing log."""
        self.notes.append(Note(step, kind, message, seq, count))

    def note_rows(self, step: str, kind: str, message: str, seq: np.ndarray) -> None:
        """Add a line for each row, of which the origins are given; one for all beyond many."""
        for one in seq[:MOST_NOTES].tolist():
            self.note(step, kind, message, one)
        if len(seq) > MOST_NOTES:
            self.note(step, kind, message, int(seq[-1]), len(seq) - MOST_NOTES)


class Operator(Protocol):
    """A step of a query.

    `step` gives output, changes the state in memory, and remembers what changed; `write` puts that
    into the commit. After a failure the operator is dropped and a new one loads the last commit.
    `row_wise` in the context forces the row path, which gives the same rows on the same state.
    """

    name: str

    def step(self, batch: Batch, context: StepContext) -> Batch:
        """The rows that the input rows cause, in the order in which they happen."""
        ...

    def write(self, commit: Commit) -> None:
        """Write what changed since the last write."""
        ...

    def load(self, view: View) -> None:
        """Read the state that the last commit left."""
        ...


class Stateless:
    """Base of operators without state."""

    name = "step"

    def write(self, commit: Commit) -> None:
        """Nothing to write."""

    def load(self, view: View) -> None:
        """Nothing to read."""


_FEW = 64


def is_all(values: np.ndarray, one: int) -> bool:
    """Whether all values are one and the same."""
    if len(values) <= _FEW:
        return bool(values.tolist().count(one) == len(values))
    return bool((values == one).all())


class StreamTimes:
    """The largest event time seen, per partition."""

    def __init__(self) -> None:
        self._times: dict[int, int] = {}

    def observe(self, rowtime: np.ndarray, partition: np.ndarray) -> np.ndarray:
        """Stream time at each row, that row included, per its partition; the maxima are kept.

        Rows are in the order in which they happen. -1 is the time before the first row.
        """
        if len(partition) == 0:
            return np.empty(0, np.int64)
        first = partition.item(0)
        if is_all(partition, first):
            return self._observe(rowtime, first)
        result = np.empty(len(rowtime), np.int64)
        for number in np.unique(partition).tolist():
            rows = np.flatnonzero(partition == number)
            result[rows] = self._observe(rowtime[rows], number)
        return result

    def _observe(self, rowtime: np.ndarray, partition: int) -> np.ndarray:
        running = np.maximum.accumulate(rowtime)
        known = self._times.get(partition, -1)
        if known > running.item(0):
            running = np.maximum(running, known)
        self._times[partition] = running.item(-1)
        return running

    def advance(self, partition: int, time_ms: int) -> None:
        """Note that a partition has come this far."""
        self._times[partition] = max(self._times.get(partition, -1), time_ms)

    def oldest(self) -> int:
        """The smallest time of any partition, -1 before the first row."""
        return min(self._times.values(), default=-1)

    def get(self, partition: int) -> int:
        """The stream time of a partition, -1 before its first row."""
        return self._times.get(partition, -1)

    def dump(self) -> dict[str, int]:
        """The times, as JSON can hold them."""
        return {str(k): v for k, v in self._times.items()}

    def restore(self, dumped: dict[str, int]) -> None:
        """The opposite of `dump`."""
        self._times = {int(k): v for k, v in dumped.items()}
