"""The recipe with inserts, readers and a sink, while statements of SQLite fail: when they have
stopped to fail, all is as if they never had."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from millstream.database import Database
from millstream.errors import StoreError
from tests.conftest import ON_CI
from tests.crash import child
from tests.crash.child import script, write_log
from tests.crash.search_server import SearchServer
from tests.crash.test_kill import KILLS, check_documents, contents, same
from tests.crash.unreliable import Unreliable, failing, now_and_then, open_unreliable

T = TypeVar("T")
ROUNDS = max(1, KILLS // 20)
CLICKS, USERS = 1_200, 100
INSERTED = """
CREATE STREAM notes (id INT, text VARCHAR)
  WITH (KAFKA_TOPIC = 'notes', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
CREATE TABLE notes_by_text AS SELECT text, COUNT(*) AS n, SUM(id) AS total FROM notes GROUP BY text;
"""


def until_done(what: Callable[[], T]) -> T:
    """Try until it does not fail."""
    while True:
        try:
            return what()
        except StoreError as error:
            assert error.hint is not None or "memory" in error.message


def statements(url: str, log: Path) -> list[str]:
    """The statements of all that runs here, one by one."""
    text = script(url, str(log)) + INSERTED
    for there, here in ((child.CLICKS, CLICKS), (child.USERS, USERS)):
        assert f"'iterations' = '{there}'" in text
        text = text.replace(f"'iterations' = '{there}'", f"'iterations' = '{here}'")
    text = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [f"{part};" for part in text.split(";") if part.strip()]


class Reader(threading.Thread):
    """Asks for a table again and again: what it saw is never gone, whatever fails."""

    def __init__(self, database: Database) -> None:
        super().__init__(name="reader", daemon=True)
        self._database = database
        self._done = threading.Event()
        self._counts: dict[Any, int] = {}
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._done.is_set():
                try:
                    self._look()
                except StoreError:
                    continue
                with self._database.engine.committed:
                    self._database.engine.committed.wait(0.05)
        except BaseException as error:
            self.error = error

    def _look(self) -> None:
        rows = dict(self._database.sql("SELECT status, n FROM clicks_by_status").rows())
        for status, n in self._counts.items():
            assert rows[status] >= n, status
        self._counts = rows

    def stop(self) -> None:
        """End it."""
        self._done.set()
        self.join()

    def finish(self) -> None:
        """End it, look once more, and fail where it saw what must not be."""
        self.stop()
        if self.error is not None:
            raise self.error
        self._look()
        assert self._counts


def run(path: Path, log: Path, url: str) -> None:
    """Make everything and run it until nothing is left, whatever fails on the way."""
    database = until_done(lambda: open_unreliable(str(path), max_rows=20))
    reader = Reader(database)
    try:
        for statement in statements(url, log):
            until_done(partial(database.execute, statement, skip_existing=True))
        reader.start()
        for number in range(60):
            rows = [(number, f"text {number % 7}"), (number, "more")]
            until_done(partial(database.insert, "notes", rows))
            until_done(database.step)
        Unreliable.fault = None
        database.run(until_idle=True)
        reader.finish()
        assert {q.state for q in database.metrics().queries} == {"RUNNING"}
        assert {c.state for c in database.metrics().connectors} == {"RUNNING"}
    finally:
        Unreliable.fault = None
        if reader.is_alive():
            reader.stop()
        database.close()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What is in all topics where nothing fails."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_log(folder / "web.log")
    run(folder / "x.db", folder / "web.log", "")
    return contents(folder / "x.db")


@pytest.mark.parametrize("share", [0.005, 0.02])
def test_statements_fail_now_and_then(tmp_path: Path, undisturbed: Any, share: float) -> None:
    write_log(tmp_path / "web.log")
    for round_ in range(ROUNDS):
        seed = round_ if ON_CI else random.SystemRandom().randrange(10**9)
        print(f"seed {seed}")
        path = tmp_path / f"{round_}.db"
        with SearchServer() as server, failing(now_and_then(random.Random(seed), share)):
            run(path, tmp_path / "web.log", server.url)
            assert Unreliable.failed > 0
            found = contents(path)
            check_documents(server, found)
        same(found, undisturbed)
