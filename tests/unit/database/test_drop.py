"""DROP: what it ends, what it refuses, and that a name used again is a new thing."""

from __future__ import annotations

import pytest

from millstream.database import Database
from millstream.errors import SemanticError
from tests.unit.database.setups import CLICKS, COUNTS, USERS, click, rows, settle, shown


def names(database: Database, what: str) -> list[str]:
    return [row[0] for row in shown(database, f"SHOW {what};")]


def test_dropping_a_table_ends_the_query_that_makes_it(db: Database) -> None:
    db.execute(CLICKS + COUNTS)
    (outcome,) = db.execute("DROP TABLE counts;")
    assert "COUNTS" in outcome.message
    assert names(db, "QUERIES") == []
    assert names(db, "TOPICS") == ["clicks", "COUNTS"]
    db.insert("clicks", click(("a", 1, 1)))
    settle(db)
    assert names(db, "TABLES") == []


def test_delete_topic_removes_the_records_too(db: Database) -> None:
    db.execute(CLICKS + COUNTS + "DROP TABLE counts DELETE TOPIC;")
    assert names(db, "TOPICS") == ["clicks"]
    db.execute("DROP STREAM clicks DELETE TOPIC;")
    assert names(db, "TOPICS") == []


@pytest.mark.parametrize(
    "more",
    ["CREATE STREAM more AS SELECT * FROM clicks;", "INSERT INTO clicks SELECT * FROM other;"],
)
def test_a_source_in_use_stays_and_its_users_are_named(db: Database, more: str) -> None:
    other = CLICKS.replace("clicks", "other")
    db.execute(CLICKS + other + more)
    (query,) = db.catalog.queries
    with pytest.raises(SemanticError, match=query):
        db.execute("DROP STREAM clicks;")
    db.execute(f"TERMINATE {query}; DROP STREAM clicks;")
    assert "CLICKS" not in names(db, "STREAMS")


def test_the_stream_of_a_query_that_others_write_stays(db: Database) -> None:
    db.execute(CLICKS + "CREATE STREAM s AS SELECT * FROM clicks;")
    db.execute("INSERT INTO s SELECT * FROM clicks;")
    with pytest.raises(SemanticError, match="INSERTQUERY"):
        db.execute("DROP STREAM s;")
    db.execute("TERMINATE INSERTQUERY_1; DROP STREAM s;")


def test_if_exists(db: Database) -> None:
    (outcome,) = db.execute("DROP STREAM IF EXISTS nothing;")
    assert "NOTHING" in outcome.message
    with pytest.raises(SemanticError, match="NOTHING"):
        db.execute("DROP STREAM nothing;")


def test_the_kind_must_be_right(db: Database) -> None:
    db.execute(CLICKS)
    for statement in ("DROP TABLE clicks;", "DROP TABLE IF EXISTS clicks;"):
        with pytest.raises(SemanticError, match="stream"):
            db.execute(statement)
    assert "CLICKS" in names(db, "STREAMS")


def test_a_topic_that_others_read_is_not_deleted(db: Database) -> None:
    second = CLICKS.replace("STREAM clicks", "STREAM second")
    db.execute(CLICKS + second + "CREATE STREAM t AS SELECT * FROM second;")
    with pytest.raises(SemanticError, match="SECOND"):
        db.execute("DROP STREAM clicks DELETE TOPIC;")
    db.execute("DROP STREAM clicks;")


def test_a_name_used_again_is_a_new_thing(db: Database) -> None:
    db.execute(CLICKS + COUNTS)
    db.insert("clicks", click(("a", 1, 1), ("a", 2, 2), ("b", 3, 3)))
    settle(db)
    assert rows(db, "SELECT * FROM counts") == [("a", 2, 3), ("b", 1, 3)]
    db.execute("DROP TABLE counts DELETE TOPIC; SET 'auto.offset.reset' = 'latest';" + COUNTS)
    settle(db)
    assert rows(db, "SELECT * FROM counts") == []
    db.insert("clicks", click(("a", 5, 4)))
    settle(db)
    assert rows(db, "SELECT * FROM counts") == [("a", 1, 5)]
    db.execute("DROP TABLE counts DELETE TOPIC; DROP STREAM clicks DELETE TOPIC;")
    db.execute("SET 'auto.offset.reset' = 'earliest';" + CLICKS + COUNTS)
    settle(db)
    assert rows(db, "SELECT * FROM counts") == []


def test_a_query_made_anew_writes_into_the_topic_that_is_there(db: Database) -> None:
    db.execute(CLICKS + COUNTS)
    db.insert("clicks", click(("a", 1, 1)))
    settle(db)
    db.execute("DROP TABLE counts;" + COUNTS)
    settle(db)
    assert [r[4] for r in shown(db, "PRINT COUNTS FROM BEGINNING;")] == ['{"N":1,"S":1}'] * 2
    assert rows(db, "SELECT * FROM counts") == [("a", 1, 1)]


def test_dropping_a_table_that_a_join_reads_is_refused(db: Database) -> None:
    db.execute(CLICKS + USERS)
    db.execute("CREATE STREAM j AS SELECT c.k, u.name FROM clicks c JOIN users u ON c.k = u.id;")
    with pytest.raises(SemanticError, match="CSAS_J_0"):
        db.execute("DROP TABLE users;")
    db.execute("DROP STREAM j; DROP TABLE users; DROP STREAM clicks;")


def test_the_processing_log_stays(db: Database) -> None:
    with pytest.raises(SemanticError):
        db.execute("DROP STREAM KSQL_PROCESSING_LOG DELETE TOPIC;")
