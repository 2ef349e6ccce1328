"""Emitting the last update of a step is emitting all of them, coalesced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.columns.batch import Batch, is_null
from millstream.columns.segments import coalesce
from millstream.database import Database
from millstream.engine.query import CACHE_PROPERTY, Query
from millstream.engine.source_rows import SourceReader, SourceRows, concat_rows
from millstream.plan.nodes import Filter, walk
from millstream.store.interfaces import View
from tests.properties.engine_runs import Run
from tests.properties.program_relations import Program
from tests.properties.programs import cuts, programs


def rows_of(batch: Batch) -> list[tuple[Any, ...]]:
    """Changes as tuples: place, key, window, event time, new row, whether there was an old one."""
    count = len(batch)
    gone = is_null(batch.value_null, count).tolist()
    fresh = is_null(batch.old_null, count).tolist()
    starts = [None] * count if batch.window_start is None else batch.window_start.tolist()
    ends = [None] * count if batch.window_end is None else batch.window_end.tolist()
    keys = [repr(k) for k in _tuples(batch.key_arrays, count)]
    values = [repr(v) for v in _tuples(batch.value_arrays, count)]
    return [
        (order, key, (start, end), time, None if none else value, new)
        for order, key, start, end, time, none, value, new in zip(
            batch.order.tolist(),
            keys,
            starts,
            ends,
            batch.rowtime.tolist(),
            gone,
            values,
            fresh,
            strict=True,
        )
    ]


def told(query: Query, batch: Batch) -> tuple[list[tuple[Any, ...]], Counter[Any]]:
    """The changes in order, and apart from them the tombstones of rows that a filter hides: only
    that they come is the same. The filter sees the last update of the step, so they stand at its
    place and have its time, not those of the update that hid the row."""
    changes = rows_of(batch)
    if not any(isinstance(n, Filter) and n.is_table for n in walk(query.plan.root)):
        return changes, Counter()
    shown = [c for c in changes if c[4] is not None]
    return shown, Counter((c[1], c[2]) for c in changes if c[4] is None)


def _tuples(arrays: list[pa.Array], count: int) -> list[tuple[Any, ...]]:
    return list(zip(*(a.to_pylist() for a in arrays), strict=True)) if arrays else [()] * count


def twin(database: Database, query: Query, cache: str) -> Query:
    """The same query without state, under a cache of its own."""
    assert query.info is not None
    info = replace(query.info, properties=query.info.properties | {CACHE_PROPERTY: cache})
    return database.make_query(info, query.plan)


def pieces(
    query: Query, view: View, draw_cuts: Callable[[int], list[int]]
) -> list[dict[int, SourceRows]]:
    """All rows that a query's sources hold, cut somewhere by seq."""
    sources = list({r.source.id: r.source for r in query.reads}.values())
    found: dict[int, list[tuple[int, SourceRows]]] = {}
    for source in sources:
        reader = SourceReader(source, query.needed_columns(source.id), strict_time=False)
        for _, records in view.read(source.topic_id, 0):
            rows = reader.read(records)
            if len(rows):
                found.setdefault(source.id, []).append((int(records.seq[0]), rows))
    starts = sorted({seq for runs in found.values() for seq, _ in runs})
    steps = []
    start = 0
    for size in draw_cuts(len(starts)):
        chosen = starts[start : start + size]
        start += size
        step = {}
        for source_id, runs in found.items():
            parts = [rows for seq, rows in runs if seq in chosen]
            if parts:
                step[source_id] = concat_rows(parts)
        if step:
            steps.append(step)
    return steps


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(programs(), st.data())
def test_last_is_all_coalesced(program: Program, data: st.DataObject) -> None:
    def draw_cuts(length: int) -> list[int]:
        return data.draw(cuts(length)) if length else []

    _, database = Run().go(program, [1] * len(program.records))
    with database:
        for query in list(database.engine.queries.values()):
            every, last = (twin(database, query, c) for c in ("0", "1000"))
            with database.store.view() as view:
                steps = pieces(query, view, draw_cuts)
            for rows in steps:
                wanted, _ = every.step(rows)
                got, _ = last.step(rows)
                assert told(query, coalesce(got)) == told(query, coalesce(wanted)), program.text()
