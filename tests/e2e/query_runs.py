"""Scripts with one query under test, their input, and ways to run them piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from millstream.clock import FixedClock
from millstream.database import Database
from tests.properties.engine_runs import append, check_healthy, dump
from tests.properties.program_records import Record

SOURCES = """
CREATE STREAM s (k VARCHAR KEY, a INT, b VARCHAR, d DOUBLE)
  WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS={partitions});
CREATE STREAM r (k VARCHAR KEY, x INT)
  WITH (KAFKA_TOPIC='r', VALUE_FORMAT='DELIMITED', PARTITIONS={partitions});
CREATE TABLE t (k VARCHAR PRIMARY KEY, n VARCHAR, g INT)
  WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS={partitions});
CREATE TABLE u (k VARCHAR PRIMARY KEY, m VARCHAR, h INT)
  WITH (KAFKA_TOPIC='u', VALUE_FORMAT='DELIMITED', PARTITIONS={partitions});
CREATE STREAM headed (k VARCHAR KEY, a INT, one BYTES HEADER('h'))
  WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE STREAM with_headers (k VARCHAR KEY, hs ARRAY<STRUCT<KEY STRING, VALUE BYTES>> HEADERS, a INT)
  WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE STREAM landing (k VARCHAR KEY, a INT)
  WITH (KAFKA_TOPIC='landing', VALUE_FORMAT='JSON', PARTITIONS={partitions});
"""
INPUTS = ("s", "r", "t", "u")
"""The topics that get records from outside."""

Topics = dict[str, list[tuple[object, ...]]]
"""What topics hold: key, value, event time, window, headers, partition, offset of each record."""

OPERATORS: dict[str, tuple[str, ...]] = {
    "filter": ("CREATE STREAM q AS SELECT * FROM s WHERE a > 1;",),
    "project": (
        "CREATE STREAM q AS SELECT k, a + 1 AS a1, UCASE(b) AS u, d * 2 AS dd, ROWTIME AS at"
        " FROM s;",
    ),
    "AS_VALUE": ("CREATE STREAM q AS SELECT k, AS_VALUE(k) AS kv, a FROM s WHERE k <> 'y';",),
    "headers": ("CREATE STREAM q AS SELECT k, a, FROM_BYTES(one, 'utf8') AS one FROM headed;",),
    "all headers": (
        "CREATE STREAM q AS SELECT k, TRANSFORM(hs, x => x->key) AS names, a FROM with_headers"
        " WHERE a IS NOT NULL;",
    ),
    "table functions": (
        "CREATE STREAM q AS SELECT k, a, EXPLODE(SPLIT(b || '/' || k, '/')) AS part,"
        " EXPLODE(ARRAY[a, 7]) AS e FROM s WHERE d IS NOT NULL;",
    ),
    "partition by": ("CREATE STREAM q AS SELECT b, k AS was, a FROM s PARTITION BY b;",),
    "partition by nothing": ("CREATE STREAM q AS SELECT a, b FROM s PARTITION BY NULL;",),
    "stream-table join": (
        "CREATE STREAM q AS SELECT s.k, s.a, t.n, t.g FROM s LEFT JOIN t ON s.k = t.k;",
    ),
    "inner stream-table join": (
        "CREATE STREAM q AS SELECT s.b, s.a, t.n FROM s JOIN t ON s.b = t.k WHERE t.g > 0;",
    ),
    "stream-stream join": (
        "CREATE STREAM q AS SELECT s.k, s.a, r.x FROM s JOIN r WITHIN 5 SECONDS ON s.k = r.k;",
    ),
    "left stream-stream join": (
        "CREATE STREAM q AS SELECT s.k, s.a, r.x FROM s LEFT JOIN r WITHIN 5 SECONDS ON s.k = r.k;",
    ),
    "left stream-stream join with grace": (
        "CREATE STREAM q AS SELECT s.k, s.a, r.x FROM s LEFT JOIN r"
        " WITHIN 5 SECONDS GRACE PERIOD 3 SECONDS ON s.k = r.k;",
    ),
    "right stream-stream join with grace": (
        "CREATE STREAM q AS SELECT r.k, s.a, r.x FROM s RIGHT JOIN r"
        " WITHIN (1 SECOND, 4 SECONDS) GRACE PERIOD 2 SECONDS ON s.b = r.k;",
    ),
    "full stream-stream join": (
        "CREATE STREAM q AS SELECT ROWKEY, s.a, r.x FROM s FULL JOIN r"
        " WITHIN (2 SECONDS, 6 SECONDS) GRACE PERIOD 1 SECOND ON s.k = r.k;",
    ),
    "table-table join": (
        "CREATE TABLE q AS SELECT t.k, t.n, u.m FROM t JOIN u ON t.k = u.k WHERE t.g > 0;",
    ),
    "left table-table join": (
        "CREATE TABLE q AS SELECT t.k, t.n, t.g, u.m FROM t LEFT JOIN u ON t.k = u.k;",
    ),
    "right table-table join": (
        "CREATE TABLE q AS SELECT u.k, t.n, t.g, u.m FROM t RIGHT JOIN u ON t.k = u.k;",
    ),
    "full table-table join": (
        "CREATE TABLE q AS SELECT ROWKEY, t.n, u.m, u.h FROM t FULL JOIN u ON t.k = u.k;",
    ),
    "foreign-key join": (
        "CREATE TABLE q AS SELECT t.k, t.n, u.m, u.h FROM t JOIN u ON t.n = u.k;",
    ),
    "left foreign-key join": (
        "CREATE TABLE q AS SELECT t.k, t.n, u.m FROM t LEFT JOIN u ON t.n = u.k WHERE t.g < 2;",
    ),
    "joins of three": (
        "CREATE STREAM q AS SELECT s.k, s.a, t.n, u.m FROM s LEFT JOIN t ON s.k = t.k"
        " JOIN u ON s.k = u.k;",
    ),
    "unwindowed aggregation": (
        "CREATE TABLE q AS SELECT k, COUNT(*) AS n, SUM(d) AS sd, MAX(a) AS m,"
        " LATEST_BY_OFFSET(b) AS l FROM s GROUP BY k;",
    ),
    "aggregation by another key": (
        "CREATE TABLE q AS SELECT b, COUNT(a) AS n, AVG(d) AS ad, COLLECT_LIST(a) AS c"
        " FROM s GROUP BY b;",
    ),
    "tumbling aggregation": (
        "CREATE TABLE q AS SELECT k, COUNT(*) AS n, SUM(a) AS sa FROM s"
        " WINDOW TUMBLING (SIZE 10 SECONDS, GRACE PERIOD 5 SECONDS) GROUP BY k;",
    ),
    "hopping aggregation": (
        "CREATE TABLE q AS SELECT k, COUNT(*) AS n, MIN(d) AS md FROM s"
        " WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 3 SECONDS) GROUP BY k;",
    ),
    "session aggregation": (
        "CREATE TABLE q AS SELECT k, COUNT(*) AS n, SUM(a) AS sa FROM s"
        " WINDOW SESSION (4 SECONDS, GRACE PERIOD 6 SECONDS) GROUP BY k;",
    ),
    "table aggregation": (
        "CREATE TABLE q AS SELECT g, COUNT(*) AS n, COLLECT_LIST(n) AS ns FROM t GROUP BY g;",
    ),
    "filter of a table": ("CREATE TABLE q AS SELECT k, n, g FROM t WHERE g > 1;",),
    "HAVING": (
        "CREATE TABLE q AS SELECT k, COUNT(*) AS n, SUM(a) AS sa FROM s GROUP BY k"
        " HAVING SUM(a) > 4;",
    ),
    "HAVING of windows": (
        "CREATE TABLE q AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 5 SECONDS)"
        " GROUP BY k HAVING COUNT(*) <> 2;",
    ),
    "EMIT FINAL": (
        "CREATE TABLE q AS SELECT k, COUNT(*) AS n FROM s"
        " WINDOW TUMBLING (SIZE 5 SECONDS, GRACE PERIOD 2 SECONDS) GROUP BY k EMIT FINAL;",
    ),
    "EMIT FINAL of hopping windows": (
        "CREATE TABLE q AS SELECT b, SUM(a) AS sa FROM s"
        " WINDOW HOPPING (SIZE 6 SECONDS, ADVANCE BY 2 SECONDS) GROUP BY b EMIT FINAL;",
    ),
    "EMIT FINAL of sessions": (
        "CREATE TABLE q AS SELECT k, COUNT(*) AS n FROM s"
        " WINDOW SESSION (3 SECONDS, GRACE PERIOD 2 SECONDS) GROUP BY k EMIT FINAL;",
    ),
    "INSERT INTO": ("INSERT INTO landing SELECT k, a FROM s WHERE a IS NOT NULL;",),
    "two INSERT INTO": (
        "INSERT INTO landing SELECT k, a FROM s WHERE a > 1;",
        "INSERT INTO landing SELECT k, x AS a FROM r;",
    ),
    "a windowed source": (
        "CREATE TABLE w AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 5 SECONDS)"
        " GROUP BY k;",
        "CREATE STREAM ws (k VARCHAR KEY, n BIGINT) WITH (KAFKA_TOPIC='W', VALUE_FORMAT='JSON',"
        " WINDOW_TYPE='TUMBLING', WINDOW_SIZE='5 SECONDS');",
        "CREATE STREAM q AS SELECT k, n, WINDOWSTART AS ws FROM ws WHERE n > 1;",
        "CREATE TABLE q2 AS SELECT k, COUNT(*) AS c, MAX(n) AS m FROM ws GROUP BY k;",
    ),
    "a chain": (
        "CREATE STREAM q AS SELECT k, a, b, d FROM s WHERE a > 0;",
        "CREATE TABLE q2 AS SELECT b, COUNT(*) AS n FROM q GROUP BY b;",
        "CREATE STREAM q3 AS SELECT q.b, q.a, q2.n FROM q JOIN q2 ON q.b = q2.b;",
    ),
    "a diamond": (
        "CREATE STREAM q AS SELECT k, a FROM s WHERE a > 0;",
        "CREATE TABLE q2 AS SELECT k, COUNT(*) AS n FROM q GROUP BY k;",
        "CREATE STREAM q3 AS SELECT q.k AS k, q.a AS a, q2.n FROM q LEFT JOIN q2 ON q.k = q2.k;",
        "INSERT INTO landing SELECT k, a FROM q3;",
        "INSERT INTO landing SELECT k, a + 100 AS a FROM q;",
    ),
    "a cycle": (
        "CREATE STREAM hops (k VARCHAR KEY, a INT)"
        " WITH (KAFKA_TOPIC='hops', VALUE_FORMAT='JSON', PARTITIONS=1);",
        "CREATE STREAM onward AS SELECT k, a + 1 AS a FROM hops WHERE a < 6;",
        "INSERT INTO hops SELECT k, a FROM onward;",
        "INSERT INTO hops SELECT k, a FROM s WHERE a IS NOT NULL;",
        "CREATE TABLE counted AS SELECT k, COUNT(*) AS n, SUM(a) AS s, MAX(a) AS m FROM hops"
        " GROUP BY k;",
    ),
    "over a live query's sink": (
        "CREATE TABLE q AS SELECT k, SUM(a) AS sa FROM live GROUP BY k;",
        "CREATE STREAM q2 AS SELECT live.k, live.a, t.n FROM live JOIN t ON live.k = t.k;",
    ),
}
"""Persistent queries by what they do. The stream `live` is another query's, made first."""
SEVERAL = (
    "two INSERT INTO",
    "a windowed source",
    "a chain",
    "a diamond",
    "a cycle",
    "over a live query's sink",
)
"""Those of several queries that read one another, or write one topic."""
ORDERED = [name for name in OPERATORS if name != "a cycle"]
"""Those whose results are the same to the byte however the input is cut."""

LIVE = """
CREATE STREAM live AS SELECT k, a, b FROM s;
CREATE TABLE live_counts AS SELECT k, COUNT(*) AS n FROM live GROUP BY k;
"""


def records(random: Random, count: int) -> list[Record]:
    """Records of all three topics, their times now and then going back."""
    found = []
    now = 10_000
    for _ in range(count):
        now = max(0, now + random.choice([0, 1, 400, 1000, 2500, 7000, -2000, -9000]))
        key = random.choice([b"x", b"y", b"z", b"a", b"", None])
        topic = random.choice("sssrrtu")
        value: bytes | None
        if random.random() < 0.08:
            value = random.choice([None, b"{", b"1,2,3"])
        elif topic == "s":
            row = {
                "a": random.choice([0, 1, 2, 3, None]),
                "b": random.choice(["x", "y", "b", None]),
                "d": random.choice([0.1, 0.2, 1e16, -1e16, 3.5, None]),
            }
            value = json.dumps(row).encode()
        elif topic == "u":
            value = f"{random.choice('vw')},{random.randint(0, 2)}".encode()
        elif topic == "r":
            value = str(random.randint(0, 9)).encode()
        else:
            value = json.dumps({"n": random.choice("pxyz"), "g": random.randint(0, 2)}).encode()
        headers = random.choice([(), (), (("h", b"1"),), (("i", None), ("h", b"2"))])
        found.append(Record(topic, key, value, now, headers))
    return found


def pieces(random: Random, found: Sequence[Record], most: int = 7) -> Iterator[Sequence[Record]]:
    """The records cut at random."""
    start = 0
    while start < len(found):
        size = random.randint(1, most)
        yield found[start : start + size]
        start += size


@dataclass
class Bench:
    """A database of the sources, fed raw records."""

    database: Database

    @classmethod
    def open(
        cls,
        path: str = ":memory:",
        *,
        max_rows: int = 50_000,
        cache: int = 0,
        partitions: int = 1,
        live: bool = True,
    ) -> Bench:
        """Make it, or open it again where the file exists."""
        database = Database.open(
            path,
            clock=FixedClock(1_000),
            properties={
                "auto.offset.reset": "earliest",
                "cache.max.bytes.buffering": str(cache),
            },
            max_rows=max_rows,
        )
        if "S" not in database.catalog.sources:
            database.execute(SOURCES.format(partitions=partitions))
            if live:
                database.execute(LIVE)
        return cls(database)

    def feed(self, found: Sequence[Record]) -> None:
        """Append records and take the queries one step further, in one commit."""
        self.database.engine.step([lambda commit: append(commit, found)])

    def finish(self) -> Topics:
        """Run until nothing is left; what the topics hold then."""
        self.database.run(until_idle=True)
        check_healthy(self.database)
        return self.topics()

    def topics(self) -> Topics:
        """What all topics hold now."""
        return {name: list(rows) for name, rows in dump(self.database).items()}

    def close(self) -> None:
        """Close the database."""
        self.database.close()
