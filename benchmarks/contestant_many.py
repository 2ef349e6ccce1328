"""Child process: many small queries on one stream."""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import pyarrow as pa

import millstream
from benchmarks.children import hand_back, rss_mb

_PAGES = 1000
_BATCHES = 10
_SINGLE = 20


def main(path: str, queries: str, clicks: str) -> None:
    """Create the queries, feed them, open the file again, and end them all."""
    count, size = int(queries), int(clicks) // _BATCHES
    figures = {}
    with millstream.connect(path) as db:
        db.execute(
            "CREATE STREAM clicks (page INT, user_id INT)"
            " WITH (KAFKA_TOPIC = 'clicks', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
        )
        taken = []
        for number in range(count):
            start = time.perf_counter()
            db.execute(
                f"CREATE TABLE page_{number} AS SELECT user_id, COUNT(*) AS clicks FROM clicks"
                f" WHERE page = {number} GROUP BY user_id EMIT CHANGES;"
            )
            taken.append(time.perf_counter() - start)
        figures["create_s"] = sum(taken)
        tenth = max(1, count // 10)
        figures["last_create_ratio"] = statistics.median(taken[-tenth:]) / statistics.median(
            taken[1 : tenth + 1] or taken
        )
        figures["batch_s"] = statistics.median(_feed(db, size, seed) for seed in range(_BATCHES))
        figures["row_s"] = statistics.median(_feed(db, 1, seed) for seed in range(_SINGLE))
        (answered,) = db.sql("SELECT COUNT(*) FROM page_0").rows()
        assert answered[0] > 0, "the first query has counted nothing"
        figures["rss_mb"] = rss_mb()
    start = time.perf_counter()
    with millstream.connect(path) as db:
        figures["reopen_s"] = time.perf_counter() - start
        start = time.perf_counter()
        db.execute("TERMINATE ALL;")
        figures["terminate_s"] = time.perf_counter() - start
        assert not db.metrics().queries
    hand_back(figures)


def _feed(db: millstream.Database, size: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    batch = pa.table(
        {
            "page": pa.array(rng.integers(0, _PAGES, size), pa.int32()),
            "user_id": pa.array(rng.integers(0, 100, size), pa.int32()),
        }
    )
    start = time.perf_counter()
    db.insert("clicks", batch)
    db.run(until_idle=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main(*sys.argv[1:])
