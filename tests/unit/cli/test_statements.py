from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from millstream.cli.statements import headline, is_insert, kind_of, outcome_json, print_outcome
from tests.unit.cli.fakes import FakeOutcome, FakeTable


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT * FROM a EMIT CHANGES;", "push"),
        ("SELECT x FROM a WHERE x = 1 emit  changes LIMIT 3", "push"),
        ("SELECT * FROM a", "pull"),
        ("SELECT * FROM a ORDER BY x", "pull"),
        ("SELECT * FROM a WHERE x = 'EMIT CHANGES'", "pull"),
        ("SELECT FROM EMIT CHANGES", "push"),
        ("SHOW TABLES", "statement"),
    ],
)
def test_what_a_text_asks_for(sql: str, kind: str) -> None:
    assert kind_of(sql) == kind


@pytest.mark.parametrize(
    ("statement", "inserts"),
    [
        ("INSERT INTO a VALUES (1);", True),
        ("-- one\ninsert into `a b` (x, y) values (1, 2)", True),
        ("INSERT INTO a SELECT * FROM b;", False),
        ("CREATE STREAM a AS SELECT 'INSERT INTO b VALUES' AS x FROM c;", False),
    ],
)
def test_a_statement_that_inserts_rows(statement: str, inserts: bool) -> None:
    assert is_insert(statement) is inserts


@pytest.mark.parametrize(
    ("statement", "beginning"),
    [
        ("-- users\nCREATE  TABLE web_users (\n x INT)", "CREATE TABLE web_users"),
        ("CREATE STREAM a WITH (x='y') AS SELECT 1;", "CREATE STREAM a"),
        ("/* why */ create stream b as select 1", "create stream b"),
        ("DROP STREAM with_as;", "DROP STREAM with_as"),
    ],
)
def test_a_statements_beginning_says_what_it_is_about(statement: str, beginning: str) -> None:
    assert headline(statement) == beginning


def told(outcome: FakeOutcome) -> list[str]:
    out = io.StringIO()
    print_outcome(Console(file=out, width=40), outcome)
    return out.getvalue().splitlines()


def test_a_skipped_statement_is_named() -> None:
    outcome = FakeOutcome("CREATE STREAM a (x INT);", "skipped: it exists", skipped=True)
    assert told(outcome) == ["CREATE STREAM a: skipped: it exists"]


def test_a_table_follows_the_message() -> None:
    outcome = FakeOutcome("SHOW TABLES;", "1 table", FakeTable(("name",), [("A",)]))
    assert told(outcome) == ["1 table", "name", "────", "A", ""]


def test_an_outcome_in_json_has_its_rows_as_objects() -> None:
    outcome = FakeOutcome("SHOW TABLES;", "1 table", FakeTable(("name",), [("A",)]))
    assert json.loads(outcome_json(outcome)) == {
        "statement": "SHOW TABLES;",
        "message": "1 table",
        "skipped": False,
        "columns": ["name"],
        "rows": [{"name": "A"}],
    }
    assert "rows" not in json.loads(outcome_json(FakeOutcome("SET 'a' = 'b';")))
