"""Kernels over segments: rows grouped by a code, in arrival order inside each group.

`Segments` holds the grouping; the functions take row-aligned arrays in segment order. Nothing here
knows about windows, keys or aggregates.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate

import numpy as np
import pyarrow as pa

from millstream.columns.batch import Batch, is_null, mask_or_none
from millstream.columns.hash_index import first_occurrences
from millstream.columns.hash_table import mix64
from millstream.columns.keys import Hash, hash_rows
from millstream.columns.sorting import stable_sort

_DENSE = 4
_ROUNDS = 64
_STEP = np.uint64(0x9E3779B97F4A7C15)


class Segments:
    """Rows in segment order. `order` is the row at each place, `starts` where segments begin.

    `in_order`: the rows are in segment order as they are, and `order` counts up. `single`: every
    segment has one row.
    """

    __slots__ = (
        "_ends",
        "_lengths",
        "_number",
        "_position",
        "in_order",
        "order",
        "single",
        "starts",
    )

    def __init__(self, order: np.ndarray, starts: np.ndarray, in_order: bool = False) -> None:
        self.order = order
        self.starts = starts
        self.in_order = in_order
        self.single = len(starts) == len(order)
        self._lengths: np.ndarray | None = None
        self._ends: np.ndarray | None = None
        self._number: np.ndarray | None = None
        self._position: np.ndarray | None = None

    def __len__(self) -> int:
        """How many segments there are."""
        return len(self.starts)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.order)

    @property
    def heads(self) -> np.ndarray:
        """The first row of each segment."""
        if self.single:
            return self.order
        return self.starts if self.in_order else np.asarray(self.order[self.starts])

    @property
    def lengths(self) -> np.ndarray:
        """Rows per segment."""
        if self._lengths is None:
            if self.single:
                self._lengths = np.ones(len(self.starts), np.int64)
                return self._lengths
            lengths = np.empty(len(self.starts), np.int64)
            if len(lengths):
                np.subtract(self.starts[1:], self.starts[:-1], out=lengths[:-1])
                lengths[-1] = len(self.order) - self.starts[-1]
            self._lengths = lengths
        return self._lengths

    @property
    def ends(self) -> np.ndarray:
        """The place of the last row of each segment."""
        if self._ends is None:
            self._ends = self.starts if self.single else self.starts + self.lengths - 1
        return self._ends

    @property
    def number(self) -> np.ndarray:
        """The segment of each place."""
        if self._number is None:
            self._number = np.repeat(np.arange(len(self.starts)), self.lengths)
        return self._number

    @property
    def position(self) -> np.ndarray:
        """How many rows of its segment come before each place."""
        if self._position is None:
            self._position = np.arange(len(self.order)) - np.repeat(self.starts, self.lengths)
        return self._position

    def arranged(self, rows: np.ndarray) -> np.ndarray:
        """Row-aligned values in segment order."""
        return rows if self.in_order else np.asarray(rows[self.order])

    def last(self, places: np.ndarray) -> np.ndarray:
        """Of values per place, in segment order, each segment's last."""
        return places if self.single else np.asarray(places[self.ends])


_MOST_KEPT = 512


def singles(count: int) -> Segments:
    """Segments of one row each, in order; not to be changed, for they are made once."""
    return _singles(count) if count <= _MOST_KEPT else _singles.__wrapped__(count)


@lru_cache(maxsize=128)
def _singles(count: int) -> Segments:
    every = np.arange(count)
    return Segments(every, every, True)


_LARGEST = (1 << 63) - 1


def by_code(code: np.ndarray) -> Segments:
    """Group rows by an int64 code, ascending by code; rows keep their order inside a group."""
    if len(code) < 2 or (code[1:] >= code[:-1]).all():
        return Segments(np.arange(len(code)), _starts(code), True)
    order, sorted_code = stable_sort(code)
    return Segments(order, _starts(sorted_code))


def by_pair(first: np.ndarray, second: np.ndarray) -> Segments:
    """Group rows by two int64 codes, ascending by both; the first is not negative."""
    if len(first) == 0:
        return by_code(first)
    low = int(second.min())
    count = int(second.max()) - low + 1
    if count > _LARGEST // (int(first.max()) + 1):  # the two do not fit one number as they are
        _, second = np.unique(second, return_inverse=True)
        low, count = 0, int(second.max()) + 1
    return by_code(first * count + (second - low))


def by_few_pairs(first: np.ndarray, second: np.ndarray) -> Segments:
    """Group a few rows by two codes, in the order of the groups' last rows."""
    groups: dict[tuple[int, int], list[int]] = {}
    for row, pair in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        rows = groups.pop(pair, [])
        rows.append(row)
        groups[pair] = rows
    starts = [0, *accumulate(map(len, groups.values()))]
    order = [row for rows in groups.values() for row in rows]
    return Segments(np.array(order, np.int64), np.array(starts[:-1], np.int64))


def ascends(values: np.ndarray) -> bool:
    """Whether each value is above the one before it."""
    return len(values) < 2 or bool((values[1:] > values[:-1]).all())


def distinct(values: np.ndarray) -> np.ndarray:
    """The distinct values, ascending; np.unique takes several times as long."""
    ordered = np.sort(values)
    return np.asarray(ordered[_starts(ordered)])


def _starts(sorted_code: np.ndarray) -> np.ndarray:
    if len(sorted_code) < 2:
        return np.zeros(len(sorted_code), np.int64)
    heads = np.empty(len(sorted_code), bool)
    heads[0] = True
    np.not_equal(sorted_code[1:], sorted_code[:-1], out=heads[1:])
    return heads.nonzero()[0]


def unsort(order: np.ndarray) -> np.ndarray:
    """The inverse permutation: where each row went."""
    inverse = np.empty(len(order), np.int64)
    inverse[order] = np.arange(len(order))
    return inverse


# --- running values ----------------------------------------------------------------------------


def running_count(
    initial: np.ndarray, counted: np.ndarray | None, segments: Segments
) -> np.ndarray:
    """Per place: the initial count of its segment plus the counted rows up to it (None: all)."""
    if counted is None:
        if segments.single:
            return np.asarray(initial + 1)
        return np.repeat(initial + 1 - segments.starts, segments.lengths) + np.arange(segments.rows)
    return running_sum(initial, counted.astype(np.int64), segments)


def segment_count(initial: np.ndarray, segments: Segments) -> np.ndarray:
    """Per segment: the initial count plus its rows."""
    return np.asarray(initial + (1 if segments.single else segments.lengths))


def running_sum(initial: np.ndarray, values: np.ndarray, segments: Segments) -> np.ndarray:
    """Per place: initial plus the segment's int64 values up to it; wraps as Java's long does."""
    if segments.single:
        return np.asarray(initial + values)
    total = np.cumsum(values)
    before = np.zeros(len(segments), np.int64)
    before[1:] = total[segments.starts[1:] - 1]
    return np.asarray(total + np.repeat(initial - before, segments.lengths))


def segment_sum(initial: np.ndarray, values: np.ndarray, segments: Segments) -> np.ndarray:
    """Per segment: initial plus its int64 values; wraps."""
    if segments.single:
        return np.asarray(initial + values)
    return np.asarray(initial + np.add.reduceat(values, segments.starts))


def running_max(initial: np.ndarray, values: np.ndarray, segments: Segments) -> np.ndarray:
    """Per place: the largest of initial and the segment's int64 values up to it."""
    if segments.single:
        return np.asarray(np.maximum(initial, values))
    seeded = values.copy()
    starts = segments.starts
    seeded[starts] = np.maximum(seeded[starts], initial)
    falls = seeded[1:] < seeded[:-1]
    falls[starts[1:] - 1] = False
    if not falls.any():  # event time mostly goes on
        return seeded
    low, high = int(seeded.min()), int(seeded.max())
    span = high - low + 1
    if span.bit_length() + len(segments).bit_length() <= 62:
        base = np.repeat(np.arange(len(segments)) * span, segments.lengths) - low
        return np.asarray(np.maximum.accumulate(seeded + base) - base)
    position = segments.position
    longest = int(position.max()) + 1
    step = 1
    while step < longest:
        reach = np.flatnonzero(position >= step)
        seeded[reach] = np.maximum(seeded[reach], seeded[reach - step])
        step *= 2
    return seeded


def segment_max(initial: np.ndarray, values: np.ndarray, segments: Segments) -> np.ndarray:
    """Per segment: the largest of initial and its values."""
    if segments.single:
        return np.asarray(np.maximum(initial, values))
    return np.asarray(np.maximum(initial, np.maximum.reduceat(values, segments.starts)))


def running_float_sum(initial: np.ndarray, values: np.ndarray, segments: Segments) -> np.ndarray:
    """Per place: initial plus the segment's doubles up to it, added strictly in row order."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large is infinite, as in Java
        return _running_float_sum(initial, values, segments)


def _running_float_sum(initial: np.ndarray, values: np.ndarray, segments: Segments) -> np.ndarray:
    if segments.single:
        return np.asarray(initial + values)
    lengths = segments.lengths
    longest, count = int(lengths.max()), len(segments)
    out = np.empty(len(values), np.float64)
    if longest * count <= _DENSE * len(values) + 1024:
        # One column per segment: adding row after row is the strict order, many segments at once.
        table = np.full((longest + 1, count), -0.0)
        position, number = segments.position, segments.number
        table[0] = initial
        table[position + 1, number] = values
        np.add.accumulate(table, axis=0, out=table)
        return np.asarray(table[position + 1, number])
    if longest <= _ROUNDS or longest <= count:
        position, number = segments.position, segments.number
        order, sorted_position = stable_sort(position)
        cuts = np.searchsorted(sorted_position, np.arange(longest + 1))
        total = initial.copy()
        for i in range(longest):
            place = order[cuts[i] : cuts[i + 1]]
            at = number[place]
            total[at] += values[place]
            out[place] = total[at]
        return out
    for i, (start, length) in enumerate(
        zip(segments.starts.tolist(), lengths.tolist(), strict=True)
    ):
        run = values[start : start + length].copy()
        run[0] = initial[i] + run[0]
        np.add.accumulate(run, out=out[start : start + length])
    return out


def previous(initial: np.ndarray, running: np.ndarray, segments: Segments) -> np.ndarray:
    """Per place: the running value before it, the initial one at the head of a segment."""
    if segments.single:
        return initial
    shifted = np.empty_like(running)
    shifted[1:] = running[:-1]
    shifted[segments.starts] = initial
    return shifted


# --- coalescing --------------------------------------------------------------------------------


def last_of_each(code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last row of each distinct code, ordered by last row."""
    if len(code) < 2 or (code[1:] > code[:-1]).all():
        every = np.arange(len(code))
        return every, every
    segments = by_code(code)
    first, last = segments.order[segments.starts], segments.order[segments.ends]
    by_last = np.argsort(last)
    return first[by_last], last[by_last]


def coalesce(batch: Batch) -> Batch:
    """Table changes, one per key (and window): first old row to last new row.

    Each stands at the place of its key's last change; what did not exist before and does not exist
    after is left out. A stream's rows come back as they are.
    """
    if batch.old is None or len(batch) < 2:
        return batch if batch.old is None else without_nothing(batch)
    first_code, second_code = _identity(batch)
    if _all_differ(first_code):
        return without_nothing(batch)
    _, group = first_occurrences([first_code.view(np.int64), second_code.view(np.int64)])
    first, last = last_of_each(group)
    result = batch.take(last)
    if len(first) < len(batch):
        picked = pa.array(first)
        result.old = [a.take(picked) for a in batch.old]
        result.old_null = mask_or_none(is_null(batch.old_null, len(batch))[first])
    return without_nothing(result)


def _identity(batch: Batch) -> Hash:
    """128 bits of hash of each row's key and window."""
    columns, types = batch.key_arrays, [c.type for c in batch.schema.key]
    if columns:
        first, second = hash_rows(columns, types)
    else:
        first = second = np.zeros(len(batch), np.uint64)
    for bound in (batch.window_start, batch.window_end):
        if bound is not None:
            time = bound.view(np.uint64)
            first, second = mix64(first * _STEP + time), mix64((second ^ _STEP) + time)
    return first, second


def _all_differ(code: np.ndarray) -> bool:
    """Whether no value occurs twice: sorting tells that at a tenth of the price of grouping."""
    ordered = np.sort(code)
    return bool((ordered[1:] != ordered[:-1]).all())


def without_nothing(batch: Batch) -> Batch:
    """Table changes without those of rows that did not exist and do not."""
    if batch.old_null is None or batch.value_null is None:
        return batch
    return batch.where(~(batch.old_null & batch.value_null))
