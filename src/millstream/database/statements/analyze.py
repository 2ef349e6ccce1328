"""EXPLAIN ANALYZE: a query's plan, with what each step has done since the query was loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from millstream.catalog.model import QueryInfo, Source
from millstream.database.outcome import Outcome, Table
from millstream.engine.profile import Meter
from millstream.engine.query import Query
from millstream.plan import nodes
from millstream.plan.explain import node_lines, plan_lines, sink_line

if TYPE_CHECKING:
    from millstream.database.database import Database

COLUMNS = ("plan", "rows in", "rows out", "calls", "seconds", "percent")
_DIGITS = 4

Measured = tuple[str, list[Meter]]
"""A line, and the meters of what it stands for, the one that the rows meet first in front."""


def analyze(database: Database, info: QueryInfo, statement: str) -> Outcome:
    """The outcome of EXPLAIN ANALYZE; the figures are null where the query does not run here."""
    with database.engine.lock:
        query = database.engine.queries.get(info.number)
        if query is not None:
            readers = _readers(database, query)
            rows = list(_rows(list(_measured(query, readers)), query))
            told = f"{info.id} is {info.state}; this is what it has done since it was loaded"
            return Outcome(statement, told, Table(COLUMNS, rows))
    plan = database.plan_of_query(info)
    nothing = (None,) * (len(COLUMNS) - 1)
    rows = [(line, *nothing) for line in plan_lines(plan.root, plan.sink)]
    if database.store.read_only and info.state == "RUNNING":
        told = f"{info.id} is {info.state}, but not in this process: nothing is measured here"
    else:
        told = f"{info.id} is {info.state}: nothing is measured while it does not run"
    return Outcome(statement, told, Table(COLUMNS, rows))


def _measured(query: Query, readers: dict[int, int]) -> Iterator[Measured]:
    """The plan's lines and what stands behind them, the result first."""
    meters = query.meters
    sink = query.plan.sink
    if sink is not None:
        yield sink_line(sink), [meters.normalise, meters.append]
    for line, node in node_lines(query.plan.root, 0 if sink is None else 1):
        yield line, meters.of(node)
        if isinstance(node, nodes.ReadSource):
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            decode = meters.decoded(node.source.id, node.source.name)
            yield f"{indent}{_decoding(node.source, readers[node.source.id])}", [decode]
    yield meters.inputs.name, [meters.inputs]
    yield meters.state.name, [meters.state]


def _decoding(source: Source, readers: int) -> str:
    text = f"decode {source.name}"
    return text if readers == 1 else f"{text}, once for {readers} queries"


def _readers(database: Database, query: Query) -> dict[int, int]:
    """By source that the query reads: how many running queries do."""
    others = list(database.engine.queries.values())
    return {
        source_id: sum(any(r.source.id == source_id for r in q.reads) for q in others)
        for source_id in {r.source.id for r in query.reads}
    }


def _rows(lines: list[Measured], query: Query) -> Iterator[tuple[Any, ...]]:
    total_s = sum(m.seconds for _, meters in lines for m in meters)
    for line, meters in lines:
        seconds = sum(m.seconds for m in meters)
        first, last = meters[0], meters[-1]
        yield (
            line,
            first.rows_in if first.counted else None,
            last.rows_out if last.counted else None,
            first.calls,
            round(seconds, _DIGITS),
            round(100 * seconds / total_s, 1) if total_s else 0.0,
        )
    counters = query.counters
    calls = query.meters.inputs.calls
    whole = 100.0 if total_s else 0.0
    yield "all", counters.rows_in, counters.rows_out, calls, round(total_s, _DIGITS), whole
