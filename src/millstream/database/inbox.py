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
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from millstream.catalog.model import Source
from millstream.database.parts import Parts, parts_of_rows
from millstream.database.records import append_numbered
from millstream.errors import ExecutionError, StoreError
from millstream.serde.base import Part
from millstream.store.interfaces import Commit
from millstream.store.records import concat_parts

if TYPE_CHECKING:
    from millstream.database.database import Database

MOST_SENT_ROWS = 100_000
"""That wait to be written, of those who do not wait for it."""


def _taken() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


class Rows(list[Sequence[Any]]):
    """Rows of Python values, key columns first, as yet unchecked. Those of many callers become
    columns together, which costs little more than those of one; nobody may change them."""


@dataclass(slots=True, eq=False)
class Insert:
    """Rows of one caller. `is_over`: they are committed, or there is an `error`. `alone`: a commit
    that they shared with others failed, so they get one of their own.
    `seq` is the number of the first row."""

    source: Source
    content: Rows | Parts
    rowtime: np.ndarray
    seq: int = 0
    error: BaseException | None = None
    is_over: bool = False
    alone: bool = False
    woken: threading.Lock = field(default_factory=_taken)

    def __len__(self) -> int:
        return len(self.rowtime)

    def wait(self) -> None:
        """Wait until somebody wakes the caller. A bare lock takes a fraction of an event's time."""
        self.woken.acquire()

    def wake(self) -> None:
        """Wake the caller, who may be awake."""
        with contextlib.suppress(RuntimeError):
            self.woken.release()

    def goes_with(self, other: Insert) -> bool:
        """Whether the rows of both can be appended at once."""
        mine, others = self.content, other.content
        if isinstance(mine, Rows) or isinstance(others, Rows):
            return self.source is other.source and type(mine) is type(others)
        return self.source is other.source or all(
            left.layout == right.layout for left, right in zip(mine, others, strict=True)
        )


@dataclass(slots=True, eq=False)
class Sent(Insert):
    """Rows of one who does not wait. Who is to be woken is the thread that answers."""

    future: Future[int] = field(default_factory=Future)
    answers: SimpleQueue[Sent | None] = field(default_factory=SimpleQueue)

    def wake(self) -> None:
        """Have it seen to: it is over, or nobody else does it."""
        self.answers.put(self)


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
            insert.wake()


class Inbox:
    """All inserts that wait. `ring` tells the loop, where one runs, that there is something."""

    def __init__(self, database: Database, ring: Callable[[], None]) -> None:
        self._database = database
        self._ring = ring
        self._queue: deque[Insert] = deque()
        self._loops = 0
        self._mutex = threading.Lock()
        self._answers: SimpleQueue[Sent | None] = SimpleQueue()
        self._answering: threading.Thread | None = None
        self._sent_rows = 0
        self._room = threading.Condition(self._mutex)
        self._closed = False

    def __len__(self) -> int:
        return len(self._queue)

    def insert(self, source: Source, content: Rows | Parts, times: np.ndarray) -> None:
        """Append rows to a source's topic, and wait until they are durable. ExecutionError where a
        value does not fit."""
        mine = Insert(source, content, times)
        self._queue.append(mine)
        lock = self._database.engine.lock
        if self._loops and not lock.is_mine:
            self._ring()
            mine.wait()
        if not mine.is_over:
            with lock:
                if not mine.is_over:
                    self._lead(mine)
        if mine.error is not None:
            raise mine.error

    def send(self, source: Source, content: Rows | Parts, times: np.ndarray) -> Future[int]:
        """As `insert`, without waiting. Its result is the number of rows, once they are durable.

        Blocks while more than `MOST_SENT_ROWS` wait. StoreError where the database is closed.
        """
        sent = Sent(source, content, times, answers=self._answers)
        sent.future.set_running_or_notify_cancel()  # It cannot be taken back.
        if not len(sent):
            sent.future.set_result(0)
            return sent.future
        # Who makes the room must not wait for it.
        may_wait = not (self._database.engine.lock.is_mine or self._is_answering())
        with self._room:
            while may_wait and self._sent_rows > MOST_SENT_ROWS and not self._closed:
                self._room.wait()
            if self._closed:
                raise StoreError("the database is closed", hint="Open it again.")
            if self._answering is None:
                self._answering = threading.Thread(
                    target=self._answer, name="millstream-answers", daemon=True
                )
                self._answering.start()
            self._sent_rows += len(sent)
            self._queue.append(sent)
        if self._loops:
            self._ring()
        else:
            sent.wake()
        return sent.future

    def close(self) -> None:
        """Take no more, and see to all that were sent. Idempotent."""
        with self._room:
            self._closed = True
            self._room.notify_all()
        for insert in list(self._queue):
            insert.wake()
        self._answers.put(None)
        if self._answering is not None and not self._is_answering():
            self._answering.join()

    def _is_answering(self) -> bool:
        return self._answering is threading.current_thread()

    def _answer(self) -> None:
        """Tell those who sent rows what became of these, and write what nobody else does."""
        is_last = False
        while not (is_last and self._sent_rows == 0):
            sent = self._answers.get()
            if sent is None:
                is_last = True
            elif not sent.future.done():
                self._finish(sent)

    def _finish(self, sent: Sent) -> None:
        try:
            if not sent.is_over:
                with self._database.engine.lock:
                    if not sent.is_over:
                        self._lead(sent)
        except Exception as error:  # What a commit before left could not be put in order.
            sent.error, sent.is_over = error, True
            with contextlib.suppress(ValueError):
                self._queue.remove(sent)
        with self._room:
            self._sent_rows -= len(sent)
            self._room.notify_all()
        if sent.error is None:
            sent.future.set_result(len(sent))
        else:
            sent.future.set_exception(sent.error)

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
                insert.wake()

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
        """Append the rows of inserts in their order, each topic's at once as far as they go
        together; how many. Rows that do not fit, or whose source is gone, are an error of their
        caller's."""
        groups: list[list[Insert]] = []
        latest: dict[int, list[Insert]] = {}
        for insert in inserts:
            if not self._is_fit(commit, insert):
                continue
            group = latest.get(insert.source.topic_id)
            if group is None or not group[0].goes_with(insert):
                group = latest[insert.source.topic_id] = []
                groups.append(group)
            group.append(insert)
        made = [(group, parts) for group in groups if (parts := _parts_of(group)) is not None]
        ready = [i for i in inserts if i.error is None]
        seq = commit.allocate_seq(sum(map(len, ready)))
        rows = 0
        for insert in ready:
            insert.seq = seq + rows
            rows += len(insert)
        for group, parts in made:
            _append(commit, group, *parts)
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


def _parts_of(group: list[Insert]) -> tuple[Part, Part] | None:
    """The keys and values of a group's rows. Whose rows do not fit is told so, and taken out of
    the group; None where nobody is left."""
    source = group[0].source
    raw = [i.content for i in group if isinstance(i.content, Rows)]
    if raw:
        try:
            return parts_of_rows(source, list(chain.from_iterable(raw)))
        except Exception:
            # Each alone finds whose fault it is, and numbers the rows as that caller does.
            pass
    made: list[Parts] = []
    for insert in group:
        content = insert.content
        try:
            made.append(parts_of_rows(source, content) if isinstance(content, Rows) else content)
        except Exception as error:
            insert.error = error
    group[:] = [i for i in group if i.error is None]
    return _joined(made, [len(i) for i in group]) if made else None


def _joined(parts: Sequence[Parts], counts: Sequence[int]) -> tuple[Part, Part]:
    if len(parts) == 1:
        return parts[0]
    keys, values = zip(*parts, strict=True)
    return concat_parts(keys, counts), concat_parts(values, counts)


def _append(commit: Commit, group: Sequence[Insert], key: Part, value: Part) -> None:
    """Append the rows of inserts into one topic, whose keys and values are given."""
    topic = commit.topic(group[0].source.topic)
    assert topic is not None
    if len(group) == 1:
        (insert,) = group
        seq = np.arange(insert.seq, insert.seq + len(insert))
        append_numbered(commit, topic, key, value, insert.rowtime, seq)
        return
    if all(len(i) == 1 for i in group):
        times = np.array([i.rowtime.item() for i in group], np.int64)
        append_numbered(commit, topic, key, value, times, np.array([i.seq for i in group]))
        return
    counts = [len(i) for i in group]
    within = np.arange(sum(counts)) - np.repeat(np.cumsum([0, *counts[:-1]]), counts)
    times = np.concatenate([i.rowtime for i in group])
    seq = np.repeat([i.seq for i in group], counts) + within
    append_numbered(commit, topic, key, value, times, seq)
