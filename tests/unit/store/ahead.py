"""Commits that are written on another thread no sooner than somebody waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

import millstream.store.sqlite.commit
import millstream.store.sqlite.store
from millstream.store.sqlite.flight import Flight
from millstream.store.sqlite.image import Image
from millstream.store.sqlite.pending import Pending


class Held:
    """In the place of the thread that writes: keeps its one job for whoever waits for it."""

    def __init__(self) -> None:
        self._jobs: list[Callable[[], None]] = []

    def submit(self, job: Callable[..., None], *arguments: object) -> None:
        """Keep a job."""
        self._jobs.append(partial(job, *arguments))

    def work(self) -> None:
        """Do what there is to do."""
        while self._jobs:
            self._jobs.pop()()

    def shutdown(self) -> None:
        """Nothing is left to do."""
        assert not self._jobs


class Awaited(threading.Event):
    """The end of a flight, which begins when it is waited for."""

    def __init__(self, held: Held) -> None:
        super().__init__()
        self._held = held

    def wait(self, timeout: float | None = None) -> bool:
        """Write, if that is still to be done."""
        self._held.work()
        return super().wait(timeout)


def write_as_late_as_can_be(monkeypatch: pytest.MonkeyPatch, *, worth_rows: int = 0) -> None:
    """Let stores made from now on hand every commit of `worth_rows` over, and have it written when
    it is waited for: the next one always stands on one that is not in the file. Frames are merged
    no sooner, either."""
    held = Held()

    def flight(image: Image, pending: Pending) -> Flight:
        return Flight(image, pending, over=Awaited(held))

    monkeypatch.setattr(millstream.store.sqlite.commit, "WORTH_ROWS", worth_rows)
    for module in (millstream.store.sqlite.commit, millstream.store.sqlite.store):
        monkeypatch.setattr(module, "Flight", flight)
    monkeypatch.setattr(millstream.store.sqlite.store, "ThreadPoolExecutor", lambda *_, **__: held)
