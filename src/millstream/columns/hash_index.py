"""An index from one or two int64 columns to dense slots: NumPy open addressing, no Python objects.

Ten million keys take about 0.3 GB, and a million look-ups about a tenth of a second; a dict of as
many keys takes gigabytes and stops the world at each collection.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from millstream.columns.hash_table import SMALLEST, HashTable, code_of_one, key_code
from millstream.columns.sorting import neighbour_sort

_MOVED, _FEWEST_MOVED = 8, 1024
"""Cells of an outgrown table that are moved for each key that comes, and at least: by the time the
new table is full, too, none is left."""
_MOVED_AT_ONCE = 16_384
"""A table of so few cells is moved at once."""
_RECALLED = 4096
"""So many keys that few rows looked up are remembered, then all of them are forgotten."""


class HashIndex:
    """Maps keys (rows of one or two int64 columns) to slots 0, 1, 2, .. in order of insertion.

    Slots that were released are given again, the smallest first, before new ones. An index that
    outgrows its table moves to a larger one little by little, so that no call pays for all keys.
    """

    few = 24
    """So many keys are looked up one by one: each costs less than a call of NumPy or two."""

    def __init__(self, width: int = 1, capacity: int = 0) -> None:
        if width not in (1, 2):
            raise ValueError("a hash index has one or two key columns")
        self.width = width
        self._count = 0
        self._free = np.empty(0, np.int64)
        self._table = HashTable(width, max(SMALLEST // 2, capacity))
        self._outgrown: HashTable | None = None
        self._moved = 0
        self._recalled: dict[int, int] = {}

    def __len__(self) -> int:
        """One more than the largest slot that was ever given."""
        return self._count

    @property
    def used(self) -> int:
        """How many slots are in use."""
        return self._count - len(self._free)

    def find(self, *keys: np.ndarray) -> np.ndarray:
        """The slot of each key, -1 where it is unknown."""
        if len(keys[0]) <= self.few:
            if self.width == 1:
                return np.array(self.find_each(keys[0].tolist()), np.int64)
            return np.array([self.find_one(key) for key in _rows(keys)], np.int64)
        return self._find(keys)[0]

    def find_each(self, numbers: list[int]) -> list[int]:
        """The slots of a few keys of one number, -1 where they are unknown."""
        recalled = self._recalled
        return [recalled[n] if n in recalled else self.find_one((n,)) for n in numbers]

    def insert_each(self, numbers: list[int]) -> list[int]:
        """The slots of a few keys of one number; unknown ones get the next slots in order.

        Most were looked up a moment ago, which a dict remembers at a twentieth of the price.
        """
        recalled = self._recalled
        slots = [recalled.get(n, -1) for n in numbers]
        if -1 in slots:
            slots = [
                self.insert_one((number,)) if slot < 0 else slot
                for number, slot in zip(numbers, slots, strict=True)
            ]
            if len(recalled) >= _RECALLED:
                recalled.clear()
            recalled.update(zip(numbers, slots, strict=True))
        return slots

    def insert_few(self, numbers: list[int]) -> np.ndarray:
        """As `find_or_insert_distinct`, of a few keys of one number."""
        return np.array(self.insert_each(numbers), np.int64)

    def forget_recalled(self) -> None:
        """Give back the memory of what was looked up lately."""
        self._recalled.clear()

    def find_one(self, key: Sequence[int]) -> int:
        """The slot of a key of one or two numbers, -1 where it is unknown."""
        return self._find_one(key)[0]

    def insert_one(self, key: Sequence[int]) -> int:
        """The slot of a key of one or two numbers; an unknown one gets the next slot."""
        self._go_on(1)
        slot, place, code = self._find_one(key)
        if slot < 0:
            slot = self._next()
            if self._has_no_room(1):
                self._grow(1)
                place = self._table.find_one(key, code)[1]
            self._table.put_one(key, slot, place)
        return slot

    def find_or_insert(self, *keys: np.ndarray) -> np.ndarray:
        """The slot of each key; unknown keys get the next slots, in order of first occurrence."""
        return self.insert(*keys)[0]

    def find_or_insert_distinct(self, *keys: np.ndarray) -> np.ndarray:
        """As `find_or_insert`, for keys that are known to differ from each other."""
        if len(keys[0]) <= self.few:
            if self.width == 1:
                return np.array(self.insert_each(keys[0].tolist()), np.int64)
            return np.array([self.insert_one(key) for key in _rows(keys)], np.int64)
        self._go_on(len(keys[0]))
        slots, place = self._find(keys)
        missing = (slots < 0).nonzero()[0]
        if len(missing):
            given = self.allocate(len(missing))
            if len(missing) < len(slots):
                keys, place = tuple(k[missing] for k in keys), place[missing]
            self._insert_distinct(keys, given, place)
            slots[missing] = given
        return slots

    def insert(self, *keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The slot of each key, and the rows at which unknown keys, now given one, came first."""
        if len(keys[0]) <= self.few:
            return self._insert_few(_rows(keys))
        self._go_on(len(keys[0]))
        slots, place = self._find(keys)
        missing = (slots < 0).nonzero()[0]
        if len(missing) == 0:
            return slots, missing
        fresh = [np.ascontiguousarray(k[missing]) for k in keys]
        first, inverse = first_occurrences(fresh)
        given = self.allocate(len(first))
        self._insert_distinct([k[first] for k in fresh], given, place[missing[first]])
        slots[missing] = given[inverse]
        return slots, missing[first]

    def allocate(self, count: int) -> np.ndarray:
        """The next slots, for keys that the caller keeps himself or inserts."""
        start = self._count
        if len(self._free) == 0:
            self._count += count
            return np.arange(start, start + count)
        again, self._free = self._free[:count], self._free[count:]
        more = count - len(again)
        self._count += more
        return np.concatenate([again, np.arange(start, start + more)])

    def release(self, slots: np.ndarray) -> None:
        """Forget the keys of slots that are in use; the slots may be given again."""
        self._recalled.clear()
        self._free = np.sort(np.concatenate([self._free, slots]))
        gone = np.zeros(self._count, bool)
        gone[slots] = True
        self._table.forget(gone)
        if self._outgrown is not None:
            self._outgrown.forget(gone)

    def restore(self, slots: np.ndarray, *keys: np.ndarray) -> None:
        """Fill an empty index with distinct keys at their slots; slots in between are free."""
        self._count = int(slots.max(initial=-1)) + 1
        unused = np.ones(self._count, bool)
        unused[slots] = False
        self._free = np.flatnonzero(unused)
        self._table = HashTable(self.width, max(SMALLEST // 2, len(slots)))
        self._table.put(keys, slots, self._table.home(keys))

    def reserve(self, slot: int) -> None:
        """Take a slot that is free or has not been given yet."""
        if slot >= self._count:
            between = np.arange(self._count, slot)
            self._free = np.concatenate([self._free, between])
            self._count = slot + 1
        else:
            self._free = self._free[self._free != slot]

    # --- inside -------------------------------------------------------------------------------

    def _find(self, keys: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Slots, -1 for unknown keys; and, for these, the cell from which to look for a free
        one."""
        if len(keys[0]) == 0:
            none = np.empty(0, np.int64)
            return none, none
        slots, place = self._table.find(keys)
        if self._outgrown is not None:
            missing = (slots < 0).nonzero()[0]
            if len(missing):
                slots[missing] = self._outgrown.find([k[missing] for k in keys])[0]
        return slots, place

    def _find_one(self, key: Sequence[int]) -> tuple[int, int, int]:
        """As `_find`, of one key; with its code."""
        code = code_of_one(key)
        slot, place = self._table.find_one(key, code)
        if slot < 0 and self._outgrown is not None:
            slot = self._outgrown.find_one(key, code)[0]
        return slot, place, code

    def _insert_few(self, keys: list[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
        slots, fresh = [], []
        for row, key in enumerate(keys):
            used = self.used
            slots.append(self.insert_one(key))
            if self.used > used:
                fresh.append(row)
        return np.array(slots, np.int64), np.array(fresh, np.int64)

    def _next(self) -> int:
        """As `allocate`, of one slot."""
        if len(self._free):
            return int(self.allocate(1)[0])
        self._count += 1
        return self._count - 1

    def _has_no_room(self, count: int) -> bool:
        left = 0 if self._outgrown is None else self._outgrown.taken
        return self._table.room() < count + left

    def _insert_distinct(
        self, keys: Sequence[np.ndarray], slots: np.ndarray, place: np.ndarray
    ) -> None:
        if self._has_no_room(len(slots)):
            self._grow(len(slots))
            place = self._table.home(keys)
        self._table.put(keys, slots, place)

    def _go_on(self, count: int) -> None:
        """Move on, as much as so many keys may cost."""
        if self._outgrown is not None:
            self._move(max(_MOVED * count, _FEWEST_MOVED))

    def _grow(self, more: int) -> None:
        """Begin a new table, for the keys that there are, `more` among them, or twice those that
        there were."""
        if self._outgrown is not None:
            self._move(len(self._outgrown))
        self._outgrown, self._moved = self._table, 0
        self._table = HashTable(self.width, max(self.used, 2 * (self.used - more)))
        if len(self._outgrown) <= max(_MOVED_AT_ONCE, _MOVED * more):
            self._move(len(self._outgrown))

    def _move(self, cells: int) -> None:
        """Put the keys of the next cells of the outgrown table into the new one."""
        old = self._outgrown
        assert old is not None
        keys, slots = old.held(self._moved, self._moved + cells)
        old.taken -= len(slots)
        self._moved += cells
        if len(slots):
            self._table.put(keys, slots, self._table.home(keys))
        if self._moved >= len(old):
            self._outgrown = None


def _rows(keys: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
    return list(zip(*[k.tolist() for k in keys], strict=True))


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
    code = key_code(keys)
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
