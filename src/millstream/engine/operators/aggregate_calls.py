"""The aggregate calls of an operator: their kernels over segments of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa

from millstream.columns import segments as sg
from millstream.columns.batch import Batch
from millstream.columns.segments import Segments
from millstream.engine.operators.windows import AggregateCall, AggregateSpec
from millstream.functions.aggregates.kernels import ColumnKernel, RowKernel, States, Values
from millstream.types import Schema

Prepared = list[list[Values]]
"""Argument columns per call, as the call's kernel reads them."""


@dataclass(slots=True)
class Call:
    """A call and its kernel; `row` computes the same from the same states, row after row."""

    call: AggregateCall
    kernel: ColumnKernel
    row: RowKernel

    def forced(self, row_wise: bool) -> bool:
        """Whether the row form must stand in for a columnar kernel."""
        return row_wise and self.kernel is not self.row

    def as_rows(self, state: States) -> States:
        """States of the kernel as states of the row form."""
        packed = np.empty(len(state[0]), object)
        for i in range(len(packed)):
            packed[i] = self.kernel.unpack(state, i)
        return [packed]

    def as_columns(self, state: States) -> States:
        """The opposite of `as_rows`."""
        return self.kernel.pack(state[0].tolist())


@dataclass(slots=True)
class Results:
    """States after some updates and before them: with the row times after, and which had no row
    before."""

    new: list[States]
    rowtime: np.ndarray
    old: list[States]
    absent: np.ndarray

    def take(self, rows: np.ndarray) -> Results:
        """The results at the given places."""
        return Results(
            take_states(self.new, rows),
            self.rowtime[rows],
            take_states(self.old, rows),
            self.absent[rows],
        )

    def put(self, piece: slice, results: Results) -> None:
        """Fill in the results of some places."""
        for mine, theirs in ((self.new, results.new), (self.old, results.old)):
            for state, part in zip(mine, theirs, strict=True):
                for column, values in zip(state, part, strict=True):
                    column[piece] = values
        self.rowtime[piece] = results.rowtime
        self.absent[piece] = results.absent


class AggregateCalls:
    """All calls of an operator, with the columns that they read of its input."""

    def __init__(self, spec: AggregateSpec) -> None:
        self.calls: list[Call] = []
        for call in spec.calls:
            row = RowKernel(call.aggregator, (), call.result)
            own = call.aggregator.kernel
            self.calls.append(Call(call, cast(ColumnKernel, row if own is None else own), row))
        self.kernels = [c.kernel for c in self.calls]
        self.tells_old = True
        """Whether anybody reads old results, and not just if there were any."""
        self._schema: Schema | None = None
        reads = any(c.call.arguments for c in self.calls)
        self._only_rows: Prepared = [] if reads else [[] for _ in self.calls]
        """The arguments where no call has any."""

    @property
    def columnar(self) -> bool:
        """Whether every call has a columnar kernel."""
        return all(c.kernel is not c.row for c in self.calls)

    @property
    def exact(self) -> bool:
        """Whether every call's states can be combined in any grouping."""
        return all(k.exact for k in self.kernels)

    def prepare(self, batch: Batch, row_wise: bool = False) -> Prepared:
        """The arguments of each call."""
        if batch.schema is not self._schema:
            self._note_types(batch.schema)
        if self._only_rows:
            return self._only_rows
        values = batch.value_arrays
        prepared = []
        for bound in self.calls:
            kernel = bound.row if row_wise else bound.kernel
            prepared.append(kernel.prepare([values[i] for i in bound.call.arguments]))
        return prepared

    def _note_types(self, schema: Schema) -> None:
        """Tell the row forms what their arguments are."""
        types = [c.type for c in schema.value]
        for bound in self.calls:
            bound.row.argument_types = tuple(types[i] for i in bound.call.arguments)
        self._schema = schema

    # --- computing ----------------------------------------------------------------------------

    def running(
        self, states: list[States], values: Prepared, segments: Segments, row_wise: bool = False
    ) -> tuple[list[States], list[States]]:
        """Per call: the state after every row in segment order, and the last of each segment."""
        every, final = [], []
        for bound, state, columns in zip(self.calls, states, values, strict=True):
            if bound.forced(row_wise):
                rows, ends = bound.row.running(bound.as_rows(state), columns, segments)
                every.append(bound.as_columns(rows))
                final.append(bound.as_columns(ends))
            else:
                some, ends = bound.kernel.running(state, columns, segments)
                every.append(some)
                final.append(ends)
        return every, final

    def last(
        self, states: list[States], values: Prepared, segments: Segments, row_wise: bool = False
    ) -> list[States]:
        """Per call: the last state of each segment."""
        if row_wise:
            return self.running(states, values, segments, True)[1]
        return [
            bound.kernel.last(state, columns, segments)
            for bound, state, columns in zip(self.calls, states, values, strict=True)
        ]

    def signed(
        self,
        states: list[States],
        values: Prepared,
        sign: np.ndarray,
        segments: Segments,
        row_wise: bool = False,
    ) -> list[States]:
        """Per call: the state after every row, where rows of sign -1 are taken back."""
        every = []
        for bound, state, columns in zip(self.calls, states, values, strict=True):
            if bound.forced(row_wise):
                rows = bound.row.signed(bound.as_rows(state), columns, sign, segments)
                every.append(bound.as_columns(rows))
            else:
                every.append(bound.kernel.signed(state, columns, sign, segments))
        return every

    def combine(
        self, states: list[States], parts: list[States], segments: Segments
    ) -> list[States]:
        """Per call: states with the partial states of their segment's places merged in."""
        return [
            kernel.combine(state, part, segments)
            for kernel, state, part in zip(self.kernels, states, parts, strict=True)
        ]

    def initial(self, count: int) -> list[States]:
        """Fresh states of every call."""
        return [k.initial(count) for k in self.kernels]

    def reset(self, states: list[States], places: np.ndarray) -> None:
        """Make the states at some places fresh ones."""
        if len(places) == 0:
            return
        for state, fresh in zip(states, self.initial(len(places)), strict=True):
            for column, values in zip(state, fresh, strict=True):
                column[places] = values

    def results(self, states: list[States]) -> list[pa.Array]:
        """One column per call."""
        return [k.results(s) for k, s in zip(self.kernels, states, strict=True)]

    def old_results(self, states: list[States]) -> list[pa.Array]:
        """As `results`, of states before a change; none where nobody reads them."""
        return self.results(states) if self.tells_old else []

    # --- what aggregates remember across states -------------------------------------------------

    def sequences(self) -> list[int]:
        """How many rows each aggregate has numbered."""
        return [int(getattr(c.call.aggregator, "sequence", 0)) for c in self.calls]

    def restore_sequences(self, numbers: Sequence[int]) -> None:
        """Go on numbering where the states' writer stopped."""
        for bound, number in zip(self.calls, numbers, strict=True):
            if number:
                bound.call.aggregator.sequence = number  # type: ignore[attr-defined]


def take_values(values: Prepared, rows: np.ndarray) -> Prepared:
    """Argument columns at the given rows."""
    if not any(values):
        return values
    return [[v.take(rows) for v in columns] for columns in values]


def take_states(states: list[States], rows: np.ndarray) -> list[States]:
    """States at the given places."""
    return [[c[rows] for c in state] for state in states]


def previous_states(
    initial: list[States], running: list[States], segments: Segments
) -> list[States]:
    """The state before every row."""
    return [
        [sg.previous(i, r, segments) for i, r in zip(first, every, strict=True)]
        for first, every in zip(initial, running, strict=True)
    ]
