"""Child process: runs the recipe over a prepared file, saves its tables, tells figures."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa

from benchmarks import tables
from benchmarks.children import Figures, Watch, hand_back, peak_rss_mb, rss_mb
from millstream.database import Database

MAX_ROWS = 100_000


def main(path: str, out: str, names: str = "", max_rows: str = str(MAX_ROWS)) -> None:
    """Run to the end, then save the named tables (separated by commas)."""
    # Imports and opening are not measured: from the first read to the last fsync is.
    with Database.open(path, max_rows=int(max_rows)) as db:
        watch = Watch()
        memory = _run(db)
        figures = watch.figures() | memory
        errors = db.metrics().errors
        if errors:
            raise SystemExit("; ".join(errors))
        for name in names.split(",") if names else ():
            table: pa.Table = db.sql(tables.QUERIES[name]).arrow()
            tables.save(Path(out), name, table)
    hand_back(figures)


def _run(db: Database) -> Figures:
    """Run until nothing is left; peak and growth over the second half of the commits."""
    rss: list[float] = []
    db.engine.listeners.append(lambda: rss.append(rss_mb()))
    db.run(until_idle=True)
    half = rss[len(rss) // 2 :]
    return {"peak_rss_mb": peak_rss_mb(), "rss_growth_mb": half[-1] - half[0]}


if __name__ == "__main__":
    main(*sys.argv[1:])
