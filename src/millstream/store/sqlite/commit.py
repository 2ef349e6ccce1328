"""One transaction: gathered in memory, written and made durable at its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec
import numpy as np
import pyarrow as pa

from millstream.errors import StoreError
from millstream.serde.base import Layout, TypedPart
from millstream.store.interfaces import Done, Later, Records, StatePart, StoreId, Topic
from millstream.store.sqlite.blobs import canonical, first_offsets, number_offsets
from millstream.store.sqlite.cache import Run, TailCache
from millstream.store.sqlite.connection import Connection
from millstream.store.sqlite.flight import Flight
from millstream.store.sqlite.image import SEQ, Image, Log, first_of
from millstream.store.sqlite.layered import Layered
from millstream.store.sqlite.layouts import know
from millstream.store.sqlite.parts import is_dictionary
from millstream.store.sqlite.pending import Action, Pending, PendingPart, PendingRun
from millstream.store.sqlite.reader import Reader
from millstream.store.sqlite.write import (
    frame_of,
    keep_frame,
    write_frame,
    write_tables,
)
from millstream.store.state_rows import StateRows

WORTH_ROWS = 4096
"""A commit of fewer rows is written sooner than another thread would begin with it."""

_fast_json = msgspec.json.Encoder().encode

SPILL_BYTES = 128 << 20
"""A commit that has gathered so many bytes begins to write them into its transaction."""


class Host(Protocol):
    """Where a commit ends up: its store."""

    writes_here: bool
    """Whether there is no other thread to write."""

    def writing(self) -> AbstractContextManager[None]:
        """While nobody else may use the connection."""
        ...

    def publish(self, image: Image) -> None:
        """The image is about to be committed."""
        ...

    def finish(self, image: Image | None, *, wrote: bool) -> None:
        """The commit is over; the image it left, or None where it was undone. `wrote`: it has begun
        to write."""
        ...

    def writer(self) -> Connection:
        """The connection for writing."""
        ...

    def enter_view(self) -> tuple[Connection, Image, int]:
        """A connection that sees one commit, that commit's image, and a ticket."""
        ...

    def leave_view(self, connection: Connection, ticket: int) -> None:
        """The view is over."""
        ...

    def launch(self, flight: Flight, write: Callable[[], None], done: Done) -> None:
        """Let another thread write."""
        ...

    def later(self, reader: Reader) -> Later | None:
        """How to read later what a reader sees now."""
        ...


class SqliteCommit(Reader):
    """A commit; see `millstream.store.interfaces.Commit`.

    All changes go to a draft of the next image and to `Pending`; the transaction lasts only as
    long as writing them takes, unless there is too much of it for the memory. Views of the same
    process go on reading meanwhile.

    With a flight `before` it, it stands on what that commit will leave: it reads what that has
    gathered and, for all that is older, what a view sees; it is written when that is over, and
    undone with it.
    """

    _may_lose_parts = True

    def __init__(
        self,
        host: Host,
        image: Image,
        cache: TailCache,
        shape_hints: dict[int, int],
        spill: bool,
        before: Flight | None = None,
    ) -> None:
        self._host = host
        self._before = before
        if before is None:
            self._connection = host.writer()
        self._glance: tuple[Connection, int] | None = None
        self._image = image.draft()
        if before is not None:
            self._image.frames = before.frames
        self._cache = cache
        self._shape_hints = shape_hints
        self._spill = spill
        self._pending = Pending()
        self._copied: set[str] = set()
        self._open = True
        self._has_begun = False
        self._wrote = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.rollback()

    def rollback(self) -> None:
        """Undo everything, unless it was committed. Idempotent."""
        if self._open:
            self._open = False
            self._end_glance()
            self._host.finish(None, wrote=self._wrote)

    def commit(self) -> None:
        """Make everything durable and visible. After an error everything is undone."""
        image = self._current()
        self._settle()
        if self._pending.is_empty and not self._has_begun:
            self.rollback()
            return
        with self._host.writing():
            try:
                self._write(image)
            except BaseException:
                self.rollback()
                raise
            self._open = False
            self._host.finish(image, wrote=True)

    def commit_later(self, done: Done) -> None:
        """As `commit`, on another thread where it pays."""
        image = self._current()
        # What has begun to be written the next commit could not read before it is durable.
        if self._pending.rows < WORTH_ROWS or self._has_begun or self._host.writes_here:
            self.commit()
            done(None)
            return
        self._settle()
        self._open = False
        self._host.launch(Flight(image, self._pending), partial(self._write, image), done)

    def _settle(self) -> None:
        """Wait until what is written before this one is durable; StoreError where it has failed."""
        before, self._before = self._before, None
        if before is None:
            return
        before.over.wait()
        self._end_glance()
        if before.error is not None:
            self.rollback()
            raise StoreError("what was written before this commit has failed") from before.error
        self._connection = self._host.writer()
        image, left = self._image, before.image
        image.merged, image.frames, image.trash = left.merged, left.frames, left.trash

    def _file(self) -> Connection:
        if self._before is None:
            return self._connection
        if self._glance is None:
            connection, _, ticket = self._host.enter_view()
            self._glance = connection, ticket
        return self._glance[0]

    def _end_glance(self) -> None:
        if self._glance is not None:
            glance, self._glance = self._glance, None
            self._host.leave_view(*glance)

    def _write(self, image: Image) -> None:
        frame = None if self._has_begun else frame_of(image, self._pending)
        self._wrote = True
        self._host.publish(image)
        if frame is not None:
            # First, since a view may need it right after; should the other fail, nobody sees it:
            # views cut at their own commit, and the next commit begins with a fresh image.
            keep_frame(image, self._pending, len(frame))
            # A statement outside a transaction is one. Each further one would let other threads
            # take the interpreter's lock from this one.
            write_frame(self._connection, image, frame)
            return
        self._begin()
        written = write_tables(self._connection, image, self._pending)
        self._connection.run("COMMIT")
        for run in written:
            self._cache.add(*run)

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
        image = self._current()
        if name in image.names:
            raise StoreError(f"there is a topic '{name}' already", hint="Use another name.")
        if partitions < 1:
            raise StoreError(f"topic '{name}' must have at least one partition")
        topic_id = self._count("topic") + 1
        topic = Topic(topic_id, name, partitions, replicas, retention_ms, cleanup_policy)
        image.add_topic(topic)
        self._pending.topics.add(topic_id)
        return topic

    def drop_topic(self, topic_id: int) -> None:
        """Remove a topic, its records and all positions in it."""
        log = self._log(topic_id)
        image = self._image
        image.remove_topic(log.topic)
        self._pending.topics.add(topic_id)
        self._pending.runs.pop(topic_id, None)
        if image.counters.pop(first_of(topic_id), None) is not None:
            self._pending.touched.counters.add(first_of(topic_id))
        for owner, positions in list(image.positions.items()):
            if topic_id in positions:
                self._drop_position(owner, topic_id)

    def trim(self, topic_id: int, before: int) -> None:
        """Forget a topic's records before an ordinal. Their runs are deleted when a commit is
        written into the tables."""
        before = min(before, self._log(topic_id).records)
        if before > self.start(topic_id):
            name = first_of(topic_id)
            self._image.counters[name] = before
            self._pending.touched.counters.add(name)

    def allocate_seq(self, count: int) -> int:
        """Reserve `count` numbers for records from outside; the first one is given."""
        self._current()
        if count < 0:
            raise ValueError("count must not be negative")
        return self._count(SEQ, count)

    def append(self, topic_id: int, records: Records) -> Records:
        """Append records; the result has their offsets. The arrays must not be changed later."""
        log = self._log(topic_id)
        count = len(records)
        if count == 0:
            return records
        records = canonical(records)
        records.offset, firsts, ends = _number(log, records.partition)
        self._image.logs[topic_id] = Log(log.topic, log.records + count, ends)
        self._pending.touched.logs.add(topic_id)
        for part in (records.key, records.value):
            if isinstance(part, TypedPart):
                self._know_layout(part.layout)
        self._pending.add_run(topic_id, PendingRun(log.records, records, firsts))
        self._spill_over()
        return records

    def set_position(self, owner: str, topic_id: int, ordinal: int) -> None:
        """Remember what `owner` will read next."""
        self._log(topic_id)
        positions = self._image.positions
        positions[owner] = {**positions.get(owner, {}), topic_id: ordinal}
        self._pending.touched.positions.add((owner, topic_id))

    def drop_positions(self, owner: str) -> None:
        """Forget all positions of an owner."""
        for topic_id in list(self._current().positions.get(owner, ())):
            self._drop_position(owner, topic_id)

    def put_delta(self, store: StoreId, page: int, rows: pa.RecordBatch | StateRows) -> None:
        """Add rows to a page of a state store."""
        self._put(store, page, rows, Action.DELTA)

    def put_page(self, store: StoreId, page: int, rows: pa.RecordBatch | StateRows) -> None:
        """Write a page whole; all its earlier parts are dropped."""
        if rows.num_rows == 0:
            self.drop_page(store, page)
        else:
            self._put(store, page, rows, Action.WHOLE)

    def drop_page(self, store: StoreId, page: int) -> None:
        """Remove a page and all its parts."""
        store_id = self._current().store_ids.get(store)
        if store_id is not None:
            self._pending.add_part(store_id, PendingPart(Action.DROP, page))

    def put_state_meta(self, store: StoreId, meta: dict[str, Any]) -> None:
        """Replace a store's small values (anything JSON can hold)."""
        store_id = self._store_id(store)
        text = _to_json(meta)
        if self._image.metas.get(store_id) != text:
            self._image.metas[store_id] = text
            self._pending.touched.metas.add(store_id)

    def drop_state(self, query_id: int) -> None:
        """Remove all state of a query."""
        image = self._current()
        for store_id, store in list(image.stores.items()):
            if store.query_id == query_id:
                image.remove_store(store_id)
                self._pending.parts.pop(store_id, None)
                self._pending.stores.add(store_id)

    def allocate_id(self, kind: str) -> int:
        """A new id for a catalogue entry; ids grow, from 1, and are never given twice."""
        self._current()
        return self._count(f"id:{kind}") + 1

    def put_entry(self, kind: str, entry_id: int, content: dict[str, Any]) -> None:
        """Write a catalogue entry (anything JSON can hold)."""
        entries, text = self._own_entries(kind), _to_json(content)
        if entries.get(entry_id) != text:
            entries[entry_id] = text
            self._pending.touched.entries.add((kind, entry_id))

    def delete_entry(self, kind: str, entry_id: int) -> None:
        """Remove a catalogue entry."""
        entries = self._own_entries(kind)
        if entries.pop(entry_id, None) is not None:
            self._pending.touched.entries.add((kind, entry_id))

    def _current(self) -> Image:
        if not self._open:
            raise StoreError("the commit is over", hint="Begin another one.")
        return self._image

    def _run(self, topic: int, ordinal: int) -> Run:
        run = self._pending.find_run(topic, ordinal)
        if run is None and self._before is not None:
            run = self._before.pending.find_run(topic, ordinal)
        return super()._run(topic, ordinal) if run is None else (run.base, run.records)

    def later(self) -> Later | None:
        """How to read what this commit leaves unread; None where the store lies in memory."""
        return self._host.later(self)

    @property
    def is_open(self) -> bool:
        """Whether it can be read and written."""
        return self._open

    def _pages(self, store: int) -> set[int]:
        self._settle()
        found = super()._pages(store)
        for change in self._pending.parts.get(store, ()):
            if change.action is Action.DROP:
                found.discard(change.page)
            else:
                found.add(change.page)
        return found

    def _parts(
        self, store: int, pages: range, skip: frozenset[int] = frozenset()
    ) -> Iterator[StatePart]:
        self._settle()
        changes = [c for c in self._pending.parts.get(store, ()) if c.page in pages]
        replaced = skip | {c.page for c in changes if c.action is not Action.DELTA}
        yield from super()._parts(store, pages, replaced)
        fresh: list[PendingPart] = []
        for change in changes:
            if change.action is not Action.DELTA:
                fresh = [f for f in fresh if f.page != change.page]
            if change.action is not Action.DROP:
                fresh.append(change)
        for change in fresh:
            assert change.rows is not None
            yield StatePart(change.page, change.rows.batch())

    def _own_entries(self, kind: str) -> Layered[int, str]:
        """The entries of a kind, for this commit to change: copied from the image before once."""
        entries = self._current().entries
        if kind not in self._copied:
            self._copied.add(kind)
            entries[kind] = entries[kind].copy() if kind in entries else Layered()
        return entries[kind]

    def _count(self, name: str, by: int = 1) -> int:
        self._pending.touched.counters.add(name)
        return self._image.count(name, by)

    def _drop_position(self, owner: str, topic: int) -> None:
        positions = self._image.positions
        rest = {t: ordinal for t, ordinal in positions[owner].items() if t != topic}
        if rest:
            positions[owner] = rest
        else:
            del positions[owner]
        self._pending.touched.positions.add((owner, topic))
        # A frame cannot tell that a position is gone.
        self._pending.only_deltas = False

    def _put(
        self, store: StoreId, page: int, rows: pa.RecordBatch | StateRows, action: Action
    ) -> None:
        if rows.num_rows == 0:
            self._current()
            return
        store_id = self._store_id(store)
        shape = self._know_shape(store_id, rows.schema)
        self._pending.add_part(store_id, PendingPart(action, page, shape, StateRows.of(rows)))
        self._spill_over()

    def _store_id(self, store: StoreId) -> int:
        image = self._current()
        known = image.store_ids.get(store)
        if known is not None:
            return known
        store_id = self._count("store") + 1
        image.add_store(store, store_id)
        self._pending.stores.add(store_id)
        return store_id

    def _know_layout(self, layout: Layout) -> None:
        known = know(layout)
        if known not in self._image.layout_ids:
            layout_id = self._count("layout") + 1
            self._image.add_layout(known, layout_id)
            self._pending.layouts.append(layout_id)

    def _know_shape(self, store: int, schema: pa.Schema) -> int:
        """The id of a schema, or 0 where the rows must tell it themselves."""
        known = self._image.find_shape(schema, self._shape_hints.get(store, 0))
        if known:
            self._shape_hints[store] = known
            return known
        if any(is_dictionary(field.type) for field in schema):
            return 0
        shape_id = self._count("shape") + 1
        self._image.add_shape(schema, shape_id)
        self._pending.shapes.append(shape_id)
        return shape_id

    def _begin(self) -> None:
        if not self._has_begun:
            self._settle()
            self._has_begun = self._wrote = True
            self._connection.run("BEGIN IMMEDIATE")

    def _spill_over(self) -> None:
        """Write what was gathered into the transaction, when it has become too much."""
        if not self._spill or self._pending.bytes < SPILL_BYTES:
            return
        self._begin()
        write_tables(self._connection, self._image, self._pending)
        self._pending = Pending()


def _number(
    log: Log, partition: np.ndarray
) -> tuple[np.ndarray, list[tuple[int, int]], tuple[int, ...]]:
    """The offsets of new records of a topic, the first one of each partition that occurs, and the
    next one of every partition. StoreError where there is no such partition."""
    partitions, count = len(log.offsets), len(partition)
    if partitions == 1:
        wrong = bool(np.count_nonzero(partition))
    else:
        wrong = int(partition.min()) < 0 or int(partition.max()) >= partitions
    if wrong:
        raise StoreError(
            f"topic '{log.topic.name}' has {partitions} partitions, and a record was written to"
            " another one"
        )
    if partitions == 1:
        (start,) = log.offsets
        return np.arange(start, start + count), [(0, start)], (start + count,)
    offset = number_offsets(partition, dict(enumerate(log.offsets)))
    counts = np.bincount(partition, minlength=partitions).tolist()
    ends = tuple([o + n for o, n in zip(log.offsets, counts, strict=True)])
    return offset, first_offsets(partition, offset), ends


# `json.dumps` makes one for each call, unless all is as by default.
_slow_json = json.JSONEncoder(separators=(",", ":")).encode


def _to_json(content: dict[str, Any]) -> str:
    """JSON text, made the fast way where that cannot matter: it writes null for numbers that are
    none, and refuses long integers."""
    try:
        text = _fast_json(content).decode()
    except (TypeError, ValueError, OverflowError):
        return _slow_json(content)
    return _slow_json(content) if "null" in text else text
