"""The disk is full, or the file has become read-only, while everything runs: it says so, goes on
trying, and loses nothing; when there is room again it goes on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from millstream.database import Database, loop
from millstream.errors import StoreError
from millstream.store.sqlite.check import check_file
from tests.crash.child import write_log
from tests.crash.search_server import SearchServer
from tests.crash.test_faults import statements, until_done
from tests.crash.test_kill import check_documents, contents, same
from tests.crash.unreliable import FULL, READONLY, failing, open_unreliable, writes

ROUNDS = 60
PATIENCE_S = 60

Trouble = Callable[[Database], AbstractContextManager[None]]
"""What is wrong within the block; whatever was open for writing before stays so."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_PAUSE_AFTER_ERROR_S", 0.02)


def wait_for(what: Callable[[], Any], database: Database) -> None:
    """Wait until something is so; each commit and each error may make it so."""
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, database.metrics()
        with database.engine.committed:
            database.engine.committed.wait(0.02)


def note(number: int) -> list[tuple[int, str]]:
    """The rows that are inserted in a round."""
    return [(number, f"text {number % 7}"), (number, "more")]


def prepare(database: Database, folder: Path, url: str) -> None:
    """Make all that runs here."""
    write_log(folder / "web.log")
    for statement in statements(url, folder / "web.log"):
        database.execute(statement)


def run(database: Database, trouble: Trouble, message: str) -> None:
    """Run it to the end, with trouble in the middle."""
    for number in range(ROUNDS // 2):
        database.insert("notes", note(number))
        database.step()
    with trouble(database):
        database.start()
        wait_for(lambda: database.loop_error is not None, database)
        assert message in str(database.loop_error)
        refused(database, message)
    for number in range(ROUNDS // 2, ROUNDS):
        until_done(lambda: database.insert("notes", note(number)))  # noqa: B023
    wait_for(lambda: database.loop_error is None and database.idle(), database)
    database.stop()
    assert {q.state for q in database.metrics().queries} == {"RUNNING"}
    assert {c.state for c in database.metrics().connectors} == {"RUNNING"}


def refused(database: Database, message: str) -> None:
    """Whatever writes is refused with a sentence; what is there can be read."""
    before = database.metrics()
    rows = sorted(database.sql("SELECT * FROM notes_by_text").rows())
    for statement in (
        "CREATE TABLE never AS SELECT text, COUNT(*) AS n FROM notes GROUP BY text;",
        "DROP TABLE notes_by_text;",
        "INSERT INTO notes VALUES (1, 'never');",
        "TERMINATE ALL;",
    ):
        with pytest.raises(StoreError, match=message) as caught:
            database.execute(statement)
        assert caught.value.hint is not None
    with pytest.raises(StoreError, match=message):
        database.insert("notes", [(1, "never")] * 100)
    assert [q.id for q in database.metrics().queries] == [q.id for q in before.queries]
    assert sorted(database.sql("SELECT * FROM notes_by_text").rows()) == rows


@contextlib.contextmanager
def nothing(_: Database) -> Iterator[None]:
    """No trouble."""
    yield


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What is in all topics where there is no trouble."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with open_unreliable(str(folder / "x.db"), max_rows=20) as database:
        prepare(database, folder, "")
        for number in range(ROUNDS):
            database.insert("notes", note(number))
            database.step()
        database.run(until_idle=True)
    return contents(folder / "x.db")


def check(folder: Path, path: Path, trouble: Trouble, message: str, expected: Any) -> None:
    """Run with trouble and compare with what it is without."""
    with SearchServer() as server:
        with open_unreliable(str(path), max_rows=20) as database:
            prepare(database, folder, server.url)
            run(database, trouble, message)
        found = contents(path)
        check_documents(server, found)
    same(found, expected)


@pytest.mark.parametrize(
    ("code", "message"), [(FULL, "the disk is full"), (READONLY, "cannot be written")]
)
def test_nothing_can_be_written(tmp_path: Path, undisturbed: Any, code: int, message: str) -> None:
    def trouble(_: Database) -> AbstractContextManager[None]:
        return failing(writes(code))

    check(tmp_path, tmp_path / "x.db", trouble, message, undisturbed)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, where this may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        done = mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder))
    except OSError:
        pytest.skip("there is no mount")
    if done.returncode != 0:
        pytest.skip("to mount a disk takes rights that this user has not")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def mount(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["mount", *arguments], check=False, capture_output=True)


def test_a_full_disk(tmp_path: Path, disk: Path, undisturbed: Any) -> None:
    @contextlib.contextmanager
    def trouble(_: Database) -> Iterator[None]:
        waste = disk / "waste"
        with waste.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 12))
        assert os.statvfs(disk).f_bavail == 0
        yield
        waste.unlink()

    check(tmp_path, disk / "x.db", trouble, "the disk is full", undisturbed)


def test_a_disk_that_is_read_only(tmp_path: Path, disk: Path) -> None:
    path = str(disk / "x.db")
    with open_unreliable(path) as database:
        prepare(database, tmp_path, "")
        database.insert("notes", note(1))
        database.run(until_idle=True)
    assert mount("-o", "remount,ro", str(disk)).returncode == 0
    with pytest.raises(StoreError, match="cannot be opened for writing: Read-only file system"):
        Database.open(path)
    with Database.open(path, read_only=True) as database:
        assert len(database.sql("SELECT * FROM notes_by_text").rows()) == 2
        with pytest.raises(StoreError, match="read-only"):
            database.execute("DROP TABLE notes_by_text;")
    assert check_file(path).intact
    assert mount("-o", "remount,rw", str(disk)).returncode == 0
    Database.open(path).close()
