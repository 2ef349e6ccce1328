"""Random numbers that are a function of (seed, stream, index): any record, at any time, in bulk."""

from __future__ import annotations

import numpy as np

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


def random_bits(seed: int, stream: int, index: np.ndarray) -> np.ndarray:
    """64 random bits for each index (uint64 in, uint64 out); `stream` tells uses apart.

    The generator is SplitMix64 (Steele, Lea, Flood 2014), entered at its index-th step.
    """
    start = _mix_one((_mix_one(seed & _MASK) + stream * _GOLDEN) & _MASK)
    bits = index.astype(np.uint64) * np.uint64(_GOLDEN)
    bits += np.uint64(start)
    bits ^= bits >> np.uint64(30)
    bits *= np.uint64(_FIRST)
    bits ^= bits >> np.uint64(27)
    bits *= np.uint64(_SECOND)
    bits ^= bits >> np.uint64(31)
    return bits


def field(bits: np.ndarray, shift: int, width: int) -> np.ndarray:
    """`width` of the bits from `shift` on, as an index (int64)."""
    return ((bits >> np.uint64(shift)) & np.uint64((1 << width) - 1)).astype(np.int64)


def below(bits: np.ndarray, limit: int) -> np.ndarray:
    """A number in [0, limit) from the upper half of the bits (int64); limit is at most 2^31."""
    return (((bits >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32)).astype(np.int64)


def weighted(weights: list[int], width: int) -> np.ndarray:
    """A table of 2^width entries in which choice i stands about weights[i]/sum(weights) often."""
    size = 1 << width
    edges = np.cumsum(np.array(weights, np.int64)) * size // sum(weights)
    return np.searchsorted(edges, np.arange(size), side="right").astype(np.int64)


def _mix_one(value: int) -> int:
    value = ((value ^ (value >> 30)) * _FIRST) & _MASK
    value = ((value ^ (value >> 27)) * _SECOND) & _MASK
    return value ^ (value >> 31)
