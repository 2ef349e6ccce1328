"""Many small queries on one stream: what each costs in memory and time, and ending them all.

    python -m benchmarks.many [--queries N] [--json FILE] [--small]

Two contestants, with one query and with many: tables that count the clicks of one page each. The
difference, over the number of queries, is what one costs. In a file, everything durable.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import report
from benchmarks.children import Figures, run_child

_CLICKS = 100_000


def main() -> None:
    """Run both and print."""
    parser = report.parser(__doc__)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    if options.small:
        options.queries = 20
    report.run(options, lambda folder: _measure(folder, options.queries))


def _measure(folder: Path, queries: int) -> tuple[Figures, str]:
    one = run_child("contestant_many", folder / "one.db", 1, _CLICKS)
    many = run_child("contestant_many", folder / "many.db", queries, _CLICKS)
    more = queries - 1

    def per_query(name: str) -> float:
        return float(many[name] - one[name]) / more

    figures = {
        "queries": queries,
        "rss_kb_per_query": round(1024 * per_query("rss_mb")),
        "create_ms_per_query": round(1000 * per_query("create_s"), 2),
        "batch_ms_per_query": round(1000 * per_query("batch_s"), 3),
        "row_ms_per_query": round(1000 * per_query("row_s"), 4),
        "reopen_ms_per_query": round(1000 * per_query("reopen_s"), 2),
        "terminate_all_s": round(many["terminate_s"], 2),
    }
    shown = [
        ["memory, MB", one["rss_mb"], many["rss_mb"], figures["rss_kb_per_query"], "KB"],
        ["creation, s", one["create_s"], many["create_s"], figures["create_ms_per_query"], "ms"],
        [
            "creation of the last, over that of the first",
            "",
            many["last_create_ratio"],
            "",
            "",
        ],
        [
            f"a batch of {_CLICKS // 10:,} clicks, s",
            one["batch_s"],
            many["batch_s"],
            figures["batch_ms_per_query"],
            "ms",
        ],
        ["a batch of 1 click, s", one["row_s"], many["row_s"], figures["row_ms_per_query"], "ms"],
        [
            "opening again, s",
            one["reopen_s"],
            many["reopen_s"],
            figures["reopen_ms_per_query"],
            "ms",
        ],
        ["TERMINATE ALL, s", one["terminate_s"], many["terminate_s"], "", ""],
    ]
    return figures, report.table(["", "1 query", f"{queries} queries", "per query", ""], shown)


if __name__ == "__main__":
    main()
