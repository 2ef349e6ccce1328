"""Merging what several queries wrote into one topic."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from millstream.serde.base import Part, TypedPart
from millstream.store.interfaces import Records
from millstream.store.records import slice_records


def merge_pieces(pieces: Sequence[Records]) -> list[Records]:
    """What several queries wrote into one topic in one commit, in the order (seq, writer).

    One run, or several where a query writes fewer columns than another that was made later.
    """
    if len(pieces) == 1:
        return [pieces[0]]
    kinds: list[list[Records]] = []
    kind_of: list[np.ndarray] = []
    for piece in pieces:
        kind = next((n for n, k in enumerate(kinds) if _same_layouts(k[0], piece)), len(kinds))
        if kind == len(kinds):
            kinds.append([])
        kinds[kind].append(piece)
        kind_of.append(np.full(len(piece), kind))
    merged = [_merge(kind) for kind in kinds]
    if len(merged) == 1:
        return merged
    seq = np.concatenate([p.seq for p in pieces])
    writer = np.concatenate([p.writer for p in pieces])
    kind_at = np.concatenate(kind_of)[np.lexsort((writer, seq))]
    bounds = [0, *(np.flatnonzero(np.diff(kind_at)) + 1).tolist(), len(kind_at)]
    taken = [0] * len(merged)
    runs = []
    for start, stop in pairwise(bounds):
        kind = int(kind_at[start])
        first = taken[kind]
        taken[kind] += stop - start
        runs.append(slice_records(merged[kind], first, taken[kind]))
    return runs


def _same_layouts(one: Records, other: Records) -> bool:
    return all(
        isinstance(a, TypedPart) and isinstance(b, TypedPart) and a.layout == b.layout
        for a, b in ((one.key, other.key), (one.value, other.value))
    )


def _merge(pieces: Sequence[Records]) -> Records:
    """Pieces of the same layouts as one run, in the order (seq, writer)."""
    if len(pieces) == 1:
        return pieces[0]
    seq = np.concatenate([p.seq for p in pieces])
    writer = np.concatenate([p.writer for p in pieces])
    order = np.lexsort((writer, seq))
    index = pa.array(order)
    lengths = [len(p) for p in pieces]
    start = _joined([p.window_start for p in pieces])
    end = _joined([p.window_end for p in pieces])
    return Records(
        partition=np.concatenate([p.partition for p in pieces])[order],
        offset=np.concatenate([p.offset for p in pieces])[order],
        seq=seq[order],
        writer=writer[order],
        rowtime=np.concatenate([p.rowtime for p in pieces])[order],
        key=_merge_parts([p.key for p in pieces], lengths, order),
        value=_merge_parts([p.value for p in pieces], lengths, order),
        window_start=None if start is None else start[order],
        window_end=None if end is None else end[order],
        headers=_merge_headers(pieces, index),
    )


def _joined(parts: list[np.ndarray | None]) -> np.ndarray | None:
    present = [p for p in parts if p is not None]
    return np.concatenate(present) if len(present) == len(parts) else None


def _merge_headers(pieces: Sequence[Records], index: pa.Array) -> pa.Array | None:
    known = next((p.headers.type for p in pieces if p.headers is not None), None)
    if known is None:
        return None
    parts = [pa.nulls(len(p), known) if p.headers is None else p.headers for p in pieces]
    return pa.concat_arrays(parts).take(index)


def _merge_parts(parts: Sequence[Part], lengths: list[int], order: np.ndarray) -> Part:
    """One part of several of the same layout."""
    index = pa.array(order)
    typed = [p for p in parts if isinstance(p, TypedPart)]
    null = None
    if any(p.null is not None for p in typed):
        null = np.concatenate(
            [
                np.zeros(n, bool) if p.null is None else p.null
                for p, n in zip(typed, lengths, strict=True)
            ]
        )[order]
    arrays = [
        pa.concat_arrays([p.arrays[i] for p in typed]).take(index)
        for i in range(len(typed[0].arrays))
    ]
    return TypedPart(typed[0].layout, arrays, null)
