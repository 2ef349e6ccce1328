"""Rows of state keep every value through their stored form, one part or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest

from millstream.store.sqlite.parts import Form, decode_rows, encode_few_rows, encode_rows
from millstream.store.state_rows import Column, RowShape, StateRows

SHAPE = RowShape()
Rows = Callable[[int], StateRows]


def numbers(count: int) -> StateRows:
    """Rows of every kind of number that a state holds."""
    values = np.arange(count)
    columns = [values - 1, values % 2 == 0, values.astype(np.int32), values / 3]
    return SHAPE.rows(columns)


def texts(count: int) -> StateRows:
    """Rows that NumPy cannot hold."""
    columns: list[Column] = [np.arange(count), pa.array([None, "x"] * count).slice(0, count)]
    return RowShape().rows(columns)


def dictionaries(count: int) -> StateRows:
    """Rows that must have their schema with them."""
    batch = pa.record_batch({"d": pa.array(["x"] * count).dictionary_encode()})
    return StateRows.of(batch)


def stored(parts: Sequence[StateRows], has_schema: bool = True) -> tuple[Form, pa.RecordBatch]:
    """What the parts have become after they were written and read."""
    form, body = encode_rows(parts, has_schema)
    count = sum(part.num_rows for part in parts)
    return form, decode_rows(form, count, bytes(body), parts[0].schema).batch()


@pytest.mark.parametrize("count", [1, 2, 5000])
@pytest.mark.parametrize(
    ("rows", "forms"),
    [
        (numbers, {Form.SQUEEZED}),
        (texts, {Form.MESSAGE, Form.PACKED}),
        (dictionaries, {Form.STREAM}),
    ],
)
def test_rows_come_back(count: int, rows: Rows, forms: set[Form]) -> None:
    has_schema = Form.STREAM not in forms
    one = rows(count)
    form, found = stored([one], has_schema)
    assert form in forms and found.equals(one.batch())
    form, body = encode_few_rows(one, has_schema)
    few = decode_rows(form, count, body, one.schema if has_schema else None)
    assert few.batch().equals(one.batch())


@pytest.mark.parametrize("rows", [numbers, texts])
def test_parts_come_back_as_one(rows: Rows) -> None:
    parts = [rows(n) for n in (1, 7, 2)]
    expected = pa.Table.from_batches([p.batch() for p in parts]).combine_chunks().to_batches()[0]
    assert stored(parts)[1].equals(expected)
    mixed = [parts[0], StateRows.of(parts[1].batch()), parts[2]]
    assert stored(mixed)[1].equals(expected)


@pytest.mark.parametrize("rows", [numbers, texts])
def test_a_slice_is_stored_alone(rows: Rows) -> None:
    some = rows(2000)
    _, found = stored([some.slice(10, 13)])
    assert found.equals(some.batch().slice(10, 3))


def test_rows_of_one_shape_have_the_same_types() -> None:
    shape = RowShape()
    shape.rows([np.arange(2), pa.array(["a", "b"])])
    with pytest.raises(AssertionError):
        shape.rows([np.arange(2, dtype=np.int32), pa.array(["a", "b"])])


def test_what_rows_take_is_known() -> None:
    assert numbers(8).nbytes == 8 * (8 + 1 + 4 + 8)
    assert StateRows.of(numbers(8).batch()).nbytes == numbers(8).batch().nbytes
