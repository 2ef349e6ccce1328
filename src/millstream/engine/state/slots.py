"""Rows of aggregate states by slot: a growing struct of arrays that knows which rows changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from millstream.columns import arrow
from millstream.columns import segments as sg
from millstream.functions.aggregates.kernels import ColumnKernel, States
from millstream.store.state_rows import Column

NEVER = -1
"""The row time of a state that saw no row."""


@dataclass(slots=True)
class Rows:
    """Some rows of a table: the states of each call, row times, which rows exist, and further
    int64 columns."""

    states: list[States]
    rowtime: np.ndarray
    live: np.ndarray
    extra: list[np.ndarray]

    def take(self, rows: np.ndarray) -> Rows:
        """The rows at the given indices."""
        return Rows(
            [[c[rows] for c in state] for state in self.states],
            self.rowtime[rows],
            self.live[rows],
            [c[rows] for c in self.extra],
        )


_ALL_LIVE = np.ones(64, bool)
_ALL_LIVE.flags.writeable = False


def all_live(count: int) -> np.ndarray:
    """A mask for so many rows that all exist; not to be written to."""
    return _ALL_LIVE[:count] if count <= len(_ALL_LIVE) else np.ones(count, bool)


def fresh_rows(kernels: Sequence[ColumnKernel], count: int, extra: int = 0) -> Rows:
    """Rows of no input: initial states, not live."""
    return Rows(
        [k.initial(count) for k in kernels],
        np.full(count, NEVER, np.int64),
        np.zeros(count, bool),
        [np.full(count, -1, np.int64) for _ in range(extra)],
    )


class SlotTable:
    """Rows by slot. Slots come from an index; a slot that was never written is not live."""

    def __init__(self, kernels: Sequence[ColumnKernel], extra: int = 0) -> None:
        self.kernels = tuple(kernels)
        self._extra_count = extra
        self._rows = fresh_rows(self.kernels, 0, extra)
        self._dirty: list[np.ndarray] = []
        self.size = 0

    def extend(self, size: int) -> None:
        """Make room for slots below `size`."""
        if size <= self.size:
            return
        capacity = len(self._rows.rowtime)
        if size > capacity:
            grown = fresh_rows(self.kernels, max(size, 2 * capacity, 16), self._extra_count)
            _copy_first(self._rows, grown, self.size)
            self._rows = grown
        self.size = size

    def gather(self, slots: np.ndarray) -> Rows:
        """Copies of the rows at the slots."""
        return self._rows.take(slots)

    def scatter(self, slots: np.ndarray, rows: Rows) -> None:
        """Set the rows at the slots, which are distinct, and remember that they changed."""
        mine = self._rows
        for state, fresh in zip(mine.states, rows.states, strict=True):
            for column, values in zip(state, fresh, strict=True):
                column[slots] = values
        mine.rowtime[slots] = rows.rowtime
        mine.live[slots] = rows.live
        for column, values in zip(mine.extra, rows.extra, strict=True):
            column[slots] = values
        self._dirty.append(slots)

    def live(self, low: int = 0, high: int | None = None) -> np.ndarray:
        """The slots from `low` up to, but without, `high` that hold a row, ascending."""
        end = self.size if high is None else min(high, self.size)
        return np.flatnonzero(self._rows.live[low:end]) + low

    def is_live(self, slots: np.ndarray) -> np.ndarray:
        """Which of the slots hold a row; slots below 0 do not."""
        found = np.zeros(len(slots), bool)
        inside = (slots >= 0) & (slots < self.size)
        found[inside] = self._rows.live[slots[inside]]
        return found

    def changed(self) -> np.ndarray:
        """The slots written since the last call, ascending."""
        if not self._dirty:
            return np.empty(0, np.int64)
        if len(self._dirty) == 1:
            slots = self._dirty.pop().copy()
            slots.sort()  # without NumPy's wrapper
            return slots
        if sum(map(len, self._dirty)) * 8 < self.size:
            slots = sg.distinct(np.concatenate(self._dirty))
        else:
            mark = np.zeros(self.size, bool)
            for some in self._dirty:
                mark[some] = True
            slots = np.flatnonzero(mark)
        self._dirty.clear()
        return slots

    def stored(self, slots: np.ndarray) -> list[Column]:
        """The rows at the slots as columns."""
        mine = self._rows
        columns: list[Column] = [mine.live[slots], mine.rowtime[slots]]
        columns += [column[slots] for column in mine.extra]
        for kernel, state in zip(self.kernels, mine.states, strict=True):
            columns += kernel.stored([column[slots] for column in state])
        return columns

    def restore(self, slots: np.ndarray, columns: list[pa.Array]) -> None:
        """Set rows from `stored` columns; of a slot that occurs twice the last row counts."""
        live, rowtime = arrow.true_mask(columns[0]), columns[1].to_numpy()
        count = 2 + self._extra_count
        extra = [c.to_numpy() for c in columns[2:count]]
        states = []
        for kernel in self.kernels:
            width = kernel.stored_width
            states.append(kernel.restored(columns[count : count + width]))
            count += width
        self.scatter(slots, Rows(states, rowtime, live, extra))
        self._dirty.clear()


def _copy_first(source: Rows, target: Rows, count: int) -> None:
    for state, mine in zip(source.states, target.states, strict=True):
        for column, into in zip(state, mine, strict=True):
            into[:count] = column[:count]
    target.rowtime[:count] = source.rowtime[:count]
    target.live[:count] = source.live[:count]
    for column, into in zip(source.extra, target.extra, strict=True):
        into[:count] = column[:count]


def joined_rows(parts: list[Rows]) -> Rows:
    """The rows of several parts, one after the other."""
    first = parts[0]
    return Rows(
        [
            [np.concatenate([p.states[i][j] for p in parts]) for j in range(len(state))]
            for i, state in enumerate(first.states)
        ],
        np.concatenate([p.rowtime for p in parts]),
        np.concatenate([p.live for p in parts]),
        [np.concatenate([p.extra[i] for p in parts]) for i in range(len(first.extra))],
    )
