"""The recipe under load, killed at random moments and started again, ends as if never killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
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
from tests.conftest import ON_CI, ROOT
from tests.crash.child import PHASES, write_log
from tests.crash.search_server import SearchServer

KILLS = int(os.environ.get("MILLSTREAM_KILLS", "20"))
"""How often a process is killed, over both settings of the cache."""
MAX_ROWS = 20
LONGEST_LIFE_S = 1.0

# How often each phase is aimed at, and how often at most a process comes to it while it lives.
AIMS = {"": (4, 0), "open": (1, 1), "commit": (2, 300), "checkpoint": (2, 3), "catch-up": (2, 30)}


@contextmanager
def child(path: Path, cache: int, url: str, aim: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process that works on the file."""
    arguments = [str(path), str(cache), str(MAX_ROWS), url, aim]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.child", *arguments],
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


def kill(path: Path, cache: int, url: str, chance: random.Random) -> str | None:
    """Kill a process at a random moment, or when it is at a random thing; what it was at, None
    where it was done before."""
    (phase,) = chance.choices(list(AIMS), [weight for weight, _ in AIMS.values()])
    most, delay_ms = AIMS[phase][1], chance.random() * (300 if phase == "open" else 1)
    aim = f"{phase}:{chance.randint(1, most)}:{delay_ms:.3f}" if phase else ""
    with child(path, cache, url, aim) as process:
        assert process.stdout is not None and process.stderr is not None
        if not aim:
            if chance.random() < 0.85:
                assert process.stdout.readline() == "open\n", process.stderr.read()
            try:
                process.wait(chance.random() * LONGEST_LIFE_S)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        _, err = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), err
        if process.returncode == 0:
            return None
    state = Path(f"{path}.phase")
    byte = state.read_bytes() if state.exists() else b"\0"
    return PHASES[byte[0]]


def check_seen(path: Path) -> None:
    """What a reader in the killed processes saw is there: in the file, and for the reader of the
    process that came after."""
    seen = Path(f"{path}.seen")
    counts: dict[str, int] = {}
    lines = seen.read_bytes().splitlines(keepends=True) if seen.exists() else []
    for line in lines:
        if line.endswith(b"\n"):
            word, rows = json.loads(line)
            for status, n in counts.items():
                assert rows.get(status, 0) >= n, (word, status)
            counts = rows
    if not counts:
        return
    with Database.open(str(path), read_only=True) as database:
        rows = {str(s): n for s, n in database.sql("SELECT status, n FROM clicks_by_status").rows()}
    for status, n in counts.items():
        assert rows.get(status, 0) >= n, status


Columns = dict[str, list[Any]]
"""Per topic: keys, values, times, partitions, offsets, window bounds, headers."""

# What catches up takes as much at once as it has time for: with the cache on, how often a key is
# written depends on that, and only its last value does not.
CATCHING_UP = {"LATE_MINUTES"}


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


def last_values(columns: list[Any]) -> dict[Any, Any]:
    """Per key and window the last value and its time."""
    keys, values, times, _, _, bounds, _ = columns
    starts = bounds[0] if bounds else [0] * len(keys)
    rows = zip(keys.to_pylist(), starts, values.to_pylist(), times.to_pylist(), strict=True)
    return {(key, start): (value, time) for key, start, value, time in rows}


def check(found: Columns, expected: Columns, cache: int) -> None:
    """Fail where the topics differ: in any byte, or, with the cache on, in what they end with."""
    late = CATCHING_UP if cache else set()
    same(without(found, late), without(expected, late))
    for topic in late:
        assert last_values(found[topic]) == last_values(expected[topic]), topic


def without(columns: Columns, names: set[str]) -> Columns:
    """All topics but some."""
    return {topic: content for topic, content in columns.items() if topic not in names}


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
            write_log(Path(f"{path}.log"))
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


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cache", [0, 10_000_000])
def test_killed_at_random_moments(tmp_path: Path, never_killed: Any, cache: int) -> None:
    seed = cache if ON_CI else random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    left = KILLS - KILLS // 2 if cache == 0 else KILLS // 2
    killed: Counter[str] = Counter()
    round_ = 0
    while left or not round_:
        round_ += 1
        path = tmp_path / f"clicks{round_}.db"
        write_log(Path(f"{path}.log"))
        reader = Reader(path)
        reader.start()
        with SearchServer() as server:
            try:
                while left and (phase := kill(path, cache, server.url, chance)):
                    left -= 1
                    killed[phase] += 1
                    check_seen(path)
                finish(path, cache, server.url)
                check_seen(path)
            finally:
                reader.finish()
            found = contents(path)
            check_documents(server, found)
        check(found, never_killed(cache), cache)
    print(f"killed {dict(killed)} in {round_} rounds")
    if KILLS >= 100:
        assert killed.keys() >= set(PHASES) - {"start"}
