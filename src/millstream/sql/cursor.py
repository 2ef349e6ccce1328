"""Walking over tokens: looking ahead, taking what is expected, and refusing what is not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from millstream.errors import ParseError, Position
from millstream.sql.source import SourceText
from millstream.sql.tokens import Token, TokenKind
from millstream.sql.words import RESERVED

MAX_NESTING = 50
"""How deep parentheses, constructors, calls and types may nest."""


class TokenCursor:
    """A place in a list of tokens that ends with END; base of the parsers."""

    def __init__(self, source: SourceText, tokens: list[Token]) -> None:
        self.source = source
        self._tokens = tokens
        self._last = len(tokens) - 1
        self._index = 0
        self._depth = 0

    # --- looking -------------------------------------------------------------------------

    @property
    def token(self) -> Token:
        """The token at hand."""
        return self._tokens[self._index]

    def ahead(self, count: int = 1) -> Token:
        """The token `count` places further on, END beyond the end."""
        return self._tokens[min(self._index + count, self._last)]

    def at_word(self, *words: str) -> bool:
        """Whether the token at hand is one of the (upper-case) words, unquoted."""
        token = self._tokens[self._index]
        return token.kind is TokenKind.WORD and token.value in words

    def at_words(self, *words: str) -> bool:
        """Whether these words follow one another from here."""
        return self.at_word(words[0]) and all(
            self.ahead(i).kind is TokenKind.WORD and self.ahead(i).value == word
            for i, word in enumerate(words)
        )

    def at_symbol(self, *symbols: str) -> bool:
        """Whether the token at hand is one of the symbols."""
        token = self._tokens[self._index]
        return token.kind is TokenKind.SYMBOL and token.value in symbols

    def at_end(self) -> bool:
        """Whether the statement ends here."""
        return ends_statement(self._tokens[self._index])

    def at_name(self) -> bool:
        """Whether the token at hand can be a name."""
        return is_name(self._tokens[self._index])

    # --- taking --------------------------------------------------------------------------

    def advance(self) -> Token:
        """The token at hand; the next one is at hand then."""
        token = self._tokens[self._index]
        if self._index < self._last:
            self._index += 1
        return token

    def accept_word(self, *words: str) -> Token | None:
        """The token at hand if it is one of the words."""
        return self.advance() if self.at_word(*words) else None

    def accept_words(self, *words: str) -> bool:
        """Take these words if all of them follow."""
        if not self.at_words(*words):
            return False
        self._index += len(words)
        return True

    def accept_symbol(self, *symbols: str) -> Token | None:
        """The token at hand if it is one of the symbols."""
        return self.advance() if self.at_symbol(*symbols) else None

    def expect_word(self, *words: str) -> Token:
        """The token at hand, which must be one of the words."""
        if not self.at_word(*words):
            raise self.unexpected(either(words), words)
        return self.advance()

    def expect_symbol(self, symbol: str) -> Token:
        """The token at hand, which must be this symbol."""
        if not self.at_symbol(symbol):
            raise self.unexpected(symbol)
        return self.advance()

    def expect_name(self, what: str) -> str:
        """A name as the catalogue spells it: unquoted in upper case, quoted as written."""
        if not self.at_name():
            raise self.unexpected(what)
        return self.advance().value

    def expect_string(self, what: str) -> str:
        """The text of a string in single quotes."""
        if self.token.kind is not TokenKind.STRING:
            hint = None
            if self.token.kind in (TokenKind.WORD, TokenKind.QUOTED_NAME):
                hint = "Put it in single quotes."
            raise self.unexpected(f"{what} in single quotes", hint=hint)
        return self.advance().value

    def expect_whole_number(self, what: str) -> int:
        """A number without sign and point that fits 64 bits."""
        if self.token.kind is not TokenKind.INTEGER:
            raise self.unexpected(f"{what}, a whole number,")
        token = self.advance()
        return self.integer(token)

    def integer(self, token: Token, sign: str = "") -> int:
        """The value of a token of digits; ParseError if it does not fit 64 bits."""
        digits = token.value.lstrip("0") or "0"
        value = int(sign + digits) if len(digits) <= 19 else 1 << 64
        if not -(1 << 63) <= value < 1 << 63:
            raise self.error(
                f"The number {sign}{token.value} does not fit a BIGINT (64 bits).",
                token,
                hint="Write it with a decimal point to make it a DECIMAL.",
            )
        return value

    # --- places and errors ---------------------------------------------------------------

    def position(self, token: Token) -> Position:
        """Where a token stands."""
        return self.source.position(token.start, token.end)

    def span(self, first: Token) -> Position:
        """From a token up to the one taken last."""
        end = self._tokens[self._index - 1].end if self._index else first.end
        return self.source.position(first.start, max(end, first.end))

    def error(
        self, message: str, token: Token | None = None, *, hint: str | None = None
    ) -> ParseError:
        """An error about a token, the one at hand if none is given."""
        at = self.token if token is None else token
        return self.source.error(message, at.start, at.end, hint)

    def unexpected(
        self, expected: str, words: Iterable[str] = (), *, hint: str | None = None
    ) -> ParseError:
        """The token at hand is not what must come here; `words` are what it may be misspelt of."""
        token = self.token
        if hint is None and token.kind is TokenKind.WORD:
            near = closest(token.value, words)
            if near is not None:
                hint = f"Did you mean {near}?"
            elif token.value in RESERVED and not words:
                hint = f"{token.value} is a reserved word; as a name, put it in back-ticks."
        return self.error(
            f"Expected {expected} but found {self.describe(token)}.", token, hint=hint
        )

    def refuse_more(self, expected: str) -> None:
        """ParseError unless the text ends here."""
        if self.token.kind is not TokenKind.END:
            raise self.unexpected(expected)

    def describe(self, token: Token) -> str:
        """The token as a message shows it."""
        if token.kind is TokenKind.END:
            return "the end of the statement"
        written = self.source.text[token.start : token.end]
        if len(written) > 40:
            written = written[:37] + "..."
        return written if "\n" not in written else repr(written)

    def nest(self) -> None:
        """Go one level deeper; ParseError when that is too deep. Paired with `unnest`."""
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self.error(f"This nests more than {MAX_NESTING} levels deep.")

    def unnest(self) -> None:
        """Come back up one level."""
        self._depth -= 1


def is_name(token: Token) -> bool:
    """Whether a token can be a name: quoted, or a word that is not reserved."""
    if token.kind is TokenKind.QUOTED_NAME:
        return True
    return token.kind is TokenKind.WORD and token.value not in RESERVED


def ends_statement(token: Token) -> bool:
    """Whether a token is a semicolon or the end of the text."""
    if token.kind is TokenKind.SYMBOL:
        return token.value == ";"
    return token.kind is TokenKind.END


def closest(word: str, words: Iterable[str]) -> str | None:
    """The word that this one is a misspelling of, if one is near enough."""
    near = difflib.get_close_matches(word, list(words), n=1, cutoff=0.7)
    return near[0] if near and near[0] != word else None


def either(words: Iterable[str]) -> str:
    """The words as a list in a sentence: `A, B or C`."""
    *head, last = words
    return f"{', '.join(head)} or {last}" if head else last
