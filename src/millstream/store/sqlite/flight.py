"""What another thread writes, while the next commit is already being made on top of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from millstream.store.sqlite.frames import Frames
from millstream.store.sqlite.image import Image
from millstream.store.sqlite.pending import Pending


@dataclass(slots=True)
class Flight:
    """What is being written: the next image, and the changes that lead to it, none where frames are
    merged. `over` is set when it is durable or, with an `error`, undone.

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
