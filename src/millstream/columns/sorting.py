"""Sorting codes, stably and fast."""

from __future__ import annotations

import numpy as np


def stable_sort(code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The stable order of int64 codes and the codes in that order.

    Code and row number are packed into one word where they fit: sorting plain words is several
    times faster than a stable argsort.
    """
    packed = _packed_sort(code)
    if packed is not None:
        return packed
    order = np.argsort(code, kind="stable")
    return order, code[order]


def neighbour_sort(code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `stable_sort`, but rows of the same code come in any order: three times faster where the
    codes are hashes."""
    packed = _packed_sort(code)
    if packed is not None:
        return packed
    order = np.argsort(code)
    return order, code[order]


def _packed_sort(code: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    length = len(code)
    if length == 0:
        return np.empty(0, np.int64), code
    if length == 1:
        return np.zeros(1, np.int64), code
    low, high = int(code.min()), int(code.max())
    shift = max(1, (length - 1).bit_length())
    if (high - low).bit_length() + shift > 62:
        return None
    packed = ((code - low) << shift) | np.arange(length)
    packed.sort()
    return packed & ((1 << shift) - 1), (packed >> shift) + low
