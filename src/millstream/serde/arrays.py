"""Small tools over Arrow arrays that several formats need."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream.columns.arrow import any_true, masked, true_mask, valid_mask

NO_BYTES = pa.scalar(None, pa.binary())
ZERO = pa.scalar(0.0, pa.float64())


def text_scalar(text: str) -> pa.Scalar:
    """A string scalar; with its type given it is made at a twentieth of the cost."""
    return pa.scalar(text, pa.string())


def offsets_and_data(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The offsets (length + 1, int32) of a binary or string array into its bytes, and the bytes."""
    _, offsets, data = array.buffers()
    if offsets is None or len(array) == 0:
        return np.zeros(len(array) + 1, np.int32), np.zeros(0, np.uint8)
    starts = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    return starts, np.frombuffer(data if data is not None else b"", np.uint8)


def utf8(records: pa.Array) -> pa.Array:
    """The bytes as strings, with U+FFFD for what is not UTF-8."""
    try:
        return records.cast(pa.string())
    except pa.ArrowInvalid:
        texts = [None if v is None else v.decode("utf-8", "replace") for v in records.to_pylist()]
        return pa.array(texts, pa.string())


def used_bytes(array: pa.Array) -> np.ndarray:
    """The bytes that the values of a binary or string array lie in (those of nulls may be, too)."""
    offsets, data = offsets_and_data(array)
    return data[offsets[0] : offsets[-1]]


def holds_byte(array: pa.Array, *bytes_: int) -> bool:
    """Whether any of these bytes occurs in a binary or string array."""
    used = used_bytes(array)
    return any(bool((used == byte).any()) for byte in bytes_)


def equals(array: pa.Array, text: str) -> np.ndarray:
    """Where a string array holds the text."""
    return true_mask(pc.equal(array, text_scalar(text)))


def is_empty(array: pa.Array) -> np.ndarray:
    """Where a string or binary array holds a value of no bytes."""
    offsets, _ = offsets_and_data(array)
    empty: np.ndarray = (np.diff(offsets) == 0) & valid_mask(array)
    return empty


def nullify(array: pa.Array, mask: np.ndarray) -> pa.Array:
    """The array with nulls where the mask is true."""
    return masked([array], mask)[0]


def blank_out(
    arrays: list[pa.Array], null: np.ndarray | None
) -> tuple[list[pa.Array], np.ndarray | None]:
    """The columns with nulls where the whole part is null, and the mask, None where it is empty."""
    if null is None or not any_true(null):
        return arrays, None
    return masked(arrays, null), null


def null_where(records: pa.Array, null: np.ndarray | None) -> pa.Array:
    """Binary records with null where the mask is true."""
    if null is None or not null.any():
        return records
    return pc.if_else(pa.array(null), NO_BYTES, records)


def with_missing(array: pa.Array, null: np.ndarray | None) -> np.ndarray | None:
    """The mask of null parts where a null in the only column makes the part null, too."""
    if array.null_count == 0:
        return null
    missing = ~valid_mask(array)
    return missing if null is None else null | missing
