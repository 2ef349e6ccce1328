"""The body of a `_bulk` call, made of a run of records."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pyarrow as pa

from millstream.connect.base import ConnectorError, Rejected, SinkRecords

_LONGEST_ID = 512  # bytes, in Elasticsearch and in OpenSearch
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Operation:
    """What becomes of a record. `on_null` (of tombstones) is IGNORE, DELETE or FAIL."""

    key_ignore: bool = True
    upsert: bool = False
    on_null: str = "IGNORE"


@dataclass(slots=True)
class Bulk:
    """Documents of one call. `lines` are the body's parts, one a document; `rows` tells which of
    the records each one is. `end` is the row behind the last record looked at."""

    records: SinkRecords
    end: int = 0
    rows: list[int] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    skipped: int = 0

    def body(self) -> bytes:
        """The call's content."""
        return b"".join(self.lines)

    def halves(self) -> tuple[Bulk, Bulk]:
        """The same documents in two calls."""
        middle = len(self.rows) // 2
        return (
            Bulk(self.records, self.end, self.rows[:middle], self.lines[:middle]),
            Bulk(self.records, self.end, self.rows[middle:], self.lines[middle:]),
        )

    def reject(self, document: int, message: str) -> Rejected:
        """Line of the processing log for a document, by its index in the call."""
        return reject_row(self.records, self.rows[document], message)


def reject_row(records: SinkRecords, row: int, message: str) -> Rejected:
    """Line of the processing log for a record; its place is the offset."""
    value = records.value[row].as_py()
    return Rejected(records.topic, message, value or b"", int(records.offset[row]))


def make_bulk(
    records: SinkRecords, start: int, max_documents: int, max_bytes: int, operation: Operation
) -> Bulk:
    """A call for the records from row `start` on, as far as the limits allow (one at least)."""
    rows = slice(start, start + max_documents)
    values = records.value[rows].to_pylist()
    ids = _ids(records, rows, operation.key_ignore)
    index = records.topic.lower()
    bulk = Bulk(records, start)
    size = 0
    for row, (value, key) in enumerate(zip(values, ids, strict=True), start=start):
        made = _document(bulk, row, index, key, value, operation)
        if made is not None:
            if bulk.lines and size + len(made) > max_bytes:
                break
            bulk.rows.append(row)
            bulk.lines.append(made)
            size += len(made)
        bulk.end = row + 1
    return bulk


def _document(
    bulk: Bulk, row: int, index: str, key: str | None, value: bytes | None, operation: Operation
) -> bytes | None:
    """The part of the body for one record; None where it is left out, which is noted."""
    if value is None and operation.on_null == "FAIL":
        raise ConnectorError(
            f"The record at offset {int(bulk.records.offset[row])} of {bulk.records.topic} is a "
            "tombstone, and behavior.on.null.values is FAIL."
        )
    if value is None and (operation.key_ignore or operation.on_null == "IGNORE"):
        bulk.skipped += 1
        return None
    if (problem := _problem_of_id(key)) is not None:
        bulk.rejected.append(reject_row(bulk.records, row, problem))
        return None
    place = {"_index": index, "_id": key}
    if value is None:
        return msgspec.json.encode({"delete": place}) + b"\n"
    document = _in_one_line(value, must_parse=operation.upsert)
    if document is None:
        message = "The value is no JSON object."
        bulk.rejected.append(reject_row(bulk.records, row, message))
        return None
    if operation.upsert:
        head = msgspec.json.encode({"update": place})
        return b'%b\n{"doc":%b,"doc_as_upsert":true}\n' % (head, document)
    return b"%b\n%b\n" % (msgspec.json.encode({"index": place}), document)


def _problem_of_id(key: str | None) -> str | None:
    """Why a key cannot be an id. The server would refuse the whole call for it."""
    if not key:
        return "The record has no key to be the document's id; see the option key.ignore."
    if len(key.encode()) > _LONGEST_ID:
        return f"The key is longer than the {_LONGEST_ID} bytes that a document's id may have."
    return None


def _in_one_line(value: bytes, *, must_parse: bool) -> bytes | None:
    """The document without line ends, which would end it within the call; None where it is none.

    The server itself refuses other bad documents one by one, but not inside an update."""
    if not value.strip():
        return None
    try:
        if must_parse:
            _OBJECT.decode(value)
        if b"\n" in value or b"\r" in value:
            return bytes(msgspec.json.format(value, indent=-1))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return value


def _ids(records: SinkRecords, rows: slice, key_ignore: bool) -> list[str] | list[str | None]:
    if key_ignore:
        places = zip(records.partition[rows].tolist(), records.offset[rows].tolist(), strict=True)
        return [f"{records.topic}+{partition}+{offset}" for partition, offset in places]
    keys = _key_texts(records)[rows].to_pylist()
    if records.window_start is None:
        return keys  # type: ignore[no-any-return]
    starts = records.window_start[rows].tolist()
    ends = [None] * len(starts)
    if records.window_end is not None:
        ends = records.window_end[rows].tolist()
    return [_windowed(*parts) for parts in zip(keys, starts, ends, strict=True)]


def _windowed(key: str | None, start: int, end: int | None) -> str | None:
    """One document a key and window. A session's end moves, and each state of it is a record of
    its own in ksqlDB as well, so that the end belongs to the id."""
    if key is None:
        return None
    return f"{key}@{start}" if end is None else f"{key}@{start}-{end}"


def _key_texts(records: SinkRecords) -> pa.Array:
    if records.key_text is not None:
        return records.key_text
    texts = [k if k is None else k.decode(errors="replace") for k in records.key.to_pylist()]
    return pa.array(texts, pa.string())
