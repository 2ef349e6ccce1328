"""Scripts: cutting at semicolons, variables, and places in the whole text."""

from __future__ import annotations

import pytest

from millstream.errors import ParseError, Position
from millstream.sql import (
    ast,
    iter_script,
    parse_columns,
    parse_script,
    parse_statement,
    parse_type,
    split_statements,
    substitute,
)
from millstream.sql.variables import Variables
from millstream.types import BIGINT, INTEGER, Field, Struct


def _refused(text: str, variables: dict[str, str] | None = None) -> ParseError:
    with pytest.raises(ParseError) as caught:
        parse_script(text, variables)
    assert caught.value.source == text
    return caught.value


class TestSplit:
    def test_semicolons_inside_quotes_and_comments_do_not_cut(self) -> None:
        text = "PRINT 'a;b'; -- c;d\n/* ; */ PRINT `e;f` ;PRINT \"g;h\""
        assert [part.text for part in split_statements(text)] == [
            "PRINT 'a;b';",
            "PRINT `e;f` ;",
            'PRINT "g;h"',
        ]

    def test_the_last_statement_may_lack_its_semicolon(self) -> None:
        parts = split_statements("SHOW TOPICS;\n  SHOW\n STREAMS  \n")
        assert [part.terminated for part in parts] == [True, False]
        assert parts[1].text == "SHOW\n STREAMS"
        assert parts[1].position == Position(2, 3, 4)

    def test_offsets_find_the_text_again(self) -> None:
        text = "  SHOW TOPICS ;\n\n-- x\nSHOW TABLES;"
        assert all(text[p.start : p.end] == p.text for p in split_statements(text))

    @pytest.mark.parametrize("text", ["", "  \n", "-- only\n/* comments */", ";;", " ; -- x\n;"])
    def test_nothing_is_no_statement(self, text: str) -> None:
        assert split_statements(text) == []

    @pytest.mark.parametrize("rest", ["PRINT 'open; SHOW TOPICS;", "PRINT `x; y", "SHOW /* ; "])
    def test_what_is_not_closed_is_one_unterminated_statement(self, rest: str) -> None:
        parts = split_statements("SHOW TOPICS;" + rest)
        assert [part.terminated for part in parts] == [True, False]


class TestParsed:
    def test_text_is_verbatim_without_what_stands_around_it(self) -> None:
        text = "-- first\nshow   topics ; /* second */ SHOW\n  streams;"
        parsed = parse_script(text)
        assert [p.text for p in parsed] == ["show   topics ;", "SHOW\n  streams;"]
        assert [p.position for p in parsed] == [Position(2, 1, 4), Position(2, 30, 4)]

    def test_positions_of_nodes_are_those_of_the_script(self) -> None:
        parsed = parse_script("SHOW TOPICS;\nSELECT a,\n  bb FROM c;")
        select = parsed[1].statement
        assert isinstance(select, ast.Select)
        item = select.query.select[1]
        assert isinstance(item, ast.SelectItem)
        assert item.expression.position == Position(3, 3, 2)

    def test_statements_come_one_by_one(self) -> None:
        statements = iter_script("SHOW TOPICS; NONSENSE;")
        assert next(statements).text == "SHOW TOPICS;"
        with pytest.raises(ParseError):
            next(statements)

    def test_an_error_shows_its_line_of_the_script(self) -> None:
        error = _refused("SHOW TOPICS;\n\tSELECT a FROM;")
        assert error.render().splitlines()[:3] == [
            "line 2, column 15: Expected the name of a stream or table but found ;.",
            "   SELECT a FROM;",
            "                ^",
        ]


class TestVariables:
    def test_define_and_undefine_take_effect_as_the_script_goes(self) -> None:
        variables = Variables({"Old": "1"})
        parsed = parse_script(
            "DEFINE Name = 'clicks';\nPRINT ${name};\nDEFINE NAME = 'x';\nUNDEFINE old;", variables
        )
        assert parsed[1].statement == ast.PrintTopic("clicks")
        assert dict(variables) == {"NAME": "x"}

    def test_they_stand_in_names_numbers_strings_and_quoted_names(self) -> None:
        variables = {"n": "clicks", "p": "3", "t": "it's", "q": "'quoted'"}
        text = "CREATE STREAM ${n}_2 (`${n}` INT) WITH (A='x-${t}', B=${p}, C=${q});"
        (parsed,) = parse_script(text, variables)
        statement = parsed.statement
        assert isinstance(statement, ast.CreateSource)
        assert statement.name == "CLICKS_2"
        assert statement.columns[0].name == "clicks"
        assert statement.properties == (
            ("A", ast.StringLiteral("x-it's")),
            ("B", ast.IntegerLiteral(3)),
            ("C", ast.StringLiteral("quoted")),
        )
        assert parsed.written == text
        assert parsed.text == (
            "CREATE STREAM clicks_2 (`clicks` INT) WITH (A='x-it''s', B=3, C='quoted');"
        )

    def test_triple_quotes_define_a_quoted_string(self) -> None:
        parsed = parse_script("DEFINE t = '''my_topic''';PRINT ${t};")
        assert parsed[1].statement == ast.PrintTopic("my_topic")

    def test_two_dollars_stand_for_one(self) -> None:
        assert substitute("'$${x}' ${x} -- ${y}", {"X": "1"}) == "'${x}' 1 -- ${y}"

    def test_a_dollar_without_brace_is_text(self) -> None:
        assert substitute("'$x $$ $ {x}'", {}) == "'$x $$ $ {x}'"

    def test_quotes_in_a_value_cannot_end_the_string(self) -> None:
        (parsed,) = parse_script("PRINT '${x}';", {"x": "a'; DROP STREAM s; --"})
        assert parsed.statement == ast.PrintTopic("a'; DROP STREAM s; --")

    @pytest.mark.parametrize("value", ["a; DROP STREAM s", "a b", "a.b", "", "1 + 1", "'a' 'b'"])
    def test_outside_of_quotes_a_value_must_be_one_name_or_literal(self, value: str) -> None:
        error = _refused("SHOW TOPICS;\nPRINT ${x};", {"x": value})
        assert error.position == Position(2, 7, 4)
        assert "neither a name nor a literal" in error.message

    def test_an_undefined_variable_is_refused_with_a_suggestion(self) -> None:
        error = _refused("SHOW TOPICS;\nPRINT 'a-${formt}';", {"Format": "JSON"})
        assert error.position == Position(2, 10, 8)
        assert error.message == "The variable formt is not defined."
        assert error.hint == "Did you mean ${Format}?"

    def test_without_a_near_name_the_hint_says_how_to_define_it(self) -> None:
        assert _refused("PRINT ${x};").hint == "Define it first: DEFINE x = '..';"

    @pytest.mark.parametrize(
        ("reference", "part"),
        [("${a b}", "not the name"), ("${}", "not the name"), ("${a", "brace")],
    )
    def test_what_is_no_reference_is_refused(self, reference: str, part: str) -> None:
        assert part in _refused(f"PRINT '{reference}';", {"a": "1"}).message

    def test_places_behind_a_variable_are_those_of_the_text_as_written(self) -> None:
        error = _refused(
            "SELECT ${long_name} FROM s\n WHERE ${a} = )", {"long_name": "x", "a": "b"}
        )
        assert error.position == Position(2, 15, 1)
        error = _refused("SELECT a FROM ${t} x y;", {"t": "a_very_long_name"})
        assert error.position == Position(1, 22, 1)

    def test_an_error_at_a_variable_shows_the_variable(self) -> None:
        error = _refused("PRINT t LIMIT ${n};", {"n": "many"})
        assert error.position == Position(1, 15, 4)
        assert "found many" in error.message


class TestParts:
    def test_one_statement_with_or_without_its_semicolon(self) -> None:
        assert parse_statement("SHOW TOPICS") == parse_statement(" SHOW TOPICS ; -- x")

    @pytest.mark.parametrize("text", ["", "SHOW TOPICS; SHOW TOPICS", "SHOW TOPICS;;"])
    def test_not_one_statement(self, text: str) -> None:
        with pytest.raises(ParseError):
            parse_statement(text)

    def test_columns_of_a_schema(self) -> None:
        columns = parse_columns("ID BIGINT KEY, `v` STRUCT<A INT>")
        assert columns == (
            ast.ColumnDefinition("ID", BIGINT, ast.ColumnConstraint.KEY),
            ast.ColumnDefinition("v", Struct((Field("A", INTEGER),))),
        )

    def test_rest_is_refused(self) -> None:
        with pytest.raises(ParseError):
            parse_type("INT KEY")
        with pytest.raises(ParseError):
            parse_columns("ID INT,")


def test_a_long_script_is_read_in_one_pass() -> None:
    script = "INSERT INTO s (a, b) VALUES (1, 'x');\n" * 5_000
    parsed = parse_script(script)
    assert len(parsed) == 5_000
    assert parsed[-1].position == Position(5_000, 1, 6)
