"""The sink's thread, over a real store in memory."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from millstream.connect.base import ConnectorError, Rejected, RetriableError, SinkRecords
from millstream.connect.outgoing import OutgoingEncoder
from millstream.connect.retry import RetryPolicy
from millstream.connect.runtime import owner_of
from millstream.connect.sink_worker import SinkWorker
from millstream.serde.base import Layout, Part, RawPart, TypedPart
from millstream.store.interfaces import Records, Store
from millstream.store.open import open_store
from millstream.types import BIGINT, INTEGER, STRING, Column, Role

WAIT_S = 60
SOON = RetryPolicy(first_ms=1, longest_ms=1)


def records_of(key: Part, value: Part, count: int, **more: Any) -> Records:
    """Records of one partition, not yet appended."""
    return Records(
        partition=np.zeros(count, np.int32),
        offset=np.full(count, -1, np.int64),
        seq=np.arange(count, dtype=np.int64),
        writer=np.zeros(count, np.int64),
        rowtime=np.arange(count, dtype=np.int64) * 10,
        key=key,
        value=value,
        **more,
    )


def raw(*values: str | None) -> RawPart:
    """Bytes of texts."""
    return RawPart(pa.array([v if v is None else v.encode() for v in values], pa.binary()))


def add(store: Store, topic: str, *values: str) -> int:
    """Append values to a topic, made where there is none; its id."""
    with store.begin() as commit:
        found = commit.topic(topic) or commit.create_topic(topic, 1)
        part = raw(*values)
        commit.append(found.id, records_of(raw(*["k"] * len(values)), part, len(values)))
        commit.commit()
    return found.id


class Sink:
    """Keeps what it gets, after raising what its list says."""

    def __init__(self, *topics: str, fail: Sequence[Exception] = ()) -> None:
        self.names = topics
        self.failures = list(fail)
        self.got: list[tuple[str, bytes | None]] = []
        self.refuse: set[bytes] = set()
        self.closed = False
        self.skipped = 0

    def topics(self) -> Sequence[str]:
        """Its topics."""
        return self.names

    def put(self, records: SinkRecords) -> list[Rejected]:
        """Keep the records, or raise the next failure."""
        if self.failures:
            raise self.failures.pop(0)
        values = records.value.to_pylist()
        self.got += [(records.topic, value) for value in values]
        return [Rejected(records.topic, "no", v) for v in values if v in self.refuse]

    def close(self) -> None:
        """Remember."""
        self.closed = True


class Seen:
    """What a worker called back, in queues."""

    def __init__(self) -> None:
        self.progress: queue.Queue[tuple[int, int]] = queue.Queue()
        self.states: queue.Queue[tuple[str, str | None]] = queue.Queue()
        self.rejected: queue.Queue[list[Rejected]] = queue.Queue()

    def worker(self, sink: Sink, store: Store, **more: Any) -> SinkWorker:
        """A worker that calls back to these."""
        return SinkWorker(
            1,
            "x",
            sink,
            store,
            on_progress=lambda topic_id, ordinal: self.progress.put((topic_id, ordinal)),
            on_state=lambda state, message: self.states.put((state, message)),
            on_rejected=self.rejected.put,
            **more,
        )

    def next_progress(self) -> tuple[int, int]:
        """The next progress, waited for."""
        return self.progress.get(timeout=WAIT_S)

    def next_state(self) -> tuple[str, str | None]:
        """The next change of state, waited for."""
        return self.states.get(timeout=WAIT_S)


@pytest.fixture
def store() -> Iterator[Store]:
    """A database in memory."""
    with closing(open_store(":memory:")) as opened:
        yield opened


@pytest.fixture
def seen() -> Seen:
    """Callbacks."""
    return Seen()


def test_it_delivers_what_is_there_and_what_comes(store: Store, seen: Seen) -> None:
    topic_id = add(store, "t", "a", "b")
    sink = Sink("T")  # matched without regard to case
    worker = seen.worker(sink, store)
    worker.start()
    assert seen.next_progress() == (topic_id, 2)
    add(store, "t", "c")
    worker.notify()
    assert seen.next_progress() == (topic_id, 3)
    worker.stop()
    assert sink.got == [("t", b"a"), ("t", b"b"), ("t", b"c")]
    assert sink.closed
    assert worker.counts.delivered == 3


def test_it_tells_when_nothing_is_left(store: Store, seen: Seen) -> None:
    topic_id = add(store, "t", "a")
    worker = seen.worker(Sink("t", fail=[RetriableError("Away.")]), store, retry=SOON)
    assert not worker.idle
    worker.start()
    assert seen.next_progress() == (topic_id, 1)
    while not worker.idle:
        worker._thread.join(0.001)
    add(store, "t", "b")
    worker.notify()
    while not worker.idle:
        worker._thread.join(0.001)
    assert seen.progress.get_nowait() == (topic_id, 2)
    worker.stop()
    assert worker.idle


def test_it_goes_on_at_the_stored_position(store: Store, seen: Seen) -> None:
    topic_id = add(store, "t", "a", "b", "c")
    with store.begin() as commit:
        commit.set_position(owner_of(1), topic_id, 2)
        commit.commit()
    sink = Sink("t")
    worker = seen.worker(sink, store)
    worker.start()
    assert seen.next_progress() == (topic_id, 3)
    worker.stop()
    assert sink.got == [("t", b"c")]


def test_it_waits_for_a_topic_and_says_so(store: Store, seen: Seen) -> None:
    worker = seen.worker(Sink("later"), store)
    worker.start()
    assert seen.next_state() == ("RUNNING", "Waiting for the topic later to be made.")
    topic_id = add(store, "later", "a")
    worker.notify()
    assert seen.next_progress() == (topic_id, 1)
    assert seen.next_state() == ("RUNNING", None)
    worker.stop()


def test_topics_take_turns(store: Store, seen: Seen) -> None:
    ids = {add(store, topic, *"123") for topic in ("a", "b")}
    for value in "45":
        for topic in ("a", "b"):
            add(store, topic, value)
    sink = Sink("a", "b")
    worker = seen.worker(sink, store, rows_per_put=1)
    worker.start()
    places: list[tuple[int, int]] = []
    while dict(places) != dict.fromkeys(ids, 5):
        places.append(seen.next_progress())
    worker.stop()
    assert places[0][0] != places[1][0]
    assert all(left[0] != right[0] for left, right in pairwise(places))
    for topic in ("a", "b"):
        assert b"".join(v or b"" for t, v in sink.got if t == topic) == b"12345"


def test_it_tries_again_and_tells(store: Store, seen: Seen) -> None:
    topic_id = add(store, "t", "a")
    sink = Sink("t", fail=[RetriableError("Away."), RetriableError("Away.")])
    worker = seen.worker(sink, store, retry=RetryPolicy(first_ms=1, longest_ms=2))
    worker.start()
    assert seen.next_progress() == (topic_id, 1)
    assert seen.next_state() == ("RUNNING", "Away. The next try is in 1 ms.")
    assert seen.next_state() == ("RUNNING", "Away. The next try is in 2 ms.")
    assert seen.next_state() == ("RUNNING", None)
    worker.stop()
    assert sink.got == [("t", b"a")]


def test_retries_end_where_limited_and_resume_begins_anew(store: Store, seen: Seen) -> None:
    topic_id = add(store, "t", "a")
    sink = Sink("t", fail=[RetriableError("Away.")] * 2)
    worker = seen.worker(sink, store, retry=RetryPolicy(first_ms=1, max_retries=1))
    worker.start()
    assert seen.next_state() == ("RUNNING", "Away. The next try is in 1 ms.")
    assert seen.next_state() == ("FAILED", "Away. Given up after 2 tries.")
    worker.resume()
    assert seen.next_state() == ("RUNNING", None)
    assert seen.next_progress() == (topic_id, 1)
    worker.stop()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectorError("No.", hint="Do."), "No. Do."),
        (ZeroDivisionError("no"), "ZeroDivisionError: no"),
    ],
)
def test_a_failure_for_good_fails_it_without_progress(
    store: Store, seen: Seen, error: Exception, message: str
) -> None:
    topic_id = add(store, "t", "a")
    worker = seen.worker(Sink("t", fail=[error]), store)
    worker.start()
    assert seen.next_state() == ("FAILED", message)
    assert seen.progress.empty()
    worker.resume()
    assert seen.next_progress() == (topic_id, 1)
    worker.stop()


def test_pause_and_resume(store: Store, seen: Seen) -> None:
    add(store, "t", "a")
    sink = Sink("t")
    worker = seen.worker(sink, store)
    worker.start()
    seen.next_progress()
    worker.pause()
    assert seen.next_state() == ("PAUSED", None)
    topic_id = add(store, "t", "b")
    worker.notify()
    worker.resume()
    assert seen.next_state() == ("RUNNING", None)
    assert seen.next_progress() == (topic_id, 2)
    worker.stop()


def test_one_made_paused_waits_for_resume(store: Store, seen: Seen) -> None:
    topic_id = add(store, "t", "a")
    worker = seen.worker(Sink("t"), store, paused=True)
    worker.start()
    worker.notify()
    worker.resume()
    assert seen.next_state() == ("RUNNING", None)
    assert seen.next_progress() == (topic_id, 1)
    worker.stop()


def test_refused_records_are_handed_back_and_counted(store: Store, seen: Seen) -> None:
    add(store, "t", "a", "bad", "c")
    sink = Sink("t")
    sink.refuse = {b"bad"}
    worker = seen.worker(sink, store)
    worker.start()
    assert [r.record for r in seen.rejected.get(timeout=WAIT_S)] == [b"bad"]
    seen.next_progress()
    worker.stop()
    assert (worker.counts.delivered, worker.counts.rejected) == (2, 1)


def test_topics_that_differ_only_in_case_are_an_error(store: Store, seen: Seen) -> None:
    add(store, "t", "a")
    add(store, "T", "a")
    worker = seen.worker(Sink("t"), store)
    worker.start()
    state, message = seen.next_state()
    assert state == "FAILED" and message is not None and "differ only in case" in message
    worker.stop()


def test_other_names_of_topics_can_be_given(store: Store, seen: Seen) -> None:
    topic_id = add(store, "t", "a")
    names: Mapping[str, int] = {"alias": topic_id}
    sink = Sink("alias")
    worker = seen.worker(sink, store, topic_ids_by_name=lambda: names)
    worker.start()
    assert seen.next_progress() == (topic_id, 1)
    worker.stop()
    assert sink.got == [("alias", b"a")]


def test_stop_ends_a_wait_for_a_retry_at_once_and_can_be_called_again(
    store: Store, seen: Seen
) -> None:
    add(store, "t", "a")
    sink = Sink("t", fail=[RetriableError("Away.")])
    worker = seen.worker(sink, store, retry=RetryPolicy(first_ms=10_000_000))
    worker.start()
    seen.next_state()
    worker.stop()
    worker.stop()
    assert sink.closed and seen.progress.empty()


def test_stop_before_start_closes_the_sink(store: Store, seen: Seen) -> None:
    sink = Sink("t")
    seen.worker(sink, store).stop()
    assert sink.closed


def test_typed_parts_become_bytes_and_keys_text() -> None:
    key = Layout("KAFKA", (Column("ID", INTEGER, Role.KEY),), wrap=False)
    value = Layout("JSON", (Column("N", BIGINT), Column("S", STRING)))
    run = records_of(
        TypedPart(key, [pa.array([1, 2, 3], pa.int32())]),
        TypedPart(
            value,
            [pa.array([10, None, 30]), pa.array(["a", "b", None])],
            np.array([False, False, True]),
        ),
        3,
        window_start=np.array([0, 60_000, 120_000]),
    )
    made = OutgoingEncoder().encode("t", [(1, run), (0, run)])
    assert made.value.to_pylist()[:2] == [b'{"N":null,"S":"b"}', None]
    assert made.key.to_pylist()[:2] == [b"\0\0\0\2", b"\0\0\0\3"]
    assert made.key_text is not None
    assert made.key_text.to_pylist() == ["2", "3", "1", "2", "3"]
    assert made.window_start is not None and made.window_end is None
    assert made.window_start.tolist() == [60_000, 120_000, 0, 60_000, 120_000]
    assert made.rowtime.tolist() == [10, 20, 0, 10, 20]


def test_text_of_keys() -> None:
    several = Layout("JSON", (Column("A", STRING, Role.KEY), Column("B", INTEGER, Role.KEY)))
    two = TypedPart(
        several,
        [pa.array(["x", None]), pa.array([1, None], pa.int32())],
        np.array([False, True]),
    )
    encoder = OutgoingEncoder()
    made = encoder.encode("t", [(0, records_of(two, raw("1", "2"), 2))])
    assert made.key_text is not None
    assert made.key_text.to_pylist() == ['{"A": "x", "B": 1}', None]
    received = RawPart(pa.array([b"plain", b"\xff\x01", None], pa.binary()))
    made = encoder.encode("t", [(0, records_of(received, raw("1", "2", "3"), 3))])
    assert made.key_text is not None
    assert made.key_text.to_pylist() == ["plain", "0xff01", None]
    no_key = TypedPart(Layout("NONE", ()), [], np.array([True]))
    made = encoder.encode("t", [(0, records_of(no_key, raw("1"), 1))])
    assert made.key.to_pylist() == [None]
