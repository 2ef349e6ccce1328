"""What is opened, what is refused and why, and how files and their companions look."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from millstream.errors import StoreError
from millstream.store.open import open_store
from millstream.store.sqlite.schema import APPLICATION_ID, VERSION
from tests.conftest import ROOT
from tests.unit.store.builders import lines, values

# Makes a database with one topic "a" of `sys.argv[2]` records and dies without closing it.
KILLED_WRITER = """
import os, signal, sys
from millstream.store.open import open_store
from tests.unit.store.builders import lines
store = open_store(sys.argv[1])
with store.begin() as commit:
    topic = commit.create_topic("a", 1)
    commit.commit()
for number in range(int(sys.argv[2])):
    with store.begin() as commit:
        commit.append(topic.id, lines([str(number)]))
        commit.commit()
os.kill(os.getpid(), signal.SIGKILL)
"""

# Opens the database for writing, says so, and closes it when its input ends.
HOLDER = """
import sys
from millstream.store.open import open_store
store = open_store(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
store.close()
"""


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python process that runs `code` from the repository's root."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> int:
    process.communicate()
    return process.returncode


def make(path: str, count: int = 3) -> None:
    """A closed database with one topic."""
    store = open_store(path)
    with store.begin() as commit:
        topic = commit.create_topic("a", 1)
        commit.append(topic.id, lines([str(i) for i in range(count)]))
        commit.commit()
    store.close()


def read_all(path: str, *, read_only: bool = True) -> list[str]:
    store = open_store(path, read_only=read_only)
    try:
        with store.view() as view:
            topic = view.topic("a")
            assert topic is not None
            return values(view, topic.id)
    finally:
        store.close()


def refusal(path: str, *, read_only: bool = False) -> StoreError:
    with pytest.raises(StoreError) as caught:
        open_store(path, read_only=read_only)
    return caught.value


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_all_files_are_the_owners_only(path: str) -> None:
    old = os.umask(0)
    try:
        store = open_store(path)
        with store.begin() as commit:
            commit.create_topic("a", 1)
            commit.commit()
        with store.view():
            files = sorted(os.listdir(os.path.dirname(path)))
            assert files == ["store.db", "store.db-shm", "store.db-wal", "store.db.lock"]
            assert {mode(os.path.join(os.path.dirname(path), f)) for f in files} == {0o600}
        store.close()
    finally:
        os.umask(old)
    assert os.listdir(os.path.dirname(path)) == ["store.db"]


def test_header_and_settings(path: str) -> None:
    make(path)
    connection = sqlite3.connect(path)
    try:

        def pragma(name: str) -> object:
            return connection.execute(f"PRAGMA {name}").fetchone()[0]

        assert pragma("application_id") == APPLICATION_ID
        assert pragma("user_version") == VERSION
        assert pragma("journal_mode") == "wal"
        assert pragma("integrity_check") == "ok"
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["a b.db", "100%.db", "q?mode=memory.db", "ü#.db", "-x.db"])
def test_any_file_name(tmp_path: Path, name: str) -> None:
    make(str(tmp_path / name))
    assert os.listdir(tmp_path) == [name]
    assert read_all(str(tmp_path / name)) == ["0", "1", "2"]


def test_an_empty_file_becomes_a_database(path: str) -> None:
    Path(path).touch()
    make(path)
    assert read_all(path) == ["0", "1", "2"]


def test_a_file_whose_tables_were_never_made_becomes_a_database(path: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    assert os.path.getsize(path) > 0
    assert "is empty" in refusal(path, read_only=True).message
    make(path)
    assert read_all(path) == ["0", "1", "2"]


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_file_is_refused(path: str, read_only: bool) -> None:
    make(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    error = refusal(path, read_only=read_only)
    assert "newer Millstream" in error.message and "99" in error.message
    assert error.hint is not None


@pytest.mark.parametrize("read_only", [False, True])
def test_another_programs_database_is_refused_and_left_alone(path: str, read_only: bool) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    connection.close()
    before = Path(path).read_bytes()
    assert "another program" in refusal(path, read_only=read_only).message
    assert Path(path).read_bytes() == before
    assert os.listdir(os.path.dirname(path)) == ["store.db"]


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("content", [b"hello, world\n" * 1000, b"\0" * 8192, b"x"])
def test_any_other_file_is_refused_and_left_alone(
    path: str, read_only: bool, content: bytes
) -> None:
    Path(path).write_bytes(content)
    assert path in refusal(path, read_only=read_only).message
    assert Path(path).read_bytes() == content


@pytest.mark.parametrize("read_only", [False, True])
def test_a_truncated_file_is_refused(path: str, read_only: bool) -> None:
    make(path, 5000)
    os.truncate(path, os.path.getsize(path) // 2)
    error = refusal(path, read_only=read_only)
    assert "damaged" in error.message and error.hint is not None


def test_a_damaged_blob_is_an_error_that_says_so(path: str) -> None:
    make(path, 50_000)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE run SET body = zeroblob(length(body))")
    connection.commit()
    connection.close()
    store = open_store(path, read_only=True)
    with (
        store.view() as view,
        pytest.raises(StoreError, match="records 0 to 49999 of topic 'a' cannot be read"),
    ):
        list(view.read(view.topics()[0].id, 0))
    store.close()


def test_missing_records_are_an_error_that_says_so(path: str) -> None:
    make(path)
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM run")
    connection.commit()
    connection.close()
    store = open_store(path)
    with store.view() as view, pytest.raises(StoreError, match="record 1 of topic 'a' is missing"):
        list(view.read(view.topics()[0].id, 1))
    store.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_folder_that_does_not_exist(tmp_path: Path, read_only: bool) -> None:
    error = refusal(str(tmp_path / "no" / "store.db"), read_only=read_only)
    assert error.hint is not None


@pytest.mark.parametrize("read_only", [False, True])
def test_a_folder_is_no_database(tmp_path: Path, read_only: bool) -> None:
    assert str(tmp_path) in refusal(str(tmp_path), read_only=read_only).message


def test_a_missing_file_cannot_be_read(path: str) -> None:
    assert "there is no database" in refusal(path, read_only=True).message
    assert not os.path.exists(path)


def test_memory_cannot_be_opened_read_only() -> None:
    refusal(":memory:", read_only=True)


def test_a_read_only_store_takes_no_commit(path: str) -> None:
    make(path)
    store = open_store(path, read_only=True)
    assert store.read_only
    with pytest.raises(StoreError, match="read-only"):
        store.begin()
    store.close()


def test_a_second_writer_is_told_who_the_first_is(path: str) -> None:
    with python(HOLDER, path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        assert f"process {holder.pid}" in refusal(path).message
        link = f"{path}.link"
        os.symlink(path, link)
        assert f"process {holder.pid}" in refusal(link).message
        open_store(path, read_only=True).close()
        assert finish(holder) == 0
    make(path)


def test_a_second_writer_in_the_same_process_is_refused(path: str) -> None:
    store = open_store(path)
    assert "this process already" in refusal(path).message
    store.close()
    make(path)


def test_the_lock_of_a_killed_writer_is_gone(path: str) -> None:
    assert finish(python(KILLED_WRITER, path, "3")) == -9
    assert os.path.exists(f"{path}.lock")
    assert read_all(path, read_only=False) == ["0", "1", "2"]
    assert os.listdir(os.path.dirname(path)) == ["store.db"]


@pytest.mark.parametrize("count", [3, 300])
def test_a_killed_writers_commits_are_read_by_readers_alone(path: str, count: int) -> None:
    assert finish(python(KILLED_WRITER, path, str(count))) == -9
    expected = [str(i) for i in range(count)]
    assert read_all(path) == expected
    assert read_all(path) == expected
    os.unlink(f"{path}-shm")
    assert read_all(path) == expected


def test_a_reader_alone_leaves_the_database_as_it_is(path: str) -> None:
    make(path)
    before = Path(path).read_bytes()
    assert read_all(path) == ["0", "1", "2"]
    assert Path(path).read_bytes() == before


def test_a_folder_that_cannot_be_written(path: str) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    make(path)
    folder = os.path.dirname(path)
    os.chmod(folder, 0o500)
    try:
        assert read_all(path) == ["0", "1", "2"]
        assert "writing" in refusal(path).message
    finally:
        os.chmod(folder, 0o700)


def test_a_reader_follows_a_writer(path: str) -> None:
    writer = open_store(path)
    reader = open_store(path, read_only=True)
    with writer.begin() as commit:
        topic = commit.create_topic("a", 1)
        commit.commit()
    for number in range(300):
        with writer.begin() as commit:
            commit.append(topic.id, lines([str(number)]))
            commit.set_position("q", topic.id, number)
            commit.commit()
        with reader.view() as view:
            assert view.positions("q") == {topic.id: number}
            assert values(view, topic.id, number) == [str(number)]
    reader.close()
    writer.close()
