"""Push queries: rows as they come; each subscriber has a query of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from millstream.columns import arrow
from millstream.columns.batch import Batch
from millstream.columns.segments import coalesce, without_nothing
from millstream.database.pull import joined_runs
from millstream.engine.query import Query
from millstream.engine.source_rows import SourceReader, SourceRows, concat_rows
from millstream.errors import SemanticError, StoreError
from millstream.plan.analyse import Analyser, Purpose
from millstream.plan.nodes import QueryPlan
from millstream.sql import ast
from millstream.sql.script import parse_statement
from millstream.store.interfaces import NotInMemoryError, Records, View
from millstream.store.portion import portions
from millstream.store.records import slice_records

if TYPE_CHECKING:
    from millstream.database.database import Database

_ROWS_A_READ = 10_000
_WAIT_S = 0.05


class Row(tuple[Any, ...]):
    """A row of a push query; `tombstone`: the table's row of this key is gone."""

    tombstone = False


class Tombstone(Row):
    """The end of a table's row: the key's columns, all others None."""

    tombstone = True


class Subscription:
    """An endless iterator of rows. It starts where auto.offset.reset says, sees committed records
    only, and ends at LIMIT, at `close`, or when the database is closed. It can stand in `with`."""

    def __init__(self, database: Database, text: str) -> None:
        statement = parse_statement(text.strip().rstrip(";"))
        if not isinstance(statement, ast.Select):
            raise SemanticError("only SELECT can be subscribed to", statement.position, source=text)
        query = statement.query
        if query.emit is None:
            raise SemanticError(
                "a subscription needs EMIT CHANGES",
                query.position,
                source=text,
                hint="Without it this is a pull query: use sql.",
            )
        try:
            analysis = Analyser(query, database.catalog, database.registry, Purpose.PUSH).analyse()
        except SemanticError as error:
            error.source = error.source or text
            raise
        session = database.session()
        sources = tuple(i.source for i in analysis.inputs)
        plan = QueryPlan(analysis.root, sources, query.emit, query.limit)
        self._database = database
        partitions = database.partitions_of(sources[0].topic) or 1
        self._query = Query(plan, session, database.clock, partitions=partitions)
        self._left = query.limit
        self._closed = threading.Event()
        self._ready: deque[Row] = deque()
        columns = analysis.root.schema.value
        self._hidden = len(analysis.root.schema.key)
        self.columns = [c.name for c in columns]
        self.types = [c.type for c in columns]
        self._readers = {
            r.source.id: SourceReader(
                r.source, self._query.needed_columns(r.source.id), strict_time=False
            )
            for r in self._query.reads
        }
        earliest = session.get("auto.offset.reset", "latest").lower() == "earliest"
        with database.store.view() as view:
            self._positions = {
                topic_id: 0 if earliest else view.end(topic_id)
                for topic_id in self._query.topic_ids
            }

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        while not self._ready:
            if self._left == 0 or self._closed.is_set():
                raise StopIteration
            self._fill()
        if self._left is not None:
            if self._left == 0:
                raise StopIteration
            self._left -= 1
        return self._ready.popleft()

    def poll(self) -> list[Row]:
        """The rows that are there now, without waiting."""
        self._read()
        found = list(self._ready)
        self._ready.clear()
        if self._left is not None:
            found = found[: self._left]
            self._left -= len(found)
        return found

    def close(self) -> None:
        """End it; a thread that waits for a row gets the end. Idempotent."""
        self._closed.set()
        self._database.engine.announce()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _fill(self) -> None:
        engine = self._database.engine
        with engine.committed:
            before = engine.commits
        try:
            if self._read():
                return
        except StoreError:
            if not self._database.closed:
                raise
        if self._database.closed:
            self._closed.set()
            return
        with engine.committed:
            if engine.commits == before:
                engine.committed.wait(_WAIT_S)

    def _read(self) -> bool:
        """Read what was committed since; whether there was anything."""
        runs = self._found()
        taken: dict[int, SourceRows] = {}
        for source in self._query.sources:
            if runs[source.topic_id]:
                read = self._readers[source.id].read
                taken[source.id] = concat_rows([read(r) for r in _joined(runs[source.topic_id])])
        if not taken:
            return False
        batch, _ = self._query.step(taken)
        for topic_id, found in runs.items():
            if found:
                ordinal, last = found[-1]
                self._positions[topic_id] = ordinal + len(last)
        if batch.old is not None and self._query.emission.value == "LAST":
            batch = without_nothing(batch) if self._query.is_net else coalesce(batch)
        self._ready.extend(self._rows(batch))
        return True

    def _found(self) -> dict[int, list[tuple[int, Records]]]:
        """What is due, from memory where that holds all of it."""
        store = self._database.store
        recent = store.recent()
        if recent is not None:
            with suppress(NotInMemoryError):
                return self._due(recent)
        with store.view() as view:
            return self._due(view)

    def _due(self, view: View) -> dict[int, list[tuple[int, Records]]]:
        """The next records of each topic, all of them up to the same moment in the log."""
        if len(self._positions) == 1:
            ((topic_id, start),) = self._positions.items()
            only = portions(view.read(topic_id, start, _ROWS_A_READ), _ROWS_A_READ)
            return {topic_id: list(only)}
        runs: dict[int, list[tuple[int, Records]]] = {}
        limit = view.next_seq()
        for topic_id, start in self._positions.items():
            found = list(portions(view.read(topic_id, start, _ROWS_A_READ), _ROWS_A_READ))
            runs[topic_id] = found
            if found and found[-1][0] + len(found[-1][1]) < view.end(topic_id):
                limit = min(limit, int(found[-1][1].seq[-1]))
        return {topic_id: _up_to(limit, found) for topic_id, found in runs.items()}

    def _rows(self, batch: Batch) -> Iterator[Row]:
        arrays = batch.arrays[self._hidden :]
        values = [arrow.to_python(a, x) for a, x in zip(arrays, self.types, strict=True)]
        rows = zip(*values, strict=True)
        if batch.value_null is None:
            yield from map(Row, rows)
            return
        is_table = self._query.plan.root.is_table
        for row, tombstone in zip(rows, batch.value_null.tolist(), strict=True):
            if not tombstone:
                yield Row(row)
            elif is_table:
                yield Tombstone(row)


def _joined(runs: list[tuple[int, Records]]) -> Iterable[Records]:
    """The records of runs, in few pieces."""
    return [runs[0][1]] if len(runs) == 1 else joined_runs(runs)


def _up_to(limit: int, runs: list[tuple[int, Records]]) -> list[tuple[int, Records]]:
    """The records whose seq is at most `limit`."""
    counted = [(o, r, int(np.searchsorted(r.seq, limit, side="right"))) for o, r in runs]
    return [
        (ordinal, slice_records(records, 0, count)) for ordinal, records, count in counted if count
    ]
