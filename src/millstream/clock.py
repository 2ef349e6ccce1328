"""The one source of wall-clock time; event time never comes from here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Tells the wall clock, so that a test can stop it."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01T00:00:00Z."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01T00:00:00Z."""
        return time.time_ns() // 1_000_000


@dataclass
class FixedClock:
    """A clock that stands still until someone moves `time_ms`."""

    time_ms: int = 0

    def now_ms(self) -> int:
        """The time it was set to, in milliseconds."""
        return self.time_ms
