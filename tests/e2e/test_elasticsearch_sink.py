"""The Elasticsearch sink against a real OpenSearch node."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from millstream.clock import FixedClock
from millstream.connect.base import ConnectorError, Rejected, RetriableError, SinkRecords
from millstream.connect.elasticsearch import ElasticsearchSink
from millstream.connect.registry import prepare
from millstream.connect.runtime import owner_of
from millstream.connect.sink_worker import SinkWorker
from millstream.serde.base import Layout, TypedPart
from millstream.store.interfaces import Records, Store
from millstream.store.open import open_store
from millstream.types import BIGINT, INTEGER, STRING, Column, Role
from tests.servers.auth_proxy import basic_auth_proxy

WAIT_S = 120


@contextmanager
def sink_of(url: str, topics: str, **options: str) -> Iterator[ElasticsearchSink]:
    """The sink that a statement with these options (`__` for a dot) makes, closed at the end."""
    cls, checked = prepare(
        "SINK",
        {
            "connector.class": "ElasticsearchSink",
            "topics": topics,
            "connection.url": url,
            "type.name": "type.name=kafkaconnect",
            "read.timeout.ms": "60000",
        }
        | {name.replace("__", "."): value for name, value in options.items()},
    )
    sink = cls.create("x", checked, {}, FixedClock())
    assert isinstance(sink, ElasticsearchSink)
    with closing(sink):
        yield sink


def documents(url: str, index: str) -> dict[str, Any]:
    """All documents of an index, by id."""
    httpx.post(f"{url}/{index}/_refresh").raise_for_status()
    answer = httpx.get(f"{url}/{index}/_search", params={"size": 10_000})
    return {hit["_id"]: hit["_source"] for hit in answer.raise_for_status().json()["hits"]["hits"]}


def batch(topic: str, first: int, pairs: list[tuple[str, str | None]]) -> SinkRecords:
    """Records of keys and values, with offsets from `first` on."""
    return SinkRecords(
        topic=topic,
        partition=np.zeros(len(pairs), np.int32),
        offset=np.arange(first, first + len(pairs)),
        rowtime=np.arange(len(pairs)),
        key=pa.array([k.encode() for k, _ in pairs], pa.binary()),
        value=pa.array([v if v is None else v.encode() for _, v in pairs], pa.binary()),
    )


def test_documents_by_place_however_often_they_are_sent(opensearch: str) -> None:
    values = [(str(n), json.dumps({"N": n, "S": f"é\n{n}"})) for n in range(2_500)]
    with sink_of(opensearch, "By_Place", key__ignore="true", batch__size="400") as sink:
        for _ in range(2):
            assert sink.put(batch("By_Place", 0, [*values, ("x", None)])) == []
        assert sink.skipped == 2
    found = documents(opensearch, "by_place")
    assert len(found) == 2_500
    assert found["By_Place+0+7"] == {"N": 7, "S": "é\n7"}


def test_documents_by_key_updates_and_deletes(opensearch: str) -> None:
    with sink_of(opensearch, "by_key", connection__compression="true") as sink:
        pairs: list[tuple[str, str | None]] = [("a", '{"N":1}'), ("b", '{"N":1}'), ("a", '{"N":2}')]
        assert sink.put(batch("by_key", 0, pairs)) == []
        assert sink.put(batch("by_key", 3, [("b", None), ("never", None)])) == []
    assert documents(opensearch, "by_key") == {"a": {"N": 2}}


def test_upserts_merge(opensearch: str) -> None:
    with sink_of(opensearch, "merged", write__method="UPSERT") as sink:
        pairs: list[tuple[str, str | None]] = [("a", '{"N":1,"M":5}'), ("a", '{"N":2}')]
        assert sink.put(batch("merged", 0, pairs)) == []
    assert documents(opensearch, "merged") == {"a": {"N": 2, "M": 5}}


def test_bad_documents_are_rejected_one_by_one(opensearch: str) -> None:
    pairs: list[tuple[str, str | None]] = [
        ("1", '{"N":1}'),
        ("2", '{"N":"no number"}'),
        ("3", "no json"),
        ("4", '{\n  "N": 4\n}'),
        ("5", '{"N":'),
        ("6", '{\n"N":'),
        ("7", "[7]"),
        ("x" * 600, '{"N":8}'),
        ("", '{"N":9}'),
    ]
    with sink_of(opensearch, "bad_ones") as sink:
        refused = sink.put(batch("bad_ones", 0, pairs))
    assert sorted(r.place for r in refused) == [1, 2, 4, 5, 6, 7, 8]
    assert all(r.message.endswith(".") for r in refused)
    assert documents(opensearch, "bad_ones") == {"1": {"N": 1}, "4": {"N": 4}}


def test_an_index_that_takes_nothing(opensearch: str) -> None:
    httpx.put(f"{opensearch}/closed_one").raise_for_status()
    httpx.post(f"{opensearch}/closed_one/_close").raise_for_status()
    with (
        sink_of(opensearch, "closed_one") as sink,
        pytest.raises(ConnectorError, match="the index is closed"),
    ):
        sink.put(batch("closed_one", 0, [("a", "{}")]))


def test_a_blocked_index_is_tried_again(opensearch: str) -> None:
    blocked = {"index.blocks.read_only_allow_delete": True}
    httpx.put(f"{opensearch}/full_disk").raise_for_status()
    settings = f"{opensearch}/full_disk/_settings"
    httpx.put(settings, json=blocked).raise_for_status()
    with sink_of(opensearch, "full_disk") as sink:
        with pytest.raises(RetriableError):
            sink.put(batch("full_disk", 0, [("a", "{}")]))
        httpx.put(settings, json=dict.fromkeys(blocked)).raise_for_status()
        assert sink.put(batch("full_disk", 0, [("a", "{}")])) == []
    assert documents(opensearch, "full_disk") == {"a": {}}


def test_a_wrong_path_and_a_port_where_nobody_is(opensearch: str) -> None:
    with (
        sink_of(f"{opensearch}/nowhere/at/all", "t") as sink,
        pytest.raises(ConnectorError, match="no handler found"),
    ):
        sink.put(batch("t", 0, [("a", "{}")]))
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with (
            sink_of(url, "t") as sink,
            pytest.raises(RetriableError, match="cannot be reached"),
        ):
            sink.put(batch("t", 0, [("a", "{}")]))
        with sink_of(f"{url},{opensearch}", "second_url") as sink:
            assert sink.put(batch("second_url", 0, [("a", "{}")])) == []
    assert documents(opensearch, "second_url") == {"a": {}}


ALERTS_KEY = Layout("KAFKA", (Column("K1", INTEGER, Role.KEY),), wrap=False)
ALERTS = Layout("JSON", (Column("STATUS", INTEGER), Column("ERRORS", BIGINT)))
ACTIVITY = Layout("JSON", (Column("USERNAME", STRING), Column("COUNT", BIGINT)))


def typed(first: int, count: int, *, activity: bool) -> Records:
    """Records as a query writes them, in columns, with a windowed key."""
    numbers = np.arange(first, first + count)
    key = TypedPart(ALERTS_KEY, [pa.array(numbers, pa.int32())])
    if activity:
        names = pa.array([f"user {n}" for n in numbers.tolist()])
        value = TypedPart(ACTIVITY, [names, pa.array(numbers)])
    else:
        value = TypedPart(ALERTS, [pa.array(numbers, pa.int32()), pa.array(numbers)])
    return Records(
        partition=np.zeros(count, np.int32),
        offset=np.full(count, -1, np.int64),
        seq=numbers,
        writer=np.ones(count, np.int64),
        rowtime=numbers,
        key=key,
        value=value,
        window_start=numbers * 60_000,
        window_end=(numbers + 1) * 60_000,
    )


def append(store: Store, topic: str, records: Records) -> int:
    """Append records to a topic, made where there is none; its id."""
    with store.begin() as commit:
        found = commit.topic(topic) or commit.create_topic(topic, 1)
        commit.append(found.id, records)
        commit.commit()
    return found.id


class Engine:
    """The engine's part: commits a worker's progress."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self.progress: queue.Queue[tuple[int, int]] = queue.Queue()
        self.states: queue.Queue[tuple[str, str | None]] = queue.Queue()
        self.rejected: list[Rejected] = []

    def worker(self, sink: ElasticsearchSink) -> SinkWorker:
        """A worker whose progress is committed."""
        return SinkWorker(
            1,
            "analyzed_clickstream",
            sink,
            self._store,
            on_progress=self._commit,
            on_state=lambda state, message: self.states.put((state, message)),
            on_rejected=self.rejected.extend,
        )

    def await_ends(self, ends: dict[int, int]) -> None:
        """Wait until every topic is delivered up to its end."""
        seen: dict[int, int] = {}
        while seen != ends:
            topic_id, ordinal = self.progress.get(timeout=WAIT_S)
            seen[topic_id] = ordinal

    def _commit(self, topic_id: int, ordinal: int) -> None:
        with self._lock, self._store.begin() as commit:
            commit.set_position(owner_of(1), topic_id, ordinal)
            commit.commit()
        self.progress.put((topic_id, ordinal))


def test_a_worker_carries_typed_topics_and_goes_on_after_a_restart(opensearch: str) -> None:
    topics = "USER_IP_ACTIVITY, ERRORS_PER_MIN_ALERT"
    with closing(open_store(":memory:")) as store:
        activity = append(store, "user_ip_activity", typed(0, 3_000, activity=True))
        alerts = append(store, "errors_per_min_alert", typed(400, 10, activity=False))
        engine = Engine(store)
        with sink_of(opensearch, topics, key__ignore="true") as sink:
            worker = engine.worker(sink)
            worker.start()
            engine.await_ends({activity: 3_000, alerts: 10})
            worker.stop()
        append(store, "user_ip_activity", typed(3_000, 500, activity=True))
        with sink_of(opensearch, topics, key__ignore="true") as sink:
            worker = engine.worker(sink)
            worker.start()
            engine.await_ends({activity: 3_500})
            worker.stop()
            assert worker.counts.delivered == 500
    assert engine.rejected == []
    found = documents(opensearch, "user_ip_activity")
    assert len(found) == 3_500
    assert found["user_ip_activity+0+3499"] == {"USERNAME": "user 3499", "COUNT": 3499}
    assert documents(opensearch, "errors_per_min_alert")["errors_per_min_alert+0+4"] == {
        "STATUS": 404,
        "ERRORS": 404,
    }


def test_a_worker_waits_for_a_server_that_comes_later(opensearch: str) -> None:
    with socket.socket() as proxy, closing(open_store(":memory:")) as store:
        proxy.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        topic_id = append(store, "later", typed(0, 1, activity=True))
        engine = Engine(store)
        with sink_of(url, "later", key__ignore="true", retry__backoff__ms="1") as sink:
            worker = engine.worker(sink)
            worker.start()
            state, message = engine.states.get(timeout=WAIT_S)
            assert state == "RUNNING" and message is not None and "cannot be reached" in message
            assert engine.progress.empty()
            sink._urls[0] = opensearch  # as if the server had come up
            engine.await_ends({topic_id: 1})
            worker.stop()
    assert len(documents(opensearch, "later")) == 1


def test_user_and_password(opensearch: str) -> None:
    with basic_auth_proxy(opensearch, "me", "hush") as url:
        right = {"connection__user": "me", "connection__password": "hush"}
        with sink_of(url, "logged_in", **right) as sink:
            assert sink.put(batch("logged_in", 0, [("a", "{}")])) == []
        for wrong in (right | {"connection__password": "hash"}, {}):
            with (
                sink_of(url, "logged_in", **wrong) as sink,
                pytest.raises(ConnectorError, match="does not let this user in"),
            ):
                sink.put(batch("logged_in", 1, [("b", "{}")]))
    assert documents(opensearch, "logged_in") == {"a": {}}
