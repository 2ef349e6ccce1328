"""Child process: feeds a file database, makes a query late, and dies where it is told to.

    python -m tests.e2e.query_child PATH SEED DIE_AFTER OPERATOR

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
from tests.e2e.query_runs import OPERATORS, Bench, records

COUNT = 160
LATE_AT = 120
_WRITES = ("append", "set_position", "put_delta", "put_page", "put_entry", "commit")


def main(path: str, seed: str, die_after: str, operator: str) -> None:
    """Feed what is not there yet, then run until nothing is left."""
    _arm(int(die_after))
    found = records(Random(seed), COUNT)
    bench = Bench.open(path, max_rows=9)
    with bench.database.store.view() as view:
        topics = [view.topic(name) for name in "srt"]
        fed = sum(view.end(topic.id) for topic in topics if topic is not None)
    while fed < COUNT:
        if fed >= LATE_AT:
            _make_late(bench, operator)
        bench.feed(found[fed : fed + 3])
        fed += 3
    _make_late(bench, operator)
    bench.finish()
    bench.close()


def _make_late(bench: Bench, operator: str) -> None:
    bench.database.execute("\n".join(OPERATORS[operator]), skip_existing=True)


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
