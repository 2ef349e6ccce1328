"""The bulk decoder takes what it should take, and leaves the rest to the row decoder."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest

from millstream import types as t
from millstream.serde.base import Decoded, Layout
from millstream.serde.json_bulk import JsonBulkDecoder
from millstream.serde.json_rows import JsonRowDecoder
from millstream.serde.json_shapes import learn

LAYOUT = Layout(
    "JSON",
    (
        t.Column("_TIME", t.BIGINT),
        t.Column("IP", t.STRING),
        t.Column("STATUS", t.INTEGER),
        t.Column("PRICE", t.DOUBLE),
        t.Column("OK", t.BOOLEAN),
    ),
)


class CountingRows(JsonRowDecoder):
    """A row decoder that counts the records given to it."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.seen = 0

    def decode(self, records: pa.Array, needed: Sequence[bool] | None = None) -> Decoded:
        self.seen += len(records)
        return super().decode(records, needed)


def decode(records: list[bytes | None], layout: Layout = LAYOUT) -> tuple[Decoded, int]:
    """The decoded batch, proven equal to the row decoder's, and how many went row by row."""
    rows = CountingRows(layout)
    array = pa.array(records, pa.binary())
    found = JsonBulkDecoder(layout, rows).decode(array)
    expected = JsonRowDecoder(layout).decode(array)
    assert [a.to_pylist() for a in found.arrays] == [a.to_pylist() for a in expected.arrays]
    assert found.failures == expected.failures
    assert (found.null is None) == (expected.null is None)
    assert found.null is None or (found.null == expected.null).all()
    return found, rows.seen


def click(number: int, *, colon: str = ":", comma: str = ",") -> bytes:
    parts = {
        "ip": f'"111.{number}.0.1"',
        "unused": f"-{number}.5",
        "_time": str(number),
        "status": f'"{200 + number % 5}"',
        "price": f"{number}.25",
        "ok": "true" if number % 2 else "false",
    }
    return ("{" + comma.join(f'"{k}"{colon}{v}' for k, v in parts.items()) + "}").encode()


@pytest.mark.parametrize(("colon", "comma"), [(":", ","), (": ", ", "), (" :", " , ")])
def test_records_of_one_shape_are_all_taken(colon: str, comma: str) -> None:
    _, rows = decode([click(n, colon=colon, comma=comma) for n in range(500)])
    assert rows == 0


def test_records_of_several_shapes_are_all_taken() -> None:
    shapes = [
        b'{"ip":"%d"}',
        b'{"ip":null,"status":%d}',
        b'{"STATUS":%d,"ip":"x"}',
        b'{"other":"%d"}',
    ]
    _, rows = decode([shapes[n % 4] % n for n in range(400)])
    assert rows == 0


def test_blocks_and_remembered_shapes() -> None:
    bulk = JsonBulkDecoder(LAYOUT, counting := CountingRows(LAYOUT))
    records = [click(n) + b" " * 200 for n in range(20_000)]
    for start in (0, 10_000):
        found = bulk.decode(pa.array(records[start : start + 10_000], pa.binary()))
        assert found.arrays[0].to_pylist() == list(range(start, start + 10_000))
    assert counting.seen == 0


@pytest.mark.parametrize(
    "odd",
    [
        *(b'{"ip":"a\\"b"}', b'{"ip":"a\tb"}', b'{"ip":"\xff"}', b"[]", b"", b"{", b"null"),
        *(b'{"ip":{"a":1}}', b'{"ip":"x","status":"y"}', b'{"status":01}', b'{"unused":-}'),
        *(click(7)[:-1], click(7) + b"}", click(7).replace(b":", b"=", 1), click(7) * 2),
        click(7).replace(b"7.25", b"7.25,"),
    ],
)
def test_an_odd_record_alone_goes_row_by_row(odd: bytes) -> None:
    records: list[bytes | None] = [click(n) for n in range(300)]
    records[150] = odd
    records[151] = None
    _, rows = decode(records)
    assert rows == 1


def test_text_that_is_not_ascii_is_taken() -> None:
    _, rows = decode([f'{{"ip":"é {n} 😀","É":1}}'.encode() for n in range(100)])
    assert rows == 0


def test_a_value_in_a_string_cannot_pass_for_structure() -> None:
    records = [b'{"ip":"%d","status":1}' % n for n in range(100)]
    records[3] = b'{"ip":",\'status\':2","status":1}'
    records[4] = b'{"ip":"3, status:1","status":1}'
    found, rows = decode(list(records))
    assert rows == 0
    assert found.arrays[1][4].as_py() == "3, status:1"


@pytest.mark.parametrize(
    ("record", "names", "quotes"),
    [
        (b'{"a":1}', ("a",), 2),
        (b' { "a" : "x" , "b":null } ', ("a", "b"), 6),
        (b'{"a":1,"a":"2"}', ("a", "a"), 6),
    ],
)
def test_a_shape_is_learned_from_a_record(
    record: bytes, names: tuple[str, ...], quotes: int
) -> None:
    shape = learn(record)
    assert shape is not None
    assert (shape.names, shape.quotes) == (names, quotes)


@pytest.mark.parametrize(
    "record",
    [b"", b"{}", b"[1]", b'{"a":[1]}', b'{"a":{}}', b'{"a":"\\n"}', b'{"a":1,}', b'{"a":1}x'],
)
def test_no_shape_is_learned_from_anything_else(record: bytes) -> None:
    assert learn(record) is None
