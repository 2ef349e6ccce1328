"""Expressions: precedence climbing over tokens."""

from __future__ import annotations

import decimal
import math
from collections.abc import Sized

from millstream.errors import Position
from millstream.sql import ast
from millstream.sql.cursor import is_name
from millstream.sql.tokens import Token, TokenKind
from millstream.sql.type_parser import TypeParser
from millstream.sql.words import TAKES_TIME_UNIT, UNITS

_COMPARISONS = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_RANKS = {"||": 0, "+": 1, "-": 1, "*": 2, "/": 2, "%": 2}
MAX_CHAIN = 64
"""How many operators in a row may make a tree that leans to one side."""

_NUMBERS = (TokenKind.INTEGER, TokenKind.DECIMAL, TokenKind.DOUBLE)
_TYPED_LITERALS = ("DATE", "TIME", "TIMESTAMP")


class ExpressionParser(TypeParser):
    """Reads expressions. From loosest to tightest: OR; AND; NOT; one predicate (comparison,
    BETWEEN, IN, LIKE, IS); ||; + -; * / %; sign; AT TIME ZONE; brackets and arrows."""

    # --- conditions ----------------------------------------------------------------------

    def parse_expression(self) -> ast.Expression:
        """Any expression, conditions included."""
        return self._condition("OR")

    def _condition(self, op: str) -> ast.Expression:
        """Conditions joined by OR, or by what binds tighter: AND."""
        start = self._index
        operands = [self._condition("AND") if op == "OR" else self._negated_condition()]
        ends = [self._index]
        while self.accept_word(op):
            operands.append(self._condition("AND") if op == "OR" else self._negated_condition())
            ends.append(self._index)
        if len(operands) == 1:
            return operands[0]
        return self._joined(op, operands, [start, *ends])

    def _joined(self, op: str, operands: list[ast.Expression], places: list[int]) -> ast.Expression:
        """One tree of the operands, from left to right; many of them make a balanced one, which
        means the same and keeps its depth small. `places` are where operands start and end."""
        if len(operands) > MAX_CHAIN:
            half = len(operands) // 2
            left = self._joined(op, operands[:half], places[: half + 1])
            right = self._joined(op, operands[half:], places[half:])
            return ast.Logical(op, left, right, position=self._between(places[0], places[-1]))
        tree = operands[0]
        for operand, end in zip(operands[1:], places[2:], strict=True):
            tree = ast.Logical(op, tree, operand, position=self._between(places[0], end))
        return tree

    def _between(self, start: int, end: int) -> Position:
        """From the token at index `start` up to the one in front of index `end`."""
        first = self._tokens[start]
        if first.kind is TokenKind.WORD and first.value in ("AND", "OR"):
            first = self._tokens[start + 1]
        return self.source.position(first.start, self._tokens[end - 1].end)

    def _negated_condition(self) -> ast.Expression:
        if not self.at_word("NOT"):
            return self._predicate()
        negations: list[Token] = []
        while self.at_word("NOT"):
            negations.append(self.advance())
            self._limit_chain(negations)
        condition = self._predicate()
        for token in reversed(negations):
            condition = ast.Not(condition, position=self.span(token))
        return condition

    def _limit_chain(self, chain: Sized) -> None:
        """ParseError when a chain of operators would make too deep a tree."""
        if len(chain) > MAX_CHAIN:
            raise self.error(f"There are more than {MAX_CHAIN} operators in a row here.")

    def _predicate(self) -> ast.Expression:
        """A value, with at most one comparison or test behind it."""
        first = self.token
        left = self.parse_value()
        token = self.token
        if token.kind is TokenKind.SYMBOL:
            op = _COMPARISONS.get(token.value)
            if op is not None:
                self.advance()
                right = self.parse_value()
                return ast.Comparison(op, left, right, position=self.span(first))
            if token.value == "==":
                raise self.error("Two values are compared by one equals sign.", hint="Write =.")
            return left
        if token.kind is not TokenKind.WORD:
            return left
        if token.value == "IS":
            return self._is(first, left)
        negated = token.value == "NOT"
        if negated:
            following = self.ahead()
            if following.kind is not TokenKind.WORD or following.value not in (
                "BETWEEN",
                "IN",
                "LIKE",
            ):
                return left
            self.advance()
        if self.accept_word("BETWEEN"):
            low = self.parse_value()
            self.expect_word("AND")
            high = self.parse_value()
            return ast.Between(left, low, high, negated, position=self.span(first))
        if self.accept_word("IN"):
            return self._in(first, left, negated)
        if self.accept_word("LIKE"):
            return self._like(first, left, negated)
        return left

    def _is(self, first: Token, left: ast.Expression) -> ast.Expression:
        self.expect_word("IS")
        negated = self.accept_word("NOT") is not None
        if self.accept_word("NULL"):
            return ast.IsNull(left, negated, position=self.span(first))
        if self.accept_word("DISTINCT"):
            self.expect_word("FROM")
            right = self.parse_value()
            op = "IS NOT DISTINCT FROM" if negated else "IS DISTINCT FROM"
            return ast.Comparison(op, left, right, position=self.span(first))
        hint = "Compare with = TRUE or = FALSE instead." if self.at_word("TRUE", "FALSE") else None
        raise self.unexpected(
            "NULL or DISTINCT FROM" if negated else "NULL, NOT NULL or DISTINCT FROM",
            ("NULL", "NOT", "DISTINCT"),
            hint=hint,
        )

    def _in(self, first: Token, left: ast.Expression, negated: bool) -> ast.Expression:
        self.expect_symbol("(")
        self._refuse_subquery()
        if self.at_symbol(")"):
            raise self.error("The list behind IN must not be empty.")
        items = self._expressions_until_closed()
        return ast.In(left, items, negated, position=self.span(first))

    def _like(self, first: Token, left: ast.Expression, negated: bool) -> ast.Expression:
        pattern = self.parse_value()
        escape = None
        if self.accept_word("ESCAPE"):
            token = self.token
            escape = self.expect_string("the escape character")
            if len(escape) != 1:
                raise self.error("The escape character must be one character.", token)
        return ast.Like(left, pattern, escape, negated, position=self.span(first))

    # --- values --------------------------------------------------------------------------

    def parse_value(self) -> ast.Expression:
        """An expression that is no condition unless it stands in parentheses."""
        return self._operation(0)

    def _operation(self, rank: int) -> ast.Expression:
        """Operands and the operators between them that bind as tightly as `rank` or tighter."""
        first = self.token
        left = self._signed()
        taken: list[str] = []
        while self.token.kind is TokenKind.SYMBOL:
            op = self.token.value
            own = _RANKS.get(op)
            if own is None or own < rank:
                break
            self.advance()
            taken.append(op)
            self._limit_chain(taken)
            right = self._operation(own + 1)
            place = self.span(first)
            if op == "||":
                left = ast.FunctionCall("CONCAT", (left, right), position=place)
            else:
                left = ast.Arithmetic(op, left, right, position=place)
        return left

    def _signed(self) -> ast.Expression:
        signs: list[Token] = []
        while self.at_symbol("-", "+"):
            if self.at_symbol("-") and self.ahead().kind in _NUMBERS:
                break
            signs.append(self.advance())
            self._limit_chain(signs)
        first = self.token
        operand = self._postfix()
        while self.accept_words("AT", "TIME", "ZONE"):
            zone = self.expect_string("a time zone")
            operand = ast.AtTimeZone(operand, zone, position=self.span(first))
        for sign in reversed(signs):
            operand = ast.Negation(sign.value, operand, position=self.span(sign))
        return operand

    def _postfix(self) -> ast.Expression:
        first = self.token
        operand = self._primary()
        steps: list[Token] = []
        while True:
            steps.append(self.token)
            self._limit_chain(steps)
            if self.accept_symbol("["):
                self.nest()
                index = self.parse_value()
                self.unnest()
                self.expect_symbol("]")
                operand = ast.Subscript(operand, index, position=self.span(first))
            elif self.at_symbol("->"):
                if self.ahead().kind is TokenKind.SYMBOL and self.ahead().value == "*":
                    return operand
                self.advance()
                name = self.expect_name("the name of a field")
                operand = ast.FieldAccess(operand, name, position=self.span(first))
            else:
                return operand

    # --- primaries -----------------------------------------------------------------------

    def _primary(self) -> ast.Expression:
        token = self.token
        kind = token.kind
        if kind is TokenKind.WORD:
            return self._word()
        if kind is TokenKind.QUOTED_NAME:
            return self._named()
        if kind is TokenKind.STRING:
            self.advance()
            return ast.StringLiteral(token.value, position=self.position(token))
        if kind in _NUMBERS or (self.at_symbol("-") and self.ahead().kind in _NUMBERS):
            return self.parse_number()
        if self.at_symbol("("):
            return self._parenthesised()
        raise self.unexpected("an expression")

    def _parenthesised(self) -> ast.Expression:
        self.expect_symbol("(")
        self._refuse_subquery()
        self.nest()
        inner = self.parse_expression()
        self.unnest()
        self.expect_symbol(")")
        return inner

    def _refuse_subquery(self) -> None:
        if self.at_word("SELECT"):
            raise self.error(
                "A query inside another is not part of the language.",
                hint="Make the inner query a stream or table of its own, and name that here.",
            )

    def parse_number(self) -> ast.Expression:
        """A number, a minus sign in front of it included."""
        first = self.token
        sign = "-" if self.accept_symbol("-") else ""
        token = self.token
        if token.kind not in _NUMBERS:
            raise self.unexpected("a number")
        self.advance()
        place = self.span(first)
        if token.kind is TokenKind.INTEGER:
            return ast.IntegerLiteral(self.integer(token, sign), position=place)
        if token.kind is TokenKind.DECIMAL:
            return ast.DecimalLiteral(decimal.Decimal(sign + token.value), position=place)
        value = float(sign + token.value)
        if math.isinf(value):
            raise self.error(
                f"The number {sign}{token.value} is beyond what a DOUBLE holds.", token
            )
        return ast.DoubleLiteral(value, position=place)

    def _word(self) -> ast.Expression:
        """What starts with an unquoted word: a literal, a constructor, a call or a column."""
        token = self.token
        word = token.value
        if word == "NULL":
            self.advance()
            return ast.NullLiteral(position=self.position(token))
        if word in ("TRUE", "FALSE"):
            self.advance()
            return ast.BooleanLiteral(word == "TRUE", position=self.position(token))
        if word == "CASE":
            return self._case()
        if word == "CAST":
            return self._cast()
        following = self.ahead()
        if word in _TYPED_LITERALS and following.kind is TokenKind.STRING:
            self.advance()
            self.advance()
            return ast.TypedLiteral(word, following.value, position=self.span(token))
        if following.kind is TokenKind.SYMBOL:
            if word == "ARRAY" and following.value == "[":
                return self._array()
            if word == "MAP" and following.value == "(":
                return self._map()
            if word == "STRUCT" and following.value == "(":
                return self._struct()
        return self._named()

    def _named(self) -> ast.Expression:
        """A call, or a column with or without its source."""
        token = self.token
        name = self.expect_name("an expression")
        if self.at_symbol("("):
            return self._call(token)
        if self.accept_symbol("."):
            if self.at_symbol("*"):
                raise self.error(
                    f"{self.describe(token)}.* may stand only as an item of SELECT, on its own."
                )
            column = self.expect_name("the name of a column")
            return ast.ColumnRef(column, name, position=self.span(token))
        return ast.ColumnRef(name, position=self.position(token))

    def _case(self) -> ast.Expression:
        first = self.expect_word("CASE")
        self.nest()
        operand = None if self.at_word("WHEN") else self.parse_value()
        whens: list[ast.When] = []
        while self.at_word("WHEN") or not whens:
            start = self.expect_word("WHEN")
            condition = self.parse_expression()
            self.expect_word("THEN")
            result = self.parse_expression()
            whens.append(ast.When(condition, result, position=self.span(start)))
        default = self.parse_expression() if self.accept_word("ELSE") else None
        if not self.at_word("END"):
            raise self.unexpected("END", ("END", "ELSE", "WHEN"))
        self.advance()
        self.unnest()
        return ast.Case(operand, tuple(whens), default, position=self.position(first))

    def _cast(self) -> ast.Expression:
        first = self.expect_word("CAST")
        self.expect_symbol("(")
        self.nest()
        operand = self.parse_expression()
        self.expect_word("AS")
        target = self.parse_type()
        self.unnest()
        self.expect_symbol(")")
        return ast.Cast(operand, target, position=self.position(first))

    def _array(self) -> ast.Expression:
        first = self.advance()
        self.expect_symbol("[")
        self.nest()
        items: list[ast.Expression] = []
        while not self.at_symbol("]"):
            if items:
                self._expect_comma_or("]")
            items.append(self.parse_expression())
        self.unnest()
        self.expect_symbol("]")
        return ast.ArrayConstructor(tuple(items), position=self.position(first))

    def _map(self) -> ast.Expression:
        first = self.advance()
        self.expect_symbol("(")
        self.nest()
        entries: list[tuple[ast.Expression, ast.Expression]] = []
        while not self.at_symbol(")"):
            if entries:
                self._expect_comma_or(")")
            key = self.parse_expression()
            self.expect_symbol(":=")
            entries.append((key, self.parse_expression()))
        self.unnest()
        self.expect_symbol(")")
        return ast.MapConstructor(tuple(entries), position=self.position(first))

    def _struct(self) -> ast.Expression:
        first = self.advance()
        self.expect_symbol("(")
        self.nest()
        fields: list[tuple[str, ast.Expression]] = []
        while not self.at_symbol(")"):
            if fields:
                self._expect_comma_or(")")
            name = self.expect_name("the name of a field")
            self.expect_symbol(":=")
            fields.append((name, self.parse_expression()))
        self.unnest()
        self.expect_symbol(")")
        return ast.StructConstructor(tuple(fields), position=self.position(first))

    def _expect_comma_or(self, closing: str) -> None:
        if not self.at_symbol(","):
            raise self.unexpected(f"a comma or {closing}")
        self.advance()

    def _expressions_until_closed(self) -> tuple[ast.Expression, ...]:
        """Expressions with commas between them, and the parenthesis that closes the list."""
        self.nest()
        items = [self.parse_expression()]
        while not self.at_symbol(")"):
            self._expect_comma_or(")")
            items.append(self.parse_expression())
        self.unnest()
        self.expect_symbol(")")
        return tuple(items)

    # --- calls ---------------------------------------------------------------------------

    def _call(self, name: Token) -> ast.Expression:
        place = self.position(name)
        self.expect_symbol("(")
        if self.at_symbol("*") and self._is_symbol(1, ")"):
            self.advance()
            self.advance()
            return ast.FunctionCall(name.value, (), star=True, position=place)
        if self.at_word("DISTINCT"):
            raise self.error(
                "DISTINCT inside a call is not part of the language.",
                hint="COUNT_DISTINCT(x) counts different values.",
            )
        self.nest()
        arguments: list[ast.Expression] = []
        lambdas = False
        while not self.at_symbol(")"):
            if arguments:
                self._expect_comma_or(")")
            if self._at_lambda():
                if not arguments:
                    raise self.error("A lambda cannot be the first argument of a function.")
                lambdas = True
                arguments.append(self._lambda())
                continue
            if lambdas:
                raise self.error("Behind a lambda only lambdas may follow.")
            arguments.append(self._argument(name, first=not arguments))
        self.unnest()
        self.expect_symbol(")")
        return ast.FunctionCall(name.value, tuple(arguments), position=place)

    def _argument(self, function: Token, *, first: bool) -> ast.Expression:
        token = self.token
        if (
            first
            and function.value in TAKES_TIME_UNIT
            and token.kind is TokenKind.WORD
            and token.value in UNITS
            and (self._is_symbol(1, ",") or self._is_symbol(1, ")"))
        ):
            self.advance()
            return ast.TimeUnit(UNITS[token.value], position=self.position(token))
        return self.parse_expression()

    def _is_symbol(self, ahead: int, symbol: str) -> bool:
        token = self.ahead(ahead)
        return token.kind is TokenKind.SYMBOL and token.value == symbol

    def _at_lambda(self) -> bool:
        """Whether `x =>` or `(x, y) =>` starts here."""
        if self.at_name():
            return self._is_symbol(1, "=>")
        if not self.at_symbol("("):
            return False
        place = 1
        while is_name(self.ahead(place)) and self._is_symbol(place + 1, ","):
            place += 2
        return (
            is_name(self.ahead(place))
            and self._is_symbol(place + 1, ")")
            and self._is_symbol(place + 2, "=>")
        )

    def _lambda(self) -> ast.Expression:
        first = self.token
        parameters: list[str] = []
        closed = self.accept_symbol("(") is None
        while True:
            token = self.token
            name = self.expect_name("the name of a lambda's parameter")
            if name in parameters:
                raise self.error(f"The lambda has two parameters named {name}.", token)
            parameters.append(name)
            if closed or self.accept_symbol(",") is None:
                break
        if not closed:
            self.expect_symbol(")")
        self.expect_symbol("=>")
        body = self.parse_expression()
        return ast.Lambda(tuple(parameters), body, position=self.span(first))
