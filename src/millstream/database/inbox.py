"""Rows that callers insert: gathered, and committed together.

A commit costs about the same for one row as for a hundred. So whoever inserts puts the rows here:
where the engine's loop runs they become part of its next commit, with all that the queries make
of them; otherwise the first caller that gets the engine's lock commits for all who wait.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from millstream.catalog.model import Source
from millstream.database.records import append_numbered
from millstream.errors import ExecutionError
from millstream.serde.base import TypedPart
from millstream.store.interfaces import Commit
from millstream.store.records import concat_parts

if TYPE_CHECKING:
    from millstream.database.database import Database


@dataclass(slots=True, eq=False)
class Insert:
    """Rows of one caller. `is_over`: they are committed, or there is an `error`. `alone`: a commit
    that they shared with others failed, so they get one of their own."""

    source: Source
    key: TypedPart
    value: TypedPart
    rowtime: np.ndarray
    error: BaseException | None = None
    is_over: bool = False
    alone: bool = False
    woken: threading.Event = field(default_factory=threading.Event)


class Together:
    """The inserts of one commit. It is a feed: called again, after a failed attempt, it appends the
    same rows, and what has come since."""

    def __init__(self, inbox: Inbox, queue: deque[Insert]) -> None:
        self._inbox = inbox
        self._queue = queue
        self._inserts: list[Insert] = []
        self.is_over = False
        """Whether the callers know what became of them."""

    def __len__(self) -> int:
        return len(self._inserts)

    def __call__(self, commit: Commit) -> int:
        """Append the rows; how many."""
        while self._queue:
            self._inserts.append(self._queue.popleft())
        return self._inbox.append(commit, self._inserts) if self._inserts else 0

    def over(self, error: BaseException | None) -> None:
        """What was appended is durable; or, with an error, nothing was written: then each caller
        tries on its own, and learns of its own error."""
        if self.is_over:
            return
        self.is_over = True
        for insert in self._inserts:
            insert.is_over = error is None or insert.error is not None
            insert.alone = True
            insert.woken.set()


class Inbox:
    """All inserts that wait. `ring` tells the loop, where one runs, that there is something."""

    def __init__(self, database: Database, ring: Callable[[], None]) -> None:
        self._database = database
        self._ring = ring
        self._queue: deque[Insert] = deque()
        self._loops = 0
        self._mutex = threading.Lock()

    def __len__(self) -> int:
        return len(self._queue)

    def insert(self, source: Source, key: TypedPart, value: TypedPart, times: np.ndarray) -> None:
        """Append rows to a source's topic, and wait until they are durable."""
        mine = Insert(source, key, value, times)
        self._queue.append(mine)
        lock = self._database.engine.lock
        if self._loops and not lock.is_mine:
            self._ring()
            mine.woken.wait()
        if not mine.is_over:
            with lock:
                if not mine.is_over:
                    self._lead(mine)
        if mine.error is not None:
            raise mine.error

    def together(self) -> Together:
        """The inserts of the next commit."""
        return Together(self, self._queue)

    @contextmanager
    def served(self) -> Iterator[None]:
        """While a loop takes what comes in. Afterwards those who still wait help themselves."""
        with self._mutex:
            self._loops += 1
        try:
            yield
        finally:
            with self._mutex:
                self._loops -= 1
            for insert in list(self._queue):
                insert.woken.set()

    def _lead(self, mine: Insert) -> None:
        """Commit what waits, or, where that failed before, these rows alone."""
        queue = deque([mine]) if mine.alone else self._queue
        together = Together(self, queue)
        database = self._database
        try:
            with database.store.begin() as commit:
                rows = together(commit)
                if rows:
                    commit.commit()
        except BaseException as error:
            together.over(error)
            if len(together) > 1 and isinstance(error, Exception):
                self._lead(mine)
            elif not mine.is_over:
                mine.error, mine.is_over = error, True
                # Who is told that it failed may try again; then it must not be written twice.
                with contextlib.suppress(ValueError):
                    self._queue.remove(mine)
            return
        together.over(None)
        if rows:
            database.engine.rows_total += rows
            database.engine.announce()

    def append(self, commit: Commit, inserts: Sequence[Insert]) -> int:
        """Append the rows of inserts in their order, each topic's at once as far as their layouts
        are the same; how many. Rows of a source that is gone are an error of their caller's."""
        groups: list[list[Insert]] = []
        numbers: list[list[int]] = []
        latest: dict[int, int] = {}
        ready = [i for i in inserts if self._is_fit(commit, i)]
        seq = commit.allocate_seq(sum(len(i.rowtime) for i in ready))
        rows = 0
        for insert in ready:
            place = latest.get(insert.source.topic_id)
            if place is None or not _same_layouts(groups[place][0], insert):
                place = latest[insert.source.topic_id] = len(groups)
                groups.append([])
                numbers.append([])
            groups[place].append(insert)
            numbers[place].append(seq + rows)
            rows += len(insert.rowtime)
        for group, first in zip(groups, numbers, strict=True):
            _append(commit, group, first)
        return rows

    def _is_fit(self, commit: Commit, insert: Insert) -> bool:
        """Whether the source is still what it was when the rows were made for it."""
        insert.error = None
        source = insert.source
        known = self._database.catalog.sources.get(source.name)
        topic = commit.topic(source.topic)
        if known is None or known.id != source.id:
            insert.error = ExecutionError(f"{source.name} was dropped, and nothing was written")
        elif topic is None or topic.id != source.topic_id:
            insert.error = ExecutionError(f"the topic {source.topic} of {source.name} was deleted")
        return insert.error is None


def _same_layouts(left: Insert, right: Insert) -> bool:
    return left.source is right.source or (
        left.key.layout == right.key.layout and left.value.layout == right.value.layout
    )


def _append(commit: Commit, group: list[Insert], first: list[int]) -> None:
    """Append rows of one topic and one pair of layouts; the first of each insert has that seq."""
    topic = commit.topic(group[0].source.topic)
    assert topic is not None
    if len(group) == 1:
        insert = group[0]
        seq = np.arange(first[0], first[0] + len(insert.rowtime))
        append_numbered(commit, topic, insert.key, insert.value, insert.rowtime, seq)
        return
    counts = [len(i.rowtime) for i in group]
    within = np.arange(sum(counts)) - np.repeat(np.cumsum([0, *counts[:-1]]), counts)
    append_numbered(
        commit,
        topic,
        concat_parts([i.key for i in group], counts),
        concat_parts([i.value for i in group], counts),
        np.concatenate([i.rowtime for i in group]),
        np.repeat(first, counts) + within,
    )
