"""A database that one process writes and others read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

import millstream
from millstream import Database
from millstream.errors import SemanticError, StoreError
from millstream.recipes import read_recipe
from tests.e2e.recipe import rows_of, shown

# Runs the database at argv[1]; executes the scripts that come as lines of JSON on stdin.
WRITER = """
import json, sys
import millstream

with millstream.connect(sys.argv[1]) as db:
    db.start()
    print(json.dumps("open"), flush=True)
    for line in sys.stdin:
        print(json.dumps([o.message for o in db.execute(json.loads(line))]), flush=True)
    db.stop()
"""

# Clicks as they come go in one commit with all that follows from them: the same number of them is
# in the stream, in its copy, and in the tables over both. (The connector comes last: a query made
# when there are clicks already has to catch up first.)
CLICKS = """
SET 'auto.offset.reset' = 'earliest';
CREATE STREAM clickstream (userid INT, request VARCHAR)
  WITH (KAFKA_TOPIC = 'clickstream', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE STREAM copy AS SELECT * FROM clickstream;
CREATE TABLE per_user AS SELECT userid, COUNT(*) AS n FROM clickstream GROUP BY userid;
CREATE TABLE per_request AS SELECT request, COUNT(*) AS n FROM copy GROUP BY request;
CREATE SOURCE CONNECTOR clicks WITH ('connector.class' = 'DatagenSource',
  'quickstart' = 'CLICKSTREAM', 'kafka.topic' = 'clickstream', 'maxInterval' = '1');
"""
TOTALS = """
SELECT (SELECT COUNT(*) FROM clickstream), (SELECT COUNT(*) FROM copy),
  (SELECT COALESCE(SUM(n), 0) FROM per_user), (SELECT COALESCE(SUM(n), 0) FROM per_request)
"""


class Writer:
    """A process that has a database open for writing and runs it."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", WRITER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "open"

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def execute(self, script: str) -> list[str]:
        """Have it execute a script; what it says of each statement."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(script) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        assert isinstance(answer, list)
        return answer

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def kill(self) -> None:
        """End it at once, whatever it is at."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._process:
            if self._process.stdin is not None:
                self._process.stdin.close()
        if kind is None and self._process.returncode >= 0:
            assert self._process.returncode == 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "clicks.db"


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    """A running writer of the database."""
    with Writer(path) as running:
        yield running


def read(path: Path) -> Database:
    """Open the database to read."""
    return millstream.connect(str(path), read_only=True)


def totals(db: Database) -> tuple[int, ...]:
    """How many clicks each part of the database knows."""
    (row,) = db.sql(TOTALS).rows()
    return tuple(int(n) for n in row)


def test_a_reader_sees_whole_commits(writer: Writer, path: Path) -> None:
    writer.execute(CLICKS)
    seen: list[int] = []
    with read(path) as db:
        while len(set(seen)) < 25:
            numbers = totals(db)
            assert len(set(numbers)) == 1, numbers
            seen.append(numbers[0])
    assert seen == sorted(seen)


def test_readers_do_not_hold_the_writer_up(writer: Writer, path: Path) -> None:
    writer.execute(CLICKS)
    with read(path) as one, read(path) as other, one.store.view() as view:
        topic = view.topic("clickstream")
        assert topic is not None
        before = view.end(topic.id)
        while totals(other)[0] <= before + 100:
            pass
        assert view.end(topic.id) == before


def test_a_kill_leaves_the_last_commit_to_readers_and_to_the_next_writer(path: Path) -> None:
    with Writer(path) as writer:
        writer.execute(CLICKS)
        with read(path) as db:
            while totals(db)[0] < 500:
                pass
            writer.kill()
            numbers = totals(db)
            assert len(set(numbers)) == 1
            assert totals(db) == numbers
    with read(path) as db:
        # A commit that was under way may turn out to be durable; none that was seen is lost.
        assert totals(db) >= numbers
        assert len(set(totals(db))) == 1
        numbers = totals(db)
    with Writer(path), read(path) as db:
        while totals(db)[0] <= numbers[0]:
            pass
        assert len(set(totals(db))) == 1


def test_what_the_writer_makes_is_there_for_an_open_reader(writer: Writer, path: Path) -> None:
    writer.execute(CLICKS)
    with read(path) as db:
        assert shown(db, "SHOW QUERIES;", "sink") == ["COPY", "PER_USER", "PER_REQUEST"]
        writer.execute("CREATE STREAM more AS SELECT userid FROM copy;")
        assert len(db.sql("SELECT * FROM more LIMIT 1;")) <= 1
        assert shown(db, "SHOW STREAMS;", "name")[-1] == "MORE"
        assert rows_of(db, "DESCRIBE more;") == [("USERID", "INTEGER", "")]
        writer.execute("DROP STREAM more DELETE TOPIC;")
        with pytest.raises(SemanticError, match="MORE"):
            db.sql("SELECT * FROM more;")
        assert "MORE" not in shown(db, "SHOW TOPICS;", "name")


def test_a_reader_is_told_how_the_connectors_fare(writer: Writer, path: Path) -> None:
    with read(path) as db:
        assert rows_of(db, "SHOW CONNECTORS;") == []
        writer.execute(read_recipe("clickstream") + "PAUSE CONNECTOR datagen_users;")
        columns = ("connector", "state")
        assert shown(db, "SHOW CONNECTORS;", *columns) == [
            ("DATAGEN_USERS", "PAUSED"),
            ("DATAGEN_CLICKS", "RUNNING"),
            ("ANALYZED_CLICKSTREAM", "FAILED"),
        ]
        (message,) = shown(db, "SHOW SINK CONNECTORS;", "message")
        assert "<elasticsearch-URI>" in message
        writer.execute(read_recipe("clickstream_cleanup").split("DROP CONNECTOR IF EXISTS D")[0])
        assert shown(db, "SHOW CONNECTORS;", *columns) == [
            ("DATAGEN_USERS", "FAILED"),
            ("DATAGEN_CLICKS", "FAILED"),
        ]


def test_a_reader_can_follow(writer: Writer, path: Path) -> None:
    writer.execute(CLICKS)
    with read(path) as db:
        db.execute("SET 'auto.offset.reset' = 'earliest';")
        query = "SELECT ROWOFFSET, userid FROM clickstream EMIT CHANGES LIMIT 3000;"
        rows = list(db.subscribe(query))
        assert [offset for offset, _ in rows] == list(range(3000))
        (count,) = db.sql("SELECT COUNT(*) FROM clickstream").rows()[0]
        assert count >= 3000
        printed = shown(db, "PRINT clickstream FROM BEGINNING LIMIT 2;", "offset")
        assert printed == [0, 1]


def test_a_reader_cannot_write(writer: Writer, path: Path) -> None:
    writer.execute(CLICKS)
    with read(path) as db:
        for statement in (
            "CREATE STREAM x (a INT) WITH (KAFKA_TOPIC = 'x', VALUE_FORMAT = 'JSON',"
            " PARTITIONS = 1);",
            "CREATE STREAM x AS SELECT * FROM clickstream;",
            "INSERT INTO clickstream VALUES (1, 'x');",
            "DROP TABLE per_user;",
            "PAUSE CONNECTOR clicks;",
            "DROP CONNECTOR clicks;",
            "PAUSE ALL;",
            "TERMINATE ALL;",
        ):
            with pytest.raises(StoreError, match="read-only"):
                db.execute(statement)
        with pytest.raises(StoreError, match="read-only"):
            db.insert("clickstream", [(1, "x")])
        with pytest.raises(StoreError, match="read-only"):
            db.start()
        with pytest.raises(StoreError, match="read-only"):
            db.run(until_idle=True)
        assert shown(db, "SHOW CONNECTORS;", "state") == ["RUNNING"]
        assert shown(db, "SHOW QUERIES;", "state") == ["RUNNING"] * 3


def test_a_second_writer_is_told_of_the_first(writer: Writer, path: Path) -> None:
    with pytest.raises(StoreError, match=f"open for writing by process {writer.pid}") as caught:
        millstream.connect(str(path))
    assert caught.value.hint == "Close it there first, or open it read-only here."
    with read(path):
        pass


def test_a_second_writer_in_the_same_process_is_told_so(path: Path) -> None:
    with millstream.connect(str(path)):
        with pytest.raises(StoreError, match="this process already"):
            millstream.connect(str(path))
        with read(path) as db:
            assert shown(db, "SHOW STREAMS;", "name") == ["KSQL_PROCESSING_LOG"]
    with millstream.connect(str(path)):
        pass


def test_reading_what_is_not_there(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        read(path)
    assert not path.exists()
    path.write_text("no database at all, but long enough to look at" * 100)
    with pytest.raises(StoreError):
        read(path)
    assert os.listdir(path.parent) == ["clicks.db"]
