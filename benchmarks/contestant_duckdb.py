"""Child process: the same results as one batch in DuckDB, from lines of JSON, nothing kept."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

from benchmarks import tables
from benchmarks.children import Watch, hand_back, peak_rss_mb

_COLUMNS = (
    "_time: 'BIGINT', time: 'VARCHAR', ip: 'VARCHAR', request: 'VARCHAR', status: 'INTEGER',"
    " userid: 'INTEGER', bytes: 'BIGINT', agent: 'VARCHAR'"
)


def main(lines: str, users: str, out: str, names: str = "") -> None:
    """Read and compute everything once, then save the named tables (separated by commas)."""
    con = duckdb.connect()
    con.execute("set threads = 2")
    con.execute(
        "create table web_users as select i::varchar user_id, 'user_' || i username,"
        f" 'city_' || (i % 7) city from range({int(users)}) t(i)"
    )
    watch = Watch()
    for statement in _statements(lines):
        con.execute(statement)
    figures = watch.figures() | {"peak_rss_mb": peak_rss_mb()}
    for name in names.split(",") if names else ():
        tables.save(Path(out), name, con.sql(f"from {name}").to_arrow_table())
    hand_back(figures)


def _statements(lines: str) -> list[str]:
    """Windows are panes of the advance, spread over the windows that hold them."""
    return [
        f"create table c as select *, 1700000000000 + _time ts from read_json('{lines}',"
        f" format = 'newline_delimited', columns = {{{_COLUMNS}}})",
        "create table uc as select c.ts, u.user_id, u.username, c.ip, u.city, c.request,"
        " c.status, c.bytes from c left join web_users u on cast(c.userid as varchar) = u.user_id",
        "create table pages as select k, p - o ws, sum(n)::bigint n from"
        " (select userid k, ts // 5000 * 5000 p, count(*) n from c"
        " where request like '%html%' and userid is not null group by all),"
        " (select unnest(range(0, 60000, 5000)) o) group by all",
        "create table errors as select k, p - o ws, sum(n)::bigint n from"
        " (select status k, ts // 20000 * 20000 p, count(*) n from c where status > 400"
        " group by all), (select unnest(range(0, 60000, 20000)) o) group by all having n > 5",
        "create table activity as select username k1, ip k2, city k3, ts // 60000 * 60000 ws,"
        " count(*) n from uc where username is not null group by all having n > 1",
        "create table sessions as with g as (select username, ts, case when ts - lag(ts) over"
        " (partition by username order by ts) <= 30000 then 0 else 1 end nw from uc"
        " where username is not null), i as (select *, sum(nw) over (partition by username"
        " order by ts rows unbounded preceding) sid from g)"
        " select username k, min(ts) ws, max(ts) we, count(*) n from i group by username, sid",
    ]


if __name__ == "__main__":
    main(*sys.argv[1:])
