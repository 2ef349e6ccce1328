"""Every statement of the reference data is read, or refused where it is wrong by intent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from millstream.errors import ParseError
from millstream.sql import format_statement, parse_columns, parse_script, parse_statement
from millstream.sql.formatter import format_columns

_STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
# Refused for their syntax, though the expected type of the error does not say so.
_ALSO_SYNTAX = ("Syntax Error",)


def _without_comments(text: str) -> str:
    return _STRING_OR_COMMENT.sub(lambda m: m.group() if m.group()[0] == '"' else " ", text)


def _data(shared: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each case with its full name."""
    for folder in ("query-validation-tests", "rest-query-validation-tests"):
        for path in sorted((shared / "qtt" / folder).glob("*.json")):
            for case in json.loads(_without_comments(path.read_text(encoding="utf-8")))["tests"]:
                yield f"{path.stem}: {case['name']}", case


def _cases(shared: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each case's name, script (formats filled in) and expected error."""
    for name, case in _data(shared):
        script = "\n".join(case.get("statements", [])).replace("{FORMAT}", "JSON")
        yield name, script, case.get("expectedException") or case.get("expectedError") or {}


def _is_syntax_error(error: dict[str, Any]) -> bool:
    if str(error.get("type")).endswith("ParseFailedException"):
        return True
    return any(part in str(error.get("message")) for part in _ALSO_SYNTAX)


def test_every_statement_is_read_and_written_back(shared: Path) -> None:
    failures: list[str] = []
    count = 0
    for name, script, error in _cases(shared):
        if _is_syntax_error(error):
            continue
        try:
            for parsed in parse_script(script):
                count += 1
                if parse_statement(format_statement(parsed.statement)) != parsed.statement:
                    failures.append(f"{name}: changed by writing and reading: {parsed.text}")
        except ParseError as refusal:
            failures.append(f"{name}: {refusal.render()}")
    assert not failures, "\n".join(failures)
    assert count > 3_000


def test_what_is_wrong_by_intent_is_refused(shared: Path) -> None:
    accepted: list[str] = []
    count = 0
    for name, script, error in _cases(shared):
        if not _is_syntax_error(error):
            continue
        count += 1
        try:
            parse_script(script)
        except ParseError as refusal:
            assert refusal.position is not None
            assert refusal.source == script
        else:
            accepted.append(name)
    assert not accepted, "\n".join(accepted)
    assert count > 10


def test_every_expected_schema_is_read_and_written_back(shared: Path) -> None:
    count = 0
    for name, case in _data(shared):
        for source in case.get("post", {}).get("sources", []):
            if source.get("schema"):
                count += 1
                columns = parse_columns(source["schema"])
                assert parse_columns(format_columns(columns)) == columns, name
    assert count > 100


def test_the_recipe_is_read(shared: Path) -> None:
    page = (shared / "recipe" / "clickstream.txt").read_text(encoding="utf-8")
    script = page[page.index("-- Stream of users") : page.index("Write the data out")]
    kinds = [type(parsed.statement).__name__ for parsed in parse_script(script)]
    assert kinds == [
        "CreateConnector",
        "CreateConnector",
        "SetProperty",
        "CreateSource",
        "CreateSource",
        *["CreateAsSelect"] * 5,
    ]
