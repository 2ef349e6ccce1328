"""A commit that another thread writes, while the next one is already being made on top of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from millstream.store.sqlite.frames import Frames
from millstream.store.sqlite.image import Image
from millstream.store.sqlite.pending import Pending


@dataclass(slots=True)
class Flight:
    """What is being written: the next image, and the changes that lead to it. `over` is set when it
    is durable or, with an `error`, undone.

    The frames of the image may be merged, and gone, before the file shows what became of them; so
    until it is over, `frames` are to be read, as they were when it began.
    """

    image: Image
    pending: Pending
    error: BaseException | None = None
    over: threading.Event = field(default_factory=threading.Event)
    frames: Frames = field(init=False)

    def __post_init__(self) -> None:
        self.frames = self.image.frames


class Background:
    """The thread that writes, made when it is first needed."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def start(self, job: Callable[[], None]) -> None:
        """Do a job after those before it."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="millstream-commit")
        self._pool.submit(job)

    def close(self) -> None:
        """Wait for what is under way, and end the thread. Idempotent."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            self._pool = None
