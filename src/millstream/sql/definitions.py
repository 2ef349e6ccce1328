"""Statements that define things: CREATE, DROP, ALTER and INSERT, with their properties."""

from __future__ import annotations

import re

from millstream.errors import Position
from millstream.sql import ast
from millstream.sql.queries import QueryParser
from millstream.sql.tokens import Token, TokenKind

_SOURCE_NAME = re.compile(r"[A-Za-z0-9_-]+\Z")
_LITERAL_NUMBERS = (TokenKind.INTEGER, TokenKind.DECIMAL, TokenKind.DOUBLE)


class DefinitionParser(QueryParser):
    """Reads statements that make, change and drop streams, tables, types and connectors."""

    # --- small parts ---------------------------------------------------------------------

    def _source_name(self) -> str:
        return self.expect_name("the name of a stream or table")

    def _new_source_name(self) -> str:
        """The name of a stream or table to be made: letters, digits, `_` and `-` only."""
        token = self.token
        name = self._source_name()
        if _SOURCE_NAME.match(name) is None:
            raise self.error(
                f"The name {name!r} has characters that a stream or table cannot be named with.",
                token,
                hint="Letters, digits, _ and - may stand in it.",
            )
        return name

    def _written(self, token: Token) -> str:
        """A name or string with its case as written."""
        if token.kind is TokenKind.WORD:
            return self.source.text[token.start : token.end]
        return token.value

    def _properties(self, *, upper: bool = True) -> ast.Properties:
        """`(name = literal, ..)`; names in upper case, or as written where `upper` is not set."""
        self.expect_symbol("(")
        properties: dict[str, ast.Expression] = {}
        while True:
            token = self.token
            if token.kind is not TokenKind.STRING and not self.at_name():
                raise self.unexpected("the name of a property")
            self.advance()
            name = token.value.upper() if upper else self._written(token)
            if name in properties:
                raise self.error(f"The property {name} is given twice.", token)
            self.expect_symbol("=")
            properties[name] = self._property_value(name)
            if self.accept_symbol(")"):
                return tuple(properties.items())
            self._expect_comma_or(")")

    def _property_value(self, name: str) -> ast.Expression:
        token = self.token
        place = self.position(token)
        if token.kind is TokenKind.STRING:
            self.advance()
            return ast.StringLiteral(token.value, position=place)
        if self.accept_word("TRUE", "FALSE"):
            return ast.BooleanLiteral(token.value == "TRUE", position=place)
        if self.accept_word("NULL"):
            return ast.NullLiteral(position=place)
        if token.kind in _LITERAL_NUMBERS or self.at_symbol("-"):
            return self.parse_number()
        hint = None
        if token.kind in (TokenKind.WORD, TokenKind.QUOTED_NAME):
            hint = f"Put the text in single quotes: '{self._written(token)}'"
        raise self.unexpected(f"the value of {name}", hint=hint)

    def _optional_properties(self) -> ast.Properties:
        return self._properties() if self.accept_word("WITH") else ()

    def _optional_names(self) -> tuple[str, ...]:
        """`(name, ..)`, if a parenthesis follows."""
        if not self.accept_symbol("("):
            return ()
        names = [self.expect_name("the name of a column")]
        while not self.accept_symbol(")"):
            self._expect_comma_or(")")
            names.append(self.expect_name("the name of a column"))
        return tuple(names)

    def _values(self) -> tuple[ast.Expression, ...]:
        """`(value, ..)`."""
        self.expect_symbol("(")
        values: list[ast.Expression] = []
        while not self.accept_symbol(")"):
            if values:
                self._expect_comma_or(")")
            values.append(self.parse_value())
        if self.at_symbol(","):
            raise self.error("Only one row of values is allowed.", hint="Write a statement a row.")
        return tuple(values)

    # --- CREATE --------------------------------------------------------------------------

    def _create(self) -> ast.Statement:
        place = self.position(self.advance())
        or_replace = self.accept_words("OR", "REPLACE")
        direction = self.accept_word("SOURCE", "SINK")
        if self.at_word("CONNECTOR"):
            if direction is None:
                raise self.error("A connector is a SOURCE or a SINK; say which.")
            if or_replace:
                raise self.error("A connector cannot be replaced.", hint="Drop it first.")
            return self._create_connector(direction.value, place)
        if direction is not None and direction.value == "SINK":
            raise self.unexpected("CONNECTOR", ("CONNECTOR",))
        if self.at_word("STREAM", "TABLE"):
            return self._create_source(place, or_replace, read_only=direction is not None)
        if direction is not None:
            raise self.unexpected("STREAM, TABLE or CONNECTOR", ("STREAM", "TABLE", "CONNECTOR"))
        if self.at_word("TYPE"):
            if or_replace:
                raise self.error("A type cannot be replaced.", hint="Drop it first.")
            return self._create_type(place)
        raise self.unexpected(
            "STREAM, TABLE, TYPE or SOURCE or SINK CONNECTOR",
            ("STREAM", "TABLE", "TYPE", "SOURCE", "SINK", "OR", "CONNECTOR"),
        )

    def _create_source(
        self, place: Position, or_replace: bool, *, read_only: bool
    ) -> ast.Statement:
        kind = ast.SourceKind(self.advance().value)
        if_not_exists = self.accept_words("IF", "NOT", "EXISTS")
        name = self._new_source_name()
        columns: tuple[ast.ColumnDefinition, ...] = ()
        has_columns = self.accept_symbol("(") is not None
        if has_columns:
            columns = self.parse_columns(kind)
            if not self.at_symbol(")"):
                raise self.unexpected(
                    "a comma or )", ("KEY", "PRIMARY", "HEADERS", "HEADER", "ARRAY")
                )
            self.advance()
        properties = self._optional_properties()
        if not self.at_word("AS"):
            return ast.CreateSource(
                kind,
                name,
                columns,
                properties,
                or_replace,
                if_not_exists,
                read_only,
                position=place,
            )
        if has_columns:
            raise self.error(
                "Columns cannot be declared together with AS SELECT.",
                hint="They follow from the query: leave the list out.",
            )
        if read_only:
            raise self.error(
                "SOURCE is for streams and tables over a topic, not for those that a query writes."
            )
        self.advance()
        query = self.parse_query()
        return ast.CreateAsSelect(
            kind, name, query, properties, or_replace, if_not_exists, position=place
        )

    def _create_type(self, place: Position) -> ast.Statement:
        self.advance()
        if_not_exists = self.accept_words("IF", "NOT", "EXISTS")
        name = self.expect_name("the name of a type")
        self.expect_word("AS")
        return ast.CreateType(name, self.parse_type(), if_not_exists, position=place)

    def _create_connector(self, direction: str, place: Position) -> ast.Statement:
        self.advance()
        if_not_exists = self.accept_words("IF", "NOT", "EXISTS")
        name = self.expect_name("the name of a connector")
        self.expect_word("WITH")
        properties = self._properties(upper=False)
        return ast.CreateConnector(direction, name, properties, if_not_exists, position=place)

    # --- DROP, ALTER ---------------------------------------------------------------------

    def _drop(self) -> ast.Statement:
        place = self.position(self.advance())
        word = self.expect_word("STREAM", "TABLE", "TYPE", "CONNECTOR").value
        if_exists = self.accept_words("IF", "EXISTS")
        if word == "TYPE":
            return ast.DropType(self.expect_name("the name of a type"), if_exists, position=place)
        if word == "CONNECTOR":
            name = self.expect_name("the name of a connector")
            return ast.DropConnector(name, if_exists, position=place)
        name = self._source_name()
        delete_topic = False
        if self.accept_word("DELETE"):
            self.expect_word("TOPIC")
            delete_topic = True
        return ast.DropSource(ast.SourceKind(word), name, if_exists, delete_topic, position=place)

    def _alter(self) -> ast.Statement:
        place = self.position(self.advance())
        if self.accept_word("SYSTEM"):
            return self._assignment(place, system=True)
        word = self.expect_word("STREAM", "TABLE", "SYSTEM").value
        name = self._source_name()
        columns = [self._added_column()]
        while self.accept_symbol(","):
            columns.append(self._added_column())
        return ast.AlterSource(ast.SourceKind(word), name, tuple(columns), position=place)

    def _added_column(self) -> ast.ColumnDefinition:
        self.expect_word("ADD")
        if self.at_word("COLUMN") and self.ahead(2).kind in (
            TokenKind.WORD,
            TokenKind.QUOTED_NAME,
        ):
            self.advance()
        first = self.token
        name = self.expect_name("the name of a column")
        return ast.ColumnDefinition(name, self.parse_type(), position=self.position(first))

    def _assignment(self, place: Position, *, system: bool = False) -> ast.Statement:
        name = self.expect_string("the name of a property")
        self.expect_symbol("=")
        value = self.expect_string("the value of the property")
        return ast.SetProperty(name, value, system, position=place)

    # --- INSERT --------------------------------------------------------------------------

    def _insert(self) -> ast.Statement:
        place = self.position(self.advance())
        self.expect_word("INTO")
        target = self._source_name()
        if self.at_word("SELECT", "WITH"):
            properties = self._optional_properties()
            return ast.InsertIntoSelect(target, self.parse_query(), properties, position=place)
        columns = self._optional_names()
        if columns and self.at_word("SELECT"):
            raise self.error(
                "INSERT INTO .. SELECT takes no list of columns.",
                hint="The names in SELECT say which columns are written.",
            )
        if columns:
            self.expect_word("VALUES")
        else:
            self.expect_word("VALUES", "SELECT")
        return ast.InsertValues(target, columns, self._values(), position=place)
