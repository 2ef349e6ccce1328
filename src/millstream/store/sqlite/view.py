"""A consistent view of the last commit."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from millstream.errors import StoreError
from millstream.store.interfaces import Later, NotInMemoryError
from millstream.store.sqlite.cache import TailCache
from millstream.store.sqlite.connection import Connection
from millstream.store.sqlite.image import Image
from millstream.store.sqlite.reader import Reader


class Host(Protocol):
    """Where a view comes from: its store."""

    def enter_view(self) -> tuple[Connection, Image, int]:
        """A connection that sees one commit, that commit's image, and a ticket."""
        ...

    def leave_view(self, connection: Connection, ticket: int) -> None:
        """The view is over."""
        ...

    def later(self, reader: Reader) -> Later | None:
        """How to read later what a reader sees now."""
        ...


class SqliteView(Reader):
    """A view; see `millstream.store.interfaces.View`. It begins when its block is entered.

    On a file it is a read transaction on a connection of its own: commits go on meanwhile, but the
    write-ahead log grows until it is left. In memory, commits wait until it is left.
    """

    def __init__(self, host: Host, cache: TailCache) -> None:
        self._host = host
        self._cache = cache
        self._open = False
        self._ticket = 0

    def __enter__(self) -> Self:
        if self._open:
            raise StoreError("the view is in use already", hint="Ask for another one.")
        self._connection, self._image, self._ticket = self._host.enter_view()
        self._open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._open:
            self._open = False
            self._host.leave_view(self._connection, self._ticket)

    def later(self) -> Later | None:
        """How to read what this view leaves unread; None where the store lies in memory."""
        return self._host.later(self)

    @property
    def is_open(self) -> bool:
        """Whether it can be read."""
        return self._open

    def _current(self) -> Image:
        if not self._open:
            raise StoreError("the view is over", hint="Read inside its 'with' block.")
        return self._image


class RecentView(Reader):
    """A view that reads an image and what is cached of topics; see `Store.recent`."""

    def __init__(self, image: Image, cache: TailCache) -> None:
        self._image = image
        self._cache = cache

    @property
    def is_open(self) -> bool:
        """Always: nothing is held open for it."""
        return True

    def later(self) -> Later | None:
        """Nothing is left unread."""
        return None

    def _file(self) -> Connection:
        raise NotInMemoryError("only the file holds it")
