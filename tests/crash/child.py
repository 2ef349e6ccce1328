"""A process that runs the clickstream recipe on a database file until all is done, to be killed.

`python -m tests.crash.child PATH CACHE MAX_ROWS URL`: prints `open` when the statements stand and
`done` when nothing is left. What it makes depends on its arguments only, not on when it runs.
"""

from __future__ import annotations

import sys

from millstream.clock import FixedClock
from millstream.database import Database
from millstream.recipes import read_recipe

CLICKS, USERS = 9_000, 300

# Beside the recipe: a table over a stream, one over a table, two writers of one stream.
MORE = """
CREATE TABLE clicks_by_status AS SELECT status, COUNT(*) AS n, SUM(bytes) AS total, AVG(bytes) AS a
  FROM clickstream GROUP BY status;
CREATE TABLE statuses_by_count AS SELECT n % 7 AS m, COUNT(*) AS statuses, SUM(total) AS total
  FROM clicks_by_status GROUP BY n % 7;
CREATE STREAM errors AS SELECT ip, status, request FROM clickstream WHERE status > 400
  PARTITION BY ip;
INSERT INTO errors SELECT ip, status, request FROM clickstream WHERE status = 302 PARTITION BY ip;
CREATE TABLE last_errors AS SELECT ip, LATEST_BY_OFFSET(request) AS r, COUNT(*) AS n FROM errors
  WINDOW TUMBLING (SIZE 5 SECONDS, GRACE PERIOD 0 SECONDS) GROUP BY ip EMIT FINAL;
"""


def script(url: str) -> str:
    """The recipe, its sources bounded and as fast as they can, event time from the records."""
    text = read_recipe("clickstream")
    for interval, count in (("10", USERS), ("30", CLICKS)):
        text = text.replace(
            f"'maxInterval'              = '{interval}',",
            f"'maxInterval' = '0', 'random.seed' = '7', 'users' = '40', 'iterations' = '{count}',",
        )
    text = text.replace(
        "KAFKA_TOPIC = 'clickstream',", "KAFKA_TOPIC = 'clickstream', TIMESTAMP = '_TIME',"
    )
    text = text.replace("<elasticsearch-URI>", url)
    head, sink = text.split("-- Send data to Elasticsearch")
    return head + MORE + (sink if url else "")


def main(path: str, cache: str, max_rows: str, url: str) -> None:
    """Run until nothing is left."""
    database = Database.open(
        path,
        clock=FixedClock(1_700_000_000_000),
        properties={"cache.max.bytes.buffering": cache},
        max_rows=int(max_rows),
    )
    with database:
        database.execute(script(url), skip_existing=True)
        print("open", flush=True)
        database.run(until_idle=True)
        print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
