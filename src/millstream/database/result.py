"""The answer to a query that is read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from millstream import types as t
from millstream.columns import arrow
from millstream.functions.time_text import format_date, format_timestamp


@dataclass(frozen=True, slots=True)
class Result:
    """Columns and rows. `types` are SQL types; empty for answers that DuckDB gave.

    `lag`: how many records the queries behind the answer have yet to read. It is 0 except while
    one of them catches up, is paused or has failed, and for a moment after an insert.
    """

    columns: list[str]
    types: list[t.SqlType]
    arrays: list[pa.Array]
    lag: int = 0

    def rows(self) -> list[tuple[Any, ...]]:
        """The rows as tuples of Python values; times as integers, as `columns.arrow` has them."""
        if not self.columns:
            return []
        values = [
            arrow.to_python(a, self.types[i]) if self.types else _values(a)
            for i, a in enumerate(self.arrays)
        ]
        return list(zip(*values, strict=True))

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table, DATE, TIME and TIMESTAMP as Arrow's own types."""
        shown = self.arrays
        if self.types:
            shown = [arrow.presentable(a, x) for a, x in zip(self.arrays, self.types, strict=True)]
        return pa.Table.from_arrays(shown, names=self.columns)

    def __len__(self) -> int:
        return len(self.arrays[0]) if self.arrays else 0


def _values(array: pa.Array) -> list[Any]:
    """The values of an array of any type. Times that Python has no value for are texts."""
    try:
        values: list[Any] = array.to_pylist()
    except (OverflowError, ValueError):
        # One of them is beyond the year 9999: it is found one by one.
        return [_value(scalar) for scalar in array]
    return values


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        number = scalar.value
        if pa.types.is_date32(scalar.type):
            return format_date(number)
        per_ms = {"s": 0.001, "ms": 1, "us": 1_000, "ns": 1_000_000}[scalar.type.unit]
        return format_timestamp(int(number // per_ms))
