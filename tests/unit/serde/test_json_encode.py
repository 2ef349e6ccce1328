"""How JSON records are written."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from millstream import types as t
from millstream.columns.arrow import from_python
from millstream.serde.base import Layout
from millstream.serde.formats import format_named

MANY = 40
"""Enough records for the columnar way; fewer are written one by one."""


def encode(columns: dict[str, t.SqlType], *rows: tuple[Any, ...], wrap: bool = True) -> list[Any]:
    """The records as written, the same for few and for many."""
    layout = Layout("JSON", tuple(t.Column(n, c) for n, c in columns.items()), wrap=wrap)
    encoder = format_named("JSON").encoder(layout)
    arrays = [
        from_python([row[i] for row in rows], sql_type)
        for i, sql_type in enumerate(columns.values())
    ]
    few: list[Any] = encoder.encode(arrays, None, len(rows)).to_pylist()
    often = pa.array(np.arange(MANY) % len(rows))
    many = encoder.encode([a.take(often) for a in arrays], None, MANY).to_pylist()
    assert many == (few * MANY)[:MANY]
    return few


@pytest.mark.parametrize(
    ("sql_type", "value", "text"),
    [
        (t.BOOLEAN, True, "true"),
        (t.INTEGER, -1, "-1"),
        (t.BIGINT, 2**63 - 1, "9223372036854775807"),
        (t.DOUBLE, 1.0, "1.0"),
        (t.DOUBLE, 1e7, "1.0E7"),
        (t.DOUBLE, 1.23e-4, "1.23E-4"),
        (t.DOUBLE, math.nan, '"NaN"'),
        (t.DOUBLE, -math.inf, '"-Infinity"'),
        (t.STRING, 'a"b\\c/é', '"a\\"b\\\\c/é"'),
        (t.STRING, "\n\t\x00\x1f\x7f", '"\\n\\t\\u0000\\u001F\x7f"'),
        (t.STRING, "", '""'),
        (t.BYTES, b"variations", '"dmFyaWF0aW9ucw=="'),
        (t.Decimal(6, 4), Decimal("10.0000"), "10.0000"),
        (t.Decimal(12, 10), Decimal("0E-10"), "0.0000000000"),
        (t.Decimal(40, 0), Decimal(10) ** 39, "1" + "0" * 39),
        (t.DATE, -10, "-10"),
        (t.TIME, 10, "10"),
        (t.TIMESTAMP, 10, "10"),
        (t.Array(t.DOUBLE), [1.0, None], "[1.0,null]"),
        (t.Array(t.STRING), [], "[]"),
        (t.Map(t.STRING, t.INTEGER), {"b": 1, 'a"': None}, '{"b":1,"a\\"":null}'),
        (
            t.Struct((t.Field("A", t.INTEGER), t.Field("b", t.Array(t.BYTES)))),
            {"A": None, "b": [b"a"]},
            '{"A":null,"b":["YQ=="]}',
        ),
    ],
)
def test_values(sql_type: t.SqlType, value: Any, text: str) -> None:
    wrapped = encode({"V": sql_type}, (value,), (None,))
    assert wrapped == [f'{{"V":{text}}}'.encode(), b'{"V":null}']
    assert encode({"V": sql_type}, (value,), (None,), wrap=False) == [text.encode(), None]


def test_columns_stand_in_declared_order_and_case() -> None:
    columns: dict[str, t.SqlType] = {"B": t.INTEGER, "a": t.STRING, 'q"': t.STRING, "Z": t.DOUBLE}
    assert encode(columns, (1, "x", "y", 2.0)) == [b'{"B":1,"a":"x","q\\"":"y","Z":2.0}']


def test_a_null_part_is_null() -> None:
    layout = Layout("JSON", (t.Column("V", t.STRING),))
    encoder = format_named("JSON").encoder(layout)
    null = np.array([True, False])
    assert encoder.encode([pa.array(["x", "y"])], null, 2).to_pylist() == [None, b'{"V":"y"}']
    arrays, mask = encoder.normalise([pa.array(["x", "y"])], null)
    assert arrays[0].to_pylist() == [None, "y"]
    assert mask is not None
    assert mask.tolist() == [True, False]


def test_without_columns_a_value_is_an_empty_object_and_a_key_null() -> None:
    value = format_named("JSON").encoder(Layout("JSON", ()))
    key = format_named("JSON").encoder(Layout("JSON", (), wrap=False))
    assert value.encode([], np.array([False, True]), 2).to_pylist() == [b"{}", None]
    assert key.encode([], None, 2).to_pylist() == [None, None]
