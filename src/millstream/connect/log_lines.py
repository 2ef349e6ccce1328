"""Lines of a growing or finished file, many at a time, each with its place."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import zlib
from dataclasses import dataclass
from typing import IO, cast

import numpy as np
import pyarrow as pa

from millstream.connect.base import ConnectorError

_READ_ERRORS = (OSError, EOFError, zlib.error)
_READ_BYTES = 8 << 20
_LONGEST_LINE = 16 << 20
_HEAD_BYTES = 1_024
_NEWLINE = 10


@dataclass(slots=True)
class Lines:
    """Lines without their ends (binary array) and the byte place of each in the file."""

    text: pa.Array
    place: np.ndarray


class LineReader:
    """Reads a file from a byte offset on, line by line in bulk.

    A `.gz` file is read through; its offsets count the bytes inside. With `follow`, a line that
    has no end yet is left for later; without, the end of the file ends it.
    """

    def __init__(self, path: str, *, follow: bool) -> None:
        self.path = os.path.expanduser(path)
        self.offset = 0
        """Where the next line begins."""
        self._follow = follow
        self._packed = self.path.endswith(".gz")
        if self._packed and follow:
            raise ConnectorError("A .gz file does not grow: 'follow' cannot be true for it.")
        self._raw = _open(self.path)
        self._file = self._raw if not self._packed else _unpacked(self._raw)
        self._data = b""
        self._ends = np.empty(0, np.int64)
        self._next = 0  # of _ends
        self._at = 0  # of _data
        self._exhausted = False
        self._head = b""

    def read(self, max_lines: int) -> Lines | None:
        """Up to `max_lines` next lines, or None where there are none now."""
        if self._next == len(self._ends) and not self._fill():
            return None
        ends = self._ends[self._next : self._next + max_lines]
        starts = np.concatenate([[self._at], ends[:-1] + 1])
        lines = Lines(slices(self._data, starts, ends), self.offset + starts - self._at)
        self._next += len(ends)
        after = min(int(ends[-1]) + 1, len(self._data))
        self._remember_head(after)
        self.offset += after - self._at
        self._at = after
        return lines

    def seek(self, offset: int) -> None:
        """Go on at a place from which lines were read before."""
        try:
            self._file.seek(offset)
        except _READ_ERRORS as error:
            raise _unreadable(self.path, error) from None
        self.offset = offset
        self._data, self._at, self._next = b"", 0, 0
        self._ends = np.empty(0, np.int64)
        self._exhausted = False

    @property
    def is_packed(self) -> bool:
        """Whether it is a `.gz` file."""
        return self._packed

    def holds(self, length: int) -> bool:
        """Whether the file is at least so long (not asked of a packed one)."""
        return self._packed or os.fstat(self._raw.fileno()).st_size >= length

    @property
    def at_end(self) -> bool:
        """Whether nothing more was there at the last look."""
        return self._exhausted and self._next == len(self._ends)

    @property
    def head(self) -> str:
        """A mark of the file's beginning, as far as it was read (see `has_head`)."""
        return f"{len(self._head)}:{hashlib.blake2b(self._head, digest_size=8).hexdigest()}"

    def has_head(self, mark: str) -> bool:
        """Whether the file begins with what had the mark. Reads at its beginning."""
        length, _, digest = mark.partition(":")
        self.seek(0)
        try:
            head = self._file.read(int(length))
        except _READ_ERRORS as error:
            raise _unreadable(self.path, error) from None
        self.seek(0)
        if hashlib.blake2b(head, digest_size=8).hexdigest() != digest:
            return False
        self._head = head
        return True

    def was_replaced(self) -> bool:
        """Whether another file stands at the path now, or this one became shorter."""
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False  # between two steps of a rotation
        here = os.fstat(self._raw.fileno())
        if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            return True
        return here.st_size < self.offset + len(self._data) - self._at

    def rest(self) -> Lines | None:
        """The line without an end that a replaced file was left with."""
        text, place = self._data[self._at :], self.offset
        self.offset += len(text)
        self._at = len(self._data)
        return Lines(pa.array([text], pa.binary()), np.array([place])) if text else None

    def progress(self) -> tuple[int, int]:
        """(bytes read, size of the file); packed bytes of a `.gz` file."""
        size = os.fstat(self._raw.fileno()).st_size
        if not self._packed:
            return self.offset, size
        return (size if self.at_end else min(self._raw.tell(), size)), size

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()
        self._raw.close()

    def _fill(self) -> bool:
        """Read on until there is a whole line; false where there is none now."""
        left = self._data[self._at :]
        while True:
            try:
                fresh = self._file.read(_READ_BYTES)
            except _READ_ERRORS as error:
                raise _unreadable(self.path, error) from None
            self._exhausted = not fresh
            data = left + fresh
            ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE)
            if not fresh and data and not self._follow:
                ends = np.append(ends, len(data))  # the last line
            if len(ends) or not fresh:
                break
            if len(data) > _LONGEST_LINE:
                raise ConnectorError(
                    f"The file {self.path} has no line end within 16 MB after byte {self.offset}.",
                    hint="Is it an access log?",
                )
            left = data
        self._data, self._ends, self._next, self._at = data, ends, 0, 0
        return len(ends) > 0

    def _remember_head(self, after: int) -> None:
        missing = _HEAD_BYTES - len(self._head)
        if missing > 0 and self.offset == len(self._head):
            self._head += self._data[self._at : min(after, self._at + missing)]


def _open(path: str) -> IO[bytes]:
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed by LineReader.close
    except (OSError, ValueError) as error:  # a NUL in the name is a ValueError
        raise _unreadable(path, error) from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ConnectorError(f"{path} is not a regular file.")
    return file


def _unpacked(raw: IO[bytes]) -> IO[bytes]:
    return cast(IO[bytes], gzip.GzipFile(fileobj=raw))


def _unreadable(path: str, error: Exception) -> ConnectorError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ConnectorError(
        f"The file {path} cannot be read: {reason}.",
        hint="Check the option 'file'; a relative path starts where millstream was started.",
    )


def slices(data: bytes | pa.Buffer, starts: np.ndarray, ends: np.ndarray) -> pa.Array:
    """Stretches of the data that follow one another without overlap, as a binary array."""
    count = len(starts)
    bounds = np.empty(2 * count + 1, np.int32)
    bounds[0:-1:2] = starts
    bounds[1::2] = ends
    bounds[-1] = ends[-1]
    buffer = data if isinstance(data, pa.Buffer) else pa.py_buffer(data)
    with_gaps = pa.Array.from_buffers(pa.binary(), 2 * count, [None, pa.py_buffer(bounds), buffer])
    return with_gaps.take(pa.array(np.arange(0, 2 * count, 2)))
