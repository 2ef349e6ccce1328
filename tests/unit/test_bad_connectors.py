"""Connectors that are asked or told nonsense: one sentence, and nothing is lost."""

from __future__ import annotations

import gzip
import http.server
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millstream import Database
from millstream.errors import SemanticError
from tests.feeding import feed, log, memory_database, rows, settle, states

DATAGEN = {
    "connector.class": "DatagenSource",
    "kafka.topic": "t",
    "quickstart": "CLICKSTREAM",
    "iterations": "1",
}
SEARCH = {
    "connector.class": "ElasticsearchSink",
    "topics": "t",
    "connection.url": "http://127.0.0.1:1",
}
ACCESS_LOG = {
    "connector.class": "AccessLogSource",
    "file": "/dev/null",
    "topic": "clicks",
    "users.topic": "users",
}


def create(db: Database, direction: str, options: dict[str, str]) -> None:
    """Make the connector C."""
    written = ", ".join(
        "'{}' = '{}'".format(name, value.replace("'", "''")) for name, value in options.items()
    )
    db.execute(f"CREATE {direction} CONNECTOR c WITH ({written});")


def state(db: Database) -> tuple[str, str | None]:
    """The state of the connector C, and what it says."""
    running = db.connectors.get("C")
    return running.state, running.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nope": "1"}, "has no option 'nope'"),
        ({"iteration": "5"}, "has no option 'iteration'"),
        ({"connector.class": "x"}, "There is no connector class 'x'"),
        ({"connector.class": ""}, "'connector.class' is missing"),
        ({"connector.class": "ElasticsearchSink"}, "is a sink connector"),
        ({"kafka.topic": ""}, "'kafka.topic' of DatagenSource is missing"),
        ({"value.converter": "io.confluent.AvroConverter"}, "is not supported yet"),
    ],
)
def test_a_connector_that_cannot_be_is_refused(options: dict[str, str], message: str) -> None:
    with memory_database() as db:
        with pytest.raises(SemanticError, match=message) as caught:
            create(db, "SOURCE", DATAGEN | options)
        assert caught.value.position is not None
        assert db.catalog.connectors == {}


@pytest.mark.parametrize(
    ("base", "options", "message"),
    [
        (DATAGEN, {"iterations": "many"}, "'iterations' must be a whole number"),
        (DATAGEN, {"iterations": "-5"}, "'iterations' must be at least -1"),
        (DATAGEN, {"iterations": "1.5"}, "'iterations' must be a whole number"),
        (DATAGEN, {"max.interval": "-1"}, "'max.interval' must be at least 0"),
        (DATAGEN, {"max.interval": "9" * 30}, "'max.interval' is too long"),
        (DATAGEN, {"iterations": "9" * 5_000}, "'iterations' must be a whole number"),
        (DATAGEN, {"quickstart": "nope"}, "There is no quickstart 'nope'"),
        (DATAGEN, {"kafka.topic": "a b"}, "a topic cannot be called 'a b'"),
        (DATAGEN, {"kafka.topic": "t" * 1_000}, "has at most 249 characters"),
        (DATAGEN, {"kafka.topic": "😀"}, "a topic cannot be called '😀'"),
        (DATAGEN, {"kafka.topic": "millstream_processing_log"}, "can only be read"),
        (ACCESS_LOG, {"file": "/no/such/file"}, "No such file or directory"),
        (ACCESS_LOG, {"file": "/"}, "Is a directory"),
        (ACCESS_LOG, {"file": "/dev/null"}, "is not a regular file"),
        (ACCESS_LOG, {"file": "a\0b"}, "cannot be read"),
        (ACCESS_LOG, {"file": "x" * 5_000}, "File name too long"),
        (ACCESS_LOG, {"file": __file__, "follow": "perhaps"}, "'follow' cannot be 'perhaps'"),
        (ACCESS_LOG, {"file": __file__, "topic": "users"}, "must be two different topics"),
        (ACCESS_LOG, {"file": __file__, "topic": "a/b"}, "a topic cannot be called 'a/b'"),
        (SEARCH, {"topics": ","}, "names no topic"),
        (SEARCH, {"topics": "t,T"}, "differ only in case"),
        (SEARCH, {"topics": "_t"}, "cannot become an index"),
        (SEARCH, {"connection.url": "ftp://x"}, "no http or https address"),
        (SEARCH, {"connection.url": "http://x:port"}, "no http or https address"),
        (SEARCH, {"connection.url": "http://[::1"}, "no http or https address"),
        (SEARCH, {"connection.url": "http://a b"}, "no http or https address"),
        (SEARCH, {"connection.url": "http://a\nb"}, "no http or https address"),
        (SEARCH, {"connection.url": "http://a\0b"}, "no http or https address"),
        (SEARCH, {"connection.url": "http://" + "x" * 300}, "no http or https address"),
        (SEARCH, {"batch.size": "0"}, "'batch.size' must be at least 1"),
        (SEARCH, {"write.method": "MERGE"}, "'write.method' cannot be 'MERGE'"),
        (SEARCH, {"key.ignore": "maybe"}, "'key.ignore' cannot be 'maybe'"),
        (SEARCH, {"connection.user": "u"}, "'connection.password' is missing"),
    ],
)
def test_a_connector_with_a_wrong_value_fails_and_says_why(
    base: dict[str, str], options: dict[str, str], message: str
) -> None:
    with memory_database() as db:
        create(db, "SINK" if base is SEARCH else "SOURCE", base | options)
        found, sentence = state(db)
        assert found == "FAILED"
        assert message in (sentence or "")
        assert "\n" not in (sentence or "")
        assert "Traceback" not in (sentence or "")
        settle(db)


def test_a_fault_of_a_connectors_own_fails_it_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("millstream.connect.datagen.source.DatagenClass.create", broken)
    with memory_database() as db, caplog.at_level(logging.CRITICAL, "millstream"):
        create(db, "SOURCE", DATAGEN)
        assert state(db) == ("FAILED", "ZeroDivisionError: division by zero")
        db.execute("SHOW CONNECTORS; DROP CONNECTOR c;")


# --- access logs ----------------------------------------------------------------------------------

GOOD = b'10.1.2.3 - - [31/Dec/2024:23:59:59 +0000] "GET / HTTP/1.1" 200 5 "-" "Mozilla"'


def read_log(db: Database, path: Path, content: bytes) -> None:
    """Read a file as an access log, to its end."""
    path.write_bytes(content)
    create(db, "SOURCE", ACCESS_LOG | {"file": str(path)})
    settle(db)


def test_lines_of_a_megabyte(tmp_path: Path) -> None:
    long = GOOD.replace(b"GET /", b"GET /" + b"x" * 1_000_000)
    lines = [
        GOOD,
        long,
        b"x" * 1_000_000,
        long[:-1],
        b'"' * 1_000_000,
        b"[" * 1_000_000,
        GOOD.replace(b"Mozilla", b"\\" * 1_000_001),
        b"10.1.2.3 " * 100_000,
        GOOD,
    ]
    with memory_database() as db:
        read_log(db, tmp_path / "a.log", b"\n".join(lines))
        assert state(db) == ("RUNNING", None)
        db.execute(
            "CREATE STREAM c (request VARCHAR)"
            " WITH (KAFKA_TOPIC = 'clicks', VALUE_FORMAT = 'JSON');"
        )
        assert [len(r) for (r,) in rows(db, "SELECT request FROM c;")] == [14, 1_000_014, 14]
        told = log(db)
        assert len(told) == 6
        places = [sum(len(line) + 1 for line in lines[:n]) for n in range(2, 8)]
        assert [line.offset for line in told] == places
        assert all(line.topic == "clicks" and len(line.record or b"") == 4096 for line in told)


def test_lines_of_nonsense(tmp_path: Path) -> None:
    bad = [
        b"\0" * 100,
        b"\xff" * 100,
        GOOD[:-1],
        GOOD.replace(b"31/Dec", b"31/Feb"),
        GOOD.replace(b"23:59:59", b"99:99:99"),
        GOOD.replace(b"200 5", b"200 " + b"9" * 30),
        GOOD.replace(b'"GET', b'"G"ET'),
    ]
    odd = [GOOD.replace(b"Mozilla", b'M\xff\\"\\x00'), GOOD.replace(b"10.1.2.3", b"h\xc3\xa9")]
    with memory_database() as db:
        read_log(db, tmp_path / "a.log", b"\n".join([*bad, b"", *odd, b""]))
        db.execute(
            "CREATE STREAM c (ip VARCHAR, agent VARCHAR)"
            " WITH (KAFKA_TOPIC = 'clicks', VALUE_FORMAT = 'JSON');"
        )
        assert rows(db, "SELECT ip FROM c;") == [("10.1.2.3",), ("hé",)]
        assert [line.record for line in log(db)] == bad


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.gz", gzip.compress(GOOD * 1_000)[:-20], "cannot be read"),
        ("bent.gz", bytes(b ^ (n == 40) for n, b in enumerate(gzip.compress(GOOD))), "be read"),
        ("plain.gz", GOOD, "cannot be read"),
        ("endless.log", b"x" * (17 << 20), "no line end within 16 MB"),
    ],
)
def test_files_that_are_no_access_logs(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    with memory_database() as db:
        read_log(db, tmp_path / name, content)
        found, sentence = state(db)
        assert found == "FAILED"
        assert message in (sentence or "")


# --- a search server ------------------------------------------------------------------------------


class Nonsense(http.server.BaseHTTPRequestHandler):
    """Answers every call with what its server was given."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, content = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    """A server on a free port; `answer` is its status and content."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nonsense) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def sink_over(db: Database, server: http.server.ThreadingHTTPServer) -> None:
    """Two records in a topic, and a sink that carries them to the server."""
    db.execute(
        "CREATE STREAM s (k VARCHAR KEY, n INT)"
        " WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
    )
    feed(db, "t", [b'{"n": 1}', b'{"n": 2}'], [b"k", b"l"])
    address = f"http://127.0.0.1:{server.server_port}"
    quick = {"max.retries": "1", "retry.backoff.ms": "1", "read.timeout.ms": "20000"}
    create(db, "SINK", SEARCH | quick | {"connection.url": address, "key.ignore": "true"})


def wait_for_failure(db: Database) -> str:
    """What the sink says when it has given up."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found, sentence = state(db)
        if found == "FAILED":
            return sentence or ""
        with db.engine.committed:
            db.engine.committed.wait(0.01)
    pytest.fail(f"the sink went on: {state(db)}")


STRANGE = "answered something that no search server says"


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (200, b"", STRANGE),
        (200, b"{", STRANGE),
        (200, b"null", STRANGE),
        (200, b"[]", STRANGE),
        (200, b"{}", STRANGE),
        (200, b"<html>hello</html>", STRANGE),
        (200, b"\xff\xfe", STRANGE),
        (200, b"[" * 100_000, STRANGE),
        (200, b'{"errors": true}', STRANGE),
        (200, b'{"errors": true, "items": null}', STRANGE),
        (200, b'{"errors": true, "items": []}', STRANGE),
        (200, b'{"errors": true, "items": [1, 2]}', STRANGE),
        (200, b'{"errors": true, "items": [{}, {}]}', STRANGE),
        (200, b'{"errors": true, "items": [{"index": {}}, {"index": {"status": 201}}]}', STRANGE),
        (200, b'{"errors": true, "items": [{"index": {"status": 400, "error": "no"}}]}', STRANGE),
        (
            200,
            b'{"errors": true, "items": [{"index": {"status": 400, "error": {}}},'
            b' {"index": {"status": "well"}}]}',
            "does not say what became of a document",
        ),
        (204, b"", STRANGE),
        (301, b"", "no search server is there"),
        (403, b"x" * 100_000, "does not allow this user to write"),
        (404, b"{", "no search server is there"),
        (400, b'{"error": 7}', "refused the call: HTTP 400: 7"),
        (500, b"\0", "is not ready (HTTP 500)"),
    ],
)
def test_answers_of_nonsense_lose_nothing(
    server: http.server.ThreadingHTTPServer, status: int, content: bytes, message: str
) -> None:
    server.answer = (status, content)  # type: ignore[attr-defined]
    with memory_database() as db:
        sink_over(db, server)
        assert message in wait_for_failure(db)
        worker = db.connectors.get("C").sink
        assert worker is not None
        assert (worker.counts.delivered, worker.counts.rejected) == (0, 0)
        with db.store.view() as view:
            assert view.positions(f"connector-{worker.connector_id}") == {}
        # What was not taken is there when the server is in order again.
        server.answer = (200, b'{"errors": false, "items": [{}, {}]}')  # type: ignore[attr-defined]
        db.execute("RESUME CONNECTOR c;")
        settle(db)
        assert worker.counts.delivered == 2
        assert state(db) == ("RUNNING", None)


def test_a_sink_that_carries_the_log_away_comes_to_an_end(
    server: http.server.ThreadingHTTPServer,
) -> None:
    refusal = b'{"errors": true, "items": [{"index": {"status": 400, "error": {"reason": "no"}}}]}'
    server.answer = (200, refusal)  # type: ignore[attr-defined]
    with memory_database(
        "CREATE STREAM s (k VARCHAR KEY, n INT)"
        " WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
        "CREATE STREAM copies AS SELECT * FROM s;"
        "CREATE STREAM messages AS SELECT message FROM KSQL_PROCESSING_LOG;"
    ) as db:
        address = f"http://127.0.0.1:{server.server_port}"
        options = {"connection.url": address, "key.ignore": "true", "batch.size": "1"}
        create(db, "SINK", SEARCH | options | {"topics": "millstream_processing_log,MESSAGES"})
        feed(db, "t", [b"{"], [b"k"])
        settle(db)
        told = [(line.step, line.topic) for line in log(db)]
        # The line, and that it was refused; no word of the refusal of that.
        assert told == [("source S", "t"), ("connector C", "millstream_processing_log")]
        worker = db.connectors.get("C").sink
        assert worker is not None
        assert worker.counts.rejected == 4
        assert set(states(db).values()) == {"RUNNING"}


def test_records_that_are_no_documents(server: http.server.ThreadingHTTPServer) -> None:
    server.answer = (200, b'{"errors": false, "items": []}')  # type: ignore[attr-defined]
    with memory_database() as db:
        db.execute(
            "CREATE STREAM s (k VARCHAR KEY, n INT)"
            " WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
        )
        address = f"http://127.0.0.1:{server.server_port}"
        create(db, "SINK", SEARCH | {"connection.url": address, "key.ignore": "false"})
        keys = [b"k", None, b"", b"x" * 1_000, b"\xff"]
        feed(db, "t", [b'{"n": 1}'] * 5, keys)
        settle(db)
        worker = db.connectors.get("C").sink
        assert worker is not None
        assert (worker.counts.delivered, worker.counts.rejected) == (2, 3)
        assert [line.offset for line in log(db)] == [1, 2, 3]
