"""GROUP BY over a stream in session windows."""

from __future__ import annotations

import pyarrow as pa

from millstream.columns.batch import Batch
from millstream.engine.operators.base import StepContext
from millstream.engine.operators.windows import AggregateSpec, WindowSpec
from millstream.store.interfaces import Commit, StoreId, View


class SessionAggregation:
    """States by key and session."""

    def __init__(self, name: str, store: StoreId, spec: AggregateSpec, window: WindowSpec) -> None:
        raise NotImplementedError

    def step(self, batch: Batch, context: StepContext) -> Batch:
        """Aggregate rows."""
        raise NotImplementedError

    def write(self, commit: Commit) -> None:
        """Write what changed."""
        raise NotImplementedError

    def load(self, view: View) -> None:
        """Read what was written."""
        raise NotImplementedError

    def rows(self) -> Batch:
        """All rows."""
        raise NotImplementedError

    def lookup(self, keys: list[pa.Array], start: int | None, end: int | None) -> Batch:
        """The rows of some keys."""
        raise NotImplementedError
