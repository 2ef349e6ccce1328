"""Runs of records that the engine has read, so that several queries decode a run once."""

from __future__ import annotations

from collections.abc import Iterator

from millstream.store.interfaces import Records, View


class RunCache:
    """Runs read in this commit or the one before, by topic and ordinal of the first record.

    A run that was looked at but not yet due is kept for the next commit. After a failed commit
    everything must be forgotten: it may hold records that were never stored.
    """

    def __init__(self) -> None:
        self._young: dict[tuple[int, int], Records] = {}
        self._old: dict[tuple[int, int], Records] = {}

    def runs(self, view: View, topic_id: int, start: int) -> Iterator[tuple[int, Records]]:
        """The runs of a topic from an ordinal on, each read when it is asked for. What was trimmed
        is passed over."""
        at, end = start, view.end(topic_id)
        if (topic_id, at) not in self._young:
            at = max(start, view.start(topic_id))
        while at < end:
            records = self._run(view, topic_id, at)
            yield at, records
            at += len(records)

    def _run(self, view: View, topic_id: int, at: int) -> Records:
        key = (topic_id, at)
        found = self._young.get(key)
        if found is None:
            found = self._old.pop(key, None)
            if found is None:
                found = next(records for _, records in view.read(topic_id, at, 1))
            self._young[key] = found
        return found

    def offer(self, runs: dict[tuple[int, int], Records]) -> None:
        """Take committed runs that someone else has read."""
        self._old.update(runs)

    def committed(self) -> None:
        """A commit is done: what was not read in it is forgotten."""
        self._old = self._young
        self._young = {}

    def clear(self) -> None:
        """Forget everything."""
        self._young = {}
        self._old = {}
