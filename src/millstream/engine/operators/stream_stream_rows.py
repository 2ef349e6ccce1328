"""The rows that one side of a stream-stream join keeps: by id in order of arrival, and stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.columns import arrow
from millstream.columns.chunks import Chunks
from millstream.engine.state.pages import PAGE_BITS, Pages, columns_of, part_of, rows_of
from millstream.store.interfaces import Commit, StoreId, View

_COMPACT_FROM = 4096


class SideRows:
    """Rows with ids 0, 1, 2, .. in order of arrival, until they are dropped.

    A row may wait (`waiting`) for its first match; waiting rows are stored as such. Rows are
    written in pages of consecutive ids; a page whose rows are all gone is removed.
    """

    def __init__(self, types: Sequence[t.SqlType], store: StoreId) -> None:
        self.types = tuple(types)
        self.waiting: set[int] = set()
        self.next_id = 0
        self._columns = [Chunks(arrow.arrow_type(x)) for x in self.types]
        self._ids = np.empty(0, np.int64)
        self._alive = np.empty(0, bool)
        self._count = 0
        self._dead = 0
        self._live_in: dict[int, int] = {}
        self._saved = 0
        self._pages = Pages(part_of(store, "rows"))
        self._waiting_pages = Pages(part_of(store, "waiting"))
        self._written: set[int] = set()
        self._emptied: set[int] = set()
        self._marked: set[int] = set()
        self._waiting_in: dict[int, set[int]] = {}
        self._waiting_stored: set[int] = set()

    # --- rows ----------------------------------------------------------------------------------

    def append(self, arrays: list[pa.Array], length: int) -> int:
        """Add rows; gives the id of the first."""
        first = self.next_id
        self.next_id += length
        self._extend(arrays, np.arange(first, self.next_id))
        return first

    def take(self, ids: np.ndarray, columns: slice) -> list[pa.Array]:
        """Some columns of the rows of these ids; nulls at id -1."""
        if self._count == 0:
            return [arrow.nulls(x, len(ids)) for x in self.types[columns]]
        absent = ids < 0
        rows = np.searchsorted(self._ids[: self._count], ids)
        if absent.any():
            # Chunks of several pieces cannot take nulls through plain NumPy indices.
            index = pa.array(np.where(absent, 0, rows), mask=absent)
            return [c.take(index) for c in self._columns[columns]]
        return [c.take(rows) for c in self._columns[columns]]

    def drop(self, ids: Iterable[int]) -> None:
        """Forget rows that are there."""
        gone = np.fromiter(ids, np.int64)
        if len(gone) == 0:
            return
        self._alive[np.searchsorted(self._ids[: self._count], gone)] = False
        self._dead += len(gone)
        pages, counts = np.unique(gone >> PAGE_BITS, return_counts=True)
        for page, count in zip(pages.tolist(), counts.tolist(), strict=True):
            self._live_in[page] -= count
            if self._live_in[page] == 0:
                del self._live_in[page]
                self._emptied.add(page)
        if self._dead >= _COMPACT_FROM and 2 * self._dead >= self._count:
            self._compact()

    def wait(self, row: int) -> None:
        """The row has found no match yet."""
        self.waiting.add(row)
        self._waiting_in.setdefault(row >> PAGE_BITS, set()).add(row)
        self._marked.add(row)

    def settle(self, row: int) -> None:
        """The row waits no more."""
        if row in self.waiting:
            self.waiting.remove(row)
            self._waiting_in[row >> PAGE_BITS].remove(row)
            self._marked.add(row)

    # --- persistence ---------------------------------------------------------------------------

    def write(self, commit: Commit) -> None:
        """Write the rows added since the last write, and what changed about those waiting."""
        for page in self._emptied & self._written:
            if page not in self._live_in:
                self._pages.drop(commit, page)
                self._written.remove(page)
        self._emptied.clear()
        fresh = self._alive_between(self._saved, self.next_id)
        for page in np.unique(fresh >> PAGE_BITS).tolist():
            self._pages.write(
                commit,
                page,
                self._stored(fresh[(fresh >> PAGE_BITS) == page]),
                self._live_in[page],
                lambda page=page: self._stored(  # type: ignore[misc]
                    self._alive_between(page << PAGE_BITS, (page + 1) << PAGE_BITS)
                ),
            )
            self._written.add(page)
        self._write_waiting(commit)
        self._saved = self.next_id

    def _alive_between(self, first: int, end: int) -> np.ndarray:
        """The ids from `first` up to `end` whose rows are there."""
        start, stop = np.searchsorted(self._ids[: self._count], [first, end])
        found: np.ndarray = self._ids[start:stop][self._alive[start:stop]]
        return found

    def _stored(self, ids: np.ndarray) -> pa.RecordBatch:
        return rows_of([pa.array(ids), *self.take(ids, slice(None))])

    def _write_waiting(self, commit: Commit) -> None:
        changed = sorted(r for r in self._marked if r in self.waiting or r < self._saved)
        self._marked.clear()
        if not changed:
            return
        by_page: dict[int, list[int]] = {}
        for row in changed:
            by_page.setdefault(row >> PAGE_BITS, []).append(row)
        for page, rows in by_page.items():
            left = self._waiting_in.get(page)
            if not left:
                self._waiting_in.pop(page, None)
                if page in self._waiting_stored:
                    self._waiting_pages.drop(commit, page)
                    self._waiting_stored.remove(page)
                continue
            self._waiting_pages.write(
                commit,
                page,
                _marks(rows, [r in self.waiting for r in rows]),
                len(left),
                lambda left=left: _marks(sorted(left), [True] * len(left)),  # type: ignore[misc]
            )
            self._waiting_stored.add(page)

    def load(self, view: View, next_id: int) -> tuple[np.ndarray, list[pa.Array]]:
        """Read what the last commit left: the ids and columns of all stored rows."""
        self.next_id = self._saved = next_id
        for page, marks in self._waiting_pages.read(view):
            self._waiting_stored.add(page)
            for row, waits in zip(*(c.to_pylist() for c in marks.columns), strict=True):
                (self.waiting.add if waits else self.waiting.discard)(row)
        for row in self.waiting:
            self._waiting_in.setdefault(row >> PAGE_BITS, set()).add(row)
        parts = self._pages.read(view)
        if not parts:
            return self._ids, [arrow.nulls(x, 0) for x in self.types]
        self._written = {page for page, _ in parts}
        ids, *columns = columns_of([rows for _, rows in parts])
        order = np.argsort(ids.to_numpy(), kind="stable")
        index = pa.array(order)
        columns = [c.take(index) for c in columns]
        sorted_ids = ids.to_numpy()[order]
        self._extend(columns, sorted_ids)
        return sorted_ids, columns

    # --- inside --------------------------------------------------------------------------------

    def _extend(self, arrays: list[pa.Array], ids: np.ndarray) -> None:
        length = len(ids)
        size = self._count + length
        if size > len(self._ids):
            capacity = max(size, 2 * len(self._ids), 64)
            self._ids = np.concatenate([self._ids, np.empty(capacity - len(self._ids), np.int64)])
            self._alive = np.concatenate([self._alive, np.zeros(capacity - len(self._alive), bool)])
        self._ids[self._count : size] = ids
        self._alive[self._count : size] = True
        self._count = size
        for column, array in zip(self._columns, arrays, strict=True):
            column.append(array)
        pages, counts = np.unique(ids >> PAGE_BITS, return_counts=True)
        for page, count in zip(pages.tolist(), counts.tolist(), strict=True):
            self._live_in[page] = self._live_in.get(page, 0) + count

    def _compact(self) -> None:
        kept = np.flatnonzero(self._alive[: self._count])
        columns = [c.take(kept) for c in self._columns]
        self._columns = [Chunks(c.type) for c in self._columns]
        for column, array in zip(self._columns, columns, strict=True):
            column.append(array)
        self._ids = self._ids[kept]
        self._alive = np.ones(len(kept), bool)
        self._count = len(kept)
        self._dead = 0


def _marks(rows: list[int], waits: list[bool]) -> pa.RecordBatch:
    return rows_of([pa.array(rows, pa.int64()), pa.array(waits, pa.bool_())])
