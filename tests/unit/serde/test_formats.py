"""Which formats there are, what they can carry, and how they wrap single values."""

from __future__ import annotations

import pyarrow as pa
import pytest

from millstream import types as t
from millstream.errors import NotSupportedYetError
from millstream.serde.base import Layout
from millstream.serde.formats import format_named, format_names

MAP = t.Map(t.STRING, t.INTEGER)
ARRAY = t.Array(t.DOUBLE)
STRUCT = t.Struct((t.Field("F", t.DOUBLE),))
DECIMAL = t.Decimal(4, 2)
BASIC: list[t.SqlType] = [t.INTEGER, t.BIGINT, t.DOUBLE, t.STRING, t.BYTES]
OTHERS: list[t.SqlType] = [t.BOOLEAN, t.DATE, t.TIME, t.TIMESTAMP, DECIMAL]
NESTED: list[t.SqlType] = [ARRAY, STRUCT]


def columns(*types: t.SqlType) -> tuple[t.Column, ...]:
    return tuple(t.Column(f"C{i}", sql_type) for i, sql_type in enumerate(types))


def test_formats_by_name() -> None:
    assert format_names() == ["DELIMITED", "JSON", "KAFKA", "NONE"]
    assert format_named("json") is format_named("JSON")
    for name in ("AVRO", "protobuf", "PROTOBUF_NOSR", "JSON_SR"):
        with pytest.raises(NotSupportedYetError, match=name.upper()):
            format_named(name)
    with pytest.raises(ValueError, match=r"FOO.*DELIMITED, JSON, KAFKA, NONE"):
        format_named("FOO")


@pytest.mark.parametrize(
    ("name", "supported", "rejected"),
    [
        ("JSON", [*BASIC, *OTHERS, *NESTED, MAP, t.Array(MAP)], [t.Map(t.INTEGER, t.INTEGER)]),
        ("DELIMITED", [*BASIC, *OTHERS], [*NESTED, MAP]),
        ("KAFKA", BASIC, [*OTHERS, *NESTED, MAP]),
        ("NONE", [], [t.INTEGER]),
    ],
)
def test_types(name: str, supported: list[t.SqlType], rejected: list[t.SqlType]) -> None:
    found = format_named(name)
    assert found.check((), is_key=True) is None
    assert found.check((), is_key=False) is None
    for sql_type in supported:
        assert found.check(columns(sql_type), is_key=False) is None, sql_type
    for sql_type in rejected:
        message = found.check(columns(sql_type), is_key=False)
        assert message is not None, sql_type
        assert "`C0`" in message


@pytest.mark.parametrize("name", ["JSON", "DELIMITED", "KAFKA", "NONE"])
@pytest.mark.parametrize(
    "sql_type", [MAP, t.Array(MAP), t.Struct((t.Field("F", t.Array(MAP)),))], ids=str
)
def test_no_key_holds_a_map(name: str, sql_type: t.SqlType) -> None:
    message = format_named(name).check(columns(sql_type), is_key=True)
    assert message is not None
    assert name == "NONE" or "MAP" in message


def test_keys_of_several_columns() -> None:
    several = columns(t.INTEGER, t.STRING)
    assert format_named("JSON").check(several, is_key=True) is None
    assert format_named("DELIMITED").check(several, is_key=True) is None
    message = format_named("KAFKA").check(several, is_key=True)
    assert message is not None
    assert "one column" in message


@pytest.mark.parametrize(
    ("name", "wrap", "expected"),
    [
        ("JSON", None, True),
        ("JSON", True, True),
        ("JSON", False, False),
        ("DELIMITED", None, True),
        ("DELIMITED", False, False),
        ("KAFKA", None, False),
        ("KAFKA", False, False),
    ],
)
def test_wrapping(name: str, wrap: bool | None, expected: bool) -> None:
    assert format_named(name).wrapping(wrap, columns(t.INTEGER)) is expected


@pytest.mark.parametrize("name", ["JSON", "DELIMITED", "KAFKA"])
@pytest.mark.parametrize("wrap", [True, False])
def test_wrapping_is_for_single_columns(name: str, wrap: bool) -> None:
    found = format_named(name)
    with pytest.raises(ValueError, match="one value column"):
        found.wrapping(wrap, columns(t.INTEGER, t.INTEGER))
    found.wrapping(None, columns(t.INTEGER, t.INTEGER))


@pytest.mark.parametrize("name", ["DELIMITED", "KAFKA"])
def test_formats_that_cannot_wrap(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        format_named(name).wrapping(True, columns(t.INTEGER))


def test_none_is_null_both_ways() -> None:
    found = format_named("NONE")
    decoded = found.decoder(Layout("NONE", ())).decode(pa.array([b"junk", None], pa.binary()))
    assert decoded.null is not None
    assert decoded.null.all()
    assert found.encoder(Layout("NONE", ())).encode([], None, 2).to_pylist() == [None, None]
