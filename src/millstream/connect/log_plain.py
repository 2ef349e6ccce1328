"""Plain lines of the Combined Log Format, taken apart by the places of their quotes.

A short cut for nearly all lines of nearly all logs, about three times as fast as the pattern of
`log_format`, which is the definition: what is not plain in every respect is left to it.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from millstream.connect.log_lines import slices

FIELDS = ("ip", "user", "time", "request", "status", "bytes", "referrer", "agent")
"""The fields of a line, in its order; `time` is without its brackets."""

_QUOTE, _SPACE, _BACKSLASH, _DASH = (ord(c) for c in '" \\-')
_TIME_WIDTH = 26
_TIME_FORM = b"00/aaa/0000:00:00:00 +0000"
_LONGEST_NUMBER = 18


def plain_lines(lines: pa.Array) -> tuple[np.ndarray, dict[str, pa.Array]]:
    """The indices of the plain lines (a binary array) and their fields.

    Plain is: no byte that JSON or a server escapes, six quotes, one blank between the parts and
    none inside host, ident and user, nothing behind the agent.
    """
    offsets = np.frombuffer(lines.buffers()[1], np.int32)
    offsets = offsets[lines.offset : lines.offset + len(lines) + 1]
    data = np.frombuffer(lines.buffers()[2] or b"", np.uint8)
    start, end = offsets[:-1].astype(np.int64), offsets[1:].astype(np.int64)
    quotes = np.flatnonzero(data == _QUOTE)
    first = np.searchsorted(quotes, offsets)
    maybe = np.diff(first) == 6
    odd = np.flatnonzero((data < 0x20) | (data == _BACKSLASH) | (data >= 0x80))
    maybe &= np.diff(np.searchsorted(odd, offsets)) == 0
    row = np.flatnonzero(maybe)
    quote = quotes[first[row][:, None] + np.arange(6)].astype(np.int64).T
    kept, bounds = _bounds(data, start[row], end[row], quote)
    fields = {
        name: slices(lines.buffers()[2], *bounds[name]) if len(kept) else pa.array([], pa.binary())
        for name in FIELDS
    }
    return row[kept], fields


def _bounds(
    data: np.ndarray, start: np.ndarray, end: np.ndarray, quote: np.ndarray
) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Which of the lines are plain (their indices), and where each field of those lies.

    `quote` holds the places of the six quotes, one row a quote.
    """
    time_end = quote[0] - 2  # the bracket
    time_start = time_end - _TIME_WIDTH
    good = (time_start - start >= 7) & (quote[2] - quote[1] >= 8)  # room for what comes before
    good &= (quote[4] == quote[3] + 2) & (quote[5] == end - 1)
    kept = np.flatnonzero(good)
    start, time_start, time_end = start[kept], time_start[kept], time_end[kept]
    quote = quote[:, kept]
    good = _has(data, time_start - 2, b" [") & _has(data, time_end, b"] ")
    good &= _has_time(data, time_start)
    good &= _has(data, quote[3] + 1, b" ")

    spaces = np.flatnonzero(data == _SPACE)
    before = np.searchsorted(spaces, start)
    head_end = time_start - 2
    good &= np.searchsorted(spaces, head_end) - before == 2
    before = np.where(good, before, 0)
    if len(spaces) < 2:
        good[:] = False
        before[:] = 0
        spaces = np.zeros(2, np.int64)
    ip_end, ident_end = spaces[before], spaces[before + 1]
    good &= (ip_end > start) & (ident_end > ip_end + 1) & (head_end > ident_end + 1)

    status, size, size_end = quote[1] + 2, quote[1] + 6, quote[2] - 1
    good &= _has(data, quote[1] + 1, b" ") & _has(data, quote[1] + 5, b" ")
    good &= _has(data, size_end, b" ")
    for place in (status, status + 1, status + 2):
        good &= _is_digit(data[place])
    good &= _is_number(data, size, size_end)

    bounds = {
        "ip": (start, ip_end),
        "user": (ident_end + 1, head_end),
        "time": (time_start, time_end),
        "request": (quote[0] + 1, quote[1]),
        "status": (status, status + 3),
        "bytes": (size, size_end),
        "referrer": (quote[2] + 1, quote[3]),
        "agent": (quote[4] + 1, quote[5]),
    }
    return kept[good], {name: (a[good], b[good]) for name, (a, b) in bounds.items()}


def _has(data: np.ndarray, place: np.ndarray, text: bytes) -> np.ndarray:
    found = np.ones(len(place), bool)
    for shift, byte in enumerate(text):
        found &= data[place + shift] == byte
    return found


def _is_digit(byte: np.ndarray) -> np.ndarray:
    return (byte >= ord("0")) & (byte <= ord("9"))


def _has_time(data: np.ndarray, place: np.ndarray) -> np.ndarray:
    found = np.ones(len(place), bool)
    for shift, form in enumerate(_TIME_FORM):
        byte = data[place + shift]
        if form == ord("0"):
            found &= _is_digit(byte)
        elif form == ord("a"):
            lower = byte | 0x20
            found &= (lower >= ord("a")) & (lower <= ord("z"))
        elif form == ord("+"):
            found &= (byte == ord("+")) | (byte == _DASH)
        else:
            found &= byte == form
    return found


def _is_number(data: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Whether there are 1 to 18 digits, or one dash."""
    length = end - start
    digits = (length >= 1) & (length <= _LONGEST_NUMBER)
    for shift in range(int(np.max(length[digits], initial=0))):
        inside = shift < length
        digits &= ~inside | _is_digit(data[np.where(inside, start + shift, start)])
    dash = (length == 1) & (data[start] == _DASH)
    return np.asarray(digits | dash)
