"""The clickstream recipe, statement by statement, from its first connector to the cleanup."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

import millstream
from millstream import Database
from millstream.clock import FixedClock
from millstream.errors import SemanticError
from millstream.recipes import read_recipe
from tests.e2e.recipe import (
    STARTED_MS,
    TABLES,
    check_tables,
    contents,
    from_set_on,
    let_pass,
    records,
    rows_of,
    settle,
    shown,
)

QUERIES = (
    "CSAS_USER_CLICKSTREAM_0",
    "CTAS_PAGES_PER_MIN_1",
    "CTAS_CLICK_USER_SESSIONS_2",
    "CTAS_ERRORS_PER_MIN_ALERT_3",
    "CTAS_USER_IP_ACTIVITY_4",
)


@pytest.fixture
def open_file(tmp_path: Path, clock: FixedClock) -> Callable[[], Database]:
    """Opens the same database file each time it is called."""
    return lambda: millstream.connect(str(tmp_path / "clicks.db"), clock=clock)


# --- from the first statement to four tables --------------------------------------------------


def test_published_text_runs_as_it_stands(db: Database, clock: FixedClock, shared: Path) -> None:
    from tests.e2e.recipe import published

    outcomes = db.execute(published(shared))
    assert [o.statement.split()[0] for o in outcomes] == ["CREATE"] * 2 + ["SET"] + ["CREATE"] * 8
    let_pass(db, clock, 30_000)
    for table in TABLES:
        assert contents(db, table), table
    check_tables(db)


def test_tables_are_what_plain_python_makes_of_the_records(
    recipe: Database, clock: FixedClock
) -> None:
    let_pass(recipe, clock, 200, tick_ms=10)
    let_pass(recipe, clock, 100_000, tick_ms=500)
    wanted = check_tables(recipe)
    assert all(table.all for table in wanted.tables().values())
    assert {row[1] for row in wanted.user_clickstream} > {None}, (
        "no click was there before its user"
    )


@pytest.mark.parametrize("cache", ["0", "10000000"])
def test_tables_do_not_depend_on_the_cache(db: Database, clock: FixedClock, cache: str) -> None:
    db.execute(f"SET 'cache.max.bytes.buffering' = '{cache}';")
    db.execute(read_recipe("clickstream"))
    let_pass(db, clock, 40_000, tick_ms=1_000)
    check_tables(db)
    pages = sum("html" in json.loads(c.value or b"")["request"] for c in records(db, "clickstream"))
    updates = len(records(db, "PAGES_PER_MIN"))
    # A minute has twelve windows of five seconds' advance: each page is counted in all of them.
    assert (updates == 12 * pages) if cache == "0" else (updates < 12 * pages)


@pytest.mark.parametrize("row_wise", [False, True])
def test_tables_do_not_depend_on_batches_or_on_the_form(clock: FixedClock, row_wise: bool) -> None:
    with Database.open(clock=clock, max_rows=100, row_wise=row_wise) as db:
        db.execute(read_recipe("clickstream"))
        let_pass(db, clock, 8_000, tick_ms=4_000)
        wanted = check_tables(db)
        assert all(table.all for table in wanted.tables().values())


def test_tables_do_not_depend_on_partitions(db: Database, clock: FixedClock) -> None:
    with millstream.connect(clock=clock) as other:
        other.execute(read_recipe("clickstream"))
        let_pass(other, clock, 40_000, tick_ms=1_000)
        rows = {
            name: other.sql(f"SELECT *, ROWTIME FROM {name};").arrow()
            for name in ("web_users", "clickstream")
        }
        tables = {name: contents(other, name) for name in TABLES}
    db.execute(from_set_on().replace("PARTITIONS = 1", "PARTITIONS = 3"))
    for name in ("web_users", "clickstream"):
        db.insert(name, rows[name])
        settle(db)
    assert {name: contents(db, name) for name in TABLES} == tables
    with db.store.view() as view:
        topic = view.topic("PAGES_PER_MIN")
        assert topic is not None
        places = {int(p) for _, run in view.read(topic.id, 0) for p in run.partition}
    assert (topic.partitions, places) == (3, {0, 1, 2})


def test_records_pace_and_form_are_the_quickstarts(recipe: Database, clock: FixedClock) -> None:
    let_pass(recipe, clock, 60_000)
    users, clicks = records(recipe, "clickstream_users"), records(recipe, "clickstream")
    # Waits are uniform up to maxInterval, 10 and 30 ms: means of 5 and 15.
    assert 11_000 < len(users) < 13_000
    assert 3_700 < len(clicks) < 4_300
    click = json.loads(clicks[0].value or b"")
    assert list(click) == [
        "_time", "time", "ip", "userid", "remote_user",
        "request", "status", "bytes", "referrer", "agent",
    ]  # fmt: skip
    assert isinstance(click["_time"], int)
    assert isinstance(click["userid"], int)
    assert all(isinstance(click[name], str) for name in ("time", "status", "bytes"))
    assert all(STARTED_MS < c.rowtime <= clock.time_ms for c in clicks)
    user = json.loads(users[0].value or b"")
    assert users[0].key == str(user["user_id"]).encode()


def test_sink_that_was_not_filled_in_fails_alone(recipe: Database, clock: FixedClock) -> None:
    (row,) = rows_of(recipe, "SHOW SINK CONNECTORS;")
    assert row[:5] == (
        "ANALYZED_CLICKSTREAM",
        "recipe-elasticsearch-analyzed_clickstream",
        "SINK",
        "ElasticsearchSink",
        "FAILED",
    )
    assert "<elasticsearch-URI>" in row[5]
    assert "'connection.url' = 'http://localhost:9200'" in row[5]
    let_pass(recipe, clock, 2_000)
    states = shown(recipe, "SHOW CONNECTORS;", "connector", "state")
    assert states == [
        ("DATAGEN_USERS", "RUNNING"),
        ("DATAGEN_CLICKS", "RUNNING"),
        ("ANALYZED_CLICKSTREAM", "FAILED"),
    ]
    assert [q.state for q in recipe.metrics().queries] == ["RUNNING"] * 5
    assert records(recipe, "USER_CLICKSTREAM")


def test_self_managed_class_names(db: Database, clock: FixedClock) -> None:
    text = read_recipe("clickstream")
    datagen = "io.confluent.kafka.connect.datagen.DatagenConnector"
    elastic = "io.confluent.connect.elasticsearch.ElasticsearchSinkConnector"
    db.execute(
        text.replace("'DatagenSource'", f"'{datagen}'").replace(
            "'ElasticsearchSink'", f"'{elastic}'"
        )
    )
    assert shown(db, "SHOW CONNECTORS;", "class") == [datagen, datagen, elastic]
    let_pass(db, clock, 20_000, tick_ms=1_000)
    assert all(contents(db, table) for table in TABLES)


def test_partitions_may_be_left_out_where_the_topic_exists(db: Database, clock: FixedClock) -> None:
    text = read_recipe("clickstream")
    shorter = text.replace(",\n  PARTITIONS = 1", "")
    assert text.count("PARTITIONS") - shorter.count("PARTITIONS") == 2
    db.execute(shorter)
    assert shown(db, "SHOW TOPICS;", "name", "partitions")[:2] == [
        ("clickstream_users", 1),
        ("clickstream", 1),
    ]
    let_pass(db, clock, 20_000, tick_ms=1_000)
    assert all(contents(db, table) for table in TABLES)


def test_partitions_are_needed_where_there_is_no_topic(db: Database) -> None:
    with pytest.raises(SemanticError, match="topic clickstream does not exist") as caught:
        db.execute(from_set_on().replace(",\n  PARTITIONS = 1", ""))
    assert "PARTITIONS = 1" in (caught.value.hint or "")
    assert caught.value.position is not None
    assert shown(db, "SHOW TOPICS;", "name") == []


# --- acting on it -----------------------------------------------------------------------------


def test_pausing_the_clicks_closes_sessions(recipe: Database, clock: FixedClock) -> None:
    let_pass(recipe, clock, 10_000)
    recipe.execute("PAUSE CONNECTOR DATAGEN_CLICKS;")
    assert shown(recipe, "SHOW SOURCE CONNECTORS;", "state") == ["RUNNING", "PAUSED"]
    paused_ms, clicks = clock.time_ms, len(records(recipe, "clickstream"))
    before = contents(recipe, "CLICK_USER_SESSIONS")
    let_pass(recipe, clock, 40_000, tick_ms=1_000)
    assert len(records(recipe, "clickstream")) == clicks
    assert contents(recipe, "CLICK_USER_SESSIONS") == before

    recipe.execute("RESUME CONNECTOR DATAGEN_CLICKS;")
    resumed_ms = clock.time_ms
    let_pass(recipe, clock, 10_000)
    after = contents(recipe, "CLICK_USER_SESSIONS")
    assert before < after, "an old session changed, or none is new"
    assert {start >= resumed_ms for _, start, *_ in after - before} == {True}
    assert {end <= paused_ms for _, _, end, *_ in before} == {True}
    again = {name for name, *_ in before} & {name for name, *_ in after - before}
    assert again, "nobody came back"
    check_tables(recipe)


def test_time_that_nobody_watched_is_not_made_up_for(recipe: Database, clock: FixedClock) -> None:
    let_pass(recipe, clock, 1_000)
    recipe.execute("PAUSE CONNECTOR DATAGEN_CLICKS;")
    let_pass(recipe, clock, 60_000, tick_ms=10_000)
    clicks = len(records(recipe, "clickstream"))
    recipe.execute("RESUME CONNECTOR DATAGEN_CLICKS;")
    settle(recipe)
    assert len(records(recipe, "clickstream")) - clicks <= 1


def test_a_terminated_query_leaves_its_table_as_it_is(recipe: Database, clock: FixedClock) -> None:
    let_pass(recipe, clock, 5_000)
    recipe.execute(f"TERMINATE {QUERIES[1]};")
    written = len(records(recipe, "PAGES_PER_MIN"))
    let_pass(recipe, clock, 5_000)
    assert len(records(recipe, "PAGES_PER_MIN")) == written
    assert QUERIES[1] not in shown(recipe, "SHOW QUERIES;", "id")
    recipe.execute("DROP TABLE pages_per_min;")
    assert "PAGES_PER_MIN" in shown(recipe, "SHOW TOPICS;", "name")


def test_a_paused_query_catches_up(recipe: Database, clock: FixedClock) -> None:
    let_pass(recipe, clock, 5_000)
    recipe.execute(f"PAUSE {QUERIES[0]};")
    let_pass(recipe, clock, 5_000)
    assert shown(recipe, "SHOW QUERIES;", "state") == ["PAUSED", *["RUNNING"] * 4]
    behind = len(records(recipe, "clickstream")) - len(records(recipe, "USER_CLICKSTREAM"))
    assert behind > 0
    recipe.execute(f"RESUME {QUERIES[0]};")
    settle(recipe)
    check_tables(recipe)


def test_a_table_in_use_cannot_be_dropped(recipe: Database) -> None:
    with pytest.raises(SemanticError, match=QUERIES[2]):
        recipe.execute("DROP STREAM user_clickstream;")
    with pytest.raises(SemanticError, match=QUERIES[0]):
        recipe.execute("DROP TABLE web_users DELETE TOPIC;")
    assert len(recipe.catalog.sources) == 8


# --- closing and opening ----------------------------------------------------------------------


def test_all_goes_on_after_a_restart(open_file: Callable[[], Database], clock: FixedClock) -> None:
    with open_file() as db:
        db.execute(read_recipe("clickstream"))
        let_pass(db, clock, 20_000, tick_ms=500)
        written = {name: len(records(db, name)) for name in shown(db, "SHOW TOPICS;", "name")}
        tables = {name: contents(db, name) for name in TABLES}
        states = shown(db, "SHOW CONNECTORS;", "connector", "state", "message")
    clock.time_ms += 3_600_000
    with open_file() as db:
        assert {n: len(records(db, n)) for n in shown(db, "SHOW TOPICS;", "name")} == written
        assert {name: contents(db, name) for name in TABLES} == tables
        assert shown(db, "SHOW CONNECTORS;", "connector", "state", "message") == states
        assert shown(db, "SHOW QUERIES;", "id", "state") == [(q, "RUNNING") for q in QUERIES]
        let_pass(db, clock, 20_000, tick_ms=500)
        assert len(records(db, "clickstream")) > written["clickstream"] + 1_000
        check_tables(db)
        # The generator goes on where it was: the clicks' counter has no gap.
        times = [json.loads(c.value or b"")["_time"] for c in records(db, "clickstream")]
        assert times == list(range(10, 10 * len(times) + 1, 10))


def test_each_query_keeps_the_properties_it_was_made_with(
    open_file: Callable[[], Database], clock: FixedClock
) -> None:
    with open_file() as db:
        db.execute(
            """SET 'auto.offset.reset' = 'earliest';
            SET 'cache.max.bytes.buffering' = '0';
            CREATE STREAM s (k STRING KEY, v INT)
              WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
            CREATE TABLE every AS SELECT k, SUM(v) AS total FROM s GROUP BY k;
            UNSET 'cache.max.bytes.buffering';
            CREATE TABLE last AS SELECT k, SUM(v) AS total FROM s GROUP BY k;"""
        )
    with open_file() as db:
        assert db.properties == {}
        db.insert("s", [("a", 1), ("a", 2), ("a", 3)])
        settle(db)
        assert [json.loads(r.value or b"") for r in records(db, "EVERY")] == [
            {"TOTAL": 1},
            {"TOTAL": 3},
            {"TOTAL": 6},
        ]
        assert [json.loads(r.value or b"") for r in records(db, "LAST")] == [{"TOTAL": 6}]
        db.execute("CREATE STREAM late AS SELECT * FROM s;")
        settle(db)
        assert records(db, "LATE") == [], "a new session begins at the latest record"


def test_a_pause_outlives_a_restart(open_file: Callable[[], Database], clock: FixedClock) -> None:
    with open_file() as db:
        db.execute(read_recipe("clickstream"))
        let_pass(db, clock, 2_000)
        db.execute(f"PAUSE CONNECTOR datagen_clicks; PAUSE {QUERIES[1]};")
        clicks = len(records(db, "clickstream"))
    with open_file() as db:
        assert shown(db, "SHOW CONNECTORS;", "state") == ["RUNNING", "PAUSED", "FAILED"]
        assert shown(db, "SHOW QUERIES;", "state")[1] == "PAUSED"
        let_pass(db, clock, 2_000)
        assert len(records(db, "clickstream")) == clicks
        db.execute(f"RESUME CONNECTOR datagen_clicks; RESUME {QUERIES[1]};")
        let_pass(db, clock, 2_000)
        assert len(records(db, "clickstream")) > clicks
        check_tables(db)


def test_a_second_run_skips_what_exists(
    open_file: Callable[[], Database], clock: FixedClock
) -> None:
    text = read_recipe("clickstream")
    with open_file() as db:
        db.execute(text)
        let_pass(db, clock, 10_000, tick_ms=1_000)
    with open_file() as db:
        outcomes = db.execute(text, skip_existing=True)
        assert [o.skipped for o in outcomes] == [True, True, False, *[True] * 8]
        assert len(db.catalog.queries) == 5
        let_pass(db, clock, 10_000, tick_ms=1_000)
        check_tables(db)


def test_a_second_run_is_ksqldbs_error_where_nothing_is_skipped(recipe: Database) -> None:
    text = read_recipe("clickstream")
    with pytest.raises(SemanticError, match="CLICKSTREAM exists already") as caught:
        recipe.execute(text)
    assert caught.value.position is not None
    line = text.splitlines()[caught.value.position.line - 1]
    assert line.startswith("CREATE STREAM clickstream")
    # Connectors say IF NOT EXISTS themselves.
    outcomes = recipe.execute(text[: text.index("SET ")])
    assert ["exists already" in o.message for o in outcomes] == [True, True]


def test_another_statement_of_the_same_name_is_not_skipped(recipe: Database) -> None:
    with pytest.raises(SemanticError, match="PAGES_PER_MIN exists already"):
        recipe.execute(
            "CREATE TABLE pages_per_min AS SELECT userid, COUNT(*) AS n FROM clickstream"
            " GROUP BY userid;",
            skip_existing=True,
        )


# --- the end of it ----------------------------------------------------------------------------


def test_cleanup_leaves_nothing(
    open_file: Callable[[], Database], clock: FixedClock, tmp_path: Path
) -> None:
    with open_file() as db:
        db.execute(read_recipe("clickstream"))
        let_pass(db, clock, 10_000, tick_ms=500)
        outcomes = db.execute(read_recipe("clickstream_cleanup"))
        assert ["dropped" in o.message for o in outcomes] == [True] * 10
        assert db.step() is False
        for what in ("TABLES", "TOPICS", "QUERIES", "CONNECTORS"):
            assert rows_of(db, f"SHOW {what};") == []
        assert shown(db, "SHOW STREAMS;", "name") == ["KSQL_PROCESSING_LOG"]
        with db.store.view() as view:
            assert [t.name for t in view.topics()] == ["millstream_processing_log"]
            kinds = ("query", "connector", "connector_position", "frontier", "type")
            assert {kind: view.entries(kind) for kind in kinds} == {kind: {} for kind in kinds}
            assert len(view.entries("source")) == 1
        # Again: there is nothing to drop, which IF EXISTS allows.
        outcomes = db.execute(read_recipe("clickstream_cleanup"))
        assert ["there is no" in o.message for o in outcomes] == [True] * 10
    connection = sqlite3.connect(tmp_path / "clicks.db")
    try:
        for table in ("position", "store", "part"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    finally:
        connection.close()
    with open_file() as db:
        db.execute(read_recipe("clickstream"))
        let_pass(db, clock, 10_000, tick_ms=500)
        check_tables(db)


def test_a_source_whose_topic_is_dropped_fails_and_never_makes_it_again(
    recipe: Database, clock: FixedClock
) -> None:
    let_pass(recipe, clock, 1_000)
    cleanup = read_recipe("clickstream_cleanup")
    recipe.execute(cleanup[: cleanup.index("DROP CONNECTOR IF EXISTS DATAGEN_CLICKS")])
    rows = shown(recipe, "SHOW CONNECTORS;", "connector", "state", "message")
    assert [row[:2] for row in rows] == [("DATAGEN_USERS", "FAILED"), ("DATAGEN_CLICKS", "FAILED")]
    assert "clickstream was dropped" in rows[1][2]
    let_pass(recipe, clock, 1_000)
    recipe.execute("RESUME CONNECTOR datagen_clicks;")
    let_pass(recipe, clock, 1_000)
    assert rows_of(recipe, "SHOW TOPICS;") == []
    assert shown(recipe, "SHOW CONNECTORS;", "state") == ["FAILED", "FAILED"]


# --- mocked data ------------------------------------------------------------------------------

T0 = 1_700_000_040_000  # a full minute

USERS = """
INSERT INTO web_users (user_id, registered_at, username, first_name, last_name, city, level)
  VALUES ('1', 1560000000000, 'ada', 'Ada', 'Byron', 'London', 'Gold');
INSERT INTO web_users (user_id, username, city) VALUES ('2', 'bob', 'Berlin');
"""


def click(second: int, userid: int, request: str, status: int, ip: str = "10.0.0.1") -> str:
    """INSERT of a click so many seconds after the full minute."""
    return (
        "INSERT INTO clickstream (ROWTIME, _time, time, ip, request, status, userid, bytes, agent)"
        f" VALUES ({T0 + 1000 * second}, {second}, '{second}', '{ip}', '{request}', {status},"
        f" {userid}, 10, 'Mozilla');"
    )


def test_mocked_data_fills_the_tables_as_computed_by_hand(db: Database, clock: FixedClock) -> None:
    clock.time_ms = T0
    db.execute(from_set_on())
    db.execute(click(0, 2, "/early.html", 200))  # before anybody knows user 2
    db.execute(USERS)
    page, lost = "GET /index.html HTTP/1.1", "GET /lost HTTP/1.1"
    db.execute(
        "\n".join(
            [
                click(2, 1, page, 200),
                click(4, 1, page, 200),
                click(31, 1, lost, 404),
                click(70, 1, page, 200),  # 39 s later: a new session, a new minute
                *[click(second, 2, lost, 404, ip="10.0.0.2") for second in (32, 33, 34, 35, 36)],
                click(34, 3, page, 400),  # nobody knows user 3; 400 is not > 400
            ]
        )
    )
    settle(db)

    def at(second: int) -> int:
        return T0 + 1000 * second

    assert db.sql("SELECT user_id, username, ip, city, status FROM user_clickstream;").rows() == [
        ("2", None, "10.0.0.1", None, 200),
        ("1", "ada", "10.0.0.1", "London", 200),
        ("1", "ada", "10.0.0.1", "London", 200),
        ("1", "ada", "10.0.0.1", "London", 404),
        ("1", "ada", "10.0.0.1", "London", 200),
        *[("2", "bob", "10.0.0.2", "Berlin", 404)] * 5,
        ("3", None, "10.0.0.1", None, 400),
    ]
    # Pages at 2 and 4 s share the windows from -55 to 0 s; the one at 70 s is in those from 15 to
    # 70 s. User 2's page at 0 s: from -55 to 0 s. User 3's at 34 s: from -25 to 30 s.
    pages = {(1, start, 2) for start in range(-55, 5, 5)}
    pages |= {(1, start, 1) for start in range(15, 75, 5)}
    pages |= {(2, start, 1) for start in range(-55, 5, 5)}
    pages |= {(3, start, 1) for start in range(-25, 35, 5)}
    assert contents(db, "PAGES_PER_MIN") == {
        (user, at(start), at(start + 60), user, at(start), count) for user, start, count in pages
    }
    assert contents(db, "CLICK_USER_SESSIONS") == {
        ("ada", at(2), at(31), "ada", at(31), 3),
        ("ada", at(70), at(70), "ada", at(70), 1),
        ("bob", at(32), at(36), "bob", at(36), 5),
    }
    # Six 404s between 31 and 36 s: in the windows from -20, 0 and 20 s.
    assert contents(db, "ERRORS_PER_MIN_ALERT") == {
        (404, at(start), at(start + 60), 404, at(start), 6) for start in (-20, 0, 20)
    }
    # One click of ada's alone in the second minute is not more than one.
    assert contents(db, "USER_IP_ACTIVITY") == {
        ("ada", "10.0.0.1", "London", at(0), at(60), "ada", at(0), "10.0.0.1", "London", 3),
        ("bob", "10.0.0.2", "Berlin", at(0), at(60), "bob", at(0), "10.0.0.2", "Berlin", 5),
    }


def test_a_click_is_joined_with_the_user_as_of_then(db: Database) -> None:
    db.execute(from_set_on())
    db.execute(USERS)
    db.execute(click(1, 1, "/a.html", 200))
    db.execute("INSERT INTO web_users (user_id, username, city) VALUES ('1', 'ada', 'Paris');")
    db.execute(click(0, 1, "/b.html", 200))
    settle(db)
    # The order of the log counts, not the time in the records.
    assert db.sql("SELECT city, request FROM user_clickstream;").rows() == [
        ("London", "/a.html"),
        ("Paris", "/b.html"),
    ]
