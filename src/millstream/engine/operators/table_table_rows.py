"""What the two sides of a join of tables hold at the moment of each change of either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream.columns import arrow
from millstream.columns.batch import Batch, is_null
from millstream.columns.segments import by_code
from millstream.engine.operators.table_state import TableState

NO_TIME = -1
"""The event time of a row that is not there; all others are 0 or later."""

_UNCHANGED = -1


class Current(Protocol):
    """A table whose rows can be looked up, as they are after all changes of a step."""

    def current(self, keys: list[pa.Array]) -> tuple[list[pa.Array], np.ndarray]:
        """The value columns of each key's row, null where it has none, and a mask of those."""
        ...


class Kept:
    """The rows of a table that a state keeps."""

    def __init__(self, state: TableState) -> None:
        self.state = state

    def current(self, keys: list[pa.Array]) -> tuple[list[pa.Array], np.ndarray]:
        """The value columns of each key's row, null where it has none, and a mask of those."""
        return self.state.get(self.state.find(keys))


@dataclass(slots=True)
class Rows:
    """Rows of one side that take part in a step: the new rows of its changes, then the old ones,
    then looked-up ones. `columns` are key and value columns, `absent` marks rows that are not."""

    columns: list[pa.Array]
    absent: np.ndarray

    def times(self, places: Sequence[int]) -> np.ndarray:
        """The event time of each row, from the columns that hold it; NO_TIME where it is absent."""
        times = np.full(len(self.absent), NO_TIME)
        for place in places:
            column = pc.fill_null(self.columns[place], NO_TIME).to_numpy()
            times = np.maximum(times, column)
        return np.where(self.absent, NO_TIME, times)

    def take(self, rows: np.ndarray, first: int = 0) -> list[pa.Array]:
        """The columns from number `first` on at the given rows; null where a row is absent."""
        absent = self.absent[rows]
        index = pa.array(rows, mask=absent) if absent.any() else pa.array(rows)
        return [c.take(index) for c in self.columns[first:]]


def pooled(
    changes: Batch, keys: list[pa.Array], values: list[pa.Array], absent: np.ndarray
) -> Rows:
    """The rows of a side: those of its changes, and looked-up ones behind them."""
    assert changes.old is not None
    length = len(changes)
    columns = [
        arrow.concat([own, own, found]) for own, found in zip(changes.key_arrays, keys, strict=True)
    ]
    columns += [
        arrow.concat([new, old, found])
        for new, old, found in zip(changes.value_arrays, changes.old, values, strict=True)
    ]
    gone = [is_null(changes.value_null, length), is_null(changes.old_null, length), absent]
    return Rows(columns, np.concatenate(gone))


def rows_before(
    changed: np.ndarray, order: np.ndarray, wanted: np.ndarray, at: np.ndarray
) -> np.ndarray:
    """Which row held for each wanted code just before a place in the order.

    `changed` are the codes of n changes, `order` their places, never decreasing. The result is the
    number i of a change for its new row, n + i for its old one, and -1 where the code did not
    change. Codes are not negative; a wanted code of -1 finds nothing.
    """
    count = len(changed)
    if count == 0 or len(wanted) == 0:
        return np.full(len(wanted), _UNCHANGED)
    segments = by_code(changed)
    spread = int(max(order.max(), at.max())) + 2
    codes = changed[segments.order]
    before = np.searchsorted(codes * spread + order[segments.order], wanted * spread + at) - 1
    result = np.full(len(wanted), _UNCHANGED)
    hit = (before >= 0) & (codes[before] == wanted)
    result[hit] = segments.order[before[hit]]
    # The next change after the place, if it is of the same code, is the code's first one.
    after = np.minimum(before + 1, count - 1)
    early = ~hit & (codes[after] == wanted)
    result[early] = count + segments.order[after[early]]
    return result


def places(left: Batch, right: Batch, trigger: np.ndarray) -> Batch:
    """Where the given changes of both sides stand, without columns; left changes count first."""

    def joined(name: str) -> np.ndarray:
        both = np.concatenate([getattr(left, name), getattr(right, name)])
        return np.asarray(both[trigger])

    return Batch(
        schema=left.schema,
        arrays=[],
        rowtime=joined("rowtime"),
        order=joined("order"),
        seq=joined("seq"),
        partition=joined("partition"),
        offset=joined("offset"),
        headers=_headers(left, right, trigger),
    )


def _headers(left: Batch, right: Batch, trigger: np.ndarray) -> pa.Array | None:
    known = left.headers if left.headers is not None else right.headers
    if known is None:
        return None
    both = [pa.nulls(len(b), known.type) if b.headers is None else b.headers for b in (left, right)]
    return pa.concat_arrays(both).take(pa.array(trigger))
