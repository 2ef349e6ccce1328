"""How long a database takes from `connect` to the first answer of a pull query.

    python -m benchmarks.restart [--keys N] [--commits N] [--runs N] [--json FILE] [--small]

With 1,000,000 keys in state (and, beside it, as many windows too), and after 100,000 commits of
one event each. The process that asks is a new one each time, and has imported everything before;
the file is in the system's cache, as it is after a crash of the process.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import report
from benchmarks.children import Figures, run_child


def main() -> None:
    """Fill the files, open each several times in turn, and print."""
    parser = report.parser(__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--commits", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    if options.small:
        options.keys, options.commits, options.runs = 100_000, 5_000, 3
    report.run(options, lambda folder: _measure(folder, options))


def _measure(folder: Path, options: argparse.Namespace) -> tuple[Figures, str]:
    filled = {
        "warm": ("keys", 1),
        f"{options.keys:,} keys": ("keys", options.keys),
        f"{options.keys:,} keys and windows": ("windows", options.keys),
        f"{options.commits:,} commits of one event": ("commits", options.commits),
    }
    paths = {}
    sizes = {}
    for number, (name, (action, count)) in enumerate(filled.items()):
        paths[name] = folder / f"{number}.db"
        sizes[name] = run_child("contestant_restart", action, paths[name], count)["file_mb"]
    warm = paths.pop("warm")
    taken: dict[str, list[Figures]] = {name: [] for name in paths}
    for _ in range(options.runs):
        for name, path in paths.items():
            taken[name].append(run_child("contestant_restart", "ask", path, warm))
    medians = {n: report.median(f["seconds"] for f in figures) for n, figures in taken.items()}
    keys, windows, commits = paths
    shown = [
        [
            name,
            medians[name],
            medians[name] / medians[commits],
            report.median(f["cpu_seconds"] for f in figures),
            max(f["rss_mb"] for f in figures),
            sizes[name],
        ]
        for name, figures in taken.items()
    ]
    heads = ["in the file", "first answer after, s", "ratio", "CPU s", "memory, MB", "file, MB"]
    figures = {
        "restart_s": round(medians[keys], 3),
        "restart_windows_s": round(medians[windows], 3),
        "restart_small_commits_s": round(medians[commits], 3),
    }
    return figures, report.table(heads, shown)


if __name__ == "__main__":
    main()
