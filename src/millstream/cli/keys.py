"""Keys as they are pressed, without Enter, from a terminal."""

from __future__ import annotations

import os
import select
import sys
import time
from types import TracebackType
from typing import Self

try:
    import termios
    import tty
except ImportError:  # Windows: the view still shows, and Ctrl-C still ends it.
    termios = None  # type: ignore[assignment]


class Keys:
    """Reads single keys from stdin while it is open, where stdin is a terminal.

    A context manager: the terminal's own settings come back on leaving. Ctrl-C still sends its
    signal.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._settings: list[object] | None = None

    def __enter__(self) -> Self:
        if termios is not None and sys.stdin is not None and sys.stdin.isatty():
            self._descriptor = sys.stdin.fileno()
            self._settings = termios.tcgetattr(self._descriptor)
            tty.setcbreak(self._descriptor, termios.TCSANOW)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._descriptor is not None and self._settings is not None:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._settings)  # type: ignore[arg-type]
        self._descriptor = None

    @property
    def available(self) -> bool:
        """Whether keys can be read at all."""
        return self._descriptor is not None

    def read(self, wait_ms: int) -> str:
        """The keys pressed by now, in lower case; waits up to `wait_ms` for a first one."""
        if self._descriptor is None:
            time.sleep(wait_ms / 1000)
            return ""
        ready, _, _ = select.select([self._descriptor], [], [], wait_ms / 1000)
        if not ready:
            return ""
        pressed = os.read(self._descriptor, 64)
        if not pressed:  # The terminal is gone.
            self._descriptor = None
        return pressed.decode("utf-8", "ignore").lower()
