"""A query that is made late, over records that are there already, ends like one made first."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from millstream.database import Database
from tests.conftest import ROOT
from tests.e2e.query_child import COUNT
from tests.e2e.query_runs import OPERATORS, ORDERED, SEVERAL, Bench, Topics, pieces, records
from tests.e2e.terminal import COMMAND
from tests.properties.engine_runs import check_healthy
from tests.properties.program_records import Record

WITH_GRACE = "left stream-stream join with grace"


def made_first(script: tuple[str, ...], found: list[Record], partitions: int = 1) -> Topics:
    """What the topics hold where the queries are made before the first record."""
    bench = Bench.open(partitions=partitions)
    bench.database.execute("\n".join(script))
    bench.feed(found)
    topics = bench.finish()
    bench.close()
    return topics


@pytest.mark.parametrize("operator", ORDERED)
def test_a_late_query_ends_like_one_made_first(operator: str) -> None:
    random = Random(operator)
    script = OPERATORS[operator]
    for _ in range(4):
        found = records(random, 60)
        partitions = random.choice([1, 3])
        expected = made_first(script, found, partitions)
        bench = Bench.open(partitions=partitions, max_rows=random.choice([1, 2, 3, 7, 50]))
        late_at = random.randrange(len(found))
        done = 0
        for piece in pieces(random, found):
            if done <= late_at < done + len(piece):
                bench.database.execute("\n".join(script))
            bench.feed(piece)
            done += len(piece)
        assert bench.finish() == expected
        bench.close()


@pytest.mark.parametrize(
    "operator", [WITH_GRACE, "EMIT FINAL", "a chain", "over a live query's sink"]
)
def test_queries_of_a_script_that_comes_piece_by_piece_end_alike(operator: str) -> None:
    """Each query of the script is made while those before it still catch up."""
    random = Random(operator)
    script = OPERATORS[operator]
    found = records(random, 120)
    expected = made_first((LIVE_COPY, *script), found)
    bench = Bench.open(max_rows=5)
    waiting = [LIVE_COPY, *script]
    for number, piece in enumerate(pieces(random, found, 4)):
        bench.feed(piece)
        if number >= 12 and waiting:
            bench.database.execute(waiting.pop(0))
    assert bench.finish() == expected
    bench.close()


LIVE_COPY = "CREATE STREAM another AS SELECT * FROM s;"


@pytest.mark.parametrize("operator", [name for name in ORDERED if name not in SEVERAL])
def test_the_cache_leaves_the_same_contents(operator: str) -> None:
    """The last value of each key of a table, and every record of a stream."""
    random = Random(operator)
    found = records(random, 80)
    expected = made_first(OPERATORS[operator], found)
    bench = Bench.open(max_rows=6, cache=10_000_000)
    bench.feed(found[:70])
    bench.database.execute("\n".join(OPERATORS[operator]))
    for piece in pieces(random, found[70:], 3):
        bench.feed(piece)
    topics = bench.finish()
    source = bench.database.catalog.sources.get("Q")
    if source is None or not source.is_table:
        assert topics == {**expected, "LIVE_COUNTS": topics["LIVE_COUNTS"]}
    else:
        assert _last(topics["Q"]) == _last(expected["Q"])
        assert len(topics["Q"]) <= len(expected["Q"])
    bench.close()


def _last(rows: list[tuple[object, ...]]) -> dict[tuple[object, ...], object]:
    last = {(row[0], row[3]): row[1] for row in rows}
    return {key: value for key, value in last.items() if value is not None}


# --- what happens meanwhile ----------------------------------------------------------------------


def prefixes(found: list[Record]) -> list[dict[str, int]]:
    """How many records the live queries have written after so many records of input."""
    bench = Bench.open()
    counts = [_live_counts(bench.database)]
    for record in found:
        bench.feed([record])
        counts.append(_live_counts(bench.database))
    bench.close()
    return counts


def _live_counts(database: Database) -> dict[str, int]:
    with database.store.view() as view:
        found = [view.topic(name) for name in ("LIVE", "LIVE_COUNTS")]
        return {topic.name: view.end(topic.id) for topic in found if topic is not None}


def lag_of(database: Database, sink: str) -> int:
    """A query's lag as the metrics tell it."""
    return next(q.lag for q in database.metrics().queries if q.sink == sink)


@pytest.mark.parametrize("operator", [WITH_GRACE, "hopping aggregation", "a chain"])
def test_live_queries_do_not_wait_and_the_late_one_takes_slices(operator: str) -> None:
    random = Random(operator)
    found = records(random, 260)
    expected = made_first(OPERATORS[operator], found)
    after = prefixes(found)
    bench = Bench.open(max_rows=10)
    done = 220
    for start in range(0, done, 10):
        bench.feed(found[start : start + 10])
    bench.database.execute("\n".join(OPERATORS[operator]))
    lags = [lag_of(bench.database, "Q")]
    assert lags[0] > 80
    for piece in pieces(random, found[done:], 4):
        bench.feed(piece)
        done += len(piece)
        assert _live_counts(bench.database) == after[done]
        lags.append(lag_of(bench.database, "Q"))
    # One commit takes no more than ten records of each of at most two topics.
    assert all(before - now <= 20 for before, now in pairwise(lags))
    assert sorted(lags, reverse=True) == lags
    assert bench.finish() == expected
    assert lag_of(bench.database, "Q") == 0
    bench.close()


def test_a_late_query_joins_the_live_ones() -> None:
    """From then on a commit takes both to the same record."""
    found = records(Random(9), 120)
    bench = Bench.open(max_rows=10)
    bench.feed(found[:80])
    bench.database.run(until_idle=True)
    bench.database.execute("CREATE TABLE q AS SELECT k, COUNT(*) AS n FROM live GROUP BY k;")
    while lag_of(bench.database, "Q"):
        assert bench.database.step()
    for record in found[80:]:
        bench.feed([record])
        topics = bench.topics()
        assert [r[:3] for r in topics["Q"]] == [r[:3] for r in topics["LIVE_COUNTS"]]
    bench.close()


def test_a_late_writer_keeps_no_reader_waiting() -> None:
    """What it writes comes after what the topic holds already, and comes to its readers so."""
    random = Random(11)
    found = records(random, 200)
    bench = Bench.open(max_rows=8)
    db = bench.database
    db.execute("INSERT INTO landing SELECT k, x AS a FROM r;")
    db.execute(
        "CREATE STREAM seen AS SELECT l.k AS k, l.a AS a, t.n AS n"
        " FROM landing l LEFT JOIN t ON l.k = t.k;"
    )
    for start in range(0, 150, 8):
        bench.feed(found[start : start + 8])
    db.execute("INSERT INTO landing SELECT k, a FROM s;")
    live = [r for r in found if r.topic == "r" and r.value is not None and r.value.isdigit()]
    for record in found[152:]:
        before = len(bench.topics()["SEEN"])
        bench.feed([record])
        if record in live:
            assert len(bench.topics()["SEEN"]) > before
    topics = bench.finish()
    # A reader that comes later still meets the records in the same order, also in a join.
    db.execute(
        "CREATE STREAM seen_late AS SELECT l.k AS k, l.a AS a, t.n AS n"
        " FROM landing l LEFT JOIN t ON l.k = t.k;"
    )
    assert bench.finish()["SEEN_LATE"] == topics["SEEN"]
    alone = made_first(OPERATORS["two INSERT INTO"][1:], found)["landing"]
    other = made_first(("INSERT INTO landing SELECT k, a FROM s;",), found)["landing"]
    content = Counter(row[:3] for row in topics["landing"])
    assert content == Counter(row[:3] for row in alone + other)
    written = [row[:3] for row in topics["landing"]]
    assert _is_merge(written, [r[:3] for r in alone], [r[:3] for r in other])
    bench.close()


def _is_merge(
    whole: list[tuple[object, ...]], one: list[tuple[object, ...]], two: list[tuple[object, ...]]
) -> bool:
    """Whether `whole` interleaves both lists, each in its own order."""
    ends = {0}
    for i, row in enumerate(whole):
        ends = {
            used
            for first in ends
            for used, fits in (
                (first + 1, first < len(one) and one[first] == row),
                (first, i - first < len(two) and two[i - first] == row),
            )
            if fits
        }
    return bool(ends)


# --- the lag is told -----------------------------------------------------------------------------


def test_an_answer_tells_how_far_it_lags(tmp_path: Path) -> None:
    path = str(tmp_path / "late.db")
    found = records(Random(3), 100)
    bench = Bench.open(path, max_rows=5)
    for start in range(0, 100, 5):
        bench.feed(found[start : start + 5])
    db = bench.database
    of_s = sum(r.topic == "s" for r in found)
    assert db.sql("SELECT * FROM live_counts WHERE k = 'x'").lag == 0
    db.execute("CREATE TABLE q AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;")
    db.execute("CREATE TABLE q2 AS SELECT n, COUNT(*) AS m FROM q GROUP BY n;")
    assert db.sql("SELECT * FROM q").lag == of_s
    assert db.sql("SELECT * FROM q2").lag == of_s, "what lies behind q counts for q2 as well"
    assert db.sql("SELECT max(n) FROM q").lag == of_s, "also where DuckDB answers"
    db.step()
    assert db.sql("SELECT * FROM q").lag == of_s - 5
    told = _ask(path, "SELECT k, n FROM q;")
    assert f"have yet to read {of_s - 5:,} records" in told.stderr
    shown = db.execute("SHOW QUERIES EXTENDED;")[0].table
    assert shown is not None
    lags = {row[0]: row[shown.columns.index("lag")] for row in shown.rows}
    assert lags["CTAS_Q_2"] == of_s - 5
    bench.finish()
    assert db.sql("SELECT * FROM q2").lag == 0
    assert _ask(path, "SELECT k, n FROM q;").stderr == ""
    bench.close()


def _ask(path: str, sql: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "query", "--db", path, sql]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)


# --- kills ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operator", ["a diamond", "EMIT FINAL", WITH_GRACE, "table aggregation", "two INSERT INTO"]
)
def test_kills_inside_catching_up_change_nothing(operator: str, tmp_path: Path) -> None:
    path, seed = str(tmp_path / "killed.db"), operator
    random = Random(operator)
    kills = 0
    while run_child(path, seed, random.randint(40, 400), operator) == -signal.SIGKILL:
        kills += 1
    assert kills >= 2
    bench = Bench.open(path)
    found = records(Random(seed), COUNT)
    assert bench.finish() == made_first(OPERATORS[operator], found)
    check_healthy(bench.database)
    bench.close()


def run_child(path: str, seed: str, die_after: int, operator: str) -> int:
    """Run the child once; how it ended."""
    command = [sys.executable, "-m", "tests.e2e.query_child", path, seed, str(die_after), operator]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode
