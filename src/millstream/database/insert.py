"""Rows from Python or Arrow into a stream's or table's topic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.catalog.model import Source
from millstream.columns import arrow
from millstream.database.inbox import Rows
from millstream.database.parts import Parts, parts_of_columns, parts_of_rows
from millstream.database.shape import shapes_of
from millstream.database.values import DAY_MS, Unfit, column_of
from millstream.errors import ExecutionError

if TYPE_CHECKING:
    from millstream.database.database import Database

FEW_ROWS = 64


def insert_rows(database: Database, name: str, rows: Any) -> int:
    """Append rows given as dicts, tuples, or a pyarrow Table or RecordBatch; how many."""
    given = _given(database, name, rows)
    if len(given.times):
        database.inbox.insert(*given)
    return len(given.times)


def send_rows(database: Database, name: str, rows: Any) -> Future[int]:
    """As `insert_rows`, without waiting: the future has the outcome. What is found wrong before
    rows are written is raised at once."""
    return database.inbox.send(*_given(database, name, rows))


class _Given(NamedTuple):
    source: Source
    content: Rows | Parts
    times: np.ndarray


def _given(database: Database, name: str, rows: Any) -> _Given:
    source = database.catalog.sources.get(name) or database.catalog.source(name.upper())
    if source.window is not None or source.read_only:
        raise ExecutionError(f"{source.name} cannot be written: it is windowed or read-only")
    if isinstance(rows, pa.RecordBatch):
        rows = pa.Table.from_batches([rows])
    if isinstance(rows, pa.Table):
        return _arrow(database, source, rows)
    if isinstance(rows, Mapping | str | bytes) or not isinstance(rows, Iterable):
        raise ExecutionError(
            f"{source.name}: rows are a list of dicts or tuples, or a pyarrow table, not"
            f" {type(rows).__name__}",
            hint="Put a single row into a list.",
        )
    shapes = shapes_of(source)
    found = [shapes.row(row) for row in rows]
    now_ms = database.clock.now_ms()
    times = [_row_time(source, time, now_ms) for _, time in found]
    return _values(source, [values for values, _ in found], times)


def _row_time(source: Source, value: object, now_ms: int) -> int:
    if value is None:
        return now_ms
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise ExecutionError(
            f"{source.name}: ROWTIME is a number of ms since 1970, not {value!r}",
            hint="Leave it out for the time of writing.",
        )
    return value


def append_rows(
    database: Database, source: Source, rows: Sequence[Mapping[str, Any]], times: Sequence[int]
) -> None:
    """Append rows of Python values, as `columns.arrow` documents them, in one commit."""
    names = [c.name for c in (*source.schema.key, *source.schema.value)]
    values = [[row.get(name) for name in names] for row in rows]
    if values:
        database.inbox.insert(*_values(source, values, times))


def _values(source: Source, rows: Sequence[Sequence[Any]], times: Sequence[int]) -> _Given:
    """Rows of values, key columns first."""
    # A few rows become columns together with those of other callers, which takes far less time.
    few = len(rows) <= FEW_ROWS
    content = Rows(rows) if few else parts_of_rows(source, rows)
    return _Given(source, content, np.array(times, np.int64))


def _arrow(database: Database, source: Source, table: pa.Table) -> _Given:
    given: dict[str, pa.Array] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name.upper() in given:
            raise ExecutionError(f"{source.name}: the column {name} is given twice")
        given[name.upper()] = column.combine_chunks()
    rowtime = given.pop("ROWTIME", None)
    columns = {}
    for column in (*source.schema.key, *source.schema.value):
        array = given.pop(column.name.upper(), None)
        if array is None:
            columns[column.name] = arrow.nulls(column.type, table.num_rows)
            continue
        try:
            columns[column.name] = _column(array, column.type)
        except Unfit as unfit:
            raise ExecutionError(
                f"{source.name}: row {unfit.row + 1}, column {column.name}{unfit.path}"
                f" {unfit.problem}",
                hint="None of the rows was written.",
            ) from None
        except pa.ArrowException as error:
            raise ExecutionError(
                f"{source.name}: column {column.name} takes {column.type}, and not every value of"
                f" the {array.type} given is one"
            ) from error
    if given:
        raise ExecutionError(
            f"{source.name} has no column {', '.join(given)}",
            hint=f"Its columns are {', '.join(columns)}.",
        )
    times = _row_times(source, rowtime, table.num_rows, database.clock.now_ms())
    ordered = [columns[c.name] for c in (*source.schema.key, *source.schema.value)]
    content = parts_of_columns(source, ordered, table.num_rows) if table.num_rows else Rows()
    return _Given(source, content, times)


def _row_times(source: Source, given: pa.Array | None, count: int, now_ms: int) -> np.ndarray:
    if given is None:
        return np.full(count, now_ms, np.int64)
    try:
        times = _cast(given, pa.int64()).fill_null(now_ms)
    except pa.ArrowException as error:
        raise ExecutionError(
            f"{source.name}: ROWTIME is a number of ms since 1970 or a timestamp, not {given.type}"
        ) from error
    found = np.asarray(times.to_numpy(zero_copy_only=False), np.int64)
    if (found < 0).any():
        raise ExecutionError(f"{source.name}: ROWTIME cannot be before 1970")
    return found


def _column(array: pa.Array, sql_type: t.SqlType) -> pa.Array:
    """A column given as an Arrow array; `Unfit` or ArrowException where a value does not fit."""
    target = arrow.arrow_type(sql_type)
    if array.type == target and sql_type != t.TIME:
        return array
    nested = isinstance(sql_type, t.Array | t.Map | t.Struct)
    if nested or (isinstance(sql_type, t.Decimal) and pa.types.is_floating(array.type)):
        # Arrow's cast leaves unknown fields of structs out, and rounds.
        try:
            values = array.to_pylist(maps_as_pydicts="strict")
        except KeyError:
            raise pa.ArrowInvalid("a map has a key twice") from None
        return column_of(values, sql_type)
    found = _cast(array, target)
    if sql_type == t.TIME and len(found):
        low, high = pc.min_max(found).values()
        if low.is_valid and not 0 <= low.as_py() <= high.as_py() < DAY_MS:
            return column_of(found.to_pylist(), sql_type)
    return found


def _cast(array: pa.Array, target: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(array.type) and target == pa.int64():
        return array.cast(pa.timestamp("ms")).cast(target)
    if pa.types.is_time(array.type) and target == pa.int32():
        return array.cast(pa.time32("ms")).cast(target)
    if pa.types.is_date64(array.type) and target == pa.int32():
        return array.cast(pa.date32()).cast(target)
    return pc.cast(array, target)
