"""Variables: `${name}` in a statement's text, replaced before the statement is read."""

from __future__ import annotations

import difflib
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass

from millstream.errors import ParseError, Position
from millstream.sql.source import SourceText, check_text
from millstream.sql.tokens import (
    BACKTICK_PATTERN,
    COMMENT_PATTERN,
    QUOTED_PATTERN,
    STRING_PATTERN,
)

_PIECE = re.compile(
    rf"(?P<comment>{COMMENT_PATTERN})"
    rf"|(?P<quoted>{STRING_PATTERN}|{BACKTICK_PATTERN}|{QUOTED_PATTERN})"
    r"|(?P<reference>\$?\$\{)",
    re.DOTALL,
)
_REFERENCE = re.compile(r"(?P<dollars>\$\$?)\{(?P<name>[^}'\"`;\n]*)(?P<close>\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_@]*\Z")
_BARE_VALUE = re.compile(
    rf"(?:[A-Za-z0-9_@]+|[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
    rf"|{STRING_PATTERN}|{BACKTICK_PATTERN}|{QUOTED_PATTERN})\Z",
    re.ASCII,
)
"""What a variable may hold to stand outside of quotes: one name or one literal."""


def substitute(text: str, variables: Mapping[str, str]) -> str:
    """The text with every `${name}` outside of comments replaced by the variable's value.

    Names of variables know no case. Inside quotes any value may stand, and its quotes are escaped;
    elsewhere it must be a name, a number or a quoted string. `$${name}` gives `${name}`.
    ParseError for a variable that is not defined."""
    return substituted(SourceText(text), 0, len(text), Variables(variables)).text


class Variables(MutableMapping[str, str]):
    """Variables by name, whatever the case it is written in; the way it was defined in is shown."""

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self._known: dict[str, tuple[str, str]] = {}
        self.update(given or {})

    def __getitem__(self, name: str) -> str:
        return self._known[name.upper()][1]

    def __setitem__(self, name: str, value: str) -> None:
        if not isinstance(name, str) or _NAME.match(name) is None:
            raise ParseError(
                f"{name!r} is not the name of a variable",
                hint="A name begins with a letter or _ and goes on with letters, digits, _ and @.",
            )
        text = value if isinstance(value, str) else str(value)
        check_text(text)
        self._known[name.upper()] = (name, text)

    def __delitem__(self, name: str) -> None:
        del self._known[name.upper()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.upper() in self._known

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._known.values())

    def __len__(self) -> int:
        return len(self._known)


@dataclass(slots=True)
class _Segment:
    """A stretch of the new text: copied from the original, or the value of a variable there."""

    start: int
    original_start: int
    original_end: int
    is_value: bool


class SubstitutedText(SourceText):
    """A statement's text after substitution; its places are those of the script it stands in."""

    __slots__ = ("_original", "_segments", "_starts_of_segments")

    def __init__(self, original: SourceText, pieces: list[tuple[str, int, int, bool]]) -> None:
        super().__init__("".join(piece[0] for piece in pieces))
        self._original = original
        self._segments: list[_Segment] = []
        length = 0
        for written, start, end, is_value in pieces:
            self._segments.append(_Segment(length, start, end, is_value))
            length += len(written)
        self._starts_of_segments = [segment.start for segment in self._segments]

    @property
    def whole(self) -> str:
        """The script's text."""
        return self._original.whole

    def position(self, start: int, end: int) -> Position:
        """The place in the script of the characters from `start` up to `end`."""
        original_start, beyond = self._span(start)
        if end > start:
            beyond = self._span(end - 1)[1]
        return self._original.position(original_start, beyond)

    def _span(self, offset: int) -> tuple[int, int]:
        """Where in the original the character at `offset` comes from."""
        if not self._segments:
            return 0, 0
        segment = self._segments[max(0, bisect_right(self._starts_of_segments, offset) - 1)]
        if segment.is_value:
            return segment.original_start, segment.original_end
        place = segment.original_start + offset - segment.start
        return place, min(place + 1, segment.original_end)


def substituted(source: SourceText, start: int, end: int, variables: Variables) -> SubstitutedText:
    """The characters of a script from `start` up to `end`, variables replaced."""
    pieces: list[tuple[str, int, int, bool]] = []
    done = start
    for offset, beyond, quote in _references(source.text, start, end):
        pieces.append((source.text[done:offset], done, offset, False))
        pieces.append(
            (_replacement(source, offset, beyond, quote, variables), offset, beyond, True)
        )
        done = beyond
    pieces.append((source.text[done:end], done, end, False))
    return SubstitutedText(source, [piece for piece in pieces if piece[2] > piece[1]])


def _references(text: str, start: int, end: int) -> list[tuple[int, int, str]]:
    """Every `${..}` and `$${..}` outside of comments: from, up to, and the quote around it."""
    found: list[tuple[int, int, str]] = []
    offset = start
    while True:
        piece = _PIECE.search(text, offset, end)
        if piece is None:
            return found
        offset = piece.end()
        if piece.lastgroup == "quoted":
            for inner in _REFERENCE.finditer(text, piece.start() + 1, piece.end() - 1):
                found.append((inner.start(), inner.end(), text[piece.start()]))
        elif piece.lastgroup == "reference":
            reference = _REFERENCE.match(text, piece.start(), end)
            assert reference is not None
            offset = reference.end()
            found.append((reference.start(), reference.end(), ""))


def _replacement(source: SourceText, start: int, end: int, quote: str, variables: Variables) -> str:
    """What stands in place of the reference from `start` up to `end`."""
    reference = _REFERENCE.fullmatch(source.text, start, end)
    assert reference is not None
    name = reference["name"].strip()
    if reference["dollars"] == "$$":
        return source.text[start + 1 : end]
    if not reference["close"]:
        raise source.error("The closing brace of this variable is missing.", start, end)
    if _NAME.match(name) is None:
        raise source.error(
            f"{reference['name']!r} is not the name of a variable.",
            start,
            end,
            hint="Write ${name}, or $${ for a dollar sign and a brace as they are.",
        )
    value = variables.get(name)
    if value is None:
        raise source.error(
            f"The variable {name} is not defined.", start, end, hint=_hint(name, variables)
        )
    if quote:
        return value.replace(quote, quote * 2)
    if _BARE_VALUE.match(value) is None:
        raise source.error(
            f"The value of the variable {name} is neither a name nor a literal: {value!r}.",
            start,
            end,
            hint="To use it as text, put the variable in single quotes.",
        )
    return value


def _hint(name: str, variables: Variables) -> str:
    by_upper = {known.upper(): known for known in variables}
    near = difflib.get_close_matches(name.upper(), list(by_upper), n=1, cutoff=0.6)
    if near:
        return f"Did you mean ${{{by_upper[near[0]]}}}?"
    return f"Define it first: DEFINE {name} = '..';"
