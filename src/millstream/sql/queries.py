"""Queries: SELECT and its clauses, relations and windows."""

from __future__ import annotations

from millstream.sql import ast
from millstream.sql.cursor import closest, ends_statement, is_name
from millstream.sql.expressions import ExpressionParser
from millstream.sql.tokens import Token, TokenKind
from millstream.sql.words import CLAUSES, UNITS, VERBS

_JOIN_WORDS = ("JOIN", "INNER", "LEFT", "RIGHT", "FULL")
_OPERATORS = ("AND", "OR", "NOT", "LIKE", "BETWEEN", "IN", "IS", "AS")
_WINDOWS = ("TUMBLING", "HOPPING", "SESSION")


class QueryParser(ExpressionParser):
    """Reads queries."""

    # A word taken as an alias without AS, which may have been meant as a clause.
    _bare_alias: Token | None = None

    def parse_query(self) -> ast.Query:
        """SELECT .. FROM .. and the clauses behind it, in their one order."""
        first = self.expect_word("SELECT")
        self._bare_alias = None
        select = self._select_items()
        if not self.at_word("FROM"):
            raise self._misplaced("FROM or a comma", ("FROM",))
        self.advance()
        relation = self._relation()
        window = self._window() if self._accept_window() else None
        where = self.parse_expression() if self.accept_word("WHERE") else None
        group_by = self._value_list("GROUP")
        partition_by = self._value_list("PARTITION")
        having = self.parse_expression() if self.accept_word("HAVING") else None
        emit = None
        if self.accept_word("EMIT"):
            emit = ast.Emit(self.expect_word("CHANGES", "FINAL").value)
        limit = self.expect_whole_number("the limit") if self.accept_word("LIMIT") else None
        return ast.Query(
            select,
            relation,
            window,
            where,
            group_by,
            partition_by,
            having,
            emit,
            limit,
            position=self.position(first),
        )

    def refuse_rest(self) -> None:
        """ParseError unless the statement ends here."""
        if not self.at_end():
            raise self._misplaced("the end of the statement", (*CLAUSES, *_OPERATORS))

    def _misplaced(self, expected: str, words: tuple[str, ...]) -> Exception:
        """The error about a token that no clause starts with."""
        token = self.token
        alias = self._bare_alias
        if alias is not None and alias.kind is TokenKind.WORD:
            near = closest(alias.value, (*words, "FROM"))
            if near is not None:
                return self.error(
                    f"Expected {expected} but found {self.describe(alias)}.",
                    alias,
                    hint=f"Did you mean {near}?",
                )
        word = token.value if token.kind is TokenKind.WORD else ""
        if word in ("ORDER", "BY") and (word == "BY" or self.at_words("ORDER", "BY")):
            return self.error(
                "ORDER BY is not part of the language: results come in the order of the input."
            )
        if word in ("UNION", "INTERSECT", "EXCEPT"):
            return self.error(
                f"{word} is not part of the language.",
                hint="Let several INSERT INTO .. SELECT statements write one stream.",
            )
        if word in VERBS and word not in words:
            return self.error(
                f"Expected {expected} but found {self.describe(token)}.",
                hint=f"A semicolon is missing in front of {word}.",
            )
        if word == "WITHIN":
            return self.error(
                "WITHIN is out of order here.", hint="It stands behind the stream and before ON."
            )
        if word in CLAUSES:
            return self.error(
                f"{word} is out of order here.",
                hint="The order is SELECT, FROM, JOIN, WINDOW, WHERE, GROUP BY, PARTITION BY,"
                " HAVING, EMIT, LIMIT.",
            )
        return self.unexpected(expected, words)

    # --- SELECT --------------------------------------------------------------------------

    def _select_items(self) -> tuple[ast.Selection, ...]:
        if self.at_word("DISTINCT"):
            raise self.error(
                "SELECT DISTINCT is not part of the language.",
                hint="Use GROUP BY to get each value once.",
            )
        items = [self._select_item()]
        while self.accept_symbol(","):
            items.append(self._select_item())
        return tuple(items)

    def _select_item(self) -> ast.Selection:
        first = self.token
        if self.accept_symbol("*"):
            return ast.SelectAll(position=self.position(first))
        if is_name(first) and self._is_symbol(1, ".") and self._is_symbol(2, "*"):
            for _ in range(3):
                self.advance()
            return ast.SelectAll(first.value, position=self.span(first))
        start = self._index
        expression = self.parse_expression()
        if self.at_symbol("->"):
            return self._select_struct(start)
        return ast.SelectItem(expression, self._alias(), position=self.span(first))

    def _select_struct(self, start: int) -> ast.SelectStructAll:
        """`struct->*`, where what stands before the arrow must hold together by itself."""
        arrow = self._index
        self._index = start
        first = self.token
        base = self._postfix()
        if self._index != arrow:
            self._index = arrow
            raise self.error(
                "->* must follow one struct.", hint="Put what makes the struct in parentheses."
            )
        self.expect_symbol("->")
        self.expect_symbol("*")
        return ast.SelectStructAll(base, position=self.span(first))

    def _alias(self) -> str | None:
        """An alias behind AS, or a bare name that does not start a clause."""
        if self.accept_word("AS"):
            return self.expect_name("an alias")
        token = self.token
        if not is_name(token) or self._starts_clause():
            if token.kind is TokenKind.STRING:
                raise self.error(
                    "A string cannot be an alias.", hint="Put the alias in back-ticks."
                )
            return None
        self._bare_alias = token
        return self.advance().value

    def _starts_clause(self) -> bool:
        """Whether the word at hand, which may be a name, starts a clause here."""
        if self.token.kind is not TokenKind.WORD:
            return False
        word = self.token.value
        following = self.ahead().value if self.ahead().kind is TokenKind.WORD else None
        if word == "WINDOW":
            return self._at_window()
        if word in ("PARTITION", "ORDER"):
            return following == "BY"
        if word == "EMIT":
            return following in ("CHANGES", "FINAL")
        if word == "AT":
            return following == "TIME"
        return word in ("UNION", "INTERSECT", "EXCEPT")

    # --- FROM ----------------------------------------------------------------------------

    def _relation(self) -> ast.Relation:
        relation: ast.Relation = self._named_relation()
        while self.at_word(*_JOIN_WORDS):
            relation = self._join(relation)
        if self.at_symbol(","):
            raise self.error(
                "FROM names one stream or table.", hint="Write JOIN .. ON .. to name several."
            )
        return relation

    def _named_relation(self) -> ast.NamedRelation:
        if self.accept_symbol("("):
            self._refuse_subquery()
        token = self.token
        name = self.expect_name("the name of a stream or table")
        place = self.position(token)
        alias = self._alias()
        return ast.NamedRelation(name, name if alias is None else alias, position=place)

    def _join(self, left: ast.Relation) -> ast.Join:
        first = self.token
        kind = ast.JoinKind.INNER
        if self.accept_word("LEFT", "RIGHT", "FULL"):
            kind = ast.JoinKind(first.value)
            self.accept_word("OUTER")
        else:
            self.accept_word("INNER")
        self.expect_word("JOIN")
        right = self._named_relation()
        within = self._within() if self.accept_word("WITHIN") else None
        if not self.at_word("ON"):
            raise self._misplaced("ON", ("ON", "WITHIN"))
        self.advance()
        condition = self.parse_expression()
        return ast.Join(kind, left, right, condition, within, position=self.position(first))

    def _within(self) -> ast.Within:
        first = self.token
        if self.accept_symbol("("):
            before = self.parse_duration()
            self.expect_symbol(",")
            after = self.parse_duration()
            self.expect_symbol(")")
        else:
            before = after = self.parse_duration()
        grace = self._grace() if self.at_word("GRACE") else None
        return ast.Within(before, after, grace, position=self.span(first))

    def _grace(self) -> ast.Duration:
        self.expect_word("GRACE")
        self.expect_word("PERIOD")
        return self.parse_duration()

    def parse_duration(self) -> ast.Duration:
        """A whole number and a unit of time."""
        first = self.token
        value = self.expect_whole_number("a duration")
        if self.token.kind is not TokenKind.WORD or self.token.value not in UNITS:
            raise self.unexpected("a unit of time such as SECONDS", tuple(UNITS))
        unit = UNITS[self.advance().value]
        duration = ast.Duration(value, unit, position=self.span(first))
        if duration.ms > ast.MOST_MS:
            raise self.error(
                f"The duration of {value} {unit} is too long.",
                first,
                hint=f"The longest is {ast.MOST_MS // ast.UNIT_MS['DAYS']} DAYS.",
            )
        return duration

    # --- WINDOW --------------------------------------------------------------------------

    def _at_window(self) -> bool:
        """Whether WINDOW is the clause here: a kind of window follows, or a name and a kind."""
        for place in (1, 2):
            token = self.ahead(place)
            if (
                token.kind is TokenKind.WORD
                and token.value in _WINDOWS
                and self._is_symbol(place + 1, "(")
            ):
                return True
        following = self.ahead()
        return (
            following.kind is TokenKind.WORD
            and is_name(following)
            and (closest(following.value, _WINDOWS) is not None or self._is_symbol(2, "("))
        )

    def _accept_window(self) -> bool:
        if not self.at_word("WINDOW"):
            return False
        self.advance()
        return True

    def _window(self) -> ast.Window:
        if is_name(self.token) and not self.at_word(*_WINDOWS) and is_name(self.ahead()):
            self.advance()  # a window's name, which nothing refers to
        first = self.expect_word(*_WINDOWS)
        self.expect_symbol("(")
        place = self.position(first)
        if first.value == "SESSION":
            gap = self.parse_duration()
            retention, grace = self._window_options()
            return ast.SessionWindow(gap, retention=retention, grace=grace, position=place)
        self.expect_word("SIZE")
        size = self.parse_duration()
        if first.value == "TUMBLING":
            retention, grace = self._window_options()
            return ast.TumblingWindow(size, retention=retention, grace=grace, position=place)
        self.expect_symbol(",")
        self.expect_word("ADVANCE")
        self.expect_word("BY")
        advance = self.parse_duration()
        retention, grace = self._window_options()
        return ast.HoppingWindow(size, advance, retention=retention, grace=grace, position=place)

    def _window_options(self) -> tuple[ast.Duration | None, ast.Duration | None]:
        retention = grace = None
        while self.accept_symbol(","):
            if retention is None and grace is None and self.accept_word("RETENTION"):
                retention = self.parse_duration()
            elif grace is None and self.at_word("GRACE"):
                grace = self._grace()
            else:
                raise self.unexpected(
                    "RETENTION or GRACE PERIOD"
                    if grace is None and retention is None
                    else "GRACE PERIOD"
                    if grace is None
                    else ")",
                    ("RETENTION", "GRACE"),
                )
        self.expect_symbol(")")
        return retention, grace

    # --- GROUP BY, PARTITION BY ----------------------------------------------------------

    def _value_list(self, word: str) -> tuple[ast.Expression, ...]:
        """The values behind GROUP BY or PARTITION BY: `a, b` or `(a, b)`; no bare conditions."""
        if not self.accept_word(word):
            return ()
        self.expect_word("BY")
        in_parentheses = self._at_list_in_parentheses()
        if in_parentheses:
            self.advance()
        items = [self.parse_value()]
        while self.accept_symbol(","):
            items.append(self.parse_value())
        if in_parentheses:
            self.expect_symbol(")")
        return tuple(items)

    def _at_list_in_parentheses(self) -> bool:
        """Whether `(a, b)` starts here: a comma between the parentheses, and behind them nothing
        that an expression could go on with. One value in parentheses is an expression anyway."""
        depth, comma = 0, False
        for index in range(self._index, self._last):
            token = self._tokens[index]
            if token.kind is not TokenKind.SYMBOL:
                if depth == 0:
                    return False
            elif token.value in ("(", "["):
                depth += 1
            elif token.value in (")", "]"):
                depth -= 1
                if depth == 0:
                    after = self._tokens[index + 1]
                    return comma and (after.kind is TokenKind.WORD or ends_statement(after))
            elif depth == 0:
                return False
            elif token.value == "," and depth == 1:
                comma = True
        return False
