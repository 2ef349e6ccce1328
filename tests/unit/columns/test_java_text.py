"""Texts of DOUBLEs as Java's Double.toString gives them."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.columns.java_text import double_to_text, doubles_to_text

CASES = [
    (1.0, "1.0"),
    (0.0, "0.0"),
    (-0.0, "-0.0"),
    (100.0, "100.0"),
    (9999999.0, "9999999.0"),
    (1e7, "1.0E7"),
    (12345678.9, "1.23456789E7"),
    (0.001, "0.001"),
    (0.000999, "9.99E-4"),
    (1.23e-4, "1.23E-4"),
    (-2.5e-10, "-2.5E-10"),
    (1e21, "1.0E21"),
    (1e22, "1.0E22"),
    (5e-324, "4.9E-324"),
    (1e-323, "1.0E-323"),
    (2.0**62, "4.6116860184273879E18"),
    (9.9176306453780448e16, "9.9176306453780448E16"),
    (5e22, "4.9999999999999996E22"),
    (1e23, "9.999999999999999E22"),
    (3.7922212216036225e25, "3.7922212216036224E25"),
    (2.0**53, "9.007199254740992E15"),
    (2.0**63, "9.223372036854776E18"),
    (2.2250738585072014e-308, "2.2250738585072014E-308"),
    (1.7976931348623157e308, "1.7976931348623157E308"),
    (0.1 + 0.2, "0.30000000000000004"),
    (math.nan, "NaN"),
    (math.inf, "Infinity"),
    (-math.inf, "-Infinity"),
]


@pytest.mark.parametrize(("value", "text"), CASES)
def test_one(value: float, text: str) -> None:
    assert double_to_text(value) == text


def test_array_with_nulls() -> None:
    array = pa.array([v for v, _ in CASES] + [None], pa.float64())
    assert doubles_to_text(array).to_pylist() == [t for _, t in CASES] + [None]
    assert doubles_to_text(array.slice(3, 2)).to_pylist() == ["100.0", "9999999.0"]
    assert doubles_to_text(array.slice(0, 0)).to_pylist() == []


@given(st.lists(st.one_of(st.floats(), st.none())))
def test_array_equals_one_by_one(values: list[float | None]) -> None:
    expected = [None if v is None else double_to_text(v) for v in values]
    assert doubles_to_text(pa.array(values, pa.float64())).to_pylist() == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_text_reads_back(value: float) -> None:
    assert float(double_to_text(value)) == value
