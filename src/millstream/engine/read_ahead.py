"""Reading ahead: the next records are read and decoded while the ones before run through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from millstream.engine.source_rows import SourceReader, SourceRows
from millstream.store.interfaces import Records, Store
from millstream.store.portion import portions


@dataclass(frozen=True, slots=True)
class Wanted:
    """What will be read next: a topic, the ordinal to start at, how many records at most, and who
    decodes them."""

    topic_id: int
    start: int
    rows: int
    readers: tuple[SourceReader, ...]


@dataclass(slots=True)
class Ahead:
    """What was read ahead: runs by (topic id, ordinal), and rows by (the reader that decoded them,
    ordinal, count)."""

    runs: dict[tuple[int, int], Records] = field(default_factory=dict)
    rows: dict[tuple[SourceReader, int, int], SourceRows] = field(default_factory=dict)


class ReadAhead:
    """One thread that is one commit ahead. NumPy and Arrow let go of the interpreter where the
    work is, so that two cores are used.

    It reads committed records only; what it has decoded counts if the guess was right, and is
    thrown away otherwise. A failure here is none: the engine's thread meets it again.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pool: ThreadPoolExecutor | None = None
        self._job: Future[Ahead] | None = None

    def start(self, wanted: Sequence[Wanted]) -> None:
        """Begin to read; `take` gives the result. Nothing to read: nothing happens."""
        if not wanted:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="millstream-ahead")
        self._job = self._pool.submit(self._read, list(wanted))

    def take(self) -> Ahead:
        """What `start` asked for, waiting for it; empty where nothing was asked."""
        job, self._job = self._job, None
        if job is None or job.exception() is not None:
            return Ahead()
        return job.result()

    def close(self) -> None:
        """End the thread. Idempotent."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            self._pool = None

    def _read(self, wanted: list[Wanted]) -> Ahead:
        ahead = Ahead()
        with self._store.view() as view:
            for item in wanted:
                whole: dict[int, Records] = {}
                runs = _kept(view.read(item.topic_id, item.start, item.rows), whole)
                for ordinal, records in portions(runs, item.rows):
                    ahead.runs[item.topic_id, ordinal] = whole[ordinal]
                    for reader in item.readers:
                        ahead.rows[reader, ordinal, len(records)] = reader.read(records)
        return ahead


def _kept(
    runs: Iterable[tuple[int, Records]], whole: dict[int, Records]
) -> Iterator[tuple[int, Records]]:
    for ordinal, records in runs:
        whole[ordinal] = records
        yield ordinal, records
