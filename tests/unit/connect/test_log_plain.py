"""The short cut for plain lines gives what the pattern gives, or leaves the line to it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.connect.log_format import match_lines, parse_lines
from millstream.connect.log_plain import plain_lines

LINE = (
    b'192.0.2.7 - ann [17/May/2015:10:05:03 +0000] "GET /a.html HTTP/1.1" 200 17 '
    b'"https://x.example/" "Otter/2 (a; b)"'
)


def by_row(found: tuple[object, dict[str, pa.Array]]) -> dict[int, tuple[bytes, ...]]:
    """Fields of each line that was taken, by its index."""
    rows, fields = found
    columns = [array.to_pylist() for array in fields.values()]
    return dict(zip(list(rows), zip(*columns, strict=True), strict=True))  # type: ignore[call-overload]


@st.composite
def nearly_lines(draw: st.DrawFn) -> bytes:
    """The line after a few small changes."""
    line = bytearray(LINE)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(line) - 1))
        some = draw(
            st.sampled_from([b"", b" ", b'"', b"\\", b"-", b"7", b"[", b"]", b"\xe9", b"\t"])
        )
        line[place : place + draw(st.integers(0, 2))] = some
        if not line:
            break
    return bytes(line)


@given(st.lists(nearly_lines(), min_size=1, max_size=30))
def test_it_never_differs_from_the_pattern(lines: list[bytes]) -> None:
    array = pa.array(lines, pa.binary())
    plain, matched = by_row(plain_lines(array)), by_row(match_lines(array))
    assert plain.items() <= matched.items()
    assert {row for row, line in enumerate(lines) if line == LINE} <= plain.keys()
    padded = pa.array([b"before", *lines, b"after"], pa.binary()).slice(1, len(lines))
    assert by_row(plain_lines(padded)) == plain


@pytest.mark.parametrize(
    "line",
    [
        LINE.replace(b" 17 ", b" - "),
        LINE.replace(b" 17 ", b" 123456789012345678 "),
        LINE.replace(b"GET /a.html HTTP/1.1", b""),
        LINE.replace(b"Otter/2 (a; b)", b""),
        LINE.replace(b"192.0.2.7", b"h"),
        LINE.replace(b"ann", b"a"),
    ],
)
def test_plain_lines_are_taken(line: bytes) -> None:
    array = pa.array([b"", line, b'"', line], pa.binary())
    taken = by_row(plain_lines(array))
    assert list(taken) == [1, 3]
    assert taken == by_row(match_lines(array))


@pytest.mark.parametrize("lines", [[], [b""], [b'""""""'], [b" "], [b'      """"""'], [b"\n"]])
def test_next_to_nothing(lines: list[bytes]) -> None:
    array = pa.array(lines, pa.binary())
    assert by_row(plain_lines(array)) == {}
    assert len(parse_lines(array)) == 0


def test_a_real_log_is_plain_but_for_four_lines(shared: Path) -> None:
    lines = (shared / "data" / "apache_logs.log").read_bytes().splitlines()
    array = pa.array(lines, pa.binary())
    plain, matched = by_row(plain_lines(array)), by_row(match_lines(array))
    assert len(plain) == 9_996 and len(matched) == 9_999
    assert plain.items() <= matched.items()
