"""What a running database tells where there is no terminal: a line every few seconds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from millstream.cli.durations import format_elapsed
from millstream.cli.live_view import Snapshot, problems

EVERY_MS = 5_000
# What waits tells about each try; once is enough here.
_NEXT_TRY = re.compile(r" The next try is in \d+ ms\.$")


class PlainLines:
    """Writes a line every few seconds, and each problem once; `told` was said before."""

    def __init__(
        self, write: Callable[[str], None], told: Iterable[str] = (), every_ms: int = EVERY_MS
    ) -> None:
        self._write = write
        self._every_ms = every_ms
        self._due_ms = 1_000  # The first line early: a person sees that something happens.
        self._told = "\n".join(told)
        self._last = ""

    def show(self, snapshot: Snapshot, *, last: bool = False) -> None:
        """Tell what is new, and the figures where they are due."""
        for problem in problems(snapshot.metrics):
            text = _NEXT_TRY.sub("", problem.text)
            if text not in self._told:
                self._told += f"\n{text}"
                self._write(f"{problem.name}: {text}")
        if last or snapshot.elapsed_ms >= self._due_ms:
            self._due_ms = (snapshot.elapsed_ms // self._every_ms + 1) * self._every_ms
            line = figures_line(snapshot)
            if line != self._last:
                self._write(line)
            self._last = line


def figures_line(snapshot: Snapshot) -> str:
    """The figures on one line: time, events, rate, input read, rows that each query wrote."""
    metrics = snapshot.metrics
    parts = [
        f"{format_elapsed(snapshot.elapsed_ms)}  {metrics.events_total:,} events"
        f" ({metrics.events_per_s:,.0f}/s)"
    ]
    for connector in metrics.connectors:
        if connector.progress is not None:
            done, total = connector.progress
            parts.append(f"{connector.name} {done / total if total else 1.0:.0%}")
    parts += [f"{query.sink} {query.rows_out:,}" for query in metrics.queries]
    if metrics.log_count:
        parts.append(f"processing log {metrics.log_count:,}")
    return "  ".join(parts)
