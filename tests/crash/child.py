"""A process that runs the clickstream recipe on a database file until all is done, to be killed.

`python -m tests.crash.child PATH CACHE MAX_ROWS URL AIM` with a database at PATH: prints `open`
when the statements stand and `done` when nothing is left. What it makes depends on its arguments
only, not on when it runs. Beside the database it keeps two files: `PATH.phase`, one byte that says
what it is at (see `PHASES`), and `PATH.seen`, what a reader in this process has seen.

AIM is empty, or like `commit:7:0.5`: the process kills itself when it enters that phase for the
seventh time, so many milliseconds later.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from millstream.clock import FixedClock
from millstream.database import Database
from millstream.engine import scheduler
from millstream.recipes import read_recipe
from millstream.store.sqlite import commit as store_commit
from millstream.store.sqlite import database as store_database

CLICKS, USERS, LINES = 4_500, 200, 2_000
LATE_AFTER = 1_500
"""So many clicks there are when queries are made that have to catch up."""

PHASES = ("start", "open", "run", "commit", "checkpoint", "catch-up")

# The log is copied into the file after so many bytes, which a test of some seconds writes often.
LOG_BYTES = 1 << 20

# Beside the recipe: a table over a stream, one over a table, two writers of one stream.
MORE = """
CREATE TABLE clicks_by_status AS SELECT status, COUNT(*) AS n, SUM(bytes) AS total, AVG(bytes) AS a
  FROM clickstream GROUP BY status;
CREATE TABLE statuses_by_count AS SELECT n % 7 AS m, COUNT(*) AS statuses, SUM(total) AS total
  FROM clicks_by_status GROUP BY n % 7;
CREATE STREAM errors AS SELECT ip, status, request FROM clickstream WHERE status > 400
  PARTITION BY ip;
INSERT INTO errors SELECT ip, status, request FROM clickstream WHERE status = 302 PARTITION BY ip;
CREATE TABLE last_errors AS SELECT ip, LATEST_BY_OFFSET(request) AS r, COUNT(*) AS n FROM errors
  WINDOW TUMBLING (SIZE 5 SECONDS, GRACE PERIOD 0 SECONDS) GROUP BY ip EMIT FINAL;
"""

# A web server's log, and what becomes of it.
WEB = """
CREATE SOURCE CONNECTOR IF NOT EXISTS weblog WITH ('connector.class' = 'AccessLogSource',
  'file' = '{log}', 'topic' = 'web', 'users.topic' = 'visitors');
CREATE STREAM web (_time BIGINT, ip VARCHAR, status INT, userid INT, bytes BIGINT)
  WITH (KAFKA_TOPIC = 'web', VALUE_FORMAT = 'JSON', PARTITIONS = 1, TIMESTAMP = '_TIME');
CREATE TABLE visitors (user_id VARCHAR PRIMARY KEY, username VARCHAR)
  WITH (KAFKA_TOPIC = 'visitors', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE TABLE visits AS SELECT u.username AS name, COUNT(*) AS n, SUM(w.bytes) AS total FROM web w
  JOIN visitors u ON CAST(w.userid AS VARCHAR) = u.user_id
  WINDOW SESSION (60 SECONDS) GROUP BY u.username;
"""

# Made when there is much to read already.
LATE = """
CREATE TABLE late_minutes AS SELECT status, COUNT(*) AS n, MAX(bytes) AS most FROM clickstream
  WINDOW TUMBLING (SIZE 60 SECONDS) GROUP BY status;
CREATE STREAM late_clicks AS SELECT u.user_id, u.username, c.request, c.bytes
  FROM clickstream c
  JOIN web_users u ON CAST(c.userid AS VARCHAR) = u.user_id;
"""


def script(url: str, log: str) -> str:
    """The recipe, its sources bounded and as fast as they can, event time from the records."""
    text = read_recipe("clickstream")
    for interval, count in (("10", USERS), ("30", CLICKS)):
        text = text.replace(
            f"'maxInterval'              = '{interval}',",
            f"'maxInterval' = '0', 'random.seed' = '7', 'users' = '40', 'iterations' = '{count}',",
        )
    text = text.replace(
        "KAFKA_TOPIC = 'clickstream',", "KAFKA_TOPIC = 'clickstream', TIMESTAMP = '_TIME',"
    )
    text = text.replace("<elasticsearch-URI>", url)
    head, sink = text.split("-- Send data to Elasticsearch")
    return head + MORE + WEB.format(log=log) + (sink if url else "")


def write_log(path: Path) -> None:
    """A web server's log of a few visitors."""
    with path.open("w") as file:
        for n in range(LINES):
            host = f"192.0.2.{n * n % 19}"
            minute, second = divmod(n // 2, 60)
            when = f"17/May/2015:{10 + minute // 60}:{minute % 60:02}:{second:02} +0000"
            status = 404 if n % 11 == 0 else 200
            request = f"GET /{n % 23}.html HTTP/1.1" if n % 97 else "what is no request"
            file.write(f'{host} - - [{when}] "{request}" {status} {n % 1000} "-" "Otter/2.0"\n')


class Phase:
    """Tells outside what the process is at, and ends it where it is aimed to."""

    def __init__(self, path: str, aim: str) -> None:
        with open(f"{path}.phase", "w+b") as file:
            file.write(b"\0")
            file.flush()
            self._byte = mmap.mmap(file.fileno(), 1)
        self._entered: Counter[str] = Counter()
        phase, _, rest = aim.partition(":")
        number, _, delay_ms = rest.partition(":")
        self._aim = (phase, int(number or 0))
        self._now = threading.Event()
        if aim:
            threading.Thread(target=self._end, args=(float(delay_ms),), daemon=True).start()

    def _end(self, delay_ms: float) -> None:
        self._now.wait()
        time.sleep(delay_ms / 1000)
        os.kill(os.getpid(), signal.SIGKILL)

    def enter(self, phase: str) -> str:
        """Be in a phase; the one before is given."""
        before = PHASES[self._byte[0]]
        self._byte[0] = PHASES.index(phase)
        self._entered[phase] += 1
        if self._aim == (phase, self._entered[phase]):
            self._now.set()
        return before

    def wrap(self, owner: Any, name: str, phase: str, when: Callable[..., bool]) -> None:
        """Have a method of a class be a phase, where `when` says so of its arguments."""
        method = getattr(owner, name)

        def wrapped(*arguments: Any) -> Any:
            if not when(*arguments):
                return method(*arguments)
            before = self.enter(phase)
            try:
                return method(*arguments)
            finally:
                self.enter(before)

        setattr(owner, name, wrapped)


def watch(phase: Phase) -> None:
    """Have the engine and the store tell what they are at."""
    store_database._JOURNAL_LIMIT_BYTES = LOG_BYTES
    phase.wrap(store_commit.SqliteCommit, "_write", "commit", lambda *_: True)
    phase.wrap(
        store_database.Database,
        "bound_log",
        "checkpoint",
        lambda database: database._log_bytes() > database._log_limit,
    )
    phase.wrap(scheduler.Round, "_advance_slowly", "catch-up", lambda *_: True)


class Reader(threading.Thread):
    """Asks for a table, whole and by key, and writes down what it sees."""

    def __init__(self, database: Database, path: str) -> None:
        super().__init__(name="reader", daemon=True)
        self._database = database
        self._file = os.open(f"{path}.seen", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._done = threading.Event()
        self._look("restored")

    def _look(self, word: str) -> None:
        if "CLICKS_BY_STATUS" not in self._database.catalog.sources:
            return
        rows = {str(s): n for s, n in self._database.sql(ALL).rows()}
        for (n,) in self._database.sql(ONE).rows():
            assert n >= rows.get("200", 0)
            rows["200"] = n
        os.write(self._file, json.dumps([word, rows]).encode() + b"\n")

    def run(self) -> None:
        try:
            while not self._done.is_set():
                self._look("seen")
                with self._database.engine.committed:
                    self._database.engine.committed.wait(0.05)
        except BaseException:
            # Nobody waits for this thread: what it met ends the process, which its parent sees.
            traceback.print_exc()
            os._exit(1)

    def finish(self) -> None:
        """End it."""
        self._done.set()
        self.join()
        self._look("seen")


ALL = "SELECT status, n FROM clicks_by_status;"
ONE = "SELECT n FROM clicks_by_status WHERE status = 200;"


def clicks(database: Database) -> int:
    """How many clicks there are."""
    with database.store.view() as view:
        topic = view.topic("clickstream")
        return 0 if topic is None else view.end(topic.id)


def main(path: str, cache: str, max_rows: str, url: str, aim: str = "") -> None:
    """Run until nothing is left."""
    phase = Phase(path, aim)
    watch(phase)
    phase.enter("open")
    database = Database.open(
        path,
        clock=FixedClock(1_700_000_000_000),
        properties={"cache.max.bytes.buffering": cache},
        max_rows=int(max_rows),
    )
    with database:
        reader = Reader(database, path)
        database.execute(script(url, f"{path}.log"), skip_existing=True)
        phase.enter("run")
        print("open", flush=True)
        reader.start()
        while clicks(database) < LATE_AFTER:
            database.step()
        database.execute(LATE, skip_existing=True)
        database.run(until_idle=True)
        reader.finish()
        print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
