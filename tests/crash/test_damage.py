"""Whatever becomes of a file's bytes, nothing but what was written is ever read from it, and
`millstream check` knows of all that makes reading fail."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from millstream.clock import FixedClock
from millstream.database import Database
from millstream.engine.source_rows import encode_part
from millstream.errors import StoreError
from millstream.store.interfaces import Store
from millstream.store.open import open_store
from millstream.store.sqlite.check import check_file
from tests.conftest import ON_CI

FLIPS = int(os.environ.get("MILLSTREAM_FLIPS", "250"))
"""How many bits are altered, over all tests."""

SCRIPT = """
SET 'auto.offset.reset' = 'earliest';
CREATE STREAM clicks (page VARCHAR KEY, status INT, bytes BIGINT)
  WITH (KAFKA_TOPIC = 'clicks', VALUE_FORMAT = 'JSON', PARTITIONS = 3);
CREATE STREAM small (n INT) WITH (KAFKA_TOPIC = 'small', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE TABLE pages AS SELECT page, COUNT(*) AS n, LATEST_BY_OFFSET(status) AS last
  FROM clicks GROUP BY page;
CREATE TABLE windows AS SELECT status, SUM(bytes) AS total FROM clicks
  WINDOW HOPPING (SIZE 30 SECONDS, ADVANCE BY 10 SECONDS) GROUP BY status;
"""


def fill(database: Database, commits: int) -> None:
    """Many small commits, and some large ones."""
    for number in range(commits):
        count = 400 if number % 50 == 49 else 1
        rows = [(f"/{(number + i) % 37}", i % 5, number) for i in range(count)]
        database.insert("clicks", rows)
        database.step()


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that was closed: one file."""
    path = tmp_path_factory.mktemp("closed") / "x.db"
    with Database.open(str(path), clock=FixedClock(1_000_000)) as database:
        database.execute(SCRIPT)
        fill(database, 330)
    return path


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, closed: Path) -> Path:
    """A database as a kill leaves it: a file and a log."""
    folder = tmp_path_factory.mktemp("killed")
    work, path = folder / "work.db", folder / "x.db"
    shutil.copy(closed, work)
    with Database.open(str(work), clock=FixedClock(2_000_000)) as database:
        fill(database, 40)
        shutil.copy(work, path)
        shutil.copy(f"{work}-wal", f"{path}-wal")
    return path


def everything(store: Store) -> list[Any]:
    """All that can be read."""
    found: list[Any] = []
    with store.view() as view:
        found.append(view.next_seq())
        for topic in view.topics():
            found.append((topic, view.start(topic.id), view.end(topic.id)))
            for ordinal, run in view.read(topic.id, 0):
                columns = [run.partition, run.offset, run.seq, run.writer, run.rowtime]
                parts = [encode_part(p, len(run)).to_pylist() for p in (run.key, run.value)]
                found.append((ordinal, [c.tolist() for c in columns], parts))
        for kind in ("source", "query", "connector", "frontier", "noted", "type"):
            found.append(view.entries(kind))
        for number in view.entries("query"):
            found.append(view.positions(f"query-{number}"))
        for name in sorted(store._image.store_ids, key=str):  # type: ignore[attr-defined]
            found.append((name, view.state_meta(name)))
            found += [(part.page, part.rows.to_pydict()) for part in view.state(name)]
    return found


def read(path: Path, *, read_only: bool = True) -> str:
    """All that is in a file, as a text that can be compared."""
    store = open_store(str(path), read_only=read_only)
    try:
        return json.dumps(everything(store), default=str)
    finally:
        store.close()


def copy(path: Path, to: Path) -> None:
    """Put a database with its log, if it has one, in the place of another."""
    for ending in ("", "-wal", "-shm", ".lock"):
        Path(f"{to}{ending}").unlink(missing_ok=True)
        if Path(f"{path}{ending}").exists():
            shutil.copy(f"{path}{ending}", f"{to}{ending}")


def flip(path: Path, at: int, bit: int) -> None:
    """Alter a bit of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def fails(path: Path, whole: str, *, read_only: bool) -> bool:
    """Whether reading a file fails, with a sentence; where it does not, all is as it was."""
    try:
        assert read(path, read_only=read_only) == whole
    except StoreError as error:
        assert error.hint is not None or "newer" in error.message, error.message
        return True
    return False


def is_told(path: Path) -> bool:
    """Whether a check finds a file damaged."""
    try:
        return not check_file(str(path)).intact
    except StoreError:
        return True


def places(path: Path, count: int, chance: random.Random) -> list[int]:
    """Where to alter a file: anywhere, and often where SQLite keeps its structure."""
    size = path.stat().st_size
    found = [chance.randrange(size) for _ in range(count // 3)]
    found += [chance.randrange(100) for _ in range(count // 6)]
    while len(found) < count:
        found.append(chance.randrange(size // 8192) * 8192 + chance.randrange(60))
    return found


@pytest.mark.parametrize("read_only", [True, False], ids=["reader", "writer"])
def test_an_altered_bit_is_never_read(closed: Path, tmp_path: Path, read_only: bool) -> None:
    seed = 1 if ON_CI else random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    whole, path = read(closed), tmp_path / "x.db"
    failures = 0
    for at in places(closed, FLIPS // 3, chance):
        copy(closed, path)
        flip(path, at, bit := chance.randrange(8))
        told = is_told(path)
        failed = fails(path, whole, read_only=read_only)
        assert told or not failed, (at, bit)
        failures += failed
    assert failures > 0


def test_the_structure_in_letters_that_are_none(closed: Path, tmp_path: Path) -> None:
    content, path = closed.read_bytes(), tmp_path / "x.db"
    whole, first = read(closed), content.index(b"CREATE TABLE")
    at_fault = range(first - 40, first + 40)
    failures = 0
    for at in at_fault:
        copy(closed, path)
        flip(path, at, 7)
        told = is_told(path)
        failed = fails(path, whole, read_only=True)
        assert told or not failed, at
        assert failed == fails(path, whole, read_only=False), at
        failures += failed
    assert failures > len(at_fault) // 2


def test_an_altered_log_is_never_read(killed: Path, tmp_path: Path) -> None:
    seed = 2 if ON_CI else random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    whole, path = read(killed), tmp_path / "x.db"
    log = Path(f"{path}-wal")
    # What was altered of the last commit cannot be told from one that was not finished.
    size = Path(f"{killed}-wal").stat().st_size - 12 * 8216
    for _ in range(FLIPS // 3):
        copy(killed, path)
        at, bit = chance.randrange(size), chance.randrange(8)
        flip(log, at, bit)
        assert is_told(path), (at, bit)
        assert fails(path, whole, read_only=True), (at, bit)
        assert fails(path, whole, read_only=False), (at, bit)
    # SQLite goes on without what came after the damage, where one tells it to.
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert check_file(str(path)).intact
    assert read(path) != whole


@pytest.mark.parametrize("way", ["backup", "vacuum"])
def test_a_copy_that_sqlite_makes_is_whole(killed: Path, tmp_path: Path, way: str) -> None:
    path, to = tmp_path / "x.db", tmp_path / "copy.db"
    copy(killed, path)
    with closing(sqlite3.connect(path)) as connection:
        if way == "backup":
            with closing(sqlite3.connect(to)) as target:
                connection.backup(target)
        else:
            connection.execute("VACUUM INTO ?", (str(to),))
    assert check_file(str(to)).intact
    assert read(to, read_only=False) == read(killed)


@pytest.mark.parametrize("part", range(8))
def test_a_file_that_is_cut_short_is_told(closed: Path, tmp_path: Path, part: int) -> None:
    path = tmp_path / "x.db"
    copy(closed, path)
    size = closed.stat().st_size
    os.truncate(path, size - 1 if part == 0 else size * part // 8)
    with pytest.raises(StoreError):
        read(path)
    with pytest.raises(StoreError):
        read(path, read_only=False)
    found = check_file(str(path))
    assert not found.intact
    assert "cut short" in found.file[0]
