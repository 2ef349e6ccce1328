"""The recipe's sink, its address filled in: what the topics hold arrives, once."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import millstream
from millstream import Database
from millstream.clock import FixedClock
from millstream.recipes import read_recipe
from tests.e2e.bulk_server import running
from tests.e2e.recipe import STARTED_MS, from_set_on, let_pass, records, shown

LINE = '192.0.2.{host} - - [17/May/2015:10:05:{second:02} +0000] "GET {path} HTTP/1.1" {status} 20'


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """An access log in which the alerts and the activity find rows."""
    path = tmp_path / "access.log"
    lines = [
        LINE.format(host=host, second=second, path=page, status=status)
        for second in range(0, 24, 3)
        for host, page, status in [(1, "/a.html", 200), (2, "/lost", 404)]
    ]
    path.write_text("\n".join([*lines, ""]))
    return path


@pytest.fixture
def open_file(tmp_path: Path) -> Callable[[], Database]:
    """Opens the same database file each time it is called."""
    return lambda: millstream.connect(str(tmp_path / "clicks.db"), clock=FixedClock(STARTED_MS))


def filled_in(url: str, text: str) -> str:
    """A text of the recipe with its blanks filled in."""
    return (
        text.replace("<elasticsearch-URI>", url)
        .replace("<elasticsearch-username>", "")
        .replace("<elasticsearch-password>", "")
    )


def from_topic(db: Database, topic: str) -> dict[str, Any]:
    """What an index must hold of a topic: the values by topic, partition and offset."""
    return {
        f"{topic}+0+{offset}": json.loads(record.value)
        for offset, record in enumerate(records(db, topic))
        if record.value is not None
    }


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_log(db: Database, log: Path, url: str) -> None:
    """Run the recipe over a log until all is delivered."""
    db.execute(read_recipe("clickstream_access_log"), {"access_log": str(log)})
    db.execute(filled_in(url, from_set_on()))
    db.run(until_idle=True)


def test_running_until_idle_waits_for_deliveries(
    open_file: Callable[[], Database], log: Path
) -> None:
    with running() as server, open_file() as db:
        run_log(db, log, server.url)
        # The recipe's topics in upper case mean the topics in lower case.
        assert set(server.documents) == {"user_ip_activity", "errors_per_min_alert"}
        for topic, documents in server.documents.items():
            assert documents == from_topic(db, topic)
            assert documents
        assert shown(db, "SHOW SINK CONNECTORS;", "state", "message") == [("RUNNING", None)]


def test_a_restart_sends_what_is_new_and_nothing_again(
    open_file: Callable[[], Database], log: Path
) -> None:
    with running() as server:
        with open_file() as db:
            run_log(db, log, server.url)
        before = server.received
        assert before == sum(len(d) for d in server.documents.values())
        with log.open("a") as more:
            for second in range(30, 40):
                more.write(LINE.format(host=3, second=second, path="/b", status=200) + "\n")
        with open_file() as db:
            db.run(until_idle=True)
            assert server.documents["user_ip_activity"] == from_topic(db, "user_ip_activity")
            assert server.received == sum(len(d) for d in server.documents.values()) > before


def test_nothing_is_lost_while_the_server_is_away(
    open_file: Callable[[], Database], log: Path
) -> None:
    port = free_port()
    with open_file() as db:
        db.execute(read_recipe("clickstream_access_log"), {"access_log": str(log)})
        db.execute(filled_in(f"http://127.0.0.1:{port}", from_set_on()))
        while db.step():
            pass
        assert from_topic(db, "user_ip_activity"), "queries go on"
        assert not db.idle()
        with running(port) as server:
            db.run(until_idle=True)
            assert server.documents["user_ip_activity"] == from_topic(db, "user_ip_activity")


def test_pausing_the_sink_holds_deliveries_back(
    open_file: Callable[[], Database],
) -> None:
    clock = FixedClock(STARTED_MS)
    with running() as server, millstream.connect(clock=clock) as db:
        db.execute(filled_in(server.url, read_recipe("clickstream")))
        db.execute("PAUSE CONNECTOR analyzed_clickstream;")
        assert shown(db, "SHOW SINK CONNECTORS;", "state") == ["PAUSED"]
        let_pass(db, clock, 20_000, tick_ms=1_000)
        assert records(db, "user_ip_activity")
        assert server.documents == {}
        db.execute("PAUSE CONNECTOR datagen_users; PAUSE CONNECTOR datagen_clicks;")
        db.execute("RESUME CONNECTOR analyzed_clickstream;")
        db.run(until_idle=True)
        for topic in ("user_ip_activity", "errors_per_min_alert"):
            assert server.documents[topic] == from_topic(db, topic)


def test_a_sink_hears_of_inserted_rows() -> None:
    with running() as server, millstream.connect() as db:
        db.execute(
            "CREATE STREAM notes (text VARCHAR)"
            " WITH (KAFKA_TOPIC = 'notes', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
            "CREATE SINK CONNECTOR out WITH ('connector.class' = 'ElasticsearchSink',"
            f" 'topics' = 'notes', 'connection.url' = '{server.url}', 'key.ignore' = 'true');"
        )
        db.run(until_idle=True)
        for number in range(3):
            db.execute(f"INSERT INTO notes VALUES ('{number}');")
            db.run(until_idle=True)
            assert len(server.documents["notes"]) == number + 1


def test_a_sink_that_failed_is_tried_again_when_the_file_is_opened(
    open_file: Callable[[], Database], log: Path, tmp_path: Path
) -> None:
    with running() as server:
        with open_file() as db:
            run_log(db, log, "<elasticsearch-URI>")
            assert shown(db, "SHOW SINK CONNECTORS;", "state") == ["FAILED"]
        with millstream.connect(str(tmp_path / "clicks.db"), read_only=True) as db:
            ((state, message),) = shown(db, "SHOW SINK CONNECTORS;", "state", "message")
            assert state == "FAILED"
            assert "<elasticsearch-URI>" in message
        with open_file() as db:
            assert shown(db, "SHOW SINK CONNECTORS;", "state") == ["FAILED"]
            text = read_recipe("clickstream")
            db.execute("DROP CONNECTOR analyzed_clickstream;")
            db.execute(filled_in(server.url, text[text.index("-- Send data") :]))
            db.run(until_idle=True)
            assert server.documents["user_ip_activity"] == from_topic(db, "user_ip_activity")
