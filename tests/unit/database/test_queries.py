"""TERMINATE, PAUSE and RESUME; a query that fails; what a restart keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.clock import FixedClock
from millstream.database import Database
from millstream.errors import SemanticError
from tests.unit.database.setups import (
    CLICKS,
    COUNTS,
    PROPERTIES,
    click,
    rows,
    settle,
    shown,
)


def states(database: Database) -> dict[str, str]:
    return {row[0]: row[1] for row in shown(database, "SHOW QUERIES;")}


def test_a_terminated_query_writes_no_more_and_leaves_what_it_wrote(db: Database) -> None:
    db.execute(CLICKS + COUNTS)
    db.insert("clicks", click(("a", 1, 1)))
    settle(db)
    db.execute("TERMINATE ctas_counts_0;")
    db.insert("clicks", click(("a", 1, 2)))
    settle(db)
    assert states(db) == {}
    assert len(shown(db, "PRINT COUNTS FROM BEGINNING;")) == 1
    assert rows(db, "SELECT * FROM counts") == [("a", 1, 1)]
    db.execute("DROP TABLE counts;")


def test_terminate_all(db: Database) -> None:
    db.execute(CLICKS + COUNTS + "CREATE STREAM s AS SELECT * FROM clicks; TERMINATE ALL;")
    assert states(db) == {}


@pytest.mark.parametrize("verb", ["TERMINATE", "PAUSE", "RESUME"])
def test_an_unknown_query_is_refused(db: Database, verb: str) -> None:
    with pytest.raises(SemanticError, match="CTAS_X_1"):
        db.execute(f"{verb} CTAS_X_1;")


def test_a_paused_query_catches_up_when_it_goes_on(db: Database) -> None:
    db.execute(CLICKS + COUNTS)
    db.insert("clicks", click(("a", 1, 1)))
    settle(db)
    db.execute("PAUSE ctas_counts_0;")
    assert states(db) == {"CTAS_COUNTS_0": "PAUSED"}
    db.insert("clicks", click(("a", 1, 2), ("b", 4, 3)))
    settle(db)
    assert rows(db, "SELECT * FROM counts") == [("a", 1, 1)]
    db.execute("RESUME ctas_counts_0;")
    settle(db)
    assert rows(db, "SELECT * FROM counts") == [("a", 2, 2), ("b", 1, 4)]
    db.execute("PAUSE ALL; RESUME ALL;")
    assert states(db) == {"CTAS_COUNTS_0": "RUNNING"}


def test_readers_of_a_paused_query_get_all_of_it_later(db: Database) -> None:
    db.execute(
        CLICKS
        + "CREATE STREAM middle AS SELECT k, n + 1 AS n FROM clicks;"
        + "CREATE TABLE ends AS SELECT k, COUNT(*) AS c, SUM(n) AS s FROM middle GROUP BY k;"
        + "INSERT INTO middle SELECT k, n + 100 AS n FROM clicks;"
        + "PAUSE csas_middle_0;"
    )
    db.insert("clicks", click(("a", 1, 1), ("a", 2, 2)))
    settle(db)
    assert rows(db, "SELECT * FROM ends") == [("a", 2, 203)]
    db.execute("RESUME csas_middle_0;")
    settle(db)
    assert rows(db, "SELECT * FROM ends") == [("a", 4, 208)]


def test_a_query_that_fails_is_shown_and_the_others_go_on(db: Database) -> None:
    db.execute(CLICKS + COUNTS + "CREATE STREAM s AS SELECT * FROM clicks;")
    failing = db.engine.queries[1]

    def step(rows: object) -> None:
        raise RuntimeError("broken")

    failing.step = step  # type: ignore[method-assign, assignment]
    db.insert("clicks", click(("a", 1, 1)))
    settle(db)
    assert states(db) == {"CTAS_COUNTS_0": "ERROR", "CSAS_S_1": "RUNNING"}
    assert "broken" in shown(db, "SHOW QUERIES EXTENDED;")[0][-1]
    assert len(shown(db, "PRINT S FROM BEGINNING;")) == 1
    db.execute("RESUME ctas_counts_0;")
    settle(db)
    assert states(db)["CTAS_COUNTS_0"] == "RUNNING"
    assert rows(db, "SELECT * FROM counts") == [("a", 1, 1)]


def test_a_restart_keeps_queries_their_states_positions_and_properties(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    with Database.open(path, clock=FixedClock(1), properties=PROPERTIES) as db:
        db.execute(CLICKS + COUNTS)
        db.execute("SET 'cache.max.bytes.buffering' = '1000';")
        db.execute("CREATE STREAM s AS SELECT * FROM clicks; PAUSE csas_s_1;")
        db.insert("clicks", click(("a", 1, 1), ("a", 1, 2)))
        settle(db)
    with Database.open(path, clock=FixedClock(1)) as db:
        assert states(db) == {"CTAS_COUNTS_0": "RUNNING", "CSAS_S_1": "PAUSED"}
        db.insert("clicks", click(("a", 1, 3), ("a", 1, 4)))
        settle(db)
        assert len(shown(db, "PRINT COUNTS FROM BEGINNING;")) == 4
        assert rows(db, "SELECT * FROM counts") == [("a", 4, 4)]
        db.execute("RESUME csas_s_1;")
        settle(db)
        assert len(shown(db, "PRINT S FROM BEGINNING;")) == 4
        assert db.catalog.queries["CTAS_COUNTS_0"].properties == PROPERTIES
        cached = PROPERTIES | {"cache.max.bytes.buffering": "1000"}
        assert db.catalog.queries["CSAS_S_1"].properties == cached


def test_a_new_query_begins_at_the_end_unless_told_otherwise(db: Database) -> None:
    db.execute(CLICKS)
    db.insert("clicks", click(("a", 1, 1)))
    db.execute("UNSET 'auto.offset.reset';" + COUNTS)
    settle(db)
    assert rows(db, "SELECT * FROM counts") == []
    db.insert("clicks", click(("a", 1, 1)))
    settle(db)
    assert rows(db, "SELECT * FROM counts") == [("a", 1, 1)]
