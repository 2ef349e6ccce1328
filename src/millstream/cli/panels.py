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
SELDOM_WANTED = frozenset({"WINDOWEND", "ROWTIME"})


@dataclass(frozen=True, slots=True)
class Panel:
    """A table on the screen: its title, and the query that gives its rows, the best first.

    `headings` stand in the place of the query's column names. Without them, columns that say
    nothing new are left out: see `telling_columns`.
    """

    title: str
    table: str
    query: str
    headings: tuple[str, ...] = ()


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
    names = list(result.columns)
    times = time_columns(names, rows)
    rows = with_local_times(rows, times)
    if not panel.headings:
        kept = telling_columns(names, rows, frozenset(old.columns))
        names = [names[i] for i in kept]
        rows = [tuple(row[i] for i in kept) for row in rows]
        times = {place for place, index in enumerate(kept) if index in times}
    known = set(map(repr, old.rows))
    changed = {i for i, row in enumerate(rows) if known and repr(row) not in known}
    return PanelRows(panel, panel.headings or names, rows, changed, times)


def time_columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> set[int]:
    """The columns that hold timestamps, by index: known ones, and their copies."""
    contents = [[row[index] for row in rows] for index in range(len(names))]
    known = [contents[i] for i, name in enumerate(names) if name in TIME_COLUMNS]
    return {i for i, content in enumerate(contents) if content in known}


def telling_columns(
    names: Sequence[str], rows: Sequence[tuple[Any, ...]], shown_before: frozenset[str]
) -> list[int]:
    """Which columns a narrow place should show, by index.

    Scripts carry keys and window bounds a second time into the value (`AS_VALUE(id)`,
    `WINDOWSTART AS t`): of columns that are equal in every row one is enough, the last one, or the
    window's start. What was shown once stays, so that a column does not come and go.
    """
    by_worth = sorted(
        (i for i, name in enumerate(names) if name not in SELDOM_WANTED),
        key=lambda i: (names[i] in TIME_COLUMNS, i),
        reverse=True,
    )
    contents: set[str] = set()
    kept = []
    for index in by_worth:
        content = repr([row[index] for row in rows])
        if content not in contents or names[index] in shown_before:
            kept.append(index)
        contents.add(content)
    return sorted(kept)


def with_local_times(rows: Sequence[tuple[Any, ...]], times: set[int]) -> list[tuple[Any, ...]]:
    """Rows with the timestamps of the columns `times` written as local times."""
    return [
        tuple(
            local_time(value) if index in times and isinstance(value, int) else value
            for index, value in enumerate(row)
        )
        for row in rows
    ]
