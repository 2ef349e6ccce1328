"""What queries write comes into a topic in the order of its numbers, however late it comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from millstream.engine.slicing import between
from millstream.store.interfaces import Commit, Records

_NOTHING = (-1, -1)


class Arrivals:
    """Appends to topics, and keeps each in the order (seq, writer).

    A record has the seq of its origin. Where its place in the topic is past (a query that lagged
    writes behind another writer's records, or behind the frontier of a reader; a cycle comes
    round), it gets a number of the moment at which it comes instead. So every reader, early or
    late, meets the records of all its topics in one and the same order.
    """

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, int, int]] = {}

    def append(self, commit: Commit, topic_id: int, runs: Sequence[Records], passed: int) -> None:
        """Append runs that are in the order (seq, writer), one after the other. `passed` is the
        frontier of the reader of the topic that is farthest."""
        seq, writer = self._tip(commit, topic_id)
        late = [(r, _count_late(r, max(passed, seq - 1), seq, writer)) for r in runs]
        for records, count in late:
            if count < len(records):
                on_time = between(records, count, len(records)) if count else records
                commit.append(topic_id, on_time)
                seq, writer = int(records.seq[-1]), int(records.writer[-1])
        for records, count in late:
            if count:
                # A number each: two writers' records must not change places at a reader.
                first = commit.allocate_seq(count)
                piece = between(records, 0, count)
                commit.append(topic_id, replace(piece, seq=np.arange(first, first + count)))
                seq, writer = first + count - 1, int(piece.writer[-1])
        self._last[topic_id] = (commit.end(topic_id), seq, writer)

    def clear(self) -> None:
        """Forget what may not have been committed."""
        self._last.clear()

    def _tip(self, commit: Commit, topic_id: int) -> tuple[int, int]:
        """The (seq, writer) of a topic's last record; others than queries append, too."""
        end = commit.end(topic_id)
        known = self._last.get(topic_id)
        if known is not None and known[0] == end:
            return known[1], known[2]
        if end == commit.start(topic_id):
            return _NOTHING
        records = next(records for _, records in commit.read(topic_id, end - 1, 1))
        return int(records.seq[-1]), int(records.writer[-1])


def _count_late(records: Records, passed: int, seq: int, writer: int) -> int:
    """How many records stand at a seq up to `passed`, or before (seq, writer)."""
    count = int(np.searchsorted(records.seq, passed, side="right"))
    if count < len(records) and int(records.seq[count]) == seq:
        same = int(np.searchsorted(records.seq, seq, side="right"))
        count += int(np.searchsorted(records.writer[count:same], writer, side="left"))
    return count
