"""What keeps connectors running, engine aside: their states, and a source's turn in its loop."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Protocol, runtime_checkable

from millstream.clock import Clock, SystemClock
from millstream.connect.base import Poll, RetriableError, Source
from millstream.connect.retry import HasRetryPolicy, RetryPolicy
from millstream.errors import MillstreamError

_log = logging.getLogger(__name__)


class ConnectorState(StrEnum):
    """How a connector is doing. FAILED comes with a sentence, and stays until resumed."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    FAILED = "FAILED"


def owner_of(connector_id: int) -> str:
    """The name under which a connector's positions are stored."""
    return f"connector-{connector_id}"


def trace_sentence(error: BaseException) -> str:
    """An error in one line, for people: our own errors say what to do, others their kind."""
    if isinstance(error, MillstreamError):
        told = error.render()
        if told == f"{error.message}\n{error.hint}" and not error.message.endswith("."):
            told = f"{error.message}. {error.hint}"
        return " ".join(told.split())
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@runtime_checkable
class Resumable(Protocol):
    """A source that wants to know that a break is over."""

    def resume(self) -> None:
        """Polling goes on after a break."""
        ...


class SourceRunner:
    """A source's turn in the engine's loop: its state, its failures, when it is due.

    No thread of its own: the loop asks `due_in_ms`, calls `poll`, and commits what it gives.
    """

    def __init__(
        self,
        connector_id: int,
        name: str,
        source: Source,
        *,
        clock: Clock | None = None,
        retry: RetryPolicy | None = None,
        state: ConnectorState = ConnectorState.RUNNING,
    ) -> None:
        self.connector_id = connector_id
        self.name = name
        self.state = state
        self.message: str | None = None
        """Why it failed, or what it is waiting for; None where all is well."""
        self._source = source
        self._clock = clock or SystemClock()
        own = source.retry if isinstance(source, HasRetryPolicy) else RetryPolicy()
        self._retry = retry or own
        self._failures = 0
        self._not_before_ms: int | None = None

    @property
    def source(self) -> Source:
        """The source itself."""
        return self._source

    @property
    def finished(self) -> bool:
        """Whether the source has given all it will ever give."""
        return self.state is ConnectorState.RUNNING and self._source.due_in_ms() is None

    def due_in_ms(self) -> int | None:
        """In how many ms `poll` may give something; None: not before something changes."""
        if self.state is not ConnectorState.RUNNING:
            return None
        due = self._source.due_in_ms()
        return None if due is None else max(due, self._held_back_ms())

    def poll(self, max_rows: int) -> Poll | None:
        """The source's next records, or None: nothing due, or not running. Never raises: a
        failure changes `state` and `message`."""
        if self.state is not ConnectorState.RUNNING or self._held_back_ms() > 0:
            return None
        try:
            result = self._source.poll(max_rows)
        except RetriableError as error:
            self._hold_back(error)
            return None
        except Exception as error:
            if not isinstance(error, MillstreamError):
                _log.exception("connector %s failed", self.name)
            self.fail(trace_sentence(error))
            return None
        self._failures = 0
        self._not_before_ms = None
        self.message = None
        return result

    def pause(self) -> None:
        """Stop polling until `resume`."""
        if self.state is ConnectorState.RUNNING:
            self.state = ConnectorState.PAUSED

    def resume(self) -> None:
        """Go on after a pause or a failure."""
        if self.state is ConnectorState.RUNNING:
            return
        self.state = ConnectorState.RUNNING
        self.message = None
        self._failures = 0
        self._not_before_ms = None
        if isinstance(self._source, Resumable):
            self._source.resume()

    def fail(self, message: str) -> None:
        """Make it FAILED for a reason from outside, such as a dropped topic."""
        self.state = ConnectorState.FAILED
        self.message = message

    def replace(self, source: Source) -> None:
        """Go on with another source, made at the stored position; the state stays. For after a
        commit that failed: the old source is ahead of what was stored."""
        self._source.close()
        self._source = source

    def close(self) -> None:
        """Close the source. Idempotent."""
        self._source.close()

    def _held_back_ms(self) -> int:
        if self._not_before_ms is None:
            return 0
        return max(0, self._not_before_ms - self._clock.now_ms())

    def _hold_back(self, error: RetriableError) -> None:
        self._failures += 1
        delay_ms = self._retry.delay_ms(self._failures)
        if delay_ms is None:
            self.fail(f"{trace_sentence(error)} Given up after {self._failures} tries.")
            return
        self.message = f"{trace_sentence(error)} The next try is in {delay_ms} ms."
        self._not_before_ms = self._clock.now_ms() + delay_ms
