"""Child process that stays: a table of so many keys in state, fed batch by batch."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.children import Figures, Watch, answer, hand_back, rss_mb
from benchmarks.clicks import FIRST_MS
from millstream.database import Database

_PIECE = 100_000
_TOUCHED = 1000
_DAY_MS = 24 * 3_600_000

_JOIN = "join with a table"
QUERIES = {
    "count by number": "CREATE TABLE result AS SELECT id, COUNT(*) AS n, SUM(amount) AS total"
    " FROM numbers GROUP BY id EMIT CHANGES;",
    "count by name": "CREATE TABLE result AS SELECT name, COUNT(*) AS n, SUM(amount) AS total"
    " FROM names GROUP BY name EMIT CHANGES;",
    "count by name, hour": "CREATE TABLE result AS SELECT name, COUNT(*) AS n FROM names"
    " WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY name EMIT CHANGES;",
    "session by name": "CREATE TABLE result AS SELECT name, COUNT(*) AS n FROM names"
    " WINDOW SESSION (30 SECONDS) GROUP BY name EMIT CHANGES;",
    _JOIN: "CREATE STREAM result AS SELECT n.name, n.amount, p.city FROM names n"
    " LEFT JOIN people p ON n.name = p.name EMIT CHANGES;",
    "update a table": "CREATE TABLE result AS SELECT city, COUNT(*) AS n, SUM(amount) AS total"
    " FROM people GROUP BY city EMIT CHANGES;",
}
"""What keeps state by key; each contestant runs one of them."""

_SOURCES = """
CREATE STREAM numbers (id INT, amount BIGINT)
  WITH (KAFKA_TOPIC = 'numbers', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE STREAM names (name VARCHAR, amount BIGINT)
  WITH (KAFKA_TOPIC = 'names', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE TABLE people (name VARCHAR PRIMARY KEY, city VARCHAR, amount BIGINT)
  WITH (KAFKA_TOPIC = 'people', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
"""


class Contestant:
    """One query with `keys` keys in state."""

    def __init__(self, folder: Path, query: str, keys: int) -> None:
        self._keys = keys
        self._query = query
        self._turn = 0
        self._db = Database.open(str(folder / "growth.db"), max_rows=_PIECE)
        self._db.execute(_SOURCES)
        self._db.execute(QUERIES[query])
        before = rss_mb()
        for start in range(0, keys, _PIECE):
            ids = np.arange(start, min(keys, start + _PIECE))
            self._insert(ids, FIRST_MS, into="people" if query == _JOIN else None)
            self._db.run(until_idle=True)
        self.memory_mb = rss_mb() - before

    def step(self, size: int) -> Figures:
        """Insert and run a batch of so many events, over 1,000 keys spread over all."""
        self._turn += 1
        rng = np.random.default_rng(self._turn)
        stride = max(1, self._keys // _TOUCHED)
        touched = np.arange(_TOUCHED) * stride + rng.integers(0, stride)
        ids = touched[rng.integers(0, _TOUCHED, size)]
        watch = Watch()
        self._insert(ids, FIRST_MS + 1000 * self._turn)
        self._db.run(until_idle=True)
        return watch.figures()

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _insert(self, ids: np.ndarray, first_ms: int, into: str | None = None) -> None:
        columns = {"amount": pa.array(ids), "ROWTIME": pa.array(np.full(len(ids), first_ms))}
        if self._query == "count by number":
            columns["id"] = pa.array(ids.astype(np.int32))
            self._db.insert("numbers", pa.table(columns))
            return
        columns["name"] = pa.array(np.char.mod("user_%d", ids))
        if into is None:
            into = "people" if self._query == "update a table" else "names"
        if into == "people":
            columns["city"] = pa.array(np.char.mod("city_%d", ids % 7))
        self._db.insert(into, pa.table(columns))


def main(query: str, keys: str) -> None:
    """Fill the state, then answer each number of events by what they cost."""
    with tempfile.TemporaryDirectory(prefix="millstream-growth-") as folder:
        contestant = Contestant(Path(folder), query, int(keys))
        hand_back({"memory_mb": contestant.memory_mb})
        answer(lambda line: contestant.step(int(line)))
        contestant.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
