"""One table of open addressing: cells hold keys of one or two int64 columns and their slots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SMALLEST = 64
_LOAD = 0.6
_EMPTY, _GONE = 0, -1
"""A cell holds the slot plus one, or one of these. Empty is zero so that a new table costs nothing
before it is written to."""

_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
_FACTOR_1, _FACTOR_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)

_BITS, INT_FACTOR_1, INT_FACTOR_2 = (1 << 64) - 1, int(_FACTOR_1), int(_FACTOR_2)
_INT_GOLDEN = int(_GOLDEN)

Keys = Sequence[np.ndarray]
"""One or two int64 columns, a key per row."""


def mix64(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64: uint64 in, well spread uint64 out; a bijection."""
    shifted = values >> _SHIFT_1
    x = np.bitwise_xor(values, shifted, out=shifted)
    x *= _FACTOR_1
    shifted = x >> _SHIFT_2
    x ^= shifted
    x *= _FACTOR_2
    np.right_shift(x, _SHIFT_3, out=shifted)
    x ^= shifted
    return np.asarray(x)


def key_code(keys: Keys) -> np.ndarray:
    """64 bits of hash of each key."""
    code = mix64(keys[0].astype(np.int64, copy=False).view(np.uint64))
    for key in keys[1:]:
        code = mix64((code * _GOLDEN) ^ key.astype(np.int64, copy=False).view(np.uint64))
    return code


def mix64_of_one(value: int) -> int:
    """As `mix64`, of one number from 0 to 2**64 - 1."""
    x = ((value ^ (value >> 30)) * INT_FACTOR_1) & _BITS
    x = ((x ^ (x >> 27)) * INT_FACTOR_2) & _BITS
    return x ^ (x >> 31)


def code_of_one(key: Sequence[int]) -> int:
    """As `key_code`, of one key."""
    code = mix64_of_one(key[0] & _BITS)
    for part in key[1:]:
        code = mix64_of_one(((code * _INT_GOLDEN) & _BITS) ^ (part & _BITS))
    return code


class HashTable:
    """Cells for so many keys at least. It never grows: who owns it makes a larger one."""

    def __init__(self, width: int, capacity: int) -> None:
        size = 1 << (max(SMALLEST, int(capacity / _LOAD) + 1) - 1).bit_length()
        self._mask = size - 1
        self._cells = np.zeros(size, np.int32)
        self._keys = [np.zeros(size, np.int64) for _ in range(width)]
        self.taken = 0
        """Cells that are not empty, those of keys that are gone included."""

    def __len__(self) -> int:
        """How many cells there are."""
        return self._mask + 1

    def room(self) -> int:
        """How many keys can still come before the table is too full."""
        return int(_LOAD * (self._mask + 1)) - self.taken

    def home(self, keys: Keys) -> np.ndarray:
        """The cell at which the search for each key begins."""
        code = key_code(keys)
        code &= np.uint64(self._mask)
        return code.view(np.int64)

    def find(self, keys: Keys) -> tuple[np.ndarray, np.ndarray]:
        """The slot of each key, -1 where it is unknown; and the cell at which its search ended."""
        place = self.home(keys)
        at = self._cells[place]
        hit = self._equal(place, keys)
        hit &= at > 0
        slots = at.astype(np.int64)
        slots -= 1
        if hit.all():
            return slots, place
        slots[~hit] = -1
        active = ((at != _EMPTY) & ~hit).nonzero()[0]
        while len(active):
            spot = (place[active] + 1) & self._mask
            place[active] = spot
            at = self._cells[spot]
            hit = self._equal(spot, [k[active] for k in keys])
            hit &= at > 0
            slots[active[hit]] = at[hit] - 1
            active = active[(at != _EMPTY) & ~hit]
        return slots, place

    def put(self, keys: Keys, slots: np.ndarray, place: np.ndarray) -> None:
        """Put keys that differ and are not in the table into free cells, from `place` on."""
        self.taken += len(slots)
        values = (slots + 1).astype(np.int32)
        rest = self._claim(keys, values, place)
        while len(rest):
            place = (place[rest] + 1) & self._mask
            keys, values = [k[rest] for k in keys], values[rest]
            rest = self._claim(keys, values, place)

    def find_one(self, key: Sequence[int], code: int) -> tuple[int, int]:
        """As `find`, of one key with the given code, without any array."""
        mask, cell, stored = self._mask, self._cells.item, self._keys
        place = code & mask
        while True:
            at = cell(place)
            if at == _EMPTY:
                return -1, place
            if (
                at > 0
                and stored[0].item(place) == key[0]
                and (len(key) == 1 or stored[1].item(place) == key[1])
            ):
                return at - 1, place
            place = (place + 1) & mask

    def put_one(self, key: Sequence[int], slot: int, place: int) -> None:
        """As `put`, of one key."""
        while self._cells.item(place) != _EMPTY:
            place = (place + 1) & self._mask
        self._cells[place] = slot + 1
        for stored, part in zip(self._keys, key, strict=True):
            stored[place] = part
        self.taken += 1

    def forget(self, gone: np.ndarray) -> None:
        """Take out the keys of slots for which a mask is true."""
        place = np.flatnonzero(self._cells > 0)
        self._cells[place[gone[self._cells[place] - 1]]] = _GONE

    def held(self, low: int, high: int) -> tuple[list[np.ndarray], np.ndarray]:
        """The keys and slots in some of the cells."""
        place = np.flatnonzero(self._cells[low:high] > 0) + low
        return [k[place] for k in self._keys], self._cells[place].astype(np.int64) - 1

    def _claim(self, keys: Keys, values: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Write into cells that are free; of keys that meet in one the last wins. Gives the
        others."""
        cells = self._cells
        free = cells[place] == _EMPTY
        if free.all():
            cells[place] = values
        else:
            cells[place[free]] = values[free]
        won = cells[place] == values
        if won.all():
            for stored, key in zip(self._keys, keys, strict=True):
                stored[place] = key
            return np.empty(0, np.int64)
        taken = place[won]
        for stored, key in zip(self._keys, keys, strict=True):
            stored[taken] = key[won]
        return np.flatnonzero(~won)

    def _equal(self, place: np.ndarray, keys: Keys) -> np.ndarray:
        same = self._keys[0][place] == keys[0]
        for column, key in zip(self._keys[1:], keys[1:], strict=True):
            same &= column[place] == key
        return np.asarray(same)
