"""How much of a topic is taken at once: so many rows, and so many bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from millstream.serde.base import Part, RawPart
from millstream.store.interfaces import Records
from millstream.store.records import slice_records

MOST_BYTES = 64 << 20
"""Of values, at once; a record that is larger goes alone."""


def portions(runs: Iterable[tuple[int, Records]], rows: int) -> Iterator[tuple[int, Records]]:
    """The first runs up to so many rows and about `MOST_BYTES`, the last one cut; at least one
    record, if there is any."""
    room = MOST_BYTES
    before: Records | None = None
    for ordinal, records in runs:
        if before is not None:  # mostly there is one run only, and its size tells nothing
            room -= byte_size(before)
        count = portion(records, rows, room)
        if count == 0 and before is not None:
            return
        before = slice_records(records, 0, max(count, 1))
        yield ordinal, before
        rows -= len(before)
        if len(before) < len(records) or rows <= 0:
            return


def portion(records: Records, rows: int, room: int) -> int:
    """How many of a run's first records are at most `rows` and about `room` bytes."""
    count = min(rows, len(records))
    if _room_for_all(records.value, room):
        return count
    size = byte_size(records)
    if size <= room or count == 0:
        return count
    if isinstance(records.value, RawPart):
        ends = _ends(records.value.data)
        fit = int(np.searchsorted(ends, room, side="right"))
    else:
        fit = len(records) * room // size
    return min(count, fit)


def byte_size(records: Records) -> int:
    """About how many bytes the values of a run have."""
    return _size(records.value)


def _room_for_all(part: Part, room: int) -> bool:
    """Whether even the memory that the values lie in, which is told at once, has so many bytes."""
    arrays = [part.data] if isinstance(part, RawPart) else part.arrays
    return bool(sum([a.get_total_buffer_size() for a in arrays]) <= room)


def _size(part: Part) -> int:
    if isinstance(part, RawPart):
        ends = _ends(part.data)
        return int(ends[-1]) if len(ends) else 0
    return int(sum(a.nbytes for a in part.arrays))


def _ends(data: pa.Array) -> np.ndarray:
    """Where each value ends, in bytes from the first one's start."""
    offsets = np.frombuffer(data.buffers()[1], np.int32, len(data) + 1, 4 * data.offset)
    return np.asarray(offsets[1:] - offsets[0])
