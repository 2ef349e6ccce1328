"""Who may touch an in-memory database when: its one connection shows a commit half written."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from millstream.errors import StoreError

PATIENCE_SECONDS = 60.0
"""So long a thread waits for another one; two that wait for each other would do so for ever."""


class Gate:
    """Many readers or one writer. A waiting writer goes before readers that come later, except
    those whose thread reads already. Only an in-memory database has one.

    Whoever holds a lock of its own while it commits must not wait for that lock inside a view.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers: Counter[int] = Counter()
        self.writers_waiting = 0
        self._writing = False

    def enter(self) -> int:
        """Begin to read; the ticket is for `leave`."""
        me = threading.get_ident()
        with self._changed:
            self._wait(
                lambda: not self._writing and (not self.writers_waiting or self._readers[me] > 0),
                "a commit",
            )
            self._readers[me] += 1
        return me

    def leave(self, ticket: int) -> None:
        """End reading, in whatever thread."""
        with self._changed:
            self._readers[ticket] -= 1
            if not self._readers[ticket]:
                del self._readers[ticket]
            self._changed.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write alone. Raises StoreError where this thread reads at the same time, since it would
        wait for itself."""
        with self._changed:
            if self._readers.get(threading.get_ident()):
                raise StoreError(
                    "an in-memory database cannot commit while the same thread has a view open",
                    hint="Leave the view first, or use a database file.",
                )
            self.writers_waiting += 1
            try:
                self._wait(lambda: not self._writing and not self._readers, "a view")
                self._writing = True
            finally:
                self.writers_waiting -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._writing = False
                self._changed.notify_all()

    def _wait(self, ready: Callable[[], bool], what: str) -> None:
        if not self._changed.wait_for(ready, PATIENCE_SECONDS):
            raise StoreError(
                f"another thread has had {what} of the in-memory database open for"
                f" {PATIENCE_SECONDS:.0f} s",
                hint="End it sooner, or use a database file, whose views and commits do not wait"
                " for each other.",
            )
