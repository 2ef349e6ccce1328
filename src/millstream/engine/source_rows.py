"""From a topic's records to the rows of a stream or table: decoded once, shared by all readers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.catalog.model import Source
from millstream.columns import arrow
from millstream.columns.batch import Batch, mask_or_none
from millstream.engine.operators.base import KEPT_BYTES, MOST_NOTES, Note
from millstream.errors import ExecutionError
from millstream.functions.java_time import JavaTimeFormat
from millstream.serde.base import Decoded, Decoder, Layout, Part, RawPart, TypedPart
from millstream.serde.formats import format_named
from millstream.store.interfaces import Records

_HEADERS_ARROW = arrow.arrow_type(t.HEADERS_TYPE)
THROW_ON_INVALID = "ksql.timestamp.throw.on.invalid"
_LONGEST_SHOWN = 60
_FEW = 64


@dataclass(slots=True)
class SourceRows:
    """Rows of a source, bad records left out. `columns` holds those that were asked for.

    `writer` is the creation number of the query that wrote each record, 0 for outside ones;
    `notes` tell which records were left out and why; `seconds` how long the decoding took.
    """

    columns: dict[str, pa.Array]
    rowtime: np.ndarray
    partition: np.ndarray
    offset: np.ndarray
    seq: np.ndarray
    writer: np.ndarray
    key_null: np.ndarray | None
    value_null: np.ndarray | None
    window_start: np.ndarray | None
    window_end: np.ndarray | None
    headers: pa.Array | None
    notes: list[Note] = field(default_factory=list)
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.rowtime)

    def batch(self, names: Iterable[str], schema: t.Schema, order: np.ndarray) -> Batch:
        """The rows as a step's input: the named columns, under the names of `schema`."""
        return Batch(
            schema=schema,
            arrays=[self.column(name) for name in names],
            rowtime=self.rowtime,
            order=order,
            seq=self.seq,
            partition=self.partition,
            offset=self.offset,
            key_null=self.key_null,
            value_null=self.value_null,
            window_start=self.window_start,
            window_end=self.window_end,
            headers=self.headers,
        )

    def column(self, name: str) -> pa.Array:
        """A column or pseudo column."""
        found = self.columns.get(name)
        if found is not None:
            return found
        match name:
            case "ROWTIME":
                return pa.array(self.rowtime)
            case "ROWPARTITION":
                return pa.array(self.partition.astype(np.int32, copy=False))
            case "ROWOFFSET":
                return pa.array(self.offset)
            case "WINDOWSTART" if self.window_start is not None:
                return pa.array(self.window_start)
            case "WINDOWEND" if self.window_end is not None:
                return pa.array(self.window_end)
        raise KeyError(name)


class SourceReader:
    """Reads records of a source as rows; `needed` are the value columns that anyone wants."""

    def __init__(self, source: Source, needed: frozenset[str], *, strict_time: bool) -> None:
        self.source = source
        self.needed = needed
        self.strict_time = strict_time
        time_column = None if source.timestamp is None else source.timestamp.column
        self._wanted = [
            c.name in needed or c.name == time_column for c in source.value_layout.columns
        ]
        self._key_names = [c.name for c in source.key_layout.columns]
        self._value_places = [
            (place, column.name)
            for place, column in enumerate(source.value_layout.columns)
            if self._wanted[place]
        ]
        self._keys = _PartReader(source.key_layout, None)
        self._values = _PartReader(source.value_layout, self._wanted)
        pattern = None if source.timestamp is None else source.timestamp.pattern
        self._time_format = None if pattern is None else JavaTimeFormat(pattern)

    def read(self, records: Records) -> SourceRows:
        """Decode a run of records; those that cannot be rows become notes."""
        began_s = perf_counter()
        keys = self._keys.read(records.key, len(records))
        values = self._values.read(records.value, len(records))
        rows = self._rows(records, keys, values)
        bad = self._bad(records, keys, values, rows)
        rows = rows if bad is None else self._without(rows, bad)
        rows.seconds = perf_counter() - began_s
        return rows

    def _rows(self, records: Records, keys: Decoded, values: Decoded) -> SourceRows:
        columns = dict(zip(self._key_names, keys.arrays, strict=True))
        for place, name in self._value_places:
            columns[name] = values.arrays[place]
        for column in self.source.schema.headers:
            if column.name in self.needed:
                columns[column.name] = _header_column(column, records)
        start, end = records.window_start, records.window_end
        window = self.source.window
        if window is None:
            start = end = None
        elif start is not None and window.size_ms is not None:
            end = start + window.size_ms
        key_null = keys.null
        if not self.source.schema.key:
            key_null = np.ones(len(records), bool)
        return SourceRows(
            columns=columns,
            rowtime=records.rowtime,
            partition=records.partition,
            offset=records.offset,
            seq=records.seq,
            writer=records.writer,
            key_null=key_null,
            value_null=values.null,
            window_start=start,
            window_end=end,
            headers=records.headers,
        )

    # --- records that are no rows --------------------------------------------------------------

    def _bad(
        self, records: Records, keys: Decoded, values: Decoded, rows: SourceRows
    ) -> np.ndarray | None:
        """A mask of records to leave out, or None; notes are added to `rows`."""
        if not keys.failures and not values.failures and self._all_good(rows):
            return None
        bad = np.zeros(len(records), bool)
        for name, part, decoded in (
            ("key", records.key, keys),
            ("value", records.value, values),
        ):
            if decoded.failures:
                reasons = {f.row: f"{name}: {f.message}" for f in decoded.failures}
                at_fault = np.array(list(reasons))
                bad[at_fault] = True
                self._note(rows, "deserialization", at_fault, reasons.__getitem__, part)
        if self.source.timestamp is not None:
            self._extract_time(records, rows, bad)
        negative = (rows.rowtime < 0) & ~bad
        if negative.any():
            bad |= negative
            self._skip(rows, negative, lambda row: "the timestamp is negative", records)
        if self.source.is_table and rows.key_null is not None:
            keyless = rows.key_null & ~bad
            if keyless.any():
                bad |= keyless
                self._skip(rows, keyless, lambda row: "a table's key is null", records)
        return bad if bad.any() else None

    def _all_good(self, rows: SourceRows) -> bool:
        """Whether records that were decoded are rows without another look."""
        return (
            self.source.timestamp is None
            and (rows.key_null is None or not self.source.is_table)
            and not _any_negative(rows.rowtime)
        )

    def _skip(
        self, rows: SourceRows, where: np.ndarray, reason: Callable[[int], str], records: Records
    ) -> None:
        self._note(rows, "skipped", np.flatnonzero(where), reason, records.value)

    def _note(
        self,
        rows: SourceRows,
        kind: str,
        at_fault: np.ndarray,
        reason: Callable[[int], str],
        part: Part,
    ) -> None:
        """Note records one by one, and of too many only how many more there are."""
        left = len(at_fault) - MOST_NOTES
        for row in at_fault[:MOST_NOTES].tolist():
            rows.notes.append(
                Note(
                    step=f"source {self.source.name}",
                    kind=kind,
                    message=reason(row),
                    seq=int(rows.seq[row]),
                    topic=self.source.topic,
                    partition=int(rows.partition[row]),
                    offset=int(rows.offset[row]),
                    record=bytes_of(part, row),
                    row=row,
                    writer=int(rows.writer[row]),
                )
            )
        if left > 0:
            rows.notes.append(
                Note(
                    step=f"source {self.source.name}",
                    kind=kind,
                    message="more records are like these",
                    seq=int(rows.seq[at_fault[-1]]),
                    count=left,
                    topic=self.source.topic,
                )
            )

    def _extract_time(self, records: Records, rows: SourceRows, bad: np.ndarray) -> None:
        """Replace event time by the TIMESTAMP column's; a record without a value keeps its own."""
        assert self.source.timestamp is not None
        name = self.source.timestamp.column
        column = rows.columns[name]
        in_key = any(c.name == name for c in self.source.schema.key)
        times, unread = self._times(column)
        keep = np.zeros(len(rows), bool)
        if rows.value_null is not None and not in_key:
            keep = rows.value_null
        rows.rowtime = np.where(keep, rows.rowtime, times)
        wrong = (unread | (rows.rowtime < 0)) & ~keep & ~bad
        if not wrong.any():
            return

        def reason(row: int) -> str:
            return f"{name} holds no timestamp: {_shown(column[row].as_py())}"

        if self.strict_time:
            raise ExecutionError(f"{self.source.name}: {reason(int(np.flatnonzero(wrong)[0]))}")
        bad |= wrong
        self._skip(rows, wrong, reason, records)

    def _times(self, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Milliseconds of each value, and a mask of those that hold none."""
        if self._time_format is None:
            missing = ~arrow.valid_mask(column)
            return pc.fill_null(column, -1).to_numpy().astype(np.int64), missing
        encoded = column.dictionary_encode()
        parsed = np.array([_parse(self._time_format, v) for v in encoded.dictionary.to_pylist()])
        index = encoded.indices.fill_null(len(parsed)).to_numpy()
        times = np.append(parsed.astype(np.int64), -1)[index]
        return times, times == -1

    def _without(self, rows: SourceRows, bad: np.ndarray) -> SourceRows:
        kept = np.flatnonzero(~bad)
        index = pa.array(kept)

        def pick(array: np.ndarray | None) -> np.ndarray | None:
            return None if array is None else array[kept]

        key_null, value_null = pick(rows.key_null), pick(rows.value_null)
        return SourceRows(
            columns={n: a.take(index) for n, a in rows.columns.items()},
            rowtime=rows.rowtime[kept],
            partition=rows.partition[kept],
            offset=rows.offset[kept],
            seq=rows.seq[kept],
            writer=rows.writer[kept],
            key_null=None if key_null is None else mask_or_none(key_null),
            value_null=None if value_null is None else mask_or_none(value_null),
            window_start=pick(rows.window_start),
            window_end=pick(rows.window_end),
            headers=None if rows.headers is None else rows.headers.take(index),
            notes=rows.notes,
        )


def _any_negative(times: np.ndarray) -> bool:
    if len(times) <= _FEW:
        return min(times.tolist(), default=0) < 0
    return bool((times < 0).any())


def encode_part(part: Part, length: int) -> pa.Array:
    """The bytes of a part of records, one binary value each."""
    if isinstance(part, RawPart):
        return part.data
    encoder = format_named(part.layout.format).encoder(part.layout)
    return encoder.encode(part.arrays, part.null, length)


def bytes_of(part: Part, row: int) -> bytes | None:
    """The beginning of one record's key or value."""
    if isinstance(part, RawPart):
        value = part.data[row]
        return value.as_buffer()[:KEPT_BYTES].to_pybytes() if value.is_valid else None
    null = None if part.null is None else part.null[row : row + 1]
    alone = TypedPart(part.layout, [a.slice(row, 1) for a in part.arrays], null)
    return bytes_of(RawPart(encode_part(alone, 1)), 0)


def _shown(value: object) -> str:
    if value is None:
        return "null"
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


class _PartReader:
    """Gives the columns of one part of records, whatever bytes or columns they came as."""

    def __init__(self, layout: Layout, needed: list[bool] | None) -> None:
        self._layout = layout
        self._needed = needed
        self._equal = layout
        self._decoders = threading.local()

    def read(self, part: Part, length: int) -> Decoded:
        """The columns. Those that were written in the same layout are taken as they are, also
        those of an earlier or later version of it; what it did not have yet is null."""
        layout = self._layout
        if not layout.columns:
            return Decoded([], None)
        if not isinstance(part, RawPart):
            if part.layout is self._equal:
                return Decoded(part.arrays, part.null)
            if part.layout == layout:
                self._equal = part.layout
                return Decoded(part.arrays, part.null)
            if _is_version(part.layout, layout):
                later = layout.columns[len(part.arrays) :]
                added = [arrow.nulls(c.type, length) for c in later]
                return Decoded([*part.arrays[: len(layout.columns)], *added], part.null)
            part = RawPart(encode_part(part, length))
        return self._decoder().decode(part.data, self._needed)

    def _decoder(self) -> Decoder:
        """A decoder learns from what it has met, and serves one thread."""
        found: Decoder | None = getattr(self._decoders, "decoder", None)
        if found is None:
            found = format_named(self._layout.format).decoder(self._layout)
            self._decoders.decoder = found
        return found


def _is_version(one: Layout, other: Layout) -> bool:
    """Whether the layouts differ only in columns at the end."""
    shared = min(len(one.columns), len(other.columns))
    return (
        shared > 0
        and one.columns[:shared] == other.columns[:shared]
        and replace(one, columns=()) == replace(other, columns=())
    )


def _parse(form: JavaTimeFormat, text: str | None) -> int:
    if text is None:
        return -1
    try:
        return form.parse_ms(text)
    except ValueError:
        return -1


def _header_column(column: t.Column, records: Records) -> pa.Array:
    """A HEADERS column shows all headers, a HEADER('h') column the last one of that name."""
    if records.headers is None:
        if column.header is None:
            return arrow.from_python([[]] * len(records), t.HEADERS_TYPE)
        return arrow.nulls(column.type, len(records))
    everything = records.headers.cast(_HEADERS_ARROW)
    if column.header is None:
        return (
            pc.if_else(everything.is_valid(), everything, pa.scalar([], _HEADERS_ARROW))
            if everything.null_count == 0
            else arrow.from_python([h or [] for h in everything.to_pylist()], t.HEADERS_TYPE)
        )
    values = []
    for headers in everything.to_pylist():
        named = [h["VALUE"] for h in headers or [] if h["KEY"] == column.header]
        values.append(named[-1] if named else None)
    return arrow.from_python(values, t.BYTES)


def concat_rows(parts: list[SourceRows]) -> SourceRows:
    """The rows of several runs of one source, one after the other."""
    if len(parts) == 1:
        return parts[0]

    def masks(name: str) -> np.ndarray | None:
        found = [getattr(p, name) for p in parts]
        if all(m is None for m in found):
            return None
        return np.concatenate(
            [np.zeros(len(p), bool) if m is None else m for p, m in zip(parts, found, strict=True)]
        )

    def bounds(name: str) -> np.ndarray | None:
        found = [getattr(p, name) for p in parts]
        return None if any(b is None for b in found) else np.concatenate(found)

    headers = None
    if any(p.headers is not None for p in parts):
        headers = pa.concat_arrays(
            [pa.nulls(len(p), _HEADERS_ARROW) if p.headers is None else p.headers for p in parts]
        )
    return SourceRows(
        columns={n: pa.concat_arrays([p.columns[n] for p in parts]) for n in parts[0].columns},
        rowtime=np.concatenate([p.rowtime for p in parts]),
        partition=np.concatenate([p.partition for p in parts]),
        offset=np.concatenate([p.offset for p in parts]),
        seq=np.concatenate([p.seq for p in parts]),
        writer=np.concatenate([p.writer for p in parts]),
        key_null=masks("key_null"),
        value_null=masks("value_null"),
        window_start=bounds("window_start"),
        window_end=bounds("window_end"),
        headers=headers,
        notes=[n for p in parts for n in p.notes],
    )
