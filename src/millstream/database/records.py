"""Records from outside: given a seq and a partition, ready to be appended."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from millstream.engine.source_rows import encode_part
from millstream.serde.base import Part
from millstream.serde.keys import partition_of
from millstream.store.interfaces import Commit, Records, Topic


def append_outside(
    commit: Commit,
    topic: Topic,
    key: Part,
    value: Part,
    rowtime: np.ndarray,
    *,
    headers: pa.Array | None = None,
    window: tuple[np.ndarray, np.ndarray] | None = None,
) -> Records:
    """Append records that no query wrote. Records without a key go to partition 0."""
    first = commit.allocate_seq(len(rowtime))
    seq = np.arange(first, first + len(rowtime))
    return append_numbered(commit, topic, key, value, rowtime, seq, headers=headers, window=window)


def append_numbered(
    commit: Commit,
    topic: Topic,
    key: Part,
    value: Part,
    rowtime: np.ndarray,
    seq: np.ndarray,
    *,
    headers: pa.Array | None = None,
    window: tuple[np.ndarray, np.ndarray] | None = None,
) -> Records:
    """As `append_outside`, of records that have their numbers already."""
    count = len(rowtime)
    partition = np.zeros(count, np.int64)
    if topic.partitions > 1:
        keys = encode_part(key, count)
        placed = partition_of(keys, topic.partitions)
        partition = np.where(np.asarray(keys.is_valid()), placed, 0).astype(np.int64)
    return commit.append(
        topic.id,
        Records(
            partition=partition,
            offset=np.full(count, -1, np.int64),
            seq=np.asarray(seq, np.int64),
            writer=np.zeros(count, np.int64),
            rowtime=np.asarray(rowtime, np.int64),
            key=key,
            value=value,
            headers=headers,
            window_start=None if window is None else window[0],
            window_end=None if window is None else window[1],
        ),
    )
