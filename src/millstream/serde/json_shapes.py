"""The shape of JSON records: the same names in the same order, with the same text between values.

Producers write records of few shapes. A shape is learned from one record and is then recognised in
many at once: what stands between the values is compared byte by byte, in words of the machine, and
the places of the values follow from the places of the quotes. No JSON is parsed.

A record that matches is proven to be what the shape says, given that it holds no backslash, no
control character and only valid UTF-8, and that its bare values (numbers, true, false, null) are
looked at by the caller: strings end at their quotes, and every other byte has been compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

_MEMBER = re.compile(
    rb' *"([^"\\\x00-\x1f]*)" *: *'
    rb'(?:"(?P<text>[^"\\\x00-\x1f]*)"|(?P<bare>-?[0-9][0-9.eE+-]*|true|false|null))'
    rb" *([,}])"
)
_MOST_MEMBERS = 500
_OPENING = re.compile(rb" *\{")
_WIDTHS = (8, 4, 2, 1)


@dataclass(frozen=True, slots=True)
class Run:
    """Constant bytes between two values: `quote` counts the quotes before the run in its record,
    `lead` the run's bytes before its first quote; `quote` is -1 where the run has no quote."""

    text: bytes
    quote: int
    lead: int


@dataclass(frozen=True, slots=True)
class Shape:
    """Records of one shape: `runs` stand around the values, one more than there are values.

    `names` gives the name of each value, `bare` tells which values have no quotes, `quotes` is the
    number of quotes in a record.
    """

    runs: tuple[Run, ...]
    names: tuple[str, ...]
    bare: tuple[bool, ...]
    quotes: int


@dataclass(slots=True)
class Matches:
    """Which rows have the shape, and where each value starts and ends in the bytes (rows that do
    not match hold anything)."""

    rows: np.ndarray
    starts: list[np.ndarray]
    ends: list[np.ndarray]


class Words:
    """The bytes of a block, readable as little-endian words of 1, 2, 4 and 8 bytes anywhere."""

    def __init__(self, data: np.ndarray) -> None:
        self._words = {
            width: np.ndarray(
                (max(0, len(data) - width + 1),), f"<u{width}", buffer=data.data, strides=(1,)
            )
            for width in _WIDTHS
        }

    def equal(self, starts: np.ndarray, text: bytes) -> np.ndarray:
        """Where the bytes from each start are the text; all of it must lie inside the block."""
        width = next(w for w in _WIDTHS if w <= len(text))
        words = self._words[width]
        last = len(text) - width
        same: np.ndarray | None = None
        for at in [*range(0, last, width), last]:
            word = int.from_bytes(text[at : at + width], "little")
            found = words[starts + at if at else starts] == word
            same = found if same is None else same & found
        assert same is not None
        return same


def learn(record: bytes) -> Shape | None:
    """The shape of a flat JSON object, or None where the record is anything else, or has so many
    members that looking at each of them in few records takes longer than reading these."""
    opening = _OPENING.match(record)
    if opening is None:
        return None
    names: list[str] = []
    bare: list[bool] = []
    runs: list[Run] = []
    run_start, at, quotes = 0, opening.end(), 0
    closed = False
    while not closed:
        member = _MEMBER.match(record, at)
        if member is None:
            return None
        try:
            names.append(member[1].decode("utf-8"))
        except UnicodeDecodeError:
            return None
        group = "bare" if member["bare"] is not None else "text"
        bare.append(group == "bare")
        text = record[run_start : member.start(group)]
        runs.append(Run(text, quotes, text.index(b'"')))
        quotes += text.count(b'"')
        run_start, at = member.end(group), member.end()
        closed = member[4] == b"}"
        if len(names) > _MOST_MEMBERS:
            return None
    if record[at:].strip(b" "):
        return None
    text = record[run_start:]
    lead = text.find(b'"')
    runs.append(Run(text, quotes if lead >= 0 else -1, max(0, lead)))
    return Shape(tuple(runs), tuple(names), tuple(bare), quotes + text.count(b'"'))


def match(
    shape: Shape,
    words: Words,
    places: np.ndarray,
    first: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
) -> Matches:
    """Compare rows with a shape.

    `places` are the places of all quotes of the block, `first` tells for each row which of them is
    its first; rows have exactly `shape.quotes` quotes and lie in `starts` to `ends`.
    """
    run_starts = [
        ends - len(run.text) if run.quote < 0 else places[first + run.quote] - run.lead
        for run in shape.runs
    ]
    run_ends = [s + len(r.text) for s, r in zip(run_starts, shape.runs, strict=True)]
    rows = (run_starts[0] == starts) & (run_ends[-1] == ends)
    for before, after in zip(run_ends, run_starts[1:], strict=False):
        rows &= before <= after
    if not rows.all():
        # Compare only rows whose runs are known to lie inside them, in order.
        inside = np.flatnonzero(rows)
        for run, run_start in zip(shape.runs, run_starts, strict=True):
            rows[inside] &= words.equal(run_start[inside], run.text)
    else:
        for run, run_start in zip(shape.runs, run_starts, strict=True):
            rows &= words.equal(run_start, run.text)
    return Matches(rows, run_ends[:-1], run_starts[1:])
