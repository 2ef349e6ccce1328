"""Which windows take the rows of a batch: those that have not closed by then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from millstream.engine.operators.windows import WindowSpec, windows_of

_FEW = 64
"""So many are looked at as Python's numbers: that costs less than NumPy's calls."""
_MOST_EACH = 64

NoteLate = Callable[[int, int], None]
"""Takes the first row that came too late for a window, and how many updates did."""


@dataclass(slots=True)
class Expanded:
    """Rows in the windows that take them, in order of row and then window.

    `row` is the index in the batch, `number` the window's. `one_each`: every row is in one window,
    so that `row` counts up.
    """

    row: np.ndarray
    number: np.ndarray
    one_each: bool = False


class OpenWindows:
    """The windows of rows, for one kind of window."""

    def __init__(self, window: WindowSpec) -> None:
        self._window = window
        self._closed_ms = window.size_ms + window.grace_ms
        regular = window.size_ms % window.advance_ms == 0
        self._each = window.size_ms // window.advance_ms if regular else 0
        """How many windows each row falls into, where that is always the same; else 0."""
        self._offsets = np.arange(1 - self._each, 1)
        self._few = _FEW if self._each <= _MOST_EACH else 0
        """Of so many rows the windows are laid out already."""
        self._few_rows = np.repeat(np.arange(self._few), self._each)
        self._few_rows.flags.writeable = False
        self._few_offsets = np.tile(self._offsets, self._few)

    def expand(self, rowtime: np.ndarray, stream_time: np.ndarray, note_late: NoteLate) -> Expanded:
        """The rows, each at its stream time, in their open windows."""
        if len(rowtime) == 0:
            return Expanded(*windows_of(rowtime, self._window))
        if len(rowtime) <= _FEW:
            oldest_ms, newest_ms = min(rowtime.tolist()), max(stream_time.tolist())
        else:
            oldest_ms, newest_ms = int(rowtime.min()), int(stream_time.max())
        if self.bounds(oldest_ms, oldest_ms, newest_ms) is not None:
            return self.regular(rowtime)
        row, number = windows_of(rowtime, self._window)
        first_ms = oldest_ms - self._window.size_ms + 1  # no window of theirs starts before
        if first_ms > newest_ms - self._closed_ms:
            return Expanded(row, number)
        closed = number * self._window.advance_ms <= (stream_time - self._closed_ms)[row]
        late = int(np.count_nonzero(closed))
        if late == 0:
            return Expanded(row, number)
        note_late(int(row[np.argmax(closed)]), late)
        return Expanded(row[~closed], number[~closed])

    def bounds(self, oldest_ms: int, newest_ms: int, stream_ms: int) -> tuple[int, int] | None:
        """The oldest and the newest window of rows between two times; None where some window of
        theirs has closed at a stream time, or not all of them fall into equally many."""
        advance_ms = self._window.advance_ms
        first = oldest_ms // advance_ms - self._each + 1
        if self._each and first >= 0 and first * advance_ms > stream_ms - self._closed_ms:
            return first, newest_ms // advance_ms
        return None

    def regular(self, rowtime: np.ndarray) -> Expanded:
        """As `windows_of`, where all rows fall into equally many windows."""
        count, newest = len(rowtime), rowtime // self._window.advance_ms
        if self._each == 1:
            return Expanded(np.arange(count), newest, True)
        if count <= self._few:
            row = self._few_rows[: count * self._each]
            return Expanded(row, newest[row] + self._few_offsets[: len(row)])
        row = np.repeat(np.arange(count), self._each)
        return Expanded(row, (newest[:, None] + self._offsets).ravel())
