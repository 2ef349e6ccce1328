"""How SQL types lie in Arrow arrays, and how an array's values look in Python.

| SQL type | Arrow type | Python value |
|---|---|---|
| BOOLEAN | bool | bool |
| INTEGER, BIGINT | int32, int64 | int |
| DOUBLE | float64 | float |
| DECIMAL(p, s) | decimal128(p, s), decimal256 beyond 38 digits | decimal.Decimal of scale s |
| STRING, BYTES | string, binary | str, bytes |
| DATE | int32, days since 1970-01-01 | int |
| TIME | int32, milliseconds of the day | int |
| TIMESTAMP | int64, milliseconds since 1970 | int |
| ARRAY | list | list |
| MAP | map (null keys are not possible) | dict |
| STRUCT | struct | dict by field name |

DATE, TIME and TIMESTAMP are plain integers inside, because Java's range is wider than Python's;
`presentable` turns them into Arrow's own types for people.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t

_PRIMITIVE_ARROW: dict[t.SqlType, pa.DataType] = {
    t.BOOLEAN: pa.bool_(),
    t.INTEGER: pa.int32(),
    t.BIGINT: pa.int64(),
    t.DOUBLE: pa.float64(),
    t.STRING: pa.string(),
    t.BYTES: pa.binary(),
    t.DATE: pa.int32(),
    t.TIME: pa.int32(),
    t.TIMESTAMP: pa.int64(),
}

_PRESENTED: dict[t.SqlType, pa.DataType] = {
    t.DATE: pa.date32(),
    t.TIME: pa.time32("ms"),
    t.TIMESTAMP: pa.timestamp("ms"),
}


def arrow_type(sql_type: t.SqlType) -> pa.DataType:
    """The Arrow type that holds values of `sql_type` (see the module's table)."""
    match sql_type:
        case t.Primitive():
            return _PRIMITIVE_ARROW[sql_type]
        case t.Decimal(precision, scale):
            wide = pa.decimal256 if precision > 38 else pa.decimal128
            return wide(precision, scale)
        case t.Array(item):
            return pa.list_(arrow_type(item))
        case t.Map(key, value):
            return pa.map_(arrow_type(key), arrow_type(value))
        case t.Struct(fields):
            return pa.struct([pa.field(f.name, arrow_type(f.type)) for f in fields])
    raise TypeError(f"no Arrow type for {sql_type}")


def from_python(values: Iterable[Any], sql_type: t.SqlType) -> pa.Array:
    """An array of Python values, as the module's table gives them.

    ArrowCapacityError where their texts are longer than 2 GB together.
    """
    if _has_map(sql_type):
        values = [_map_to_pairs(v, sql_type) for v in values]
    found = pa.array(list(values), type=arrow_type(sql_type))
    if isinstance(found, pa.ChunkedArray):
        raise pa.ArrowCapacityError("the values have more than 2 GB of text")
    return found


def is_too_much(error: BaseException) -> bool:
    """Whether a batch did not fit into memory, or its texts not into one array (of 2 GB)."""
    if isinstance(error, pa.ArrowInvalid):
        return "overflow" in str(error)
    return isinstance(error, MemoryError | pa.ArrowCapacityError)


def to_python(array: pa.Array, sql_type: t.SqlType) -> list[Any]:
    """The values of an array as the module's table gives them."""
    values: list[Any] = array.to_pylist()
    if _has_map(sql_type):
        return [_pairs_to_map(v, sql_type) for v in values]
    return values


def nulls(sql_type: t.SqlType, length: int) -> pa.Array:
    """An array of nulls."""
    return pa.nulls(length, arrow_type(sql_type))


_NO_VALUES: dict[t.SqlType, pa.Array] = {}


def no_values(columns: Iterable[t.Column]) -> list[pa.Array]:
    """For each column an array without values."""
    found = []
    for column in columns:
        array = _NO_VALUES.get(column.type)
        if array is None:
            array = _NO_VALUES[column.type] = nulls(column.type, 0)
        found.append(array)
    return found


def constant(value: Any, sql_type: t.SqlType, length: int) -> pa.Array:
    """An array that repeats one Python value."""
    if value is None:
        return nulls(sql_type, length)
    if isinstance(sql_type, t.Primitive):
        return pa.repeat(pa.scalar(value, arrow_type(sql_type)), length)
    return from_python([value], sql_type).take(pa.array(np.zeros(length, np.int64)))


def any_true(mask: np.ndarray) -> bool:
    """Whether a boolean mask is true anywhere; NumPy's reductions begin at ten times the price."""
    return 1 in mask.tobytes()


def valid_mask(array: pa.Array) -> np.ndarray:
    """A boolean NumPy array: true where the array holds a value."""
    if array.null_count == 0:
        return np.ones(len(array), bool)
    return np.asarray(array.is_valid())


def true_mask(array: pa.Array) -> np.ndarray:
    """A boolean NumPy array: true where a boolean array is true (null counts as false)."""
    if array.null_count:
        array = pc.fill_null(array, False)
    return np.asarray(array.to_numpy(zero_copy_only=False), bool)


_OF_NUMPY: dict[np.dtype, pa.DataType] = {
    np.dtype(np.int32): pa.int32(),
    np.dtype(np.int64): pa.int64(),
    np.dtype(np.float64): pa.float64(),
}


def of_numbers(values: np.ndarray) -> pa.Array:
    """NumPy's numbers as an Arrow array of the same memory."""
    data_type = _OF_NUMPY.get(values.dtype)
    if data_type is None or not values.flags.c_contiguous:
        return pa.array(values)
    return pa.Array.from_buffers(data_type, len(values), [None, pa.py_buffer(values)], 0)


_UNREAD = pa.nulls(256, pa.int64())


def unread(count: int) -> pa.Array:
    """So many nulls in the place of whole numbers that nobody reads."""
    return _UNREAD.slice(0, count) if count <= len(_UNREAD) else pa.nulls(count, pa.int64())


def of_texts(texts: Sequence[str]) -> pa.Array:
    """A few short texts as a string array: not for texts of 2 GB together."""
    return _of_bytes([text.encode() for text in texts], _STRING)


_STRING = pa.string()
_TAKE = pc.get_function("array_take")


def take(array: pa.Array, rows: pa.Array) -> pa.Array:
    """`array.take(rows)`, without half of its fixed cost."""
    return _TAKE.call([array, rows])


VERY_FEW, _FEW = 24, 256
"""So many values are joined one by one, and so many numbers left to NumPy."""
_BYTES = frozenset({pa.string().id, pa.binary().id})
_NESTED = (pa.list_(pa.int8()), pa.struct([]), pa.map_(pa.int8(), pa.int8()))
_NO_BUFFERS = frozenset(x.id for x in (pa.null(), *_NESTED))
"""Types whose values do not lie in buffers of their own."""
_NUMBERS: dict[int, np.dtype] = {x.id: dtype for dtype, x in _OF_NUMPY.items()}


def pick(array: pa.Array, rows: np.ndarray) -> pa.Array:
    """The values at the given rows, without a kernel where there are few.

    Most of a kernel's fixed cost is code that a few rows find outside the processor's caches.
    """
    count = len(rows)
    if 1 < count <= _FEW and array.type.id in _NUMBERS and array.null_count == 0:
        return of_numbers(_numbers(array)[rows])
    if count <= VERY_FEW:
        return pick_few(array, rows.tolist())
    return take(array, pa.array(rows))


def _numbers(array: pa.Array) -> np.ndarray:
    """As `to_numpy`, of numbers that are all there, without letting go of Python's lock."""
    dtype, count = _NUMBERS[array.type.id], len(array)
    if count == 0:
        return np.empty(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, count, array.offset * dtype.itemsize)


def pick_few(array: pa.Array, rows: list[int]) -> pa.Array:
    """The values at a few rows."""
    if len(rows) > 1 and array.type.id in _BYTES and array.null_count == 0:
        return _bytes_at(array, rows)
    return joined([array.slice(row, 1) for row in rows], array.type)


def _bytes_at(array: pa.Array, rows: list[int]) -> pa.Array:
    """As `pick_few`, of texts or bytes, none of them null."""
    _, offsets, data = array.buffers()
    ends, start = memoryview(offsets).cast("i"), array.offset
    every = memoryview(b"" if data is None else data)
    pieces = [every[ends[start + row] : ends[start + row + 1]] for row in rows]
    return _of_bytes(pieces, array.type)


def _of_bytes(pieces: Sequence[bytes | memoryview], data_type: pa.DataType) -> pa.Array:
    ends = np.array([0, *accumulate(map(len, pieces))], np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(pieces))]
    return pa.Array.from_buffers(data_type, len(pieces), buffers, 0)


def joined(pieces: list[pa.Array], data_type: pa.DataType) -> pa.Array:
    """One array of a few pieces of a type."""
    if len(pieces) == 1:
        return pieces[0]
    return pa.concat_arrays(pieces) if pieces else pa.nulls(0, data_type)


def pick_all(arrays: Sequence[pa.Array], rows: np.ndarray) -> list[pa.Array]:
    """The values of each array at the given rows."""
    if len(rows) > _FEW:
        index = pa.array(rows)
        return [take(a, index) for a in arrays]
    return [pick(a, rows) for a in arrays]


def masked(arrays: list[pa.Array], null: np.ndarray) -> list[pa.Array]:
    """The arrays with nulls where the mask is true."""
    if not any_true(null):
        return arrays
    few = len(null) <= 2 * VERY_FEW
    bits = _bits_of_few(null) if few else np.packbits(~null, bitorder="little")
    bitmap = pa.py_buffer(bits)
    return [_masked(a, null, bits, bitmap) for a in arrays]


def _bits_of_few(null: np.ndarray) -> np.ndarray:
    """As `packbits` of the opposite, without a kernel."""
    bits = 0
    for place, is_null in enumerate(null.tolist()):
        if not is_null:
            bits |= 1 << place
    return np.frombuffer(bits.to_bytes(-(-len(null) // 8), "little"), np.uint8)


def _masked(array: pa.Array, null: np.ndarray, bits: np.ndarray, bitmap: pa.Buffer) -> pa.Array:
    """`bits`, and `bitmap` of the same memory, tell the rows that stay."""
    if array.offset or array.type.id in _NO_BUFFERS:
        return take(array, pa.array(np.arange(len(array)), mask=null))
    validity, *values = array.buffers()
    if array.null_count:
        bitmap = pa.py_buffer(bits & np.frombuffer(validity, np.uint8, len(bits)))
    return pa.Array.from_buffers(array.type, len(array), [bitmap, *values])


def concat(arrays: Sequence[pa.Array]) -> pa.Array:
    """One array of several of the same type."""
    return arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)


def presentable(array: pa.Array, sql_type: t.SqlType) -> pa.Array:
    """The array with DATE, TIME and TIMESTAMP as Arrow's own types, at the top level."""
    target = _PRESENTED.get(sql_type)
    return array if target is None else array.view(target)


def _has_map(sql_type: t.SqlType) -> bool:
    match sql_type:
        case t.Map():
            return True
        case t.Array(item):
            return _has_map(item)
        case t.Struct(fields):
            return any(_has_map(f.type) for f in fields)
    return False


def _map_to_pairs(value: Any, sql_type: t.SqlType) -> Any:
    if value is None:
        return None
    match sql_type:
        case t.Map(_, item):
            return [(k, _map_to_pairs(v, item)) for k, v in value.items()]
        case t.Array(item):
            return [_map_to_pairs(v, item) for v in value]
        case t.Struct(fields):
            return {f.name: _map_to_pairs(value.get(f.name), f.type) for f in fields}
    return value


def _pairs_to_map(value: Any, sql_type: t.SqlType) -> Any:
    if value is None:
        return None
    match sql_type:
        case t.Map(_, item):
            return {k: _pairs_to_map(v, item) for k, v in value}
        case t.Array(item):
            return [_pairs_to_map(v, item) for v in value]
        case t.Struct(fields):
            return {f.name: _pairs_to_map(value[f.name], f.type) for f in fields}
    return value
