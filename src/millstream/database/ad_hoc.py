"""SELECTs beyond ksqlDB's pull queries, answered by DuckDB over the tables as they are now.

This is Millstream's own: joins, ORDER BY, aggregates, window functions, sub-queries.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from millstream.columns import arrow
from millstream.database.lag import source_lag
from millstream.database.pull import source_batch
from millstream.database.result import Result
from millstream.errors import ExecutionError, ParseError
from millstream.plan import nodes
from millstream.plan.scope import pseudo_columns
from millstream.store.interfaces import View
from millstream.types import Schema

if TYPE_CHECKING:
    from millstream.database.database import Database

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_@]*")


def ask(database: Database, text: str, error: ParseError | None) -> Result:
    """Let DuckDB answer. `error` is what our own parser said: it is raised where the text names
    no stream or table, because then it is the better message."""
    words = {w.upper() for w in _WORD.findall(text)}
    with database.snapshot() as view:
        names = [n for n in database.catalog.sources if n.upper() in words]
        if not names and error is not None:
            raise error
        tables = {name: _table(database, view, name) for name in names}
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


def _table(database: Database, view: View, name: str) -> pa.Table:
    """All rows of a source with its key, value and pseudo columns."""
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
    batch = source_batch(database, view, read, None)
    arrays = [arrow.presentable(a, x) for a, (_, x) in zip(batch.arrays, columns, strict=True)]
    return pa.Table.from_arrays(arrays, names=[n for n, _ in columns])


def _told(problem: duckdb.Error) -> ExecutionError:
    """What DuckDB says, without its kinds of errors and its pictures of the text."""
    first, _, rest = str(problem).partition("\n")
    kind, colon, told = first.partition(" Error: ")
    near = re.search(r"Candidate bindings: (.*)", rest)
    return ExecutionError(
        f"the query cannot be answered: {told if colon else kind}",
        hint=None if near is None else f"Did you mean {near[1].replace(chr(34), '')}?",
    )
