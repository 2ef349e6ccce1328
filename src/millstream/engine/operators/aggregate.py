"""GROUP BY over a stream: one operator, its form chosen by the window."""

from __future__ import annotations

from typing import Protocol

import pyarrow as pa

from millstream.columns.batch import Batch
from millstream.engine.operators.aggregate_calls import AggregateCalls
from millstream.engine.operators.aggregate_unwindowed import UnwindowedAggregation
from millstream.engine.operators.aggregate_windowed import WindowedAggregation
from millstream.engine.operators.base import StepContext
from millstream.engine.operators.session import SessionAggregation
from millstream.engine.operators.windows import (
    LATEST_MS,
    MOST_SEGMENTS,
    AggregateCall,
    AggregateSpec,
    WindowKind,
    WindowSpec,
    within_time,
)
from millstream.store.interfaces import Commit, StoreId, View


class Aggregation(Protocol):
    """What each form offers."""

    calls: AggregateCalls

    def step(self, batch: Batch, context: StepContext) -> Batch:
        """Aggregate rows; gives changes of the result table."""
        ...

    def write(self, commit: Commit) -> None:
        """Write what changed."""
        ...

    def load(self, view: View) -> None:
        """Read what was written."""
        ...

    def rows(self) -> Batch:
        """All rows of the table."""
        ...

    def lookup(self, keys: list[pa.Array], start: int | None, end: int | None) -> Batch:
        """The rows of some keys."""
        ...


class AggregateOperator:
    """Aggregates the rows of a stream by key, and by window where there is one.

    Input: key columns are the group (rows with a null in it are gone already), value columns the
    arguments of the calls. Output: changes of a table of `spec.output`, with old rows; `rowtime` is
    the largest of the rows that a result is made of.
    """

    def __init__(self, name: str, store: StoreId, spec: AggregateSpec) -> None:
        self.name = name
        self.spec = spec
        self._form = _form(name, store, spec)
        self._latest_ms = _latest_ms(self._form)

    def step(self, batch: Batch, context: StepContext) -> Batch:
        """The changes that the rows cause, in order."""
        if self.spec.window is not None:
            batch = within_time(batch, self._latest_ms, self.name, context)
        return self._form.step(batch, context)

    def leave_out_old(self) -> None:
        """Nobody reads old values: of a row before a change only whether there was one is told."""
        self._form.calls.tells_old = False

    def write(self, commit: Commit) -> None:
        """Write what changed since the last write."""
        self._form.write(commit)

    def load(self, view: View) -> None:
        """Read the state that the last commit left."""
        self._form.load(view)

    def rows(self, start_ms: int | None = None, end_ms: int | None = None) -> Batch:
        """All rows of the table that are visible, in order of their keys' first occurrence, those
        of one key by window.

        Where bounds are given, rows of windows that start outside [start_ms, end_ms] may be left
        out.
        """
        if isinstance(self._form, WindowedAggregation):
            return self._form.rows(start_ms, end_ms)
        return self._form.rows()

    def lookup(
        self, keys: list[pa.Array], start_ms: int | None = None, end_ms: int | None = None
    ) -> Batch:
        """The visible rows of the given keys, key after key; of windows that start in
        [start_ms, end_ms] where bounds are given."""
        return self._form.lookup(keys, start_ms, end_ms)


def _form(name: str, store: StoreId, spec: AggregateSpec) -> Aggregation:
    if spec.window is None:
        return UnwindowedAggregation(name, store, spec)
    if spec.window.kind is WindowKind.SESSION:
        return SessionAggregation(name, store, spec, spec.window)
    return WindowedAggregation(name, store, spec, spec.window)


def _latest_ms(form: Aggregation) -> int:
    """The latest event time that a form can keep: segments of its state have numbers, too."""
    match form:
        case WindowedAggregation():
            span_ms = form.state.span * form.window.advance_ms
        case SessionAggregation():
            span_ms = form.state.sessions.span
        case _:
            return LATEST_MS
    return min(LATEST_MS, span_ms * MOST_SEGMENTS - 1)


__all__ = [
    "AggregateCall",
    "AggregateOperator",
    "AggregateSpec",
    "Aggregation",
    "WindowKind",
    "WindowSpec",
]
