"""Rows from Python or Arrow into a stream's or table's topic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.catalog.model import Source
from millstream.columns import arrow
from millstream.columns.batch import mask_or_none
from millstream.database.values import DAY_MS, Unfit, column_of
from millstream.errors import ExecutionError
from millstream.serde.base import Encoder, Layout, TypedPart
from millstream.serde.formats import format_named

if TYPE_CHECKING:
    from millstream.database.database import Database


def insert_rows(database: Database, name: str, rows: Any) -> int:
    """Append rows given as dicts, tuples, or a pyarrow Table or RecordBatch; how many."""
    source = database.catalog.sources.get(name) or database.catalog.source(name.upper())
    if source.window is not None or source.read_only:
        raise ExecutionError(f"{source.name} cannot be written: it is windowed or read-only")
    if isinstance(rows, pa.RecordBatch):
        rows = pa.Table.from_batches([rows])
    if isinstance(rows, pa.Table):
        return _insert_arrow(database, source, rows)
    if isinstance(rows, Mapping | str | bytes) or not isinstance(rows, Iterable):
        raise ExecutionError(
            f"{source.name}: rows are a list of dicts or tuples, or a pyarrow table, not"
            f" {type(rows).__name__}",
            hint="Put a single row into a list.",
        )
    names = [c.name for c in (*source.schema.key, *source.schema.value)]
    found = [_as_dict(source, names, row) for row in rows]
    now_ms = database.clock.now_ms()
    times = [_row_time(source, r.pop("ROWTIME", None), now_ms) for r in found]
    append_rows(database, source, found, times)
    return len(found)


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
    if not rows:
        return
    columns = {}
    for column in (*source.schema.key, *source.schema.value):
        values = [r.get(column.name) for r in rows]
        try:
            columns[column.name] = column_of(values, column.type)
        except Unfit as unfit:
            row = f"row {unfit.row + 1}, " if len(rows) > 1 else ""
            raise ExecutionError(
                f"{source.name}: {row}column {column.name}{unfit.path} {unfit.problem}",
                hint="None of the rows was written." if len(rows) > 1 else None,
            ) from None
        except pa.ArrowCapacityError as error:
            raise ExecutionError(
                f"{source.name}: column {column.name}: {error}", hint="Insert fewer rows at once."
            ) from error
    _append(database, source, columns, np.array(times, np.int64))


def _append(
    database: Database, source: Source, columns: dict[str, pa.Array], rowtime: np.ndarray
) -> None:
    keys = [columns[c.name] for c in source.schema.key]
    values = [columns[c.name] for c in source.schema.value]
    count = len(rowtime)
    key_null = np.ones(count, bool)
    for key in keys:
        absent = ~arrow.valid_mask(key)
        if source.is_table and absent.any():
            raise ExecutionError(f"a row of table {source.name} needs all of its primary key")
        key_null &= absent
    keys, missing = _encoder(source.key_layout).normalise(keys, mask_or_none(key_null))
    values, nothing = _encoder(source.value_layout).normalise(values, None)
    database.inbox.insert(
        source,
        TypedPart(source.key_layout, keys, missing),
        TypedPart(source.value_layout, values, nothing),
        rowtime,
    )


_MOST_ENCODERS = 1024
_encoders: dict[int, tuple[Layout, Encoder]] = {}


def _encoder(layout: Layout) -> Encoder:
    """The encoder of a layout; to make one takes longer than to insert a row."""
    found = _encoders.get(id(layout))
    # The entry keeps its layout alive, so that its identity is not given to another one.
    if found is not None and found[0] is layout:
        return found[1]
    encoder = format_named(layout.format).encoder(layout)
    if len(_encoders) >= _MOST_ENCODERS:
        _encoders.clear()
    _encoders[id(layout)] = layout, encoder
    return encoder


def _insert_arrow(database: Database, source: Source, table: pa.Table) -> int:
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
    if table.num_rows:
        _append(database, source, columns, times)
    return int(table.num_rows)


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


def _as_dict(source: Source, names: list[str], row: Any) -> dict[str, Any]:
    if isinstance(row, Mapping):
        known = {n.upper(): n for n in names} | {n: n for n in names} | {"ROWTIME": "ROWTIME"}
        found: dict[str, Any] = {}
        for key, value in row.items():
            name = known.get(key) or known.get(str(key).upper())
            if name is None or name in found:
                problem = "has no" if name is None else "is given twice the"
                raise ExecutionError(
                    f"{source.name} {problem} column {key}",
                    hint=f"Its columns are {', '.join(names)}.",
                )
            found[name] = value
    else:
        if isinstance(row, str | bytes) or not isinstance(row, Iterable):
            raise ExecutionError(
                f"{source.name}: a row is a dict or a tuple, not {type(row).__name__}"
            )
        values = list(row)
        if len(values) != len(names):
            raise ExecutionError(
                f"{len(values)} values are given for the {len(names)} columns of {source.name}"
            )
        found = dict(zip(names, values, strict=True))
    return found
