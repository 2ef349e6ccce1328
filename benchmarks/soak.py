"""The whole recipe for a week of event time, at full speed: memory must stay flat, the file must
hold what is kept and no more, and the last million clicks must go as fast as the first.

    python -m benchmarks.soak [--clicks N] [--active N] [--fresh N] [--json FILE] [--small]

50,000,000 clicks over 7 days. 5,000 users click at a time, and 20,000 new ones come each day, so
that keys are ever new; clicks are up to 5 seconds out of order, and one in 100,000 is up to a day
late and falls into windows that left memory long ago. The recipe's windows take rows for 24 hours:
from the second day on as many expire as open. Each million is told as it ends; making the clicks is
not measured. Topics keep everything, as their retention is infinite by default: about 100 bytes a
click stay in the file for them; what state takes is told apart.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import report
from benchmarks.children import Figures
from benchmarks.contestant_soak import DAYS
from benchmarks.kept import MB, Kept, kept_in

_PORTION = 1_000_000
_BYTES_PER_CLICK = 300
_HEADS = [
    "clicks",
    "day",
    "events/s",
    "CPU s",
    "RSS, MB",
    "file, MB",
    "segments in memory",
    "in the file alone",
    "keys",
]


def main() -> None:
    """Run it, and tell each portion as it ends."""
    parser = report.parser(__doc__)
    parser.add_argument("--clicks", type=int, default=50_000_000)
    parser.add_argument("--active", type=int, default=5_000, help="users who click at a time")
    parser.add_argument("--fresh", type=int, default=20_000, help="users who are new each day")
    options = parser.parse_args()
    if options.small:
        options.clicks, options.active, options.fresh = 400_000, 500, 2_000
    report.run(
        options, lambda folder: measure(folder, options.clicks, options.active, options.fresh)
    )


def measure(folder: Path, clicks: int, active: int, fresh: int) -> tuple[Figures, str]:
    """Run so many clicks in a folder, `active` users at a time and `fresh` new ones a day: the
    figures, and what the file keeps."""
    needed, free = clicks * _BYTES_PER_CLICK, shutil.disk_usage(folder).free
    if free < needed:
        raise SystemExit(f"{folder} has {free / MB:,.0f} MB free; {needed / MB:,.0f} are needed")
    path = folder / "soak.db"
    portions: list[Figures] = []
    print(f"| {' | '.join(_HEADS)} |", flush=True)
    for figures in _portions(path, clicks, active, fresh, min(_PORTION, clicks // 4)):
        portions.append(figures)
        row = _row(figures, _before(portions), clicks)
        print(report.table(_HEADS, [row]).splitlines()[-1], flush=True)
    kept = kept_in(path)
    return _figures(portions, kept), kept.table(clicks)


def _portions(path: Path, *numbers: int) -> Iterator[Figures]:
    command = [sys.executable, "-m", "benchmarks.contestant_soak", str(path), *map(str, numbers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            found: Figures = json.loads(line)
            yield found
    if child.returncode:
        raise SystemExit(f"the run ended with code {child.returncode}")


def _before(portions: list[Figures]) -> int:
    return int(portions[-2]["clicks"]) if len(portions) > 1 else 0


def _row(figures: Figures, before: int, clicks: int) -> list[object]:
    return [
        figures["clicks"],
        round(DAYS * figures["clicks"] / clicks, 1),
        (figures["clicks"] - before) / figures["seconds"],
        figures["cpu_seconds"],
        figures["rss_mb"],
        figures["file_mb"],
        figures["segments"],
        figures["segments_away"],
        figures["keys"],
    ]


def _figures(portions: list[Figures], kept: Kept) -> Figures:
    """Growth is counted from the end of the second day, when windows expire as fast as they
    open."""
    clicks = portions[-1]["clicks"]
    first, last = portions[0], portions[-1]
    steady = [p for p in portions if p["clicks"] * DAYS >= 2 * clicks]
    before = portions[-2]["clicks"]
    rates = [first["clicks"] / first["seconds"], (clicks - before) / last["seconds"]]
    costs = [first["cpu_seconds"] / first["clicks"], last["cpu_seconds"] / (clicks - before)]
    return {
        "events_per_s": round(clicks / sum(p["seconds"] for p in portions)),
        "slowdown": round(rates[0] / rates[1] - 1, 3),
        "slowdown_cpu": round(costs[1] / costs[0] - 1, 3),
        "peak_rss_mb": round(max(p["rss_mb"] for p in portions)),
        "rss_growth_mb": round(steady[-1]["rss_mb"] - steady[0]["rss_mb"]),
        "file_mb": round(kept.file / MB),
        "topics_mb": round(kept.topic_bytes / MB),
        "state_mb": round(kept.state_bytes / MB),
        "free_mb": round(kept.free / MB),
        "keys_at_most": max(p["keys"] for p in portions),
        "portions": portions,
    }


if __name__ == "__main__":
    main()
