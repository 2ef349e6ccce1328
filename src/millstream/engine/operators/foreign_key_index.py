"""Which rows of a table point to which foreign key: slots by the number of the key."""

from __future__ import annotations

import numpy as np

from millstream.columns.segments import distinct

NO_KEY = -1
_SLOT_BITS = 32
_SLOT_MASK = (1 << _SLOT_BITS) - 1


class ForeignKeyIndex:
    """Each slot has one key number or none; slots are found by key.

    Pairs of key and slot lie in sorted runs that double in length; what is no longer so stays in a
    run until it is merged with its neighbour, and is passed over. An assignment costs what it
    changes times the logarithm of what there is.
    """

    def __init__(self) -> None:
        self._key = np.full(64, NO_KEY, np.int64)
        self._runs: list[np.ndarray] = []

    def keys_of(self, slots: np.ndarray) -> np.ndarray:
        """The key of each slot, NO_KEY where it has none."""
        known = slots < len(self._key)
        return np.where(known, self._key[np.where(known, slots, 0)], NO_KEY)

    def assign(self, slots: np.ndarray, keys: np.ndarray) -> None:
        """Set the keys of distinct slots."""
        changed = self.keys_of(slots) != keys
        slots, keys = slots[changed], keys[changed]
        if len(slots) == 0:
            return
        self._reserve(int(slots.max()) + 1)
        self._key[slots] = keys
        held = keys != NO_KEY
        if held.any():
            self._runs.append(np.sort(keys[held] << _SLOT_BITS | slots[held]))
            self._merge()

    def slots_of(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All pairs (key, slot) of some keys, which are distinct; ascending."""
        found = []
        for run in self._runs:
            start = np.searchsorted(run, keys << _SLOT_BITS)
            end = np.searchsorted(run, (keys + 1) << _SLOT_BITS)
            found.append(run[ranges(start, end)])
        if not found:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        pairs = self._still(distinct(np.concatenate(found)))
        return pairs >> _SLOT_BITS, pairs & _SLOT_MASK

    def used(self, count: int) -> np.ndarray:
        """A mask over that many key numbers: which of them some slot has."""
        held = np.zeros(count, bool)
        held[self._key[self._key != NO_KEY]] = True
        return held

    # --- inside -------------------------------------------------------------------------------

    def _still(self, pairs: np.ndarray) -> np.ndarray:
        """The pairs that still hold."""
        return np.asarray(pairs[self._key[pairs & _SLOT_MASK] == pairs >> _SLOT_BITS])

    def _merge(self) -> None:
        runs = self._runs
        while len(runs) > 1 and len(runs[-2]) <= 2 * len(runs[-1]):
            runs[-2:] = [self._still(distinct(np.concatenate(runs[-2:])))]

    def _reserve(self, size: int) -> None:
        if size > len(self._key):
            grown = np.full(max(size, 2 * len(self._key)), NO_KEY, np.int64)
            grown[: len(self._key)] = self._key
            self._key = grown


def ranges(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The integers from each start up to its end, range after range."""
    lengths = end - start
    total = int(lengths.sum())
    before = np.cumsum(lengths) - lengths
    return np.asarray(np.arange(total) + np.repeat(start - before, lengths))
