"""Whether a topic written at cache 0 tells the same as one written with the cache on.

Per commit, key and window the last record counts, at its place; a key that did not exist before
the commit and does not exist after it leaves nothing.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow.feather as feather

STREAMS = ("USER_CLICKSTREAM",)


def check(every: Path, last: Path, names: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Compare topics saved in two folders; SystemExit on a difference. How many records each has
    in both is given."""
    counts = {}
    with duckdb.connect() as con:
        for name in names:
            _load(con, "every", every / f"{name}.arrow")
            _load(con, "last", last / f"{name}.arrow")
            written = _count(con, "every")
            if name not in STREAMS:
                _coalesce(con)
            counts[name] = (written, _count(con, "last"))
            _compare(con, name)
    return counts


def _load(con: duckdb.DuckDBPyConnection, table: str, path: Path) -> None:
    found = feather.read_table(str(path))
    con.register("found", found)
    con.execute(
        f'create or replace table {table} as select row_number() over () as "$place", * from found'
    )
    con.unregister("found")


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    ((count,),) = con.execute(f"select count(*) from {table}").fetchall()
    return int(count)


def _names(con: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    return [str(row[0]) for row in con.execute(f"describe {table}").fetchall()]


def _coalesce(con: duckdb.DuckDBPyConnection) -> None:
    identity = [
        f'"{n}"' for n in _names(con, "every") if n.startswith("k.") or n in ("$start", "$end")
    ]
    key = ", ".join(identity)
    con.execute(
        "create or replace table every as select * exclude (was_null) from ("
        f'select *, lag("$v_null", 1, true) over (partition by {key} order by "$commit") was_null'
        f' from (select * from every qualify row_number() over (partition by "$commit", {key}'
        ' order by "$place" desc) = 1)) where not ("$v_null" and was_null)'
    )


def _compare(con: duckdb.DuckDBPyConnection, name: str) -> None:
    columns = ", ".join(f'"{n}"' for n in _names(con, "last") if n != "$place")
    numbered = f'select row_number() over (order by "$place") as n, {columns} from'
    ((differing,),) = con.execute(
        f"select count(*) from (({numbered} every except {numbered} last)"
        f" union all ({numbered} last except {numbered} every))"
    ).fetchall()
    if differing:
        raise SystemExit(f"{name}: {differing} records differ between the caches")
