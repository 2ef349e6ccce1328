"""How far what queries have written lies behind what there is to read."""

from __future__ import annotations

from collections.abc import Iterable

from millstream.catalog.catalog import Catalog
from millstream.catalog.model import QueryInfo
from millstream.store.interfaces import View


def query_lag(view: View, catalog: Catalog, info: QueryInfo) -> int:
    """How many records of its sources' topics a query has yet to read, running or not."""
    positions = view.positions(f"query-{info.number}")
    topics = {catalog.sources[name].topic_id for name in info.sources if name in catalog.sources}
    lag = 0
    for topic_id in topics:
        position = max(positions.get(topic_id, 0), view.start(topic_id))
        lag += view.end(topic_id) - position
    return lag


def source_lag(view: View, catalog: Catalog, names: Iterable[str]) -> int:
    """How many records the queries behind some streams and tables have yet to read: those that
    write them, and those that write what these read, each counted once."""
    waiting, seen, lag = list(names), set(), 0
    queries: set[int] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for info in catalog.writers(name):
            if info.number not in queries:
                queries.add(info.number)
                lag += query_lag(view, catalog, info)
                waiting += info.sources
    return lag
