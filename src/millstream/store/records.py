"""Slicing, joining and measuring runs of records, whatever store they lie in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from millstream.serde.base import Layout, Part, RawPart, TypedPart
from millstream.store.interfaces import Records


def slice_records(records: Records, start: int, stop: int) -> Records:
    """The records at indices `start` to `stop` (exclusive), without a copy."""
    if start <= 0 and stop >= len(records):
        return records
    rows = slice(start, stop)
    return Records(
        partition=records.partition[rows],
        offset=records.offset[rows],
        seq=records.seq[rows],
        writer=records.writer[rows],
        rowtime=records.rowtime[rows],
        key=_slice_part(records.key, start, stop),
        value=_slice_part(records.value, start, stop),
        window_start=None if records.window_start is None else records.window_start[rows],
        window_end=None if records.window_end is None else records.window_end[rows],
        headers=None if records.headers is None else records.headers.slice(start, stop - start),
    )


def shape_of(records: Records) -> tuple[Layout | None, Layout | None, bool, bool]:
    """What two runs that can be joined have in common: the kinds and layouts of their parts, and
    whether they are windowed."""
    key, value = records.key, records.value
    return (
        key.layout if isinstance(key, TypedPart) else None,
        value.layout if isinstance(value, TypedPart) else None,
        records.window_start is None,
        records.window_end is None,
    )


def same_shape(left: Records, right: Records) -> bool:
    """Whether two runs can be joined."""
    return shape_of(left) == shape_of(right)


def concat_records(runs: Sequence[Records]) -> Records:
    """One run of several of the same shape (see `shape_of`), one after the other."""
    first = runs[0]
    if len(runs) == 1:
        return first
    lengths = [len(r) for r in runs]
    return Records(
        partition=np.concatenate([r.partition for r in runs]),
        offset=np.concatenate([r.offset for r in runs]),
        seq=np.concatenate([r.seq for r in runs]),
        writer=np.concatenate([r.writer for r in runs]),
        rowtime=np.concatenate([r.rowtime for r in runs]),
        key=concat_parts([r.key for r in runs], lengths),
        value=concat_parts([r.value for r in runs], lengths),
        window_start=_concat_numbers([r.window_start for r in runs]),
        window_end=_concat_numbers([r.window_end for r in runs]),
        headers=_concat_headers(runs),
    )


def concat_parts(parts: Sequence[Part], lengths: Sequence[int]) -> Part:
    """One part of several of the same kind and layout, given how many records each is of."""
    first = parts[0]
    if isinstance(first, RawPart):
        return RawPart(pa.concat_arrays([p.data for p in parts if isinstance(p, RawPart)]))
    typed = [p for p in parts if isinstance(p, TypedPart)]
    null = None
    if any(p.null is not None for p in typed):
        null = np.concatenate(
            [
                np.zeros(n, bool) if p.null is None else p.null
                for p, n in zip(typed, lengths, strict=True)
            ]
        )
    columns = range(len(first.arrays))
    return TypedPart(
        first.layout, [pa.concat_arrays([p.arrays[i] for p in typed]) for i in columns], null
    )


def size_of(records: Records) -> int:
    """About how many bytes of memory the records take."""
    numbers = (
        records.partition,
        records.offset,
        records.seq,
        records.writer,
        records.rowtime,
        records.window_start,
        records.window_end,
    )
    total = sum(n.nbytes for n in numbers if n is not None)
    total += _size_of_part(records.key) + _size_of_part(records.value)
    return int(total if records.headers is None else total + records.headers.nbytes)


def _slice_part(part: Part, start: int, stop: int) -> Part:
    if isinstance(part, RawPart):
        return RawPart(part.data.slice(start, stop - start))
    return TypedPart(
        part.layout,
        [a.slice(start, stop - start) for a in part.arrays],
        None if part.null is None else part.null[start:stop],
    )


def _concat_numbers(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    present = [p for p in parts if p is not None]
    return np.concatenate(present) if present else None


def _concat_headers(runs: Sequence[Records]) -> pa.Array | None:
    known = next((r.headers.type for r in runs if r.headers is not None), None)
    if known is None:
        return None
    return pa.concat_arrays(
        [pa.nulls(len(r), known) if r.headers is None else r.headers for r in runs]
    )


def _size_of_part(part: Part) -> int:
    if isinstance(part, RawPart):
        return int(part.data.nbytes)
    total = sum(a.nbytes for a in part.arrays)
    return int(total if part.null is None else total + part.null.nbytes)
