"""The connector class ElasticsearchSink: topics to indices of Elasticsearch or OpenSearch.

Plain HTTP: one `_bulk` call a batch, `_type` is never sent. An index is called as its topic, in
lower case. Delivery is at least once, and doing it again changes nothing: a document's id is
`topic+partition+offset` where `key.ignore` is true, else the record's key.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from millstream.clock import Clock
from millstream.connect.base import (
    ConnectorError,
    Option,
    Rejected,
    RetriableError,
    SinkRecords,
)
from millstream.connect.bulk import Bulk, Operation, make_bulk
from millstream.connect.bulk_answer import judge_answer
from millstream.connect.options import OptionReader, is_placeholder
from millstream.connect.retry import RetryPolicy

if TYPE_CHECKING:
    import httpx

_URL_HINT = (
    "Write the address of the server, such as 'connection.url' = 'http://localhost:9200'; "
    "several may be separated by commas."
)
_LONGEST_INDEX_NAME = 255
_NOT_IN_INDEX_NAMES = frozenset('\\/*?"<>| ,#:')


class ElasticsearchClass:
    """Writes topics to Elasticsearch 7 and later or OpenSearch."""

    names: tuple[str, ...] = (
        "ElasticsearchSink",
        "io.confluent.connect.elasticsearch.ElasticsearchSinkConnector",
        "ElasticsearchSinkConnector",
    )
    direction = "SINK"
    options: tuple[Option, ...] = (
        Option("topics", "The topics to write, separated by commas.", required=True),
        Option("connection.url", "The server's address, or several.", required=True),
        Option("connection.user", "Who to log in as; a <placeholder> left in means nobody."),
        Option("connection.username", "The same as connection.user, self-managed."),
        Option("connection.password", "The password to log in with."),
        Option("key.ignore", "true: ids are topic+partition+offset; false: the keys.", "false"),
        Option("write.method", "INSERT replaces a document, UPSERT merges into it.", "INSERT"),
        Option("behavior.on.null.values", "Of tombstones: IGNORE, DELETE (by key) or FAIL."),
        Option(
            "behavior.on.malformed.documents",
            "Of documents that the server refuses: WARN and IGNORE note them in the processing "
            "log and go on, FAIL stops the connector.",
            "WARN",
        ),
        Option("batch.size", "Documents of one call, at most.", "2000"),
        Option("bulk.size.bytes", "Bytes of one call, about.", "5242880"),
        Option("max.retries", "Tries before it fails; left out: it never gives up."),
        Option("retry.backoff.ms", "The wait before the first retry; it doubles.", "100"),
        Option("connection.timeout.ms", "Longest wait for a connection.", "1000"),
        Option("read.timeout.ms", "Longest wait for an answer.", "3000"),
        Option("connection.compression", "true: calls are packed with gzip.", "false"),
        Option("ssl.ca.location", "A file of certificates to trust (Millstream's own)."),
        Option("input.data.format", "How values are written; only JSON yet.", "JSON"),
        Option("type.name", "Servers have no types any more.", ignored=True),
        Option("schema.ignore", "The server finds the mapping itself.", ignored=True),
        Option("compact.map.entries", "Maps are JSON objects.", ignored=True),
        Option("drop.invalid.message", "See behavior.on.malformed.documents.", ignored=True),
        Option("linger.ms", "What there is is sent at once.", ignored=True),
        Option("flush.timeout.ms", "Every call is awaited.", ignored=True),
        Option("flush.synchronously", "Every call is awaited.", ignored=True),
        Option("max.in.flight.requests", "One call at a time keeps the order.", ignored=True),
        Option("max.buffered.records", "Records wait in their topic.", ignored=True),
        Option("max.connection.idle.time.ms", "Connections are kept while in use.", ignored=True),
        Option("auto.create.indices.at.start", "The server makes them.", ignored=True),
        Option("elastic.security.protocol", "The address says it: https.", ignored=True),
        Option("input.key.format", "Ids are the keys as text.", ignored=True),
        Option("consumer.override.*", "There is no consumer in between.", ignored=True),
        Option("max.poll.records", "There is no consumer in between.", ignored=True),
        Option("max.poll.interval.ms", "There is no consumer in between.", ignored=True),
    )

    def create(
        self, name: str, options: Mapping[str, str], position: dict[str, Any], clock: Clock
    ) -> ElasticsearchSink:
        """A sink; no call is made yet. Raises ConnectorError."""
        read = OptionReader(self, options)
        if read.required("input.data.format").upper() not in ("JSON", "JSON_SR"):
            raise ConnectorError(
                f"The input.data.format {read.text('input.data.format')} is not supported yet.",
                hint="Write 'input.data.format' = 'JSON'.",
            )
        retries = None if read.text("max.retries") is None else read.integer("max.retries")
        key_ignore = read.flag("key.ignore")
        on_null = "IGNORE" if key_ignore else "DELETE"
        if read.text("behavior.on.null.values"):
            on_null = read.choice("behavior.on.null.values", ("IGNORE", "DELETE", "FAIL"))
        return ElasticsearchSink(
            topics=_topics(read.required("topics")),
            urls=_urls(read.required("connection.url")),
            auth=_auth(read),
            certificates=read.text("ssl.ca.location"),
            operation=Operation(
                key_ignore=key_ignore,
                upsert=read.choice("write.method", ("INSERT", "UPSERT")) == "UPSERT",
                on_null=on_null,
            ),
            fail_on_malformed=read.choice(
                "behavior.on.malformed.documents", ("WARN", "IGNORE", "FAIL")
            )
            == "FAIL",
            batch_size=read.integer("batch.size", least=1),
            batch_bytes=read.integer("bulk.size.bytes", least=1),
            connect_timeout_s=read.integer("connection.timeout.ms", least=1) / 1_000,
            read_timeout_s=read.integer("read.timeout.ms", least=1) / 1_000,
            compress=read.flag("connection.compression"),
            retry=RetryPolicy(
                first_ms=read.integer("retry.backoff.ms", least=1), max_retries=retries
            ),
        )


class ElasticsearchSink:
    """A running sink. `transport` replaces the network, for tests."""

    def __init__(
        self,
        *,
        topics: list[str],
        urls: list[str],
        operation: Operation,
        auth: tuple[str, str] | None = None,
        certificates: str | None = None,
        fail_on_malformed: bool = False,
        batch_size: int = 2_000,
        batch_bytes: int = 5_242_880,
        connect_timeout_s: float = 1.0,
        read_timeout_s: float = 3.0,
        compress: bool = False,
        retry: RetryPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.retry = retry or RetryPolicy()
        self.skipped = 0
        """Tombstones left out so far."""
        self._topics = topics
        self._urls = urls
        self._operation = operation
        self._auth = auth
        self._certificates = certificates
        self._fail_on_malformed = fail_on_malformed
        self._batch_size = batch_size
        self._batch_bytes = batch_bytes
        self._timeouts_s = (connect_timeout_s, read_timeout_s)
        self._compress = compress
        self._transport = transport
        self._client: httpx.Client | None = None
        self._url = 0
        self._done = _Done()

    def topics(self) -> Sequence[str]:
        """The topics of the option, as written."""
        return self._topics

    def put(self, records: SinkRecords) -> list[Rejected]:
        """Write all records, in calls of `batch_size` documents at most.

        Where a call fails for now, RetriableError is raised; when the same records come again,
        calls that succeeded are not made again. Within a call, order holds: it is repeated whole.
        """
        done = self._done
        if not done.begins_like(records):
            done = self._done = _Done.of(records)
        while done.rows < len(records.offset):
            bulk = make_bulk(
                records, done.rows, self._batch_size, self._batch_bytes, self._operation
            )
            refused = self._send(bulk) if bulk.rows else []
            if refused and self._fail_on_malformed:
                raise ConnectorError(
                    f"{refused[0].message} (behavior.on.malformed.documents is FAIL.)"
                )
            done.rejected += bulk.rejected + refused
            done.skipped += bulk.skipped
            done.rows = bulk.end
        self._done = _Done()
        self.skipped += done.skipped
        return done.rejected

    def close(self) -> None:
        """Close the connections. Idempotent."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _send(self, bulk: Bulk) -> list[Rejected]:
        """Make the call; a batch that is too large for the server is halved."""
        status, content = self._post(bulk.body())
        if status != 413:
            return judge_answer(status, content, bulk, self._urls[self._url])
        if len(bulk.rows) == 1:
            return [bulk.reject(0, "The document is larger than the server takes.")]
        first, second = bulk.halves()
        return self._send(first) + self._send(second)

    def _post(self, body: bytes) -> tuple[int, bytes]:
        """Status and content of the first server's answer, trying each address once."""
        import httpx

        client = self._client or self._connect()
        headers = {"Content-Type": "application/x-ndjson", "Accept": "application/json"}
        if self._compress:
            import gzip

            body = gzip.compress(body, compresslevel=1)
            headers["Content-Encoding"] = "gzip"
        reasons: list[str] = []
        for _ in self._urls:
            url = self._urls[self._url]
            try:
                answer = client.post(f"{url}/_bulk", content=body, headers=headers)
                return answer.status_code, answer.content
            except httpx.TransportError as error:
                if "certificate" in str(error).lower():
                    raise _untrusted(url, error) from None
                reasons.append(f"{_plain(url)} ({_reason(error)})")
            self._url = (self._url + 1) % len(self._urls)
        raise RetriableError(f"The search server cannot be reached: {', '.join(reasons)}.")

    def _connect(self) -> httpx.Client:
        import httpx

        connect_s, read_s = self._timeouts_s
        self._client = httpx.Client(
            auth=self._auth,
            timeout=httpx.Timeout(read_s, connect=connect_s),
            verify=_trust(self._certificates) if self._certificates else True,
            transport=self._transport,
        )
        return self._client


class _Done:
    """How much of a run of records, known by its first one, is written already."""

    def __init__(self, first: tuple[str, int, int, int] | None = None) -> None:
        self.first = first
        self.rows = 0
        self.rejected: list[Rejected] = []
        self.skipped = 0

    @staticmethod
    def of(records: SinkRecords) -> _Done:
        """Nothing done of these records."""
        return _Done(_first_of(records))

    def begins_like(self, records: SinkRecords) -> bool:
        """Whether these are the same records (there may be more of them now)."""
        return (
            self.first is not None
            and self.first == _first_of(records)
            and self.rows <= len(records.offset)
        )


def _first_of(records: SinkRecords) -> tuple[str, int, int, int] | None:
    if not len(records.offset):
        return None
    numbers = (records.partition, records.offset, records.rowtime)
    partition, offset, rowtime = (int(n[0]) for n in numbers)
    return records.topic, partition, offset, rowtime


def _topics(text: str) -> list[str]:
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise ConnectorError("The option 'topics' names no topic.")
    by_index: dict[str, str] = {}
    for name in names:
        other = by_index.setdefault(name.lower(), name)
        if other != name:
            raise ConnectorError(
                f"The topics {other} and {name} differ only in case, and would be mixed up in "
                f"one index, {name.lower()}.",
                hint="Write only one of them in the option 'topics'.",
            )
        _check_index(name)
    return names


def _check_index(topic: str) -> None:
    index = topic.lower()
    if index.startswith(("_", "-", "+")) or index in (".", ".."):
        reason = f"a name cannot begin with '{index[0]}'"
    elif bad := sorted(set(index) & _NOT_IN_INDEX_NAMES):
        reason = f"a name cannot contain '{bad[0]}'"
    elif len(index.encode()) > _LONGEST_INDEX_NAME:
        reason = "a name has 255 bytes at most"
    else:
        return
    raise ConnectorError(
        f"The topic {topic} cannot become an index: {reason}.",
        hint="Give the stream or table another KAFKA_TOPIC.",
    )


def _urls(text: str) -> list[str]:
    urls = [part.strip().rstrip("/") for part in text.split(",") if part.strip()]
    for url in urls:
        if is_placeholder(url):
            raise ConnectorError(
                f"The option 'connection.url' still says {url}, a blank to fill in.",
                hint=_URL_HINT,
            )
        try:
            parts = urlsplit(url)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname)
            sound = sound and url.isprintable() and " " not in url
            _ = parts.port
            (parts.hostname or "").encode("idna")
        except ValueError:
            sound = False
        if not sound:
            raise ConnectorError(
                f"The option 'connection.url' is '{_plain(url)}', which is no http or https "
                "address.",
                hint=_URL_HINT,
            )
    if not urls:
        raise ConnectorError("The option 'connection.url' is empty.", hint=_URL_HINT)
    return urls


def _auth(read: OptionReader) -> tuple[str, str] | None:
    user = read.text("connection.user") or read.text("connection.username")
    password = read.text("connection.password")
    if not user or is_placeholder(user):
        return None
    if password is None or is_placeholder(password):
        raise ConnectorError(
            "There is a 'connection.user', and the option 'connection.password' is missing."
        )
    return user, password


def _trust(certificates: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=certificates)
    except (OSError, ssl.SSLError) as error:
        raise ConnectorError(
            f"The certificates of 'ssl.ca.location' ({certificates}) cannot be read: {error}."
        ) from None


def _plain(url: str) -> str:
    """The address without a user and password in it."""
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://{tail}" if at else url


def _reason(error: Exception) -> str:
    import httpx

    if isinstance(error, httpx.ConnectTimeout):
        return "no connection in time: connection.timeout.ms"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time: read.timeout.ms"
    return str(error) or type(error).__name__


def _untrusted(url: str, error: Exception) -> ConnectorError:
    return ConnectorError(
        f"The certificate of {_plain(url)} is not trusted: {error}.",
        hint="Name the file of the certificate that signed it in 'ssl.ca.location'.",
    )
