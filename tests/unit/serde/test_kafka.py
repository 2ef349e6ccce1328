"""Kafka's own serialisers."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from millstream import types as t
from millstream.columns.arrow import from_python
from millstream.serde.base import Layout
from millstream.serde.formats import format_named

FORMAT = format_named("KAFKA")


def layout(sql_type: t.SqlType) -> Layout:
    return Layout("KAFKA", (t.Column("K", sql_type),), wrap=False)


@pytest.mark.parametrize(
    ("sql_type", "values", "encoded"),
    [
        (t.INTEGER, [1, -2, None], [b"\0\0\0\1", b"\xff\xff\xff\xfe", None]),
        (t.BIGINT, [None, 1], [None, b"\0\0\0\0\0\0\0\1"]),
        (t.DOUBLE, [1.5, -0.0], [struct.pack(">d", 1.5), struct.pack(">d", -0.0)]),
        (t.STRING, ["é", "", None], [b"\xc3\xa9", b"", None]),
        (t.BYTES, [b"\xff", None, b""], [b"\xff", None, b""]),
    ],
)
def test_bytes(sql_type: t.SqlType, values: list[Any], encoded: list[bytes | None]) -> None:
    array = from_python(values, sql_type)
    written = FORMAT.encoder(layout(sql_type)).encode([array], None, len(values))
    written.validate(full=True)
    assert written.to_pylist() == encoded
    # The same from a slice, and read back.
    padded = from_python([None, *values, None], sql_type).slice(1, len(values))
    again = FORMAT.encoder(layout(sql_type)).encode([padded], None, len(values))
    assert again.to_pylist() == encoded
    decoded = FORMAT.decoder(layout(sql_type)).decode(written)
    assert repr(decoded.arrays[0].to_pylist()) == repr(values)
    assert (decoded.null is not None) == (None in values)


@pytest.mark.parametrize(("sql_type", "width"), [(t.INTEGER, 4), (t.BIGINT, 8), (t.DOUBLE, 8)])
def test_a_wrong_length_fails(sql_type: t.SqlType, width: int) -> None:
    records = pa.array([b"", bytes(width), None, bytes(width + 1), b"abc"], pa.binary())
    decoded = FORMAT.decoder(layout(sql_type)).decode(records)
    assert [f.row for f in decoded.failures] == [0, 3, 4]
    assert f"takes {width} bytes" in decoded.failures[2].message
    assert decoded.arrays[0].to_pylist() == [None, 0, None, None, None]
    assert decoded.null is not None
    assert decoded.null.tolist() == [False, False, True, False, False]


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    decoded = FORMAT.decoder(layout(t.STRING)).decode(pa.array([b"a\xff", b"b"], pa.binary()))
    assert decoded.arrays[0].to_pylist() == ["a�", "b"]
    assert decoded.failures == []


def test_a_part_without_columns_is_ignored_and_written_as_null() -> None:
    where = Layout("KAFKA", (), wrap=False)
    decoded = FORMAT.decoder(where).decode(pa.array([b"junk", None], pa.binary()))
    assert (decoded.arrays, decoded.failures) == ([], [])
    assert FORMAT.encoder(where).encode([], None, 2).to_pylist() == [None, None]


def test_a_masked_part_is_null() -> None:
    null = np.array([False, True])
    array = pa.array([1, 2], pa.int32())
    assert FORMAT.encoder(layout(t.INTEGER)).encode([array], null, 2).to_pylist()[1] is None
