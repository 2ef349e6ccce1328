"""The engine's loop: poll the sources, step the queries, wait for news."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from millstream.connect.runtime import trace_sentence
from millstream.engine.engine import Feed

if TYPE_CHECKING:
    from millstream.database.database import Database

_log = logging.getLogger(__name__)
_LONGEST_WAIT_S = 0.1
_PAUSE_AFTER_ERROR_S = 1.0
_COME_AGAIN_S = 0.00002
"""Who was answered is back within this time, or has something else to do."""


class EngineLoop:
    """Steps a database on a thread of its own, or on the caller's."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._news = threading.Event()
        database.engine.listeners.append(self.ring)
        self._answered = 0
        self.error: str | None = None

    def ring(self) -> None:
        """There may be something to do."""
        if not self._news.is_set():
            self._news.set()

    def start(self) -> None:
        """Start the thread, if there is none."""
        if self._thread is not None:
            return
        self._stop.clear()
        self._thread = threading.Thread(
            target=self._run_thread, name="millstream-engine", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the step it is in. Idempotent."""
        thread = self._thread
        if thread is None:
            return
        self._stop.set()
        self.ring()
        thread.join()
        self._thread = None

    def step(self, *, ahead: bool = False) -> bool:
        """One commit; whether anything happened. `ahead`: it may return before that is durable,
        and then the next step, or `settle`, raises what goes wrong."""
        database = self._database
        engine = database.engine
        with engine.lock.early if ahead else engine.lock:
            inserts = database.inbox.together()
            feeds: list[Feed] = [*database.connectors.feeds(engine.max_rows), inserts]
            with self._restored_after_error():
                moved = engine.step(feeds, inserts.over, ahead=ahead, urgent=inserts.__len__)
            self._answered = len(inserts) if inserts.is_over else 0
            database.connectors.save_states()
        database.retention.after_step(moved)
        return moved

    def settle(self) -> None:
        """Wait for the last commit; raise what went wrong with it."""
        with self._database.engine.lock, self._restored_after_error():
            self._database.engine.check()

    @contextmanager
    def _restored_after_error(self) -> Iterator[None]:
        """Sources go back to where the last commit left them, as queries do."""
        try:
            yield
        except BaseException:
            self._database.connectors.restore()
            raise

    def run(self, for_ms: int | None, until_idle: bool) -> None:
        """Step on this thread until the time is over, or nothing is left to do."""
        end = None if for_ms is None else time.monotonic() + for_ms / 1000
        with self._database.inbox.served():
            while not self._database.closed:
                self._news.clear()
                moved = self.step(ahead=True)
                if end is not None and time.monotonic() >= end:
                    break
                if not moved:
                    self.settle()
                    if until_idle and self._database.idle():
                        self._database.retention.enforce()
                        break
                    self._wait(end)
            if not self._database.closed:
                self.settle()

    def _run_thread(self) -> None:
        while not self._stop.is_set():
            try:
                with self._database.inbox.served():
                    self._serve()
            except Exception as error:
                # The step left nothing behind; a full disk or a busy file may pass.
                _log.exception("a step of the engine failed")
                self.error = trace_sentence(error)
                self._stop.wait(_PAUSE_AFTER_ERROR_S)

    def _serve(self) -> None:
        """Step until it is time to stop, and all of it is durable."""
        is_first = True
        while not self._stop.is_set():
            # Before the step looks, so that what comes while it does is not missed.
            self._news.clear()
            moved = self.step(ahead=True)
            if not (moved and is_first):
                self.error = None
            # Whether a step that moved is durable the next one tells.
            is_first = False
            self._gather()
            if not moved and not self._stop.is_set():
                self._wait(None)
        self.settle()

    def _gather(self) -> None:
        """Let callers whose rows were just committed come again, if they do at once: what they
        bring costs little more in the next commit than that costs alone."""
        inbox = self._database.inbox
        wanted = len(inbox) + self._answered
        while self._answered and len(inbox) < wanted:
            self._news.clear()
            if len(inbox) < wanted and not self._news.wait(_COME_AGAIN_S):
                return

    def _wait(self, end: float | None) -> None:
        due_ms = self._database.connectors.due_in_ms()
        wait_s = _LONGEST_WAIT_S if due_ms is None else min(due_ms / 1000, _LONGEST_WAIT_S)
        if end is not None:
            wait_s = min(wait_s, max(0.0, end - time.monotonic()))
        if wait_s > 0:
            self._news.wait(wait_s)
