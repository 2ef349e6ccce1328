"""Types and column definitions: tokens to types."""

from __future__ import annotations

from millstream.sql import ast
from millstream.sql.cursor import TokenCursor, is_name
from millstream.sql.tokens import TokenKind
from millstream.types import PRIMITIVES, Array, Decimal, Field, Map, NamedType, SqlType, Struct

MAX_PRECISION = 76
"""Of a DECIMAL: the most digits that a column holds."""

_NOT_A_TYPE = ("KEY", "PRIMARY", "HEADER", "HEADERS")


class TypeParser(TokenCursor):
    """Reads types, and columns with their constraints."""

    def parse_type(self) -> SqlType:
        """A type; every ARRAY behind it makes it the item of an array."""
        self.nest()
        parsed = self._type_without_suffix()
        while self.at_word("ARRAY") and not _is_symbol(self, 1, "<"):
            self.advance()
            parsed = Array(parsed)
        self.unnest()
        return parsed

    def _type_without_suffix(self) -> SqlType:
        token = self.token
        if not is_name(token) or (token.kind is TokenKind.WORD and token.value in _NOT_A_TYPE):
            raise self.unexpected("a type", hint=_type_hint(token.value))
        self.advance()
        if token.kind is TokenKind.WORD:
            if token.value in ("ARRAY", "MAP", "STRUCT"):
                return self._constructed(token.value)
            if token.value == "DECIMAL":
                return self._decimal()
        primitive = PRIMITIVES.get(token.value)
        if self.at_symbol("("):
            self._parameters()
        return NamedType(token.value) if primitive is None else primitive

    def _constructed(self, word: str) -> SqlType:
        if word == "STRUCT":
            if self.accept_symbol("<>"):
                return Struct(())
            self.expect_symbol("<")
            fields: list[Field] = []
            names: set[str] = set()
            while not fields or self.accept_symbol(","):
                if not fields and self.at_symbol(">"):
                    break
                token = self.token
                name = self.expect_name("the name of a field")
                if name in names:
                    raise self.error(
                        f"The field {name} stands twice in this STRUCT.",
                        token,
                        hint="Give one of the two another name.",
                    )
                names.add(name)
                fields.append(Field(name, self.parse_type()))
            self._close_type()
            return Struct(tuple(fields))
        self.expect_symbol("<")
        first = self.parse_type()
        if word == "ARRAY":
            self._close_type()
            return Array(first)
        self.expect_symbol(",")
        second = self.parse_type()
        self._close_type()
        return Map(first, second)

    def _close_type(self) -> None:
        if self.at_symbol("<>", ">="):
            raise self.error("A > that closes a type must stand apart from what follows.")
        if not self.at_symbol(">"):
            raise self.unexpected("> or a comma")
        self.advance()

    def _decimal(self) -> SqlType:
        if not self.at_symbol("("):
            raise self.unexpected(
                "the precision and scale of DECIMAL", hint="Write for example DECIMAL(10, 2)."
            )
        self.advance()
        precision_token = self.token
        precision = self.expect_whole_number("the precision of DECIMAL")
        self.expect_symbol(",")
        scale_token = self.token
        scale = self.expect_whole_number("the scale of DECIMAL")
        self.expect_symbol(")")
        if precision < 1:
            raise self.error("The precision of DECIMAL must be at least 1.", precision_token)
        if precision > MAX_PRECISION:
            raise self.error(
                f"The precision of DECIMAL must be at most {MAX_PRECISION}.",
                precision_token,
                hint="A DOUBLE holds larger numbers, rounded to about 16 digits.",
            )
        if scale > precision:
            raise self.error(
                f"The scale of DECIMAL ({scale}) must not be greater than its precision"
                f" ({precision}).",
                scale_token,
            )
        return Decimal(precision, scale)

    def _parameters(self) -> None:
        """Parameters of other types, as in VARCHAR(20), are read and mean nothing."""
        self.expect_symbol("(")
        while True:
            if self.token.kind is not TokenKind.INTEGER and not self.at_word("STRING"):
                raise self.unexpected("a length")
            self.advance()
            if not self.accept_symbol(","):
                break
        self.expect_symbol(")")

    def parse_columns(self, kind: ast.SourceKind | None = None) -> tuple[ast.ColumnDefinition, ...]:
        """Column definitions with commas between them; `kind` says which key they may have."""
        columns = [self._column(kind)]
        while self.accept_symbol(","):
            columns.append(self._column(kind))
        return tuple(columns)

    def _column(self, kind: ast.SourceKind | None) -> ast.ColumnDefinition:
        first = self.token
        name = self.expect_name("the name of a column")
        column_type = self.parse_type()
        constraint_token = self.token
        constraint, header = self._constraint()
        if kind is ast.SourceKind.TABLE and constraint is ast.ColumnConstraint.KEY:
            raise self.error(
                f"Column {name} of a table is marked KEY.",
                constraint_token,
                hint="The key of a table is its PRIMARY KEY: write PRIMARY KEY.",
            )
        if kind is ast.SourceKind.STREAM and constraint is ast.ColumnConstraint.PRIMARY_KEY:
            raise self.error(
                f"Column {name} of a stream is marked PRIMARY KEY.",
                constraint_token,
                hint="Keys of a stream need not be unique: write KEY.",
            )
        return ast.ColumnDefinition(
            name, column_type, constraint, header, position=self.position(first)
        )

    def _constraint(self) -> tuple[ast.ColumnConstraint, str | None]:
        if self.accept_word("KEY"):
            return ast.ColumnConstraint.KEY, None
        if self.accept_word("PRIMARY"):
            self.expect_word("KEY")
            return ast.ColumnConstraint.PRIMARY_KEY, None
        if self.accept_word("HEADERS"):
            return ast.ColumnConstraint.HEADERS, None
        if self.accept_word("HEADER"):
            self.expect_symbol("(")
            header = self.expect_string("the name of a header")
            self.expect_symbol(")")
            return ast.ColumnConstraint.HEADER, header
        return ast.ColumnConstraint.NONE, None


def _is_symbol(cursor: TokenCursor, ahead: int, symbol: str) -> bool:
    token = cursor.ahead(ahead)
    return token.kind is TokenKind.SYMBOL and token.value == symbol


def _type_hint(word: str) -> str | None:
    if word == "NULL":
        return "NULL is a value and not a type."
    if word in _NOT_A_TYPE:
        return f"Write the column's type in front of {word}, as in ID INT {word}."
    return None
