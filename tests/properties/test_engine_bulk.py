"""Thousands of records at once give what a few at a time give: the paths for big batches too."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.database import Database
from tests.properties.engine_runs import Dump, Run, final
from tests.properties.program_records import Record
from tests.properties.program_relations import Program

AGGREGATES = (
    "COUNT(*) AS n, COUNT(i) AS ni, SUM(i) AS si, SUM(l) AS sl, SUM(d) AS sd, MIN(i) AS mi,"
    " MAX(l) AS ml, MIN(d) AS md, MAX(d) AS xd, AVG(l) AS al, AVG(d) AS ad"
)
SCRIPT = f"""
CREATE STREAM s (k VARCHAR KEY, i INT, l BIGINT, d DOUBLE, t VARCHAR)
  WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE TABLE u (k VARCHAR PRIMARY KEY, i INT, t VARCHAR)
  WITH (KAFKA_TOPIC='u', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE STREAM plain AS SELECT k, i + 1 AS i, CASE WHEN d > 0 THEN t ELSE UCASE(t) END AS t FROM s
  WHERE t LIKE '%1%' OR i > 3;
CREATE STREAM joined AS SELECT s.k, s.i AS si, u.i AS ui, u.t AS ut FROM s
  LEFT JOIN u ON s.k = u.k;
CREATE TABLE all_time AS SELECT k, {AGGREGATES} FROM s GROUP BY k;
CREATE TABLE tumbling AS SELECT k, {AGGREGATES} FROM s
  WINDOW TUMBLING (SIZE 10 SECONDS, GRACE PERIOD 20 SECONDS) GROUP BY k;
CREATE TABLE hopping AS SELECT k, {AGGREGATES} FROM s
  WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 2 SECONDS, GRACE PERIOD 10 SECONDS) GROUP BY k;
CREATE TABLE counted AS SELECT k, COUNT(*) AS n FROM s
  WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 2 SECONDS) GROUP BY k HAVING COUNT(*) > 2;
CREATE TABLE sessions AS SELECT k, {AGGREGATES} FROM s
  WINDOW SESSION (3 SECONDS, GRACE PERIOD 30 SECONDS) GROUP BY k;
CREATE TABLE finals AS SELECT i, COUNT(*) AS n, SUM(d) AS sd FROM s
  WINDOW TUMBLING (SIZE 5 SECONDS, GRACE PERIOD 1 SECONDS) GROUP BY i EMIT FINAL;
CREATE TABLE objects AS SELECT i, COLLECT_LIST(t) AS c, LATEST_BY_OFFSET(d) AS d, TOPK(l, 3) AS top
  FROM s WINDOW TUMBLING (SIZE 5 SECONDS) GROUP BY i;
CREATE TABLE users AS SELECT i, COUNT(*) AS n, SUM(i) AS si, COLLECT_LIST(t) AS ts FROM u
  GROUP BY i;
CREATE TABLE some AS SELECT k, i, t FROM u WHERE i > 2;
"""
SINKS = (
    "ALL_TIME",
    "TUMBLING",
    "HOPPING",
    "COUNTED",
    "SESSIONS",
    "FINALS",
    "OBJECTS",
    "USERS",
    "SOME",
)


def program(seed: int, count: int, keys: int) -> Program:
    """So many records of so many keys, some of which are used far more than others."""
    chance = np.random.default_rng(seed)
    now = np.maximum.accumulate(chance.exponential(30, count).cumsum().astype(np.int64))
    late = chance.random(count)
    now -= np.where(late < 0.02, 15_000, np.where(late < 0.2, 700, 0))
    key = (keys * chance.random(count) ** 3).astype(int)
    small = chance.integers(-1, 8, count)
    table = chance.random(count) < 0.15
    harsh = chance.choice([0.1, 1e16, -0.0, 2.5, -7.25, 1e-7], count)
    records = []
    for n in range(count):
        name = f"k{key[n]}".encode()
        time = max(0, int(now[n]))
        i = "null" if small[n] < 0 else str(small[n])
        if table[n]:
            value = None if small[n] == 0 else f'{{"I":{i},"T":"t{n}"}}'.encode()
            records.append(Record("u", name, value, time))
            continue
        text = f'{{"I":{i},"L":{n % 977},"D":{harsh[n]},"T":"t{n % 50}"}}'
        records.append(Record("s", name, text.encode() if n % 97 else b"{", time))
    return Program((SCRIPT,), tuple(records), SINKS, SINKS)


def pieces(length: int, size: int) -> list[int]:
    """Pieces of a size, and what is left."""
    return [*[size] * (length // size), length % size]


def run(made: Program, sizes: Sequence[int], cache: int = 0, again: int = 0) -> Dump:
    """What the topics hold. `again`: the file is opened anew after each so many pieces."""
    with tempfile.TemporaryDirectory() as folder:
        how = Run(cache=cache, path=str(Path(folder) / "bulk.db") if again else ":memory:")
        count = 0

        def between(database: Database) -> Database:
            nonlocal count
            count += 1
            if again == 0 or count % again:
                return database
            database.close()
            return how.open()

        how.between = between
        found, database = how.go(made, sizes)
        database.close()
        return found


@settings(max_examples=3, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([5, 60, 900]),
    st.sampled_from([300, 700, 1999]),
)
def test_big_batches_equal_small_ones(seed: int, keys: int, size: int) -> None:
    made = program(seed, 3_000, keys)
    whole = run(made, [len(made.records)])
    small = run(made, pieces(len(made.records), size), again=3)
    cached = run(made, pieces(len(made.records), size), cache=10_000_000)
    for topic, rows in whole.items():
        assert small[topic] == rows, topic
        if topic in SINKS:
            assert final(cached[topic]) == final(rows), topic
        else:
            assert cached[topic] == rows, topic
