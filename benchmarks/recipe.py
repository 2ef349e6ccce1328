"""The clickstream recipe over a million clicks, beside one batch in DuckDB.

    python -m benchmarks.recipe [--clicks N] [--runs N] [--cache BYTES] [--json FILE]

Each contestant runs in a process of its own, from raw bytes on disk: Millstream reads a topic of
its database file and makes everything durable, at most 100,000 rows a commit; DuckDB reads lines
of JSON once and keeps nothing. One warm-up, then interleaved, the median counts. Final contents
are compared row by row.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather

from benchmarks.prepare import database_with_clicks, lines_with_clicks

_USERS = 1000
_TABLES = ("pages", "errors", "activity", "sessions")


def main() -> None:
    """Prepare the input, run both, compare, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cache", default="10000000", help="0 emits every update")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as folder:
        figures = _measure(Path(folder), options.clicks, options.runs, options.cache)
    print(_table(figures))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def _measure(folder: Path, clicks: int, runs: int, cache: str) -> dict[str, float]:
    prepared, lines = folder / "clicks.db", folder / "clicks.ndjson"
    database_with_clicks(prepared, clicks, _USERS, cache=cache)
    lines_with_clicks(lines, clicks, _USERS)
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    for run in range(runs + 1):
        theirs.append(_run(folder / "duckdb", "duckdb", str(lines), users=_USERS))
        work = folder / "work.db"
        shutil.copyfile(prepared, work)
        ours.append(_run(folder / "millstream", "millstream", str(work)))
        for left in folder.glob("work.db*"):
            left.unlink()
        if run == 0:
            _compare(folder / "millstream", folder / "duckdb")
    our_s = statistics.median(f["seconds"] for f in ours[1:])
    their_s = statistics.median(f["seconds"] for f in theirs[1:])
    return {
        "events_per_s": round(clicks / our_s),
        "duckdb_events_per_s": round(clicks / their_s),
        "ratio": round(
            statistics.median(
                t["seconds"] / o["seconds"] for o, t in zip(ours[1:], theirs[1:], strict=True)
            ),
            3,
        ),
        "peak_rss_mb": round(max(f["peak_rss_mb"] for f in ours[1:])),
        "duckdb_peak_rss_mb": round(max(f["peak_rss_mb"] for f in theirs[1:])),
    }


def _run(out: Path, contestant: str, source: str, users: int | None = None) -> dict[str, float]:
    out.mkdir(exist_ok=True)
    command = [sys.executable, "-m", f"benchmarks.contestant_{contestant}", source, str(out)]
    if users is not None:
        command.append(str(users))
    subprocess.run(command, check=True)
    found: dict[str, float] = json.loads((out / "figures.json").read_text())
    return found


def _compare(ours: Path, theirs: Path) -> None:
    """Every row of every table must be the same in both."""
    for name in _TABLES:
        one, other = (_sorted(p / f"{name}.arrow") for p in (ours, theirs))
        if one != other:
            wrong = sum(a != b for a, b in zip(one, other, strict=False))
            raise SystemExit(
                f"{name}: {len(one)} and {len(other)} rows, {wrong} of them differ:"
                f" {[x for x in zip(one, other, strict=False) if x[0] != x[1]][:2]}"
            )
        print(f"{name}: {len(one)} rows equal")


def _sorted(path: Path) -> list[tuple[object, ...]]:
    table: pa.Table = feather.read_table(str(path))
    columns = [c.to_pylist() for c in table.columns]
    return sorted(zip(*columns, strict=True))


def _table(figures: dict[str, float]) -> str:
    return "\n".join(
        [
            "",
            "| | events/s | ratio | peak RSS | durable |",
            "|---|---|---|---|---|",
            f"| Millstream, the whole recipe | {figures['events_per_s']:,} |"
            f" {figures['ratio']} | {figures['peak_rss_mb']} MB | yes |",
            f"| DuckDB, one batch | {figures['duckdb_events_per_s']:,} | 1 |"
            f" {figures['duckdb_peak_rss_mb']} MB | no |",
        ]
    )


if __name__ == "__main__":
    main()
