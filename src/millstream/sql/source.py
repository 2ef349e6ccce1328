"""A script's text and the places in it."""

from __future__ import annotations

from bisect import bisect_right

from millstream.errors import LINE_END, ParseError, Position


def check_text(text: object) -> None:
    """ParseError where this is no text, or has half a surrogate pair, which no file can hold."""
    if not isinstance(text, str):
        raise ParseError(
            f"SQL is a text, not {type(text).__name__}",
            hint="Decode bytes first." if isinstance(text, bytes | bytearray) else None,
        )
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise SourceText(text).error(
            f"The character {text[error.start]!r} is half of a pair and stands for nothing.",
            error.start,
            error.start + 1,
        ) from None


class SourceText:
    """A text with a table of its lines, so that a place costs one search, however long it is."""

    __slots__ = ("_line_starts", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._line_starts: list[int] | None = None

    @property
    def whole(self) -> str:
        """The text that positions point into."""
        return self.text

    def _starts(self) -> list[int]:
        if self._line_starts is None:
            self._line_starts = [0, *(end.end() for end in LINE_END.finditer(self.text))]
        return self._line_starts

    def position(self, start: int, end: int) -> Position:
        """The place of the characters from `start` up to `end`, cut at the end of the line."""
        starts = self._starts()
        line = bisect_right(starts, start) - 1
        length = end - start
        if line + 1 < len(starts) and end > starts[line + 1]:
            length = len(self.text[start : starts[line + 1]].rstrip())
        return Position(line + 1, start - starts[line] + 1, max(1, length))

    def error(self, message: str, start: int, end: int, hint: str | None = None) -> ParseError:
        """An error about the characters from `start` up to `end`."""
        return ParseError(message, self.position(start, end), source=self.whole, hint=hint)
