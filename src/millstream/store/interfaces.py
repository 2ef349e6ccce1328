"""What a store of topics, state, catalogue and positions offers, whatever it is made of.

Everything that belongs together is written through one `Commit` and becomes visible, and durable,
at once. Readers see whole commits only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import pyarrow as pa

from millstream.serde.base import Part
from millstream.store.state_rows import StateRows


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic; `id` is its identity, a name may be used again after a drop."""

    id: int
    name: str
    partitions: int
    replicas: int = 1
    retention_ms: int | None = None
    cleanup_policy: str = "delete"


@dataclass(slots=True)
class Records:
    """A run of records of one topic, in log order; all arrays have one entry per record.

    `offset` counts within the partition; -1 before the record is appended. `seq` is the
    database-wide number of the record's origin; `writer` the creation number of the query that
    wrote it, 0 for records from outside. `headers` is list<struct<KEY: string, VALUE: binary>>.
    `window_start`, `window_end` (ms) are set for windowed keys only.
    """

    partition: np.ndarray
    offset: np.ndarray
    seq: np.ndarray
    writer: np.ndarray
    rowtime: np.ndarray
    key: Part
    value: Part
    window_start: np.ndarray | None = None
    window_end: np.ndarray | None = None
    headers: pa.Array | None = None

    def __len__(self) -> int:
        return len(self.rowtime)


@dataclass(frozen=True, slots=True)
class StoreId:
    """Names one state store: whose it is, which step's, and of which schema."""

    query_id: int
    step: str
    schema_hash: str


@dataclass(frozen=True, slots=True)
class StatePart:
    """Rows of one page of a state store, as they were written. Later parts win over earlier ones
    row by row; what identifies a row is the operator's business."""

    page: int
    rows: pa.RecordBatch


class View(Protocol):
    """A consistent view: all that one commit left, and nothing of the next."""

    def topics(self) -> list[Topic]:
        """All topics, oldest first."""
        ...

    def topic(self, name: str) -> Topic | None:
        """The topic of this exact name."""
        ...

    def end(self, topic_id: int) -> int:
        """How many records the topic has ever had: the ordinal of the next one."""
        ...

    def start(self, topic_id: int) -> int:
        """The ordinal of the first record that is still there; 0 unless the topic was trimmed."""
        ...

    def read(
        self, topic_id: int, start: int, max_rows: int | None = None
    ) -> Iterator[tuple[int, Records]]:
        """Runs of records from ordinal `start` (a topic's log order over all its partitions), each
        with the ordinal of its first record, until at least `max_rows` are given. What was trimmed
        is passed over."""
        ...

    def positions(self, owner: str) -> dict[int, int]:
        """Topic id to the ordinal of the next record that `owner` will read."""
        ...

    def state(self, store: StoreId, pages: range | None = None) -> Iterator[StatePart]:
        """The parts of a state store, oldest first: all, or those of a range of pages."""
        ...

    def pages(self, store: StoreId) -> list[int]:
        """The pages of a state store that have parts, ascending; no part is read for it."""
        ...

    def later(self) -> Later | None:
        """How to read what this view leaves unread: it gives this view while it lasts, and then,
        from a store open for writing, views of what is the last commit at the time. None where
        reading later spares no memory, since the store itself lies in memory."""
        ...

    def state_meta(self, store: StoreId) -> dict[str, Any]:
        """The store's small values (stream times and the like); empty where none were written."""
        ...

    def entries(self, kind: str) -> dict[int, dict[str, Any]]:
        """The catalogue's entries of a kind ("source", "query", "connector", "type", ..), by id."""
        ...

    def next_seq(self) -> int:
        """The database-wide number that the next record from outside will get."""
        ...


Later = Callable[[], AbstractContextManager[View]]
"""Opens a view; see `View.later`."""


Done = Callable[[BaseException | None], None]
"""Told that something is durable, or of the error that undid it."""


class Commit(View, Protocol):
    """One transaction. Its own reads see its writes. Leaving the block with an exception, or not
    calling `commit`, undoes all of it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def commit(self) -> None:
        """Make everything durable and visible."""
        ...

    def commit_later(self, done: Done) -> None:
        """As `commit`, but it may return before everything is durable: another thread may write,
        and calls `done` when that is over. Nothing handed over may be changed until then.

        Where this raises, everything is undone and `done` is not called.
        """
        ...

    def create_topic(
        self,
        name: str,
        partitions: int,
        *,
        replicas: int = 1,
        retention_ms: int | None = None,
        cleanup_policy: str = "delete",
    ) -> Topic:
        """Make a topic; its name must be free."""
        ...

    def drop_topic(self, topic_id: int) -> None:
        """Remove a topic, its records and all positions in it."""
        ...

    def trim(self, topic_id: int, before: int) -> None:
        """Forget a topic's records before an ordinal; those after it keep their ordinals and
        offsets."""
        ...

    def allocate_seq(self, count: int) -> int:
        """Reserve `count` numbers for records from outside; the first one is given."""
        ...

    def append(self, topic_id: int, records: Records) -> Records:
        """Append records; the result has their offsets."""
        ...

    def set_position(self, owner: str, topic_id: int, ordinal: int) -> None:
        """Remember what `owner` will read next."""
        ...

    def drop_positions(self, owner: str) -> None:
        """Forget all positions of an owner."""
        ...

    def put_delta(self, store: StoreId, page: int, rows: pa.RecordBatch | StateRows) -> None:
        """Add rows to a page of a state store."""
        ...

    def put_page(self, store: StoreId, page: int, rows: pa.RecordBatch | StateRows) -> None:
        """Write a page whole; all its earlier parts are dropped."""
        ...

    def drop_page(self, store: StoreId, page: int) -> None:
        """Remove a page and all its parts."""
        ...

    def put_state_meta(self, store: StoreId, meta: dict[str, Any]) -> None:
        """Replace a store's small values (anything JSON can hold)."""
        ...

    def drop_state(self, query_id: int) -> None:
        """Remove all state of a query."""
        ...

    def allocate_id(self, kind: str) -> int:
        """A new id for a catalogue entry; ids grow, from 1, and are never given twice."""
        ...

    def put_entry(self, kind: str, entry_id: int, content: dict[str, Any]) -> None:
        """Write a catalogue entry (anything JSON can hold)."""
        ...

    def delete_entry(self, kind: str, entry_id: int) -> None:
        """Remove a catalogue entry."""
        ...


class NotInMemoryError(LookupError):
    """What a `Store.recent` view was asked for is in the file only."""


class Store(Protocol):
    """One database."""

    path: str
    read_only: bool

    def view(self) -> AbstractContextManager[View]:
        """A view of the last commit, for any thread; it stays as it is until it is left."""
        ...

    def recent(self) -> View | None:
        """The last commit as far as memory holds it, for who follows the end of a topic: it costs
        no transaction and need not be left. NotInMemoryError where the file is needed; None where
        other processes may write it."""
        ...

    def begin(self, *, ahead: bool = False) -> Commit:
        """Begin a commit; one at a time. Raises StoreError on a read-only store.

        `ahead`: do not wait for the one that is being written (see `Commit.commit_later`). This
        one then stands on what that will leave, and fails with it.
        """
        ...

    def settle(self) -> None:
        """Wait until nothing is being written on another thread."""
        ...

    def close(self) -> None:
        """Release the file. Idempotent."""
        ...
