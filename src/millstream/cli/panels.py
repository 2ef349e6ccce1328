"""The tables that a view shows: which rows of them, and how often they are read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from millstream.cli.messages import error_text
from millstream.cli.protocol import Database
from millstream.cli.tables import local_time

REFRESH_S = 0.5
# Reading takes at most a tenth of the time, however large a table grows.
REST_PER_READ = 9.0

TIME_COLUMNS = frozenset({"WINDOWSTART", "WINDOWEND", "ROWTIME"})


@dataclass(frozen=True, slots=True)
class Panel:
    """A table on the screen: its title, and the query that gives its rows, the best first.

    `headings` stand in the place of the query's column names. `times` names the columns (of the
    query) that hold timestamps in milliseconds.
    """

    title: str
    table: str
    query: str
    headings: tuple[str, ...] = ()
    times: frozenset[str] = TIME_COLUMNS


@dataclass(slots=True)
class PanelRows:
    """What a panel shows now. `changed` are the rows that the last read did not have; `times` the
    columns that are timestamps, by index."""

    panel: Panel
    columns: Sequence[str] = ()
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    changed: set[int] = field(default_factory=set)
    times: set[int] = field(default_factory=set)
    error: str | None = None


class PanelReader:
    """Keeps the panels' rows fresh, each read no more often than it can afford."""

    def __init__(
        self,
        db: Database,
        panels: Sequence[Panel],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._clock_s = clock_s
        self._due_s = [0.0] * len(panels)
        self._shown = [PanelRows(panel) for panel in panels]

    def read(self, limit: int) -> list[PanelRows]:
        """The panels with up to `limit` rows each; those that are due are read anew."""
        for index, due_s in enumerate(self._due_s):
            started_s = self._clock_s()
            if started_s < due_s:
                continue
            shown = self._shown[index]
            self._shown[index] = fetch(self._db, shown.panel, limit, shown)
            finished_s = self._clock_s()
            rest_s = max(REFRESH_S, REST_PER_READ * (finished_s - started_s))
            self._due_s[index] = finished_s + rest_s
        return self._shown


def fetch(db: Database, panel: Panel, limit: int, before: PanelRows | None = None) -> PanelRows:
    """Up to `limit` rows of a panel, those marked that were not there `before`. Where they cannot
    be read, the old ones and the reason."""
    old = before or PanelRows(panel)
    try:
        result = db.sql(f"{panel.query} LIMIT {limit}")
        rows = result.rows()
    except Exception as error:  # A panel that cannot be read must not end what it shows.
        return PanelRows(panel, old.columns, old.rows, error=error_text(error).plain)
    times = {i for i, name in enumerate(result.columns) if name in panel.times}
    rows = with_local_times(rows, times)
    known = set(map(repr, old.rows))
    changed = {i for i, row in enumerate(rows) if known and repr(row) not in known}
    return PanelRows(panel, panel.headings or list(result.columns), rows, changed, times)


def with_local_times(rows: Sequence[tuple[Any, ...]], times: set[int]) -> list[tuple[Any, ...]]:
    """Rows with the timestamps of the columns `times` written as local times."""
    return [
        tuple(
            local_time(value) if index in times and isinstance(value, int) else value
            for index, value in enumerate(row)
        )
        for row in rows
    ]
