"""How a database fares, at one moment."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millstream.database.lag import query_lag
from millstream.engine.profile import Profile

if TYPE_CHECKING:
    from millstream.database.database import Database


@dataclass(frozen=True, slots=True)
class QueryMetrics:
    """A persistent query: rows since it was loaded, records it has yet to read."""

    id: str
    sink: str
    state: str
    rows_in: int
    rows_out: int
    error: str | None
    lag: int


@dataclass(frozen=True, slots=True)
class ConnectorMetrics:
    """A connector; `progress` is (done, total) for a bounded source."""

    name: str
    state: str
    message: str | None
    progress: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Records taken in since the database was opened, per second over the last second or so,
    its queries and connectors, and where the time went."""

    events_total: int
    events_per_s: float
    queries: list[QueryMetrics]
    connectors: list[ConnectorMetrics]
    log_count: int
    errors: list[str]
    profile: Profile


class RateMeter:
    """Events per second, from the totals of the last few seconds."""

    def __init__(self, window_s: float = 3.0) -> None:
        self._window_s = window_s
        self._samples: list[tuple[float, int]] = []

    def rate(self, total: int) -> float:
        """The rate, given the total now."""
        now = time.monotonic()
        self._samples.append((now, total))
        while len(self._samples) > 2 and now - self._samples[0][0] > self._window_s:
            self._samples.pop(0)
        then, before = self._samples[0]
        return 0.0 if now <= then else (total - before) / (now - then)


def measure(database: Database) -> Metrics:
    """The figures of this moment."""
    engine = database.engine
    queries = []
    with database.snapshot() as view:
        catalog = database.catalog
        lags = {q.number: query_lag(view, catalog, q) for q in catalog.queries.values()}
    for info in catalog.queries.values():
        running = engine.queries.get(info.number)
        counters = None if running is None else running.counters
        queries.append(
            QueryMetrics(
                id=info.id,
                sink=info.sink,
                state=info.state,
                rows_in=0 if counters is None else counters.rows_in,
                rows_out=0 if counters is None else counters.rows_out,
                error=info.error,
                lag=lags.get(info.number, 0),
            )
        )
    connectors = [
        ConnectorMetrics(
            name=c.info.name,
            state=c.state,
            message=c.message,
            progress=None if c.source is None else c.source.source.progress(),
        )
        for c in database.connectors.all()
    ]
    errors = [f"{q.id}: {q.error}" for q in queries if q.error is not None]
    errors += [f"{c.name}: {c.message}" for c in connectors if c.state == "FAILED"]
    if database.loop_error is not None:
        errors.append(database.loop_error)
    return Metrics(
        events_total=engine.rows_total,
        events_per_s=database.meter.rate(engine.rows_total),
        queries=queries,
        connectors=connectors,
        log_count=database.log_lines,
        errors=errors,
        profile=engine.profile(),
    )
