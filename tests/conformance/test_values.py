"""The rules by which values are written, read and compared, case by case."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from millstream import types as t

from .model import Json, Number, read_json
from .mutate import changed_values
from .values import (
    Actual,
    FormatNotSupportedYet,
    Side,
    ValueProblem,
    difference,
    from_bytes,
    java_decimal,
    to_bytes,
)

JSON = Side("JSON", ())


def kafka(*columns: t.SqlType) -> Side:
    return Side("KAFKA", columns)


@pytest.mark.parametrize(
    ("text", "side", "expected"),
    [
        ('{"a": 10.00, "b": [1E7, null]}', JSON, b'{"a":10.00,"b":[1E7,null]}'),
        ('"text"', JSON, b'"text"'),
        ('"\\u00e9\\n"', JSON, '"é\\n"'.encode()),
        ("true", JSON, b"true"),
        ("null", JSON, None),
        ('"1,,x"', Side("DELIMITED", ()), b"1,,x"),
        ("12", Side("DELIMITED", ()), b"12"),
        ("12", Side("NONE", ()), None),
        ("1", kafka(t.INTEGER), b"\0\0\0\1"),
        ("-1", kafka(t.BIGINT), b"\xff" * 8),
        ("1.5", kafka(t.DOUBLE), b"\x3f\xf8" + b"\0" * 6),
        ("1", kafka(t.DOUBLE), b"\x3f\xf0" + b"\0" * 6),
        ('"x"', kafka(t.STRING), b"x"),
        ('"aGk="', kafka(t.BYTES), b"aGk="),
        ('"junk"', kafka(), b"junk"),
        ("7", kafka(), b"7"),
    ],
)
def test_inputs_are_written_in_their_format(text: str, side: Side, expected: bytes | None) -> None:
    assert to_bytes(read_json(text), side) == expected


@pytest.mark.parametrize("side", [kafka(t.INTEGER), kafka(t.BIGINT), kafka(t.DOUBLE)])
def test_what_does_not_fit_a_kafka_column_is_a_problem(side: Side) -> None:
    with pytest.raises(ValueProblem):
        to_bytes("word", side)


def test_unknown_formats_are_told_apart() -> None:
    with pytest.raises(FormatNotSupportedYet):
        to_bytes("x", Side("AVRO", ()))
    with pytest.raises(FormatNotSupportedYet):
        from_bytes(b"x", Side("AVRO", ()))


@pytest.mark.parametrize(
    ("data", "side", "expected"),
    [
        (b'{"A":1.50}', JSON, {"A": Decimal("1.50")}),
        (None, JSON, None),
        (b"null", JSON, None),
        (b"1,2", Side("DELIMITED", ()), "1,2"),
        (None, Side("DELIMITED", ()), None),
        (None, Side("NONE", ()), None),
        (b"\0\0\0\1", kafka(t.INTEGER), 1),
        (b"\xff" * 8, kafka(t.BIGINT), -1),
        (b"\x3f\xf8" + b"\0" * 6, kafka(t.DOUBLE), Decimal("1.5")),
        (b"x", kafka(), "x"),
    ],
)
def test_outputs_are_read_in_their_format(data: bytes | None, side: Side, expected: Actual) -> None:
    found = from_bytes(data, side)
    assert found == expected
    assert type(found) is type(expected)


def test_inexact_comparison_reads_floats() -> None:
    assert from_bytes(b"1.50", JSON, exact=False) == 1.5
    assert isinstance(from_bytes(b"1.50", JSON, exact=False), float)


@pytest.mark.parametrize(
    ("data", "side"),
    [
        (b"{", JSON),
        (b"NaN", JSON),
        (b"", JSON),
        (b'"\xff"', JSON),
        (b"123", kafka(t.INTEGER)),
        (b"\xff", kafka(t.STRING)),
        (b"x", Side("NONE", ())),
    ],
)
def test_what_cannot_be_read_is_a_problem(data: bytes, side: Side) -> None:
    with pytest.raises(ValueProblem):
        from_bytes(data, side)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.0, "1.0"),
        (0.1, "0.1"),
        (100.25, "100.25"),
        (0.0, "0.0"),
        (1e7, "1.0E7"),
        (1.25e8, "1.25E8"),
        (1.23e-4, "1.23E-4"),
        (-1e-3, "-0.001"),
        (9999999.0, "9999999.0"),
        (1e22, "1.0E22"),
        (1.7976931348623157e308, "1.7976931348623157E308"),
    ],
)
def test_doubles_have_the_scale_of_their_java_text(number: float, text: str) -> None:
    found = java_decimal(number)
    assert isinstance(found, Decimal)
    assert found.as_tuple() == Decimal(text).as_tuple()


def test_doubles_that_are_no_numbers_are_texts() -> None:
    assert java_decimal(float("nan")) == "NaN"
    assert java_decimal(float("-inf")) == "-Infinity"


EQUAL: list[tuple[str, Actual]] = [
    ('{"a": null}', {"B": None}),
    ("null", None),
    ("true", True),
    ("1", 1),
    ("1.9", 1),
    ("1", 1.0),
    ("1.0000001", 1.0),
    ("10.0", Decimal("10.0")),
    ("1E7", Decimal("1E+7")),
    ("10", Decimal("1E+1")),
    ("10", Decimal("10")),
    ("0.0", Decimal("-0.0")),
    ('"a"', "a"),
    ('"10.00"', Decimal("10.00")),
    ('"IQ=="', b"!"),
    ("[1, [2]]", [1, [2]]),
    ('{"a": 1}', {"A": 1}),
    ('{"a": 1}', {"a": 1}),
    ('{"b": {"c": null}, "a": 1}', {"A": 1, "B": {"C": None}}),
]

DIFFERENT: list[tuple[str, Actual]] = [
    ("null", 0),
    ("null", ""),
    ("0", None),
    ("true", 1),
    ("1", True),
    ("true", "true"),
    ("1", "1"),
    ('"1"', 1),
    ("2", 1),
    ("1.00001", 1.0),
    ("10.0", Decimal("10.00")),
    ("10.0", Decimal("1E+1")),
    ("1E7", Decimal("10000000.0")),
    ("10", Decimal("10.0")),
    ('"10.0"', Decimal("10.00")),
    ('"word"', Decimal("10.00")),
    ('"10.0"', 10.0),
    ('"IQ="', b"!"),
    ('"a"', "A"),
    ("[1, 2]", [2, 1]),
    ("[1]", [1, 2]),
    ("[]", {}),
    ("{}", []),
    ("{}", None),
    ('{"a": null}', {}),
    ('{"A": 1}', {"a": 1}),
    ('{"a": 1}', {"A": 1, "B": 2}),
    ('{"a": {"b": 1}}', {"A": {"B": 2}}),
]


@pytest.mark.parametrize(("expected", "actual"), EQUAL)
def test_equal_values(expected: str, actual: Actual) -> None:
    assert difference(read_json(expected), actual) is None


@pytest.mark.parametrize(("expected", "actual"), DIFFERENT)
def test_different_values(expected: str, actual: Actual) -> None:
    assert difference(read_json(expected), actual) is not None


def test_a_difference_says_where_it_is() -> None:
    told = difference(read_json('{"a": [1, {"b": 2}]}'), {"A": [1, {"B": 3}]})
    assert told == "expected 2, got 3 at a[1].b"


def test_numbers_keep_their_text() -> None:
    value = read_json("1.50E3")
    assert isinstance(value, Number)
    assert value.text == "1.50E3"


def test_comments_are_taken_out_of_json_but_not_out_of_strings() -> None:
    text = '{"a": "http://x /* no */", /* gone\n, */ "b": 1 // gone\n}'
    assert read_json(text) == {"a": "http://x /* no */", "b": 1}


AS_READ: list[str] = [
    "null",
    "true",
    "0",
    "10.00",
    "1E7",
    "1.0E22",
    "123456789012345678901234567890.5",
    '"text"',
    "[]",
    "{}",
    '{"a": [1, null, {"b": "x", "c": 2.50}], "d": false}',
]


@pytest.mark.parametrize("text", AS_READ)
def test_every_changed_value_differs_from_what_it_was_made_of(text: str) -> None:
    expected: Json = read_json(text)
    exact = from_bytes(text.encode(), JSON)
    loose = from_bytes(text.encode(), JSON, exact=False)
    assert difference(expected, exact) is None
    assert difference(expected, loose) is None
    changed = list(changed_values(expected))
    assert changed
    for what, value in changed:
        assert difference(value, exact) is not None, what
        if "E" not in text:
            assert difference(value, loose) is not None, what


def test_changes_keep_the_scale_of_a_number() -> None:
    changed = [value for what, value in changed_values(read_json("10.00")) if value is not None]
    assert [str(value) for value in changed] == ["11.00"]
    assert json.dumps([str(v) for _, v in changed_values(read_json("1E7"))]) == '["None", "2E+7"]'
