"""Child process: the recipe's queries run while single clicks are inserted at a steady rate.

A click counts as visible when a subscriber of the joined stream gets its row; by the consistency
that the engine promises, all tables have it then too.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time

import millstream
from benchmarks.children import Figures, hand_back
from benchmarks.clicks import FIRST_MS, generate

_USERS = 1000
_LATE_QUERY = """
SET 'auto.offset.reset' = 'earliest';
CREATE TABLE late_pages AS SELECT userid AS k, COUNT(*) AS pages, SUM(bytes) AS total
  FROM clickstream WINDOW HOPPING (SIZE 60 SECOND, ADVANCE BY 5 SECOND)
  GROUP BY userid EMIT CHANGES;
"""


class Feed:
    """Gives single clicks, so many a second, and notes when each is due and when it is visible.
    Time counts from when it is due, however long others took.

    They are sent from one thread that does not wait for them, as a producer of Kafka does, or
    inserted by `callers` threads, each of which waits until its click is durable.
    """

    def __init__(self, db: millstream.Database, rate: int, seconds: float, callers: int) -> None:
        self._db = db
        self._rate, self._threads = rate, max(callers, 1)
        self._give = db.insert if callers else db.send
        self.count = int(rate * seconds)
        self._due = [0.0] * self.count
        self._seen = [0.0] * self.count
        self._left = self.count
        (clicks,) = generate(min(self.count, 100_000), _USERS, seed=3)
        self._rows = [_row(json.loads(value)) for value in clicks.values]
        with db.store.view() as view:
            topic = view.topic("clickstream")
            assert topic is not None
            self._first_ms = FIRST_MS + 3 * view.end(topic.id)

    def run(self) -> list[tuple[float, float]]:
        """All clicks: when each was due, and after how many ms it was visible."""
        subscription = self._db.subscribe("SELECT bytes FROM user_clickstream EMIT CHANGES;")
        watching = threading.Thread(target=self._watch, args=(subscription,))
        watching.start()
        start = time.perf_counter() + 0.2
        producers = [
            threading.Thread(target=self._produce, args=(start, number))
            for number in range(self._threads)
        ]
        for thread in producers:
            thread.start()
        for thread in (*producers, watching):
            thread.join()
        return [(due, 1000 * (seen - due)) for due, seen in zip(self._due, self._seen, strict=True)]

    def _produce(self, start: float, number: int) -> None:
        for i in range(number, self.count, self._threads):
            due = start + i / self._rate
            wait = due - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            self._due[i] = due
            row = self._rows[i % len(self._rows)]
            self._give("clickstream", [row | {"bytes": i, "ROWTIME": self._first_ms + i}])

    def _watch(self, subscription: object) -> None:
        for row in subscription:  # type: ignore[attr-defined]
            self._seen[row[0]] = time.perf_counter()
            self._left -= 1
            if self._left == 0:
                subscription.close()  # type: ignore[attr-defined]


def _row(click: dict[str, object]) -> dict[str, object]:
    return {
        "_time": click["_time"],
        "time": click["time"],
        "ip": click["ip"],
        "request": click["request"],
        "status": int(str(click["status"])),
        "userid": click["userid"],
        "agent": click["agent"],
    }


class Late:
    """A query over all that there is, made while clicks come in; when it ran."""

    def __init__(self, db: millstream.Database, after_s: float) -> None:
        self._db, self._after_s = db, after_s
        self._thread = threading.Thread(target=self._run)
        self.begin = self.end = 0.0

    def start(self) -> None:
        """Wait, make it, and watch its lag."""
        self._thread.start()

    def join(self) -> None:
        """Wait until it has caught up."""
        self._thread.join()

    def _run(self) -> None:
        time.sleep(self._after_s)
        self.begin = time.perf_counter()
        self._db.execute(_LATE_QUERY)
        while self._lag() > 100:
            time.sleep(0.02)
        self.end = time.perf_counter()

    def _lag(self) -> int:
        return next(q.lag for q in self._db.metrics().queries if q.sink == "LATE_PAGES")


def main(path: str, rate: str, seconds: str, callers: str, late: str, pinned: str) -> None:
    """Run the history, then the clicks; with `late` the figures are of the time it ran."""
    if pinned == "1" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with millstream.connect(path) as db:
        db.run(until_idle=True)
        # As docs/how-to/latency.md says.
        gc.collect()
        gc.freeze()
        db.start()
        Feed(db, int(rate), 2, int(callers)).run()  # A warm-up.
        feed = Feed(db, int(rate), float(seconds), int(callers))
        late_query = Late(db, 1.0)
        if late == "1":
            late_query.start()
        taken = feed.run()
        if late == "1":
            late_query.join()
            taken = [t for t in taken if late_query.begin <= t[0] <= late_query.end]
        figures: Figures = {
            "latencies_ms": [round(ms, 3) for _, ms in taken],
            "late_s": late_query.end - late_query.begin,
            "commits": db.engine.commits,
        }
        errors = db.metrics().errors
        if errors:
            raise SystemExit("; ".join(errors))
        db.stop()
    hand_back(figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
