"""Child process: runs the recipe over a prepared file and saves its sink topics, record by record.

Each record tells the number of the commit that wrote it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks import tables
from benchmarks.children import hand_back
from millstream.database import Database
from millstream.serde.base import TypedPart
from millstream.store.interfaces import Records, View

# A commit takes no more at cache 0, where each click is written in twelve windows; topics can be
# compared only if both were cut alike.
_MOST_ROWS = 50_000

TOPICS = (
    "USER_CLICKSTREAM",
    "PAGES_PER_MIN",
    "CLICK_USER_SESSIONS",
    "errors_per_min_alert",
    "user_ip_activity",
)


def main(path: str, out: str) -> None:
    """Run to the end, then save."""
    with Database.open(path, max_rows=_MOST_ROWS) as db:
        ends: list[dict[str, int]] = [dict.fromkeys(TOPICS, 0)]
        while db.step() or not db.idle():
            with db.store.view() as view:
                ends.append({name: view.end(_topic(view, name)) for name in TOPICS})
        with db.store.view() as view:
            for name in TOPICS:
                commits = np.repeat(
                    np.arange(len(ends) - 1), np.diff([ended[name] for ended in ends])
                )
                table = pa.concat_tables(
                    [_table(records) for _, records in view.read(_topic(view, name), 0)]
                )
                table = table.append_column("$commit", pa.array(commits))
                tables.save(Path(out), name, table)
    hand_back({})


def _topic(view: View, name: str) -> int:
    found = view.topic(name)
    assert found is not None
    return found.id


def _table(records: Records) -> pa.Table:
    """Key columns first, then `$`-columns that are the records' own, then the value's."""
    columns: dict[str, pa.Array | np.ndarray] = {}
    for side, part in (("k", records.key), ("v", records.value)):
        assert isinstance(part, TypedPart)
        null = np.zeros(len(records), bool) if part.null is None else part.null
        columns[f"${side}_null"] = null
        for column, array in zip(part.layout.columns, part.arrays, strict=True):
            columns[f"{side}.{column.name}"] = array
    columns["$rowtime"], columns["$seq"] = records.rowtime, records.seq
    if records.window_start is not None:
        columns["$start"], columns["$end"] = records.window_start, records.window_end
    return pa.table(columns)


if __name__ == "__main__":
    main(*sys.argv[1:])
