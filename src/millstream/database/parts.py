"""Rows of Python values, and columns, as the keys and values of a source's records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from millstream.catalog.model import Source
from millstream.columns import arrow
from millstream.columns.batch import mask_or_none
from millstream.database.values import Unfit, column_of
from millstream.errors import ExecutionError
from millstream.serde.base import Encoder, Layout, TypedPart
from millstream.serde.formats import format_named

Parts = tuple[TypedPart, TypedPart]
"""Keys and values."""


def parts_of_rows(source: Source, rows: Sequence[Sequence[Any]]) -> Parts:
    """The parts of rows of values, key columns first. ExecutionError where one does not fit."""
    columns = []
    given = zip((*source.schema.key, *source.schema.value), zip(*rows, strict=True), strict=True)
    for column, values in given:
        try:
            columns.append(column_of(values, column.type))
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
    return parts_of_columns(source, columns, len(rows))


def parts_of_columns(source: Source, columns: Sequence[pa.Array], count: int) -> Parts:
    """The parts of `count` rows given as columns, those of the key first."""
    split = len(source.schema.key)
    keys, values = list(columns[:split]), list(columns[split:])
    key_null = np.ones(count, bool)
    for key in keys:
        absent = ~arrow.valid_mask(key)
        if source.is_table and absent.any():
            raise ExecutionError(f"a row of table {source.name} needs all of its primary key")
        key_null &= absent
    keys, missing = _encoder(source.key_layout).normalise(keys, mask_or_none(key_null))
    values, nothing = _encoder(source.value_layout).normalise(values, None)
    return (
        TypedPart(source.key_layout, keys, missing),
        TypedPart(source.value_layout, values, nothing),
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
