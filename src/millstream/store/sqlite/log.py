"""The write-ahead log's own checksums: telling a damaged log from one that a crash cut short.

SQLite reads its log up to the first frame whose checksum is wrong, and takes the rest for what a
crash left of a commit that was never finished. Where a bit was altered in the middle, that silently
drops commits that were durable. Each commit is synced before the next one is begun, so frames of a
later commit behind a bad frame prove that there was one.

The format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

_HEADER = struct.Struct(">8I")
_FRAME_BYTES = 24
_MAGIC = 0x377F0682
_FRAMES_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class LogDamage:
    """Where a log is damaged: the frame (from 0; -1: its header), and how many commits at least
    were durable and cannot be read any more."""

    frame: int
    commits: int


def find_damage(path: str) -> LogDamage | None:
    """Where the log at `path` is damaged, None where it is whole, empty or not there.

    A process may be writing it: what is found there counts if it is found twice.
    """
    found = _scan(path)
    if found is None or _scan(path) != found:
        return None
    return found


def _scan(path: str) -> LogDamage | None:
    try:
        file = open(path, "rb")  # noqa: SIM115
    except FileNotFoundError:
        return None
    with file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size or not any(head):
            return None
        magic, _, page_bytes, _, *salts, first, second = _HEADER.unpack(head)
        order = ">" if magic & 1 else "<"
        words = np.frombuffer(head, f"{order}u4", 6).astype(np.uint32)
        state = _weights(3, True) @ words.astype(np.uint64) & 0xFFFFFFFF
        is_whole = (
            magic & ~1 == _MAGIC
            and page_bytes in (1 << n for n in range(9, 17))
            and state.tolist() == [first, second]
        )
        if not is_whole:
            frames = os.fstat(file.fileno()).st_size - _HEADER.size
            return LogDamage(-1, 1) if frames > _FRAME_BYTES else None
        return _scan_frames(file, page_bytes, order, (salts[0], salts[1]), (first, second))


def _scan_frames(
    file: BinaryIO, page_bytes: int, order: str, salts: tuple[int, int], state: tuple[int, int]
) -> LogDamage | None:
    size = _FRAME_BYTES + page_bytes
    pairs = 1 + page_bytes // 8
    weights, carry = _weights(pairs, True), _weights(pairs, False)
    number = 0
    damaged_at: int | None = None
    commits, is_over = 0, False
    before = np.array([state], np.uint64)
    while block := file.read(size * _FRAMES_AT_ONCE):
        count = len(block) // size
        if count == 0:
            break
        frames = np.frombuffer(block, np.uint8, count * size).reshape(count, size)
        heads = np.ascontiguousarray(frames[:, :_FRAME_BYTES]).view(">u4").astype(np.uint64)
        words = np.concatenate([frames[:, :8], frames[:, _FRAME_BYTES:]], axis=1)
        words = np.ascontiguousarray(words).view(f"{order}u4").astype(np.uint32)
        stored = heads[:, 4:6]
        start = np.concatenate([before, stored[:-1]])
        found = _sums(words, weights) + (start @ carry.T & 0xFFFFFFFF)
        ours = (heads[:, 2] == salts[0]) & (heads[:, 3] == salts[1])
        valid = ours & (heads[:, 0] > 0) & ((found & 0xFFFFFFFF) == stored).all(axis=1)
        for place in range(count) if damaged_at is not None or not valid.all() else ():
            if damaged_at is None:
                if valid[place]:
                    continue
                damaged_at = number + place
            elif valid[place] and is_over:
                # It was begun after the one before was durable.
                commits, is_over = commits + 1, False
            if ours[place] and heads[place, 1]:
                is_over = True
        before = stored[-1:]
        number += count
    return LogDamage(damaged_at, commits) if damaged_at is not None and commits else None


def _sums(words: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The checksum of each row of words, from nothing."""
    short = weights.astype(np.uint32)
    return np.stack([(words * w).sum(axis=1, dtype=np.uint32) for w in short], 1).astype(np.uint64)


def _weights(pairs: int, with_words: bool) -> np.ndarray:
    """What each word adds to the checksum (2 rows, a column a word), or each half of the checksum
    before it (2 by 2).

    The sums are a += x + b, b += y + a over pairs of words x, y, modulo 2**32: a linear map, whose
    powers are the weights.
    """
    a, b, c, d = 1, 0, 0, 1
    columns: list[tuple[int, int]] = []
    for _ in range(pairs):
        columns += [(b, d), (a + b, c + d)]
        a, b, c, d = a + b, a + 2 * b, c + d, c + 2 * d
        a, b, c, d = (v & 0xFFFFFFFF for v in (a, b, c, d))
    if not with_words:
        return np.array([[a, b], [c, d]], np.uint64)
    return (np.array(columns[::-1], np.uint64) & 0xFFFFFFFF).T
