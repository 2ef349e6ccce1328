"""From records to rows: what is left out and said so, pseudo columns, event times, headers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from millstream import types as t
from millstream.catalog.model import Source, TimestampColumn, WindowInfo
from millstream.columns import arrow
from millstream.engine.source_rows import SourceReader, SourceRows, concat_rows
from millstream.errors import ExecutionError
from millstream.serde.base import Layout
from millstream.sql.ast import SourceKind
from millstream.store.interfaces import Records
from tests.unit.store.builders import raw, records, typed

KEY = Layout("KAFKA", (t.Column("K", t.STRING, t.Role.KEY),), wrap=False)
VALUE = Layout("JSON", (t.Column("N", t.BIGINT), t.Column("S", t.STRING), t.Column("D", t.DOUBLE)))


def source(kind: SourceKind = SourceKind.STREAM, **more: Any) -> Source:
    """A source of the key and value above."""
    headers = more.pop("headers", ())
    return Source(
        id=1,
        name="SRC",
        kind=kind,
        schema=t.Schema((*KEY.columns, *VALUE.columns, *headers)),
        topic="src",
        topic_id=1,
        key_layout=KEY,
        value_layout=VALUE,
        **more,
    )


def read(
    run: Records, of: Source | None = None, needed: str = "NSD", strict: bool = False
) -> SourceRows:
    """The rows of a run."""
    return SourceReader(of or source(), frozenset(needed), strict_time=strict).read(run)


def run(*values: bytes | None, keys: list[bytes | None] | None = None, **more: Any) -> Records:
    """Records of bytes."""
    return records(raw(keys or [b"k"] * len(values)), raw(values), **more)


def noted(rows: SourceRows) -> dict[str, int]:
    """How many rows were noted, by kind."""
    kinds: Counter[str] = Counter()
    for note in rows.notes:
        kinds[note.kind] += note.count
    return dict(kinds)


def column(rows: SourceRows, name: str) -> list[Any]:
    found: list[Any] = rows.column(name).to_pylist()
    return found


def test_columns_and_pseudo_columns() -> None:
    rows = read(run(b'{"N": 1, "S": "x"}', None, partition=[0, 1]))
    assert column(rows, "K") == ["k", "k"]
    assert column(rows, "N") == [1, None]
    assert column(rows, "ROWTIME") == [1000, 1001]
    assert column(rows, "ROWPARTITION") == [0, 1]
    assert rows.value_null is not None and rows.value_null.tolist() == [False, True]
    with pytest.raises(KeyError):
        rows.column("WINDOWSTART")


def test_only_what_is_wanted_is_decoded() -> None:
    rows = read(run(b'{"N": 1, "S": "x"}'), needed="S")
    assert set(rows.columns) == {"K", "S"}


def test_records_that_cannot_be_read_are_left_out_and_noted() -> None:
    rows = read(run(b'{"N": 1}', b"{", b'{"N": "x"}', b'{"N": 4}'))
    assert column(rows, "N") == [1, 4]
    assert rows.seq.tolist() == [0, 3]
    assert [(n.kind, n.seq, n.record, n.topic) for n in rows.notes] == [
        ("deserialization", 1, b"{", "src"),
        ("deserialization", 2, b'{"N": "x"}', "src"),
    ]


def test_rows_of_typed_parts_are_taken_as_they_are_in_the_same_layout_only() -> None:
    part = typed(VALUE, [[1], ["x"], [0.5]])
    rows = read(records(typed(KEY, [["k"]]), part))
    assert rows.columns["N"] is part.arrays[0]
    other = Layout("DELIMITED", (t.Column("A", t.STRING), *VALUE.columns[1:]))
    rows = read(records(typed(KEY, [["k"]]), typed(other, [["7"], ["x"], [0.5]])))
    assert len(rows) == 0
    assert [n.kind for n in rows.notes] == ["deserialization"]


def test_a_table_leaves_out_records_without_a_key() -> None:
    given = run(b"{}", b"{}", None, keys=[b"k", None, None])
    assert len(read(given)) == 3
    rows = read(given, source(SourceKind.TABLE))
    assert len(rows) == 1
    assert noted(rows) == {"skipped": 2}


def test_negative_times_are_left_out() -> None:
    rows = read(run(b"{}", b"{}", rowtime=[-1, 5]))
    assert rows.rowtime.tolist() == [5]
    assert [n.kind for n in rows.notes] == ["skipped"]


def test_time_from_a_column() -> None:
    of = source(timestamp=TimestampColumn("N", None))
    given = run(b'{"N": 7}', b'{"N": null}', None, b'{"N": -3}')
    rows = read(given, of, needed="S")
    assert rows.rowtime.tolist() == [7, 1002]
    assert noted(rows) == {"skipped": 2}
    assert rows.notes[0].seq == 1
    with pytest.raises(ExecutionError, match="N"):
        read(given, of, strict=True)


def test_time_from_a_text_column() -> None:
    of = source(timestamp=TimestampColumn("S", "yyyy-MM-dd HH:mm"))
    rows = read(run(b'{"S": "1970-01-02 00:01"}', b'{"S": "soon"}', b"{}"), of)
    assert rows.rowtime.tolist() == [86_460_000]
    assert noted(rows) == {"skipped": 2}


def test_windowed_keys() -> None:
    given = run(b"{}", windows=[(10, 99)])
    assert read(given).window_start is None
    session = read(given, source(window=WindowInfo("SESSION", None)))
    assert (column(session, "WINDOWSTART"), column(session, "WINDOWEND")) == ([10], [99])
    # A time window's end follows from its size.
    tumbling = read(given, source(window=WindowInfo("TUMBLING", 20)))
    assert (column(tumbling, "WINDOWSTART"), column(tumbling, "WINDOWEND")) == ([10], [30])


def test_headers() -> None:
    every = t.Column("HS", t.HEADERS_TYPE, t.Role.HEADERS)
    one = t.Column("H", t.BYTES, t.Role.HEADERS, header="h")
    given = run(b"{}", b"{}", headers=[[("h", b"1"), ("h", b"2"), ("i", None)], None])
    rows = read(given, source(headers=(one,)), "H")
    assert column(rows, "H") == [b"2", None]
    of = SourceReader(source(headers=(every,)), frozenset(["HS"]), strict_time=False)
    assert column(of.read(given), "HS")[1] == []
    assert len(column(of.read(given), "HS")[0]) == 3
    assert column(of.read(run(b"{}")), "HS") == [[]]
    assert column(read(run(b"{}"), source(headers=(one,)), "H"), "H") == [None]


def test_runs_join() -> None:
    parts = [
        read(run(b'{"N": 1}', headers=[[("h", b"1")]])),
        read(run(b"{", None)),
        read(run(b'{"N": 3}', keys=[None])),
    ]
    rows = concat_rows(parts)
    assert column(rows, "N") == [1, None, 3]
    assert rows.value_null is not None and rows.value_null.tolist() == [False, True, False]
    assert rows.key_null is not None and rows.key_null.tolist() == [False, False, True]
    assert len(rows.notes) == 1
    assert rows.headers is not None and rows.headers.null_count == 2
    assert concat_rows(parts[:1]) is parts[0]
    assert arrow.valid_mask(rows.column("K")).tolist() == [True, True, False]
