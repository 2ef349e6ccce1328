"""Pull queries: the rows of a table or stream as they are now, within ksqlDB's rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.catalog.model import Source
from millstream.columns import arrow
from millstream.columns.arrow import is_too_much
from millstream.columns.batch import Batch, concat, empty, is_null
from millstream.columns.hash_index import first_occurrences
from millstream.columns.keys import hash_rows
from millstream.columns.segments import by_code
from millstream.database.lag import source_lag
from millstream.database.result import Result
from millstream.database.window_bounds import UNBOUNDED, Bounds, window_starts
from millstream.engine.build import Builder
from millstream.engine.expressions import constant
from millstream.engine.operators.base import StepContext
from millstream.engine.source_rows import SourceReader, SourceRows, concat_rows
from millstream.errors import ExecutionError, ParseError, SemanticError
from millstream.functions.registry import Registry
from millstream.plan import nodes
from millstream.plan.analyse import Analyser, Purpose
from millstream.plan.trees import walk
from millstream.sql import ast
from millstream.sql.script import parse_statement
from millstream.store.interfaces import Records, View
from millstream.store.portion import MOST_BYTES, byte_size
from millstream.store.records import concat_records, same_shape

if TYPE_CHECKING:
    from millstream.database.database import Database

_ROWS_AT_ONCE = 50_000


def answer(database: Database, text: str) -> Result:
    """Answer a SELECT: a pull query by ksqlDB's rules, anything beyond them by DuckDB (ours)."""
    text = text.strip().rstrip(";")
    try:
        statement = parse_statement(text)
    except ParseError as error:
        return _ad_hoc(database, text, error)
    if not isinstance(statement, ast.Select):
        raise SemanticError(
            "only SELECT can be asked here",
            statement.position,
            source=text,
            hint="Use execute for other statements.",
        )
    query = statement.query
    if query.emit is not None:
        raise SemanticError(
            "a query with EMIT never ends, so it cannot be asked once",
            query.position,
            source=text,
            hint="Use subscribe, or leave EMIT out.",
        )
    try:
        if beyond_pull(query, database.registry):
            return _ad_hoc(database, text, None)
        return pull(database, query)
    except SemanticError as error:
        error.source = error.source or text
        raise
    except (MemoryError, pa.ArrowInvalid, pa.ArrowCapacityError) as error:
        if not is_too_much(error):
            raise
        raise ExecutionError(
            "what has to be read for the answer does not fit into memory",
            hint="Name fewer columns, or let a persistent query do the work.",
        ) from error


def beyond_pull(query: ast.Query, registry: Registry) -> bool:
    """Whether ksqlDB's pull queries do not know a clause of this query."""
    return (
        isinstance(query.relation, ast.Join)
        or bool(query.group_by)
        or bool(query.partition_by)
        or query.window is not None
        or query.having is not None
        or any(_aggregates(item.expression, registry) for item in _items(query))
    )


def _items(query: ast.Query) -> Iterator[ast.SelectItem]:
    return (s for s in query.select if isinstance(s, ast.SelectItem))


def _aggregates(expression: ast.Expression, registry: Registry) -> bool:
    """Whether an aggregate function is called anywhere in the expression."""
    return any(
        isinstance(part, ast.FunctionCall) and registry.is_aggregate(part.name)
        for part in walk(expression)
    )


def pull(database: Database, query: ast.Query) -> Result:
    """Answer a pull query: one source, WHERE, LIMIT."""
    if beyond_pull(query, database.registry):
        raise SemanticError(
            "a pull query has one source, WHERE and LIMIT, nothing more",
            query.position,
            hint="Add EMIT CHANGES for a push query.",
        )
    with database.snapshot() as view:
        analysis = Analyser(query, database.catalog, database.registry, Purpose.PULL).analyse()
        batch = _read(database, view, analysis.root, query)
        lag = source_lag(view, database.catalog, [i.source.name for i in analysis.inputs])
    root = analysis.root
    shown = len(root.schema.key)
    if query.limit is not None:
        batch = batch.take(np.arange(min(query.limit, len(batch))))
    columns = root.schema.value
    names, types = [c.name for c in columns], [c.type for c in columns]
    return Result(names, types, batch.arrays[shown:], lag)


def _read(database: Database, view: View, root: nodes.Node, query: ast.Query) -> Batch:
    (read,) = nodes.sources_of(root)
    builder = Builder(0, 1, "JSON")
    stage = builder.build(_unmaterialised(root))
    found: list[Batch] = []
    count = 0
    keys = _key_lookup(database, read, query)
    starts = UNBOUNDED if query.where is None else window_starts(_conjuncts(query.where))
    for rows in source_batches(database, view, read, keys, starts):
        if len(rows):
            found.append(stage.run([rows], StepContext(clock=database.clock)))
            count += len(found[-1])
        if query.limit is not None and count >= query.limit:
            break
    return concat(found) if found else empty(root.schema)


def _unmaterialised(node: nodes.Node) -> nodes.Node:
    if isinstance(node, nodes.ReadSource):
        return replace(node, materialised=False)
    below = getattr(node, "input", None)
    assert isinstance(below, nodes.Node)
    return replace(node, input=_unmaterialised(below))  # type: ignore[call-arg]


def source_batch(
    database: Database, view: View, read: nodes.ReadSource, keys: list[pa.Array] | None
) -> Batch:
    """The rows of a stream or table in a snapshot, or those of some keys of a table."""
    found = list(source_batches(database, view, read, keys))
    return concat(found) if found else empty(read.schema)


def source_batches(
    database: Database,
    view: View,
    read: nodes.ReadSource,
    keys: list[pa.Array] | None,
    starts: Bounds = UNBOUNDED,
) -> Iterator[Batch]:
    """As `source_batch`; those of a stream part by part, since together they may be more than an
    array holds. Of a windowed table at least the windows are given that start between bounds."""
    source = read.source
    query = database.table_of(source, view) if source.is_table else None
    if query is not None:
        try:
            rows = query.rows(keys, starts)
        except LookupError:
            rows = None
        if rows is not None:
            yield _named(rows, source, read) if len(rows) else empty(read.schema)
            return
    reader = SourceReader(source, frozenset(read.columns), strict_time=False)
    parts = (reader.read(records) for records in joined_runs(view.read(source.topic_id, 0)))
    if source.is_table:
        found = list(parts)
        if found:
            yield _last_rows(_batch(read, concat_rows(found)))
        return
    for part in parts:
        yield _batch(read, part)


def _batch(read: nodes.ReadSource, rows: SourceRows) -> Batch:
    return rows.batch(read.columns, read.schema, np.arange(len(rows)))


def _named(rows: Batch, source: Source, read: nodes.ReadSource) -> Batch:
    """A table's own rows under the columns that a read asks for."""
    columns = dict(zip([c.name for c in source.schema.columns], rows.arrays, strict=True))
    shown = SourceRows(
        columns=columns,
        rowtime=rows.rowtime,
        partition=rows.partition,
        offset=rows.offset,
        seq=rows.seq,
        writer=np.zeros(len(rows), np.int32),
        key_null=None,
        value_null=rows.value_null,
        window_start=rows.window_start,
        window_end=rows.window_end,
        headers=None,
    )
    return shown.batch(read.columns, read.schema, np.arange(len(rows)))


def _last_rows(batch: Batch) -> Batch:
    """The last row of each key and window, in the order in which they first came."""
    codes = list(hash_rows(batch.key_arrays, [c.type for c in batch.schema.key]))
    for bound in (batch.window_start, batch.window_end):
        if bound is not None:
            codes.append(bound.view(np.uint64))
    _, group = first_occurrences(codes)
    segments = by_code(group)
    last = segments.order[segments.ends]
    gone = is_null(batch.value_null, len(batch))[last]
    return batch.take(last[~gone])


def joined_runs(runs: Iterable[tuple[int, Records]]) -> Iterator[Records]:
    """Neighbouring runs as one: many small ones take long to decode."""
    waiting: list[Records] = []
    rows = size = 0
    for _, records in runs:
        enough = rows >= _ROWS_AT_ONCE or size >= MOST_BYTES
        if waiting and (enough or not same_shape(waiting[0], records)):
            yield concat_records(waiting)
            waiting, rows, size = [], 0, 0
        waiting.append(records)
        rows += len(records)
        size += byte_size(records)
    if waiting:
        yield concat_records(waiting)


# --- keys ----------------------------------------------------------------------------------------


def _key_lookup(
    database: Database, read: nodes.ReadSource, query: ast.Query
) -> list[pa.Array] | None:
    """The keys that WHERE names by = or IN for every key column, as arrays; None: scan."""
    schema = read.source.schema
    if query.where is None or not read.source.is_table or not schema.key:
        return None
    wanted: dict[str, list[Any]] = {}
    for part in _conjuncts(query.where):
        found = _key_values(part, schema, database)
        if found is not None:
            wanted.setdefault(found[0], found[1])
    if len(wanted) < len(schema.key):
        return None
    combinations: list[tuple[Any, ...]] = [()]
    for column in schema.key:
        combinations = [(*c, v) for c in combinations for v in wanted[column.name]]
    unique = list(dict.fromkeys(combinations)) if _hashable(combinations) else combinations
    return [
        arrow.from_python([c[i] for c in unique], column.type)
        for i, column in enumerate(schema.key)
    ]


def _hashable(rows: list[tuple[Any, ...]]) -> bool:
    return not any(isinstance(v, list | dict) for row in rows for v in row)


def _conjuncts(expression: ast.Expression) -> list[ast.Expression]:
    if isinstance(expression, ast.Logical) and expression.op == "AND":
        return [*_conjuncts(expression.left), *_conjuncts(expression.right)]
    return [expression]


def _key_values(
    part: ast.Expression, schema: t.Schema, database: Database
) -> tuple[str, list[Any]] | None:
    match part:
        case ast.Comparison("=", ast.ColumnRef(name), value) | ast.Comparison(
            "=", value, ast.ColumnRef(name)
        ):
            values = [value]
        case ast.In(ast.ColumnRef(name), items, False):
            values = list(items)
        case _:
            return None
    column = schema.find(name)
    if column is None or column.role is not t.Role.KEY:
        return None
    try:
        found = [constant(v, column.type, database.registry) for v in values]
    except SemanticError:
        return None
    return name, [v for v in found if v is not None]


def _ad_hoc(database: Database, text: str, error: ParseError | None) -> Result:
    from millstream.database.ad_hoc import ask

    return ask(database, text, error)
