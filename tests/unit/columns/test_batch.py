"""Rows of a batch are cut out alike, whether they are copied, sliced, or none."""

from __future__ import annotations

import numpy as np
import pytest

from millstream import types as t
from millstream.columns import arrow
from millstream.columns.batch import Batch, concat, empty

SCHEMA = t.Schema.of([("K", t.BIGINT)], [("V", t.STRING), ("W", t.BIGINT)])


def _batch(count: int) -> Batch:
    some = np.arange(count)
    texts = arrow.from_python([f"text {i}" for i in range(count)], t.STRING)
    numbers = arrow.of_numbers(some)
    return Batch(
        schema=SCHEMA,
        arrays=[numbers, texts, numbers],
        rowtime=some + 10,
        order=some + 20,
        seq=some + 30,
        partition=some.astype(np.int32),
        offset=some + 50,
        value_null=some % 2 == 0,
        window_start=some + 60,
        window_end=some + 70,
        old=[texts, numbers],
        old_null=some % 3 == 0,
    )


def _plain(batch: Batch) -> list[object]:
    assert batch.old is not None
    masks = [batch.key_null, batch.value_null, batch.old_null]
    numbers = [batch.rowtime, batch.order, batch.seq, batch.partition, batch.offset]
    times = [batch.window_start, batch.window_end]
    return [
        batch.schema,
        [a.to_pylist() for a in (*batch.arrays, *batch.old)],
        [None if x is None else x.tolist() for x in (*masks, *numbers, *times)],
    ]


@pytest.mark.parametrize(
    "kept", [[], [0], [4], [1, 2], [0, 1, 2, 3, 4], [0, 2], [0, 2, 4], [1, 2, 4]]
)
@pytest.mark.parametrize("count", [5, 200])
def test_rows_where_a_mask_is_true_are_those_that_are_taken(kept: list[int], count: int) -> None:
    batch, keep = _batch(count), np.zeros(count, bool)
    keep[kept] = True
    assert _plain(batch.where(keep)) == _plain(batch.take(np.array(kept, np.int64)))
    keep[5:] = True
    assert _plain(batch.where(keep)) == _plain(batch.take(keep.nonzero()[0]))


def test_columns_that_nobody_reads_need_not_be_taken() -> None:
    batch = _batch(5)
    taken = batch.take(np.array([4, 0, 2]), unread=frozenset({1}))
    assert taken.arrays[0].to_pylist() == [4, 0, 2]
    assert taken.arrays[1].to_pylist() == [None] * 3
    assert taken.arrays[1].type == batch.arrays[1].type
    assert taken.arrays[2].to_pylist() == [4, 0, 2]


def test_batches_without_rows_add_nothing() -> None:
    batch, nothing = _batch(3), empty(SCHEMA)
    assert concat([nothing, batch, nothing]) is batch
    assert concat([nothing, nothing]) is nothing
