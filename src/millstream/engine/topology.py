"""Which query runs before which: writers of a topic before its readers."""

from __future__ import annotations

from collections.abc import Iterable

from millstream.engine.query import Query


class Topology:
    """The order of queries, and who writes what.

    Queries may form a cycle through INSERT INTO: the edge that closes it, from a query to one that
    comes no later in the order, is a back edge; what it carries is read in the next commit.
    """

    def __init__(self, queries: Iterable[Query]) -> None:
        self._queries = sorted(queries, key=lambda q: q.number)
        self._writers: dict[str, list[Query]] = {}
        for query in self._queries:
            if query.plan.sink is not None:
                self._writers.setdefault(query.plan.sink.topic, []).append(query)
        self._readers: dict[int, list[Query]] = {}
        for query in self._queries:
            for topic_id in query.topic_ids:
                self._readers.setdefault(topic_id, []).append(query)
        self.order = self._sorted()
        self._place = {q.number: i for i, q in enumerate(self.order)}
        self._upstream = {q.number: self._writers_before(q) for q in self.order}

    def query(self, number: int) -> Query:
        """The query of this number."""
        return self.order[self._place[number]]

    def upstream(self, query: Query) -> list[Query]:
        """The queries that write what this one reads, back edges left out."""
        return self._upstream[query.number]

    def _writers_before(self, query: Query) -> list[Query]:
        found: dict[int, Query] = {}
        for read in query.reads:
            for writer in self._writers.get(read.source.topic, ()):
                if self._place[writer.number] < self._place[query.number]:
                    found[writer.number] = writer
        return list(found.values())

    def readers(self, topic_id: int) -> list[Query]:
        """The queries that read a topic."""
        return self._readers.get(topic_id, [])

    def has_writers(self, topic: str) -> bool:
        """Whether any query writes the topic."""
        return topic in self._writers

    def _sorted(self) -> list[Query]:
        """Depth first along the writers, oldest query first."""
        done: dict[int, Query] = {}
        open_: set[int] = set()

        def visit(query: Query) -> None:
            if query.number in done or query.number in open_:
                return
            open_.add(query.number)
            for read in query.reads:
                for writer in self._writers.get(read.source.topic, ()):
                    visit(writer)
            open_.discard(query.number)
            done[query.number] = query

        for query in self._queries:
            visit(query)
        return list(done.values())
