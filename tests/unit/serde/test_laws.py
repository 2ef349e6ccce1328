"""What is written can be read: decode(encode(x)) == normalise(x), for every format."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream import types as t
from millstream.columns.arrow import from_python, to_python
from millstream.serde.base import Layout
from millstream.serde.formats import format_named
from millstream.serde.json_rows import JsonRowDecoder

DECIMALS = [t.Decimal(6, 4), t.Decimal(20, 12), t.Decimal(45, 3)]
BASIC: list[t.SqlType] = [t.INTEGER, t.BIGINT, t.DOUBLE, t.STRING, t.BYTES]
FLAT: list[t.SqlType] = [*BASIC, t.BOOLEAN, t.DATE, t.TIME, t.TIMESTAMP, *DECIMALS]
NESTED: list[t.SqlType] = [
    t.Array(t.DOUBLE),
    t.Array(t.Array(t.STRING)),
    t.Map(t.STRING, t.DOUBLE),
    t.Struct((t.Field("A", t.DOUBLE), t.Field("b", t.Map(t.STRING, t.Decimal(6, 4))))),
    t.Array(t.Struct((t.Field("X", t.BYTES), t.Field("x", t.DOUBLE)))),
]
texts = st.text(max_size=6) | st.sampled_from(
    ["", " ", '"', "\\", ",", "\n", "\r\n", "#", "-1", "é"]
)


def values(sql_type: t.SqlType) -> st.SearchStrategy[Any]:
    """Values of a type, null among them."""
    return st.none() | _values(sql_type)


def _values(sql_type: t.SqlType) -> st.SearchStrategy[Any]:
    match sql_type:
        case t.BOOLEAN:
            return st.booleans()
        case t.INTEGER | t.DATE:
            return st.integers(-(2**31), 2**31 - 1)
        case t.BIGINT | t.TIMESTAMP:
            return st.integers(-(2**63), 2**63 - 1)
        case t.TIME:
            return st.integers(0, 86_399_999)
        case t.DOUBLE:
            return st.floats() | st.sampled_from([0.0, -0.0, 1e7, 1e-4, 0.1])
        case t.STRING:
            return texts
        case t.BYTES:
            return st.binary(max_size=5)
        case t.Decimal(precision, scale):
            digits = st.integers(1 - 10**precision, 10**precision - 1)
            return digits.map(lambda n: Decimal(n).scaleb(-scale, CONTEXT))
        case t.Array(item):
            return st.lists(values(item), max_size=3)
        case t.Map(_, item):
            return st.dictionaries(texts, values(item), max_size=3)
        case t.Struct(fields):
            return st.fixed_dictionaries({f.name: values(f.type) for f in fields})
    raise TypeError(sql_type)


CONTEXT = Context(prec=100)


@st.composite
def parts(
    draw: st.DrawFn, name: str, types: list[t.SqlType], most: int
) -> tuple[Layout, list[pa.Array], np.ndarray | None]:
    """A layout, columns for it and a mask."""
    count = draw(st.integers(1, most))
    columns = tuple(t.Column(f"C{i}", draw(st.sampled_from(types))) for i in range(count))
    wrap = draw(st.booleans()) if count == 1 and name != "KAFKA" else count > 1
    delimiter = draw(st.sampled_from([",", ";", "\t", "é"]))
    length = draw(st.integers(0, 25))
    arrays = [
        from_python(draw(st.lists(values(c.type), min_size=length, max_size=length)), c.type)
        for c in columns
    ]
    null = None
    if draw(st.booleans()):
        null = np.array(draw(st.lists(st.booleans(), min_size=length, max_size=length)), bool)
    return Layout(name, columns, wrap=wrap, delimiter=delimiter), arrays, null


def in_python(layout: Layout, arrays: list[pa.Array], null: np.ndarray | None, length: int) -> str:
    """Columns and mask in a form that tells apart NaN, zeros and scales."""
    columns = [to_python(a, c.type) for a, c in zip(arrays, layout.columns, strict=True)]
    return repr((columns, [False] * length if null is None else null.tolist()))


def assert_law(name: str, part: tuple[Layout, list[pa.Array], np.ndarray | None]) -> None:
    layout, arrays, null = part
    length = len(arrays[0])
    encoder = format_named(name).encoder(layout)
    records = encoder.encode(arrays, null, length)
    records.validate(full=True)
    assert records.type == pa.binary()
    decoded = format_named(name).decoder(layout).decode(records)
    normal, mask = encoder.normalise(arrays, null)
    for array in normal:
        array.validate(full=True)
    assert decoded.failures == []
    expected = in_python(layout, normal, mask, length)
    assert in_python(layout, decoded.arrays, decoded.null, length) == expected
    # Normal columns stay as they are, and have the same bytes.
    assert in_python(layout, *encoder.normalise(normal, mask), length) == expected
    # Few records are written as many are.
    alone = [
        encoder.encode(
            [a.slice(i, 1) for a in arrays], None if null is None else null[i : i + 1], 1
        )
        for i in range(length)
    ]
    assert pa.concat_arrays([pa.array([], pa.binary()), *alone]).to_pylist() == records.to_pylist()


@given(parts("JSON", FLAT + NESTED, 4))
def test_json(part: tuple[Layout, list[pa.Array], np.ndarray | None]) -> None:
    assert_law("JSON", part)


@given(parts("JSON", FLAT, 4))
def test_flat_json(part: tuple[Layout, list[pa.Array], np.ndarray | None]) -> None:
    assert_law("JSON", part)


@given(parts("DELIMITED", FLAT, 4))
def test_delimited(part: tuple[Layout, list[pa.Array], np.ndarray | None]) -> None:
    assert_law("DELIMITED", part)


@given(parts("KAFKA", BASIC, 1))
def test_kafka(part: tuple[Layout, list[pa.Array], np.ndarray | None]) -> None:
    assert_law("KAFKA", part)


@pytest.mark.parametrize("name", ["JSON", "DELIMITED", "KAFKA"])
@given(data=st.data())
def test_any_bytes_are_decoded_without_an_exception(name: str, data: st.DataObject) -> None:
    types = BASIC if name == "KAFKA" else FLAT if name == "DELIMITED" else FLAT + NESTED
    layout, _, _ = data.draw(parts(name, types, 1 if name == "KAFKA" else 3))
    junk = st.binary(max_size=12) | st.sampled_from([b"1", b"a,b", b'"', b"{}", b'{"C0":1}'])
    records = pa.array(data.draw(st.lists(st.none() | junk, max_size=10)), pa.binary())
    decoded = format_named(name).decoder(layout).decode(records)
    bad = {f.row for f in decoded.failures}
    for array in decoded.arrays:
        array.validate(full=True)
        assert all(array[row].as_py() is None for row in bad)
    missing = set() if decoded.null is None else set(np.flatnonzero(decoded.null).tolist())
    assert not bad & missing
    assert {row for row, record in enumerate(records.to_pylist()) if record is None} <= missing


def test_a_batch_of_many_json_records_keeps_the_law() -> None:
    layout = Layout("JSON", (t.Column("A", t.DOUBLE), t.Column("B", t.STRING)))
    arrays = [
        from_python([float(n) / 7 if n % 5 else None for n in range(1000)], t.DOUBLE),
        from_python([f"é{n}\n" if n % 3 == 0 else f"x{n}" for n in range(1000)], t.STRING),
    ]
    encoder = format_named("JSON").encoder(layout)
    records = encoder.encode(arrays, None, 1000)
    decoded = format_named("JSON").decoder(layout).decode(records)
    assert [a.to_pylist() for a in decoded.arrays] == [a.to_pylist() for a in arrays]
    rows = JsonRowDecoder(layout).decode(records)
    assert [a.to_pylist() for a in rows.arrays] == [a.to_pylist() for a in arrays]
