"""Topics with RETENTION_MS forget their oldest records, once nobody has yet to read them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from millstream.connect.runtime import owner_of
from millstream.store.interfaces import Topic, View

if TYPE_CHECKING:
    from millstream.catalog.catalog import Catalog
    from millstream.catalog.model import ConnectorInfo
    from millstream.database.database import Database

COMMITS_BETWEEN = 64
"""After so many commits of the loop it looks again,"""
IDLE_S = 1.0
"""and where nothing comes, after so long, if anything was committed."""
MOST_ROWS = 1 << 20
"""How many records of a topic one look takes away, about."""
_NEWEST_ROWS = 1000


@dataclass(slots=True)
class _Known:
    """What is known of a topic: the largest timestamp among the records up to `seen` of which the
    newest were looked at, and the ordinal and timestamp of the first record that is kept."""

    seen: int = 0
    newest_ms: int = -(1 << 62)
    first: int = -1
    first_ms: int = 0


class Retention:
    """Trims topics, each in log order: the records in front that are older than its retention.

    A record's age is that against the newest timestamp in its topic, and never more than against
    the wall clock, so that a timestamp from the future drives nothing out. Where a young record
    lies in front of an old one, both stay. What a query or a sink has yet to read stays as well,
    whether it runs or not.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[int, _Known] = {}
        self._commits = 0
        self._looked_at = -1
        self._looked_s = time.monotonic()

    def after_step(self, moved: bool) -> None:
        """What the loop calls after each of its steps."""
        commits = self._database.engine.commits
        if commits == self._looked_at:
            return
        since = commits - self._looked_at
        if since >= COMMITS_BETWEEN or (not moved and time.monotonic() - self._looked_s >= IDLE_S):
            self.enforce()

    def enforce(self) -> int:
        """Trim what can be trimmed now, in a commit of its own; how many records went."""
        database = self._database
        with database.engine.lock:
            self._looked_at = database.engine.commits
            self._looked_s = time.monotonic()
            gone = 0
            with database.store.view() as view:
                limited = [t for t in view.topics() if is_limited(t)]
                ends = {t.id: self._end_of_old(view, t) for t in limited}
                starts = {t: view.start(t) for t in ends}
            due = {t: end for t, end in ends.items() if end > starts[t]}
            if not due:
                return 0
            with database.store.begin() as commit:
                for topic_id, end in due.items():
                    commit.trim(topic_id, end)
                    gone += end - starts[topic_id]
                commit.commit()
            return gone

    def _end_of_old(self, view: View, topic: Topic) -> int:
        """The ordinal of the first record to be kept."""
        assert topic.retention_ms is not None
        known = self._known.setdefault(topic.id, _Known())
        start, end = view.start(topic.id), view.end(topic.id)
        self._look_at_newest(view, topic.id, known)
        horizon_ms = min(known.newest_ms, self._database.clock.now_ms()) - topic.retention_ms
        if start == known.first and known.first_ms >= horizon_ms:
            return start
        stop = min(end, unread_from(view, self._database.catalog, topic))
        at = start
        for ordinal, records in view.read(topic.id, start, MOST_ROWS) if start < stop else ():
            young = np.flatnonzero(records.rowtime[: stop - ordinal] >= horizon_ms)
            if len(young):
                at = ordinal + int(young[0])
                known.first, known.first_ms = at, int(records.rowtime[young[0]])
                break
            at = min(ordinal + len(records), stop)
            if at == stop:
                break
        return at

    @staticmethod
    def _look_at_newest(view: View, topic_id: int, known: _Known) -> None:
        end = view.end(topic_id)
        # The last ones are enough: a timestamp that was missed makes records stay, not go.
        for _, records in view.read(topic_id, max(known.seen, end - _NEWEST_ROWS)):
            known.newest_ms = max(known.newest_ms, int(records.rowtime.max()))
        known.seen = end


def is_limited(topic: Topic) -> bool:
    """Whether a topic forgets anything: one that is only compacted does not, and none below 0."""
    limit = topic.retention_ms
    return limit is not None and limit >= 0 and "delete" in topic.cleanup_policy


def unread_from(view: View, catalog: Catalog, topic: Topic) -> int:
    """The ordinal of the first record that some query or sink has yet to read, running or not;
    the topic's end where all have read all."""
    places = [view.end(topic.id)]
    for query in catalog.queries.values():
        position = view.positions(f"query-{query.number}").get(topic.id)
        if position is not None:
            places.append(position)
    for connector in catalog.connectors.values():
        if connector.direction == "SINK" and _wants(connector, topic.name):
            places.append(view.positions(owner_of(connector.id)).get(topic.id, 0))
    return min(places)


def _wants(sink: ConnectorInfo, topic: str) -> bool:
    """Whether a sink takes a topic, as its options say; one without a list may take any."""
    wished = sink.options.get("topics")
    return wished is None or topic.lower() in (n.strip().lower() for n in wished.split(","))
