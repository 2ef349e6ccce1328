"""What can go wrong, and how it is told to a person."""

from __future__ import annotations

import re
from dataclasses import dataclass

LINE_END = re.compile(r"\r\n|\n|\r")
"""What ends a line of a script: what editors count, and nothing else that Unicode has."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a script: 1-based line and column, and the length of the word there."""

    line: int
    column: int
    length: int = 1


_LONGEST_SENTENCE = 1000
_LONGEST_LINE = 160
_BEFORE_CARET = 60


def _cut(text: str) -> str:
    """A sentence as a person reads it: what is quoted in it may be endless."""
    if len(text) <= _LONGEST_SENTENCE:
        return text
    return f"{text[: _LONGEST_SENTENCE // 2]}…{text[-_LONGEST_SENTENCE // 2 :]}"


def _pointed_at(line: str, where: Position) -> list[str]:
    """A line of a script, or of a long one what is near the place, and carets under the word."""
    start = 0
    if len(line) > _LONGEST_LINE and where.column > _BEFORE_CARET:
        start = where.column - 1 - _BEFORE_CARET
    shown = line[start : start + _LONGEST_LINE]
    before = "…" if start else ""
    after = "…" if start + _LONGEST_LINE < len(line) else ""
    # Characters without a width of their own would move the carets away from their word.
    text = "".join(c if c.isprintable() else " " for c in shown)
    at = len(before) + where.column - 1 - start
    carets = max(1, min(where.length, len(before) + len(text) - at))
    return [f"  {before}{text}{after}", "  " + " " * at + "^" * carets]


class MillstreamError(Exception):
    """Base of every error raised on purpose: one sentence, and what to do instead."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def render(self) -> str:
        """The error as a person reads it: the sentence, then the hint on a line of its own."""
        message = _cut(self.message)
        return message if self.hint is None else f"{message}\n{_cut(self.hint)}"


class SqlError(MillstreamError):
    """A statement is at fault. `position` points into `source`, the text it was read from."""

    def __init__(
        self,
        message: str,
        position: Position | None = None,
        *,
        source: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.position = position
        self.source = source

    def render(self) -> str:
        """The sentence with line and column, the source line, a caret under the word, the hint."""
        if self.position is None:
            return super().render()
        where = self.position
        lines = [f"line {where.line}, column {where.column}: {_cut(self.message)}"]
        source_lines = LINE_END.split(self.source or "")
        if 0 < where.line <= len(source_lines):
            lines += _pointed_at(source_lines[where.line - 1], where)
        if self.hint is not None:
            lines.append(_cut(self.hint))
        return "\n".join(lines)


class ParseError(SqlError):
    """The text is not a statement of the language."""


class SemanticError(SqlError):
    """The statement is well formed, and ksqlDB rejects it for what it means."""


class NotSupportedYetError(SqlError):
    """The statement is right, and Millstream cannot execute it yet."""

    def __init__(
        self, construct: str, position: Position | None = None, *, source: str | None = None
    ) -> None:
        super().__init__(f"{construct} is not supported yet", position, source=source)
        self.construct = construct


class ExecutionError(MillstreamError):
    """A running query, connector or read failed for a reason that the data or the outside gave."""


class StoreError(MillstreamError):
    """The database file cannot be opened, read or written."""


class DamagedError(StoreError):
    """What the database file holds is not what was written into it."""
