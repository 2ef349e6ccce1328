"""Pages of rows of state, and deltas of the rows that changed, for rows that come and go together.

A page is rewritten when its deltas have grown past twice its live rows, so what is written follows
what changed, and a load reads at most about three times the live rows. Nothing is ever written
whole at once. Rows that change anywhere are better kept in a `ring`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from millstream.store.interfaces import Commit, StoreId, View

PAGE_BITS = 16
PAGE_SLOTS = 1 << PAGE_BITS
_SMALL = 64


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
