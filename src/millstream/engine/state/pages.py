"""How operators' state gets into a commit: pages of rows, and deltas of the rows that changed.

A page is rewritten when its deltas have grown past twice its live rows, so what is written follows
what changed, and a load reads at most about three times the live rows. Nothing is ever written
whole at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from millstream.columns import arrow
from millstream.columns import segments as sg
from millstream.columns.keys import KeyIndex
from millstream.store.interfaces import Commit, StoreId, View
from millstream.types import SqlType

PAGE_BITS = 16
PAGE_SLOTS = 1 << PAGE_BITS
_SMALL = 64
_FEWEST_SWEPT = 65_536


def schema_hash(*parts: object) -> str:
    """A short name for the shape of a state: types, windows and whatever else it depends on."""
    text = "\n".join(str(p) for p in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def part_of(store: StoreId, name: str) -> StoreId:
    """The store of a part of an operator's state."""
    return StoreId(store.query_id, f"{store.step}.{name}", store.schema_hash)


@dataclass(slots=True)
class _Written:
    rows: int = 0
    parts: int = 0


class Pages:
    """Writes rows of one store, and decides when a page is written whole."""

    def __init__(self, store: StoreId) -> None:
        self.store = store
        self._pages: dict[int, _Written] = {}

    def write(
        self,
        commit: Commit,
        page: int,
        changed: pa.RecordBatch,
        live: int,
        whole: Callable[[], pa.RecordBatch],
    ) -> None:
        """Write changed rows of a page, or all `live` rows of it where its deltas grew too many."""
        written = self._pages.setdefault(page, _Written())
        rows, parts = written.rows + changed.num_rows, written.parts + 1
        wasteful = rows > max(2 * live, _SMALL)
        scattered = parts > _SMALL and 2 * rows > live
        if wasteful or scattered:
            commit.put_page(self.store, page, whole())
            self._pages[page] = _Written()
        else:
            commit.put_delta(self.store, page, changed)
            written.rows, written.parts = rows, parts

    def drop(self, commit: Commit, page: int) -> None:
        """Remove a page."""
        self._pages.pop(page, None)
        commit.drop_page(self.store, page)

    def pages(self, start: int, end: int) -> list[int]:
        """The pages from `start` up to, but without, `end`."""
        return [p for p in self._pages if start <= p < end]

    def read(self, view: View) -> list[tuple[int, pa.RecordBatch]]:
        """All parts as (page, rows), oldest first; remembers how much there is of each page."""
        self._pages.clear()
        parts = [(p.page, p.rows) for p in view.state(self.store)]
        for page, rows in parts:
            written = self._pages.setdefault(page, _Written())
            # The first part may be a whole page: counted as deltas it is rewritten a bit early.
            written.rows += rows.num_rows
            written.parts += 1
        return parts


class StoredKeys:
    """A key index that writes the keys it gained and lost, each with the partition it came in."""

    def __init__(self, types: Sequence[SqlType], store: StoreId) -> None:
        self.index = KeyIndex(types)
        self._pages = Pages(part_of(store, "keys"))
        self._partitions = np.empty(0, np.int32)
        self._changed: list[np.ndarray] = []
        self._swept = 0

    def ids(self, arrays: list[pa.Array], partition: np.ndarray) -> np.ndarray:
        """The number of each row's key; unknown keys get the next numbers."""
        ids, first = self.index.insert(arrays)
        if len(first):
            self._reserve(len(self.index))
            self._partitions[ids[first]] = partition[first]
            self._changed.append(ids[first])
        return ids

    def partitions(self, ids: np.ndarray) -> np.ndarray:
        """The partition of each key."""
        return np.asarray(self._partitions[ids])

    def sweep(self, holders: Callable[[int], np.ndarray]) -> np.ndarray:
        """Forget keys that no state holds, once their number has doubled since the last time.

        `holders` gives a mask over that many keys: which ones are still held. The numbers of the
        forgotten ones are given.
        """
        used = self.index.used
        if used <= max(2 * self._swept, _FEWEST_SWEPT):
            return np.empty(0, np.int64)
        count = len(self.index)
        known = self.index.holds(np.arange(count))
        gone = np.flatnonzero(known & ~holders(count))
        if len(gone):
            self.index.release(gone)
            self._changed.append(gone)
        self._swept = self.index.used
        return gone

    def write(self, commit: Commit) -> None:
        """Write the keys gained and lost since the last write."""
        if not self._changed:
            return
        changed = sg.distinct(np.concatenate(self._changed))
        self._changed.clear()
        for page in sg.distinct(changed >> PAGE_BITS).tolist():
            low, high = page << PAGE_BITS, min(len(self.index), (page + 1) << PAGE_BITS)
            mine = changed[np.searchsorted(changed, low) : np.searchsorted(changed, high)]
            self._pages.write(
                commit,
                page,
                self._rows(mine),
                high - low,
                lambda low=low, high=high: self._rows(np.arange(low, high)),  # type: ignore[misc]
            )

    def load(self, view: View) -> None:
        """Read all keys."""
        parts = [rows for _, rows in self._pages.read(view)]
        if not parts:
            return
        columns = columns_of(parts)
        ids = columns[0].to_numpy()
        _, last = sg.last_of_each(ids)
        last = last[arrow.true_mask(columns[1])[last]]
        last = last[np.argsort(ids[last])]
        partition, *keys = (c.take(pa.array(last)) for c in columns[2:])
        self.index.restore(keys, ids[last])
        self._reserve(len(self.index))
        self._partitions[ids[last]] = partition.to_numpy()

    def _reserve(self, count: int) -> None:
        if count > len(self._partitions):
            grown = np.zeros(max(count, 2 * len(self._partitions), 64), np.int32)
            grown[: len(self._partitions)] = self._partitions
            self._partitions = grown

    def _rows(self, ids: np.ndarray) -> pa.RecordBatch:
        live, partition = self.index.holds(ids), self._partitions[ids]
        arrays = [pa.array(ids), pa.array(live), pa.array(partition)]
        return rows_of([*arrays, *self.index.arrays(ids)])


def rows_of(arrays: list[pa.Array]) -> pa.RecordBatch:
    """Columns without names of their own, as a record batch."""
    return pa.RecordBatch.from_arrays(arrays, _names(len(arrays)))


def columns_of(parts: Sequence[pa.RecordBatch]) -> list[pa.Array]:
    """The columns of several record batches of one schema, one after the other."""
    if len(parts) == 1:
        return list(parts[0].columns)
    table = pa.Table.from_batches(parts)
    return [_plain(c.combine_chunks()) for c in table.columns]


def _plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return column


def _names(count: int) -> list[str]:
    return [f"c{i}" for i in range(count)]
