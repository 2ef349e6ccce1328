"""PAUSE, RESUME, TERMINATE, several writers, diamonds and cycles, however the input is cut."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from millstream import types as t
from millstream.database import Database
from millstream.errors import SemanticError
from millstream.functions import default_registry
from millstream.functions.registry import ScalarFunction, Variant
from tests.e2e.query_runs import (
    INPUTS,
    LIVE,
    OPERATORS,
    ORDERED,
    SEVERAL,
    SOURCES,
    Bench,
    Topics,
    pieces,
    records,
)
from tests.e2e.test_late_query import made_first, run_child
from tests.properties.engine_runs import check_healthy
from tests.properties.program_records import Record

WITH_GRACE = "left stream-stream join with grace"
SINGLE = [name for name in ORDERED if name not in SEVERAL]
"""What one query does that reads nothing but topics from outside."""


def states(database: Database) -> dict[str, str]:
    """The state of each query."""
    return {info.id: info.state for info in database.catalog.queries.values()}


def own_query(database: Database) -> str:
    """The id of the query that was made last."""
    return list(database.catalog.queries)[-1]


# --- PAUSE and RESUME ----------------------------------------------------------------------------


@pytest.mark.parametrize("operator", SINGLE)
def test_a_pause_changes_nothing_in_the_end(operator: str) -> None:
    random = Random(operator)
    for _ in range(2):
        found = records(random, 70)
        bench = Bench.open(max_rows=random.choice([2, 5, 50]))
        bench.database.execute("\n".join(OPERATORS[operator]))
        query = own_query(bench.database)
        for number, piece in enumerate(pieces(random, found, 5)):
            bench.feed(piece)
            if number % 3 == 1:
                bench.database.execute(f"PAUSE {query};")
                assert states(bench.database)[query] == "PAUSED"
            elif number % 3 == 0:
                bench.database.execute(f"RESUME {query};")
        bench.database.execute(f"RESUME {query};")
        assert bench.finish() == made_first(OPERATORS[operator], found)
        bench.close()


@pytest.mark.parametrize("operator", ["a chain", "a diamond", "over a live query's sink"])
def test_a_pause_of_all_changes_nothing_in_the_end(operator: str) -> None:
    random = Random(operator)
    for _ in range(3):
        found = records(random, 70)
        bench = Bench.open(max_rows=random.choice([3, 50]))
        bench.database.execute("\n".join(OPERATORS[operator]))
        for number, piece in enumerate(pieces(random, found, 5)):
            if number % 3 == 1:
                bench.database.execute("PAUSE ALL;")
            elif number % 3 == 2:
                bench.database.execute("RESUME ALL;")
            bench.feed(piece)
        bench.database.execute("RESUME ALL;")
        assert bench.finish() == made_first(OPERATORS[operator], found)
        bench.close()


def test_a_paused_query_stands_still_and_others_go_on() -> None:
    found = records(Random(2), 60)
    bench = Bench.open()
    db = bench.database
    db.execute("CREATE TABLE q AS SELECT k, COUNT(*) AS n FROM live GROUP BY k;")
    bench.feed(found[:20])
    before = bench.topics()
    db.execute("PAUSE CTAS_Q_2;")
    bench.feed(found[20:40])
    between = bench.topics()
    assert between["Q"] == before["Q"]
    assert len(between["LIVE_COUNTS"]) > len(before["LIVE_COUNTS"])
    lag = len(between["LIVE"]) - len(before["LIVE"])
    assert db.sql("SELECT * FROM q").lag == lag
    assert {q.id: q.lag for q in db.metrics().queries}["CTAS_Q_2"] == lag
    assert db.idle(), "what is paused is not waited for"
    db.execute("RESUME CTAS_Q_2;")
    bench.feed(found[40:])
    topics = bench.finish()
    assert [r[:4] for r in topics["Q"]] == [r[:4] for r in topics["LIVE_COUNTS"]]
    bench.close()


def test_a_writer_that_was_paused_brings_its_records_downstream_once() -> None:
    """The reader goes on meanwhile; what comes late comes to it, and to a late reader alike."""
    random = Random(4)
    for _ in range(5):
        found = records(random, 100)
        bench = Bench.open(max_rows=random.choice([4, 50]))
        db = bench.database
        db.execute("INSERT INTO landing SELECT k, x AS a FROM r;")
        db.execute("INSERT INTO landing SELECT k, a FROM s;")
        reader = (
            "CREATE STREAM {} AS SELECT l.k AS k, l.a AS a, t.n AS n"
            " FROM landing l LEFT JOIN t ON l.k = t.k;"
        )
        buffered = (
            "CREATE STREAM {} AS SELECT l.k AS k, l.a AS a, r.x AS x FROM landing l JOIN r"
            " WITHIN 9 SECONDS ON l.k = r.k;"
        )
        counts = "CREATE TABLE {} AS SELECT k, COUNT(*) AS n, SUM(a) AS s FROM landing GROUP BY k;"
        db.execute(reader.format("seen") + buffered.format("met") + counts.format("counted"))
        controlled = ("INSERTQUERY_2", "INSERTQUERY_3", "CSAS_SEEN_4", "CSAS_MET_5")
        for piece in pieces(random, found, 6):
            action = random.choice(["PAUSE", "RESUME", "RESUME"])
            db.execute(f"{action} {random.choice(controlled)};")
            bench.feed(piece)
        db.execute("RESUME ALL;")
        topics = bench.finish()
        expected = made_first(OPERATORS["two INSERT INTO"][1:], found)["landing"]
        expected += made_first(("INSERT INTO landing SELECT k, a FROM s;",), found)["landing"]
        assert Counter(r[:3] for r in topics["landing"]) == Counter(r[:3] for r in expected)
        db.execute(reader.format("late") + buffered.format("met_late") + counts.format("c_late"))
        late = bench.finish()
        assert late["LATE"] == topics["SEEN"]
        assert late["MET_LATE"] == topics["MET"]
        assert late["C_LATE"] == topics["COUNTED"]
        bench.close()


# --- restarts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", [WITH_GRACE, "hopping aggregation", "a diamond", "EMIT FINAL"])
def test_a_restart_keeps_each_query_in_its_state(operator: str, tmp_path: Path) -> None:
    random = Random(operator)
    found = records(random, 90)
    path = str(tmp_path / "control.db")
    bench = Bench.open(path, max_rows=8)
    bench.feed(found[:30])
    bench.database.execute("\n".join(OPERATORS[operator]))
    query = own_query(bench.database)
    bench.feed(found[30:40])
    bench.database.execute("PAUSE ALL;")
    bench.feed(found[40:50])
    before = states(bench.database)
    bench.close()
    bench = Bench.open(path, max_rows=8)
    assert states(bench.database) == before
    assert set(before.values()) == {"PAUSED"}
    standing = bench.topics()
    bench.feed(found[50:60])
    now = bench.topics()
    assert all(now[name] == standing[name] for name in standing if name not in INPUTS)
    bench.database.execute("RESUME ALL;")
    bench.close()
    bench = Bench.open(path, max_rows=8)
    assert set(states(bench.database).values()) == {"RUNNING"}
    bench.feed(found[60:])
    assert bench.finish() == made_first(OPERATORS[operator], found)
    bench.database.execute(f"TERMINATE {query};")
    topics = bench.topics()
    bench.close()
    bench = Bench.open(path)
    assert query not in states(bench.database)
    assert bench.finish() == topics
    bench.close()


def test_a_query_that_cannot_be_planned_waits_for_what_it_needs(tmp_path: Path) -> None:
    """A function of the user's own may not be there when a database is opened."""
    path = str(tmp_path / "function.db")
    registry = default_registry().child()
    variant = Variant((t.INTEGER,), t.INTEGER, row=lambda value: value * 100)
    registry.add(ScalarFunction("HUNDREDFOLD", "own", "Times a hundred.", (variant,)))
    properties = {"auto.offset.reset": "earliest"}
    with Database.open(path, registry=registry, properties=properties) as db:
        db.execute(SOURCES.format(partitions=1))
        db.execute("CREATE STREAM q AS SELECT k, HUNDREDFOLD(a) AS a FROM s;")
        db.execute("CREATE STREAM other AS SELECT k, a FROM s;")
        db.insert("s", [{"k": "x", "a": 1}])
        db.run(until_idle=True)
    with Database.open(path) as db:
        assert states(db) == {"CSAS_Q_0": "ERROR", "CSAS_OTHER_1": "RUNNING"}
        assert "HUNDREDFOLD" in str(db.metrics().errors)
        db.insert("s", [{"k": "x", "a": 2}])
        db.run(until_idle=True)
        assert len(db.sql("SELECT * FROM other").rows()) == 2
    with Database.open(path, registry=registry) as db:
        check_healthy(db)
        db.run(until_idle=True)
        assert db.sql("SELECT a FROM q").rows() == [(100,), (200,)]


def test_control_while_the_engine_runs() -> None:
    """Statements and inserts of several threads; every record is counted once."""
    with Database.open(":memory:", properties={"auto.offset.reset": "earliest"}) as db:
        db.execute(SOURCES.format(partitions=1) + LIVE)
        db.execute("CREATE TABLE q AS SELECT k, COUNT(*) AS n, SUM(a) AS sa FROM live GROUP BY k;")
        db.start()

        def insert(number: int) -> None:
            for i in range(60):
                db.insert("s", [{"k": f"k{(i + number) % 5}", "a": i}])

        threads = [threading.Thread(target=insert, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        versions = ("HAVING COUNT(*) > 0", "", "HAVING SUM(a) > -1")
        for i in range(12):
            db.execute("PAUSE CTAS_Q_2;" if i % 2 else "PAUSE ALL; RESUME CSAS_LIVE_0;")
            db.execute(
                "CREATE OR REPLACE TABLE q AS SELECT k, COUNT(*) AS n, SUM(a) AS sa FROM live"
                f" GROUP BY k {versions[i % 3]};"
            )
            db.execute(f"CREATE STREAM late_{i} AS SELECT k, a FROM live; RESUME ALL;")
            if i % 3 == 0:
                db.execute(f"DROP STREAM late_{i} DELETE TOPIC;")
        for thread in threads:
            thread.join()
        db.stop()
        db.run(until_idle=True)
        check_healthy(db)
        counts = {f"k{n}": 36 for n in range(5)}
        assert dict(db.sql("SELECT k, n FROM q").rows()) == counts
        assert dict(db.sql("SELECT k, n FROM live_counts").rows()) == counts
        assert len(db.sql("SELECT * FROM late_11").rows()) == 180


# --- TERMINATE -----------------------------------------------------------------------------------


def test_terminate_forgets_state_and_positions_and_keeps_what_was_written(tmp_path: Path) -> None:
    found = records(Random(6), 60)
    bench = Bench.open(str(tmp_path / "end.db"))
    db = bench.database
    db.execute("\n".join(OPERATORS["a chain"]))
    bench.feed(found[:30])
    stored = kept_for(db, "CTAS_Q2_3")
    assert stored["positions"]
    assert stored["state"]
    written = bench.topics()["Q2"]
    number = db.catalog.queries["CTAS_Q2_3"].number
    stores = db.engine.queries[number].stores
    db.execute("TERMINATE CTAS_Q2_3;")
    with db.store.view() as view:
        assert not view.positions(f"query-{number}")
        assert number not in view.entries("query")
        assert number not in view.entries("frontier")
        assert not [part for store in stores for part in view.state(store)]
    bench.feed(found[30:])
    topics = bench.finish()
    assert topics["Q2"] == written
    assert len(topics["Q3"]) > 0, "the query behind it goes on with the table as it stands"
    with pytest.raises(SemanticError, match="no query CTAS_Q2_3"):
        db.execute("RESUME CTAS_Q2_3;")
    # What it had written can still be read, and it can be made anew after a drop.
    assert len(db.sql("SELECT * FROM q2").rows()) == len({r[0] for r in written})
    bench.close()


def kept_for(database: Database, query: str) -> dict[str, bool]:
    """Whether anything is kept for a running query."""
    number = database.catalog.queries[query].number
    with database.store.view() as view:
        return {
            "positions": bool(view.positions(f"query-{number}")),
            "state": any(
                True for s in database.engine.queries[number].stores for _ in view.state(s)
            ),
        }


def test_control_says_what_it_did() -> None:
    bench = Bench.open()
    db = bench.database

    def told(statement: str) -> str:
        return db.execute(statement)[0].message

    assert told("PAUSE csas_live_0;") == "CSAS_LIVE_0 paused"
    assert told("PAUSE CSAS_LIVE_0;") == "no query paused"
    assert told("RESUME ALL;") == "CSAS_LIVE_0 resumed"
    assert told("TERMINATE ALL;") == "CSAS_LIVE_0, CTAS_LIVE_COUNTS_1 terminated"
    assert told("TERMINATE ALL;") == "no query terminated"
    with pytest.raises(SemanticError, match="there is no query"):
        db.execute("PAUSE CSAS_LIVE_0;")
    bench.close()


# --- several writers, diamonds -------------------------------------------------------------------


@pytest.mark.parametrize("operator", ["two INSERT INTO", "a diamond"])
def test_cuts_do_not_show_where_queries_meet(operator: str, tmp_path: Path) -> None:
    random = Random(operator)
    reader = "CREATE TABLE counted AS SELECT k, COUNT(*) AS n, SUM(a) AS s FROM landing GROUP BY k;"
    script = (*OPERATORS[operator], reader)
    for number in range(6):
        found = records(random, 60)
        expected = made_first(script, found)
        path = str(tmp_path / f"meet-{number}.db")
        max_rows = random.choice([1, 3, 50])
        bench = Bench.open(path, max_rows=max_rows)
        bench.database.execute("\n".join(script))
        for piece in pieces(random, found):
            bench.feed(piece)
            if random.random() < 0.15:
                bench.close()
                bench = Bench.open(path, max_rows=max_rows)
            elif random.random() < 0.15:
                bench.database.engine.reload()
        assert bench.finish() == expected
        bench.close()


# --- cycles --------------------------------------------------------------------------------------

CYCLE = "\n".join(OPERATORS["a cycle"])
SELF = """
CREATE STREAM hops (k VARCHAR KEY, a INT)
  WITH (KAFKA_TOPIC='hops', VALUE_FORMAT='JSON', PARTITIONS=1);
INSERT INTO hops SELECT k, a + 1 AS a FROM hops WHERE a < 6;
INSERT INTO hops SELECT k, a FROM s WHERE a IS NOT NULL;
CREATE TABLE counted AS SELECT k, COUNT(*) AS n, SUM(a) AS s, MAX(a) AS m FROM hops GROUP BY k;
"""


def round_trips(found: list[Record]) -> Counter[tuple[object, ...]]:
    """What a cycle leaves of the records of `s`: each, and each of its successors."""
    expected: Counter[tuple[object, ...]] = Counter()
    for row in made_first(("INSERT INTO landing SELECT k, a FROM s WHERE a IS NOT NULL;",), found)[
        "landing"
    ]:
        assert isinstance(row[1], bytes)
        first = int(row[1].split(b":")[1].rstrip(b"}"))
        for value in range(first, 7):
            expected[row[0], b'{"A":%d}' % value, row[2]] += 1
    return expected


def last_of(topics: Topics, name: str) -> dict[object, object]:
    """The last value of each key."""
    return {row[0]: row[1] for row in topics[name]}


@pytest.mark.parametrize("script", [CYCLE, SELF], ids=["two queries", "one query"])
def test_a_cycle_comes_to_its_end_and_loses_nothing(script: str, tmp_path: Path) -> None:
    """The order in which laps meet follows the cuts; what is there in the end does not."""
    random = Random(script)
    found = records(random, 60)
    expected = round_trips(found)
    contents = []
    for number in range(5):
        path = str(tmp_path / f"cycle-{number}.db")
        max_rows = random.choice([1, 4, 50])
        late = number % 2 == 1
        bench = Bench.open(path, max_rows=max_rows)
        if not late:
            bench.database.execute(script)
        for done, piece in enumerate(pieces(random, found)):
            if late and done == 6:
                bench.database.execute(script)
            bench.feed(piece)
            if random.random() < 0.2:
                bench.close()
                bench = Bench.open(path, max_rows=max_rows)
        topics = bench.finish()
        assert Counter(r[:3] for r in topics["hops"]) == expected
        contents.append(last_of(topics, "COUNTED"))
        # A reader that comes late meets the laps in the same order.
        bench.database.execute(
            "CREATE TABLE again AS SELECT k, COUNT(*) AS n, SUM(a) AS s, MAX(a) AS m FROM hops"
            " GROUP BY k;"
        )
        topics = bench.finish()
        assert topics["AGAIN"] == topics["COUNTED"]
        bench.close()
    assert all(content == contents[0] for content in contents)


def test_a_lap_of_a_cycle_is_a_commit() -> None:
    bench = Bench.open(live=False)
    db = bench.database
    db.execute(CYCLE)
    bench.feed([Record("hops", b"x", b'{"A":0}', 5), Record("hops", b"y", b'{"A":3}', 5)])
    for _ in range(20):
        hops = len(bench.topics()["hops"])
        if not db.step():
            break
        assert len(bench.topics()["hops"]) <= hops + 2
    else:
        raise AssertionError("the cycle does not come to its end")
    assert Counter(r[:2] for r in bench.topics()["hops"]) == Counter(
        [(b"x", b'{"A":%d}' % a) for a in range(7)] + [(b"y", b'{"A":%d}' % a) for a in range(3, 7)]
    )
    bench.close()


def test_a_paused_cycle_goes_on_where_it_stood() -> None:
    random = Random(8)
    found = records(random, 50)
    bench = Bench.open(max_rows=5)
    bench.database.execute(CYCLE)
    for piece in pieces(random, found):
        query = random.choice(["CSAS_ONWARD_2", "INSERTQUERY_3", "INSERTQUERY_4"])
        bench.database.execute(f"{random.choice(['PAUSE', 'RESUME'])} {query};")
        bench.feed(piece)
    bench.database.execute("RESUME ALL;")
    topics = bench.finish()
    assert Counter(r[:3] for r in topics["hops"]) == round_trips(found)
    bench.close()


def test_kills_inside_a_cycle_lose_nothing(tmp_path: Path) -> None:
    path, seed = str(tmp_path / "killed.db"), "cycle"
    random = Random(1)
    kills = 0
    while run_child(path, seed, random.randint(60, 500), "a cycle") == -signal.SIGKILL:
        kills += 1
    assert kills >= 2
    bench = Bench.open(path)
    topics = bench.finish()
    check_healthy(bench.database)
    assert Counter(r[:3] for r in topics["hops"]) == round_trips(records(Random(seed), 160))
    bench.close()
