"""Batches from plain records, and plain rows from batches, for tests of operators."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from millstream import types as t
from millstream.columns import arrow
from millstream.columns.batch import Batch, is_null, mask_or_none


@dataclass(frozen=True)
class Record:
    """A record: its place among all that are read, key and value columns (None: no value)."""

    order: int
    key: tuple[Any, ...]
    value: tuple[Any, ...] | None
    time: int = 0
    partition: int = 0


def batch_of(schema: t.Schema, records: Sequence[Record]) -> Batch:
    """The records as a batch; seq is 1000 and offset 50 more than the place."""
    width = len(schema.value)
    rows = [(*r.key, *((None,) * width if r.value is None else r.value)) for r in records]
    places = np.array([r.order for r in records], np.int64)
    return Batch(
        schema=schema,
        arrays=[
            arrow.from_python([row[i] for row in rows], c.type)
            for i, c in enumerate(schema.columns)
        ],
        rowtime=np.array([r.time for r in records], np.int64),
        order=places,
        seq=places + 1000,
        partition=np.array([r.partition for r in records], np.int32),
        offset=places + 50,
        value_null=mask_or_none(np.array([r.value is None for r in records], bool)),
    )


def rows_of(batch: Batch) -> list[tuple[Any, ...]]:
    """The columns' values, row by row."""
    columns = [arrow.to_python(a, c.type) for a, c in zip(batch.arrays, batch.schema, strict=True)]
    return [tuple(c[i] for c in columns) for i in range(len(batch))]


def changes_of(batch: Batch) -> list[tuple[int, tuple[Any, ...], Any, Any]]:
    """Each change as (place, key, new value columns or None, old value columns or None)."""
    assert batch.old is not None
    absent = is_null(batch.old_null, len(batch))
    keys = len(batch.schema.key)
    old = [arrow.to_python(a, c.type) for a, c in zip(batch.old, batch.schema.value, strict=True)]
    result = []
    for i, row in enumerate(rows_of(batch)):
        gone = batch.value_null is not None and bool(batch.value_null[i])
        before = None if absent[i] else tuple(c[i] for c in old)
        result.append((int(batch.order[i]), row[:keys], None if gone else row[keys:], before))
    return result


def pieces(records: Sequence[Any], cuts: Sequence[int]) -> list[Sequence[Any]]:
    """The records cut at the given places, none of the pieces empty."""
    bounds = sorted({0, len(records), *(c for c in cuts if 0 < c < len(records))})
    return [records[a:b] for a, b in itertools.pairwise(bounds)]
