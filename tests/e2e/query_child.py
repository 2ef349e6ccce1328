"""Child process: feeds a file database, makes a query late, and dies where it is told to.

    python -m tests.e2e.query_child PATH SEED DIE_AFTER OPERATOR

`OPERATOR` names the queries that are made late, or is "a replacement": a query that is made early
and replaced late.

`DIE_AFTER`: the number of writes into commits after which the process kills itself; 0: never.
What has been fed is what the topics hold, so a restart goes on where the last commit left off.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from random import Random
from typing import Any

from millstream.store.sqlite.commit import SqliteCommit
from tests.e2e.query_runs import INPUTS, OPERATORS, Bench, records

COUNT = 160
LATE_AT = 120
REPLACEMENT = (
    "CREATE TABLE q AS SELECT k, COUNT(*) AS n, SUM(a) AS sa FROM s WHERE a > 0 GROUP BY k;",
    "CREATE OR REPLACE TABLE q AS"
    " SELECT k, COUNT(*) AS n, SUM(a) AS sa, COUNT(*) * 2 AS m FROM s GROUP BY k;",
)
_WRITES = ("append", "set_position", "put_delta", "put_page", "put_entry", "commit")


def main(path: str, seed: str, die_after: str, operator: str) -> None:
    """Feed what is not there yet, then run until nothing is left."""
    _arm(int(die_after))
    found = records(Random(seed), COUNT)
    bench = Bench.open(path, max_rows=9)
    with bench.database.store.view() as view:
        topics = [view.topic(name) for name in INPUTS]
        fed = sum(view.end(topic.id) for topic in topics if topic is not None)
    early, late = _scripts(operator)
    bench.database.execute(early, skip_existing=True)
    while fed < COUNT:
        if fed >= LATE_AT:
            bench.database.execute(late, skip_existing=True)
        bench.feed(found[fed : fed + 3])
        fed += 3
    bench.finish()
    bench.close()


def _scripts(operator: str) -> tuple[str, str]:
    """What is made at once, and what when most has been fed."""
    if operator == "a replacement":
        return REPLACEMENT
    return "", "\n".join(OPERATORS[operator])


def _arm(die_after: int) -> None:
    """Count writes into commits; the process dies at the given one, in the middle of a commit or
    right behind it."""
    left = [die_after]

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: SqliteCommit, *args: Any, **named: Any) -> Any:
            result = method(self, *args, **named)
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in _WRITES:
        setattr(SqliteCommit, name, counted(getattr(SqliteCommit, name)))


if __name__ == "__main__":
    main(*sys.argv[1:])
