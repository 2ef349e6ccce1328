"""Statements: recursive descent over tokens."""

from __future__ import annotations

from collections.abc import Callable

from millstream.errors import Position
from millstream.sql import ast
from millstream.sql.cursor import ends_statement
from millstream.sql.definitions import DefinitionParser
from millstream.sql.tokens import TokenKind
from millstream.sql.words import VERBS
from millstream.types import is_plain_name

_SHOWN = {
    "PROPERTIES": False,
    "TOPICS": True,
    "STREAMS": True,
    "TABLES": True,
    "FUNCTIONS": False,
    "CONNECTORS": False,
    "TYPES": False,
    "VARIABLES": False,
    "QUERIES": True,
}
"""What SHOW shows, and whether EXTENDED may follow."""


class StatementParser(DefinitionParser):
    """Reads one statement."""

    def parse_statement(self) -> ast.Statement:
        """The statement that starts here; a semicolon or the end must follow it."""
        statement = self._statement()
        self.refuse_rest()
        return statement

    def _statement(self) -> ast.Statement:
        token = self.token
        handler = _HANDLERS.get(token.value) if token.kind is TokenKind.WORD else None
        if handler is not None:
            return handler(self)
        hint = None
        if token.kind is TokenKind.WORD:
            if token.value in ("UPDATE", "DELETE", "MERGE", "UPSERT"):
                hint = "A row of a table is changed by INSERT INTO .. VALUES with its key."
            elif token.value == "WITH":
                hint = "Make the query in front a stream or table of its own."
        raise self.unexpected("a statement such as SELECT, CREATE or INSERT", VERBS, hint=hint)

    def _select(self) -> ast.Statement:
        first = self.token
        return ast.Select(self.parse_query(), position=self.position(first))

    # --- running queries and connectors --------------------------------------------------

    def _control(self) -> ast.Statement:
        verb = self.advance()
        place = self.position(verb)
        action = ast.QueryAction(verb.value)
        following = self.ahead()
        if self.at_word("CONNECTOR") and following.kind in (
            TokenKind.WORD,
            TokenKind.QUOTED_NAME,
        ):
            if action is ast.QueryAction.TERMINATE:
                raise self.error(
                    "A connector cannot be terminated.", hint="Write DROP CONNECTOR or PAUSE."
                )
            self.advance()
            name = self.expect_name("the name of a connector")
            return ast.ControlConnector(action, name, position=place)
        if self.accept_word("ALL"):
            return ast.ControlQuery(action, None, position=place)
        query_id = self.expect_name("the id of a query, or ALL,")
        return ast.ControlQuery(action, query_id, position=place)

    # --- looking at things ---------------------------------------------------------------

    def _show(self) -> ast.Statement:
        place = self.position(self.advance())
        if self.accept_words("CONNECTOR", "PLUGINS"):
            return ast.Show("CONNECTOR PLUGINS", position=place)
        if self.at_word("SOURCE", "SINK"):
            direction = self.advance().value
            self.expect_word("CONNECTORS")
            return ast.Show(f"{direction} CONNECTORS", position=place)
        if self.accept_word("ALL"):
            self.expect_word("TOPICS")
            return ast.Show("ALL TOPICS", self.accept_word("EXTENDED") is not None, position=place)
        word = self.token.value if self.token.kind is TokenKind.WORD else ""
        if word not in _SHOWN:
            raise self.unexpected(
                "what to show, such as STREAMS or TOPICS", (*_SHOWN, "SOURCE", "SINK", "ALL")
            )
        self.advance()
        extended = _SHOWN[word] and self.accept_word("EXTENDED") is not None
        return ast.Show(word, extended, position=place)

    def _describe(self) -> ast.Statement:
        place = self.position(self.advance())
        named = self.ahead().kind in (TokenKind.WORD, TokenKind.QUOTED_NAME)
        if named and not _is_extended(self):
            if self.accept_word("FUNCTION"):
                name = self.expect_name("the name of a function")
                return ast.DescribeFunction(name, position=place)
            if self.accept_word("CONNECTOR"):
                name = self.expect_name("the name of a connector")
                return ast.DescribeConnector(name, position=place)
            if self.at_word("STREAM", "TABLE"):
                raise self.error(f"DESCRIBE takes a name alone: leave {self.token.value} out.")
        all_of = self.accept_word("STREAMS", "TABLES")
        if all_of is not None:
            kind = ast.SourceKind(all_of.value[:-1])
            extended = self.accept_word("EXTENDED") is not None
            return ast.Describe(None, extended, kind, position=place)
        name = self._source_name()
        return ast.Describe(name, self.accept_word("EXTENDED") is not None, position=place)

    def _print(self) -> ast.Statement:
        place = self.position(self.advance())
        topic = self._topic()
        from_beginning = self.accept_words("FROM", "BEGINNING")
        interval = None
        if self.accept_word("INTERVAL", "SAMPLE"):
            interval = self.expect_whole_number("the interval")
        limit = self.expect_whole_number("the limit") if self.accept_word("LIMIT") else None
        if not self.at_end():
            hint = "Put the name of the topic in quotes." if self.at_symbol("-", ".") else None
            raise self.unexpected(
                "FROM BEGINNING, INTERVAL or LIMIT",
                ("FROM", "INTERVAL", "SAMPLE", "LIMIT"),
                hint=hint,
            )
        return ast.PrintTopic(topic, from_beginning, interval, limit, position=place)

    def _topic(self, what: str = "the name of a topic") -> str:
        """A name outside of SQL, its case as written; quotes of any kind are allowed."""
        if self.token.kind is not TokenKind.STRING and not self.at_name():
            raise self.unexpected(what)
        if not self.token.value:
            raise self.error("A name in quotes must not be empty.")
        return self._written(self.advance())

    def _explain(self) -> ast.Statement:
        place = self.position(self.advance())
        if self.at_word("ANALYZE") and not ends_statement(self.ahead()):
            self.advance()
            return self._explain_analyze(place)
        if self.at_word("EXPLAIN"):
            raise self.error("EXPLAIN itself cannot be explained.")
        ends = ends_statement(self.ahead())
        if self.at_word(*VERBS) and not ends:
            return ast.Explain(self._statement(), None, position=place)
        if not ends:
            raise self.unexpected("a statement or the id of a query", (*VERBS, "ANALYZE"))
        query_id = self.expect_name("a statement or the id of a query")
        return ast.Explain(None, query_id, position=place)

    def _explain_analyze(self, place: Position) -> ast.Statement:
        if not ends_statement(self.ahead()):
            hint = "SHOW QUERIES lists the ids; EXPLAIN alone shows the plan of a statement."
            raise self.error("EXPLAIN ANALYZE takes the id of a query.", hint=hint)
        query_id = self.expect_name("the id of a query")
        return ast.Explain(None, query_id, analyze=True, position=place)

    # --- the session ---------------------------------------------------------------------

    def _set(self) -> ast.Statement:
        return self._assignment(self.position(self.advance()))

    def _unset(self) -> ast.Statement:
        place = self.position(self.advance())
        return ast.UnsetProperty(self.expect_string("the name of a property"), position=place)

    def _variable(self) -> str:
        if self.token.kind is not TokenKind.WORD or not is_plain_name(self.token.value):
            raise self.unexpected("the name of a variable")
        return self._written(self.advance())

    def _define(self) -> ast.Statement:
        place = self.position(self.advance())
        name = self._variable()
        self.expect_symbol("=")
        value = self.expect_string("the value of the variable")
        return ast.DefineVariable(name, value, position=place)

    def _undefine(self) -> ast.Statement:
        place = self.position(self.advance())
        return ast.UndefineVariable(self._variable(), position=place)

    def _run_script(self) -> ast.Statement:
        place = self.position(self.advance())
        self.expect_word("SCRIPT")
        return ast.RunScript(self.expect_string("the path of a script"), position=place)

    # --- ASSERT --------------------------------------------------------------------------

    def _assert(self) -> ast.Statement:
        place = self.position(self.advance())
        if self.accept_word("VALUES"):
            source = self._source_name()
            columns = self._optional_names()
            self.expect_word("VALUES")
            return ast.AssertValues(source, columns, self._values(), position=place)
        if self.accept_word("NULL"):
            self.expect_word("VALUES")
            source = self._source_name()
            columns = self._optional_names()
            self.expect_word("KEY")
            return ast.AssertTombstone(source, columns, self._values(), position=place)
        if self.at_word("STREAM", "TABLE"):
            kind = ast.SourceKind(self.advance().value)
            name = self._source_name()
            definitions: tuple[ast.ColumnDefinition, ...] = ()
            if self.accept_symbol("("):
                definitions = self.parse_columns(kind)
                self.expect_symbol(")")
            properties = self._optional_properties()
            return ast.AssertSource(kind, name, definitions, properties, position=place)
        exists = not self.accept_words("NOT", "EXISTS")
        if self.accept_word("TOPIC"):
            topic = self._topic()
            properties = self._optional_properties()
            return ast.AssertTopic(topic, properties, exists, self._timeout(), position=place)
        if self.accept_word("SCHEMA"):
            subject = self._topic("a subject") if self.accept_word("SUBJECT") else None
            schema_id = self.expect_whole_number("the id") if self.accept_word("ID") else None
            if subject is None and schema_id is None:
                raise self.unexpected("SUBJECT or ID", ("SUBJECT", "ID"))
            return ast.AssertSchema(subject, schema_id, exists, self._timeout(), position=place)
        words = ("TOPIC", "SCHEMA", "NOT", "VALUES", "NULL", "STREAM", "TABLE")
        raise self.unexpected("what to assert, such as TOPIC or SCHEMA", words)

    def _timeout(self) -> ast.Duration | None:
        return self.parse_duration() if self.accept_word("TIMEOUT") else None


def _is_extended(parser: StatementParser) -> bool:
    """Whether the word behind the one at hand is EXTENDED and ends the statement."""
    following = parser.ahead()
    return (
        following.kind is TokenKind.WORD
        and following.value == "EXTENDED"
        and ends_statement(parser.ahead(2))
    )


_HANDLERS: dict[str, Callable[[StatementParser], ast.Statement]] = {
    "SELECT": StatementParser._select,
    "CREATE": StatementParser._create,
    "INSERT": StatementParser._insert,
    "DROP": StatementParser._drop,
    "ALTER": StatementParser._alter,
    "TERMINATE": StatementParser._control,
    "PAUSE": StatementParser._control,
    "RESUME": StatementParser._control,
    "SHOW": StatementParser._show,
    "LIST": StatementParser._show,
    "DESCRIBE": StatementParser._describe,
    "DESC": StatementParser._describe,
    "PRINT": StatementParser._print,
    "EXPLAIN": StatementParser._explain,
    "SET": StatementParser._set,
    "UNSET": StatementParser._unset,
    "DEFINE": StatementParser._define,
    "UNDEFINE": StatementParser._undefine,
    "ASSERT": StatementParser._assert,
    "RUN": StatementParser._run_script,
}
