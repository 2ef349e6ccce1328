"""A statement that cannot be written fails with a sentence and leaves nothing half done, whichever
statement of SQLite is the one that fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from millstream.catalog.persistence import load_catalog
from millstream.database import Database
from millstream.errors import StoreError
from tests.crash.search_server import SearchServer
from tests.crash.unreliable import (
    CORRUPT,
    FULL,
    IOERR,
    READONLY,
    Fault,
    at,
    failing,
    open_unreliable,
)

SETTING = """
SET 'auto.offset.reset' = 'earliest';
CREATE TYPE place AS STRUCT<x INT>;
CREATE STREAM clicks (page VARCHAR, n INT)
  WITH (KAFKA_TOPIC = 'clicks', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
CREATE STREAM other (page VARCHAR, n INT)
  WITH (KAFKA_TOPIC = 'other', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
CREATE TABLE pages AS SELECT page, COUNT(*) AS n FROM clicks GROUP BY page;
CREATE STREAM copy AS SELECT * FROM clicks;
CREATE SOURCE CONNECTOR source WITH ('connector.class' = 'DatagenSource',
  'quickstart' = 'CLICKSTREAM', 'kafka.topic' = 'made', 'maxInterval' = '1000');
CREATE SINK CONNECTOR sink WITH ('connector.class' = 'ElasticsearchSink', 'topics' = 'copy',
  'connection.url' = '{url}', 'key.ignore' = 'true', 'schema.ignore' = 'true');
INSERT INTO clicks VALUES ('/', 1);
INSERT INTO clicks VALUES ('/', 2);
"""

# In this order, each once, on one database.
STATEMENTS = (
    "CREATE STREAM fresh (a INT) WITH (KAFKA_TOPIC='fresh', VALUE_FORMAT='JSON', PARTITIONS=1);",
    "CREATE TABLE by_n AS SELECT n, COUNT(*) AS c FROM clicks GROUP BY n;",
    "CREATE OR REPLACE STREAM copy AS SELECT * FROM clicks WHERE n > 0;",
    "INSERT INTO copy SELECT * FROM other;",
    "ALTER STREAM fresh ADD COLUMN b INT;",
    "CREATE TYPE address AS STRUCT<street VARCHAR>;",
    "DROP TYPE address;",
    "INSERT INTO clicks VALUES ('/a', 3);",
    "PAUSE CTAS_PAGES_0;",
    "RESUME CTAS_PAGES_0;",
    "TERMINATE {insert};",
    "DROP TABLE by_n DELETE TOPIC;",
    "CREATE SOURCE CONNECTOR more WITH ('connector.class' = 'DatagenSource',"
    " 'quickstart' = 'CLICKSTREAM_USERS', 'kafka.topic' = 'more', 'maxInterval' = '1000');",
    "PAUSE CONNECTOR source;",
    "RESUME CONNECTOR source;",
    "PAUSE CONNECTOR sink;",
    "RESUME CONNECTOR sink;",
    "DROP CONNECTOR more;",
    "DROP CONNECTOR sink;",
)


def state(db: Database) -> dict[str, Any]:
    """What there is; fails where the file, the catalogue and what runs say different things."""
    with db.store.view() as view:
        stored = load_catalog(view)
        topics = {topic.name: view.end(topic.id) for topic in view.topics()}
    assert stored.sources == db.catalog.sources
    assert stored.queries == db.catalog.queries
    assert stored.types == db.catalog.types
    assert stored.connectors == db.catalog.connectors
    running = {i.number for i in stored.queries.values() if i.state == "RUNNING"}
    assert set(db.engine.queries) == running
    parts = {r.info.name: r.state for r in db.connectors.all()}
    assert parts == {name: info.state for name, info in stored.connectors.items()}
    return {
        "topics": topics,
        "sources": stored.sources,
        "queries": stored.queries,
        "types": stored.types,
        "connectors": stored.connectors,
    }


def mine(fault: Fault) -> Fault:
    """The fault, for statements of this thread only: a sink's thread has statements, too."""
    me = threading.current_thread()
    return lambda sql: fault(sql) if threading.current_thread() is me else None


@pytest.fixture
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database of everything that statements are about."""
    path = tmp_path_factory.mktemp("statements") / "x.db"
    with SearchServer() as server, open_unreliable(str(path)) as database:
        database.execute(SETTING.format(url=server.url))
        yield database


@pytest.mark.parametrize("code", [IOERR, FULL, READONLY, CORRUPT])
def test_a_statement_that_fails_leaves_nothing_half_done(db: Database, code: int) -> None:
    for text in STATEMENTS:
        insert = [name for name in db.catalog.queries if name.startswith("INSERTQUERY")]
        statement = text.replace("{insert}", "".join(insert))
        before = state(db)
        failures = 0
        for number in range(1, 200):
            fault = mine(at(number, code))
            met = False

            def noted(sql: str, fault: Fault = fault) -> int | None:
                nonlocal met
                found = fault(sql)
                met |= found is not None
                return found

            try:
                with failing(noted):
                    db.execute(statement)
            except StoreError as error:
                failures += 1
                assert error.hint is not None
                assert state(db) == before, statement
            else:
                if met:
                    db.connectors.save_states()
                break
        else:
            pytest.fail(f"it never succeeded: {statement}")
        after = state(db)
        assert failures > 0, statement
        if statement.startswith("INSERT INTO clicks"):
            assert after["topics"]["clicks"] == before["topics"]["clicks"] + 1
        assert after != before, statement
    db.run(for_ms=0)
    assert db.loop_error is None


@pytest.mark.parametrize("code", [IOERR, FULL])
def test_rows_that_failed_once_are_not_written_later(db: Database, code: int) -> None:
    before = state(db)["topics"]["clicks"]
    failures = 0
    for number in range(1, 40):
        try:
            with failing(mine(at(number, code))):
                db.insert("clicks", [("/", number)])
        except StoreError:
            failures += 1
        else:
            break
    assert failures > 1
    db.step()
    assert state(db)["topics"]["clicks"] == before + 1
