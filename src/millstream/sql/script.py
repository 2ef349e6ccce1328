"""Scripts: a text cut into statements, and each one read, its variables replaced."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from millstream.errors import Position
from millstream.sql import ast
from millstream.sql.parser import StatementParser
from millstream.sql.source import SourceText, check_text
from millstream.sql.tokens import (
    BACKTICK_PATTERN,
    COMMENT_PATTERN,
    QUOTED_PATTERN,
    STRING_PATTERN,
    tokenize,
)
from millstream.sql.variables import Variables, substituted
from millstream.types import SqlType

_BOUNDARY = re.compile(
    rf"(?P<comment>{COMMENT_PATTERN})"
    rf"|(?P<quoted>{STRING_PATTERN}|{BACKTICK_PATTERN}|{QUOTED_PATTERN})"
    r"|(?P<end>;)|(?P<open>['\"`]|/\*)",
    re.DOTALL,
)
_BLANK = re.compile(rf"(?:[\s\ufeff]+|{COMMENT_PATTERN})*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class StatementText:
    """One statement's text, from its first word to its semicolon, and where it stands.

    `start` and `end` are offsets into the script; `terminated` says whether a semicolon ends it."""

    text: str
    position: Position
    start: int
    end: int
    terminated: bool


@dataclass(frozen=True, slots=True)
class Parsed:
    """A statement, its text with variables replaced, where it starts, and its text as written."""

    statement: ast.Statement
    text: str
    position: Position
    written: str


def split_statements(text: str) -> list[StatementText]:
    """Cut a script at its semicolons, those in strings, comments and quoted names aside.

    Never fails: where a string or comment is not closed, the rest is one unterminated statement."""
    return list(_split(SourceText(text)))


def _split(source: SourceText) -> Iterator[StatementText]:
    text = source.text
    start = 0
    while True:
        blank = _BLANK.match(text, start)
        assert blank is not None
        start = blank.end()
        if start >= len(text):
            return
        end, terminated = _end_of_statement(text, start)
        if end - start > 1 or not terminated:
            written = text[start:end].rstrip()
            place = source.position(start, start + _word_length(written))
            yield StatementText(written, place, start, start + len(written), terminated)
        start = end


def _end_of_statement(text: str, start: int) -> tuple[int, bool]:
    """The offset behind the statement that starts at `start`, and whether a semicolon ends it."""
    for boundary in _BOUNDARY.finditer(text, start):
        if boundary.lastgroup == "end":
            return boundary.end(), True
        if boundary.lastgroup == "open":
            break
    return len(text), False


def _word_length(written: str) -> int:
    word = re.match(r"\w+", written)
    return 1 if word is None else word.end()


def iter_script(
    text: str,
    variables: Mapping[str, str] | None = None,
    replaced: Callable[[], bool] = lambda: True,
) -> Iterator[Parsed]:
    """The statements of a script, one after the other.

    DEFINE and UNDEFINE change `variables`, where these are `Variables`, before the next statement
    is read; `replaced` says, before each statement, whether `${name}` stands for a variable or for
    itself. ParseError at the first statement that is none; its position is one in the whole
    script."""
    known = variables if isinstance(variables, Variables) else Variables(variables)
    check_text(text)
    source = SourceText(text)
    for part in _split(source):
        statement, written = _parse_part(source, part, known if replaced() else None)
        if isinstance(statement, ast.DefineVariable):
            known[statement.name] = statement.value
        elif isinstance(statement, ast.UndefineVariable):
            known.pop(statement.name, None)
        yield Parsed(statement, written, part.position, part.text)


def parse_script(text: str, variables: Mapping[str, str] | None = None) -> list[Parsed]:
    """All statements of a script; see `iter_script`."""
    return list(iter_script(text, variables))


def _parse_part(
    source: SourceText, part: StatementText, variables: Variables | None
) -> tuple[ast.Statement, str]:
    if variables is None or "${" not in part.text:
        tokens = tokenize(source, part.start, part.end)
        return StatementParser(source, tokens).parse_statement(), part.text
    replaced = substituted(source, part.start, part.end, variables)
    return StatementParser(replaced, tokenize(replaced)).parse_statement(), replaced.text


def parse_statement(text: str) -> ast.Statement:
    """The one statement of a text, with or without its semicolon; no variables."""
    parser = _parser(text)
    statement = parser.parse_statement()
    parser.accept_symbol(";")
    parser.refuse_more("the end: only one statement is allowed here")
    return statement


def parse_expression(text: str) -> ast.Expression:
    """The one expression of a text."""
    parser = _parser(text)
    expression = parser.parse_expression()
    parser.refuse_more("the end of the expression")
    return expression


def parse_type(text: str) -> SqlType:
    """The one type of a text."""
    parser = _parser(text)
    parsed = parser.parse_type()
    parser.refuse_more("the end of the type")
    return parsed


def parse_columns(text: str) -> tuple[ast.ColumnDefinition, ...]:
    """The columns of a schema's text, such as `ID BIGINT KEY, V STRUCT<A INT>`."""
    parser = _parser(text)
    columns = parser.parse_columns()
    parser.refuse_more("a comma or the end of the columns")
    return columns


def _parser(text: str) -> StatementParser:
    check_text(text)
    source = SourceText(text)
    return StatementParser(source, tokenize(source))
