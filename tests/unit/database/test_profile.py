"""Where the time went: what `metrics().profile` and EXPLAIN ANALYZE tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from millstream.columns.batch import Batch
from millstream.database import Database
from millstream.engine.operators.base import Note
from millstream.errors import ParseError, SemanticError
from tests.unit.database.setups import (
    CLICKS,
    COUNTS,
    PROPERTIES,
    USERS,
    WINDOWS,
    click,
    settle,
    shown,
)

ODD = "CREATE STREAM odd AS SELECT k, n FROM clicks WHERE n > 1;"
SOME = click(("a", 1, 1), ("b", 2, 2), ("a", 3, 3), ("b", None, 4))

Counts = tuple[int | None, int | None]


def steps(db: Database, where: str) -> dict[str, Counts]:
    """By step: rows in and out."""
    found = [step for step in db.metrics().profile.steps if step.where == where]
    assert len({step.step for step in found}) == len(found)
    return {step.step: (step.rows_in, step.rows_out) for step in found}


def analyzed(db: Database, query_id: str) -> dict[str, tuple[Any, ...]]:
    """By line of the plan, without its indent and schema: the other columns."""
    rows = shown(db, f"EXPLAIN ANALYZE {query_id};")
    return {row[0].split(":")[0].lstrip(" >"): row[1:] for row in rows}


def run(db: Database, script: str = CLICKS + ODD + COUNTS) -> None:
    db.execute(script)
    db.insert("clicks", SOME)
    settle(db)


def test_each_step_counts_its_rows(db: Database) -> None:
    run(db)
    assert steps(db, "source CLICKS") == {"decode": (4, 4)}
    assert steps(db, "CSAS_ODD_0") == {
        "order input": (4, 4),
        "read CLICKS": (4, 4),
        "where-1": (4, 2),
        "project-2": (2, 2),
        "normalise": (2, 2),
        "append": (2, 2),
        "write state": (None, None),
    }
    counts = steps(db, "CTAS_COUNTS_1")
    assert counts["group-2"] == (4, 4)
    assert counts["aggregate-1"] == (4, 4)
    assert counts["append"] == (4, 4)


def test_a_join_counts_the_rows_of_both_sides(db: Database) -> None:
    db.execute(CLICKS + USERS)
    db.execute("CREATE STREAM j AS SELECT c.k, u.name FROM clicks c JOIN users u ON c.k = u.id;")
    db.insert("users", [("a", "Ada")])
    db.insert("clicks", SOME)
    settle(db)
    counts = steps(db, "CSAS_J_0")
    assert counts["table-1: read USERS"] == (1, 1)
    assert counts["join-2"] == (5, 2)


def test_records_that_are_no_rows_stay_behind_at_the_source(db: Database) -> None:
    db.execute(CLICKS + ODD)
    db.execute(
        "CREATE STREAM raw (k VARCHAR KEY, t VARCHAR)"
        " WITH (KAFKA_TOPIC='clicks', VALUE_FORMAT='KAFKA', PARTITIONS=1);"
        "INSERT INTO raw VALUES ('a', 'no JSON');"
    )
    db.insert("clicks", SOME)
    settle(db)
    assert steps(db, "source CLICKS") == {"decode": (5, 4)}
    assert steps(db, "CSAS_ODD_0")["where-1"] == (4, 2)


def test_the_parts_add_up_to_the_whole(db: Database) -> None:
    run(db)
    db.execute("TERMINATE CSAS_ODD_0;")
    profile = db.metrics().profile
    inside = [step for step in profile.steps if not step.beside]
    assert sum(step.seconds for step in inside) == pytest.approx(profile.seconds)
    assert sum(step.share or 0.0 for step in inside) == pytest.approx(1.0)
    assert all(step.seconds >= 0 and step.calls > 0 for step in profile.steps)
    assert {"commit and fsync", "read records", "everything else"} <= set(steps(db, "each commit"))
    commits = [step.calls for step in inside if step.step == "commit and fsync"]
    assert commits == [profile.commits]


def test_the_time_of_a_query_that_ended_stays_in_the_whole(db: Database) -> None:
    run(db)
    db.execute("TERMINATE CSAS_ODD_0;")
    assert steps(db, "CSAS_ODD_0") == {}
    assert "queries that ended" in steps(db, "each commit")


def test_nothing_was_done_yet(db: Database) -> None:
    profile = db.metrics().profile
    assert (profile.seconds, profile.commits, profile.steps) == (0.0, 0, [])


def test_two_writers_of_a_topic_count_what_each_has_appended(db: Database) -> None:
    run(db, CLICKS + ODD + "INSERT INTO odd SELECT k, n FROM clicks WHERE n = 1;")
    appended = {
        step.where: step.rows_out for step in db.metrics().profile.steps if step.step == "append"
    }
    assert sorted(appended.values(), key=repr) == [1, 2]


def test_decoding_ahead_is_told_apart() -> None:
    with Database.open(properties=PROPERTIES, max_rows=10) as db:
        db.execute(CLICKS + ODD)
        db.insert("clicks", click(*((f"k{i % 3}", i, i) for i in range(45))))
        settle(db)
        found = {s.step: s for s in db.metrics().profile.steps if s.where == "source CLICKS"}
        assert {s.rows_in for s in found.values()} == {10, 35}
        assert found["decode ahead"].beside
        assert found["decode ahead"].share is None
        # The query has used all of it, whoever decoded it.
        assert analyzed(db, "CSAS_ODD_0")["decode CLICKS"][:2] == (45, 45)


def test_queries_that_are_made_anew_after_a_failure_go_on_counting(db: Database) -> None:
    run(db)

    def step(rows: object) -> tuple[Batch, list[Note]]:
        raise RuntimeError("on purpose")

    failing = next(iter(db.engine.queries.values()))
    failing.step = step  # type: ignore[method-assign, assignment]
    db.insert("clicks", click(("a", 1, 5)))
    settle(db)
    assert steps(db, "CSAS_ODD_0") == {}
    assert steps(db, "CTAS_COUNTS_1")["append"] == (5, 5)
    assert analyzed(db, "CTAS_COUNTS_1")["decode CLICKS"][:2] == (5, 5)


def test_explain_analyze_shows_the_plan_with_rows_and_seconds(db: Database) -> None:
    run(db)
    lines = analyzed(db, "ctas_counts_1")
    assert list(lines) == [
        "write COUNTS as JSON, key KAFKA",
        "project",
        "aggregate COUNT, SUM",
        "read stream CLICKS",
        "decode CLICKS, once for 2 queries",
        "order input",
        "write state",
        "all",
    ]
    assert [row[:2] for row in lines.values()] == [(4, 4)] * 6 + [(None, None), (4, 4)]
    seconds = [row[3] for row in lines.values()]
    assert sum(seconds[:-1]) == pytest.approx(seconds[-1], abs=0.0005 * len(lines))
    assert sum(row[4] for row in list(lines.values())[:-1]) == pytest.approx(100, abs=1)


def test_explain_analyze_before_the_first_row(db: Database) -> None:
    db.execute(CLICKS + WINDOWS)
    assert analyzed(db, "CTAS_WINDOWS_0")["all"] == (0, 0, 0, 0.0, 0.0)


def test_a_query_that_stands_still_is_not_measured(db: Database) -> None:
    run(db)
    db.execute("PAUSE CTAS_COUNTS_1;")
    (outcome,) = db.execute("EXPLAIN ANALYZE CTAS_COUNTS_1;")
    assert "PAUSED" in outcome.message
    assert outcome.table is not None
    assert {row[1:] for row in outcome.table.rows} == {(None,) * 5}
    db.execute("RESUME CTAS_COUNTS_1;")
    assert analyzed(db, "CTAS_COUNTS_1")["all"][:2] == (0, 0)


def test_explain_analyze_counts_from_the_start_of_the_process(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    with Database.open(path, properties=PROPERTIES) as db:
        run(db)
        assert analyzed(db, "CTAS_COUNTS_1")["all"][:2] == (4, 4)
        with Database.open(path, read_only=True) as reader:
            (outcome,) = reader.execute("EXPLAIN ANALYZE CTAS_COUNTS_1;")
            assert "not in this process" in outcome.message
    with Database.open(path) as db:
        assert analyzed(db, "CTAS_COUNTS_1")["all"][:2] == (0, 0)
        db.insert("clicks", SOME[:3])
        settle(db)
        assert analyzed(db, "CTAS_COUNTS_1")["all"][:2] == (3, 3)


def test_explain_analyze_is_of_queries_that_are_there(db: Database) -> None:
    with pytest.raises(SemanticError, match="NOWHERE"):
        db.execute("EXPLAIN ANALYZE nowhere;")
    with pytest.raises(ParseError, match="id of a query"):
        db.execute("EXPLAIN ANALYZE SELECT * FROM clicks;")
