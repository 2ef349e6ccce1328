"""Child processes of the restart benchmark: one fills a file, one opens it and asks."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

import millstream
from benchmarks.children import hand_back, rss_mb
from benchmarks.clicks import FIRST_MS
from millstream.database.records import append_outside
from millstream.serde.base import RawPart
from millstream.store.interfaces import Commit

_PIECE = 100_000
_SMALL_KEYS = 1000
_STATEMENTS = """
CREATE STREAM names (name VARCHAR, amount BIGINT)
  WITH (KAFKA_TOPIC = 'names', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE TABLE totals AS SELECT name, COUNT(*) AS n, SUM(amount) AS total
  FROM names GROUP BY name EMIT CHANGES;
"""
_WINDOWED = """
CREATE TABLE per_hour AS SELECT name, COUNT(*) AS n
  FROM names WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY name EMIT CHANGES;
"""


def fill_keys(path: str, keys: int, windowed: bool) -> None:
    """So many keys in state, in batches."""
    with millstream.connect(path) as db:
        db.execute(_STATEMENTS + (_WINDOWED if windowed else ""))
        for start in range(0, keys, _PIECE):
            ids = np.arange(start, min(keys, start + _PIECE))
            rows = {
                "name": pa.array(np.char.mod("user_%d", ids)),
                "amount": pa.array(ids),
                "ROWTIME": pa.array(FIRST_MS + ids * 10),
            }
            db.insert("names", pa.table(rows))
            db.run(until_idle=True)


def fill_commits(path: str, commits: int) -> None:
    """So many commits of one event each, and what follows from it, over 1,000 keys."""
    with millstream.connect(path) as db:
        db.execute(_STATEMENTS)
        for number in range(commits):
            name = f"user_{number % _SMALL_KEYS}"
            value = f'{{"NAME":"{name}","AMOUNT":{number}}}'.encode()

            def feed(commit: Commit, value: bytes = value, number: int = number) -> int:
                topic = commit.topic("names")
                assert topic is not None
                key = RawPart(pa.nulls(1, pa.binary()))
                rowtime = np.array([FIRST_MS + number])
                append_outside(commit, topic, key, RawPart(pa.array([value])), rowtime)
                return 1

            db.engine.step([feed])


def ask(path: str, warm_path: str) -> None:
    """Seconds from `connect` to the first answer; all modules were loaded by another file."""
    _answer(warm_path, "nobody")
    before = rss_mb()
    start = time.perf_counter()
    cpu = time.process_time()
    found, opened = _answer(path, "user_7")
    seconds = opened - start
    assert found == 1, f"{found} rows were found"
    hand_back(
        {"seconds": seconds, "cpu_seconds": time.process_time() - cpu, "rss_mb": rss_mb() - before}
    )


def _answer(path: str, name: str) -> tuple[int, float]:
    """How many rows there are for the name, and the moment at which it was known."""
    with millstream.connect(path) as db:
        rows = db.sql(f"SELECT name, n, total FROM totals WHERE name = '{name}'").rows()
        return len(rows), time.perf_counter()


def main(action: str, path: str, *arguments: str) -> None:
    """Do one of the things above."""
    match action:
        case "keys":
            fill_keys(path, int(arguments[0]), windowed=False)
        case "windows":
            fill_keys(path, int(arguments[0]), windowed=True)
        case "commits":
            fill_commits(path, int(arguments[0]))
        case "ask":
            ask(path, arguments[0])
    if action != "ask":
        hand_back({"file_mb": Path(path).stat().st_size / (1 << 20)})


if __name__ == "__main__":
    main(*sys.argv[1:])
