"""Child process: runs the recipe over a prepared file, writes results and figures."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather

from millstream.database import Database

_RESULTS = {
    "pages": "SELECT k1 AS k, WINDOWSTART AS ws, pages AS n FROM pages_per_min",
    "errors": "SELECT k1 AS k, WINDOWSTART AS ws, errors AS n FROM errors_per_min_alert",
    "activity": "SELECT k1, k2, k3, WINDOWSTART AS ws, count AS n FROM user_ip_activity",
    "sessions": "SELECT k, WINDOWSTART AS ws, WINDOWEND AS we, events AS n"
    " FROM click_user_sessions",
}


def main(path: str, out: str) -> None:
    """Run to the end, then read the tables."""
    # Imports and opening are not measured: from the first read to the last fsync is.
    with Database.open(path, max_rows=100_000) as db:
        start = time.perf_counter()
        db.run(until_idle=True)
        seconds = time.perf_counter() - start
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        errors = db.metrics().errors
        if errors:
            raise SystemExit("; ".join(errors))
        for name, query in _RESULTS.items():
            table: pa.Table = db.sql(query).arrow()
            feather.write_feather(table, str(Path(out) / f"{name}.arrow"))
    figures = {"seconds": seconds, "peak_rss_mb": peak_mb}
    (Path(out) / "figures.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
