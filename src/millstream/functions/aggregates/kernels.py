"""Columnar forms of the aggregates, over segments of rows that share a state.

A kernel's state is a list of NumPy arrays, one entry per segment. Floats are added strictly in row
order, so that a result does not depend on how the input was cut into batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.columns import arrow
from millstream.columns import segments as sg
from millstream.columns.segments import Segments
from millstream.functions.registry import Aggregator

States = list[np.ndarray]


class Values(NamedTuple):
    """An argument column: values (nulls hold anything) and a mask of valid ones, None for all.

    Types without a NumPy form are object arrays of Python values, nulls as None.
    """

    values: np.ndarray
    valid: np.ndarray | None

    def take(self, rows: np.ndarray) -> Values:
        """The rows at the given indices."""
        return Values(self.values[rows], None if self.valid is None else self.valid[rows])


class ColumnKernel(Protocol):
    """What an operator needs of an aggregate to compute whole columns.

    `exact`: states of disjoint rows can be combined in any grouping without changing a bit.
    `stored_width`: how many columns a stored state has.
    """

    exact: bool
    stored_width: int

    def initial(self, count: int) -> States:
        """Fresh states."""
        ...

    def prepare(self, arrays: list[pa.Array]) -> list[Values]:
        """Argument columns in the form that the kernel reads."""
        ...

    def running(
        self, state: list[np.ndarray], values: list[Any], segments: Any
    ) -> tuple[States, States]:
        """State after every row in segment order, and the final state of each segment."""
        ...

    def signed(
        self, state: list[np.ndarray], values: list[Any], sign: np.ndarray, segments: Any
    ) -> States:
        """State after every row, where a row counts as added (+1) or taken back (-1)."""
        ...

    def last(self, state: list[np.ndarray], values: list[Any], segments: Any) -> States:
        """The final state of each segment."""
        ...

    def combine(self, state: list[np.ndarray], parts: list[np.ndarray], segments: Any) -> States:
        """Each segment's state with the partial states of its places merged in; `exact` only."""
        ...

    def results(self, state: list[np.ndarray]) -> pa.Array:
        """What a query sees of each state."""
        ...

    def stored(self, state: list[np.ndarray]) -> Sequence[np.ndarray | pa.Array]:
        """States as columns, one per state column; those of NumPy are numbers."""
        ...

    def restored(self, columns: list[pa.Array]) -> States:
        """The opposite of `stored`, of Arrow's columns."""
        ...

    def unpack(self, state: list[np.ndarray], index: int) -> tuple[Any, ...]:
        """One state as the row form holds it."""
        ...

    def pack(self, rows: Sequence[tuple[Any, ...]]) -> States:
        """States of the row form as the kernel holds them."""
        ...


def _picked(state: States, segments: Segments) -> States:
    return [segments.last(column) for column in state]


class NumericKernel:
    """Base of kernels whose state columns are numbers; `types` are those columns' types."""

    exact = True
    types: tuple[t.SqlType, ...]
    dtypes: tuple[np.dtype, ...]
    zero: tuple[Any, ...]

    def __init__(self, types: tuple[t.SqlType, ...], result: t.SqlType) -> None:
        self.types = types
        self.stored_width = len(types)
        self.result_type = result
        self.dtypes = tuple(_DTYPES[x] for x in types)
        self.zero = tuple(False if x == t.BOOLEAN else 0 for x in types)

    def initial(self, count: int) -> States:
        """Zeros."""
        return [np.zeros(count, dtype) for dtype in self.dtypes]

    def prepare(self, arrays: list[pa.Array]) -> list[Values]:
        """The arguments as NumPy columns; nulls are zeros with a mask."""
        return [numeric_values(a) for a in arrays]

    def running(
        self, state: list[np.ndarray], values: list[Any], segments: Any
    ) -> tuple[States, States]:
        """State after every row, and the last one of each segment."""
        every = self._every(state, values, segments)
        return every, _picked(every, segments)

    def signed(
        self, state: list[np.ndarray], values: list[Any], sign: np.ndarray, segments: Any
    ) -> States:
        """Not every aggregate can take rows back."""
        raise NotImplementedError

    def last(self, state: list[np.ndarray], values: list[Any], segments: Any) -> States:
        """The final states, by way of all of them unless a subclass knows better."""
        return self.running(state, values, segments)[1]

    def combine(self, state: list[np.ndarray], parts: list[np.ndarray], segments: Any) -> States:
        """Sums of sums."""
        return [
            sg.segment_sum(s.astype(np.int64), p.astype(np.int64), segments).astype(s.dtype)
            for s, p in zip(state, parts, strict=True)
        ]

    def results(self, state: list[np.ndarray]) -> pa.Array:
        """The first state column."""
        return arrow.of_numbers(state[0])

    def stored(self, state: list[np.ndarray]) -> Sequence[np.ndarray | pa.Array]:
        """Columns of numbers, as they are."""
        return state

    def restored(self, columns: list[pa.Array]) -> States:
        """Columns of numbers."""
        return [
            c.to_numpy(zero_copy_only=False).astype(dtype)
            for c, dtype in zip(columns, self.dtypes, strict=True)
        ]

    def unpack(self, state: list[np.ndarray], index: int) -> tuple[Any, ...]:
        """Python numbers."""
        return tuple(c[index].item() for c in state)

    def pack(self, rows: Sequence[tuple[Any, ...]]) -> States:
        """NumPy columns of Python numbers."""
        return [np.array([r[i] for r in rows], dtype) for i, dtype in enumerate(self.dtypes)]

    def _every(self, state: States, values: list[Values], segments: Segments) -> States:
        raise NotImplementedError


_DTYPES: dict[t.SqlType, np.dtype] = {
    t.BOOLEAN: np.dtype(bool),
    t.INTEGER: np.dtype(np.int32),
    t.DATE: np.dtype(np.int32),
    t.TIME: np.dtype(np.int32),
    t.BIGINT: np.dtype(np.int64),
    t.TIMESTAMP: np.dtype(np.int64),
    t.DOUBLE: np.dtype(np.float64),
}


def numeric_values(array: pa.Array) -> Values:
    """A column of numbers as NumPy; nulls are zeros with a mask."""
    if array.null_count == 0:
        return Values(array.to_numpy(zero_copy_only=False), None)
    valid = arrow.valid_mask(array)
    return Values(pc.fill_null(array, 0).to_numpy(zero_copy_only=False), valid)


class CountKernel(NumericKernel):
    """COUNT: of rows without an argument, of values with one."""

    def __init__(self) -> None:
        super().__init__((t.BIGINT,), t.BIGINT)

    def prepare(self, arrays: list[pa.Array]) -> list[Values]:
        """Only which values are there matters."""
        return [
            Values(np.zeros(len(a), np.int8), arrow.valid_mask(a) if a.null_count else None)
            for a in arrays
        ]

    def signed(
        self, state: list[np.ndarray], values: list[Any], sign: np.ndarray, segments: Any
    ) -> States:
        """Rows taken back are counted down."""
        steps = sign.astype(np.int64)
        if values and values[0].valid is not None:
            steps = np.where(values[0].valid, steps, 0)
        return [sg.running_sum(state[0], steps, segments)]

    def last(self, state: list[np.ndarray], values: list[Any], segments: Any) -> States:
        """The lengths of the segments."""
        if not values or values[0].valid is None:
            return [sg.segment_count(state[0], segments)]
        return [sg.segment_sum(state[0], values[0].valid.astype(np.int64), segments)]

    def _every(self, state: States, values: list[Values], segments: Segments) -> States:
        return [sg.running_count(state[0], values[0].valid if values else None, segments)]


class SumKernel(NumericKernel):
    """SUM of INTEGER, BIGINT or DOUBLE; nulls are skipped; integers wrap as Java's do."""

    def __init__(self, sql_type: t.SqlType) -> None:
        super().__init__((sql_type,), sql_type)
        self.exact = sql_type != t.DOUBLE

    def signed(
        self, state: list[np.ndarray], values: list[Any], sign: np.ndarray, segments: Any
    ) -> States:
        """Values taken back are subtracted."""
        return [running_total(state[0], values[0], segments, sign)]

    def last(self, state: list[np.ndarray], values: list[Any], segments: Any) -> States:
        """One sum per segment."""
        return [segment_total(state[0], values[0], segments)]

    def _every(self, state: States, values: list[Values], segments: Segments) -> States:
        return [running_total(state[0], values[0], segments)]


class AverageKernel(NumericKernel):
    """AVG: a sum of the argument's type and a count."""

    def __init__(self, sql_type: t.SqlType) -> None:
        super().__init__((sql_type, t.BIGINT), t.DOUBLE)
        self.exact = sql_type != t.DOUBLE

    def signed(
        self, state: list[np.ndarray], values: list[Any], sign: np.ndarray, segments: Any
    ) -> States:
        """Values taken back are subtracted and counted down."""
        steps = sign.astype(np.int64)
        if values[0].valid is not None:
            steps = np.where(values[0].valid, steps, 0)
        return [
            running_total(state[0], values[0], segments, sign),
            sg.running_sum(state[1], steps, segments),
        ]

    def last(self, state: list[np.ndarray], values: list[Any], segments: Any) -> States:
        """One sum and one count per segment."""
        valid = values[0].valid
        counts = (
            segments.lengths
            if valid is None
            else np.add.reduceat(valid.astype(np.int64), segments.starts)
        )
        return [segment_total(state[0], values[0], segments), state[1] + counts]

    def results(self, state: list[np.ndarray]) -> pa.Array:
        """Sum by count; 0.0 where nothing was counted."""
        some = np.where(state[1] == 0, 1, state[1])
        mean = state[0].astype(np.float64) / some.astype(np.float64)
        return pa.array(np.where(state[1] == 0, 0.0, mean))

    def _every(self, state: States, values: list[Values], segments: Segments) -> States:
        return [
            running_total(state[0], values[0], segments),
            sg.running_count(state[1], values[0].valid, segments),
        ]


class ExtremeKernel(NumericKernel):
    """MIN and MAX of numbers and times; the state is the value and whether there is one.

    Both are a maximum of int64 codes: the value's order (doubles by their bits, so that -0.0 is
    below 0.0 and NaN above all), complemented for MIN.
    """

    def __init__(self, sql_type: t.SqlType, largest: bool) -> None:
        super().__init__((sql_type, t.BOOLEAN), sql_type)
        self.largest = largest

    def last(self, state: list[np.ndarray], values: list[Any], segments: Any) -> States:
        """One extreme per segment."""
        codes, seen = self._codes(values[0]), values[0].valid
        return self._decoded(
            sg.segment_max(self._state_codes(state), codes, segments),
            np.ones(len(segments), bool)
            if seen is None
            else state[1] | np.logical_or.reduceat(seen, segments.starts),
        )

    def combine(self, state: list[np.ndarray], parts: list[np.ndarray], segments: Any) -> States:
        """The extreme of extremes."""
        return self._decoded(
            sg.segment_max(self._state_codes(state), self._state_codes(parts), segments),
            state[1] | np.logical_or.reduceat(parts[1], segments.starts),
        )

    def results(self, state: list[np.ndarray]) -> pa.Array:
        """The value, or null where there was none."""
        mask = None if state[1].all() else ~state[1]
        return pa.array(state[0], arrow.arrow_type(self.result_type), mask=mask)

    def _every(self, state: States, values: list[Values], segments: Segments) -> States:
        codes, seen = self._codes(values[0]), values[0].valid
        best = sg.running_max(self._state_codes(state), codes, segments)
        if seen is None:
            return self._decoded(best, np.ones(len(best), bool))
        count = sg.running_count(state[1].astype(np.int64), seen, segments)
        return self._decoded(best, count > 0)

    def _codes(self, values: Values) -> np.ndarray:
        return self._masked(order_codes(values.values), values.valid)

    def _state_codes(self, state: States) -> np.ndarray:
        return self._masked(order_codes(state[0]), state[1])

    def _masked(self, codes: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
        if not self.largest:
            codes = ~codes
        # The lowest code may also be a real value; which it is, the mask of seen ones tells.
        return codes if valid is None else np.where(valid, codes, np.iinfo(np.int64).min)

    def _decoded(self, codes: np.ndarray, seen: np.ndarray) -> States:
        if not self.largest:
            codes = ~codes
        values = from_order_codes(codes, self.dtypes[0])
        return [np.where(seen, values, values.dtype.type(0)), seen]


def order_codes(values: np.ndarray) -> np.ndarray:
    """Int64 codes in the order of the values."""
    if values.dtype != np.float64:
        return values.astype(np.int64, copy=False)
    bits = np.where(np.isnan(values), np.nan, values).view(np.int64)
    return np.asarray(bits ^ ((bits >> 63) & np.int64(0x7FFF_FFFF_FFFF_FFFF)))


def from_order_codes(codes: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The opposite of `order_codes`."""
    if dtype != np.float64:
        return codes.astype(dtype)
    bits = codes ^ ((codes >> 63) & np.int64(0x7FFF_FFFF_FFFF_FFFF))
    return np.asarray(bits.view(np.float64))


def running_total(
    state: np.ndarray, values: Values, segments: Segments, sign: np.ndarray | None = None
) -> np.ndarray:
    """The sum after every row, in the state's own type."""
    if state.dtype == np.float64:
        return sg.running_float_sum(state, _addends(values, sign), segments)
    steps = values.values.astype(np.int64)
    if values.valid is not None:
        steps = np.where(values.valid, steps, 0)
    if sign is not None:
        steps = steps * sign
    return sg.running_sum(state.astype(np.int64), steps, segments).astype(state.dtype)


def segment_total(state: np.ndarray, values: Values, segments: Segments) -> np.ndarray:
    """The sum of each segment, in the state's own type."""
    if state.dtype == np.float64:
        every = sg.running_float_sum(state, _addends(values, None), segments)
        return segments.last(every)
    steps = values.values.astype(np.int64)
    if values.valid is not None:
        steps = np.where(values.valid, steps, 0)
    return sg.segment_sum(state.astype(np.int64), steps, segments).astype(state.dtype)


def _addends(values: Values, sign: np.ndarray | None) -> np.ndarray:
    """Doubles to add; a null is -0.0, the one double that changes no sum."""
    addends = values.values.astype(np.float64, copy=False)
    if sign is not None:
        addends = addends * sign
    return addends if values.valid is None else np.where(values.valid, addends, -0.0)


# --- the row form as a kernel ------------------------------------------------------------------


class RowKernel:
    """Any aggregate, one row after the other: states are tuples in an object array."""

    exact = False

    def __init__(
        self, aggregator: Aggregator, arguments: Sequence[t.SqlType], result: t.SqlType
    ) -> None:
        self.aggregator = aggregator
        self.stored_width = len(aggregator.state_types)
        self.argument_types = tuple(arguments)
        self.result_type = result

    def initial(self, count: int) -> States:
        """The aggregate's initial state, shared: states are never changed in place."""
        return [_objects([self.aggregator.initial()] * count)]

    def prepare(self, arrays: list[pa.Array]) -> list[Values]:
        """The arguments as Python values."""
        return [
            Values(_objects(arrow.to_python(a, x)), None)
            for a, x in zip(arrays, self.argument_types, strict=True)
        ]

    def running(
        self, state: list[np.ndarray], values: list[Any], segments: Any
    ) -> tuple[States, States]:
        """Row after row."""
        every = self._every(state, values, segments, None)
        return every, _picked(every, segments)

    def signed(
        self, state: list[np.ndarray], values: list[Any], sign: np.ndarray, segments: Any
    ) -> States:
        """Row after row; those with sign -1 are undone."""
        return self._every(state, values, segments, sign)

    def last(self, state: list[np.ndarray], values: list[Any], segments: Any) -> States:
        """Row after row, keeping only the last states."""
        add = self.aggregator.add
        rows = _argument_rows(values, segments.rows)
        finals = []
        for now, start, end in zip(
            state[0].tolist(), segments.starts.tolist(), segments.ends.tolist(), strict=True
        ):
            for row in rows[start : end + 1]:
                now = add(now, row)
            finals.append(now)
        return [_objects(finals)]

    def combine(self, state: list[np.ndarray], parts: list[np.ndarray], segments: Any) -> States:
        """Merges, left to right."""
        merge = self.aggregator.merge
        finals = []
        pieces = parts[0].tolist()
        for now, start, end in zip(
            state[0].tolist(), segments.starts.tolist(), segments.ends.tolist(), strict=True
        ):
            for piece in pieces[start : end + 1]:
                now = merge(now, piece)
            finals.append(now)
        return [_objects(finals)]

    def results(self, state: list[np.ndarray]) -> pa.Array:
        """Each state's result."""
        result = self.aggregator.result
        return arrow.from_python([result(s) for s in state[0].tolist()], self.result_type)

    def stored(self, state: list[np.ndarray]) -> Sequence[np.ndarray | pa.Array]:
        """One column per part of the state."""
        rows = state[0].tolist()
        return [
            arrow.from_python([r[i] for r in rows], x)
            for i, x in enumerate(self.aggregator.state_types)
        ]

    def restored(self, columns: list[pa.Array]) -> States:
        """Tuples of the stored parts."""
        parts = [
            arrow.to_python(c, x) for c, x in zip(columns, self.aggregator.state_types, strict=True)
        ]
        return [_objects(list(zip(*parts, strict=True)))]

    def unpack(self, state: list[np.ndarray], index: int) -> tuple[Any, ...]:
        """The state itself."""
        found: tuple[Any, ...] = state[0][index]
        return found

    def pack(self, rows: Sequence[tuple[Any, ...]]) -> States:
        """The states themselves."""
        return [_objects(list(rows))]

    def _every(
        self, state: States, values: list[Values], segments: Segments, sign: np.ndarray | None
    ) -> States:
        add, undo = self.aggregator.add, self.aggregator.undo
        rows = _argument_rows(values, segments.rows)
        signs = None if sign is None else sign.tolist()
        out: list[tuple[Any, ...]] = []
        for now, start, end in zip(
            state[0].tolist(), segments.starts.tolist(), segments.ends.tolist(), strict=True
        ):
            for place in range(start, end + 1):
                step = undo if signs is not None and signs[place] < 0 else add
                now = step(now, rows[place])
                out.append(now)
        return [_objects(out)]


def _argument_rows(values: list[Values], count: int) -> list[tuple[Any, ...]]:
    if not values:
        return [()] * count
    return list(zip(*[v.values.tolist() for v in values], strict=True))


def _objects(items: Sequence[Any]) -> np.ndarray:
    """An object array of the items as they are, tuples and lists included."""
    array = np.empty(len(items), object)
    for i, item in enumerate(items):
        array[i] = item
    return array
