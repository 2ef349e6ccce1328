"""LIKE: `%` any text, `_` any character, neither across a line's end."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.engine.expressions.base import (
    FALSE,
    ColumnNode,
    Constant,
    EvaluationFailure,
    Frame,
    Node,
)
from millstream.engine.expressions.strict import Computed, Operand, Strict

_LINE_ENDS = "\n\r\u0085\u2028\u2029"
"""What `.` of Java's regular expressions does not match."""
_ANY = f"[^{_LINE_ENDS}]"
_LINE_END = re.compile(f"[{_LINE_ENDS}]")
_LINE_END_BYTES = (b"\n", b"\r", b"\xc2", b"\xe2")
"""A text with none of these bytes has no line's end (U+0085 starts with C2, U+2028 with E2)."""
_FEW = 16
"""Up to so many texts are looked at one by one sooner than Arrow begins to."""
_ONE_TEXT = pa.array([""], pa.string())


class Like(Strict):
    """`operand LIKE pattern [ESCAPE c]`; false where a side is null."""

    def __init__(self, operand: Node, pattern: Node, escape: str | None) -> None:
        super().__init__(t.BOOLEAN, (operand, pattern))
        self.escape = escape
        self._columnar: Callable[[pa.Array], pa.Array] | None = None
        self._fits: Callable[[str], bool] | None = None
        if isinstance(pattern, Constant) and pattern.value is not None:
            try:
                self._columnar = _matcher(pattern.value, escape)
                self._fits = like(pattern.value, escape)
                self.total = operand.total
            except (EvaluationFailure, pa.ArrowException):  # ends with its escape; is too large
                self._columnar = None

    def truth(self, frame: Frame) -> tuple[np.ndarray, np.ndarray | None]:
        fits, operand = self._fits, self.operands[0]
        if fits is None or frame.length > _FEW or not isinstance(operand, ColumnNode):
            return super().truth(frame)
        texts = frame.column(operand.index).to_pylist()
        return np.array([v is not None and fits(v) for v in texts], bool), None

    def apply(self, *values: Any) -> Any:
        text, pattern = values
        if text is None or pattern is None:
            return False
        return like(pattern, self.escape)(text)

    def columnar(self, operands: list[Operand], length: int) -> Computed | None:
        if self._columnar is None or isinstance(operands[0], pa.Scalar):
            return None
        matched = self._columnar(operands[0])
        return Computed(pc.fill_null(matched, FALSE) if matched.null_count else matched)


@functools.lru_cache(maxsize=4096)
def like(pattern: str, escape: str | None) -> Callable[[str], bool]:
    """Tells whether a text fits the pattern, in a time that follows their lengths.

    A failure where the pattern ends with its escape character.
    """
    parts = _parsed(pattern, escape)
    if any(_LINE_END.search(text) for _, text in parts):
        whole = re.compile(_python_regex(parts))
        return lambda text: whole.fullmatch(text) is not None
    pieces = _pieces(parts)
    first, last = pieces[0], pieces[-1]
    middle = [p for p in pieces[1:-1] if p.length]

    def fits(text: str) -> bool:
        if _LINE_END.search(text) is not None:
            return False
        if len(pieces) == 1:
            return len(text) == first.length and first.find(text, 0, len(text)) == 0
        at, end = first.length, len(text) - last.length
        if end < at or first.find(text, 0, at) != 0 or last.find(text, end, len(text)) != end:
            return False
        for piece in middle:  # the first place that fits leaves most room for those behind it
            found = piece.find(text, at, end)
            if found < 0:
                return False
            at = found + piece.length
        return True

    return fits


class _Piece:
    """What stands between two `%`: characters, and `_` for any; all texts that fit have the same
    length."""

    def __init__(self, parts: list[tuple[str, str]]) -> None:
        self.length = sum(len(text) if kind == "text" else 1 for kind, text in parts)
        self._text: str | None = None
        self._regex: re.Pattern[str] | None = None
        if all(kind == "text" for kind, _ in parts):
            self._text = "".join(text for _, text in parts)
        else:
            self._regex = re.compile(_python_regex(parts))

    def find(self, text: str, start: int, end: int) -> int:
        """The first place between `start` and `end` where it fits, or -1."""
        if self._text is not None:
            return text.find(self._text, start, end)
        assert self._regex is not None
        match = self._regex.search(text, start, end)
        return -1 if match is None else match.start()


def _pieces(parts: list[tuple[str, str]]) -> list[_Piece]:
    between: list[list[tuple[str, str]]] = [[]]
    for part in parts:
        if part[0] == "%":
            between.append([])
        else:
            between[-1].append(part)
    return [_Piece(b) for b in between]


def _python_regex(parts: list[tuple[str, str]]) -> str:
    regex: list[str] = []
    for (kind, text), same in itertools.groupby(parts):
        if kind == "text":
            regex.append(re.escape(text))
        else:
            regex.append(f"{_ANY}*" if kind == "%" else f"{_ANY}{{{len(list(same))}}}")
    return "".join(regex)


def _parsed(pattern: str, escape: str | None) -> list[tuple[str, str]]:
    """The pattern as ("%", ""), ("_", "") and ("text", characters)."""
    parts: list[tuple[str, str]] = []
    characters = iter(pattern)
    for character in characters:
        if character == escape:
            following = next(characters, None)
            if following is None:
                raise EvaluationFailure(f"the pattern {pattern!r} ends with its escape character")
            kind, text = "text", following
        elif character in "%_":
            kind, text = character, ""
        else:
            kind, text = "text", character
        if kind == "text" and parts and parts[-1][0] == "text":
            text = parts.pop()[1] + text
        parts.append((kind, text))
    return parts


def _matcher(pattern: str, escape: str | None) -> Callable[[pa.Array], pa.Array]:
    parts = _parsed(pattern, escape)
    kinds = [k for k, _ in parts]
    text = "".join(x for _, x in parts)
    if kinds == ["text"] or not kinds:
        whole_text = pa.scalar(text, pa.string())
        return lambda values: pc.equal(values, whole_text)
    simple = {
        ("%", "text"): pc.ends_with,
        ("text", "%"): pc.starts_with,
        ("%", "text", "%"): pc.match_substring,
    }.get(tuple(kinds))
    regex = "".join(
        f"{_ANY}*" if k == "%" else _ANY if k == "_" else _re2_escaped(x) for k, x in parts
    )
    whole = f"^(?:{regex})\\z"

    def by_regex(values: pa.Array) -> pa.Array:
        return pc.match_substring_regex(values, pattern=whole)

    by_regex(_ONE_TEXT)  # raises where the pattern is too large
    if simple is None:
        return by_regex

    def by_substring(values: pa.Array) -> pa.Array:
        if _may_hold_line_end(values):
            return by_regex(values)
        return simple(values, pattern=text)

    return by_substring


def _may_hold_line_end(values: pa.Array) -> bool:
    """Whether a text of the array may hold a line's end, by its bytes."""
    _, offsets_buffer, data = values.buffers()
    if data is None or len(values) == 0:
        return False
    offsets = np.frombuffer(offsets_buffer, np.int32)
    start, end = offsets[values.offset], offsets[values.offset + len(values)]
    raw = data.slice(int(start), int(end - start)).to_pybytes()
    return any(mark in raw for mark in _LINE_END_BYTES)


def _re2_escaped(text: str) -> str:
    return "".join(c if c.isalnum() or ord(c) > 127 else f"\\x{{{ord(c):x}}}" for c in text)
