"""Which partition a key goes to: Kafka's default partitioner."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from millstream.serde.arrays import offsets_and_data

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_FEW = 16


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit murmur2 of the bytes, as an unsigned integer."""
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        k ^= k >> 24
        h = h * _M & _MASK ^ (k * _M & _MASK)
    if whole < length:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h ^= h >> 13
    h = h * _M & _MASK
    return h ^ h >> 15


def partition_of(keys: pa.Array, partitions: int) -> np.ndarray:
    """The partition (int32) of each serialised key of a binary array; null keys go to 0.

    Each distinct key is hashed once.
    """
    if partitions == 1 or len(keys) == 0:
        return np.zeros(len(keys), np.int32)
    if len(keys) < _FEW:
        hashes = [0 if key is None else murmur2(key) for key in keys.to_pylist()]
        return np.array([(h & 0x7FFFFFFF) % partitions for h in hashes], np.int32)
    encoded = keys.dictionary_encode()
    chosen = (_murmur2_all(encoded.dictionary) & 0x7FFFFFFF) % np.uint32(partitions)
    codes = encoded.indices.fill_null(pa.scalar(len(chosen), pa.int32()))
    of_code: np.ndarray = np.append(chosen, 0).astype(np.int32)
    of_key: np.ndarray = of_code[codes.to_numpy(zero_copy_only=False)]
    return of_key


def _murmur2_all(keys: pa.Array) -> np.ndarray:
    """The uint32 hash of each key (none is null), all keys of one length at a time."""
    offsets, data = offsets_and_data(keys)
    lengths = np.diff(offsets)
    hashes = np.zeros(len(keys), np.uint32)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        hashes[rows] = _murmur2_of_length(data, offsets[rows], length)
    return hashes


def _murmur2_of_length(data: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    # uint32 arithmetic of NumPy arrays wraps around as Java's does.
    m = np.uint32(_M)
    h = np.full(len(starts), (_SEED ^ length) & _MASK, np.uint32)
    whole = length & ~3
    for at in range(0, whole, 4):
        k = _word(data, starts + at, 4) * m
        k ^= k >> np.uint32(24)
        h = h * m ^ k * m
    if whole < length:
        h = (h ^ _word(data, starts + whole, length - whole)) * m
    h ^= h >> np.uint32(13)
    h *= m
    return h ^ h >> np.uint32(15)


def _word(data: np.ndarray, starts: np.ndarray, count: int) -> np.ndarray:
    word = np.zeros(len(starts), np.uint32)
    for index in range(count):
        word |= data[starts + index].astype(np.uint32) << np.uint32(8 * index)
    return word
