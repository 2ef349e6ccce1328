"""What a new version of a query finds: the state of the old one, and a table that fits it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.catalog.model import Source
from millstream.columns import arrow
from millstream.columns.batch import Batch
from millstream.columns.keys import KeyIndex
from millstream.database.pull import joined_runs, source_batch
from millstream.engine.operators.base import StepContext
from millstream.engine.operators.table_state import TableState
from millstream.engine.query import Query
from millstream.engine.source_rows import SourceReader
from millstream.plan import nodes
from millstream.store.interfaces import Commit, View
from millstream.store.records import slice_records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.database.database import Database
    from millstream.store.interfaces import Records


def state_obstacle(old: Query, new: Query, view: View) -> str | None:
    """What keeps the new version from going on with what the old one keeps, or None.

    The rows of tables that it reads may be kept with other columns: they are read again.
    """
    read_again = {state.store: read for read, state in new.tables}
    for store in new.stores:
        if store in old.stores:
            continue
        read = read_again.get(store)
        if read is None:
            return "what it keeps of its rows would need other columns"
        if view.start(read.source.topic_id):
            return f"it would need to read {read.source.name} again, whose oldest records are gone"
    return None


def move_state(old: Query, new: Query, commit: Commit) -> None:
    """Leave in a commit the state with which the new version goes on."""
    for _, state in old.tables:
        if state.store not in new.stores:
            for page in {part.page for part in commit.state(state.store)}:
                commit.drop_page(state.store, page)
    positions = commit.positions(new.owner)
    for read, state in new.tables:
        if state.store not in old.stores:
            _read_again(read, state, positions.get(read.source.topic_id, 0), commit)


def _read_again(read: nodes.ReadSource, state: TableState, end: int, commit: Commit) -> None:
    """Fill the rows of a table from its topic, up to where the query has read."""
    reader = SourceReader(read.source, frozenset(read.columns), strict_time=False)
    for records in joined_runs(_up_to(commit, read.source.topic_id, end)):
        rows = reader.read(records)
        if len(rows):
            state.step(rows.batch(read.columns, read.schema, np.arange(len(rows))), StepContext())
    state.write(commit)


def _up_to(view: View, topic_id: int, end: int) -> Iterator[tuple[int, Records]]:
    for ordinal, records in view.read(topic_id, 0, end):
        if ordinal >= end:
            return
        yield ordinal, slice_records(records, 0, end - ordinal)


def retire_rows(database: Database, source: Source, new: Query, commit: Commit) -> None:
    """Write tombstones for the rows of a table without windows that its new filter hides.

    `source` is the table as it was; `new` has been loaded. What the new filter lets through comes
    with its next change.
    """
    try:
        now = new.rows()
    except LookupError:
        return
    before = _rows_of(database, source, commit)
    index = KeyIndex([c.type for c in source.schema.key])
    if len(now):
        index.ids(_identity(now, source))
    if len(before):
        hidden = np.flatnonzero(index.find(_identity(before, source)) < 0)
        if len(hidden):
            _write_tombstones(new, before.take(hidden), commit)


def _rows_of(database: Database, source: Source, view: View) -> Batch:
    """The table's rows with their keys only."""
    key = [(c.name, c.type) for c in source.schema.key]
    read = nodes.ReadSource(
        schema=t.Schema.of(key, []),
        is_table=True,
        source=source,
        alias=source.name,
        columns=tuple(name for name, _ in key),
    )
    return source_batch(database, view, read, None)


def _identity(rows: Batch, source: Source) -> list[pa.Array]:
    return list(rows.arrays[: len(source.schema.key)])


def _write_tombstones(query: Query, rows: Batch, commit: Commit) -> None:
    assert query.plan.sink is not None
    topic = commit.topic(query.plan.sink.topic)
    if topic is None:
        return
    count = len(rows)
    first = commit.allocate_seq(count)
    schema = query.plan.sink.schema
    keys = rows.arrays[: len(schema.key)]
    batch = Batch(
        schema=schema,
        arrays=[*keys, *(arrow.nulls(c.type, count) for c in schema.value)],
        rowtime=rows.rowtime,
        order=np.arange(count),
        seq=np.arange(first, first + count),
        partition=rows.partition,
        offset=np.full(count, -1, np.int64),
        value_null=np.ones(count, bool),
    )
    records = query.records(batch, [], topic.partitions)
    if records is not None:
        commit.append(topic.id, records)
