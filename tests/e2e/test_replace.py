"""CREATE OR REPLACE and ALTER: the new version goes on where the old one stopped, or is refused."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from millstream.clock import FixedClock
from millstream.database import Database
from millstream.errors import SemanticError
from tests.e2e.query_child import COUNT, LATE_AT, REPLACEMENT
from tests.e2e.query_runs import Bench, pieces, records
from tests.e2e.test_late_query import run_child
from tests.properties.engine_runs import append, check_healthy, dump
from tests.properties.program_records import Record

SOURCES = """
CREATE STREAM s (k VARCHAR KEY, p INT, a INT, b VARCHAR)
  WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE STREAM r (k VARCHAR KEY, p INT, x INT)
  WITH (KAFKA_TOPIC='r', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE TABLE t (k VARCHAR PRIMARY KEY, n VARCHAR, g INT)
  WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=2);
"""
CHANGES = {
    "filter": ("STREAM q AS SELECT k, a FROM s WHERE {};", "a > 1", "a < 1"),
    "no filter before": ("STREAM q AS SELECT k, a FROM s WHERE {};", "true", "a < 2"),
    "no filter behind": ("STREAM q AS SELECT k, a FROM s WHERE {};", "a = 1", "true"),
    "expression": (
        "STREAM q AS SELECT k, CASE WHEN {} THEN a ELSE -a END AS v FROM s;",
        "a > 1",
        "b = 'x'",
    ),
    "PARTITION BY": ("STREAM q AS SELECT b, a FROM s WHERE {} PARTITION BY b;", "a > 1", "k = 'x'"),
    "aggregation": (
        "TABLE q AS SELECT k, COUNT(*) AS n, SUM(a) AS sa FROM s WHERE {} GROUP BY k;",
        "a > 1",
        "b = 'x'",
    ),
    "aggregation by another key": (
        "TABLE q AS SELECT b, COUNT(a) AS n, COLLECT_LIST(a) AS l FROM s WHERE {} GROUP BY b;",
        "a > 1",
        "a < 1 OR k IS NULL",
    ),
    "tumbling": (
        "TABLE q AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 10 SECONDS) WHERE {}"
        " GROUP BY k;",
        "a > 1",
        "b = 'x'",
    ),
    "hopping": (
        "TABLE q AS SELECT k, COUNT(*) AS n FROM s WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 2"
        " SECONDS, GRACE PERIOD 4 SECONDS) WHERE {} GROUP BY k;",
        "a > 1",
        "b IS NULL",
    ),
    "session": (
        "TABLE q AS SELECT k, COUNT(*) AS n FROM s WINDOW SESSION (3 SECONDS) WHERE {} GROUP BY k;",
        "a > 1",
        "a > 2",
    ),
    "final": (
        "TABLE q AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 5 SECONDS) WHERE {}"
        " GROUP BY k EMIT FINAL;",
        "a > 0",
        "a < 3",
    ),
    "stream-table join": (
        "STREAM q AS SELECT s.k AS k, s.a AS a, t.n AS n FROM s LEFT JOIN t ON s.k = t.k WHERE {};",
        "s.a > 1",
        "s.b = 'x'",
    ),
    "stream-table join, a column of the table more": (
        "STREAM q AS SELECT s.k AS k, s.a AS a, t.n AS n FROM s JOIN t ON s.k = t.k WHERE {};",
        "s.a > 1",
        "t.g > 0",
    ),
    "stream-stream join": (
        "STREAM q AS SELECT s.k AS k, s.a AS a, r.x AS x FROM s JOIN r WITHIN 5 SECONDS"
        " ON s.k = r.k WHERE {};",
        "s.a > 1",
        "s.a < r.x",
    ),
}
"""A query with a condition, and the condition before and after the change."""


def open_database(path: str = ":memory:", max_rows: int = 50_000, cache: int = 0) -> Database:
    """A database at this path, its sources made."""
    properties = {"auto.offset.reset": "earliest", "cache.max.bytes.buffering": str(cache)}
    database = Database.open(
        path, clock=FixedClock(1_000), properties=properties, max_rows=max_rows
    )
    if "S" not in database.catalog.sources:
        database.execute(SOURCES)
    return database


def events(random: Random, count: int, phase: int, now: int) -> list[Record]:
    """Records of all topics; those of `s` tell their phase."""
    found = []
    for _ in range(count):
        now = max(0, now + random.choice([0, 400, 1000, 2500, 6000, -2000]))
        key = random.choice([b"x", b"y", b"z"])
        topic = random.choice("sssrt")
        content = {
            "s": {
                "p": phase,
                "a": random.choice([0, 1, 2, 3]),
                "b": random.choice(["x", "y", None]),
            },
            "r": {"p": phase, "x": random.randint(0, 3)},
            "t": {"n": random.choice("pqr"), "g": random.randint(-1, 1)},
        }[topic]
        found.append(Record(topic, key, json.dumps(content).encode(), now))
    return found


def feed(database: Database, found: list[Record]) -> None:
    """Append records and step, in one commit."""
    database.engine.step([lambda commit: append(commit, found)])


def settle(database: Database) -> None:
    """Run until nothing is left."""
    database.run(until_idle=True)
    check_healthy(database)


def values(database: Database, topic: str) -> list[tuple[object, object]]:
    """Key and value of a topic's records."""
    settle(database)
    return [(row[0], row[1]) for row in dump(database)[topic]]


@pytest.mark.parametrize("change", CHANGES)
def test_a_query_goes_on_as_its_new_version(change: str, tmp_path: Path) -> None:
    """As one query does that has the one condition for the records before, and the other behind."""
    random = Random(change)
    text, before, after = CHANGES[change]
    for number in range(3):
        old = events(random, 40, 0, 0)
        new = events(random, 40, 1, old[-1].rowtime)
        reference = open_database()
        phase = "p" if "JOIN" not in text else "s.p" if " r " not in text else "(s.p + r.p)"
        both = f"(({phase} = 0 AND ({before})) OR ({phase} > 0 AND ({after})))"
        reference.execute("CREATE " + text.format(both))
        feed(reference, old + new)
        settle(reference)
        expected = dump(reference)["Q"]
        reference.close()
        path = str(tmp_path / f"replace-{number}.db")
        database = open_database(path)
        database.execute("CREATE " + text.format(before))
        for piece in pieces(random, old):
            feed(database, list(piece))
        (info,) = database.catalog.queries.values()
        told = database.execute("CREATE OR REPLACE " + text.format(after))[0].message
        assert f"query {info.id} goes on" in told
        (version,) = database.catalog.queries.values()
        assert (version.number, version.id) == (info.number, info.id)
        for piece in pieces(random, new):
            if random.random() < 0.3:
                database.close()
                database = open_database(path, max_rows=random.choice([3, 50]))
            feed(database, list(piece))
        settle(database)
        assert dump(database)["Q"] == expected
        database.close()


def test_catalogue_explain_and_describe_show_the_new_version(tmp_path: Path) -> None:
    path = str(tmp_path / "shown.db")
    database = open_database(path)
    first = "CREATE STREAM q AS SELECT k, a FROM s;"
    second = "CREATE OR REPLACE STREAM q AS SELECT k, a, b FROM s WHERE a > 1;"
    database.execute(first + second)
    for _ in range(2):
        assert database.catalog.queries["CSAS_Q_0"].statement == second
        shown = database.execute("EXPLAIN CSAS_Q_0; DESCRIBE q EXTENDED; SHOW QUERIES;")
        plan, columns, queries = (outcome.table for outcome in shown)
        assert plan is not None and columns is not None and queries is not None
        assert any("WHERE" in row[0] for row in plan.rows)
        assert [row[0] for row in columns.rows][:3] == ["K", "A", "B"]
        assert ("(statement)", second, "") in columns.rows
        assert ("(history)", first, "") in columns.rows
        assert second.rstrip(";") in queries.rows[0][4]
        database.close()
        database = open_database(path)
    database.close()


# --- columns -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value_format", ["JSON", "DELIMITED"])
def test_records_without_an_added_column_have_null_there(value_format: str, tmp_path: Path) -> None:
    path = str(tmp_path / "added.db")
    database = open_database(path)
    database.execute(f"CREATE STREAM q WITH (VALUE_FORMAT='{value_format}') AS SELECT k, a FROM s;")
    database.execute("CREATE STREAM all_of_q AS SELECT * FROM q;")
    database.execute("CREATE TABLE counted AS SELECT a, COUNT(*) AS n FROM q GROUP BY a;")
    feed(database, [Record("s", b"x", b'{"a":1,"b":"one"}', 1)])
    database.execute(
        "CREATE OR REPLACE STREAM q AS SELECT k, a, b, a + 1 AS c FROM s;"
        if value_format == "JSON"
        else "CREATE OR REPLACE STREAM q WITH (VALUE_FORMAT='DELIMITED')"
        " AS SELECT k, a, b, a + 1 AS c FROM s;"
    )
    feed(database, [Record("s", b"y", b'{"a":2,"b":"two"}', 2)])
    database.execute("CREATE STREAM later AS SELECT * FROM q;")
    expected = [("x", 1, None, None), ("y", 2, "two", 3)]
    for _ in range(2):
        settle(database)
        assert database.sql("SELECT * FROM q").rows() == expected
        assert database.sql("SELECT * FROM later").rows() == expected
        assert database.sql("SELECT max(c) FROM q").rows() == [(3,)]
        # What was made with fewer columns stays as it is, also when it is opened again.
        assert database.sql("SELECT * FROM all_of_q").rows() == [("x", 1), ("y", 2)]
        assert sorted(database.sql("SELECT * FROM counted").rows()) == [(1, 1), (2, 1)]
        database.close()
        database = open_database(path)
    feed(database, [Record("s", b"z", b'{"a":3}', 3)])
    assert database.sql("SELECT * FROM all_of_q").rows()[-1] == ("z", 3)
    assert database.sql("SELECT * FROM q").rows()[-1] == ("z", 3, None, 4)
    database.close()


@pytest.mark.parametrize("how", ["ALTER", "REPLACE"])
def test_a_declared_stream_gets_columns(how: str, tmp_path: Path) -> None:
    path = str(tmp_path / "declared.db")
    database = open_database(path)
    database.execute("CREATE STREAM q AS SELECT * FROM s;")
    database.execute("INSERT INTO s (k, a) VALUES ('x', 1);")
    if how == "ALTER":
        told = database.execute("ALTER STREAM s ADD COLUMN c INT, ADD d DOUBLE;")[0].message
        assert told == "C, D added to stream S"
    else:
        database.execute(
            "CREATE OR REPLACE STREAM s (k VARCHAR KEY, p INT, a INT, b VARCHAR, c INT, d DOUBLE)"
            " WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');"
        )
    database.execute("INSERT INTO s (k, a, c) VALUES ('y', 2, 20);")
    feed(database, [Record("s", b"z", b'{"a":3,"d":0.5}', 3)])
    database.execute("CREATE STREAM later AS SELECT k, a, c, d FROM s;")
    database.execute(
        "CREATE STREAM landing (k VARCHAR KEY, a INT, c INT)"
        " WITH (KAFKA_TOPIC='landing', VALUE_FORMAT='JSON', PARTITIONS=2);"
    )
    for _ in range(2):
        settle(database)
        assert database.sql("SELECT k, a, c, d FROM later").rows() == [
            ("x", 1, None, None),
            ("y", 2, 20, None),
            ("z", 3, None, 0.5),
        ]
        assert [row[2] for row in database.sql("SELECT * FROM q").rows()] == [1, 2, 3]
        assert values(database, "Q")[1][1] == b'{"P":null,"A":2,"B":null}'
        database.close()
        database = open_database(path)
    database.close()


def test_a_table_gets_columns() -> None:
    database = open_database()
    database.execute("CREATE TABLE q AS SELECT k, n FROM t WHERE g > 0;")
    database.execute("INSERT INTO t (k, n, g) VALUES ('x', 'one', 1);")
    settle(database)
    database.execute("ALTER TABLE t ADD COLUMN h INT;")
    database.execute("INSERT INTO t (k, n, g, h) VALUES ('y', 'two', 1, 7);")
    database.execute("CREATE STREAM j AS SELECT s.k AS k, t.h AS h FROM s JOIN t ON s.k = t.k;")
    feed(database, [Record("s", b"x", b"{}", 1), Record("s", b"y", b"{}", 1)])
    settle(database)
    assert sorted(database.sql("SELECT * FROM q").rows()) == [("x", "one"), ("y", "two")]
    assert sorted(database.sql("SELECT * FROM j").rows()) == [("x", None), ("y", 7)]
    database.close()


def test_writers_of_fewer_and_more_columns_meet_in_one_topic(tmp_path: Path) -> None:
    path = str(tmp_path / "writers.db")
    database = open_database(path)
    database.execute(
        "CREATE STREAM landing (k VARCHAR KEY, a INT)"
        " WITH (KAFKA_TOPIC='landing', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
    database.execute("INSERT INTO landing SELECT k, a FROM s;")
    database.execute("ALTER STREAM landing ADD COLUMN x INT;")
    database.execute("INSERT INTO landing SELECT k, CAST(NULL AS INT) AS a, x FROM r;")
    with pytest.raises(SemanticError, match="do not fit"):
        database.execute("INSERT INTO landing SELECT k, a FROM s;")
    found = [
        Record("s", b"x", b'{"a":1}', 1),
        Record("r", b"x", b'{"x":2}', 1),
        Record("s", b"y", b'{"a":3}', 1),
        Record("s", b"z", b'{"a":4}', 1),
        Record("r", b"z", b'{"x":5}', 1),
    ]
    feed(database, found)
    database.close()
    database = open_database(path)
    feed(database, found[:1])
    assert [value for _, value in values(database, "landing")] == [
        b'{"A":1}',
        b'{"A":null,"X":2}',
        b'{"A":3}',
        b'{"A":4}',
        b'{"A":null,"X":5}',
        b'{"A":1}',
    ]
    assert database.sql("SELECT a, x FROM landing").rows() == [
        (1, None),
        (None, 2),
        (3, None),
        (4, None),
        (None, 5),
        (1, None),
    ]
    database.close()


def test_a_custom_type_keeps_its_meaning_for_a_query(tmp_path: Path) -> None:
    path = str(tmp_path / "types.db")
    database = open_database(path)
    database.execute("CREATE TYPE amount AS BIGINT;")
    database.execute("CREATE STREAM q AS SELECT k, CAST(a AS amount) AS a FROM s;")
    database.execute("DROP TYPE amount; CREATE TYPE amount AS VARCHAR;")
    feed(database, [Record("s", b"x", b'{"a":1}', 1)])
    database.close()
    database = open_database(path)
    feed(database, [Record("s", b"x", b'{"a":2}', 1)])
    assert values(database, "Q") == [(b"x", b'{"A":1}'), (b"x", b'{"A":2}')]
    database.close()


# --- tables --------------------------------------------------------------------------------------


def test_a_new_filter_of_a_table_takes_hidden_rows_back() -> None:
    database = open_database()
    database.execute("CREATE TABLE q AS SELECT k, n, g FROM t;")
    database.execute("CREATE TABLE counted AS SELECT g, COUNT(*) AS n FROM q GROUP BY g;")
    for key, number in (("x", 0), ("y", 1), ("z", 2)):
        database.execute(f"INSERT INTO t (k, n, g) VALUES ('{key}', 'n', {number});")
    settle(database)
    before = values(database, "Q")
    database.execute("CREATE OR REPLACE TABLE q AS SELECT k, n, g FROM t WHERE g > 0;")
    assert values(database, "Q") == [*before, (b"x", None)]
    assert sorted(database.sql("SELECT k FROM q").rows()) == [("y",), ("z",)]
    assert ("counted", 0) not in database.sql("SELECT g FROM counted WHERE n > 0").rows()
    database.execute("CREATE OR REPLACE TABLE q AS SELECT k, n, g FROM t WHERE g < 2;")
    assert values(database, "Q") == [*before, (b"x", None), (b"z", None)]
    database.execute("INSERT INTO t (k, n, g) VALUES ('y', 'n', 5);")
    database.execute("INSERT INTO t (k, n, g) VALUES ('x', 'm', 0);")
    assert values(database, "Q")[-2:] == [(b"y", None), (b"x", b'{"N":"m","G":0}')]
    database.execute("CREATE OR REPLACE TABLE q AS SELECT k, n, g FROM t;")
    database.execute("INSERT INTO t (k, n, g) VALUES ('y', 'n', 6);")
    assert values(database, "Q")[-1] == (b"y", b'{"N":"n","G":6}')
    database.close()


@pytest.mark.parametrize("window", ["", "WINDOW TUMBLING (SIZE 5 SECONDS)"])
def test_a_new_having_takes_hidden_rows_back(window: str) -> None:
    database = open_database()
    text = "TABLE q AS SELECT k, COUNT(*) AS n FROM s {} GROUP BY k HAVING COUNT(*) {};"
    database.execute("CREATE " + text.format(window, "> 0"))
    feed(database, [Record("s", k, b"{}", 1) for k in (b"x", b"y", b"x", b"z", b"z", b"z")])
    before = values(database, "Q")
    database.execute("CREATE OR REPLACE " + text.format(window, "> 1"))
    assert values(database, "Q") == [*before, (b"y", None)]
    feed(database, [Record("s", b"y", b"{}", 2), Record("s", b"y", b"{}", 2)])
    assert values(database, "Q")[-2:] == [(b"y", b'{"N":2}'), (b"y", b'{"N":3}')]
    database.execute("CREATE OR REPLACE " + text.format(window, "> 2"))
    assert values(database, "Q")[-1] == (b"x", None)
    database.close()


def test_a_join_reads_a_table_again_where_it_needs_another_column() -> None:
    database = open_database()
    text = "STREAM q AS SELECT s.k AS k, t.n AS n{} FROM s JOIN t ON s.k = t.k;"
    database.execute("CREATE " + text.format(""))
    database.execute("INSERT INTO t (k, n, g) VALUES ('x', 'old', 1);")
    database.execute("INSERT INTO t (k, n, g) VALUES ('y', 'kept', 2);")
    database.execute("INSERT INTO t (k, n, g) VALUES ('x', 'one', 3);")
    feed(database, [Record("s", b"x", b"{}", 1)])
    stores = set(next(iter(database.engine.queries.values())).stores)
    database.execute("CREATE OR REPLACE " + text.format(", t.g AS g"))
    (left,) = stores - set(next(iter(database.engine.queries.values())).stores)
    with database.store.view() as view:
        assert not list(view.state(left)), "what is no longer needed is gone"
    feed(database, [Record("s", b"x", b"{}", 2), Record("s", b"y", b"{}", 2)])
    assert values(database, "Q") == [
        (b"x", b'{"N":"one"}'),
        (b"x", b'{"N":"one","G":3}'),
        (b"y", b'{"N":"kept","G":2}'),
    ]
    database.close()


# --- when ----------------------------------------------------------------------------------------


def test_a_query_that_lags_is_replaced_where_it_stands() -> None:
    """Each record is counted once, by the old version or the new one."""
    found = records(Random(1), 150)
    bench = Bench.open(max_rows=6)
    for start in range(0, 120, 6):
        bench.feed(found[start : start + 6])
    bench.database.execute("CREATE TABLE q AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;")
    for number, piece in enumerate(pieces(Random(2), found[120:], 2)):
        bench.feed(piece)
        if number == 3:
            lag = bench.database.sql("SELECT * FROM q").lag
            assert lag > 20
            bench.database.execute(
                "CREATE OR REPLACE TABLE q AS SELECT k, COUNT(*) AS n, COUNT(*) + 1 AS m FROM s"
                " GROUP BY k;"
            )
            assert bench.database.sql("SELECT * FROM q").lag == lag
    bench.finish()
    counted = dict(bench.database.sql("SELECT k, n FROM q").rows())
    assert counted == dict(bench.database.sql("SELECT k, n FROM live_counts").rows())
    assert all(m == n + 1 for _, n, m in bench.database.sql("SELECT * FROM q").rows())
    bench.close()


def test_a_paused_query_stays_paused_as_its_new_version() -> None:
    database = open_database()
    database.execute("CREATE STREAM q AS SELECT k, a FROM s; PAUSE CSAS_Q_0;")
    feed(database, [Record("s", b"x", b'{"a":1}', 1), Record("s", b"y", b'{"a":2}', 1)])
    database.execute("CREATE OR REPLACE STREAM q AS SELECT k, a FROM s WHERE a > 1;")
    assert database.catalog.queries["CSAS_Q_0"].state == "PAUSED"
    database.run(until_idle=True)
    assert dump(database)["Q"] == []
    database.execute("RESUME CSAS_Q_0;")
    assert values(database, "Q") == [(b"y", b'{"A":2}')]
    database.close()


def test_a_failed_query_goes_on_as_a_version_that_does_not_fail() -> None:
    database = open_database()
    database.execute(
        "CREATE STREAM timed (k VARCHAR KEY, at BIGINT)"
        " WITH (KAFKA_TOPIC='timed', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='at');"
        "CREATE STREAM others AS SELECT * FROM timed;"
        "SET 'ksql.timestamp.throw.on.invalid' = 'true';"
        "CREATE STREAM q AS SELECT * FROM timed;"
        "UNSET 'ksql.timestamp.throw.on.invalid';"
    )
    rows = [b'{"at":1}', b'{"at":-5}', b'{"at":2}']
    feed(database, [Record("timed", b"x", row, 9) for row in rows[:1]])
    feed(database, [Record("timed", b"x", row, 9) for row in rows[1:]])
    failed = database.catalog.queries["CSAS_Q_1"]
    assert (failed.state, failed.error is None) == ("ERROR", False)
    database.execute("PAUSE ALL; RESUME CSAS_OTHERS_0;")
    assert database.catalog.queries["CSAS_Q_1"].state == "ERROR"
    assert database.catalog.queries["CSAS_OTHERS_0"].state == "RUNNING"
    database.execute("CREATE OR REPLACE STREAM q AS SELECT * FROM timed;")
    assert values(database, "Q") == values(database, "OTHERS")
    assert [value for _, value in values(database, "Q")] == [b'{"AT":1}', b'{"AT":2}']
    database.close()


def test_a_terminated_query_is_replaced_by_a_new_one() -> None:
    database = open_database()
    database.execute("CREATE STREAM q AS SELECT k, a FROM s;")
    feed(database, [Record("s", b"x", b'{"a":1}', 1)])
    database.execute("TERMINATE CSAS_Q_0; SET 'auto.offset.reset' = 'latest';")
    told = database.execute("CREATE OR REPLACE STREAM q AS SELECT k, a, b FROM s;")[0].message
    assert told == "stream Q replaced, query CSAS_Q_1 started"
    feed(database, [Record("s", b"y", b'{"a":2}', 1)])
    assert values(database, "Q") == [(b"x", b'{"A":1}'), (b"y", b'{"A":2,"B":null}')]
    database.execute("DROP STREAM q DELETE TOPIC;")
    assert not database.catalog.queries
    database.close()


def test_what_does_not_exist_is_created() -> None:
    database = open_database()
    told = database.execute(
        "CREATE OR REPLACE STREAM q AS SELECT k, a FROM s;"
        "CREATE OR REPLACE TABLE u (k INT PRIMARY KEY, v INT)"
        " WITH (KAFKA_TOPIC='u', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
    assert told[0].message == "stream Q created, query CSAS_Q_0 started"
    assert told[1].message == "table U created"
    database.close()


def test_a_script_with_replacements_can_run_again(tmp_path: Path) -> None:
    path = str(tmp_path / "again.db")
    script = """
    CREATE STREAM w (k INT KEY, v INT) WITH (KAFKA_TOPIC='w', VALUE_FORMAT='JSON', PARTITIONS=1);
    CREATE STREAM q AS SELECT k, v FROM w;
    ALTER STREAM w ADD COLUMN x INT;
    CREATE OR REPLACE STREAM q AS SELECT k, v, x FROM w WHERE v > 0;
    """
    for again in (False, True):
        database = open_database(path)
        outcomes = database.execute(script, skip_existing=True)
        assert [outcome.skipped for outcome in outcomes] == [again] * 4
        database.close()
    database = open_database(path)
    changed = "CREATE OR REPLACE STREAM q AS SELECT k, v, x FROM w WHERE v > 1;"
    assert not database.execute(changed, skip_existing=True)[0].skipped
    outcomes = database.execute(script, skip_existing=True)
    assert [outcome.skipped for outcome in outcomes] == [True, True, True, False]
    database.close()


def test_kills_around_a_replacement_change_nothing(tmp_path: Path) -> None:
    found = records(Random("seed"), COUNT)
    bench = Bench.open()
    bench.database.execute(REPLACEMENT[0])
    bench.feed(found[:LATE_AT])
    bench.database.execute(REPLACEMENT[1])
    bench.feed(found[LATE_AT:])
    expected = bench.finish()
    bench.close()
    path, random = str(tmp_path / "killed.db"), Random(3)
    kills = 0
    while run_child(path, "seed", random.randint(60, 300), "a replacement") == -signal.SIGKILL:
        kills += 1
    assert kills >= 3
    bench = Bench.open(path)
    assert bench.finish() == expected
    bench.close()


# --- refusals ------------------------------------------------------------------------------------

MADE = """
CREATE STREAM f AS SELECT k, a, b FROM s WHERE a > 0;
CREATE TABLE c AS SELECT k, COUNT(*) AS n, SUM(a) AS sa FROM s GROUP BY k;
CREATE TABLE w AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 5 SECONDS) GROUP BY k;
CREATE TABLE top AS SELECT k, TOPK(a, 2) AS best FROM s GROUP BY k;
CREATE STREAM pb AS SELECT b, a FROM s PARTITION BY b;
CREATE STREAM j AS SELECT s.k AS k, t.n AS n FROM s JOIN t ON s.k = t.k;
CREATE STREAM ss AS SELECT s.k AS k, s.a AS a, r.x AS x FROM s JOIN r WITHIN 5 SECONDS ON s.k = r.k;
CREATE STREAM one WITH (WRAP_SINGLE_VALUE=false) AS SELECT k, a FROM s;
CREATE STREAM shared AS SELECT k, a FROM s;
INSERT INTO shared SELECT k, x AS a FROM r;
CREATE SOURCE STREAM ro (k VARCHAR KEY, a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
"""
OVER_S = "WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON')"
REFUSED = {
    "STREAM f AS SELECT k, a FROM s": "B STRING would be gone",
    "STREAM f AS SELECT k, b, a FROM s": "A INTEGER, B STRING would be",
    "STREAM f AS SELECT k, a, CAST(a AS VARCHAR) AS b FROM s": None,
    "STREAM f AS SELECT k, a, CAST(a AS BIGINT) AS b FROM s": "B STRING would be",
    "STREAM f AS SELECT k, p, a, b FROM s": "A INTEGER, B STRING would be",
    "STREAM f AS SELECT b AS k, a, k AS b FROM s PARTITION BY b": "the new one partitions",
    "STREAM f WITH (VALUE_FORMAT='DELIMITED') AS SELECT k, a, b FROM s": "written as JSON",
    "STREAM f WITH (KAFKA_TOPIC='elsewhere') AS SELECT k, a, b FROM s": "lies over topic F",
    "STREAM f WITH (PARTITIONS=7) AS SELECT k, a, b FROM s": "2 partitions",
    "STREAM f AS SELECT k, x AS a, CAST(x AS VARCHAR) AS b FROM r": "it reads S, and the new one R",
    "TABLE f AS SELECT k, COUNT(*) AS a FROM s GROUP BY k": "it is a stream",
    "TABLE c AS SELECT k, SUM(a) AS n, COUNT(*) AS sa FROM s GROUP BY k": "would be",
    "TABLE c AS SELECT k, COUNT(*) AS n, SUM(p) AS sa FROM s GROUP BY k": "its aggregates",
    "TABLE c AS SELECT k, COUNT(*) AS n, SUM(a) AS sa, MAX(a) AS m FROM s GROUP BY k": "aggregates",
    "TABLE c AS SELECT k, COUNT(*) AS n, SUM(a) AS sa FROM s WINDOW TUMBLING (SIZE 5 SECONDS)"
    " GROUP BY k": "windows",
    "TABLE c AS SELECT b AS k, COUNT(*) AS n, SUM(a) AS sa FROM s GROUP BY b": "GROUP BY",
    "TABLE w AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 6 SECONDS)"
    " GROUP BY k": "window",
    "TABLE w AS SELECT k, COUNT(*) AS n FROM s WINDOW HOPPING (SIZE 5 SECONDS, ADVANCE BY 1 SECOND)"
    " GROUP BY k": "window",
    "TABLE w AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 5 SECONDS, GRACE PERIOD 1"
    " SECOND) GROUP BY k": "window",
    "TABLE top AS SELECT k, TOPK(a, 3) AS best FROM s GROUP BY k": "aggregates",
    "STREAM pb AS SELECT UCASE(b) AS b, a FROM s PARTITION BY UCASE(b)": "PARTITION BY",
    "STREAM pb AS SELECT a AS b, p AS a FROM s PARTITION BY a": "its key",
    "STREAM j AS SELECT s.k AS k, t.n AS n FROM s LEFT JOIN t ON s.k = t.k": "the join",
    "STREAM j AS SELECT s.b AS k, t.n AS n FROM s JOIN t ON s.b = t.k": "the join",
    "STREAM j AS SELECT s.k AS k, s.b AS n FROM s": "it joins a stream with a table",
    "STREAM ss AS SELECT s.k AS k, s.a AS a, r.x AS x FROM s JOIN r WITHIN 6 SECONDS"
    " ON s.k = r.k": "the join",
    "STREAM ss AS SELECT s.k AS k, s.a AS a, r.x AS x, s.b AS b FROM s JOIN r WITHIN 5 SECONDS"
    " ON s.k = r.k": "other columns",
    "STREAM one AS SELECT k, a, b FROM s": "stand by themselves",
    "STREAM shared AS SELECT k, a FROM s WHERE a > 0": "INSERTQUERY_9 write into it",
    "STREAM s AS SELECT k, x AS p FROM r": "declared over its topic",
    "STREAM f (k VARCHAR KEY, a INT, b VARCHAR) WITH (KAFKA_TOPIC='F',"
    " VALUE_FORMAT='JSON')": "query CSAS_F_0 made it",
    f"STREAM s (k VARCHAR KEY, p INT, a INT) {OVER_S}": "B STRING would be",
    f"STREAM s (k INT KEY, p INT, a INT, b VARCHAR) {OVER_S}": "its key",
    "STREAM s (k VARCHAR KEY, p INT, a INT, b VARCHAR) WITH (KAFKA_TOPIC='s',"
    " VALUE_FORMAT='DELIMITED')": "written as JSON",
    "STREAM s (k VARCHAR KEY, p INT, a INT, b VARCHAR, x BIGINT) WITH (KAFKA_TOPIC='s',"
    " VALUE_FORMAT='JSON', TIMESTAMP='x')": "event time",
    "STREAM s (k VARCHAR KEY, p INT, a INT, b VARCHAR, x BIGINT) WITH (KAFKA_TOPIC='s',"
    " VALUE_FORMAT='JSON', PARTITIONS=5)": "2 partitions",
    "TABLE s (k VARCHAR PRIMARY KEY, p INT, a INT, b VARCHAR) WITH (KAFKA_TOPIC='s',"
    " VALUE_FORMAT='JSON')": "it is a stream",
    "SOURCE STREAM s (k VARCHAR KEY, p INT, a INT, b VARCHAR) WITH (KAFKA_TOPIC='s',"
    " VALUE_FORMAT='JSON')": "SOURCE streams",
    f"STREAM ro (k VARCHAR KEY, a INT, b VARCHAR) {OVER_S}": "SOURCE streams",
}
"""Replacements that are refused, and why; those without a reason are fine."""
REFUSED_ALTERS = {
    "ALTER STREAM f ADD COLUMN x INT;": "CREATE OR REPLACE STREAM F AS SELECT",
    "ALTER TABLE c ADD COLUMN x INT;": "CREATE OR REPLACE TABLE C AS SELECT",
    "ALTER STREAM s ADD COLUMN a INT;": "a column A already",
    "ALTER STREAM s ADD COLUMN x INT, ADD COLUMN x INT;": "a column X already",
    "ALTER STREAM s ADD COLUMN k VARCHAR;": "a column K already",
    "ALTER STREAM s ADD COLUMN rowtime BIGINT;": "reserved",
    "ALTER STREAM nobody ADD COLUMN x INT;": "there is no stream NOBODY",
    "ALTER TABLE s ADD COLUMN x INT;": "S is a stream",
    "ALTER STREAM ro ADD COLUMN x INT;": "RO is read-only",
    "ALTER STREAM s ADD COLUMN x NO_TYPE;": "there is no type",
}


@pytest.fixture(scope="module")
def made() -> Iterator[Database]:
    """A database with a query of each kind."""
    database = open_database()
    database.execute(MADE)
    yield database
    database.close()


@pytest.mark.parametrize("statement", REFUSED)
def test_what_does_not_fit_is_refused_with_the_reason(made: Database, statement: str) -> None:
    reason = REFUSED[statement]
    if reason is None:
        made.execute(f"CREATE OR REPLACE {statement};")
        return
    catalog = made.catalog
    with pytest.raises(SemanticError) as caught:
        made.execute(f"CREATE OR REPLACE {statement};")
    assert reason in str(caught.value)
    assert caught.value.hint
    assert caught.value.position is not None
    assert made.catalog.sources == catalog.sources
    assert made.catalog.queries == catalog.queries


@pytest.mark.parametrize("statement", REFUSED_ALTERS)
def test_columns_that_cannot_be_added(made: Database, statement: str) -> None:
    before = made.catalog.sources
    with pytest.raises(SemanticError) as caught:
        made.execute(statement)
    assert REFUSED_ALTERS[statement] in caught.value.render()
    assert made.catalog.sources == before
