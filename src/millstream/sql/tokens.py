"""The lexer: text to tokens, each knowing the characters it stands for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from millstream.errors import ParseError
from millstream.sql.source import SourceText


class TokenKind(Enum):
    """What a token is."""

    WORD = "word"
    QUOTED_NAME = "quoted name"
    STRING = "string"
    INTEGER = "integer"
    DECIMAL = "decimal number"
    DOUBLE = "double"
    SYMBOL = "symbol"
    END = "end"


@dataclass(slots=True)
class Token:
    """One token: `value` is the upper-cased word, the unescaped name or string, the number's
    digits or the symbol; `start` and `end` are offsets into the text it was read from."""

    kind: TokenKind
    value: str
    start: int
    end: int


STRING_PATTERN = r"'[^']*+(?:''[^']*+)*+'"
BACKTICK_PATTERN = r"`[^`]*+(?:``[^`]*+)*+`"
QUOTED_PATTERN = r'"[^"]*+(?:""[^"]*+)*+"'
COMMENT_PATTERN = r"--[^\n]*|/\*.*?\*/"

_SPACE = re.compile(rf"(?:[\s\ufeff]+|{COMMENT_PATTERN})+", re.DOTALL)
_TOKEN = re.compile(
    rf"""
    (?P<word>[A-Za-z_][A-Za-z0-9_@]*)
  | (?P<double>(?:\d+(?:\.\d*)?|\.\d+)[eE][+-]?\d+)
  | (?P<decimal>\d+\.\d*|\.\d+)
  | (?P<integer>\d+)
  | (?P<symbol>->|=>|:=|\|\||!=|<>|<=|>=|==|/(?!\*)|[-+*%=<>()\[\],.;])
  | (?P<string>{STRING_PATTERN})
  | (?P<backtick>{BACKTICK_PATTERN})
  | (?P<quoted>{QUOTED_PATTERN})
    """,
    re.VERBOSE | re.ASCII,
)
_WORD_CHARACTERS = re.compile(r"[A-Za-z0-9_@]+", re.ASCII)

_NUMBERS = {
    "double": TokenKind.DOUBLE,
    "decimal": TokenKind.DECIMAL,
    "integer": TokenKind.INTEGER,
}


def tokenize(source: SourceText, start: int = 0, end: int | None = None) -> list[Token]:
    """The tokens of a stretch of the text and an END token; ParseError where none can be read."""
    text = source.text
    stop = len(text) if end is None else end
    tokens: list[Token] = []
    offset = start
    while True:
        space = _SPACE.match(text, offset, stop)
        if space is not None:
            offset = space.end()
        if offset >= stop:
            last = tokens[-1].end if tokens else start
            tokens.append(Token(TokenKind.END, "", last, last))
            return tokens
        match = _TOKEN.match(text, offset, stop)
        if match is None:
            raise _refusal(source, offset, stop)
        token = _token(source, match, stop)
        tokens.append(token)
        offset = token.end


def _token(source: SourceText, match: re.Match[str], stop: int) -> Token:
    kind = match.lastgroup
    written = match.group()
    start, end = match.span()
    if kind == "word":
        return Token(TokenKind.WORD, written.upper(), start, end)
    if kind == "symbol":
        return Token(TokenKind.SYMBOL, written, start, end)
    if kind == "string":
        return Token(TokenKind.STRING, written[1:-1].replace("''", "'"), start, end)
    if kind == "backtick" or kind == "quoted":
        quote = written[0]
        name = written[1:-1].replace(quote * 2, quote)
        if not name:
            raise source.error("A name in quotes must not be empty.", start, end)
        return Token(TokenKind.QUOTED_NAME, name, start, end)
    rest = _WORD_CHARACTERS.match(source.text, end, stop)
    if rest is not None and kind == "integer":
        return Token(TokenKind.WORD, source.text[start : rest.end()].upper(), start, rest.end())
    if rest is not None:
        name = source.text[start : rest.end()]
        raise source.error(
            f"{name} is neither a number nor a name.",
            start,
            rest.end(),
            hint=f"Put the name in back-ticks: `{name}`",
        )
    assert kind is not None
    return Token(_NUMBERS[kind], written, start, end)


def _refusal(source: SourceText, offset: int, stop: int) -> ParseError:
    """The error about the character at `offset`, with which no token starts."""
    character = source.text[offset]
    if character == "'":
        return source.error(
            "This string is not closed.",
            offset,
            stop,
            hint="End it with a single quote; a quote inside a string is written twice.",
        )
    if character in '`"':
        return source.error(
            f"This quoted name is not closed: a second {character} is missing.", offset, stop
        )
    if character == "/":
        return source.error("This comment is not closed: */ is missing.", offset, stop)
    hint = None
    if character == "$":
        hint = "Variables are written ${name}."
    elif character.isalnum():
        hint = "A name with such a character must stand in back-ticks."
    return source.error(
        f"The character {character!r} means nothing here.", offset, offset + 1, hint=hint
    )
