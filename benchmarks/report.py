"""What every benchmark has: options, a table with ratios, figures as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.children import Figures


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options of every benchmark."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", type=Path, help="write the figures into this file")
    made.add_argument("--small", action="store_true", help="a quick run, to see that it works")
    return made


def run(options: argparse.Namespace, measure: Callable[[Path], tuple[Figures, str]]) -> None:
    """Measure in a folder that goes away, print the table, and write the figures."""
    # Being told to end is an exception, so that no child and no folder is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as folder:
        figures, shown = measure(Path(folder))
        commit_ms = fsync_ms(Path(folder))
    if options.json is not None:
        write(options.json, figures)
    print(f"\n{shown}\n\n{machine()}; an fsync of 4 KB takes {commit_ms:.1f} ms here.")


def write(path: Path, figures: Figures) -> None:
    """Write figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n")


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown; numbers from a thousand up are grouped."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(_cell(c) for c in row)} |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def median(values: Iterable[float]) -> float:
    """The median."""
    return float(statistics.median(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many per cent of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def machine() -> str:
    """What this ran on, in a sentence's beginning."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            names = [x.split(":", 1)[1].strip() for x in file if x.startswith("model name")]
        name = names[0] if names else name
    except OSError:
        pass
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} processors ({name}), Python {platform.python_version()}, load {load:.1f}"
    )


def fsync_ms(folder: Path, count: int = 50) -> float:
    """How long the disk takes to make 4 KB durable: the floor of every commit's time."""
    taken = []
    with (folder / "fsync").open("wb") as file:
        for _ in range(count):
            start = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            taken.append(1000 * (time.perf_counter() - start))
    return median(taken)
