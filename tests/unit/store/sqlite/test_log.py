"""A log that was altered is told from one that a crash cut short."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from millstream.errors import StoreError
from millstream.store.open import open_store
from millstream.store.sqlite.lock import is_held
from millstream.store.sqlite.log import LogDamage, find_damage

FRAME = 24 + 4096


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of ten commits, each of two frames: one is the table's root, one the row's page."""
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size = 4096")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for _ in range(10):
            connection.execute("INSERT INTO t VALUES (randomblob(3000))")
        copy = tmp_path / "copy-wal"
        shutil.copy(f"{path}-wal", copy)
    return copy


def alter(log: Path, at: int) -> None:
    contents = bytearray(log.read_bytes())
    contents[at] ^= 1
    log.write_bytes(contents)


def test_a_whole_log_is_whole(log: Path) -> None:
    assert find_damage(str(log)) is None


def test_no_log_and_an_empty_one_are_whole(log: Path) -> None:
    assert find_damage(f"{log}-not") is None
    log.write_bytes(b"")
    assert find_damage(str(log)) is None


@pytest.mark.parametrize("left", [1, 31, 32, 40, 32 + FRAME, 32 + 3 * FRAME + 7])
def test_a_crash_cuts_a_log_short(log: Path, left: int) -> None:
    log.write_bytes(log.read_bytes()[:left])
    assert find_damage(str(log)) is None


def test_a_commit_that_was_not_finished_is_no_damage(log: Path) -> None:
    size = log.stat().st_size
    alter(log, size - 100)
    assert find_damage(str(log)) is None


@pytest.mark.parametrize("at", [32 + 8, 32 + 16, 32 + 24, 32 + FRAME - 1])
def test_an_altered_frame_is_damage(log: Path, at: int) -> None:
    frames = (log.stat().st_size - 32) // FRAME
    alter(log, at + 4 * FRAME)
    found = find_damage(str(log))
    assert found is not None
    assert found.frame == 4
    assert 1 <= found.commits < frames


def test_an_altered_header_is_damage(log: Path) -> None:
    for at in range(32):
        whole = log.read_bytes()
        alter(log, at)
        assert find_damage(str(log)) == LogDamage(-1, 1), at
        log.write_bytes(whole)


def test_what_a_log_before_has_left_is_no_damage(log: Path) -> None:
    # A log that is begun anew has another salt; behind its end lie frames of the one before.
    contents = log.read_bytes()
    older = bytearray(contents)
    for start in range(32, len(older), FRAME):
        older[start + 8] ^= 1
    log.write_bytes(contents[: 32 + 4 * FRAME] + older[32 + 4 * FRAME :])
    assert find_damage(str(log)) is None


def test_a_database_is_held_while_it_is_open(tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    assert not is_held(path)
    store = open_store(path)
    assert is_held(path)
    store.close()
    assert not is_held(path)
    Path(f"{path}.lock").write_text("no number")
    assert not is_held(path)


def test_an_altered_header_of_the_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    open_store(str(path)).close()
    for at in (20, 47, 52, 59, 80):
        whole = path.read_bytes()
        alter(path, at)
        for read_only in (True, False):
            with pytest.raises(StoreError, match=r"header of the database .* is damaged"):
                open_store(str(path), read_only=read_only)
        path.write_bytes(whole)
    open_store(str(path)).close()
