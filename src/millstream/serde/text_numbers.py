"""Numbers written as text, read by the rules of Java's parsers.

The text formats take numbers as `Integer.parseInt`, `Double.parseDouble` and `new BigDecimal` do:
no blanks or underscores in integers and decimals, an optional sign, ASCII digits.
"""

from __future__ import annotations

import decimal
import math
import re
from decimal import Decimal

INT_RANGE = (-(2**31), 2**31 - 1)
BIGINT_RANGE = (-(2**63), 2**63 - 1)
TIME_RANGE = (0, 86_400_000)
"""Milliseconds of a TIME, both ends included as in ksqlDB."""

_INTEGER = re.compile(r"([+-]?)([0-9]+)\Z")
_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,10})?\Z")
_DOUBLE = re.compile(r"([+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?)[fFdD]?\Z")
_HEX_DOUBLE = re.compile(r"([+-]?0[xX][0-9a-fA-F]*\.?[0-9a-fA-F]*[pP][+-]?[0-9]+)[fFdD]?\Z")
_NOT_FINITE = re.compile(r"([+-]?)(NaN|Infinity)\Z")
_JAVA_BLANKS = "".join(map(chr, range(33)))

_EXACT = decimal.Context(
    prec=1_000, Emax=999_999_999, Emin=-999_999_999, traps=[decimal.InvalidOperation]
)


def parse_integer(text: str, bounds: tuple[int, int]) -> int | None:
    """The integer in the text, or None where it is none or lies out of `bounds`."""
    match = _INTEGER.match(text)
    if match is None:
        return None
    digits = match[2].lstrip("0")
    if len(digits) > 19:
        return None
    value = int(match[1] + (digits or "0"))
    return value if bounds[0] <= value <= bounds[1] else None


def parse_double(text: str) -> float | None:
    """The DOUBLE in the text, or None where it is none or too large for one.

    Blanks around it, `NaN`, `Infinity`, hexadecimal floats and a type letter are Java's to accept.
    """
    text = text.strip(_JAVA_BLANKS)
    match = _DOUBLE.match(text)
    if match is not None:
        value = float(match[1])
        return None if math.isinf(value) else value
    match = _NOT_FINITE.match(text)
    if match is not None:
        return float(match[1] + match[2])
    match = _HEX_DOUBLE.match(text)
    if match is None:
        return None
    try:
        return float.fromhex(match[1])
    except (ValueError, OverflowError):
        return None


def parse_decimal(text: str) -> Decimal | None:
    """The decimal number in the text with its own scale, or None where it is none."""
    if _DECIMAL.match(text) is None or len(text) > 1_000:
        return None
    return Decimal(text)


def fit_decimal(value: Decimal, precision: int, scale: int) -> Decimal | None:
    """The value with exactly `scale` digits behind the point, or None where digits would be lost
    or more than `precision` are needed."""
    if value.is_zero():
        return _EXACT.quantize(Decimal(0), Decimal((0, (1,), -scale)))
    if not value.is_finite() or value.adjusted() >= precision - scale:
        return None
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -1_000:
        return None
    fitted = _EXACT.quantize(value, Decimal((0, (1,), -scale)))
    return fitted if fitted == value else None
