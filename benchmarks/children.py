"""Contestants: each runs in a child process of its own and hands figures back as JSON."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

Figures = dict[str, Any]
"""What a child measured, by name; units are in the names."""


def run_child(module: str, *arguments: object) -> Figures:
    """Run `python -m benchmarks.<module>` to its end; its last line is its figures."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


class Child:
    """A child that stays: it answers each line with a line of JSON, so that contestants can take
    turns and all meet the same noise."""

    def __init__(self, module: str, *arguments: object) -> None:
        command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, line: str) -> Figures:
        """Send a line and wait for the answer."""
        assert self._process.stdin is not None
        # Where the child has ended, the missing answer tells how.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        return self.answer()

    def answer(self) -> Figures:
        """Wait for the next answer; one that is ready may tell so before it is asked."""
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"a contestant ended with code {self._process.wait()}")
        found: Figures = json.loads(answer)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def answer(respond: Callable[[str], Figures]) -> None:
    """In a child that stays: answer each line of standard input, until there are no more."""
    for line in sys.stdin:
        hand_back(respond(line.strip()))


def hand_back(figures: Figures) -> None:
    """In a child: print the figures as its last line. A parent that was killed wants none: the
    child ends then, and says so in one line."""
    try:
        print(json.dumps(figures), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit("nobody waits for the figures any more") from None


class Watch:
    """Wall seconds and this process's seconds of processor between two moments."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def figures(self) -> Figures:
        """What went by."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return {"seconds": wall, "cpu_seconds": cpu}


def peak_rss_mb() -> float:
    """The most memory that this process ever had. (getrusage counts its parent's before exec.)"""
    return _status_mb("VmHWM")


def rss_mb() -> float:
    """The memory that this process has now."""
    return _status_mb("VmRSS")


def _status_mb(name: str) -> float:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status does not tell {name}")
