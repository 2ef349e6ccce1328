"""What views and commits read alike: an image, and a connection for what is not in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from millstream.errors import StoreError
from millstream.store.interfaces import Later, Records, StatePart, StoreId, Topic
from millstream.store.records import slice_records
from millstream.store.sqlite.cache import Run, TailCache
from millstream.store.sqlite.connection import Connection
from millstream.store.sqlite.cuts import Cuts, in_order
from millstream.store.sqlite.failures import damaged
from millstream.store.sqlite.image import SEQ, Image, Log, first_of
from millstream.store.sqlite.rows import (
    ALL_PAGES,
    PART_COLUMNS,
    PART_PAGES,
    PART_PLACES,
    RUN_COLUMNS,
    holds,
    read_part,
    read_run,
)


class Reader:
    """Reads topics, positions, state and catalogue at one commit."""

    _image: Image
    _connection: Connection
    _cache: TailCache
    _may_lose_parts = False
    """Whether parts may go while they are read."""

    @property
    def is_open(self) -> bool:
        """Whether it can be read."""
        raise NotImplementedError

    def later(self) -> Later | None:
        """How to read what this leaves unread; None where the store lies in memory."""
        raise NotImplementedError

    def topics(self) -> list[Topic]:
        """All topics, oldest first."""
        return [log.topic for _, log in sorted(self._current().logs.items())]

    def topic(self, name: str) -> Topic | None:
        """The topic of this exact name."""
        image = self._current()
        topic_id = image.names.get(name)
        return None if topic_id is None else image.logs[topic_id].topic

    def end(self, topic_id: int) -> int:
        """How many records the topic has ever had: the ordinal of the next one."""
        return self._log(topic_id).records

    def start(self, topic_id: int) -> int:
        """The ordinal of the first record that is still there; 0 unless the topic was trimmed."""
        self._log(topic_id)
        return self._current().counters.get(first_of(topic_id), 0)

    def read(
        self, topic_id: int, start: int, max_rows: int | None = None
    ) -> Iterator[tuple[int, Records]]:
        """Runs of records from ordinal `start`, each with the ordinal of its first record, until
        at least `max_rows` are given. What was trimmed is passed over. The arrays must not be
        changed."""
        end = self._log(topic_id).records
        at = max(start, self.start(topic_id))
        left = end - at if max_rows is None else max_rows
        while at < end and left > 0:
            self._current()
            base, records = self._run(topic_id, at)
            records = slice_records(records, at - base, min(len(records), end - base))
            yield at, records
            at += len(records)
            left -= len(records)

    def positions(self, owner: str) -> dict[int, int]:
        """Topic id to the ordinal of the next record that `owner` will read."""
        return dict(self._current().positions.get(owner, ()))

    def state(self, store: StoreId, pages: range | None = None) -> Iterator[StatePart]:
        """The parts of a state store, oldest first: all, or those of a range of pages."""
        store_id = self._current().store_ids.get(store)
        if store_id is not None:
            yield from self._parts(store_id, ALL_PAGES if pages is None else pages)

    def pages(self, store: StoreId) -> list[int]:
        """The pages of a state store that have parts, ascending; no part is read for it."""
        store_id = self._current().store_ids.get(store)
        return [] if store_id is None else sorted(self._pages(store_id))

    def state_meta(self, store: StoreId) -> dict[str, Any]:
        """The store's small values; empty where none were written."""
        image = self._current()
        text = image.metas.get(image.store_ids.get(store, 0))
        return {} if text is None else json.loads(text)

    def entries(self, kind: str) -> dict[int, dict[str, Any]]:
        """The catalogue's entries of a kind, by id, oldest first."""
        entries = self._current().entries.get(kind)
        return {} if entries is None else {i: json.loads(t) for i, t in sorted(entries.items())}

    def next_seq(self) -> int:
        """The database-wide number that the next record from outside will get."""
        return self._current().counters.get(SEQ, 0)

    def _file(self) -> Connection:
        """Where to read what is not in memory."""
        return self._connection

    def _current(self) -> Image:
        """The image to read; raises StoreError where reading is over."""
        return self._image

    def _log(self, topic_id: int) -> Log:
        log = self._current().logs.get(topic_id)
        if log is None:
            raise StoreError(f"there is no topic with id {topic_id}", hint="It was dropped.")
        return log

    def _run(self, topic: int, ordinal: int) -> Run:
        """The run that holds the record at `ordinal`."""
        framed = self._image.frames.find(topic, ordinal)
        if framed is not None:
            return framed.base, framed.records
        cached = self._cache.find(topic, ordinal)
        if cached is not None:
            return cached
        name = self._log(topic).topic.name
        row = self._file().one(
            f"SELECT {RUN_COLUMNS} FROM run WHERE topic = ? AND base <= ?"
            " ORDER BY base DESC LIMIT 1",
            (topic, ordinal),
        )
        if row is None or not holds(row, topic, ordinal):
            raise damaged(f"record {ordinal} of topic '{name}' is missing")
        base, records = read_run(row, self._image, name)
        self._cache.add_decoded(topic, base, records)
        return base, records

    def _pages(self, store: int) -> set[int]:
        """The pages that have parts."""
        stored = {page for (page,) in self._file().all(PART_PAGES, (store,))}
        framed = self._image.frames.parts(store, self._image.number)
        return stored | {part.page for part in framed}

    def _parts(
        self, store: int, pages: range, skip: frozenset[int] = frozenset()
    ) -> Iterator[StatePart]:
        """A store's parts in a range of pages, those of the pages in `skip` left out."""
        merged: list[tuple[Cuts, StatePart]] = []
        places = (store, pages.start, pages.stop)
        for part, page in self._file().all(PART_PLACES, places):
            if page in skip:
                continue
            self._current()
            row = self._file().one(f"SELECT {PART_COLUMNS} FROM part WHERE id = ?", (part,))
            if row is None:
                if self._may_lose_parts:
                    continue
                raise damaged(f"page {page} of {self._image.name_of(store)} is missing")
            cuts, rows = read_part(row, self._image)
            if merged and (cuts is None or cuts.merge != merged[0][0].merge):
                yield from in_order(merged)
                merged = []
            if cuts is None:
                yield rows
            else:
                merged.append((cuts, rows))
        yield from in_order(merged)
        for framed in self._image.frames.parts(store, self._image.number):
            if framed.page in pages and framed.page not in skip:
                yield StatePart(framed.page, framed.rows.batch())
