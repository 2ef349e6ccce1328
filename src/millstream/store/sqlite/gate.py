"""Who may touch an in-memory database when: its one connection shows a commit half written."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from millstream.errors import StoreError


class Gate:
    """Many readers or one writer. A waiting writer goes before readers that come later, except
    those whose thread reads already. Only an in-memory database has one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers: Counter[int] = Counter()
        self.writers_waiting = 0
        self._writing = False

    def enter(self) -> int:
        """Begin to read; the ticket is for `leave`."""
        me = threading.get_ident()
        with self._changed:
            while self._writing or (self.writers_waiting and not self._readers[me]):
                self._changed.wait()
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
                while self._writing or self._readers:
                    self._changed.wait()
                self._writing = True
            finally:
                self.writers_waiting -= 1
        try:
            yield
        finally:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
