"""How much of a lag is made up in one commit, so that live records do not wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_BUSY_S = 0.003
"""Time for lagging queries in a commit that carries live records: about as long as the recipe takes
for a few of these. Callers who wait for their rows cannot bring more before it is over."""
_QUIET_S = 0.025
"""The same where none came: the next one waits no longer than this."""
_FEWEST_ROWS = 500
_FIRST_GUESS = 100_000.0


class Share(NamedTuple):
    """How many records of a topic a group of lagging queries may take, how long it may look for
    them, and which groups are due: where they are many, they take turns."""

    rows: int
    seconds: float
    due: list[int]


class Pace:
    """Gives lagging queries as many rows a commit as they can take in a short time.

    What they took before tells how many those are. Only how input is cut depends on it.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._rows_per_s = _FIRST_GUESS
        self._turn = 0

    def share(self, lagging: Sequence[int], *, busy: bool) -> Share:
        """What lagging groups may take in a commit, `busy` where it carries live records."""
        seconds = _BUSY_S if busy else _QUIET_S
        total = int(self._rows_per_s * seconds)
        count = min(len(lagging), max(1, total // _FEWEST_ROWS))
        turn = self._turn % len(lagging)
        self._turn += count
        due = [*lagging[turn:], *lagging[:turn]][:count]
        rows = min(max(total // count, _FEWEST_ROWS), self._max_rows)
        return Share(rows, seconds / count, due)

    def took(self, rows: int, seconds: float) -> None:
        """Lagging queries took so many rows in so much time."""
        if rows and seconds > 0:
            self._rows_per_s += 0.3 * (rows / seconds - self._rows_per_s)
