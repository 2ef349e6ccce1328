"""When to try again what failed for now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Delays that double from `first_ms` to `longest_ms`; `max_retries` None: never give up.

    There is no jitter: one process talks to one server, and a test wants the same delays again.
    """

    first_ms: int = 100
    longest_ms: int = 30_000
    max_retries: int | None = None

    def delay_ms(self, failures: int) -> int | None:
        """How long to wait after so many failures in a row (from 1); None: give up."""
        if self.max_retries is not None and failures > self.max_retries:
            return None
        doublings = min(failures - 1, 30)
        return min(self.first_ms << doublings, max(self.longest_ms, self.first_ms))


@runtime_checkable
class HasRetryPolicy(Protocol):
    """A source or sink whose options decide how it is tried again."""

    retry: RetryPolicy
