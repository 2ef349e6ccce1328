"""The recipe under load, killed at random moments and started again, ends as if never killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from millstream.database import Database
from millstream.database.processing_log import TOPIC as LOG_TOPIC
from millstream.engine.source_rows import encode_part
from millstream.errors import StoreError
from tests.conftest import ROOT
from tests.crash.search_server import SearchServer

KILLS = int(os.environ.get("MILLSTREAM_KILLS", "20"))
"""How often a process is killed, over both settings of the cache."""
MAX_ROWS = 20
LONGEST_LIFE_S = 0.7


@contextmanager
def child(path: Path, cache: int, url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that works on the file."""
    command = [sys.executable, "-m", "tests.crash.child", str(path), str(cache), str(MAX_ROWS), url]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finish(path: Path, cache: int, url: str = "") -> None:
    """Let a process work until all is done."""
    with child(path, cache, url) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert out == "open\ndone\n"


def kill(path: Path, cache: int, url: str, chance: random.Random) -> bool:
    """Kill a process some time after it opened the file, or earlier; False where it was done."""
    with child(path, cache, url) as process:
        assert process.stdout is not None and process.stderr is not None
        if chance.random() < 0.85:
            assert process.stdout.readline() == "open\n", process.stderr.read()
        try:
            process.wait(chance.random() * LONGEST_LIFE_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        _, err = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), err
        return process.returncode != 0


Columns = dict[str, list[Any]]
"""Per topic: keys, values, times, partitions, offsets, window bounds, headers."""


def contents(path: Path) -> Columns:
    """All records of all topics but the processing log."""
    found: Columns = {}
    with Database.open(str(path), read_only=True) as database, database.store.view() as view:
        for topic in view.topics():
            if topic.name == LOG_TOPIC:
                continue
            runs = [records for _, records in view.read(topic.id, 0)]
            plain = [np.concatenate([getattr(r, n) for r in runs]) for n in _PLAIN]
            found[topic.name] = [
                pa.chunked_array([encode_part(r.key, len(r)) for r in runs]).combine_chunks(),
                pa.chunked_array([encode_part(r.value, len(r)) for r in runs]).combine_chunks(),
                *(pa.array(p) for p in plain),
                _bounds(runs),
                [r.headers for r in runs if r.headers is not None],
            ]
    return found


_PLAIN = ("rowtime", "partition", "offset")


def _bounds(runs: list[Any]) -> Any:
    parts = [np.stack([r.window_start, r.window_end]) for r in runs if r.window_start is not None]
    return np.concatenate(parts, axis=1).tolist() if parts else []


def same(found: Columns, expected: Columns) -> None:
    """Fail, naming topic and column, where the topics differ."""
    assert found.keys() == expected.keys()
    for topic, columns in expected.items():
        assert len(columns[0]) > 0, topic
        for number, (mine, theirs) in enumerate(zip(found[topic], columns, strict=True)):
            assert len(mine) == len(theirs), f"{topic}, column {number}"
            assert mine == theirs, f"{topic}, column {number}"


class Reader(threading.Thread):
    """Reads beside the writers: every commit whole, and nothing seen is gone later."""

    def __init__(self, path: Path) -> None:
        super().__init__(name="reader")
        self.path = path
        self.looks = 0
        self.error: BaseException | None = None
        self._done = threading.Event()

    def run(self) -> None:
        try:
            while not self._done.is_set() and not self.path.exists():
                self._done.wait(0.01)
            self._read()
        except BaseException as error:
            self.error = error

    def _read(self) -> None:
        ends: dict[str, int] = {}
        counts: dict[Any, int] = {}
        while not self._done.is_set():
            try:
                database = Database.open(str(self.path), read_only=True)
            except StoreError:
                # The file is made at this moment.
                self._done.wait(0.01)
                continue
            with database:
                for _ in range(20):
                    if self._done.is_set():
                        break
                    self._look(database, ends, counts)
                    self._done.wait(0.005)

    def _look(self, database: Database, ends: dict[str, int], counts: dict[Any, int]) -> None:
        with database.store.view() as view:
            now = {t.name: view.end(t.id) for t in view.topics()}
        assert all(now.get(name, -1) >= end for name, end in ends.items()), (ends, now)
        ends.update(now)
        # A commit holds a click and all that follows from it.
        joined = now.get("USER_CLICKSTREAM")
        assert joined is None or joined == now["clickstream"]
        database.refresh()
        if "CLICKS_BY_STATUS" in database.catalog.sources:
            for status, n in database.sql("SELECT status, n FROM clicks_by_status").rows():
                assert n >= counts.get(status, 0), status
                counts[status] = n
            assert sum(counts.values()) >= now.get("CLICKS_BY_STATUS", 0)
        self.looks += 1

    def finish(self) -> None:
        """End it, and fail where it saw what must not be."""
        self._done.set()
        self.join()
        if self.error is not None:
            raise self.error
        assert self.looks > 0


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What an uninterrupted run leaves, by setting of the cache."""
    known: dict[int, Columns] = {}

    def get(cache: int) -> Columns:
        if cache not in known:
            path = tmp_path_factory.mktemp("whole") / "clicks.db"
            finish(path, cache)
            known[cache] = contents(path)
        return known[cache]

    return get


def check_documents(server: SearchServer, found: Columns) -> None:
    """Every record of the sink's topics is a document, once, with its content."""
    wanted = {}
    for topic in ("user_ip_activity", "errors_per_min_alert"):
        values, partitions, offsets = found[topic][1], found[topic][3], found[topic][4]
        places = zip(partitions.to_pylist(), offsets.to_pylist(), values.to_pylist(), strict=True)
        for partition, offset, value in places:
            if value is not None:
                wanted[(topic, f"{topic}+{partition}+{offset}")] = json.loads(value)
    assert server.documents == wanted


@pytest.mark.parametrize("cache", [0, 10_000_000])
def test_killed_at_random_moments(tmp_path: Path, never_killed: Any, cache: int) -> None:
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    left = KILLS - KILLS // 2 if cache == 0 else KILLS // 2
    round_ = 0
    while left or not round_:
        round_ += 1
        path = tmp_path / f"clicks{round_}.db"
        reader = Reader(path)
        reader.start()
        with SearchServer() as server:
            try:
                while left and kill(path, cache, server.url, chance):
                    left -= 1
                finish(path, cache, server.url)
            finally:
                reader.finish()
            found = contents(path)
            check_documents(server, found)
        same(found, never_killed(cache))
