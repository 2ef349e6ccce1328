"""Decoded runs of records that were written or read lately."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict, deque

from millstream.store.interfaces import Records
from millstream.store.records import size_of

Run = tuple[int, Records]
"""The ordinal of the first record, and the records."""

_DECODED_RUNS = 4


class TailCache:
    """The runs committed last, so that a reader at the end of a topic need not decode them again;
    and the few runs decoded last, for a reader that takes a run in several bites.

    Committed runs never change, so whoever finds a run here finds what the file holds. Only a view
    older than the run must cut it to its own end of the topic. Safe to use from any thread.
    """

    def __init__(self, limit_bytes: int = 64 << 20) -> None:
        self._limit_bytes = limit_bytes
        self._mutex = threading.Lock()
        self._bases: dict[int, list[int]] = {}
        self._runs: dict[tuple[int, int], Records] = {}
        self._ages: deque[tuple[int, int, int]] = deque()
        self._decoded: OrderedDict[tuple[int, int], tuple[Records, int]] = OrderedDict()
        self._decoded_bytes = 0
        self._bytes = 0

    def add(self, topic: int, base: int, records: Records, size: int) -> None:
        """Keep a run that was just committed, of `size` bytes; the oldest ones make room."""
        with self._mutex:
            if size > self._limit_bytes:
                return
            self._bases.setdefault(topic, []).append(base)
            self._runs[topic, base] = records
            self._ages.append((topic, base, size))
            self._bytes += size
            while self._bytes > self._limit_bytes:
                self._evict()

    def add_decoded(self, topic: int, base: int, records: Records) -> None:
        """Keep a run that was just read from the file; those read before make room."""
        size = size_of(records)
        with self._mutex:
            if size > self._limit_bytes or (topic, base) in self._decoded:
                return
            self._decoded[topic, base] = records, size
            self._decoded_bytes += size
            while self._decoded_bytes > self._limit_bytes or len(self._decoded) > _DECODED_RUNS:
                _, (_, gone) = self._decoded.popitem(last=False)
                self._decoded_bytes -= gone

    def find(self, topic: int, ordinal: int) -> Run | None:
        """The run that holds the record at `ordinal`, if it is here."""
        with self._mutex:
            bases = self._bases.get(topic)
            if bases:
                at = bisect_right(bases, ordinal) - 1
                if at >= 0:
                    base = bases[at]
                    records = self._runs[topic, base]
                    if ordinal < base + len(records):
                        return base, records
            for (owner, base), (records, _) in self._decoded.items():
                if owner == topic and base <= ordinal < base + len(records):
                    return base, records
        return None

    def clear(self) -> None:
        """Forget everything."""
        with self._mutex:
            self._bases.clear()
            self._runs.clear()
            self._ages.clear()
            self._decoded.clear()
            self._decoded_bytes = 0
            self._bytes = 0

    def _evict(self) -> None:
        topic, base, size = self._ages.popleft()
        del self._runs[topic, base]
        bases = self._bases[topic]
        del bases[0]
        if not bases:
            del self._bases[topic]
        self._bytes -= size
