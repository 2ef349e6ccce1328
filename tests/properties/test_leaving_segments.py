"""Segments that leave memory at once change nothing: no byte of a topic, and no answer."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.database import Database
from millstream.engine.operators import session_state
from millstream.engine.state import keys, ring, windowed
from tests.properties.engine_runs import Run, append, check_healthy, dump
from tests.properties.program_records import Record

SCRIPT = """
CREATE STREAM s (k VARCHAR KEY, i INT)
  WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE TABLE tumbling AS SELECT k, COUNT(*) AS n, SUM(i) AS total, COLLECT_LIST(i) AS every FROM s
  WINDOW TUMBLING (SIZE 10 SECONDS, RETENTION 1 HOUR, GRACE PERIOD 15 MINUTES) GROUP BY k;
CREATE TABLE hopping AS SELECT k, COUNT(*) AS n, MAX(i) AS most FROM s
  WINDOW HOPPING (SIZE 30 SECONDS, ADVANCE BY 10 SECONDS, GRACE PERIOD 15 MINUTES) GROUP BY k;
CREATE TABLE sessions AS SELECT k, COUNT(*) AS n, MIN(i) AS least FROM s
  WINDOW SESSION (40 SECONDS, RETENTION 1 HOUR, GRACE PERIOD 15 MINUTES) GROUP BY k;
CREATE TABLE final_windows AS SELECT k, COUNT(*) AS n, SUM(i) AS total FROM s
  WINDOW TUMBLING (SIZE 20 SECONDS, GRACE PERIOD 10 MINUTES) GROUP BY k EMIT FINAL;
CREATE TABLE final_sessions AS SELECT k, COUNT(*) AS n FROM s
  WINDOW SESSION (40 SECONDS, GRACE PERIOD 10 MINUTES) GROUP BY k EMIT FINAL;
CREATE TABLE often AS SELECT i, COUNT(*) AS n FROM s
  WINDOW TUMBLING (SIZE 20 SECONDS, GRACE PERIOD 15 MINUTES) WHERE i > 0 GROUP BY i
  HAVING COUNT(*) > 1;
"""
TABLES = ("tumbling", "hopping", "sessions", "final_windows", "final_sessions", "often")
KEYED = {name: "i" if name == "often" else "k" for name in TABLES}

Event = tuple[str, int, list[Record]]
"""What happens: "feed" with records, "reopen", "reload", or "ask" with a number."""


@contextmanager
def budget(cold_bytes: int) -> Iterator[None]:
    """So much memory for segments that nothing touches, and all else on a small scale."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windowed, "COLD_BYTES", cold_bytes)
        patch.setattr(windowed, "FREEZE_ROWS", 1)
        patch.setattr(session_state, "_SHORTEST_SEGMENT_MS", 1_000)
        patch.setattr(keys, "_FEWEST_SWEPT", 6)
        patch.setattr(ring, "_FEWEST_ROWS", 4)
        patch.setattr(ring, "_MOST_PARTS", 5)
        patch.setattr(ring, "_SMALL_PART", 1)
        yield


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Records of keys old and ever new, some of them late, fed in pieces; between them restarts,
    reloads and questions."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    lateness = draw(st.sampled_from([0, 30_000, 400_000, 1_000_000]))
    stride = draw(st.sampled_from([2_000, 20_000, 90_000]))
    now, place, events = 0, 0, list[Event]()
    for what in draw(
        st.lists(
            st.sampled_from(["feed", "feed", "feed", "feed", "reopen", "reload", "ask"]),
            min_size=5,
            max_size=30,
        )
    ):
        records = []
        for _ in range(int(rng.integers(1, 9)) if what == "feed" else 0):
            now += int(rng.integers(0, stride))
            late = int(rng.integers(0, lateness + 1)) if rng.random() < 0.4 else 0
            key = ["a", "b", "c", f"new{place // 5}"][rng.integers(0, 4)]
            value = f'{{"I":{rng.integers(-2, 6)}}}'
            records.append(Record("s", key.encode(), value.encode(), max(0, now - late)))
            place += 1
        events.append((what, int(rng.integers(0, 1 << 20)), records))
    return events


def answers(database: Database, number: int) -> list[Any]:
    """What pull queries see: some keys between some bounds, and everything, in any order."""
    low = number % 500_000
    key = ["'a'", "'new1'", "'nobody'"][number % 3]
    asked = []
    for table in TABLES:
        some = str(number % 5) if table == "often" else key
        where = f"{KEYED[table]} = {some}"
        for clause in (where, f"{where} AND WINDOWSTART >= {low} AND WINDOWSTART < {low * 2}", ""):
            query = f"SELECT * FROM {table}" + (f" WHERE {clause}" if clause else "")
            rows = database.sql(query + ";").rows()
            asked.append(sorted(map(repr, rows)))
    return asked


def live(events: Sequence[Event], path: str, restarts: bool, cache: int) -> tuple[Any, list[Any]]:
    """Run a history: what the topics hold in the end, and every answer."""
    run = Run(path=path, cache=cache)
    database = run.open()
    asked = []
    try:
        database.execute(SCRIPT)
        for what, number, records in events:
            if what == "feed":
                with database.engine.lock, database.store.begin() as commit:
                    append(commit, records)
                    commit.commit()
                database.step()
            elif what == "ask":
                asked.append(answers(database, number))
            elif restarts and what == "reload":
                database.engine.reload()
            elif restarts and what == "reopen":
                database.close()
                database = run.open()
        database.run(until_idle=True)
        check_healthy(database)
        asked.append(answers(database, 0))
        return dump(database), asked
    finally:
        database.close()


@settings(max_examples=40)
@given(histories(), st.sampled_from([0, 3_000]), st.sampled_from([0, 0, 10_000_000]), st.booleans())
def test_a_tiny_budget_changes_nothing(
    events: list[Event], cold_bytes: int, cache: int, in_memory: bool
) -> None:
    with budget(1 << 40):
        expected = live(events, ":memory:", restarts=False, cache=cache)
    with tempfile.TemporaryDirectory() as folder, budget(cold_bytes):
        path = ":memory:" if in_memory else str(Path(folder) / "some.db")
        assert live(events, path, restarts=not in_memory, cache=cache) == expected


def test_another_process_sees_what_has_left_memory(tmp_path: Path) -> None:
    path = str(tmp_path / "some.db")
    with budget(0), Run(path=path).open() as database:
        database.execute(SCRIPT)
        for place in range(30):
            records = [Record("s", b"abc"[place % 3 :][:1], b'{"I":1}', place * 20_000)]
            with database.engine.lock, database.store.begin() as commit:
                append(commit, records)
                commit.commit()
            database.step()
            with Database.open(path, read_only=True) as reader:
                assert answers(reader, place) == answers(database, place)
