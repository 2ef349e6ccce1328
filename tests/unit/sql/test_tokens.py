"""The lexer."""

from __future__ import annotations

import pytest

from millstream.errors import ParseError
from millstream.sql.source import SourceText
from millstream.sql.tokens import TokenKind, tokenize


def _lexed(text: str) -> list[tuple[TokenKind, str]]:
    return [(token.kind, token.value) for token in tokenize(SourceText(text))[:-1]]


def _refused(text: str) -> ParseError:
    with pytest.raises(ParseError) as caught:
        tokenize(SourceText(text))
    return caught.value


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("select", TokenKind.WORD, "SELECT"),
        ("_Time", TokenKind.WORD, "_TIME"),
        ("a1@b", TokenKind.WORD, "A1@B"),
        ("1R", TokenKind.WORD, "1R"),
        ("`Mixed Case`", TokenKind.QUOTED_NAME, "Mixed Case"),
        ("`a``b`", TokenKind.QUOTED_NAME, "a`b"),
        ('"Mixed"', TokenKind.QUOTED_NAME, "Mixed"),
        ('"a""b"', TokenKind.QUOTED_NAME, 'a"b'),
        ("'it''s'", TokenKind.STRING, "it's"),
        ("''", TokenKind.STRING, ""),
        ("'two\nlines -- no comment'", TokenKind.STRING, "two\nlines -- no comment"),
        ("42", TokenKind.INTEGER, "42"),
        ("1.5", TokenKind.DECIMAL, "1.5"),
        (".5", TokenKind.DECIMAL, ".5"),
        ("5.", TokenKind.DECIMAL, "5."),
        ("1e3", TokenKind.DOUBLE, "1e3"),
        ("1.5E-3", TokenKind.DOUBLE, "1.5E-3"),
        (".5e+3", TokenKind.DOUBLE, ".5e+3"),
        ("1.e3", TokenKind.DOUBLE, "1.e3"),
    ],
)
def test_one_token(text: str, kind: TokenKind, value: str) -> None:
    assert _lexed(text) == [(kind, value)]


@pytest.mark.parametrize(
    "symbol", ["->", "=>", ":=", "||", "!=", "<>", "<=", ">=", "<", ">", "=", "+", "-", "*", "/"]
)
def test_symbols_are_read_whole(symbol: str) -> None:
    assert [value for _, value in _lexed(f"a{symbol}b")] == ["A", symbol, "B"]


def test_comments_and_blanks_separate_tokens() -> None:
    text = "\ufeffa -- 'one\n/* two ; ` */b/**/c --end"
    assert [value for _, value in _lexed(text)] == ["A", "B", "C"]


def test_offsets_are_those_of_the_text() -> None:
    text = "ab 'c''d'  12"
    assert [text[t.start : t.end] for t in tokenize(SourceText(text))[:-1]] == [
        "ab",
        "'c''d'",
        "12",
    ]


@pytest.mark.parametrize(
    ("text", "line", "column", "part"),
    [
        ("a\n  'open", 2, 3, "string is not closed"),
        ("'one' 'it''s", 1, 7, "string is not closed"),
        ("a `open", 1, 3, "quoted name is not closed"),
        ('a "open', 1, 3, "quoted name is not closed"),
        ("a /* open", 1, 3, "comment is not closed"),
        ("a # b", 1, 3, "means nothing"),
        ("größe", 1, 3, "means nothing"),
        ("a = ``", 1, 5, "must not be empty"),
        ("1.5abc", 1, 1, "neither a number nor a name"),
    ],
)
def test_what_is_no_token_is_refused_where_it_stands(
    text: str, line: int, column: int, part: str
) -> None:
    error = _refused(text)
    assert error.position is not None
    assert (error.position.line, error.position.column) == (line, column)
    assert part in error.message
