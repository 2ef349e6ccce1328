"""The recipe's four tables as contestants leave them, compared row by row."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather

QUERIES = {
    "pages": "SELECT k1 AS k, WINDOWSTART AS ws, pages AS n FROM pages_per_min",
    "errors": "SELECT k1 AS k, WINDOWSTART AS ws, errors AS n FROM errors_per_min_alert",
    "activity": "SELECT k1, k2, k3, WINDOWSTART AS ws, count AS n FROM user_ip_activity",
    "sessions": "SELECT k, WINDOWSTART AS ws, WINDOWEND AS we, events AS n"
    " FROM click_user_sessions",
}
"""How Millstream is asked for them; the DuckDB contestant makes tables of the same columns."""


def save(folder: Path, name: str, table: pa.Table) -> None:
    """Write a table for the comparison."""
    folder.mkdir(exist_ok=True)
    feather.write_feather(table, str(folder / f"{name}.arrow"), compression="lz4")


def compare(ours: Path, theirs: Path, names: list[str]) -> dict[str, int]:
    """The number of rows of each table; SystemExit where two tables differ in any row."""
    counts = {}
    for name in names:
        one, other = (_sorted(folder / f"{name}.arrow") for folder in (ours, theirs))
        if not one.equals(other):
            raise SystemExit(f"{name}: {_difference(one, other)}")
        counts[name] = one.num_rows
    return counts


def _sorted(path: Path) -> pa.Table:
    """The rows in order, strings and integers in one type each."""
    table = feather.read_table(str(path))
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        wanted = pa.int64() if pa.types.is_integer(column.type) else pa.string()
        columns[name.lower()] = column.cast(wanted).combine_chunks()
    plain = pa.table(columns)
    return plain.sort_by([(n, "ascending") for n in plain.column_names]).combine_chunks()


def _difference(one: pa.Table, other: pa.Table) -> str:
    for row in range(min(one.num_rows, other.num_rows)):
        a, b = one.slice(row, 1).to_pylist(), other.slice(row, 1).to_pylist()
        if a != b:
            return f"{one.num_rows} and {other.num_rows} rows; row {row} differs: {a}, {b}"
    return f"{one.num_rows} and {other.num_rows} rows"
