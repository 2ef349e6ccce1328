"""What an aggregation is made of: its calls, its window, and which windows a row falls into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pyarrow as pa

from millstream.columns.batch import Batch
from millstream.engine.operators.base import StepContext
from millstream.functions.registry import Aggregator
from millstream.types import Column, Schema, SqlType

LATEST_MS = 1 << 62
"""The latest event time in a window, in the year 146140482: what is added to it fits 64 bits."""
_FEW = 64
MOST_SEGMENTS = 1 << 43
"""Of windowed state: a segment takes up to a million page numbers."""


class WindowKind(Enum):
    """The kinds of windows."""

    TUMBLING = "TUMBLING"
    HOPPING = "HOPPING"
    SESSION = "SESSION"


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """A window. `size_ms` is the gap for SESSION; `advance_ms` equals the size for TUMBLING.

    A window takes rows until stream time passes its end by `grace_ms`. `retention_ms` is how long
    a window stays visible, counted back from the newest window that was written; at least size and
    grace.
    """

    kind: WindowKind
    size_ms: int
    advance_ms: int
    grace_ms: int
    retention_ms: int

    @property
    def kept_ms(self) -> int:
        """The retention that counts: never shorter than a window takes rows."""
        return max(self.retention_ms, self.size_ms + self.grace_ms)


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """One aggregate: how it computes, which value columns it reads, and its result's type."""

    aggregator: Aggregator
    arguments: tuple[int, ...]
    result: SqlType


@dataclass(frozen=True, slots=True)
class AggregateSpec:
    """What to group by, what to compute, over which window. `output` has the key columns and one
    value column per call. `final`: only final results, when a window closes; those of one window
    go by the bytes of their keys, which `key_bytes` makes (without it: as the KAFKA format does).
    """

    key: tuple[Column, ...]
    calls: tuple[AggregateCall, ...]
    window: WindowSpec | None
    output: Schema
    final: bool = False
    key_bytes: Callable[[list[pa.Array]], list[bytes]] | None = None


def within_time(batch: Batch, latest_ms: int, name: str, context: StepContext) -> Batch:
    """The rows up to a time, which can be put into windows; those beyond it are noted."""
    if len(batch) <= _FEW and max(batch.rowtime.tolist(), default=0) <= latest_ms:
        return batch
    beyond = batch.rowtime > latest_ms
    if not beyond.any():
        return batch
    message = f"the event time is beyond {latest_ms} ms, which is too late for a window"
    context.note_rows(name, "skipped", message, batch.seq[beyond])
    return batch.where(~beyond)


def windows_of(rowtime: np.ndarray, window: WindowSpec) -> tuple[np.ndarray, np.ndarray]:
    """The windows that each row falls into: row indices and window numbers, oldest window first.

    Windows are aligned to the epoch: number n holds [n * advance, n * advance + size).
    """
    size, advance = window.size_ms, window.advance_ms
    if size == advance:
        return np.arange(len(rowtime)), rowtime // advance
    first = np.maximum(0, (rowtime - size + advance) // advance)
    count = rowtime // advance - first + 1
    most = int(count.max(initial=0))
    row = np.repeat(np.arange(len(rowtime)), most)
    number = (first[:, None] + np.arange(most)).ravel()
    if int(count.min(initial=most)) == most:
        return row, number
    inside = (np.arange(most) < count[:, None]).ravel()
    return row[inside], number[inside]
