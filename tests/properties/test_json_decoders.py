"""The bulk decoder of JSON and the row decoder agree on every batch."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from millstream import types as t
from millstream.serde.base import Decoded, Layout
from millstream.serde.json_bulk import JsonBulkDecoder
from millstream.serde.json_rows import JsonRowDecoder

TYPES: list[t.SqlType] = [
    t.BOOLEAN,
    t.INTEGER,
    t.BIGINT,
    t.DOUBLE,
    t.STRING,
    t.BYTES,
    t.DATE,
    t.TIME,
    t.TIMESTAMP,
    t.Decimal(6, 2),
    t.Decimal(40, 3),
    t.Array(t.INTEGER),
    t.Map(t.STRING, t.DOUBLE),
    t.Struct((t.Field("A", t.INTEGER), t.Field("b", t.STRING))),
]
NAMES = ["A", "a", "B", "b", "É", "é", "", "ß", "SS", "_time", "_TIME"]

NUMBERS = [
    *("0", "-0", "7", "-7", "007", "-", "--1", "1-1", "+5", "12345678901", "99999999999"),
    *("2147483647", "2147483648", "9223372036854775807", "9223372036854775808", "86400001"),
    *("0.0", "-0.0", "1.", ".5", "1.5", "-1.50", "01.5", "1..5", "1.2.3", "0.0000001", "1.e5"),
    *("1e5", "1E+5", "1e-5", "1e05", "1e400", "-1e400", "1e99999999999999999999", "00", "0e1"),
    *("123.456", "9999.99", "10000.00", "0x1F", "NaN", "Infinity", "nan", "1d", " 1", "1 ", "1_0"),
    *("12345678901234567890123.45", "0.30000000000000004", "1" * 30, "1" * 400, "1" * 5000),
    *("٣", "1,2", "true", "false", "null", "nul", "True", "", "[1]", "{}", "[]"),
]
TEXTS = [
    *("x", "YQ==", "YQ", "Y Q==", "é", "😀", "\\u0041", "\\ud800", '\\"', "\\\\", "\\n", "\\x"),
    *("\t", "\n", "\x00", "\x7f", "a,b", '","A":"', "}", "a:b", " ", "[1,2]"),
]

texts = st.sampled_from(NUMBERS + TEXTS) | st.integers(-(2**65), 2**65).map(str)
texts = texts | st.floats(allow_nan=False).map(repr)
bare_values = st.sampled_from(NUMBERS) | st.integers(-(2**64), 2**64).map(str)
bare_values = bare_values | st.floats(allow_nan=False).map(repr)
values = texts.map(lambda text: f'"{text}"') | bare_values
nested = st.sampled_from(
    ['{"A":1}', '{"a":"2","B":null}', "[1,2]", '["1",null]', '{"k":1.5}', "[[]]", '{"A":{"A":1}}']
)


@st.composite
def producers(draw: st.DrawFn) -> st.SearchStrategy[str]:
    """Records of one shape, mostly: fixed names, separators and kinds of value."""
    names = draw(st.lists(st.sampled_from(NAMES), max_size=5))
    colon = draw(st.sampled_from([":", ": ", " : "]))
    comma = draw(st.sampled_from([",", ", "]))
    ends = draw(st.sampled_from([("{", "}"), ("{ ", " }"), (" {", "} "), ("{", "}\n")]))
    kinds = [
        draw(st.sampled_from([texts.map(lambda x: f'"{x}"'), values, bare_values, nested]))
        if draw(st.integers(0, 3)) == 0
        else draw(st.sampled_from([plain_texts, plain_numbers]))
        for _ in names
    ]
    return st.tuples(*kinds).map(
        lambda found: (
            ends[0]
            + comma.join(f'"{n}"{colon}{v}' for n, v in zip(names, found, strict=True))
            + ends[1]
        )
    )


plain_texts = st.integers(-200, 10**6).map(lambda n: f'"{n}"')
plain_numbers = st.integers(-200, 10**6).map(str) | st.decimals(
    min_value=-1000, max_value=1000, places=2, allow_nan=False
).map(str)


@st.composite
def mutated(draw: st.DrawFn, record: bytes) -> bytes:
    """The record with one byte or piece changed."""
    at = draw(st.integers(0, len(record)))
    piece = draw(
        st.sampled_from(
            [b"", b'"', b"\\", b",", b"}", b"{", b":", b" ", b"\n", b"0", b"-", b"\xff"]
        )
        | st.binary(max_size=2)
    )
    return record[:at] + piece + record[at + draw(st.integers(0, 2)) :]


@st.composite
def batches(draw: st.DrawFn) -> list[bytes | None]:
    """Records of a few producers, some of them broken, with nulls and junk in between."""
    sources = [draw(producers()) for _ in range(draw(st.integers(1, 3)))]
    records: list[bytes | None] = []
    for _ in range(draw(st.integers(1, 25))):
        kind = draw(st.integers(0, 19))
        if kind == 0:
            records.append(draw(st.sampled_from([None, b"", b"null", b"{}", b"[]", b"1"])))
        elif kind == 1:
            records.append(draw(st.binary(max_size=12)))
        else:
            record = draw(draw(st.sampled_from(sources))).encode("utf-8")
            records.append(draw(mutated(record)) if kind < 5 else record)
    return records


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """One to four columns of any types."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    return Layout("JSON", tuple(t.Column(name, draw(st.sampled_from(TYPES))) for name in names))


def outcome(decoded: Decoded) -> tuple[object, ...]:
    """All of a decoded batch in a form that tells apart what == does not (NaN, -0.0)."""
    null = None if decoded.null is None else decoded.null.tolist()
    return repr([a.to_pylist() for a in decoded.arrays]), null, decoded.failures


def assert_equal(layout: Layout, *parts: list[bytes | None], needed: list[bool] | None) -> None:
    rows = JsonRowDecoder(layout)
    bulk = JsonBulkDecoder(layout, rows)
    for part in parts:
        records = pa.array(part, pa.binary())
        found = bulk.decode(records, needed)
        for array, column in zip(found.arrays, layout.columns, strict=True):
            array.validate(full=True)
            assert len(array) == len(records), column
        assert outcome(found) == outcome(rows.decode(records, needed))


@given(layouts(), batches(), batches(), st.lists(st.booleans(), min_size=4, max_size=4))
def test_bulk_gives_what_rows_give(
    layout: Layout,
    first: list[bytes | None],
    second: list[bytes | None],
    needed: list[bool],
) -> None:
    assert_equal(layout, first, second, first, needed=needed[: len(layout.columns)])


@given(layouts(), st.lists(st.none() | st.binary(max_size=30), max_size=20))
@example(Layout("JSON", (t.Column("A", t.STRING),)), [b'{"A":\xff}', b'{"A":"\xff"}'])
@example(Layout("JSON", (t.Column("A", t.STRING),)), [b'{"A":"\xed\xa0\x80"}', b'{"A":"\xc3\xa9"}'])
def test_bulk_takes_any_bytes(layout: Layout, records: list[bytes | None]) -> None:
    assert_equal(layout, records, needed=None)


@given(layouts(), batches(), st.data())
def test_whether_a_record_is_bad_does_not_depend_on_what_is_needed(
    layout: Layout, batch: list[bytes | None], data: st.DataObject
) -> None:
    decoder = JsonBulkDecoder(layout, JsonRowDecoder(layout))
    records = pa.array(batch, pa.binary())
    needed = [data.draw(st.booleans()) for _ in layout.columns]
    everything = decoder.decode(records)
    some = decoder.decode(records, needed)
    assert some.failures == everything.failures
    for array, whole, wanted in zip(some.arrays, everything.arrays, needed, strict=True):
        assert repr(array.to_pylist()) == repr(whole.to_pylist() if wanted else [None] * len(batch))


@given(layouts(), batches(), st.integers(0, 10), st.integers(0, 25))
def test_a_slice_is_decoded_like_its_records(
    layout: Layout, batch: list[bytes | None], start: int, length: int
) -> None:
    rows = JsonRowDecoder(layout)
    records = pa.array(batch, pa.binary()).slice(start, length)
    found = JsonBulkDecoder(layout, rows).decode(records)
    assert outcome(found) == outcome(rows.decode(pa.array(records.to_pylist(), pa.binary())))
