"""A lock that threads get in the order in which they asked for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType


class TurnLock:
    """A reentrant lock. Whoever lets it go and asks again stands behind those who wait already:
    the engine, which always has something to do, would else keep everyone else from it.

    `settle` is called each time it was got, so that whoever has it finds everything in order;
    `early`, in a `with`, leaves that out.
    """

    def __init__(self, settle: Callable[[], None] = lambda: None) -> None:
        self._settle = settle
        self.early = _Early(self)
        self._guard = threading.Lock()
        self._waiting: deque[tuple[int, threading.Lock]] = deque()
        self._owner: int | None = None
        self._depth = 0

    @property
    def waiting(self) -> int:
        """How many threads wait."""
        return len(self._waiting)

    @property
    def is_mine(self) -> bool:
        """Whether this thread has it."""
        return self._owner == threading.get_ident()

    def acquire(self) -> None:
        """Wait for one's turn. The thread that has it may ask again."""
        self.acquire_early()
        try:
            self._settle()
        except BaseException:
            self.release()
            raise

    def acquire_early(self) -> None:
        """As `acquire`, settling nothing."""
        me = threading.get_ident()
        with self._guard:
            if self._owner == me:
                self._depth += 1
                return
            if self._owner is None:
                self._owner, self._depth = me, 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append((me, turn))
        try:
            turn.acquire()
        except BaseException:
            self._give_up(me, turn)
            raise

    def release(self) -> None:
        """Let go, once for each time it was asked for; RuntimeError where another thread has it."""
        with self._guard:
            if self._owner != threading.get_ident():
                raise RuntimeError("the lock is not this thread's")
            self._depth -= 1
            if self._depth:
                return
            self._owner = None
            if self._waiting:
                self._owner, turn = self._waiting.popleft()
                self._depth = 1
                turn.release()

    def _give_up(self, me: int, turn: threading.Lock) -> None:
        """Wait no longer; a turn that came at this very moment goes to the next."""
        with self._guard:
            if (me, turn) in self._waiting:
                self._waiting.remove((me, turn))
                return
        self.release()

    def __enter__(self) -> TurnLock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class _Early:
    """The lock, for those who settle things themselves or need nothing settled."""

    def __init__(self, lock: TurnLock) -> None:
        self._lock = lock

    def __enter__(self) -> _Early:
        self._lock.acquire_early()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()
