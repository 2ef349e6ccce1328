"""The reference pages say what is so."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

import millstream
from docs.reference.generate import FOLDER, PAGES
from millstream import Database
from millstream.config import KNOWN
from millstream.database.processing_log import KEPT_LINES, SCHEMA
from millstream.database.statements import show
from millstream.engine.engine import DEFAULT_MAX_ROWS
from millstream.errors import NotSupportedYetError
from millstream.serde.formats import format_names


def page(name: str) -> str:
    """A page of the reference, its line breaks as blanks."""
    return " ".join((FOLDER / name).read_text("utf-8").split())


def refused() -> list[str]:
    """The statements that the page on SQL says are not supported yet."""
    text = (FOLDER / "sql.md").read_text("utf-8")
    section = text[text.index("## Not supported yet") :].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+;)` \|", section, re.MULTILINE)


@pytest.fixture
def db() -> Iterator[Database]:
    """A database with the stream and the tables that the page's statements name."""
    with millstream.connect() as database:
        database.execute(
            "CREATE STREAM s (k INT KEY, v INT)"
            " WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
        )
        for table in "tu":
            database.execute(
                f"CREATE TABLE {table} (k INT PRIMARY KEY, v INT)"
                f" WITH (KAFKA_TOPIC = '{table}', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
            )
        yield database


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == PAGES[name](), (
        "run: python -m docs.reference.generate"
    )


@pytest.mark.parametrize("statement", refused())
def test_what_is_said_to_be_refused_is_refused(db: Database, statement: str) -> None:
    sources = dict(db.catalog.sources)
    with pytest.raises(NotSupportedYetError) as caught:
        db.execute(statement)
    assert caught.value.position is not None
    assert db.catalog.sources == sources


def test_there_are_statements_that_are_refused() -> None:
    assert len(refused()) >= 5


def test_everything_that_can_be_shown_is_listed() -> None:
    (row,) = re.findall(r"\| (`SHOW` \(or `LIST`\).*?) \| \|", page("sql.md"))
    text = row.replace("[ALL] TOPICS", "TOPICS`, `ALL TOPICS").replace(
        "[SOURCE\\|SINK] CONNECTORS", "CONNECTORS`, `SOURCE CONNECTORS`, `SINK CONNECTORS"
    )
    listed = {w for w in re.findall(r"`([^`]+)`", text) if w not in ("SHOW", "LIST", "[EXTENDED]")}
    assert listed == set(show._SHOWS)


def test_properties_with_a_meaning_are_listed() -> None:
    text = page("sql.md").split("## Properties")[1]
    names = set(re.findall(r"`([a-z.]+)`", text)) | {"ksql.persistence.default.format.value"}
    # Kept and shown, as the page says of REPLICAS.
    assert names == set(KNOWN) - {"ksql.sink.replicas"}


def test_formats_are_listed() -> None:
    (listed,) = re.findall(r"Formats: ([^.]+)\.", page("sql.md"))
    assert set(re.findall(r"`(\w+)`", listed)) == set(format_names())


def test_figures_and_columns_are_the_code_s() -> None:
    text = page("semantics.md")
    assert f"the last {KEPT_LINES:,} lines" in text
    assert f"at most {DEFAULT_MAX_ROWS:,} records" in text
    columns = ", ".join(f"`{c.name}`" for c in SCHEMA.value)
    assert f"`KSQL_PROCESSING_LOG` ({columns})" in text
