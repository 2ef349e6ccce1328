"""From insert to visible: single clicks beside the recipe's queries, everything durable.

    python -m benchmarks.latency [--rate N] [--seconds N] [--json FILE] [--small]

Clicks are inserted one by one at 1,000 a second, from several threads as clients do, each due at
its own moment: one that has to wait for others has waited. Then the same while a new query reads
the whole history from its beginning.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import report
from benchmarks.children import Figures, run_child
from benchmarks.clicks import generate
from benchmarks.prepare import database_with_clicks

_USERS = 1000
_PERCENTS = (50.0, 95.0, 99.0, 99.9)


def main() -> None:
    """Run both and print."""
    parser = report.parser(__doc__)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--history", type=int, default=2_000_000)
    options = parser.parse_args()
    if options.small:
        options.seconds, options.history = 3, 200_000
    report.run(options, lambda folder: _measure(folder, options))


def _measure(folder: Path, options: argparse.Namespace) -> tuple[Figures, str]:
    shown: list[list[object]] = []
    found: list[list[float]] = []
    for late, name in ((0, "alone"), (1, "beside a query that catches up")):
        path = folder / "latency.db"
        history = options.history if late else 1000
        database_with_clicks(path, generate(history, _USERS), _USERS)
        figures = run_child(
            "contestant_latency", path, options.rate, options.seconds, options.threads, late
        )
        for left in folder.glob("latency.db*"):
            left.unlink()
        taken = figures["latencies_ms"]
        points = [report.percentile(taken, p) for p in _PERCENTS]
        found.append(points)
        base = found[0]
        caught = f"{history / figures['late_s']:,.0f} records/s" if late else ""
        shown.append([name, len(taken), *points, points[0] / base[0], points[2] / base[2], caught])
    (p50, _, p99, _), (_, _, late_p99, _) = found
    result = {
        "p50_ms": round(p50, 2),
        "p99_ms": round(p99, 2),
        "p99_catchup_ms": round(late_p99, 2),
    }
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
