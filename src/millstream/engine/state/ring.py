"""Rows by slot in a commit: a journal of what changed, and pages that are rewritten in a ring.

Whatever slots a commit changed, they go into the journal as one part. For each row of the journal
about two rows of pages are written anew, one page of 16 k slots after the other; when the ring
closes, what the journal held before it began is in the pages, and dropped. So what is written
follows what changed, never how much there is or where it lies, and a load reads little more than
twice the rows. New slots are written into their pages at once: nothing older is known of them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import pyarrow as pa

from millstream.columns import segments as sg
from millstream.store.interfaces import Commit, StoreId
from millstream.store.state_rows import StateRows

PAGE_BITS = 14
PAGE_SLOTS = 1 << PAGE_BITS
"""Larger pages are fewer parts for a batch that adds many slots, but a turn, which one commit in
hundreds takes, is felt (6 ms for these, 24 for four times as many)."""

RING_PAGES = 1 << 20
"""Page numbers that a ring takes: half of them for pages, half for its journal."""

_FIRST_JOURNAL = RING_PAGES >> 1
_FEWEST_ROWS = 8192
"""A smaller page is not worth a turn before as many rows could be written."""

_MOST_PARTS = 256
_SMALL_ROWS, _SMALL_PART = 64, 1 / 16
"""After so many parts there is a turn, however few rows they have: each costs time to read. A small
one counts less, since the store joins those of small commits."""

StoredRows = Callable[[np.ndarray], StateRows]
"""The rows of some slots, ascending, each with its slot."""


def every_slot(low: int, high: int) -> np.ndarray:
    """All slots from `low` up to, but without, `high`."""
    return np.arange(low, high)


class Ring:
    """Some of the pages of a store, numbered from `base` on. Rows must be read back in the order in
    which their parts were written; the last row of a slot counts."""

    def __init__(self, store: StoreId, base: int = 0) -> None:
        self._store = store
        self._base = base
        self._slots = 0
        self._clock = 0
        self._begun: dict[int, int] = {}
        """When each page got its first part, which is before any of its slots came to a journal; of
        what journals told before that it holds all, of what they tell since nothing."""
        self._ended: dict[int, int] = {}
        """When each journal got its last part."""
        self._journal = _FIRST_JOURNAL
        self._turns = 0
        self._debt = 0
        self._parts = 0.0
        self._rows: dict[int, int] = {}
        """The rows of the parts of each page."""

    def write(
        self,
        commit: Commit,
        changed: np.ndarray,
        slots: int,
        rows: StoredRows,
        kept: Callable[[int, int], np.ndarray] = every_slot,
    ) -> None:
        """Write the rows of changed slots (ascending), of `slots` that there are.

        `kept` gives the slots of a range that a page must hold; the others have no row.
        """
        if len(changed) == 0:
            return
        added, changed = self._split(changed)
        if len(changed):
            self._put(commit, self._journal, rows(changed))
            self._debt += 2 * len(changed)
        if len(added):
            low, high = int(added[0]) >> PAGE_BITS, int(added[-1]) >> PAGE_BITS
            if low == high:
                self._put(commit, low, rows(added))
            else:
                for page in sg.distinct(added >> PAGE_BITS).tolist():
                    self._put(commit, page, rows(added[added >> PAGE_BITS == page]))
        self._slots = max(self._slots, slots)
        if self._debt < _FEWEST_ROWS and self._parts < _MOST_PARTS:
            return
        # After a load there may be much to do: it is done one page at a time.
        for _ in range(1 + 2 * len(changed) // PAGE_SLOTS):
            oldest = min(self._begun, key=self._begun.__getitem__)
            price = max(min(PAGE_SLOTS, self._slots - (oldest << PAGE_BITS)), _FEWEST_ROWS)
            if self._debt < price and self._parts < _MOST_PARTS:
                break
            self._debt = max(0, self._debt - price)
            self._turn(commit, oldest, rows, kept)

    def settle(self, commit: Commit, slots: int, rows: StoredRows) -> None:
        """Write all pages whole, with all slots, and drop the journal: each row is stored once."""
        for page in range(-(-slots // PAGE_SLOTS)):
            self._write_page(commit, page, slots, rows, every_slot)
        for journal in list(self._ended):
            self._drop_journal(commit, journal)
        self._debt = 0
        self._begin_journal()

    @property
    def stored_rows(self) -> int:
        """How many rows all parts have."""
        return sum(self._rows.values())

    def pages(self) -> tuple[int, ...]:
        """All pages that have parts, the journal's among them, numbered from `base` on."""
        return tuple(self._base + page for page in (*self._begun, *self._ended))

    def loaded(self, page: int, rows: pa.RecordBatch) -> None:
        """A part was read, on a page from `base` on; its first column is the slot."""
        slots = rows.column(0).to_numpy()
        self._slots = max(self._slots, int(slots.max(initial=-1)) + 1)
        self._note(page - self._base, len(slots))
        if page - self._base >= _FIRST_JOURNAL:
            self._debt += 2 * len(slots)
            self._begin_journal()

    def _put(self, commit: Commit, page: int, rows: StateRows) -> None:
        commit.put_delta(self._store, self._base + page, rows)
        self._note(page, rows.num_rows)

    def _split(self, changed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The changed slots of which nothing older is stored, and the others; both ascending."""
        low, high = int(changed[0]), int(changed[-1])
        if low >> PAGE_BITS == high >> PAGE_BITS:
            if low >= self._slots or low >> PAGE_BITS not in self._begun:
                return changed, changed[:0]
            if high < self._slots:
                return changed[:0], changed
        pages = changed >> PAGE_BITS
        fresh = changed >= self._slots
        for page in sg.distinct(pages).tolist():
            if page not in self._begun:
                fresh |= pages == page
        return changed[fresh], changed[~fresh]

    def _note(self, page: int, rows: int) -> None:
        """A part has come to a page."""
        self._rows[page] = self._rows.get(page, 0) + rows
        self._clock += 1
        self._parts += 1 if rows > _SMALL_ROWS else _SMALL_PART
        if page >= _FIRST_JOURNAL:
            self._ended[page] = self._clock
        else:
            self._begun.setdefault(page, self._clock)

    def _turn(
        self,
        commit: Commit,
        page: int,
        rows: StoredRows,
        kept: Callable[[int, int], np.ndarray],
    ) -> None:
        """Write one page anew, and drop the journals of which every page holds what they tell."""
        self._write_page(commit, page, self._slots, rows, kept)
        oldest = min(self._begun.values())
        for journal in [j for j, ended in self._ended.items() if ended < oldest]:
            self._drop_journal(commit, journal)
        self._turns += 1
        if self._turns >= len(self._begun):
            self._begin_journal()

    def _write_page(
        self,
        commit: Commit,
        page: int,
        slots: int,
        rows: StoredRows,
        kept: Callable[[int, int], np.ndarray],
    ) -> None:
        low = page << PAGE_BITS
        whole = rows(kept(low, min(low + PAGE_SLOTS, slots)))
        commit.put_page(self._store, self._base + page, whole)
        self._clock += 1
        self._begun[page] = self._clock
        self._rows[page] = whole.num_rows
        self._parts = 0.0

    def _drop_journal(self, commit: Commit, journal: int) -> None:
        commit.drop_page(self._store, self._base + journal)
        del self._ended[journal], self._rows[journal]

    def _begin_journal(self) -> None:
        numbers = count(_FIRST_JOURNAL)
        self._journal = next(n for n in numbers if n not in self._ended)
        self._turns = 0
