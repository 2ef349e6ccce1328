"""The Elasticsearch sink against scripted servers: what it sends, and what it makes of answers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from millstream.clock import FixedClock
from millstream.connect.base import ConnectorError, RetriableError, SinkRecords
from millstream.connect.bulk import Operation
from millstream.connect.elasticsearch import ElasticsearchSink
from millstream.connect.registry import prepare
from millstream.connect.retry import RetryPolicy

OPTIONS = {
    "connector.class": "ElasticsearchSink",
    "topics": "USER_IP_ACTIVITY, ERRORS_PER_MIN_ALERT",
    "connection.url": "http://localhost:9200",
    "key.ignore": "true",
}
Answer = httpx.Response | Exception


def made(**options: str) -> ElasticsearchSink:
    """The sink that a statement with these options (`__` for a dot) makes."""
    changed = {name.replace("__", "."): value for name, value in options.items()}
    cls, checked = prepare("SINK", OPTIONS | changed)
    sink = cls.create("x", checked, {}, FixedClock())
    assert isinstance(sink, ElasticsearchSink)
    return sink


def records(
    *values: str | bytes | None,
    topic: str = "Clicks",
    keys: list[str | None] | None = None,
    **more: Any,
) -> SinkRecords:
    """Records with offsets from 5 on."""
    count = len(values)
    data = [v.encode() if isinstance(v, str) else v for v in values]
    texts = keys or [f"k{n}" for n in range(count)]
    return SinkRecords(
        topic=topic,
        partition=np.zeros(count, np.int32),
        offset=np.arange(5, 5 + count),
        rowtime=np.arange(count) * 10,
        key=pa.array([k if k is None else k.encode() for k in texts], pa.binary()),
        value=pa.array(data, pa.binary()),
        key_text=pa.array(texts, pa.string()),
        **more,
    )


class Server:
    """Answers calls by its script, and then that all went well."""

    def __init__(self, *script: Answer | Callable[[list[Any]], httpx.Response]) -> None:
        self.script = list(script)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = self.script.pop(0) if self.script else all_well
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, httpx.Response) else step(lines_of(request))

    def sink(self, *urls: str, key_ignore: bool = True, **more: Any) -> ElasticsearchSink:
        """A sink that talks to this server."""
        operation = more.pop("operation", Operation(key_ignore=key_ignore))
        return ElasticsearchSink(
            topics=["Clicks"],
            urls=list(urls) or ["http://a:1"],
            operation=operation,
            transport=httpx.MockTransport(self),
            **more,
        )

    @property
    def calls(self) -> list[list[Any]]:
        """The lines of each call, decoded."""
        return [lines_of(request) for request in self.requests]


def lines_of(request: httpx.Request) -> list[Any]:
    """The JSON documents of a call's body."""
    assert request.content.endswith(b"\n")
    return [json.loads(line) for line in request.content.splitlines()]


def actions(lines: list[Any]) -> list[tuple[str, str]]:
    """(action, id) of each document of a call."""
    heads = [line for line in lines if set(line) & {"index", "update", "delete"} == set(line)]
    return [(verb, place["_id"]) for head in heads for verb, place in head.items()]


def all_well(lines: list[Any]) -> httpx.Response:
    """The answer to a call of which nothing failed."""
    return with_items(lambda _: {"status": 201})(lines)


def with_items(item: Callable[[int], dict[str, Any]]) -> Callable[[list[Any]], httpx.Response]:
    """An answer whose n-th item is what `item` says."""

    def answer(lines: list[Any]) -> httpx.Response:
        items = [
            {verb: {"_index": "clicks", "_id": name, **item(n)}}
            for n, (verb, name) in enumerate(actions(lines))
        ]
        errors = any("error" in next(iter(i.values())) for i in items)
        return httpx.Response(200, json={"took": 1, "errors": errors, "items": items})

    return answer


def one_failed(number: int, status: int, kind: str) -> Callable[[list[Any]], httpx.Response]:
    """An answer in which one document failed."""
    error = {"type": kind, "reason": "because.", "caused_by": {"type": "x", "reason": "of that"}}
    return with_items(
        lambda n: {"status": status, "error": error} if n == number else {"status": 201}
    )


# What is sent.


def test_documents_with_ids_of_their_place() -> None:
    server = Server()
    sink = server.sink("http://a:1")
    assert sink.put(records('{"A":1}', '{"A":2}')) == []
    sink.close()
    (request,) = server.requests
    assert str(request.url) == "http://a:1/_bulk"
    assert request.headers["content-type"] == "application/x-ndjson"
    assert server.calls == [
        [
            {"index": {"_index": "clicks", "_id": "Clicks+0+5"}},
            {"A": 1},
            {"index": {"_index": "clicks", "_id": "Clicks+0+6"}},
            {"A": 2},
        ]
    ]


def test_documents_with_ids_of_their_keys_and_deletes() -> None:
    server = Server()
    sink = server.sink(operation=Operation(key_ignore=False, on_null="DELETE"))
    keys = ['q"k', "b", None, "", "é" * 256, "é" * 257]
    refused = sink.put(records('{"A":1}', None, "{}", "{}", "{}", "{}", keys=keys))
    sink.close()
    assert server.calls == [
        [
            {"index": {"_index": "clicks", "_id": 'q"k'}},
            {"A": 1},
            {"delete": {"_index": "clicks", "_id": "b"}},
            {"index": {"_index": "clicks", "_id": "é" * 256}},
            {},
        ]
    ]
    assert [(r.topic, r.record, r.place) for r in refused] == [
        ("Clicks", b"{}", 7),
        ("Clicks", b"{}", 8),
        ("Clicks", b"{}", 10),
    ]


def test_windows_belong_to_the_id() -> None:
    server = Server()
    sink = server.sink(key_ignore=False)
    starts = np.array([0, 60])
    sink.put(records("{}", "{}", keys=["a", "a"], window_start=starts))
    sink.put(records("{}", "{}", keys=["a", "a"], window_start=starts, window_end=starts + 9))
    sink.close()
    ids = [[name for _, name in actions(call)] for call in server.calls]
    assert ids == [["a@0", "a@60"], ["a@0-9", "a@60-69"]]


def test_upsert() -> None:
    server = Server()
    sink = server.sink(operation=Operation(key_ignore=False, upsert=True))
    refused = sink.put(records('{"A":1}', '{"A":', "[1]"))
    sink.close()
    assert server.calls == [
        [
            {"update": {"_index": "clicks", "_id": "k0"}},
            {"doc": {"A": 1}, "doc_as_upsert": True},
        ]
    ]
    assert [r.record for r in refused] == [b'{"A":', b"[1]"]


def test_values_are_put_on_one_line_digit_by_digit() -> None:
    server = Server()
    sink = server.sink()
    long = "123456789012345678901234567890.10"
    refused = sink.put(records(f'{{\n "A" : {long},\r\n"B":"\\n"}}', "{\n", "", " \n"))
    sink.close()
    (request,) = server.requests
    assert request.content.splitlines()[1:] == [f'{{"A":{long},"B":"\\n"}}'.encode()]
    assert [r.place for r in refused] == [6, 7, 8]


def test_tombstones_are_skipped_and_counted_where_keys_are_ignored() -> None:
    server = Server()
    sink = server.sink()
    assert sink.put(records(None, "{}", None)) == []
    assert sink.put(records(None)) == []
    sink.close()
    assert sink.skipped == 3
    assert [actions(call) for call in server.calls] == [[("index", "Clicks+0+6")]]


def test_tombstones_can_be_left_out_or_be_an_error() -> None:
    server = Server()
    sink = server.sink(operation=Operation(key_ignore=False, on_null="IGNORE"))
    sink.put(records(None))
    assert (sink.skipped, server.requests) == (1, [])
    failing = server.sink(operation=Operation(key_ignore=False, on_null="FAIL"))
    with pytest.raises(ConnectorError, match="offset 5 of Clicks is a tombstone"):
        failing.put(records(None))


def test_calls_are_limited_by_documents_and_bytes() -> None:
    server = Server()
    sink = server.sink(batch_size=3)
    sink.put(records(*["{}"] * 7))
    assert [len(actions(call)) for call in server.calls] == [3, 3, 1]
    small = server.sink(batch_bytes=10)
    server.requests.clear()
    small.put(records("{}", "{}"))
    sink.close()
    small.close()
    assert [len(actions(call)) for call in server.calls] == [1, 1]


def test_nothing_is_sent_of_nothing() -> None:
    server = Server()
    assert server.sink().put(records()) == []
    assert server.requests == []


def test_log_in_and_compression() -> None:
    server = Server(lambda _: httpx.Response(200, json={"errors": False, "items": []}))
    server.script = [httpx.Response(200, json={"errors": False, "items": []})]
    sink = server.sink(auth=("me", "hush"), compress=True)
    sink.put(records("{}"))
    sink.close()
    (request,) = server.requests
    assert request.headers["authorization"].startswith("Basic ")
    assert request.headers["content-encoding"] == "gzip"
    assert gzip.decompress(request.content).endswith(b"\n{}\n")


# What answers mean.


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_server_that_is_busy_is_tried_again(status: int) -> None:
    server = Server(httpx.Response(status, json={"error": {"reason": "too busy"}}))
    sink = server.sink()
    with pytest.raises(RetriableError, match="too busy"):
        sink.put(records("{}"))
    assert sink.put(records("{}")) == []
    sink.close()
    assert server.calls[0] == server.calls[1]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectError("refused"), "refused"),
        (httpx.ConnectTimeout("late"), "connection.timeout.ms"),
        (httpx.ReadTimeout("late"), "read.timeout.ms"),
        (httpx.RemoteProtocolError("gone"), "gone"),
    ],
)
def test_a_server_that_is_away_is_tried_again(error: Exception, words: str) -> None:
    sink = Server(error).sink("http://me:hush@a:1")
    with pytest.raises(RetriableError, match=words) as raised:
        sink.put(records("{}"))
    sink.close()
    assert "hush" not in raised.value.message


def test_the_next_address_is_asked_and_kept() -> None:
    server = Server(httpx.ConnectError("refused"))
    sink = server.sink("http://a:1", "http://b:2")
    sink.put(records("{}"))
    sink.put(records("{}"))
    sink.close()
    assert [request.url.host for request in server.requests] == ["a", "b", "b"]


def test_all_addresses_away_names_each() -> None:
    server = Server(httpx.ConnectError("one"), httpx.ConnectError("two"))
    sink = server.sink("http://a:1", "http://b:2")
    with pytest.raises(RetriableError, match=r"http://a:1 \(one\), http://b:2 \(two\)"):
        sink.put(records("{}"))
    sink.close()


def test_an_untrusted_certificate_is_for_good() -> None:
    server = Server(httpx.ConnectError("[SSL] certificate verify failed: self-signed"))
    sink = server.sink("https://a:1")
    with pytest.raises(ConnectorError) as raised:
        sink.put(records("{}"))
    sink.close()
    assert "ssl.ca.location" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "refused the call: HTTP 400: not so"),
        (401, "HTTP 401"),
        (403, "HTTP 403"),
        (404, "no search server"),
        (405, "no search server"),
        (302, "no search server"),
    ],
)
def test_answers_that_are_for_good(status: int, words: str) -> None:
    server = Server(httpx.Response(status, json={"error": {"type": "x", "reason": "not so"}}))
    sink = server.sink()
    with pytest.raises(ConnectorError, match=words):
        sink.put(records("{}"))
    sink.close()


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"{}", b""])
def test_an_answer_of_something_else(content: bytes) -> None:
    sink = Server(httpx.Response(200, content=content)).sink()
    with pytest.raises(ConnectorError, match="no search server says"):
        sink.put(records("{}"))
    sink.close()


@pytest.mark.parametrize("status", [429, 503])
def test_a_document_that_failed_for_now_makes_the_call_again(status: int) -> None:
    server = Server(one_failed(1, status, "es_rejected_execution_exception"))
    sink = server.sink()
    with pytest.raises(RetriableError, match="because"):
        sink.put(records("{}", "{}", "{}"))
    assert sink.put(records("{}", "{}", "{}")) == []
    sink.close()
    assert server.calls[0] == server.calls[1]


def test_a_full_disk_is_for_now_whatever_its_status() -> None:
    sink = Server(one_failed(0, 403, "cluster_block_exception")).sink()
    with pytest.raises(RetriableError):
        sink.put(records("{}"))
    sink.close()


@pytest.mark.parametrize("kind", ["mapper_parsing_exception", "document_parsing_exception", ""])
def test_a_document_that_does_not_fit_is_rejected(kind: str) -> None:
    sink = Server(one_failed(1, 400, kind)).sink()
    (refused,) = sink.put(records("{}", '{"A":"x"}', "{}"))
    sink.close()
    assert (refused.topic, refused.record, refused.place) == ("Clicks", b'{"A":"x"}', 6)
    assert refused.message == "The search server refused it: because (of that)."


def test_a_document_that_does_not_fit_can_stop_it() -> None:
    sink = Server(one_failed(0, 400, "mapper_parsing_exception")).sink(fail_on_malformed=True)
    with pytest.raises(ConnectorError, match=r"because.*FAIL"):
        sink.put(records("{}"))
    sink.close()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, "index_not_found_exception"),
        (400, "index_closed_exception"),
        (400, "invalid_index_name_exception"),
        (403, "security_exception"),
    ],
)
def test_an_index_that_takes_nothing_is_for_good(status: int, kind: str) -> None:
    sink = Server(one_failed(0, status, kind)).sink()
    with pytest.raises(ConnectorError, match="index clicks"):
        sink.put(records("{}"))
    sink.close()


def test_version_conflicts_and_deletes_of_nothing_are_fine() -> None:
    server = Server(
        one_failed(0, 409, "version_conflict_engine_exception"),
        with_items(lambda _: {"status": 404, "result": "not_found"}),
    )
    sink = server.sink(operation=Operation(key_ignore=False, on_null="DELETE"))
    assert sink.put(records("{}")) == []
    assert sink.put(records(None)) == []
    sink.close()


def test_a_call_that_is_too_large_is_halved() -> None:
    def at_most_two(lines: list[Any]) -> httpx.Response:
        return httpx.Response(413) if len(actions(lines)) > 2 else all_well(lines)

    server = Server(*[at_most_two] * 20)
    sink = server.sink()
    assert sink.put(records(*["{}"] * 5)) == []
    sink.close()
    assert [len(actions(call)) for call in server.calls] == [5, 2, 3, 1, 2]


def test_a_document_that_is_too_large_alone_is_rejected() -> None:
    sink = Server(httpx.Response(413)).sink()
    (refused,) = sink.put(records("{}"))
    sink.close()
    assert "larger" in refused.message


def test_calls_that_succeeded_are_not_made_again() -> None:
    server = Server(one_failed(0, 400, "mapper_parsing_exception"), httpx.Response(503))
    sink = server.sink(batch_size=2)
    with pytest.raises(RetriableError):
        sink.put(records(*["{}"] * 4))
    refused = sink.put(records(*["{}"] * 6))  # two more are there by now
    sink.close()
    assert [r.place for r in refused] == [5]
    assert [actions(call)[0][1] for call in server.calls] == [
        "Clicks+0+5",
        "Clicks+0+7",
        "Clicks+0+7",
        "Clicks+0+9",
    ]


def test_other_records_are_sent_from_their_start() -> None:
    server = Server(all_well, httpx.Response(503))
    sink = server.sink(batch_size=2)
    with pytest.raises(RetriableError):
        sink.put(records(*["{}"] * 4))
    other = records(*["{}"] * 4)
    other.rowtime = other.rowtime + 1_000  # the topic was dropped and made again
    sink.put(other)
    sink.close()
    assert [actions(call)[0][1] for call in server.calls[2:]] == ["Clicks+0+5", "Clicks+0+7"]


# Options.


def test_options_of_the_recipe() -> None:
    sink = made(
        name="recipe-elasticsearch-analyzed_clickstream",
        input__data__format="JSON",
        kafka__api__key="<my-kafka-api-key>",
        kafka__api__secret="<my-kafka-api-secret>",
        connection__user="<elasticsearch-username>",
        connection__password="<elasticsearch-password>",
        type__name="type.name=kafkaconnect",
        schema__ignore="true",
    )
    assert sink.topics() == ["USER_IP_ACTIVITY", "ERRORS_PER_MIN_ALERT"]
    assert sink.retry == RetryPolicy(first_ms=100, max_retries=None)


@pytest.mark.parametrize(
    "url", ["<elasticsearch-URI>", "localhost:9200", "ftp://a", "http://", "http://a:x", ","]
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConnectorError) as raised:
        made(connection__url=url)
    assert "http://localhost:9200" in str(raised.value.hint)


def test_topics_that_would_share_an_index() -> None:
    with pytest.raises(ConnectorError, match="differ only in case"):
        made(topics="a, b, A")
    assert made(topics="a,a , b").topics() == ["a", "b"]


@pytest.mark.parametrize("topic", ["_x", "-x", "a:b", "a*", "a b", "x" * 256, ".."])
def test_topics_that_cannot_be_an_index(topic: str) -> None:
    with pytest.raises(ConnectorError, match="cannot become an index"):
        made(topics=topic)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"topics": ","}, "names no topic"),
        ({"input__data__format": "AVRO"}, "AVRO is not supported yet"),
        ({"key__ignore": "maybe"}, "key.ignore"),
        ({"write__method": "MERGE"}, "write.method"),
        ({"behavior__on__null__values": "x"}, "behavior.on.null.values"),
        ({"batch__size": "0"}, "batch.size"),
        ({"connection__user": "me"}, "connection.password"),
        ({"max__retries": "-1"}, "max.retries"),
    ],
)
def test_options_that_are_wrong(options: dict[str, str], words: str) -> None:
    with pytest.raises(ConnectorError, match=words):
        made(**options)


def test_retry_options() -> None:
    sink = made(max__retries="3", retry__backoff__ms="250")
    assert sink.retry == RetryPolicy(first_ms=250, max_retries=3)


def test_certificates_that_cannot_be_read() -> None:
    sink = Server().sink("https://a:1", certificates="/nowhere/ca.pem")
    with pytest.raises(ConnectorError, match=r"ssl\.ca\.location"):
        sink.put(records("{}"))
