"""An index for codes that come in runs of neighbours, as the windows of a key do."""

from __future__ import annotations

import numpy as np

from millstream.columns.hash_index import HashIndex

_BITS = 3
_LAST = (1 << _BITS) - 1


class BlockIndex:
    """Maps int64 codes, not below 0, to slots 0, 1, 2, .. in order of insertion.

    Eight neighbours share one key of a hash index and one line of slots, so that a run of codes
    costs two or three look-ups that miss the processor's caches, not one each.
    """

    few = 96
    """So many codes are looked up one after the other."""

    def __init__(self) -> None:
        self._blocks = HashIndex()
        # Behind the last block stands one that is never given: unknown blocks are looked up there.
        self._slots = np.full(1 << _BITS, -1, np.int32)
        self._count = 0

    def __len__(self) -> int:
        """How many slots were given."""
        return self._count

    def find(self, code: np.ndarray) -> np.ndarray:
        """The slot of each code, -1 where it is unknown."""
        if len(code) == 0 or self._count == 0:
            return np.full(len(code), -1, np.int64)
        blocks, lengths = _runs(code)
        slots = self._slots[_places(self._blocks.find(blocks), lengths, code)]
        return np.asarray(slots, np.int64)

    def find_or_insert_distinct(self, code: np.ndarray) -> np.ndarray:
        """The slot of each code, all of which differ; unknown ones get the next slots in order."""
        if len(code) == 0:
            return np.empty(0, np.int64)
        if len(code) <= self.few:
            return self.insert_few(code.tolist())
        blocks, lengths = _runs(code)
        if (blocks[1:] > blocks[:-1]).all():
            numbers = self._blocks.find_or_insert_distinct(blocks)
        else:
            numbers = self._blocks.find_or_insert(blocks)
        self._reserve((len(self._blocks) + 1) << _BITS)
        place = _places(numbers, lengths, code)
        slots = np.asarray(self._slots[place], np.int64)
        missing = (slots < 0).nonzero()[0]
        if len(missing):
            given = np.arange(self._count, self._count + len(missing))
            self._count += len(missing)
            slots[missing] = given
            self._slots[place[missing]] = given
        return slots

    def insert_few(self, codes: list[int]) -> np.ndarray:
        """As `find_or_insert_distinct`, of a few codes."""
        blocks = list(dict.fromkeys([code >> _BITS for code in codes]))
        start = dict(zip(blocks, self._blocks.insert_each(blocks), strict=True))
        self._reserve((len(self._blocks) + 1) << _BITS)
        slot_at, found = self._slots.item, []
        for code in codes:
            place = (start[code >> _BITS] << _BITS) + (code & _LAST)
            slot = slot_at(place)
            if slot < 0:
                slot = self._slots[place] = self._count
                self._count += 1
            found.append(slot)
        return np.array(found, np.int64)

    def forget_recalled(self) -> None:
        """Give back the memory of what was looked up lately."""
        self._blocks.forget_recalled()

    def _reserve(self, count: int) -> None:
        if count > len(self._slots):
            grown = np.full(max(count, 2 * len(self._slots)), -1, np.int32)
            grown[: len(self._slots)] = self._slots
            self._slots = grown


def _runs(code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The block of each run of codes of one block, and how many codes it has."""
    blocks = code >> _BITS
    heads = np.empty(len(blocks), bool)
    heads[0] = True
    np.not_equal(blocks[1:], blocks[:-1], out=heads[1:])
    starts = heads.nonzero()[0]
    lengths = np.empty(len(starts), np.int64)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1] = len(code) - starts[-1]
    return blocks[starts], lengths


def _places(numbers: np.ndarray, lengths: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Where each code's slot stands; of unknown blocks (-1) at the end, counted from behind."""
    place = np.repeat(numbers << _BITS, lengths)
    place += code & _LAST
    return place
