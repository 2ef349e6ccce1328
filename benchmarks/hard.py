"""The recipe where it hurts: many users who click rarely, out of order, over a day of event time.

    python -m benchmarks.hard [--clicks N] [--users N] [--runs N] [--json FILE] [--small]

Most windows hold one click, so each click costs about a dozen rows of state and of topics; the
grace of 24 hours keeps all of them open. Beside one batch in DuckDB over the same clicks, from raw
bytes, each in a process of its own, interleaved; Millstream commits every 50,000 clicks. Tables
are compared row by row; the file's bytes are told by what they keep.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from benchmarks import report, tables
from benchmarks.children import Figures, run_child
from benchmarks.clicks import generate_rare
from benchmarks.kept import kept_in
from benchmarks.prepare import database_with_clicks, lines_with_clicks
from millstream.engine.engine import DEFAULT_MAX_ROWS

# Two minutes less than a day, so that the first windows have not left the retention at the end.
_SPAN_MS = 24 * 3_600_000 - 120_000
_DISORDER_MS = 5_000


def main() -> None:
    """Prepare the input, run both, compare, print, and write the figures."""
    parser = report.parser(__doc__)
    parser.add_argument("--clicks", type=int, default=2_000_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    if options.small:
        options.clicks, options.users, options.runs = 100_000, 5_000, 1
    report.run(options, lambda folder: _measure(folder, options))


def _measure(folder: Path, options: argparse.Namespace) -> tuple[Figures, str]:
    lines, prepared = folder / "clicks.ndjson", folder / "clicks.db"
    span_ms = _SPAN_MS * options.clicks // 2_000_000
    rare = (options.clicks, options.users, span_ms, _DISORDER_MS)
    lines_with_clicks(lines, generate_rare(*rare))
    database_with_clicks(prepared, generate_rare(*rare), options.users)
    ours: list[Figures] = []
    theirs: list[Figures] = []
    names = list(tables.QUERIES)
    kept = ""
    for run in range(options.runs + 1):
        wanted = "" if run else ",".join(names)
        theirs.append(
            run_child("contestant_duckdb", lines, options.users, folder / "duckdb", wanted)
        )
        work = folder / "work.db"
        shutil.copyfile(prepared, work)
        ours.append(
            run_child(
                "contestant_millstream", work, folder / "millstream", wanted, DEFAULT_MAX_ROWS
            )
        )
        if run == 0:
            counts = tables.compare(folder / "millstream", folder / "duckdb", names)
            print(f"rows equal to DuckDB's: {counts}")
            kept = kept_in(work).table(options.clicks)
        for left in folder.glob("work.db*"):
            left.unlink()
    return _figures(options.clicks, ours[1:], theirs[1:]), (
        _table(options.clicks, ours[1:], theirs[1:]) + "\n\n" + kept
    )


def _ratio(ours: list[Figures], theirs: list[Figures], what: str) -> float:
    return report.median(t[what] / o[what] for o, t in zip(ours, theirs, strict=True))


def _figures(clicks: int, ours: list[Figures], theirs: list[Figures]) -> Figures:
    return {
        "ratio": round(_ratio(ours, theirs, "seconds"), 3),
        "ratio_cpu": round(_ratio(ours, theirs, "cpu_seconds"), 3),
        "events_per_s": round(clicks / report.median(f["seconds"] for f in ours)),
        "peak_rss_mb": round(max(f["peak_rss_mb"] for f in ours)),
        "rss_growth_mb": round(report.median(f["rss_growth_mb"] for f in ours)),
    }


def _table(clicks: int, ours: list[Figures], theirs: list[Figures]) -> str:
    rows: list[list[object]] = []
    for name, figures in (("DuckDB, one batch", theirs), ("Millstream", ours)):
        growth = "" if name.startswith("Duck") else report.median(f["rss_growth_mb"] for f in ours)
        rows.append(
            [
                name,
                clicks / report.median(f["seconds"] for f in figures),
                _ratio(figures, theirs, "seconds"),
                report.median(f["cpu_seconds"] for f in figures),
                max(f["peak_rss_mb"] for f in figures),
                growth,
            ]
        )
    heads = ["", "events/s", "ratio", "CPU s", "peak RSS, MB", "growth over 2nd half, MB"]
    return report.table(heads, rows)


if __name__ == "__main__":
    main()
