"""From insert to visible: single clicks beside the recipe's queries, everything durable.

    python -m benchmarks.latency [--rate N] [--seconds N] [--json FILE] [--small]

Clicks are sent one by one at 1,000 a second, each due at its own moment: one that has to wait for
others has waited. Then the same while a new query reads the whole history from its beginning;
from eight threads, each of which waits until its click is durable before it inserts the next; and
with the process on both processors, between which Python's one lock goes to and fro.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from benchmarks import report
from benchmarks.children import Figures, run_child
from benchmarks.clicks import generate
from benchmarks.prepare import database_with_clicks

_USERS = 1000
_FEW = 1000


class Run(NamedTuple):
    """How clicks are given: sent, or inserted by `callers` threads that wait; `late`: while a query
    catches up; `pinned`: by a process that stays on one processor. `suffix` names its figures."""

    name: str
    suffix: str = ""
    callers: int = 0
    late: bool = False
    pinned: bool = True


_RUNS = (
    Run("sent"),
    Run("sent beside a query that catches up", "_catchup", late=True),
    Run("inserted by 8 callers who wait", "_waiting", callers=8),
    Run("sent, on both processors", "_spread", pinned=False),
)
_PERCENTS = (50.0, 95.0, 99.0, 99.9)


def main() -> None:
    """Run both and print."""
    parser = report.parser(__doc__)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--history", type=int, default=2_000_000)
    options = parser.parse_args()
    if options.small:
        options.seconds, options.history = 3, 200_000
    report.run(options, lambda folder: _measure(folder, options))


def _measure(folder: Path, options: argparse.Namespace) -> tuple[Figures, str]:
    shown: list[list[object]] = []
    result: Figures = {}
    base: list[float] = []
    for run in _RUNS:
        path = folder / "latency.db"
        history = options.history if run.late else _FEW
        database_with_clicks(path, generate(history, _USERS), _USERS)
        how = (options.rate, options.seconds, run.callers, int(run.late), int(run.pinned))
        figures = run_child("contestant_latency", path, *how)
        for left in folder.glob("latency.db*"):
            left.unlink()
        taken = figures["latencies_ms"]
        points = [report.percentile(taken, p) for p in _PERCENTS]
        p50, _, p99, _ = points
        base = base or points
        caught = f"{history / figures['late_s']:,.0f} records/s" if run.late else ""
        ratios = (p50 / base[0], p99 / base[2])
        shown.append([run.name, len(taken), *points, *ratios, caught])
        result |= {f"p50{run.suffix}_ms": round(p50, 2), f"p99{run.suffix}_ms": round(p99, 2)}
    heads = [
        "",
        "clicks",
        *(f"p{p:g}, ms" for p in _PERCENTS),
        "ratio p50",
        "ratio p99",
        "catch-up",
    ]
    return result, report.table(heads, shown)


if __name__ == "__main__":
    main()
