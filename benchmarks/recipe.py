"""The clickstream recipe over a million clicks, beside one batch in DuckDB.

    python -m benchmarks.recipe [--clicks N] [--runs N] [--json FILE] [--small]

Each contestant runs in a process of its own, from raw bytes on disk: Millstream reads a topic of
its database file and makes everything durable, at most 100,000 rows a commit, with the record
cache on and then at 0 (every update is a record); DuckDB reads lines of JSON once and keeps
nothing. One warm-up, then interleaved; the median of the runs' ratios counts. Final contents are
compared row by row, and the topics written at cache 0, coalesced, with those written with it.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from benchmarks import coalesced, report, tables
from benchmarks.children import Figures, run_child
from benchmarks.clicks import generate
from benchmarks.contestant_topics import TOPICS
from benchmarks.prepare import database_with_clicks, lines_with_clicks

_USERS = 1000
_CACHES = {"cache on": "10000000", "cache 0": "0"}
_DUCKDB = "DuckDB"


def main() -> None:
    """Prepare the input, run all, compare, print, and write the figures."""
    parser = report.parser(__doc__)
    parser.add_argument("--clicks", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    if options.small:
        options.clicks, options.runs = min(options.clicks, 100_000), 1
    report.run(options, lambda folder: _measure(folder, options))


def _measure(folder: Path, options: argparse.Namespace) -> tuple[Figures, str]:
    clicks, runs = options.clicks, options.runs
    lines = folder / "clicks.ndjson"
    lines_with_clicks(lines, generate(clicks, _USERS))
    prepared = {}
    for name, cache in _CACHES.items():
        prepared[name] = folder / f"cache-{cache}.db"
        database_with_clicks(prepared[name], generate(clicks, _USERS), _USERS, cache=cache)
    _check(folder, prepared, lines)
    taken: dict[str, list[Figures]] = {name: [] for name in (_DUCKDB, *_CACHES)}
    for _ in range(runs):
        taken[_DUCKDB].append(run_child("contestant_duckdb", lines, _USERS, folder))
        for name, path in prepared.items():
            taken[name].append(_run_copy(folder, path, "contestant_millstream", folder))
    return _figures(clicks, taken), _table(clicks, taken)


def _check(folder: Path, prepared: dict[str, Path], lines: Path) -> None:
    """The warm-up: contents equal DuckDB's, and the topics of both caches tell the same."""
    names = list(tables.QUERIES)
    run_child("contestant_duckdb", lines, _USERS, folder / _DUCKDB, ",".join(names))
    for name, path in prepared.items():
        _run_copy(folder, path, "contestant_millstream", folder / name, ",".join(names))
        counts = tables.compare(folder / name, folder / _DUCKDB, names)
        print(f"{name}: rows equal to DuckDB's: {counts}")
        _run_copy(folder, path, "contestant_topics", folder / name)
    on, off = (folder / name for name in _CACHES)
    print("records at cache 0, and with it:", coalesced.check(off, on, TOPICS))


def _run_copy(folder: Path, prepared: Path, contestant: str, *arguments: object) -> Figures:
    work = folder / "work.db"
    shutil.copyfile(prepared, work)
    figures = run_child(contestant, work, *arguments)
    figures["file_mb"] = work.stat().st_size / (1 << 20)
    for left in folder.glob("work.db*"):
        left.unlink()
    return figures


def _ratio(taken: dict[str, list[Figures]], name: str, what: str = "seconds") -> float:
    """The median over the runs of DuckDB's time over the contestant's, in the same run."""
    pairs = zip(taken[_DUCKDB], taken[name], strict=True)
    return report.median(theirs[what] / ours[what] for theirs, ours in pairs)


def _figures(clicks: int, taken: dict[str, list[Figures]]) -> Figures:
    on, off = _CACHES
    return {
        "ratio": round(_ratio(taken, on), 3),
        "ratio_cache0": round(_ratio(taken, off), 3),
        "ratio_cpu": round(_ratio(taken, on, "cpu_seconds"), 3),
        "ratio_cache0_cpu": round(_ratio(taken, off, "cpu_seconds"), 3),
        "events_per_s": round(clicks / report.median(f["seconds"] for f in taken[on])),
        "duckdb_events_per_s": round(clicks / report.median(f["seconds"] for f in taken[_DUCKDB])),
        "peak_rss_mb": round(max(f["peak_rss_mb"] for f in taken[on])),
        "peak_rss_cache0_mb": round(max(f["peak_rss_mb"] for f in taken[off])),
    }


def _table(clicks: int, taken: dict[str, list[Figures]]) -> str:
    rows: list[list[object]] = []
    for name, figures in taken.items():
        rows.append(
            [
                name if name == _DUCKDB else f"Millstream, {name}",
                clicks / report.median(f["seconds"] for f in figures),
                _ratio(taken, name),
                report.median(f["cpu_seconds"] for f in figures),
                _ratio(taken, name, "cpu_seconds"),
                max(f["peak_rss_mb"] for f in figures),
                "no" if name == _DUCKDB else "yes",
            ]
        )
    heads = ["", "events/s", "ratio", "CPU s", "ratio of CPU", "peak RSS, MB", "durable"]
    return report.table(heads, rows)


if __name__ == "__main__":
    main()
