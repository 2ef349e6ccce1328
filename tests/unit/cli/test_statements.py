from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from millstream.cli.statements import headline, is_push_query, outcome_json, print_outcome
from tests.unit.cli.fakes import FakeOutcome, FakeTable


@pytest.mark.parametrize(
    ("sql", "push"),
    [
        ("SELECT * FROM a EMIT CHANGES;", True),
        ("SELECT x FROM a WHERE x = 1 emit  changes LIMIT 3", True),
        ("SELECT * FROM a", False),
        ("SELECT * FROM a ORDER BY x", False),
        ("SELECT * FROM a WHERE x = 'EMIT CHANGES'", False),
        ("SELECT FROM EMIT CHANGES", True),
        ("SHOW TABLES", False),
    ],
)
def test_a_push_query_is_told_from_others(sql: str, push: bool) -> None:
    assert is_push_query(sql) is push


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
