"""SELECTs beyond ksqlDB's pull queries, answered by DuckDB over the tables as they are now.

This is Millstream's own: joins, ORDER BY, aggregates, window functions, sub-queries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from millstream.columns import arrow
from millstream.database.lag import source_lag
from millstream.database.pull import source_batches
from millstream.database.result import Result
from millstream.errors import ExecutionError, ParseError
from millstream.plan import nodes
from millstream.plan.scope import pseudo_columns
from millstream.store.interfaces import View
from millstream.types import Schema, is_plain_name

if TYPE_CHECKING:
    from millstream.database.database import Database

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_@]*")
_ALL_COLUMNS = {"NATURAL", "COLUMNS", "PIVOT", "UNPIVOT", "SUMMARIZE", "DESCRIBE", "TABLE"}
_COUNT_ALL = re.compile(r"\bCOUNT\s*\(\s*\*\s*\)", re.IGNORECASE)


def ask(database: Database, text: str, error: ParseError | None) -> Result:
    """Let DuckDB answer. `error` is what our own parser said: it is raised where the text names
    no stream or table, because then it is the better message."""
    words = {w.upper() for w in _WORD.findall(text)}
    with database.snapshot() as view:
        names = [n for n in database.catalog.sources if n.upper() in words]
        if not names and error is not None:
            raise error
        meant = _mentioned(text, names)
        tables = {name: _table(database, view, name, meant) for name in names}
        lag = source_lag(view, database.catalog, names)
    connection = duckdb.connect()
    try:
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        for name, table in tables.items():
            connection.register(name, table)
        found = connection.sql(text).to_arrow_table()
    except duckdb.ParserException as problem:
        # Where neither of the two can read the text, ours says where.
        raise (error or _told(problem)) from None
    except duckdb.Error as problem:
        raise _told(problem) from problem
    finally:
        connection.close()
    arrays = [c.combine_chunks() for c in found.columns]
    return Result(list(found.column_names), [], arrays, lag)


def _mentioned(text: str, sources: Iterable[str]) -> set[str] | None:
    """The words of a query, in upper case; None where it may mean columns that it does not name."""
    rest = _COUNT_ALL.sub("", text)
    words = [w.upper() for w in _WORD.findall(rest)]
    rows = "|".join(map(re.escape, sources))
    if (
        "*" in rest
        or not rest.lstrip(" \t\r\n(").upper().startswith("SELECT")
        or words.count("FROM") > words.count("SELECT")
        or not _ALL_COLUMNS.isdisjoint(words)
        # A source's name by itself is its whole row.
        or re.search(rf"(?<!FROM\s)(?<!JOIN\s)\b(?:{rows})\b(?!\s*\.)", rest, re.IGNORECASE)
    ):
        return None
    return set(words)


def _table(database: Database, view: View, name: str, words: set[str] | None) -> pa.Table:
    """All rows of a source with its key, value and pseudo columns; of columns with a plain name
    only those that are among the words."""
    source = database.catalog.source(name)
    columns = [(c.name, c.type) for c in (*source.schema.key, *source.schema.value)]
    columns += [(n, x) for n, x in pseudo_columns(source) if n.startswith("WINDOW")]
    columns.append(("ROWTIME", pseudo_columns(source)[0][1]))
    read = nodes.ReadSource(
        schema=Schema.of(
            [(n, x) for n, x in columns[: len(source.schema.key)]],
            [(n, x) for n, x in columns[len(source.schema.key) :]],
        ),
        is_table=source.is_table,
        source=source,
        alias=name,
        columns=tuple(n for n, _ in columns),
    )
    kept = [
        i
        for i, (n, _) in enumerate(columns)
        if words is None or n == "ROWTIME" or n.upper() in words or not is_plain_name(n)
    ]
    names, types = [columns[i][0] for i in kept], [columns[i][1] for i in kept]
    _check_names(name, names)
    parts = [
        [arrow.presentable(batch.arrays[i], x) for i, x in zip(kept, types, strict=True)]
        for batch in source_batches(database, view, read, None)
    ]
    empty = [arrow.presentable(arrow.nulls(x, 0), x) for x in types]
    whole = [pa.chunked_array(part) for part in zip(empty, *parts, strict=True)]
    return pa.Table.from_arrays(whole, names=names)


def _check_names(source: str, names: list[str]) -> None:
    """ExecutionError where DuckDB could not tell two columns apart."""
    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(name.upper(), name)
        if other != name:
            raise ExecutionError(
                f"the columns {other} and {name} of {source} differ in case only, and this query"
                " cannot tell them apart",
                hint="A pull query can: name one source, without ORDER BY, GROUP BY and the like.",
            )


def _told(problem: duckdb.Error) -> ExecutionError:
    """What DuckDB says, without its kinds of errors and its pictures of the text."""
    first, _, rest = str(problem).partition("\n")
    kind, colon, told = first.partition(" Error: ")
    near = re.search(r"Candidate bindings: (.*)", rest)
    return ExecutionError(
        f"the query cannot be answered: {told if colon else kind}",
        hint=None if near is None else f"Did you mean {near[1].replace(chr(34), '')}?",
    )
