"""What queries write comes into a topic in the order of its numbers, however late it comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from millstream.engine.merging import merge_pieces
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

    def append(self, commit: Commit, topic_id: int, pieces: Sequence[Records], passed: int) -> None:
        """Append what queries wrote in this commit, a piece each. `passed` is the frontier of the
        reader of the topic that is farthest."""
        end = commit.end(topic_id)
        tip = self._tip(commit, topic_id, end)
        on_time: list[Records] = []
        late: list[Records] = []
        for piece in pieces:
            first = (int(piece.seq[0]), int(piece.writer[0]))
            # All of a piece, so that its records stay in order.
            (late if first[0] <= passed or first < tip else on_time).append(piece)
        for records in merge_pieces(on_time) if on_time else ():
            commit.append(topic_id, records)
            tip = (int(records.seq[-1]), int(records.writer[-1]))
        for records in merge_pieces(late) if late else ():
            # A number each: two writers' records must not change places at a reader.
            first_seq = commit.allocate_seq(len(records))
            numbers = np.arange(first_seq, first_seq + len(records))
            commit.append(topic_id, replace(records, seq=numbers))
            tip = (int(numbers[-1]), int(records.writer[-1]))
        self._last[topic_id] = (end + sum(map(len, pieces)), *tip)

    def clear(self) -> None:
        """Forget what may not have been committed."""
        self._last.clear()

    def _tip(self, commit: Commit, topic_id: int, end: int) -> tuple[int, int]:
        """The (seq, writer) of a topic's last record; others than queries append, too."""
        known = self._last.get(topic_id)
        if known is not None and known[0] == end:
            return known[1], known[2]
        if end == commit.start(topic_id):
            return _NOTHING
        records = next(records for _, records in commit.read(topic_id, end - 1, 1))
        return int(records.seq[-1]), int(records.writer[-1])
