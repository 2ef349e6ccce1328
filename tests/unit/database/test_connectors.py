"""Connectors as statements make, pause, resume and drop them, and over a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.clock import FixedClock
from millstream.database import Database
from millstream.errors import ExecutionError, SemanticError
from tests.unit.database.setups import PROPERTIES, settle, shown

SOURCE = (
    "CREATE SOURCE CONNECTOR gen WITH ('connector.class'='DatagenSource', 'kafka.topic'='codes',"
    " 'quickstart'='CLICKSTREAM_CODES', 'maxInterval'='0', 'iterations'='{}');"
)
SINK = (
    "CREATE SINK CONNECTOR es WITH ('connector.class'='ElasticsearchSink', 'topics'='codes',"
    " 'key.ignore'='true', 'connection.url'='<elasticsearch-URI>');"
)


def ends(database: Database) -> dict[str, int]:
    return {row[0]: row[3] for row in shown(database, "SHOW TOPICS;")}


def states(database: Database) -> dict[str, tuple[str, str | None]]:
    return {row[0]: (row[4], row[5]) for row in shown(database, "SHOW CONNECTORS;")}


def test_a_bounded_source_ends(db: Database) -> None:
    db.execute(SOURCE.format(7))
    settle(db)
    assert ends(db) == {"codes": 7}
    assert states(db) == {"GEN": ("RUNNING", None)}
    assert shown(db, "SHOW SINK CONNECTORS;") == []


def test_an_endless_source_has_no_end_to_wait_for(db: Database) -> None:
    db.execute(SOURCE.format(-1))
    with pytest.raises(ExecutionError, match="GEN"):
        settle(db)
    db.execute("PAUSE CONNECTOR gen;")
    settle(db)
    assert ends(db) == {"codes": 0}


def test_pause_and_resume(db: Database) -> None:
    db.execute(SOURCE.format(5) + "PAUSE CONNECTOR gen;")
    settle(db)
    assert ends(db) == {"codes": 0}
    assert states(db) == {"GEN": ("PAUSED", None)}
    db.execute("RESUME CONNECTOR gen;")
    settle(db)
    assert ends(db) == {"codes": 5}


def test_a_restart_keeps_positions_and_pauses(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")

    def opened() -> Database:
        return Database.open(path, clock=FixedClock(1), properties=PROPERTIES, max_rows=3)

    with opened() as db:
        db.execute(SOURCE.format(8))
        db.step()
        assert ends(db) == {"codes": 3}
    with opened() as db:
        db.step()
        assert ends(db) == {"codes": 6}
        db.execute("PAUSE CONNECTOR gen;")
    with opened() as db:
        settle(db)
        assert ends(db) == {"codes": 6}
        assert states(db) == {"GEN": ("PAUSED", None)}
        db.execute("RESUME CONNECTOR gen;")
        settle(db)
        assert ends(db) == {"codes": 8}


def test_what_cannot_be_made_is_failed_and_says_what_to_do(db: Database) -> None:
    db.execute(SOURCE.format(2))
    (outcome,) = db.execute(SINK)
    assert "FAILED" in outcome.message
    state, message = states(db)["ES"]
    assert state == "FAILED"
    assert message is not None and "connection.url" in message
    settle(db)
    assert ends(db) == {"codes": 2}
    db.execute("DROP CONNECTOR es;")
    assert set(states(db)) == {"GEN"}


def test_a_source_whose_topic_is_dropped_fails_and_does_not_make_it_again(db: Database) -> None:
    db.execute(
        SOURCE.format(-1)
        + "CREATE STREAM codes (code INT) WITH (KAFKA_TOPIC='codes', VALUE_FORMAT='JSON');"
    )
    db.step()
    assert ends(db)["codes"] > 0
    db.execute("DROP STREAM codes DELETE TOPIC;")
    db.step()
    assert ends(db) == {}
    assert states(db)["GEN"][0] == "FAILED"
    settle(db)


def test_drop(db: Database) -> None:
    db.execute(SOURCE.format(2))
    settle(db)
    db.execute("DROP CONNECTOR gen;")
    assert states(db) == {}
    assert ends(db) == {"codes": 2}
    db.execute(SOURCE.format(2))
    settle(db)
    assert ends(db) == {"codes": 4}
    db.execute("DROP CONNECTOR IF EXISTS gen; DROP CONNECTOR IF EXISTS gen;")
    for statement in ("DROP CONNECTOR gen;", "PAUSE CONNECTOR gen;", "DESCRIBE CONNECTOR gen;"):
        with pytest.raises(SemanticError, match="GEN"):
            db.execute(statement)


def test_wrong_options_are_refused(db: Database) -> None:
    with pytest.raises(SemanticError, match="quickstrat"):
        db.execute(SOURCE.format(2).replace("quickstart", "quickstrat"))
    with pytest.raises(SemanticError, match="class"):
        db.execute(SOURCE.format(2).replace("DatagenSource", "NoSource"))
    assert states(db) == {}
    assert ends(db) == {}


def test_secrets_are_not_shown(db: Database) -> None:
    db.execute(SINK.replace(");", ", 'connection.password'='hidden');"))
    rows = dict(shown(db, "DESCRIBE CONNECTOR es;"))
    assert "hidden" not in str(rows)
    assert rows["connection.password"]
    assert "hidden" not in str(shown(db, "SHOW CONNECTORS;"))


def test_a_failed_commit_makes_a_source_go_on_where_it_stood(db: Database) -> None:
    db.execute(SOURCE.format(6))
    begin = db.store.begin

    def broken(**_: object) -> object:
        raise OSError("disk full")

    db.store.begin = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(OSError, match="disk full"):
        db.step()
    db.store.begin = begin  # type: ignore[method-assign]
    settle(db)
    assert ends(db) == {"codes": 6}
