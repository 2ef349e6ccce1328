"""Which keys the segments hold that are not in memory: their numbers must not be given away."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_NOWHERE = np.iinfo(np.int64).min


class HeldKeys:
    """Per key the latest segment that left memory with a row of it.

    Segments go in their order, so that a key is free once the latest one that had it is gone. Where
    they do not (sessions may outlast younger ones), a key is held a little longer than it must be.
    """

    def __init__(self) -> None:
        self._latest = np.empty(0, np.int64)
        self.unknown: set[int] = set()
        """Segments whose keys nobody has noted: those that were not in memory from the start."""

    def note(self, number: int, ids: np.ndarray) -> None:
        """A segment leaves memory, with rows of these keys."""
        self.unknown.discard(number)
        if len(ids) == 0:
            return
        count = int(ids.max()) + 1
        if count > len(self._latest):
            grown = np.full(max(count, 2 * len(self._latest)), _NOWHERE, np.int64)
            grown[: len(self._latest)] = self._latest
            self._latest = grown
        self._latest[ids] = np.maximum(self._latest[ids], number)

    def mark(self, held: np.ndarray, numbers: Iterable[int]) -> None:
        """Mark the keys that some segment of these numbers may hold; none of them is unknown."""
        oldest = min(numbers, default=None)
        if oldest is None:
            return
        count = min(len(held), len(self._latest))
        held[:count] |= self._latest[:count] >= oldest
