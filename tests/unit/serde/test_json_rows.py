"""What JSON records mean, value by value."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from millstream import types as t
from millstream.columns.arrow import to_python
from millstream.serde.base import Decoded, Layout
from millstream.serde.formats import format_named
from millstream.serde.json_rows import DEEPEST

DECIMAL = t.Decimal(6, 4)
STRUCT = t.Struct((t.Field("A", t.INTEGER), t.Field("b", t.STRING)))


def decode(*records: str | bytes | None, **columns: t.SqlType) -> Decoded:
    return decode_layout(Layout("JSON", as_columns(columns)), *records)


def decode_bare(*records: str | bytes | None, **columns: t.SqlType) -> Decoded:
    return decode_layout(Layout("JSON", as_columns(columns), wrap=False), *records)


def as_columns(columns: dict[str, t.SqlType]) -> tuple[t.Column, ...]:
    return tuple(t.Column(name, sql_type) for name, sql_type in columns.items())


def decode_layout(layout: Layout, *records: str | bytes | None) -> Decoded:
    encoded = [r.encode() if isinstance(r, str) else r for r in records]
    return format_named("JSON").decoder(layout).decode(pa.array(encoded, pa.binary()))


def value(text: str, sql_type: t.SqlType) -> Any:
    """The value of a column in a record that must be good."""
    decoded = decode(f'{{"V":{text}}}', V=sql_type)
    assert decoded.failures == []
    assert decoded.null is None
    return to_python(decoded.arrays[0], sql_type)[0]


def problem(record: str | bytes, **columns: t.SqlType) -> str:
    """What is said of a record that must be bad; its columns are null, the next record is good."""
    decoded = decode(record, "{}", **columns)
    assert [f.row for f in decoded.failures] == [0]
    assert decoded.null is None
    assert all(a.null_count == 2 for a in decoded.arrays)
    return decoded.failures[0].message


@pytest.mark.parametrize(
    ("sql_type", "text", "expected"),
    [
        (t.BOOLEAN, "true", True),
        (t.BOOLEAN, "false", False),
        (t.INTEGER, "1", 1),
        (t.INTEGER, "-0", 0),
        (t.INTEGER, "1.9", 1),
        (t.INTEGER, "-1.9", -1),
        (t.INTEGER, "1e3", 1000),
        (t.INTEGER, "0e999", 0),
        (t.INTEGER, "-2147483648", -(2**31)),
        (t.INTEGER, '"42"', 42),
        (t.INTEGER, '"+42"', 42),
        (t.INTEGER, '"-0042"', -42),
        (t.BIGINT, "9223372036854775807", 2**63 - 1),
        (t.BIGINT, "9223372036854775807.9", 2**63 - 1),
        (t.BIGINT, '"-9223372036854775808"', -(2**63)),
        (t.DOUBLE, "1", 1.0),
        (t.DOUBLE, "0.1", 0.1),
        (t.DOUBLE, "1e-400", 0.0),
        (t.DOUBLE, "123456789012345678901234567890", 1.2345678901234568e29),
        (t.DOUBLE, '"1.5"', 1.5),
        (t.DOUBLE, '" 1.5d "', 1.5),
        (t.DOUBLE, '".5"', 0.5),
        (t.DOUBLE, '"5."', 5.0),
        (t.DOUBLE, '"-Infinity"', -math.inf),
        (t.DOUBLE, '"0x1.8p1"', 3.0),
        (t.STRING, '"a\\u00e9\\n"', "aé\n"),
        (t.STRING, '""', ""),
        (t.STRING, "1", "1"),
        (t.STRING, "-0", "0"),
        (t.STRING, "-0.0", "0.0"),
        (t.STRING, "10.00", "10.00"),
        (t.STRING, "1E7", "1E+7"),
        (t.STRING, "0.0000001", "1E-7"),
        (t.STRING, "1e400", "1E+400"),
        (t.STRING, "true", "true"),
        (
            t.STRING,
            '{"b": 1.0, "a": ["x", null, {"é": "\\""}]}',
            '{"b":1.0,"a":["x",null,{"é":"\\""}]}',
        ),
        (t.STRING, "{}", "{}"),
        (t.STRING, '{"a":[]}', '{"a":[]}'),
        (t.STRING, '{"a":1,"b":2,"a":3}', '{"a":3,"b":2}'),
        (
            t.STRING,
            '["a", 1.0, null, true, [2], {"k": "v"}]',
            '[a, 1.0, null, true, [2], {"k":"v"}]',
        ),
        (t.STRING, "[]", "[]"),
        (DECIMAL, "10", Decimal("10.0000")),
        (DECIMAL, "10.0", Decimal("10.0000")),
        (DECIMAL, "-99.9999", Decimal("-99.9999")),
        (DECIMAL, "1.000000", Decimal("1.0000")),
        (DECIMAL, "1e1", Decimal("10.0000")),
        (DECIMAL, "0e99999", Decimal("0.0000")),
        (DECIMAL, '"0.0001"', Decimal("0.0001")),
        (t.Decimal(50, 2), "1" * 48, Decimal("1" * 48 + ".00")),
        (t.BYTES, '"dmFyaWF0aW9ucw=="', b"variations"),
        (t.BYTES, '""', b""),
        (t.DATE, "-10", -10),
        (t.DATE, '"10"', 10),
        (t.TIME, "86400000", 86_400_000),
        (t.TIMESTAMP, "1700000000000", 1_700_000_000_000),
        (t.TIMESTAMP, '"-1"', -1),
        (t.Array(t.INTEGER), '[1, "2", null]', [1, 2, None]),
        (t.Map(t.STRING, t.DOUBLE), '{"a": 1, "A": null, "a": 2}', {"a": 2.0, "A": None}),
        (STRUCT, '{"a": 1.5, "b": 2, "c": 3}', {"A": 1, "b": "2"}),
        (STRUCT, '{"B": "upper case names do not find lower case fields"}', {"A": None, "b": None}),
        (t.Array(STRUCT), "[{}, null]", [{"A": None, "b": None}, None]),
    ],
)
def test_values(sql_type: t.SqlType, text: str, expected: Any) -> None:
    assert repr(value(text, sql_type)) == repr(expected)


@pytest.mark.parametrize("sql_type", [t.DOUBLE, t.Array(t.DOUBLE)])
def test_a_number_has_no_negative_zero_but_a_text_has(sql_type: t.SqlType) -> None:
    form = "{}" if sql_type == t.DOUBLE else "[{}]"
    assert repr(value(form.format("-0.0"), sql_type)).strip("[]") == "0.0"
    assert repr(value(form.format('"-0.0"'), sql_type)).strip("[]") == "-0.0"


def test_nan_stands_in_a_text() -> None:
    assert math.isnan(value('"NaN"', t.DOUBLE))


@pytest.mark.parametrize(
    ("sql_type", "text"),
    [
        *((t.BOOLEAN, x) for x in ('"true"', "1", "[]")),
        *((t.INTEGER, x) for x in ("true", '"1.0"', '" 1"', '"1_0"', '""', '"٣"', "{}", "[1]")),
        *((t.INTEGER, x) for x in ("2147483648", '"2147483648"', "1e99999", "1" * 30)),
        *((t.BIGINT, x) for x in ("9223372036854775808", "18446744073709551616", "1e19")),
        *(
            (t.DOUBLE, x)
            for x in ('"x"', '""', '"1,5"', '"inf"', '"nan"', "false", "1e400", '"1e400"')
        ),
        *((DECIMAL, x) for x in ("100", "1.00001", '"1.00001"', '"1 "', '"NaN"', "true", '"1_0"')),
        *((t.BYTES, x) for x in ("1", '"YQ"', '"Y Q=="', '"YQ==YQ=="', '"é"', "[]")),
        *((t.TIME, x) for x in ("-1", "86400001", '"00:00"')),
        *((t.DATE, x) for x in ("2147483648", '"2020-01-01"')),
        *((t.Array(t.STRING), x) for x in ('"[]"', "{}", "1")),
        *((t.Map(t.STRING, t.STRING), x) for x in ("[]", '"{}"')),
        *((STRUCT, x) for x in ("[]", '"{}"', '{"A":"x"}')),
        (t.Array(t.INTEGER), "[[1]]"),
    ],
)
def test_values_that_do_not_fit_fail_the_record(sql_type: t.SqlType, text: str) -> None:
    message = problem(f'{{"V":{text},"W":1}}', V=sql_type, W=t.INTEGER)
    assert message.startswith("Column V")
    assert message.endswith(".")


@pytest.mark.parametrize("sql_type", [t.BOOLEAN, t.STRING, t.BYTES, DECIMAL, STRUCT, t.TIME])
def test_null_is_null_of_any_type(sql_type: t.SqlType) -> None:
    assert value("null", sql_type) is None


@pytest.mark.parametrize(
    "record",
    [
        *(b"", b" ", b"{", b'{"V":1', b'{"V":1}}', b'{"V":1} x', b'{"V":1,}', b'{"V":NaN}'),
        *(b'{"V":01}', b'{"V":1.}', b'{"V":+1}', b'{"V":.5}', b"{'V':1}", b"{V:1}", b"\x00"),
        *(b'{"V":1}\x00', b'{"W":"\xff"}', b'{"W":"\xed\xa0\x80"}', b'{"W":"\t"}', b'{"W":"\\x"}'),
        *(
            b'{"W":"\\ud800"}',
            b"\xef\xbb\xbf" * 2 + b'{"V":1}',
            b'{"W":1e99999999999999999999}',
            b"nul",
        ),
        *(b'{"V":1}{"V":2}', b'// c\n{"V":1}', b'{"W":' + b"1" * 6000 + b"}", b'{"W":[1,]}'),
    ],
)
def test_malformed_records_fail(record: bytes) -> None:
    message = problem(record, V=t.INTEGER)
    assert message.startswith("The record is not valid JSON: ")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", "it is empty"),
        (b'{"V": 1', "it ends too early, at byte 7"),
        (b'{"V": tru}', "it ends too early, at byte 10"),
        (b'{"V": NaN}', "unexpected character N at byte 6"),
        (b'{"V": 1} x', "something follows behind its end at byte 9"),
        (b'{"V": 1,}', "nothing follows a comma of an object at byte 8"),
        (b'{"W": [1,]}', "nothing follows a comma of an array at byte 9"),
        (b'{"W": [1 2]}', "a comma or the end of the array is missing at byte 9"),
        (b'{"V": 1 "W": 2}', "a comma or the end of the object is missing at byte 8"),
        (b'{"V" 1}', "a colon is missing at byte 5"),
        (b"{'V': 1}", "a name in double quotes is missing at byte 1"),
        (b'{"V": 01}', "a number is malformed at byte 7"),
        (b'{"W": "\\x"}', "a text has an unknown escape at byte 8"),
        (b'{"W": "\\u12x4"}', "a \\u escape needs four hexadecimal digits at byte 11"),
        (b'{"W": "\\ud800"}', "half of a surrogate pair stands alone in a text"),
        (b'{"W": "\t"}', "unexpected 0x09 at byte 7"),
        (b'{"W": "\xff"}', "it is not UTF-8 at byte 7"),
        (b"\xff\xfe{\x00", "unexpected 0xff at byte 0"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(record: bytes, reason: str) -> None:
    assert problem(record, V=t.INTEGER) == f"The record is not valid JSON: {reason}."


def test_a_byte_order_mark_is_skipped() -> None:
    found = decode(b'\xef\xbb\xbf{"V":1}', '{"V":2}', V=t.INTEGER)
    assert (found.arrays[0].to_pylist(), found.failures) == ([1, 2], [])


@pytest.mark.parametrize("record", ["1", '"x"', "[]", "true"])
def test_a_wrapped_record_is_an_object(record: str) -> None:
    assert "JSON object" in problem(record, V=t.INTEGER)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_nesting_fails_at_a_fixed_depth(opening: str) -> None:
    closing = "]" if opening == "[" else "}"

    def nested(depth: int) -> str:
        return '{"V":' + opening * depth + "1" + closing * depth + "}"

    decoded = decode(nested(DEEPEST - 1), nested(DEEPEST), nested(100_000), V=t.STRING)
    assert [f.row for f in decoded.failures] == [1, 2]
    assert all("deeper" in f.message for f in decoded.failures)
    assert decoded.arrays[0].is_valid().to_pylist() == [True, False, False]


def test_many_brackets_are_not_deep() -> None:
    record = '{"V":[' + ",".join(["[]", '"[[[["'] * 500) + "]}"
    assert decode(record, V=t.Array(t.STRING)).failures == []


def test_names_match_exactly_first_and_then_in_upper_case() -> None:
    columns: dict[str, t.SqlType] = {"USERID": t.INTEGER, "other": t.INTEGER}
    records = [
        ('{"userid":1,"other":2}', (1, 2)),
        ('{"UserId":1,"OTHER":2,"Other":3}', (1, None)),
        ('{"USERID":1,"userid":2}', (1, None)),
        ('{"userid":1,"UserId":2}', (2, None)),
        ('{"USERID":null,"userid":2}', (None, None)),
        ('{"other":1,"other":2,"more":{}}', (None, 2)),
        ("{}", (None, None)),
    ]
    decoded = decode(*(text for text, _ in records), **columns)
    rows = list(zip(*(a.to_pylist() for a in decoded.arrays), strict=True))
    assert rows == [row for _, row in records]


def test_null_records_and_null_values_differ() -> None:
    decoded = decode(None, "null", '{"V":null}', " null ", V=t.INTEGER)
    assert decoded.null is not None
    assert decoded.null.tolist() == [True, True, False, True]
    assert decoded.failures == []


def test_an_unwrapped_record_is_the_value() -> None:
    decoded = decode_bare("10", '"11"', "null", None, "[1]", V=t.INTEGER)
    assert decoded.arrays[0].to_pylist() == [10, 11, None, None, None]
    assert decoded.null is not None
    assert decoded.null.tolist() == [False, False, True, True, False]
    assert [f.row for f in decoded.failures] == [4]
    assert "Column V" in decoded.failures[0].message
    objects = decode_bare('{"a":1}', V=t.Map(t.STRING, t.DOUBLE))
    assert to_python(objects.arrays[0], t.Map(t.STRING, t.DOUBLE)) == [{"a": 1.0}]


def test_without_columns_the_bytes_of_a_key_are_ignored() -> None:
    decoded = decode_bare("not JSON", None)
    assert (decoded.arrays, decoded.failures) == ([], [])
    assert decoded.null is not None
    assert decoded.null.tolist() == [False, True]
    assert [f.row for f in decode("{}", "1").failures] == [1]


@pytest.mark.parametrize(
    ("text", "sql_type", "expected"),
    [
        ('{"V":"abc"}', t.INTEGER, 'Column V takes an INTEGER, but the record has the text "abc".'),
        (
            '{"V":{"x":[1,true]}}',
            t.Map(t.STRING, t.Array(t.INTEGER)),
            "Column V['x'][2] takes an INTEGER, but the record has the boolean true.",
        ),
        ('{"V":[{"a":[]}]}', t.Array(STRUCT), "Column V[1]->A takes an INTEGER"),
        ('{"V":3000000000}', t.INTEGER, "the number 3000000000, which is out of range."),
        (
            "[1, 2]",
            t.INTEGER,
            "The record should be a JSON object, but the record has the array [1,2].",
        ),
    ],
)
def test_failures_name_the_place_the_type_and_the_value(
    text: str, sql_type: t.SqlType, expected: str
) -> None:
    assert expected in problem(text, V=sql_type)


def test_long_values_are_cut_in_messages() -> None:
    assert len(problem('{"V":"' + "x" * 10_000 + '"}', V=t.INTEGER)) < 200


def test_columns_that_are_not_needed_come_as_nulls_and_still_decide() -> None:
    layout = Layout("JSON", (t.Column("A", t.INTEGER), t.Column("B", t.INTEGER)))
    records = pa.array([b'{"A":1,"B":2}', b'{"A":1,"B":"x"}'], pa.binary())
    decoded = format_named("JSON").decoder(layout).decode(records, [True, False])
    assert [a.to_pylist() for a in decoded.arrays] == [[1, None], [None, None]]
    assert [f.row for f in decoded.failures] == [1]
