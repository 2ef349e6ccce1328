"""The order of queries: writers before readers, oldest first, circles cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from millstream.engine.query import Query
from millstream.engine.topology import Topology


@dataclass
class FakeQuery:
    """As much of a query as the order needs."""

    number: int
    sources: tuple[str, ...]
    sink: str | None
    reads: list[Any] = field(init=False)
    plan: Any = field(init=False)

    def __post_init__(self) -> None:
        def read(topic: str) -> Any:
            return SimpleNamespace(source=SimpleNamespace(topic=topic, topic_id=ord(topic[0])))

        self.reads = [read(s) for s in self.sources]
        sink = None if self.sink is None else SimpleNamespace(topic=self.sink)
        self.plan = SimpleNamespace(sink=sink)

    @property
    def topic_ids(self) -> list[int]:
        return list(dict.fromkeys(r.source.topic_id for r in self.reads))


def topology(*queries: tuple[int, str, str | None]) -> Topology:
    """Queries of (number, the topics they read, the topic they write), topics one letter each."""
    return Topology(cast(list[Query], [FakeQuery(n, tuple(r), w) for n, r, w in queries]))


def order(found: Topology) -> list[int]:
    return [q.number for q in found.order]


def test_writers_come_before_readers_whoever_is_older() -> None:
    found = topology((1, "b", "c"), (2, "a", "b"), (3, "c", "d"))
    assert order(found) == [2, 1, 3]
    assert [q.number for q in found.upstream(found.order[1])] == [2]
    assert [q.number for q in found.readers(ord("c"))] == [3]
    assert found.readers(ord("z")) == []
    assert found.has_writers("b")
    assert not found.has_writers("a")


def test_queries_that_do_not_meet_keep_their_age() -> None:
    assert order(topology((3, "a", "x"), (1, "a", "y"), (2, "b", "z"))) == [1, 2, 3]


def test_a_diamond_and_two_writers() -> None:
    found = topology((1, "a", "b"), (2, "a", "c"), (3, "bc", "d"), (4, "a", "d"), (5, "d", "e"))
    places = {n: i for i, n in enumerate(order(found))}
    assert places[1] < places[3] and places[2] < places[3]
    assert places[3] < places[5] and places[4] < places[5]
    last = next(q for q in found.order if q.number == 5)
    assert sorted(q.number for q in found.upstream(last)) == [3, 4]


def test_a_circle_is_cut_once() -> None:
    found = topology((1, "a", "b"), (2, "b", "c"), (3, "c", "a"))
    assert sorted(order(found)) == [1, 2, 3]
    upstream = {q.number: [u.number for u in found.upstream(q)] for q in found.order}
    assert sum(len(u) for u in upstream.values()) == 2
    loop = topology((1, "a", "a"))
    assert order(loop) == [1]
    assert loop.upstream(loop.order[0]) == []


def test_queries_without_a_sink() -> None:
    assert order(topology((2, "b", None), (1, "a", "b"))) == [1, 2]
