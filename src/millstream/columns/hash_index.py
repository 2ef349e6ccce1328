"""An index from one or two int64 columns to dense slots: NumPy open addressing, no Python objects.

Ten million keys take about 0.3 GB, and a million look-ups about a tenth of a second; a dict of as
many keys takes gigabytes and stops the world at each collection.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from millstream.columns.sorting import neighbour_sort

_EMPTY = -1
_SMALLEST = 64
_LOAD = 0.6

_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
_FACTOR_1, _FACTOR_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix64(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64: uint64 in, well spread uint64 out; a bijection."""
    x = (values ^ (values >> _SHIFT_1)) * _FACTOR_1
    x = (x ^ (x >> _SHIFT_2)) * _FACTOR_2
    return np.asarray(x ^ (x >> _SHIFT_3))


class HashIndex:
    """Maps keys (rows of one or two int64 columns) to slots 0, 1, 2, .. in order of insertion.

    Slots that were released are given again, the smallest first, before new ones.
    """

    def __init__(self, width: int = 1, capacity: int = 0) -> None:
        if width not in (1, 2):
            raise ValueError("a hash index has one or two key columns")
        self.width = width
        self._count = 0
        self._free = np.empty(0, np.int64)
        self._allocate(max(_SMALLEST, capacity))

    def __len__(self) -> int:
        """One more than the largest slot that was ever given."""
        return self._count

    @property
    def used(self) -> int:
        """How many slots are in use."""
        return self._count - len(self._free)

    def find(self, *keys: np.ndarray) -> np.ndarray:
        """The slot of each key, -1 where it is unknown."""
        slots = np.full(len(keys[0]), -1, np.int64)
        if self._count == 0 or len(slots) == 0:
            return slots
        place = self._home(keys)
        table, stored = self._slots, self._keys
        at = table[place].astype(np.int64)
        used = at != _EMPTY
        hit = _equal(stored, place, keys)
        hit &= used
        if hit.all():
            return np.asarray(at)
        slots[hit] = at[hit]
        active = (used & ~hit).nonzero()[0]
        while len(active):
            spot = (place[active] + 1) & self._mask
            place[active] = spot
            at = table[spot]
            hit = (at != _EMPTY) & _equal(stored, spot, [k[active] for k in keys])
            slots[active[hit]] = at[hit]
            active = active[~hit & (at != _EMPTY)]
        return slots

    def find_or_insert(self, *keys: np.ndarray) -> np.ndarray:
        """The slot of each key; unknown keys get the next slots, in order of first occurrence."""
        return self.insert(*keys)[0]

    def find_or_insert_distinct(self, *keys: np.ndarray) -> np.ndarray:
        """As `find_or_insert`, for keys that are known to differ from each other."""
        slots = self.find(*keys)
        missing = (slots < 0).nonzero()[0]
        if len(missing):
            given = self.allocate(len(missing))
            self._insert_distinct([np.ascontiguousarray(k[missing]) for k in keys], given)
            slots[missing] = given
        return slots

    def insert(self, *keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The slot of each key, and the rows at which unknown keys, now given one, came first."""
        slots = self.find(*keys)
        missing = (slots < 0).nonzero()[0]
        if len(missing) == 0:
            return slots, missing
        fresh = [np.ascontiguousarray(k[missing]) for k in keys]
        first, inverse = first_occurrences(fresh)
        given = self.allocate(len(first))
        self._insert_distinct([k[first] for k in fresh], given)
        slots[missing] = given[inverse]
        return slots, missing[first]

    def allocate(self, count: int) -> np.ndarray:
        """The next slots, for keys that the caller keeps himself or inserts."""
        again, self._free = self._free[:count], self._free[count:]
        start, more = self._count, count - len(again)
        self._count += more
        return np.concatenate([again, np.arange(start, start + more)])

    def release(self, slots: np.ndarray) -> None:
        """Forget the keys of slots that are in use; the slots may be given again."""
        self._free = np.sort(np.concatenate([self._free, slots]))
        gone = np.zeros(self._count, bool)
        gone[slots] = True
        place = np.flatnonzero(self._slots != _EMPTY)
        place = place[~gone[self._slots[place]]]
        self._rebuild(place, len(place))

    def restore(self, slots: np.ndarray, *keys: np.ndarray) -> None:
        """Fill an empty index with distinct keys at their slots; slots in between are free."""
        self._count = int(slots.max(initial=-1)) + 1
        unused = np.ones(self._count, bool)
        unused[slots] = False
        self._free = np.flatnonzero(unused)
        self._insert_distinct(list(keys), slots)

    def reserve(self, slot: int) -> None:
        """Take a slot that is free or has not been given yet."""
        if slot >= self._count:
            between = np.arange(self._count, slot)
            self._free = np.concatenate([self._free, between])
            self._count = slot + 1
        else:
            self._free = self._free[self._free != slot]

    def rebuild(self, *keys: np.ndarray) -> None:
        """Forget everything and give slots 0, 1, .. to these distinct keys."""
        self._allocate(max(_SMALLEST, int(len(keys[0]) / _LOAD) + 1))
        self.restore(np.arange(len(keys[0])), *keys)

    # --- inside -------------------------------------------------------------------------------

    def _allocate(self, capacity: int) -> None:
        size = 1 << (capacity - 1).bit_length()
        self._mask = size - 1
        self._taken = 0
        self._slots = np.full(size, _EMPTY, np.int32)
        self._keys = [np.zeros(size, np.int64) for _ in range(self.width)]

    def _home(self, keys: Sequence[np.ndarray]) -> np.ndarray:
        code = mix64(keys[0].astype(np.int64, copy=False).view(np.uint64))
        for key in keys[1:]:
            code = mix64((code * _GOLDEN) ^ key.astype(np.int64, copy=False).view(np.uint64))
        return (code & np.uint64(self._mask)).astype(np.int64)

    def _insert_distinct(self, keys: list[np.ndarray], values: np.ndarray) -> None:
        needed = self._taken + len(values)
        if needed > _LOAD * (self._mask + 1):
            self._rebuild(np.flatnonzero(self._slots != _EMPTY), max(needed, 2 * self._taken))
        self._place(keys, values)

    def _rebuild(self, place: np.ndarray, expected: int) -> None:
        """A new table for `expected` keys, with the keys of some places of this one."""
        keys, values = [k[place] for k in self._keys], self._slots[place]
        self._allocate(max(_SMALLEST, int(expected / _LOAD) + 1))
        self._place(keys, values)

    def _place(self, keys: list[np.ndarray], values: np.ndarray) -> None:
        """Put distinct keys into free places; of those that meet in one, the last written wins."""
        place = self._home(keys)
        self._taken += len(values)
        active = np.arange(len(values))
        values = values.astype(np.int32)
        while len(active):
            spot = place[active]
            free = self._slots[spot] == _EMPTY
            claim = active[free]
            at = place[claim]
            self._slots[at] = values[claim]
            won = self._slots[at] == values[claim]
            for stored, key in zip(self._keys, keys, strict=True):
                stored[at[won]] = key[claim[won]]
            active = np.concatenate([active[~free], claim[~won]])
            place[active] = (place[active] + 1) & self._mask


def _equal(stored: list[np.ndarray], place: np.ndarray, keys: Sequence[np.ndarray]) -> np.ndarray:
    same = stored[0][place] == keys[0]
    for column, key in zip(stored[1:], keys[1:], strict=True):
        same &= column[place] == key
    return np.asarray(same)


def first_occurrences(keys: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The rows at which each distinct key occurs first, in row order, and each row's number in it.

    `keys` are one or more columns of equal length; `first[inverse]` holds the same keys row by row.
    """
    length = len(keys[0])
    if length < 2:
        return np.zeros(length, np.int64), np.zeros(length, np.int64)
    order, starts = _runs(keys)
    # Runs need not be in row order inside, which spares a stable sort.
    heads = np.minimum.reduceat(order, starts)
    by_row = np.argsort(heads)
    rank = np.empty(len(heads), np.int64)
    rank[by_row] = np.arange(len(heads))
    inverse = np.empty(length, np.int64)
    inverse[order] = np.repeat(rank, np.diff(starts, append=length))
    return heads[by_row], inverse


def _runs(keys: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """An order in which equal keys are neighbours, and where in it each run of them starts."""
    if len(keys) == 1:
        order, ordered = neighbour_sort(keys[0])
        return order, _heads(ordered).nonzero()[0]
    code = keys[0].astype(np.int64, copy=False).view(np.uint64)
    for key in keys[1:]:
        code = mix64((code * _GOLDEN) ^ key.astype(np.int64, copy=False).view(np.uint64))
    order = np.argsort(code)
    heads = _heads(code[order])
    if not all((_heads(key[order]) <= heads).all() for key in keys):
        # Different keys have the same code, which is so unlikely that it may be slow.
        order = np.lexsort(keys[::-1])
        heads = np.logical_or.reduce([_heads(key[order]) for key in keys])
    return order, heads.nonzero()[0]


def _heads(ordered: np.ndarray) -> np.ndarray:
    """Where a value differs from the one before it."""
    heads = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=heads[1:])
    return heads
