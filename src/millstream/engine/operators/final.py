"""EMIT FINAL: when windows close, which of them are still known then, and in what order they go.

A window closes when stream time reaches its end plus grace. What the store has expired by then (its
start lies more than the retention before the newest window written) is lost.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from millstream.columns import arrow
from millstream.columns.batch import Batch
from millstream.engine.operators.aggregate_output import per_partition
from millstream.engine.operators.base import StepContext, StreamTimes
from millstream.engine.operators.windows import AggregateSpec, WindowSpec


class Closing:
    """Up to where windows have closed, per partition."""

    def __init__(self, name: str, window: WindowSpec) -> None:
        self.name = name
        self.window = window
        self._closed: dict[int, int] = {}

    def note_lost(self, count: int, context: StepContext) -> None:
        """Say how many final results had expired before they could be given."""
        if count:
            context.note(
                self.name,
                "lost",
                "a final result had expired when its window closed",
                count=count,
            )

    def dump(self) -> dict[str, int]:
        """What must survive a restart."""
        return {str(k): v for k, v in self._closed.items()}

    def restore(self, dumped: dict[str, int]) -> None:
        """The opposite of `dump`."""
        self._closed = {int(k): v for k, v in dumped.items()}


class WindowClosing(Closing):
    """Time windows: [start, start + size) is closed when stream time reaches its end plus grace."""

    def observed(
        self, batch: Batch, row: np.ndarray, start: np.ndarray, store: StreamTimes
    ) -> np.ndarray:
        """Per row of the batch: the newest window that its partition's store has seen by then."""
        result = np.full(len(batch), -1, np.int64)
        np.maximum.at(result, row, start)
        for partition, rows in per_partition(batch.partition):
            mine = slice(None) if rows is None else rows
            newest = np.maximum(np.maximum.accumulate(result[mine]), store.get(partition))
            result[mine] = newest
        return result

    def advance(self, partition: int, stream_time: int) -> tuple[int, int] | None:
        """Stream time has come this far: the first and last window start that close by it."""
        close = stream_time - self.window.grace_ms
        before = self._closed.get(partition)
        if before is not None and close <= before:
            return None
        self._closed[partition] = close
        first = 0 if before is None else max(0, before - self.window.size_ms + 1)
        last = close - self.window.size_ms
        return (first, last) if last >= first else None

    def trigger(self, start: np.ndarray, stream_time: np.ndarray) -> np.ndarray:
        """The first row (of one partition) at which each window is closed."""
        due = start + (self.window.size_ms + self.window.grace_ms)
        return np.searchsorted(stream_time, due, side="left")

    def order(
        self, trigger: np.ndarray, start: np.ndarray, keys: list[pa.Array], spec: AggregateSpec
    ) -> np.ndarray:
        """Final rows as a store that is ordered by time gives them: by row, window, key bytes."""
        ranks = key_ranks(keys, spec)
        return np.lexsort((ranks, start, trigger))


class SessionClosing(Closing):
    """Sessions: one is closed when stream time passes its end by more than gap and grace."""

    def advance(self, partition: int, stream_time: int) -> tuple[int, int] | None:
        """Stream time has come this far: the first and last session end that close by it."""
        close = stream_time - self.window.grace_ms - self.window.size_ms
        before = self._closed.get(partition)
        if before is not None and close <= before:
            return None
        self._closed[partition] = close
        first = 0 if before is None else max(0, before)
        return (first, close - 1) if close > first else None

    def trigger(self, end: np.ndarray, stream_time: np.ndarray) -> np.ndarray:
        """The first row (of one partition) at which each session is closed; their number: none."""
        due = end + (self.window.size_ms + self.window.grace_ms)
        return np.searchsorted(stream_time, due, side="right")

    def lost(self, end: np.ndarray, stream_time: np.ndarray) -> np.ndarray:
        """Which sessions a store had dropped when they closed.

        A session store is dropped piece by piece, half a retention (a minute at least) each.
        """
        piece = max(self.window.kept_ms // 2, 60_000)
        return np.asarray(end // piece < (stream_time - self.window.kept_ms) // piece)

    def order(
        self,
        trigger: np.ndarray,
        start: np.ndarray,
        end: np.ndarray,
        keys: list[pa.Array],
        spec: AggregateSpec,
    ) -> np.ndarray:
        """Final rows as a store that is ordered by time gives them: by row, end, start, key."""
        ranks = key_ranks(keys, spec)
        return np.lexsort((ranks, start, end, trigger))


def key_ranks(keys: list[pa.Array], spec: AggregateSpec) -> np.ndarray:
    """Ranks of keys in the order of their serialised bytes.

    Where the specification does not serialise them: integers as big-endian words (negative ones
    last), texts as UTF-8, several columns one after the other.
    """
    count = len(keys[0]) if keys else 0
    if count < 2:
        return np.zeros(count, np.int64)
    rows: list[tuple[bytes, ...]]
    if spec.key_bytes is not None:
        rows = [(key,) for key in spec.key_bytes(keys)]
    else:
        coded = [
            list(map(_sortable, arrow.to_python(k, c.type)))
            for k, c in zip(keys, spec.key, strict=True)
        ]
        rows = list(zip(*coded, strict=True))
    order = sorted(range(count), key=rows.__getitem__)
    ranks = np.empty(count, np.int64)
    ranks[order] = np.arange(count)
    return ranks


def _sortable(value: object) -> bytes:
    match value:
        case None:
            return b""
        case bool():
            return b"\1" if value else b"\0"
        case int():
            return (value % (1 << 64)).to_bytes(8, "big")
        case str():
            return value.encode("utf-8", "surrogatepass")
        case bytes():
            return value
    return repr(value).encode("utf-8", "surrogatepass")
