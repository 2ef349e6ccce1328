"""The clickstream recipe looked at: lists, descriptions, plans, pull and push queries, PRINT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from millstream import Database
from millstream.clock import FixedClock
from millstream.recipes import read_recipe
from tests.e2e.recipe import (
    STARTED_MS,
    TABLES,
    contents,
    let_pass,
    records,
    rows_of,
    shown,
)
from tests.e2e.test_recipe import QUERIES


def test_lists(recipe: Database, clock: FixedClock) -> None:
    let_pass(recipe, clock, 5_000)
    assert shown(recipe, "LIST STREAMS;", "name", "topic", "key format", "windowed") == [
        ("KSQL_PROCESSING_LOG", "millstream_processing_log", "NONE", False),
        ("CLICKSTREAM", "clickstream", "NONE", False),
        ("USER_CLICKSTREAM", "USER_CLICKSTREAM", "KAFKA", False),
    ]
    assert shown(recipe, "SHOW TABLES;", "name", "topic", "key format", "windowed") == [
        ("WEB_USERS", "clickstream_users", "KAFKA", False),
        ("PAGES_PER_MIN", "PAGES_PER_MIN", "KAFKA", True),
        ("CLICK_USER_SESSIONS", "CLICK_USER_SESSIONS", "KAFKA", True),
        ("ERRORS_PER_MIN_ALERT", "errors_per_min_alert", "KAFKA", True),
        ("USER_IP_ACTIVITY", "user_ip_activity", "JSON", True),
    ]
    topics = dict(shown(recipe, "LIST TOPICS;", "name", "records"))
    assert topics == {name: len(records(recipe, name)) for name in topics}
    assert set(topics) == {
        "clickstream_users", "clickstream", "USER_CLICKSTREAM", "PAGES_PER_MIN",
        "CLICK_USER_SESSIONS", "errors_per_min_alert", "user_ip_activity",
    }  # fmt: skip
    assert shown(recipe, "SHOW QUERIES;", "id", "state", "sink") == [
        (name, "RUNNING", name.split("_", 1)[1].rsplit("_", 1)[0]) for name in QUERIES
    ]
    users = {
        name: (readers, writers)
        for name, readers, writers in shown(
            recipe, "SHOW TOPICS EXTENDED;", "name", "read by", "written by"
        )
    }
    assert users["USER_CLICKSTREAM"] == (f"{QUERIES[2]}, {QUERIES[4]}", QUERIES[0])
    assert users["clickstream_users"] == (QUERIES[0], "")
    assert shown(recipe, "SHOW ALL TOPICS;", "name")[0] == "millstream_processing_log"
    assert shown(recipe, "SHOW QUERIES EXTENDED;", "lag", "error") == [(0, None)] * 5
    assert shown(recipe, "SHOW SOURCE CONNECTORS;", "connector") == [
        "DATAGEN_USERS",
        "DATAGEN_CLICKS",
    ]


def test_properties_functions_and_variables(recipe: Database) -> None:
    properties = {
        name: (value, here)
        for name, value, here in shown(recipe, "SHOW PROPERTIES;", "property", "value", "set here")
    }
    assert properties["auto.offset.reset"] == ("earliest", True)
    assert properties["ksql.sink.replicas"] == ("1", False)
    kinds = dict(shown(recipe, "SHOW FUNCTIONS;", "name", "kind"))
    assert kinds["COUNT"] == "AGGREGATE"
    assert kinds["AS_VALUE"] == "SCALAR"
    (outcome,) = recipe.execute("SHOW CONNECTOR PLUGINS;")
    assert outcome.message.endswith(" connector classes")
    recipe.execute("DEFINE shop = 'north';")
    assert rows_of(recipe, "SHOW VARIABLES;") == [("shop", "north")]


def test_descriptions(recipe: Database, clock: FixedClock) -> None:
    let_pass(recipe, clock, 2_000)
    assert rows_of(recipe, "DESCRIBE clickstream;")[0] == ("_TIME", "BIGINT", "")
    assert rows_of(recipe, "DESCRIBE web_users;")[0] == ("USER_ID", "STRING", "primary key")
    assert rows_of(recipe, "DESCRIBE click_user_sessions;") == [
        ("K", "STRING", "primary key"),
        ("USERNAME", "STRING", ""),
        ("EVENT_TS", "BIGINT", ""),
        ("EVENTS", "BIGINT", ""),
        ("WINDOWSTART", "BIGINT", "window"),
        ("WINDOWEND", "BIGINT", "window"),
    ]
    for source in recipe.catalog.sources.values():
        facts = {row[0]: row[1] for row in rows_of(recipe, f"DESCRIBE {source.name} EXTENDED;")}
        assert facts["(topic)"].startswith(f"{source.topic}, 1 partition, ")
    described = shown(recipe, "DESCRIBE STREAMS EXTENDED;", "source", "column", "type")
    assert ("USER_CLICKSTREAM", "(written by)", QUERIES[0]) in described
    extended = dict(row[:2] for row in rows_of(recipe, "DESCRIBE USER_CLICKSTREAM EXTENDED;"))
    assert extended["(written by)"] == QUERIES[0]
    assert extended["(read by)"] == f"{QUERIES[2]}, {QUERIES[4]}"
    connector = dict(rows_of(recipe, "DESCRIBE CONNECTOR analyzed_clickstream;"))
    assert connector["state"] == "FAILED"
    assert connector["type.name"] == "type.name=kafkaconnect"
    assert connector["connection.password"] == connector["kafka.api.secret"] == "********"


def test_pull_queries_by_key_window_and_scan(recipe: Database, clock: FixedClock) -> None:
    let_pass(recipe, clock, 40_000, tick_ms=1_000)
    pages = recipe.sql("SELECT k1, WINDOWSTART, WINDOWEND, pages FROM pages_per_min;").rows()
    users = sorted({user for user, *_ in pages})
    first, second, middle = users[0], users[1], STARTED_MS

    def pull(where: str) -> list[tuple[Any, ...]]:
        query = f"SELECT k1, WINDOWSTART, WINDOWEND, pages FROM pages_per_min WHERE {where};"
        return sorted(recipe.sql(query).rows())

    def kept(keep: Callable[[Any, int, int, int], bool]) -> list[tuple[Any, ...]]:
        found = sorted(row for row in pages if keep(*row))
        assert 0 < len(found) < len(pages)
        return found

    assert pull(f"k1 = {first}") == kept(lambda k, s, e, n: k == first)
    assert pull(f"k1 IN ({first}, {second})") == kept(lambda k, s, e, n: k in (first, second))
    assert pull(f"k1 = {first} AND WINDOWSTART >= {middle}") == kept(
        lambda k, s, e, n: k == first and s >= middle
    )
    assert pull(f"{middle} < WINDOWEND AND WINDOWEND <= {middle + 30_000}") == kept(
        lambda k, s, e, n: middle < e <= middle + 30_000
    )
    # 1,700,000,000 s after 1970.
    assert pull("WINDOWSTART >= '2023-11-14T22:13:20'") == kept(lambda k, s, e, n: s >= middle)
    assert pull("pages > 5 AND k1 > 10") == kept(lambda k, s, e, n: n > 5 and k > 10)
    assert pull("k1 = -1") == []
    assert len(recipe.sql("SELECT * FROM pages_per_min LIMIT 3;")) == 3

    activity = contents(recipe, "USER_IP_ACTIVITY")
    name, ip, city, *_ = min(activity)
    where = f"k1 = '{name}' AND k2 = '{ip}' AND k3 = '{city}'"
    found = set(recipe.sql(f"SELECT * FROM user_ip_activity WHERE {where};").rows())
    assert found == {row for row in activity if row[:3] == (name, ip, city)}
    found = set(recipe.sql(f"SELECT * FROM user_ip_activity WHERE k1 = '{name}';").rows())
    assert found == {row for row in activity if row[0] == name}
    (row,) = recipe.sql(f"SELECT username FROM web_users WHERE user_id = '{first}';").rows()
    assert row[0].endswith(f"_{first}")


@pytest.mark.parametrize("table", TABLES)
def test_following_a_table_leads_to_its_contents(
    recipe: Database, clock: FixedClock, table: str
) -> None:
    keys = len(recipe.catalog.source(table).schema.key) + 2  # and the window's bounds
    rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    gone = 0
    with recipe.subscribe(f"SELECT * FROM {table} EMIT CHANGES;") as changes:
        for _ in range(20):
            let_pass(recipe, clock, 2_000, tick_ms=1_000)
            for row in changes.poll():
                if row.tombstone:
                    gone += 1
                    rows.pop(row[:keys], None)
                else:
                    rows[row[:keys]] = row
            assert set(rows.values()) == contents(recipe, table)
    assert rows
    assert (gone > 0) == (table == "CLICK_USER_SESSIONS"), "only sessions merge"


def test_a_push_query_over_the_clicks_counts_as_a_table_would(
    recipe: Database, clock: FixedClock
) -> None:
    query = (
        "SELECT userid, WINDOWSTART, COUNT(*) AS pages FROM clickstream"
        " WINDOW HOPPING (SIZE 60 SECOND, ADVANCE BY 5 SECOND)"
        " WHERE request LIKE '%html%' GROUP BY userid EMIT CHANGES;"
    )
    rows: dict[Any, int] = {}
    with recipe.subscribe(query) as changes:
        for _ in range(5):
            let_pass(recipe, clock, 2_000, tick_ms=1_000)
            rows |= {(userid, start): pages for userid, start, pages in changes.poll()}
    table = recipe.sql("SELECT k1, WINDOWSTART, pages FROM pages_per_min;").rows()
    assert {(k, start): pages for k, start, pages in table} == rows


def test_secrets_are_not_shown(recipe: Database) -> None:
    text = read_recipe("clickstream")
    sink = text[text.index("CREATE SINK") :].replace("analyzed_clickstream WITH", "other WITH")
    sink = sink.replace("'<elasticsearch-password>'", "'it''s ${word}'")
    (outcome,) = recipe.execute(sink, {"word": "hush"})
    (again,) = recipe.execute(sink, {"word": "hush"}, skip_existing=True)
    assert again.skipped
    seen = [outcome.statement, outcome.message, again.statement]
    for statement in ("DESCRIBE CONNECTOR other;", "SHOW CONNECTORS;", "SHOW SINK CONNECTORS;"):
        seen += [str(row) for row in rows_of(recipe, statement)]
    assert "hush" not in "".join(seen)
    assert "'connection.password'      = '********'" in outcome.statement
    assert "'<my-kafka-api-secret>'" not in outcome.statement
    assert "'key.ignore'               = 'true'" in outcome.statement


def test_plans(recipe: Database) -> None:
    for query in QUERIES:
        assert rows_of(recipe, f"EXPLAIN {query};")
    sessions = "\n".join(row[0] for row in rows_of(recipe, f"EXPLAIN {QUERIES[2]};"))
    assert "SESSION" in sessions
    assert "read stream USER_CLICKSTREAM" in sessions
    before = len(recipe.catalog.queries)
    (outcome,) = recipe.execute("EXPLAIN SELECT userid FROM clickstream EMIT CHANGES;")
    assert outcome.table is not None
    assert len(recipe.catalog.queries) == before


def test_print_shows_records_as_they_are(recipe: Database, clock: FixedClock) -> None:
    let_pass(recipe, clock, 2_000)
    first = records(recipe, "clickstream")[:3]
    printed = shown(
        recipe, "PRINT clickstream FROM BEGINNING LIMIT 3;", "rowtime", "offset", "key", "value"
    )
    assert printed == [
        (r.rowtime, place, (r.key or b"").decode(), (r.value or b"").decode())
        for place, r in enumerate(first)
    ]
    every_tenth = shown(recipe, "PRINT clickstream FROM BEGINNING INTERVAL 10 LIMIT 3;", "offset")
    assert every_tenth == [0, 10, 20]
    (window,) = shown(recipe, "PRINT user_ip_activity FROM BEGINNING LIMIT 1;", "window")
    start, end = map(int, window.split(".."))
    assert end - start == 60_000
