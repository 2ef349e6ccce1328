"""Windows and joins give in the end what DuckDB computes from all rows at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.clock import FixedClock
from millstream.database import Database
from tests.properties.programs import cuts

Row = tuple[str, int | None, int | None, float | None, int]
"""Key, int, bigint, double, event time in ms."""

# An aggregate over no values: COUNT and SUM are 0, AVG is 0.0, MIN and MAX are null.
AGGREGATES = (
    "COUNT(*) AS n, COUNT(i) AS ni, SUM(i) AS si, SUM(l) AS sl, SUM(d) AS sd,"
    " MIN(i) AS mi, MAX(l) AS ml, MIN(d) AS md, AVG(i) AS ai, AVG(d) AS ad"
)
DUCK_AGGREGATES = (
    "count(*), count(i), coalesce(sum(i), 0), coalesce(sum(l), 0), coalesce(sum(d), 0.0),"
    " min(i), max(l), min(d), coalesce(avg(i), 0.0), coalesce(avg(d), 0.0)"
)
SCRIPT = f"""
CREATE STREAM s (k VARCHAR KEY, i INT, l BIGINT, d DOUBLE)
  WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE TABLE unwindowed AS SELECT k, {AGGREGATES} FROM s GROUP BY k;
CREATE TABLE tumbling AS SELECT k, {AGGREGATES} FROM s WINDOW TUMBLING (SIZE 10 SECONDS)
  GROUP BY k;
CREATE TABLE hopping AS SELECT k, {AGGREGATES} FROM s
  WINDOW HOPPING (SIZE 15 SECONDS, ADVANCE BY 5 SECONDS) GROUP BY k;
CREATE TABLE sessions AS SELECT k, {AGGREGATES} FROM s WINDOW SESSION (5 SECONDS) GROUP BY k;
CREATE TABLE often AS SELECT k, COUNT(*) AS n, SUM(i) AS s FROM s
  WINDOW TUMBLING (SIZE 10 SECONDS) WHERE i > 0 GROUP BY k HAVING COUNT(*) > 1;
CREATE TABLE regrouped AS SELECT n, COUNT(*) AS keys, SUM(sl) AS total FROM unwindowed GROUP BY n;
"""
DUCK = {
    "unwindowed": f"select k, {DUCK_AGGREGATES} from s group by k",
    "tumbling": f"""select k, t // 10000 * 10000 as ws, t // 10000 * 10000 + 10000,
        {DUCK_AGGREGATES} from s group by k, ws""",
    "hopping": f"""select k, ws, ws + 15000, {DUCK_AGGREGATES}
        from (select *, unnest(generate_series(
            greatest(0, (t - 10000) // 5000 * 5000), t // 5000 * 5000, 5000)) as ws from s)
        group by k, ws""",
    "sessions": f"""select k, min(t), max(t), {DUCK_AGGREGATES}
        from (select *, sum(fresh) over (partition by k order by t rows unbounded preceding) as n
            from (select *, case when t - lag(t) over (partition by k order by t) <= 5000
                then 0 else 1 end as fresh from s)) group by k, n""",
    "often": """select k, t // 10000 * 10000 as ws, ws + 10000, count(*), sum(i)
        from s where i > 0 group by k, ws having count(*) > 1""",
    "regrouped": """select n, count(*), sum(sl)
        from (select k, count(*) as n, coalesce(sum(l), 0) as sl from s group by k) group by n""",
}

keys = st.sampled_from(["a", "b", "c", "d"])
numbers = st.none() | st.integers(-4, 9)
# Multiples of a quarter: sums are exact in any order.
quarters = st.none() | st.integers(-9, 9).map(lambda n: n / 4)


@st.composite
def rows(draw: st.DrawFn, backwards: bool = True) -> list[Row]:
    """Rows in the order in which they come; time goes back now and then."""
    steps = [0, 100, 900, 2500, 5000, 5001, 12_000]
    if backwards:
        steps += [-700, -5000, -30_000]
    now, found = 40_000, []
    for _ in range(draw(st.sampled_from([0, 1, 5, 25, 25, 25]))):
        now = max(0, now + draw(st.sampled_from(steps)))
        found.append((draw(keys), draw(numbers), draw(numbers), draw(quarters), now))
    return found


@pytest.fixture(scope="module")
def duck() -> Iterator[Any]:
    """DuckDB on its own."""
    connection = duckdb.connect()
    yield connection
    connection.close()


def arrow_of(found: Sequence[Row], time: str) -> pa.Table:
    """Rows as an Arrow table, event time in the named column."""
    kinds = [pa.string(), pa.int32(), pa.int64(), pa.float64(), pa.int64()]
    columns = [[r[c] for r in found] for c in range(5)]
    arrays = [pa.array(c, kind) for c, kind in zip(columns, kinds, strict=True)]
    return pa.Table.from_arrays(arrays, names=["k", "i", "l", "d", time])


def opened(cache: bool) -> Database:
    """A database that reads from the beginning."""
    properties = {"auto.offset.reset": "earliest"}
    if not cache:
        properties["cache.max.bytes.buffering"] = "0"
    return Database.open(clock=FixedClock(0), properties=properties)


def feed(database: Database, stream: str, found: Sequence[Row], sizes: Sequence[int]) -> None:
    """Insert rows in pieces of so many, a step after each."""
    start = 0
    for size in sizes:
        database.insert(stream, arrow_of(found[start : start + size], "rowtime"))
        database.step()
        start += size


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.data(), rows(), st.booleans())
def test_aggregations_equal_the_oracle(
    duck: Any, data: st.DataObject, found: list[Row], cache: bool
) -> None:
    with opened(cache) as database:
        database.execute(SCRIPT)
        feed(database, "s", found, data.draw(cuts(len(found))))
        database.run(until_idle=True)
        duck.register("s", arrow_of(found, "t"))
        for table, query in DUCK.items():
            got = sorted(database.sql(f"SELECT * FROM {table}").rows(), key=repr)
            if table == "regrouped":
                # A group that all keys have left stays, with nothing in it.
                got = [r for r in got if r[1]]
            assert got == sorted(duck.sql(query).fetchall(), key=repr), table


JOINS = """
CREATE STREAM s (k VARCHAR KEY, i INT, l BIGINT, d DOUBLE)
  WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE t (k VARCHAR PRIMARY KEY, i INT, l BIGINT, d DOUBLE)
  WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE u (i INT PRIMARY KEY, k VARCHAR) WITH (KAFKA_TOPIC='u', VALUE_FORMAT='JSON',
  PARTITIONS=1);
CREATE STREAM l AS SELECT s.k, s.i AS si, t.l AS tl, t.d AS td FROM s LEFT JOIN t ON s.k = t.k;
CREATE STREAM i AS SELECT s.k, s.i AS si, t.l AS tl, t.d AS td FROM s JOIN t ON s.k = t.k;
CREATE STREAM x AS SELECT u.i, s.k AS sk, u.k AS uk FROM s JOIN u ON s.i = u.i;
"""
DUCK_JOINS = {
    "l": "select s.k, s.i, tt.l, tt.d from s left join tt on s.k = tt.k",
    "i": "select s.k, s.i, tt.l, tt.d from s join tt on s.k = tt.k",
    "x": "select u.i, s.k, u.k from s join u on s.i = u.i",
}


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.data(), rows(), rows())
def test_joins_with_a_table_at_rest_equal_the_oracle(
    duck: Any, data: st.DataObject, found: list[Row], table: list[Row]
) -> None:
    with opened(False) as database:
        database.execute(JOINS)
        feed(database, "t", table, [len(table)])
        last = list({r[0]: r for r in table}.values())
        by_number = [(i, k) for k, i, *_ in last if i is not None]
        database.insert("u", by_number)
        database.run(until_idle=True)
        feed(database, "s", found, data.draw(cuts(len(found))))
        database.run(until_idle=True)
        duck.register("s", arrow_of(found, "t"))
        duck.register("tt", arrow_of(last, "t"))
        numbers = dict(by_number)
        columns = [
            pa.array(list(numbers), pa.int32()),
            pa.array(list(numbers.values()), pa.string()),
        ]
        duck.register("u", pa.Table.from_arrays(columns, names=["i", "k"]))
        for stream, query in DUCK_JOINS.items():
            got = sorted(database.sql(f"SELECT * FROM {stream}").rows(), key=repr)
            assert got == sorted(duck.sql(query).fetchall(), key=repr), stream
