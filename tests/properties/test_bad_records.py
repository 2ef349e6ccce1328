"""Whatever bytes come: each record is a row or a line of the processing log, and the log has no say
over the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.e2e.raw_topic import Outcome, read

COLUMNS = (
    "i INT, l BIGINT, d DOUBLE, n DECIMAL(6, 2), b BOOLEAN, w VARCHAR, y BYTES, ts TIMESTAMP,"
    " a ARRAY<INT>, m MAP<VARCHAR, DOUBLE>, r STRUCT<x INT, s STRUCT<w VARCHAR>>"
)
FLAT = "i INT, w VARCHAR, d DOUBLE, n DECIMAL(6, 2), y BYTES, ts TIMESTAMP"
GOOD = {
    "JSON": b'{"i": 1, "l": 2, "d": 1.5, "n": 2.25, "b": true, "w": "x\\u00e9\\n", "y": "aGk=",'
    b' "ts": 5, "a": [1, null], "m": {"k": 0.5}, "r": {"x": 1, "s": {"w": "z"}}}',
    "DELIMITED": b'1,"x, ""y""",1.5,2.25,aGk=,5',
    "KAFKA": b"\x00\x00\x00\x07",
}
PIECES = [
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\u", b"\\ud800", b"null", b"NaN", b"-"),
    *(b"1e999", b"99999999999999999999", b"0.001", b"\x00", b"\xff", b"\xed\xa0\x80", b"\n", b" "),
    *(b'"i"', b'"i":', b'"r":{}', b'"m":{"k":', b"true", b"\xef\xbb\xbf", b"/**/", b"''"),
]


@st.composite
def spoilt(draw: st.DrawFn, good: bytes) -> bytes | None:
    """A good record, cut, mixed or stuffed here and there; or none."""
    record = good
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(record)))
        end = min(len(record), start + draw(st.sampled_from([0, 0, 1, 3, 20])))
        piece = draw(st.one_of(st.just(b""), st.sampled_from(PIECES), st.binary(max_size=3)))
        record = record[:start] + piece + record[end:]
    return draw(st.sampled_from([record, record, record, record, None]))


def outcome(value_format: str, records: list[bytes | None]) -> Outcome:
    """What comes of records in this format."""
    columns = {"JSON": COLUMNS, "DELIMITED": FLAT, "KAFKA": "i INT"}[value_format]
    return read(columns, value_format, records)


@given(st.data(), st.sampled_from(sorted(GOOD)))
def test_each_record_is_a_row_or_a_line(data: st.DataObject, value_format: str) -> None:
    good = GOOD[value_format]
    middle = data.draw(st.lists(spoilt(good), min_size=1, max_size=6))
    records = [good, *middle, good]
    found = outcome(value_format, records)
    assert len(found.good) + len(found.told) == len(records)
    assert {line.kind for line in found.told} <= {"deserialization"}
    assert repr(found.good[0]) == repr(found.good[-1])
    # By itself, each record comes to what it comes to among others.
    bad = {line.offset: line.message for line in found.told}
    rows = iter(found.good)
    for offset, record in enumerate(records):
        (alone, told) = outcome(value_format, [record])
        if offset in bad:
            assert [line.message for line in told] == [bad[offset]]
        else:
            assert repr(alone) == repr([next(rows)])
