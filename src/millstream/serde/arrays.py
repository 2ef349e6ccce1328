"""Small tools over Arrow arrays that several formats need."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream.columns.arrow import valid_mask


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


def nullify(array: pa.Array, mask: np.ndarray) -> pa.Array:
    """The array with nulls where the mask is true."""
    if not mask.any():
        return array
    rows = pa.array(np.arange(len(array)), mask=mask)
    return array.take(rows)


def blank_out(
    arrays: list[pa.Array], null: np.ndarray | None
) -> tuple[list[pa.Array], np.ndarray | None]:
    """The columns with nulls where the whole part is null, and the mask, None where it is empty."""
    if null is None or not null.any():
        return arrays, None
    return [nullify(a, null) if (valid_mask(a) & null).any() else a for a in arrays], null


def null_where(records: pa.Array, null: np.ndarray | None) -> pa.Array:
    """Binary records with null where the mask is true."""
    if null is None or not null.any():
        return records
    return pc.if_else(pa.array(null), pa.scalar(None, pa.binary()), records)


def with_missing(array: pa.Array, null: np.ndarray | None) -> np.ndarray | None:
    """The mask of null parts where a null in the only column makes the part null, too."""
    if array.null_count == 0:
        return null
    missing = ~valid_mask(array)
    return missing if null is None else null | missing
