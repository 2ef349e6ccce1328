"""The recipe over a real web server's access log, against figures computed in plain Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

import millstream
from millstream import Database
from millstream.clock import FixedClock
from millstream.errors import ExecutionError
from millstream.recipes import read_recipe
from tests.e2e.recipe import check_tables, contents, events, from_set_on, records, rows_of, shown
from tests.e2e.recipe_oracle import Click, Event, User, expected

LINE = re.compile(
    r'(\S+) \S+ (\S+) \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-)'
    r'(?: "(?:[^"\\]|\\.)*" "((?:[^"\\]|\\.)*)"(?: .*)?)?'
)

SMALL_LOG = """\
192.0.2.1 - - [17/May/2015:12:05:03 +0200] "GET /a.html HTTP/1.1" 200 20 "-" "Otter/2.0"
192.0.2.1 - - [17/May/2015:10:05:05 +0000] "GET /b.html HTTP/1.1" 200 - "-" "Lantern/4.2"
192.0.2.7 - ada [17/May/2015:10:05:06 +0000] "GET /c.html HTTP/1.1" 200 20 "-" "Otter/2.0"
this line is no request
198.51.100.7 - ada [17/May/2015:10:05:07 +0000] "POST /d HTTP/1.1" 404 20 "-" "Lantern/4.2"

192.0.2.1 - - [17/May/2015:10:05:04 +0000] "GET /e.html HTTP/1.1" 200 20 "-" "Otter/2.0"
192.0.2.9 - - [17/May/2015:10:05:09 +0000] "GET /f.html HTTP/1.1" 200 20
"""
FIRST_MS = 1_431_857_103_000  # 2015-05-17T10:05:03Z


def run_log(db: Database, log: Path) -> None:
    """Execute the recipe over a log, and run it to the log's end."""
    db.execute(read_recipe("clickstream_access_log"), {"access_log": str(log)})
    db.execute(from_set_on())
    db.run(until_idle=True)


@pytest.fixture
def db() -> Iterator[Database]:
    """An empty database in memory."""
    with millstream.connect() as database:
        yield database


@pytest.fixture
def real_log(shared: Path) -> Path:
    """10,000 lines of a real server's log."""
    return shared / "data" / "apache_logs.log"


@pytest.fixture
def small_log(tmp_path: Path) -> Path:
    """A log of a few lines, two of them no requests."""
    path = tmp_path / "small.log"
    path.write_text(SMALL_LOG)
    return path


def read_log(path: Path) -> Iterator[Event]:
    """A log's clicks, each visitor's user before the first of them; malformed lines left out."""
    visitors: dict[tuple[str, ...], int] = {}
    for line in path.read_text("utf-8").splitlines():
        match = LINE.fullmatch(line)
        if match is None:
            continue
        host, user, when, request, status, size, agent = match.groups()
        visitor = (host, agent) if user == "-" else (user,)
        if visitor not in visitors:
            visitors[visitor] = number = len(visitors) + 1
            name = f"visitor-{number}" if user == "-" else user
            net = ".".join(host.split(".")[:2]) + ".0.0/16"
            yield User(str(number), name, net)
        yield Click(
            time_ms=int(datetime.strptime(when, "%d/%b/%Y:%H:%M:%S %z").timestamp()) * 1000,
            userid=visitors[visitor],
            ip=host,
            request=request,
            status=int(status),
            bytes=0 if size == "-" else int(size),
        )


def test_all_tables_of_a_real_log(db: Database, real_log: Path) -> None:
    run_log(db, real_log)
    from_file = list(read_log(real_log))
    clicks = [e for e in from_file if isinstance(e, Click)]
    latest, disorder_ms = 0, 0
    for click in clicks:
        latest = max(latest, click.time_ms)
        disorder_ms = max(disorder_ms, latest - click.time_ms)
    assert (len(clicks), disorder_ms) == (9_999, 59_000), "the log is not the one this test is for"

    wanted = expected(from_file)
    assert db.sql("SELECT * FROM user_clickstream;").rows() == wanted.user_clickstream
    for name, table in wanted.tables().items():
        assert contents(db, name) == table.kept, name
        assert len(table.kept) < len(table.all), "a day is shorter than the log"
    # The topics keep what the tables forget after a day.
    check_tables(db)
    assert [e for e in events(db) if isinstance(e, Click)] == clicks
    assert {e for e in events(db) if isinstance(e, User)} == set(from_file) - set(clicks)


def test_batches_do_not_matter(real_log: Path) -> None:
    with Database.open(max_rows=777) as db:
        run_log(db, real_log)
        wanted = expected(read_log(real_log))
        for name, table in wanted.tables().items():
            assert contents(db, name) == table.kept, name


def test_users_come_before_their_clicks(db: Database, real_log: Path) -> None:
    run_log(db, real_log)
    known = set()
    for event in events(db):
        if isinstance(event, User):
            assert event.username
            assert event.city
            known.add(event.user_id)
        else:
            assert str(event.userid) in known


def test_visitors_of_a_small_log(db: Database, small_log: Path) -> None:
    run_log(db, small_log)
    assert db.sql("SELECT user_id, username, city, level FROM web_users;").rows() == [
        ("1", "visitor-1", "192.0.0.0/16", "visitor"),
        ("2", "visitor-2", "192.0.0.0/16", "visitor"),
        ("3", "ada", "192.0.0.0/16", "member"),
        ("4", "visitor-4", "192.0.0.0/16", "visitor"),
    ]
    clicks = db.sql(
        "SELECT ROWTIME, userid, ip, request, status, bytes, agent FROM clickstream;"
    ).rows()
    assert clicks == [
        (FIRST_MS, 1, "192.0.2.1", "GET /a.html HTTP/1.1", 200, 20, "Otter/2.0"),
        (FIRST_MS + 2000, 2, "192.0.2.1", "GET /b.html HTTP/1.1", 200, 0, "Lantern/4.2"),
        (FIRST_MS + 3000, 3, "192.0.2.7", "GET /c.html HTTP/1.1", 200, 20, "Otter/2.0"),
        (FIRST_MS + 4000, 3, "198.51.100.7", "POST /d HTTP/1.1", 404, 20, "Lantern/4.2"),
        (FIRST_MS + 1000, 1, "192.0.2.1", "GET /e.html HTTP/1.1", 200, 20, "Otter/2.0"),
        (FIRST_MS + 6000, 4, "192.0.2.9", "GET /f.html HTTP/1.1", 200, 20, "-"),
    ]
    assert contents(db, "CLICK_USER_SESSIONS") == {
        ("visitor-1", FIRST_MS, FIRST_MS + 1000, "visitor-1", FIRST_MS + 1000, 2),
        ("visitor-2", FIRST_MS + 2000, FIRST_MS + 2000, "visitor-2", FIRST_MS + 2000, 1),
        ("ada", FIRST_MS + 3000, FIRST_MS + 4000, "ada", FIRST_MS + 4000, 2),
        ("visitor-4", FIRST_MS + 6000, FIRST_MS + 6000, "visitor-4", FIRST_MS + 6000, 1),
    }
    check_tables(db)


def test_malformed_lines_are_in_the_processing_log(small_log: Path) -> None:
    clock = FixedClock(1_700_000_000_000)
    line = b"this line is no request"
    with millstream.connect(clock=clock) as db:
        run_log(db, small_log)
        (row,) = db.sql("SELECT * FROM KSQL_PROCESSING_LOG;").rows()
        columns = [name for name, *_ in rows_of(db, "DESCRIBE KSQL_PROCESSING_LOG;")]
        logged = dict(zip(columns, row, strict=True))
        assert logged.pop("MESSAGE")
        assert logged == {
            "TIME": clock.time_ms,
            "QUERY_ID": "",
            "STEP": "connector ACCESS_LOG",
            "KIND": "deserialization",
            "TOPIC": "clickstream",
            "PARTITION": None,
            "OFFSET": SMALL_LOG.encode().index(line),
            "RECORD": line,
        }
        assert db.metrics().log_count == 1
        with db.subscribe("SELECT KIND, RECORD FROM KSQL_PROCESSING_LOG EMIT CHANGES;") as news:
            assert news.poll() == [("deserialization", line)]


def test_the_processing_log_is_a_stream_like_any_other(db: Database, small_log: Path) -> None:
    db.execute(
        """SET 'auto.offset.reset' = 'earliest';
        CREATE TABLE problems AS SELECT kind, COUNT(*) AS n FROM KSQL_PROCESSING_LOG GROUP BY kind;
        """
    )
    run_log(db, small_log)
    assert db.sql("SELECT * FROM problems;").rows() == [("deserialization", 1)]


def test_a_restart_goes_on_where_the_log_was_left(small_log: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "clicks.db")
    head, tail = (
        SMALL_LOG[: SMALL_LOG.index("this line")],
        SMALL_LOG[SMALL_LOG.index("this line") :],
    )
    small_log.write_text(head)
    with millstream.connect(path) as db:
        run_log(db, small_log)
        assert len(records(db, "clickstream")) == 3
    with small_log.open("a") as log:
        log.write(tail)
    with millstream.connect(path) as db:
        db.run(until_idle=True)
        assert [e.userid for e in events(db) if isinstance(e, Click)] == [1, 2, 3, 3, 1, 4]
        assert [e.user_id for e in events(db) if isinstance(e, User)] == ["1", "2", "3", "4"]
        check_tables(db)


def test_a_missing_file_fails_until_it_is_there(db: Database, tmp_path: Path) -> None:
    log = tmp_path / "later.log"
    db.execute(read_recipe("clickstream_access_log"), {"access_log": str(log)})
    ((state, message),) = shown(db, "SHOW CONNECTORS;", "state", "message")
    assert state == "FAILED"
    assert str(log) in message
    log.write_text(SMALL_LOG)
    db.execute("RESUME CONNECTOR access_log;")
    db.execute(from_set_on())
    db.run(until_idle=True)
    assert len(records(db, "clickstream")) == 6
    assert shown(db, "SHOW SOURCE CONNECTORS;", "state", "message") == [("RUNNING", None)]


def test_waiting_for_the_end_of_an_endless_source_is_refused(db: Database) -> None:
    db.execute(read_recipe("clickstream"))
    with pytest.raises(ExecutionError, match="DATAGEN_USERS, DATAGEN_CLICKS never ends") as caught:
        db.run(until_idle=True)
    assert "iterations" in (caught.value.hint or "")
