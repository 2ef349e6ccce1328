"""A database that runs while somebody watches: until a key, a signal, a time or the input's end."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from rich.console import Console

from millstream.cli.keys import Keys
from millstream.cli.live_view import LiveView, Snapshot
from millstream.cli.panels import Panel, PanelReader
from millstream.cli.plain_lines import PlainLines
from millstream.cli.profile import profile_panel
from millstream.cli.protocol import Database

FRAME_MS = 250


@dataclass(frozen=True, slots=True)
class Ending:
    """When a session ends by itself. A key or a signal ends it at any time."""

    after_ms: int | None = None
    when_idle: bool = False


class Session:
    """Runs a database's engine and shows what it does; `profiled`: also where the time goes."""

    def __init__(
        self,
        db: Database,
        title: str,
        panels: Sequence[Panel],
        ending: Ending,
        *,
        profiled: bool = False,
    ) -> None:
        self._db = db
        self._title = title
        self._panels = panels
        self._ending = ending
        self._profiled = profiled
        self._paused: list[str] = []
        self._reader = PanelReader(db, panels)

    def run_in_terminal(self, console: Console) -> None:
        """Show the live view until the end; keys pause the input and quit."""
        with _running(self._db) as stopped, Keys() as keys:
            with LiveView(console, keys=keys.available) as view:
                for snapshot in self._snapshots(stopped):
                    count = len(self._panels) + self._profiled
                    limit = view.rows_per_panel(snapshot.metrics, count)
                    snapshot.panels = self._reader.read(limit)
                    if self._profiled:
                        shown = profile_panel(snapshot.metrics.profile)
                        snapshot.panels = [*snapshot.panels, shown]
                    view.show(snapshot)
                    pressed = keys.read(FRAME_MS)
                    if "q" in pressed or "\x04" in pressed:
                        break
                    if "p" in pressed:
                        self._pause_or_resume()
            # A pause belongs to the view: whoever opens the file next finds its input running.
            if self._paused:
                self._pause_or_resume()

    def run_in_lines(self, write: Callable[[str], None], told: Sequence[str] = ()) -> None:
        """Write a line every few seconds until the end, and each problem that was not told yet."""
        lines = PlainLines(write, told)
        with _running(self._db) as stopped:
            snapshot = None
            for snapshot in self._snapshots(stopped):
                lines.show(snapshot)
                stopped.wait(FRAME_MS / 1000)
            if snapshot is not None:
                lines.show(snapshot, last=True)

    def _snapshots(self, stopped: threading.Event) -> Iterator[Snapshot]:
        """A snapshot whenever one is asked for, until the session ends."""
        started_s = time.monotonic()
        while True:
            elapsed_ms = int((time.monotonic() - started_s) * 1000)
            finished = not self._paused and self._db.idle()
            metrics = self._db.metrics()
            yield Snapshot(
                self._title, elapsed_ms, metrics, paused=bool(self._paused), finished=finished
            )
            if stopped.is_set() or (finished and self._ending.when_idle):
                return
            if self._ending.after_ms is not None and elapsed_ms >= self._ending.after_ms:
                return

    def _pause_or_resume(self) -> None:
        if self._paused:
            for name in self._paused:
                self._db.execute(f"RESUME CONNECTOR {quoted(name)};")
            self._paused = []
            return
        self._paused = running_sources(self._db)
        for name in self._paused:
            self._db.execute(f"PAUSE CONNECTOR {quoted(name)};")


def quoted(name: str) -> str:
    """A name as a quoted identifier."""
    return "`" + name.replace("`", "``") + "`"


@contextmanager
def _running(db: Database) -> Iterator[threading.Event]:
    """The engine runs inside; what was read is committed on leaving. The event says that a signal
    asked for the end."""
    with stop_signals() as stopped:
        # What is there stays: a full collection that looked at all of it would take longer than
        # ten commits.
        gc.collect()
        gc.freeze()
        db.start()
        try:
            yield stopped
        finally:
            db.stop()
            gc.unfreeze()


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that nothing is torn. A second Ctrl-C interrupts."""
    stopped = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if stopped.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stopped.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32":
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield stopped
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def running_sources(db: Database) -> list[str]:
    """The names of the connectors that bring input now."""
    return [
        connector.info.name
        for connector in db.connectors.all()
        if connector.info.direction == "SOURCE" and connector.state == "RUNNING"
    ]
