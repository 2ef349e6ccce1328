"""What can go wrong, and how it is told to a person."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a script: 1-based line and column, and the length of the word there."""

    line: int
    column: int
    length: int = 1


class MillstreamError(Exception):
    """Base of every error raised on purpose: one sentence, and what to do instead."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def render(self) -> str:
        """The error as a person reads it: the sentence, then the hint on a line of its own."""
        return self.message if self.hint is None else f"{self.message}\n{self.hint}"


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
        lines = [f"line {where.line}, column {where.column}: {self.message}"]
        source_lines = (self.source or "").splitlines()
        if 0 < where.line <= len(source_lines):
            text = source_lines[where.line - 1].replace("\t", " ")
            lines.append(f"  {text}")
            lines.append("  " + " " * (where.column - 1) + "^" * max(1, where.length))
        if self.hint is not None:
            lines.append(self.hint)
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
