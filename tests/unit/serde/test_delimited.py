"""Lines of CSV."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from millstream import types as t
from millstream.columns.arrow import from_python
from millstream.serde.base import Decoded, Layout
from millstream.serde.csv_text import CsvError, CsvReader
from millstream.serde.delimited import delimiter_named
from millstream.serde.formats import format_named

FORMAT = format_named("DELIMITED")


def layout(*types: t.SqlType, delimiter: str = ",", wrap: bool = True) -> Layout:
    columns = tuple(t.Column(f"C{i}", sql_type) for i, sql_type in enumerate(types))
    return Layout("DELIMITED", columns, delimiter=delimiter, wrap=wrap)


def decode(where: Layout, *lines: str | bytes | None) -> Decoded:
    encoded = [line.encode() if isinstance(line, str) else line for line in lines]
    return FORMAT.decoder(where).decode(pa.array(encoded, pa.binary()))


def rows(decoded: Decoded) -> list[tuple[Any, ...]]:
    return list(zip(*(a.to_pylist() for a in decoded.arrays), strict=True))


def write(where: Layout, *values: Any) -> str:
    arrays = [from_python([v], c.type) for v, c in zip(values, where.columns, strict=True)]
    written: bytes = FORMAT.encoder(where).encode(arrays, None, 1)[0].as_py()
    return written.decode()


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("a,b", ["a", "b"]),
        ("a,", ["a", ""]),
        (",", ["", ""]),
        (" a , b ", [" a ", " b "]),
        ('"a,b",c', ["a,b", "c"]),
        ('"a""b"', ['a"b']),
        ('"a" ,b', ["a", "b"]),
        ('a"b,c', ['a"b', "c"]),
        (' "a",b', [' "a"', "b"]),
        ('"a\nb",c', ["a\nb", "c"]),
        ('""', [""]),
        ("a,b\r\n", ["a", "b"]),
        ("\n\r\na", ["a"]),
        ("a,\nb", ["a", ""]),
        ("a\nb,c,d", ["a"]),
    ],
)
def test_the_first_record_is_split(line: str, fields: list[str]) -> None:
    assert CsvReader(",").first_record(line) == fields


@pytest.mark.parametrize("line", ["", "\n", '"a', '"a"b', 'a,"b" c', 'a\n"b'])
def test_lines_that_are_no_record(line: str) -> None:
    with pytest.raises(CsvError):
        CsvReader(",").first_record(line)


@pytest.mark.parametrize(
    ("sql_type", "field", "expected"),
    [
        (t.STRING, " a ", " a "),
        (t.STRING, "", None),
        (t.STRING, '""', None),
        (t.INTEGER, "33", 33),
        (t.INTEGER, '"22"', 22),
        (t.INTEGER, "+1", 1),
        (t.INTEGER, "007", 7),
        (t.BIGINT, "998877665544332211", 998877665544332211),
        (t.DOUBLE, "1.5", 1.5),
        (t.DOUBLE, "-0.0", -0.0),
        (t.DOUBLE, " 1e3 ", 1000.0),
        (t.DOUBLE, "Infinity", math.inf),
        (t.BOOLEAN, "TrUe", True),
        (t.BOOLEAN, "yes", False),
        (t.Decimal(6, 4), "12.0", Decimal("12.0000")),
        (t.Decimal(6, 4), "1e1", Decimal("10.0000")),
        (t.BYTES, "IQ==", b"!"),
        (t.DATE, "-10", -10),
        (t.TIME, "10", 10),
        (t.TIMESTAMP, "10", 10),
    ],
)
def test_values(sql_type: t.SqlType, field: str, expected: Any) -> None:
    decoded = decode(layout(sql_type, t.STRING), f"{field},x")
    assert decoded.failures == []
    assert repr(rows(decoded)) == repr([(expected, "x")])


@pytest.mark.parametrize(
    ("sql_type", "field"),
    [
        *((t.INTEGER, x) for x in (" 1", "1.0", "0x1F", "2147483648", "a")),
        *((t.DOUBLE, x) for x in ("inf", "nan", "1e400", "1 2")),
        *((t.Decimal(6, 4), x) for x in ("100", "1.00001", " 1")),
        *((t.TIME, x) for x in ("-1", "86400001")),
        (t.BYTES, "IQ"),
    ],
)
def test_values_that_do_not_fit_fail_the_record(sql_type: t.SqlType, field: str) -> None:
    decoded = decode(layout(sql_type, t.STRING), f"{field},x", "0,y" * 0 + ",y")
    assert [f.row for f in decoded.failures] == [0]
    assert decoded.failures[0].message.startswith(f"Column C0 takes {sql_type}")
    assert rows(decoded) == [(None, None), (None, "y")]


def test_the_number_of_fields_must_match() -> None:
    decoded = decode(layout(t.STRING, t.STRING), "a", "a,b", "a,b,c", '"a"', "", "\n", None, "x,y")
    assert [f.row for f in decoded.failures] == [0, 2, 3, 4, 5]
    assert rows(decoded)[1] == ("a", "b")
    assert rows(decoded)[7] == ("x", "y")
    assert decoded.null is not None
    assert decoded.null.tolist() == [False] * 6 + [True, False]


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    assert rows(decode(layout(t.STRING), b"a\xffb")) == [("a�b",)]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (("a", "b"), "a,b"),
        ((None, None), ","),
        (("", ""), '"",'),
        (("-1", "-1"), '"-1",-1'),
        (("é", "é"), '"é",é'),
        (("!", "!"), '"!","!"'),
        (("#", "$"), '"#",$'),
        (("a b", " b"), 'a b," b"'),
        (("a ", "b\t"), '"a ","b\t"'),
        (('a"b', "a,b"), '"a""b","a,b"'),
        (("a\nb", "a\rb"), '"a\nb","a\rb"'),
    ],
)
def test_texts_are_quoted_where_needed(values: tuple[str, ...], line: str) -> None:
    where = layout(t.STRING, t.STRING)
    assert write(where, *values) == line
    # Beside a text with a special character the quotes of the others are the same.
    arrays = [pa.array([v, 'x"'], pa.string()) for v in values]
    assert FORMAT.encoder(where).encode(arrays, None, 2)[0].as_py().decode() == line


@pytest.mark.parametrize(
    ("sql_type", "value", "line"),
    [
        (t.INTEGER, -10, '"-10"'),
        (t.DOUBLE, 4.9e-324, "4.9E-324"),
        (t.DOUBLE, 1e7, "1.0E7"),
        (t.DOUBLE, math.nan, "NaN"),
        (t.BOOLEAN, True, "true"),
        (t.Decimal(12, 10), Decimal("1E-10"), "0.0000000001"),
        (t.BYTES, b"!", "IQ=="),
        (t.DATE, 10, "10"),
        (t.STRING, None, ""),
        (t.STRING, "", '""'),
    ],
)
def test_single_values_are_written(sql_type: t.SqlType, value: Any, line: str) -> None:
    assert write(layout(sql_type), value) == line


def test_a_null_key_is_null_and_a_null_value_an_empty_line() -> None:
    array = pa.array([None, 1], pa.int32())
    key = FORMAT.encoder(layout(t.INTEGER, wrap=False)).encode([array], None, 2)
    value = FORMAT.encoder(layout(t.INTEGER)).encode([array], None, 2)
    assert key.to_pylist() == [None, b"1"]
    assert value.to_pylist() == [b"", b"1"]
    assert rows(decode(layout(t.INTEGER), b"")) == [(None,)]


@pytest.mark.parametrize("delimiter", [";", "|", "\t", " ", "é", "^", "a"])
def test_other_delimiters(delimiter: str) -> None:
    where = layout(t.STRING, t.STRING, delimiter=delimiter)
    values = (f"x{delimiter}y", "plain,z")
    line = write(where, *values)
    assert rows(decode(where, line, f"p{delimiter}q")) == [values, ("p", "q")]


@pytest.mark.parametrize(("text", "expected"), [("TAB", "\t"), ("space", " "), (";", ";")])
def test_delimiters_by_name(text: str, expected: str) -> None:
    assert delimiter_named(text) == expected


@pytest.mark.parametrize("text", ["", " ", "\t", "\n", ";;", '"'])
def test_delimiters_that_cannot_be(text: str) -> None:
    with pytest.raises(ValueError, match="delimiter"):
        delimiter_named(text)


def test_many_lines_are_read_as_one_is() -> None:
    where = layout(t.INTEGER, t.STRING)
    lines = [f"{n},{'x' * (n % 3)}" for n in range(200)]
    lines[7], lines[9], lines[11] = '"7","a,b"', "x,y", "1"
    together = decode(where, *lines)
    alone = [decode(where, line) for line in lines]
    assert rows(together) == [rows(one)[0] for one in alone]
    bad = [row for row, one in enumerate(alone) if one.failures]
    assert [f.row for f in together.failures] == bad == [9, 11]
    some = FORMAT.decoder(where).decode(
        pa.array([line.encode() for line in lines], pa.binary()), [False, True]
    )
    assert some.failures == together.failures
    assert some.arrays[0].null_count == len(lines)


def test_no_columns() -> None:
    assert decode(layout(), "anything").failures == []
    written = FORMAT.encoder(layout()).encode([], np.array([False, True]), 2)
    assert written.to_pylist() == [b"", None]
