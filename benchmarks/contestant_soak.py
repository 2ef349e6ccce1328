"""Child process: the recipe over clicks that are made as it goes, at full speed; it tells how it
does after each portion."""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.children import Figures, hand_back, rss_mb
from benchmarks.clicks import FIRST_MS, user_rows
from benchmarks.prepare import recipe_queries
from millstream.columns.keys import KeyIndex
from millstream.database import Database
from millstream.database.records import append_outside
from millstream.engine.state.windowed import WindowedState
from millstream.serde.base import RawPart
from millstream.store.interfaces import Commit

DAYS = 7
_DAY_MS = 86_400_000
_PIECE = 50_000
_DISORDER_MS = 5_000
_LATE = 0.00001
"""Such a part of the clicks comes up to a day late, and falls into segments long out of memory."""

_PAGES = ("index.html", "site/user_status.html", "site/login.html", "images/track.png")
_STATUSES = (200, 302, 404, 405, 406, 407)


class Population:
    """`active` users click at a time; each day `fresh` new ones take the place of others."""

    def __init__(self, clicks: int, active: int, fresh: int) -> None:
        self.clicks = clicks
        self.active = active
        self.fresh = fresh
        self.users = active + DAYS * fresh
        self._rng = np.random.default_rng(7)

    def piece(self, start: int, count: int) -> tuple[list[bytes], np.ndarray]:
        """Clicks from number `start` on: values and event times."""
        rng = self._rng
        times = np.arange(start, start + count) * (DAYS * _DAY_MS) // self.clicks
        first = times * self.fresh // _DAY_MS
        user = first + rng.integers(0, self.active, count)
        late = rng.integers(0, _DISORDER_MS, count)
        very = rng.random(count) < _LATE
        late[very] = rng.integers(0, _DAY_MS, int(very.sum()))
        times = np.maximum(times - late, 0)
        page = rng.integers(0, len(_PAGES), count)
        status = rng.integers(0, len(_STATUSES), count)
        columns = (user.tolist(), times.tolist(), page.tolist(), status.tolist())
        values = [
            (
                f'{{"ip":"111.{u % 251}.{u % 241}.{u % 239}","userid":{u},"remote_user":"-",'
                f'"time":"{t}","_time":{t},"request":"GET /{_PAGES[p]} HTTP/1.1",'
                f'"status":"{_STATUSES[s]}","bytes":"{1000 + u % 9000}","referrer":"-",'
                '"agent":"Mozilla/5.0 (compatible; Googlebot/2.1;'
                ' +http://www.google.com/bot.html)"}'
            ).encode()
            for u, t, p, s in zip(*columns, strict=True)
        ]
        return values, times + FIRST_MS


def prepare(db: Database, population: Population) -> None:
    """Users and an empty topic of clicks, and the recipe over them."""
    with db.store.begin() as commit:
        users = commit.create_topic("clickstream_users", 1)
        commit.create_topic("clickstream", 1)
        keys, values = zip(*user_rows(population.users), strict=True)
        append_outside(
            commit,
            users,
            RawPart(pa.array(keys, pa.binary())),
            RawPart(pa.array(values, pa.binary())),
            np.full(population.users, FIRST_MS, np.int64),
        )
        commit.commit()
    db.execute(recipe_queries())
    db.run(until_idle=True)


def feed(db: Database, values: list[bytes], rowtime: np.ndarray) -> None:
    """One commit: the clicks, and all that follows from them."""
    key, value = RawPart(pa.nulls(len(values), pa.binary())), RawPart(pa.array(values, pa.binary()))

    def append(commit: Commit) -> int:
        topic = commit.topic("clickstream")
        assert topic is not None
        append_outside(commit, topic, key, value, rowtime)
        return len(values)

    db.engine.step([append])


def census() -> Figures:
    """How many segments, keys and rows of state there are, in memory and out of it."""
    found: Counter[str] = Counter()
    for thing in gc.get_objects():
        if isinstance(thing, WindowedState):
            inside, outside, rows = thing.census()
            found.update(segments=inside, segments_away=outside, rows_in_memory=rows)
        elif isinstance(thing, KeyIndex):
            found.update(keys=thing.used)
    return dict(found)


def main(path: str, clicks: str, active: str, fresh: str, portion: str) -> None:
    """Feed all clicks; a line of figures after each portion of them."""
    population = Population(int(clicks), int(active), int(fresh))
    with Database.open(path, max_rows=_PIECE) as db:
        prepare(db, population)
        seconds, cpu_seconds, told = 0.0, 0.0, 0
        piece = min(_PIECE, int(portion))
        for start in range(0, population.clicks, piece):
            size = min(piece, population.clicks - start)
            values, rowtime = population.piece(start, size)
            wall, cpu = time.perf_counter(), time.process_time()
            feed(db, values, rowtime)
            seconds += time.perf_counter() - wall
            cpu_seconds += time.process_time() - cpu
            done = start + size
            if done // int(portion) > told or done == population.clicks:
                wall, cpu = time.perf_counter(), time.process_time()
                db.run(until_idle=True)
                seconds += time.perf_counter() - wall
                cpu_seconds += time.process_time() - cpu
                told = done // int(portion)
                hand_back(
                    {
                        "clicks": done,
                        "seconds": seconds,
                        "cpu_seconds": cpu_seconds,
                        "rss_mb": rss_mb(),
                        "file_mb": Path(path).stat().st_size / (1 << 20),
                        **census(),
                    }
                )
                seconds, cpu_seconds = 0.0, 0.0
        errors = db.metrics().errors
        if errors:
            raise SystemExit("; ".join(errors))


if __name__ == "__main__":
    main(*sys.argv[1:])
