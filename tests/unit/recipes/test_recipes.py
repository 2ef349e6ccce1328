"""The recipe that comes along is the recipe, statement by statement."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from millstream.recipes import read_recipe, recipe_names

_STATEMENT = re.compile(r"(?:'[^']*'|[^';])+;")


def statements(sql: str) -> list[str]:
    """The statements of a text, comments left out, blanks as they are."""
    without_comments = re.sub(r"^\s*--.*$", "", sql, flags=re.MULTILINE)
    return [found.strip() for found in _STATEMENT.findall(without_comments)]


def published_statements(page: str) -> list[str]:
    """The statements of the recipe's page: its text between them goes, its cleanup is apart."""
    code = page[page.index("-- Stream of users") : page.index("Cleanup")]
    return statements(re.sub(r"Write the data out.*?(?=-- Send data)", "", code, flags=re.DOTALL))


def test_statements_are_the_published_ones(shared: Path) -> None:
    page = (shared / "recipe" / "clickstream.txt").read_text("utf-8")
    published = published_statements(page)
    assert len(published) == 11
    assert statements(read_recipe("clickstream")) == published


def test_cleanup_drops_all_that_the_recipe_makes_from_last_to_first() -> None:
    made = re.findall(
        r"^CREATE (?:SOURCE |SINK )?(CONNECTOR|STREAM|TABLE) (?:IF NOT EXISTS )?(\w+)",
        read_recipe("clickstream"),
        flags=re.MULTILINE,
    )
    dropped = re.findall(
        r"^DROP (CONNECTOR|STREAM|TABLE) IF EXISTS (\w+)",
        read_recipe("clickstream_cleanup"),
        flags=re.MULTILINE,
    )
    assert len(made) == 10
    assert dropped == made[::-1]


def test_access_log_variant_is_one_statement_with_a_variable() -> None:
    (statement,) = statements(read_recipe("clickstream_access_log"))
    assert "'AccessLogSource'" in statement
    assert re.findall(r"\$\{(\w+)\}", statement) == ["access_log"]


def test_names_and_unknown_name() -> None:
    assert recipe_names() == ["clickstream", "clickstream_access_log", "clickstream_cleanup"]
    with pytest.raises(KeyError):
        read_recipe("../secrets")
