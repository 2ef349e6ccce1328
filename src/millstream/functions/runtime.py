"""What a function may ask of the evaluation it runs in: the clock."""

from __future__ import annotations

from contextvars import ContextVar

from millstream.clock import Clock, SystemClock

CLOCK: ContextVar[Clock] = ContextVar("millstream_clock", default=SystemClock())  # noqa: B039
"""The clock of the evaluation that is running."""


def now_ms() -> int:
    """The wall clock in milliseconds since 1970, as the running evaluation tells it."""
    return CLOCK.get().now_ms()
