"""Scripts: variables, properties, errors in the middle, and running one a second time."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.database import Database, connect
from millstream.errors import MillstreamError, ParseError, SemanticError, StoreError
from tests.unit.database.setups import CLICKS, COUNTS, USERS, click, rows, settle, shown


def test_statements_before_an_error_stay(db: Database) -> None:
    script = f"{CLICKS}\nCREATE STREAM s AS SELECT nothing FROM clicks;\n{USERS}"
    with pytest.raises(SemanticError) as caught:
        db.execute(script)
    assert caught.value.position is not None
    assert caught.value.position.line == 2
    assert "nothing" in caught.value.render().lower()
    assert set(db.catalog.sources) == {"KSQL_PROCESSING_LOG", "CLICKS"}
    assert db.catalog.queries == {}
    assert [r[0] for r in shown(db, "SHOW TOPICS;")] == ["clicks"]


def test_a_syntax_error_ends_the_script_where_it_stands(db: Database) -> None:
    with pytest.raises(ParseError) as caught:
        db.execute(f"{CLICKS}\nCREATE TABEL x;")
    assert caught.value.position is not None
    assert caught.value.position.line == 2
    assert "CLICKS" in db.catalog.sources


def test_what_is_there_already_is_refused(db: Database) -> None:
    db.execute(CLICKS + COUNTS)
    for statement in (
        CLICKS,
        COUNTS,
        CLICKS.replace("STREAM", "TABLE").replace("KEY", "PRIMARY KEY"),
    ):
        with pytest.raises(SemanticError, match="exists"):
            db.execute(statement)
    for statement in (CLICKS, COUNTS):
        kind = "STREAM" if statement is CLICKS else "TABLE"
        (outcome,) = db.execute(statement.replace(kind, f"{kind} IF NOT EXISTS"))
        assert "exists" in outcome.message
    assert len(db.catalog.queries) == 1


def test_a_second_run_skips_what_its_own_text_made(db: Database) -> None:
    script = (
        CLICKS
        + COUNTS
        + "CREATE STREAM s AS SELECT * FROM clicks; INSERT INTO s SELECT * FROM clicks;"
    )
    db.execute(script)
    outcomes = db.execute(script + USERS, skip_existing=True)
    assert [o.skipped for o in outcomes] == [True] * 4 + [False]
    assert len(db.catalog.queries) == 3
    changed = COUNTS.replace("SUM", "MAX")
    with pytest.raises(SemanticError, match="exists"):
        db.execute(changed, skip_existing=True)


def test_variables(db: Database) -> None:
    db.execute("DEFINE t = 'clicks';" + CLICKS.replace("'clicks'", "'${t}'"))
    assert [r[0] for r in shown(db, "SHOW TOPICS;")] == ["clicks"]
    assert shown(db, "SHOW VARIABLES;") == [("t", "clicks")]
    db.execute("SELECT * FROM ${name};", {"name": "clicks"})
    db.execute("UNDEFINE t;")
    assert "t" not in dict(shown(db, "SHOW VARIABLES;"))


def test_properties(db: Database) -> None:
    db.execute("SET 'ksql.streams.auto.offset.reset' = 'latest';")
    assert db.properties["auto.offset.reset"] == "latest"
    db.execute("UNSET 'auto.offset.reset';")
    assert "auto.offset.reset" not in db.properties
    listed = {r[0]: r[1:] for r in shown(db, "SHOW PROPERTIES;")}
    assert listed["auto.offset.reset"] == ("latest", False)
    assert listed["cache.max.bytes.buffering"] == ("0", True)
    with pytest.raises(SemanticError, match="ofset"):
        db.execute("SET 'auto.ofset.reset' = 'latest';")
    with pytest.raises(SemanticError, match="sometimes"):
        db.execute("SET 'auto.offset.reset' = 'sometimes';")


def test_types(db: Database) -> None:
    db.execute("CREATE TYPE place AS STRUCT<x INT, y INT>;")
    db.execute(
        "CREATE STREAM s (p place) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);"
        "DROP TYPE place;"
    )
    db.insert("s", [({"X": 1, "Y": 2},)])
    assert rows(db, "SELECT p->x AS x FROM s") == [(1,)]
    with pytest.raises(SemanticError):
        db.execute("DROP TYPE place;")
    db.execute("DROP TYPE IF EXISTS place;")


def test_describe_and_explain(db: Database) -> None:
    db.execute(CLICKS + COUNTS)
    described = shown(db, "DESCRIBE counts;")
    assert [r[0] for r in described] == ["K", "N", "S"]
    assert any("CTAS_COUNTS_0" in str(r) for r in shown(db, "DESCRIBE counts EXTENDED;"))
    assert shown(db, "EXPLAIN CTAS_COUNTS_0;")
    assert shown(db, "EXPLAIN SELECT * FROM clicks EMIT CHANGES;")


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    with connect(path), pytest.raises(StoreError):
        connect(path)


def test_a_reader_sees_what_was_committed_and_changes_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    with connect(path) as db:
        db.execute("SET 'auto.offset.reset'='earliest';" + CLICKS)
        with connect(path, read_only=True) as reader:
            db.execute(COUNTS)
            db.insert("clicks", click(("a", 1, 1)))
            settle(db)
            assert rows(reader, "SELECT * FROM counts") == [("a", 1, 1)]
            db.insert("clicks", click(("a", 1, 1)))
            assert rows(reader, "SELECT * FROM counts") == [("a", 1, 1)]
            settle(db)
            assert rows(reader, "SELECT * FROM counts") == [("a", 2, 2)]
            assert rows(reader, "SELECT * FROM counts WHERE k = 'a'") == [("a", 2, 2)]
            for statement in (
                USERS,
                "DROP TABLE counts;",
                "PAUSE CTAS_COUNTS_0;",
                "TERMINATE ALL;",
                "INSERT INTO clicks (k, n) VALUES ('x', 1);",
            ):
                with pytest.raises(MillstreamError):
                    reader.execute(statement)
            for act in (reader.step, reader.start, lambda: reader.insert("clicks", [])):
                with pytest.raises(StoreError):
                    act()
            assert [r[0] for r in shown(reader, "SHOW TABLES;")] == ["COUNTS"]
            db.execute("DROP TABLE counts;")
            assert shown(reader, "SHOW TABLES;") == []


def test_a_missing_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        connect(str(tmp_path / "none.db"), read_only=True)


def test_a_closed_database_says_so(db: Database) -> None:
    db.close()
    db.close()
    for act in (lambda: db.execute("SHOW TABLES;"), lambda: db.sql("SELECT 1"), db.step):
        with pytest.raises(StoreError):
            act()
