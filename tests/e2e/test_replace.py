"""CREATE OR REPLACE: the new version goes on where the old one stopped, or is refused."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from millstream.database import Database
from millstream.errors import SemanticError
from tests.e2e.query_child import COUNT, LATE_AT, REPLACEMENT
from tests.e2e.query_runs import Bench, pieces, records
from tests.e2e.replacing import events, feed, open_database, settle, values
from tests.e2e.test_late_query import run_child
from tests.properties.engine_runs import dump
from tests.properties.program_records import Record

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
    "table function": (
        "STREAM q AS SELECT k, EXPLODE(ARRAY[a, 7]) AS e FROM s WHERE {};",
        "a > 1",
        "b = 'x'",
    ),
    "aggregation": (
        "TABLE q AS SELECT k, COUNT(*) AS n, SUM(a) AS sa FROM s WHERE {} GROUP BY k;",
        "a > 1",
        "a < 2 OR k = 'x'",
    ),
    "aggregation, no filter before": (
        "TABLE q AS SELECT k, COUNT(*) AS n, MAX(a) AS m FROM s WHERE {} GROUP BY k;",
        "true",
        "a < 2",
    ),
    "aggregation by another key": (
        "TABLE q AS SELECT b, COUNT(a) AS n, COLLECT_LIST(a) AS l FROM s WHERE {} GROUP BY b;",
        "a > 1",
        "a < 1 OR b = 'x'",
    ),
}
"""A query with a condition, and the condition before and after the change."""


@pytest.mark.parametrize("change", CHANGES)
def test_a_query_goes_on_as_its_new_version(change: str, tmp_path: Path) -> None:
    """As one query does that has the one condition for the records before, and the other behind."""
    random = Random(change)
    text, before, after = CHANGES[change]
    for number in range(3):
        old = events(random, 40, 0, 0)
        new = events(random, 40, 1, old[-1].rowtime)
        reference = open_database()
        both = f"((p = 0 AND ({before})) OR (p = 1 AND ({after})))"
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


def test_a_new_having_takes_hidden_rows_back() -> None:
    database = open_database()
    text = "TABLE q AS SELECT k, COUNT(*) AS n FROM s GROUP BY k HAVING COUNT(*) {};"
    database.execute("CREATE " + text.format("> 0"))
    feed(database, [Record("s", k, b"{}", 1) for k in (b"x", b"y", b"x", b"z", b"z", b"z")])
    before = values(database, "Q")
    database.execute("CREATE OR REPLACE " + text.format("> 1"))
    assert values(database, "Q") == [*before, (b"y", None)]
    feed(database, [Record("s", b"y", b"{}", 2), Record("s", b"y", b"{}", 2)])
    assert values(database, "Q")[-2:] == [(b"y", b'{"N":2}'), (b"y", b'{"N":3}')]
    database.execute("CREATE OR REPLACE " + text.format("> 2"))
    assert values(database, "Q")[-1] == (b"x", None)
    database.close()


def test_a_table_is_read_again_where_another_column_is_needed() -> None:
    """The new version knows of each row what was in that column, before its next change."""
    database = open_database()
    text = "TABLE q AS SELECT k, n{} FROM t WHERE g > 0;"
    database.execute("CREATE " + text.format(""))
    for key, name, number in (("x", "old", 1), ("y", "kept", 2), ("x", "one", 3)):
        database.execute(f"INSERT INTO t (k, n, g) VALUES ('{key}', '{name}', {number});")
    settle(database)
    before = values(database, "Q")
    text = "TABLE q AS SELECT k, n{} FROM t WHERE {};"
    stores = set(next(iter(database.engine.queries.values())).stores)
    database.execute("CREATE OR REPLACE " + text.format(", g + 1 AS g1, ROWTIME AS at", "g > 2"))
    left = stores - set(next(iter(database.engine.queries.values())).stores)
    assert left
    with database.store.view() as view:
        assert not any(list(view.state(s)) for s in left), "what is no longer needed is gone"
    assert values(database, "Q") == [*before, (b"y", None)]
    database.execute("INSERT INTO t (k, n, g) VALUES ('x', 'two', 1);")
    database.execute("INSERT INTO t (k, n, g) VALUES ('y', 'back', 4);")
    assert values(database, "Q")[-2:] == [
        (b"x", None),
        (b"y", b'{"N":"back","G1":5,"AT":1000}'),
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
CREATE TABLE t2 (k VARCHAR PRIMARY KEY, n VARCHAR, g INT)
  WITH (KAFKA_TOPIC='t2', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE TABLE tt AS SELECT t.k AS k, t.n AS n, t2.n AS n2 FROM t JOIN t2 ON t.k = t2.k;
CREATE TABLE fk AS SELECT t.k AS k, t.g AS g, t2.g AS g2 FROM t JOIN t2 ON t.n = t2.k;
CREATE TABLE fin AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 5 SECONDS)
  GROUP BY k EMIT FINAL;
CREATE TABLE ta AS SELECT g, COUNT(*) AS n FROM t GROUP BY g;
CREATE TABLE narrow AS SELECT k, COUNT(*) AS n FROM s WHERE a > 0 GROUP BY k;
CREATE STREAM wsource (k VARCHAR KEY, n BIGINT)
  WITH (KAFKA_TOPIC='W', VALUE_FORMAT='JSON', WINDOW_TYPE='TUMBLING', WINDOW_SIZE='5 SECONDS');
CREATE STREAM ww AS SELECT k, n FROM wsource WHERE n > 1;
CREATE SOURCE STREAM ro (k VARCHAR KEY, a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
"""
OVER_S = "WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON')"
REFUSED = {
    "STREAM f AS SELECT k, a FROM s": "B STRING would be gone",
    "STREAM f AS SELECT k, b, a FROM s": "A INTEGER, B STRING would be",
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
    " ON s.k = r.k": "it joins two streams, and such a query can only stay",
    "STREAM ss AS SELECT s.k AS k, s.a AS a, r.x AS x FROM s JOIN r WITHIN 5 SECONDS"
    " ON s.k = r.k WHERE s.a > 0": "it joins two streams, and such a query can only stay",
    "STREAM j AS SELECT s.k AS k, t.n AS n FROM s JOIN t ON s.k = t.k WHERE t.n = 'p'": "can only",
    "STREAM j AS SELECT s.k AS k, t.n AS n, t.g AS g FROM s JOIN t ON s.k = t.k": "can only stay",
    "TABLE tt AS SELECT t.k AS k, t.n AS n, t2.n AS n2 FROM t JOIN t2 ON t.k = t2.k"
    " WHERE t.n = 'p'": "it joins two tables, and such a query can only stay",
    "TABLE fk AS SELECT t.k AS k, t.g AS g, t2.g AS g2 FROM t JOIN t2 ON t.n = t2.k"
    " WHERE t.g > 0": "by a foreign key, and such a query can only stay",
    "TABLE w AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 5 SECONDS) WHERE k = 'x'"
    " GROUP BY k": "it groups its rows by windows, and such a query can only stay",
    "TABLE w AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 5 SECONDS) GROUP BY k"
    " HAVING COUNT(*) > 1": "it groups its rows by windows, and such a query can only stay",
    "TABLE w AS SELECT k, COUNT(*) AS n, COUNT(*) + 1 AS m FROM s"
    " WINDOW TUMBLING (SIZE 5 SECONDS) GROUP BY k": "can only stay as it is",
    "TABLE fin AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 5 SECONDS) WHERE k = 'x'"
    " GROUP BY k EMIT FINAL": "it groups its rows by windows, and such a query can only stay",
    "TABLE fin AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 5 SECONDS)"
    " GROUP BY k": "the window",
    "TABLE ta AS SELECT g, COUNT(*) AS n FROM t WHERE g > 0 GROUP BY g": "the rows of a table",
    "TABLE c AS SELECT k, COUNT(*) AS n, SUM(a) AS sa FROM s WHERE p > 0"
    " GROUP BY k": "it does not read P so far",
    "TABLE narrow AS SELECT k, COUNT(*) AS n FROM s GROUP BY k": "nothing would read A any more",
    "STREAM ww AS SELECT k, n FROM wsource WHERE n > 2": "it reads the windows of WSOURCE",
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
"""Replacements that are refused, and why."""
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
    catalog = made.catalog.copy()
    with pytest.raises(SemanticError) as caught:
        made.execute(f"CREATE OR REPLACE {statement};")
    assert REFUSED[statement] in str(caught.value)
    assert caught.value.hint
    assert caught.value.position is not None
    assert made.catalog.sources == catalog.sources
    assert made.catalog.queries == catalog.queries


def test_another_expression_of_the_same_type_is_fine() -> None:
    with open_database() as database:
        database.execute(MADE)
        database.execute(
            "CREATE OR REPLACE STREAM f AS SELECT k, a, CAST(a AS VARCHAR) AS b FROM s;"
            "INSERT INTO s (k, a, b) VALUES ('x', 7, 'old');"
        )
        database.run(until_idle=True)
        assert database.sql("SELECT k, a, b FROM f").rows() == [("x", 7, "7")]


@pytest.mark.parametrize("name", ["W", "FIN", "TA", "TT", "FK", "J", "SS", "WW", "C"])
def test_a_query_may_stay_as_it_is(made: Database, name: str) -> None:
    """The same statement again, whatever it does: a script can be run twice."""
    source = made.catalog.sources[name]
    (old,) = made.catalog.writers(name)
    made.execute(old.statement.replace("CREATE ", "CREATE OR REPLACE ", 1))
    (new,) = made.catalog.writers(name)
    assert (new.number, new.id) == (old.number, old.id)
    assert made.catalog.sources[name].schema == source.schema


@pytest.mark.parametrize("statement", REFUSED_ALTERS)
def test_columns_that_cannot_be_added(made: Database, statement: str) -> None:
    before = made.catalog.copy().sources
    with pytest.raises(SemanticError) as caught:
        made.execute(statement)
    assert REFUSED_ALTERS[statement] in caught.value.render()
    assert made.catalog.sources == before
