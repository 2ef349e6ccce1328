"""Records for tests, and records as plain Python values to compare."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.columns.arrow import arrow_type, from_python
from millstream.serde.base import Layout, Part, RawPart, TypedPart
from millstream.store.interfaces import Records, StatePart, View

HEADERS = pa.list_(pa.struct([pa.field("KEY", pa.string()), pa.field("VALUE", pa.binary())]))

KEY_LAYOUT = Layout("KAFKA", (t.Column("ID", t.STRING, t.Role.KEY),), wrap=False)
VALUE_LAYOUT = Layout("JSON", (t.Column("N", t.BIGINT), t.Column("TEXT", t.STRING)))
RICH_LAYOUT = Layout(
    "JSON",
    (
        t.Column("B", t.BOOLEAN),
        t.Column("I", t.INTEGER),
        t.Column("D", t.DOUBLE),
        t.Column("E", t.Decimal(12, 3)),
        t.Column("E50", t.Decimal(50, 2)),
        t.Column("S", t.STRING),
        t.Column("Y", t.BYTES),
        t.Column("DA", t.DATE),
        t.Column("TI", t.TIME),
        t.Column("TS", t.TIMESTAMP),
        t.Column("L", t.Array(t.BIGINT)),
        t.Column("M", t.Map(t.STRING, t.Array(t.DOUBLE))),
        t.Column("ST", t.Struct((t.Field("x", t.STRING), t.Field("Y", t.Array(t.INTEGER))))),
        t.Column("H", t.STRING, t.Role.HEADERS, header="h"),
    ),
    wrap=True,
    delimiter="|",
)


def raw(values: Iterable[bytes | None]) -> RawPart:
    """A part of bytes."""
    return RawPart(pa.array(list(values), pa.binary()))


def typed(
    layout: Layout, columns: Sequence[Sequence[Any]], null: Sequence[bool] | None = None
) -> TypedPart:
    """A part of columns."""
    arrays = [
        from_python(values, column.type)
        for values, column in zip(columns, layout.columns, strict=True)
    ]
    return TypedPart(layout, arrays, None if null is None else np.array(null, bool))


def records(
    key: Part,
    value: Part,
    *,
    partition: Sequence[int] | None = None,
    seq: Sequence[int] | None = None,
    writer: Sequence[int] | None = None,
    rowtime: Sequence[int] | None = None,
    windows: Sequence[tuple[int, int]] | None = None,
    headers: Sequence[Sequence[tuple[str, bytes | None]] | None] | None = None,
) -> Records:
    """Records that were not appended yet; what is not given is 0, 1, 2, .. or 0."""
    count = len(value.data if isinstance(value, RawPart) else value.arrays[0])
    return Records(
        partition=np.array(partition if partition is not None else [0] * count),
        offset=np.full(count, -1),
        seq=np.array(seq if seq is not None else range(count)),
        writer=np.array(writer if writer is not None else [0] * count),
        rowtime=np.array(rowtime if rowtime is not None else range(1000, 1000 + count)),
        key=key,
        value=value,
        window_start=None if windows is None else np.array([w[0] for w in windows]),
        window_end=None if windows is None else np.array([w[1] for w in windows]),
        headers=None if headers is None else header_array(headers),
    )


def header_array(headers: Sequence[Sequence[tuple[str, bytes | None]] | None]) -> pa.Array:
    """Headers, a list of (key, value) per record."""
    return pa.array(
        [None if h is None else [{"KEY": k, "VALUE": v} for k, v in h] for h in headers], HEADERS
    )


def lines(texts: Sequence[str], **more: Any) -> Records:
    """Raw records with these texts as values and no keys."""
    return records(raw([None] * len(texts)), raw([text.encode() for text in texts]), **more)


def random_records(source: random.Random, count: int, partitions: int) -> Records:
    """Any records: raw or typed, windowed or not, with nulls, headers, unordered times."""
    texts = [source.choice([None, "", "é\0x", "word" * source.randrange(4)]) for _ in range(count)]
    numbers = [source.choice([None, 0, -1, 2**63 - 1, -(2**63)]) for _ in range(count)]
    null = source.choice([None, [source.random() < 0.4 for _ in range(count)], [True] * count])
    raws = [None if text is None else text.encode() for text in texts]
    kinds: list[tuple[Part, Part]] = [
        (raw(raws), raw(reversed(raws))),
        (typed(KEY_LAYOUT, [texts], null), typed(VALUE_LAYOUT, [numbers, texts], null)),
        (raw([None] * count), typed(VALUE_LAYOUT, [numbers, texts])),
    ]
    key, value = source.choice(kinds)
    start = source.randrange(10**6)
    step = source.choice([0, 1, -7])
    return records(
        key,
        value,
        partition=[source.randrange(partitions) for _ in range(count)],
        seq=[start + i * step for i in range(count)],
        writer=[source.choice([0, 0, 3]) for _ in range(count)],
        rowtime=[source.choice([0, -5, 1_700_000_000_000, 2**62]) for _ in range(count)],
        windows=source.choice([None, [(i, i + source.randrange(9)) for i in range(count)]]),
        headers=source.choice([None, [source.choice([None, [], [("h", b"v")]]) for _ in texts]]),
    )


def plain(run: Records) -> list[tuple[Any, ...]]:
    """The records as Python values, one tuple each."""
    count = len(run)
    nothing = [None] * count
    return list(
        zip(
            run.partition.tolist(),
            run.offset.tolist(),
            run.seq.tolist(),
            run.writer.tolist(),
            run.rowtime.tolist(),
            nothing if run.window_start is None else run.window_start.tolist(),
            nothing if run.window_end is None else run.window_end.tolist(),
            _plain_part(run.key, count),
            _plain_part(run.value, count),
            nothing if run.headers is None else _plain_headers(run.headers),
            strict=True,
        )
    )


def plain_topic(view: View, topic_id: int, start: int = 0) -> list[tuple[Any, ...]]:
    """A topic's records from an ordinal, having checked that runs follow each other."""
    result: list[tuple[Any, ...]] = []
    for base, run in view.read(topic_id, start):
        assert base == start + len(result)
        result += plain(run)
    return result


def values(view: View, topic_id: int, start: int = 0) -> list[str]:
    """The texts of a topic of raw records."""
    return [
        value.as_py().decode()
        for _, run in view.read(topic_id, start)
        if isinstance(run.value, RawPart)
        for value in run.value.data
    ]


def plain_state(parts: Iterable[StatePart]) -> dict[int, list[dict[str, Any]]]:
    """Rows of each page, in the order in which they were written."""
    pages: dict[int, list[dict[str, Any]]] = {}
    for part in parts:
        pages.setdefault(part.page, []).extend(part.rows.to_pylist())
    return pages


def _plain_part(part: Part, count: int) -> list[Any]:
    if isinstance(part, RawPart):
        assert part.data.type == pa.binary()
        return [("raw", v) for v in part.data.to_pylist()]
    assert [a.type for a in part.arrays] == [arrow_type(c.type) for c in part.layout.columns]
    null = [False] * count if part.null is None else part.null.tolist()
    rows = zip(*[a.to_pylist() for a in part.arrays], strict=True)
    return [
        ("typed", part.layout, None if is_null else row)
        for row, is_null in zip(rows, null, strict=True)
    ]


def _plain_headers(headers: pa.Array) -> list[Any]:
    return [None if h is None else [(e["KEY"], e["VALUE"]) for e in h] for h in headers.to_pylist()]
