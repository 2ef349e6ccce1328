"""What a store does, told with plain Python values: the oracle of the store's tests."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from millstream.store.interfaces import StoreId, Topic, View
from tests.unit.store.builders import plain_state, plain_topic

Row = tuple[Any, ...]


@dataclass
class Model:
    """A store's contents after a commit, or so far in one."""

    topics: dict[int, Topic] = field(default_factory=dict)
    records: dict[int, list[Row]] = field(default_factory=dict)
    positions: dict[str, dict[int, int]] = field(default_factory=dict)
    pages: dict[StoreId, dict[int, list[dict[str, Any]]]] = field(default_factory=dict)
    metas: dict[StoreId, dict[str, Any]] = field(default_factory=dict)
    entries: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    last_ids: dict[str, int] = field(default_factory=dict)
    seq: int = 0

    def copy(self) -> Model:
        """A copy that can change on its own."""
        return copy.deepcopy(self)

    def drop_topic(self, topic_id: int) -> None:
        del self.topics[topic_id]
        del self.records[topic_id]
        for positions in self.positions.values():
            positions.pop(topic_id, None)

    def append(self, topic_id: int, rows: list[Row]) -> list[Row]:
        """Append rows; they are given with their offsets."""
        log = self.records[topic_id]
        counts: dict[int, int] = {}
        for row in log:
            counts[row[0]] = counts.get(row[0], 0) + 1
        placed = []
        for row in rows:
            offset = counts.get(row[0], 0)
            counts[row[0]] = offset + 1
            placed.append((row[0], offset, *row[2:]))
        log += placed
        return placed

    def put_delta(self, store: StoreId, page: int, rows: list[dict[str, Any]]) -> None:
        self.pages.setdefault(store, {}).setdefault(page, []).extend(rows)

    def put_page(self, store: StoreId, page: int, rows: list[dict[str, Any]]) -> None:
        self.pages.setdefault(store, {})[page] = list(rows)

    def drop_page(self, store: StoreId, page: int) -> None:
        self.pages.get(store, {}).pop(page, None)

    def drop_state(self, query_id: int) -> None:
        for store in [s for s in {*self.pages, *self.metas} if s.query_id == query_id]:
            self.pages.pop(store, None)
            self.metas.pop(store, None)

    def check(self, view: View, stores: list[StoreId], owners: list[str]) -> None:
        """Everything that the view shows is what the model holds."""
        assert view.topics() == [self.topics[i] for i in sorted(self.topics)]
        assert view.next_seq() == self.seq
        for topic_id, topic in self.topics.items():
            assert view.topic(topic.name) == topic
            rows = self.records[topic_id]
            assert view.end(topic_id) == len(rows)
            assert plain_topic(view, topic_id) == rows
            middle = len(rows) // 2
            assert plain_topic(view, topic_id, middle) == rows[middle:]
        for owner in owners:
            assert view.positions(owner) == self.positions.get(owner, {})
        for store in stores:
            expected = {p: rows for p, rows in self.pages.get(store, {}).items() if rows}
            assert plain_state(view.state(store)) == expected
            assert view.state_meta(store) == self.metas.get(store, {})
        for kind, entries in self.entries.items():
            assert view.entries(kind) == entries
