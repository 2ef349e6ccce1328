"""Numbers as Java writes them: the text of a DOUBLE in CAST, CONCAT, JSON, DELIMITED and keys.

Java's `Double.toString` prints the shortest digits that read back as the same number, at least two
of them; plain between 10^-3 and 10^7, else with an exponent (`1.0`, `1.0E7`, `1.23E-4`). The Java
versions before 19, on which ksqlDB runs, print other digits than the shortest from 2^53 on, below
the normal numbers, and of powers of two; `_early_java_digits` gives theirs.
"""

from __future__ import annotations

import math
import struct
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_ZERO = pa.scalar(0.0, pa.float64())
_POINT_ZERO, _EMPTY = pa.scalar(".0", pa.string()), pa.scalar("", pa.string())
_PLAIN_FROM = 1e-3
_PLAIN_BELOW = 1e7
_SHORTEST_FROM = 2.3e-308
_SHORTEST_BELOW = 2.0**53


def double_to_text(value: float) -> str:
    """The text of one DOUBLE, as `Double.toString` gives it."""
    if value != value:
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    magnitude = abs(value)
    if magnitude == 0.0 or _PLAIN_FROM <= magnitude < _PLAIN_BELOW:
        return repr(value)
    digits, exponent = _digits_and_exponent(magnitude)
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{exponent}"


def doubles_to_text(array: pa.Array) -> pa.Array:
    """The texts of a DOUBLE array as a string array; null stays null."""
    if len(array) == 0:
        return pa.array([], pa.string())
    values = array.fill_null(_ZERO).to_numpy(zero_copy_only=False)
    magnitude = np.abs(values)
    plain = ((magnitude >= _PLAIN_FROM) & (magnitude < _PLAIN_BELOW)) | (magnitude == 0.0)
    texts = pc.cast(array, pa.string())
    whole = plain & (values == np.trunc(values))
    if whole.any():
        suffixed = pc.binary_join_element_wise(texts, _POINT_ZERO, _EMPTY)
        texts = pc.if_else(pa.array(whole), suffixed, texts)
    if not plain.all():
        rest = ~plain
        special = pa.array([double_to_text(v) for v in values[rest].tolist()], pa.string())
        texts = pc.replace_with_mask(texts, pa.array(rest), special)
    return texts


def decimal_to_text(value: Decimal) -> str:
    """A DECIMAL without exponent, with all digits of its scale (`BigDecimal.toPlainString`)."""
    return format(value, "f")


def _digits_and_exponent(magnitude: float) -> tuple[str, int]:
    """The digits that Java prints of a positive number, and the power of ten of the first."""
    power_of_two = math.frexp(magnitude)[0] == 0.5
    if power_of_two or not _SHORTEST_FROM <= magnitude < _SHORTEST_BELOW:
        return _early_java_digits(magnitude)
    parts = Decimal(repr(magnitude)).normalize().as_tuple()
    digits = "".join(map(str, parts.digits))
    return digits, len(digits) - 1 + int(parts.exponent)


def _early_java_digits(magnitude: float) -> tuple[str, int]:
    """Digits of a number that is not shown plainly, as Java before 19 chooses them."""
    bits = struct.unpack(">Q", struct.pack(">d", magnitude))[0]
    fraction, exponent = bits & (1 << 52) - 1, (bits >> 52) - 1023
    significant = 53
    if exponent == -1023:
        significant = fraction.bit_length()
        fraction <<= 53 - significant
        exponent = significant - 1075
    else:
        fraction |= 1 << 52
    if significant == 53 and 52 < exponent <= 62:
        return _whole_digits(int(magnitude), exponent)
    return _generated_digits(fraction, exponent, significant)


def _whole_digits(value: int, exponent: int) -> tuple[str, int]:
    """Digits of a whole number of 64 bits, without those that its 53 bits cannot tell."""
    spare = exponent - 54
    dropped = int(spare * math.log10(2)) if spare > 1 else 0
    kept, rest = divmod(value, 10**dropped)
    if dropped and rest >= 10**dropped // 2:
        kept += 1
    digits = str(kept)
    return digits.rstrip("0"), len(digits) - 1 + dropped


def _generated_digits(fraction: int, exponent: int, significant: int) -> tuple[str, int]:
    """Digits drawn one by one until they are closer to the number than half its last bit.

    The number is `rest / unit` with `margin / unit` half of its last bit, all scaled to whole
    numbers. Where they fit 64 bits Java computes so, overflow included.
    """
    trailing = (fraction & -fraction).bit_length() - 1
    width = 53 - trailing
    tiny = max(0, width - exponent - 1)
    power = math.floor(
        (fraction / (1 << 52) - 1.5) * 0.289529654 + 0.176091259 + exponent * 0.301029995663981
    )
    five_up, five_down = max(0, -power), max(0, power)
    two_up, two_down = five_up + tiny + exponent, five_down + tiny
    two_margin = two_up - significant - (1 if width == 1 else 0)
    two_up -= width - 1
    common = min(two_up, two_down)
    lift = max(0, -(two_margin - common))
    two_up, two_down, two_margin = (e - common + lift for e in (two_up, two_down, two_margin))
    in_64_bits = (
        width + two_up + _bits_of_five(five_up) < 64
        and two_down + 1 + _bits_of_five(five_down + 1) < 64
    )
    rest = (fraction >> trailing) * 5**five_up << two_up
    unit, margin = 5**five_down << two_down, 5**five_up << two_margin
    return _drawn(rest, unit, margin, power, in_64_bits)


def _drawn(rest: int, unit: int, margin: int, power: int, in_64_bits: bool) -> tuple[str, int]:
    digits = count = 0
    first = True
    low = high = False
    while first or not (low or high):
        digit, rest = divmod(rest, unit)
        rest, margin = 10 * rest, _in_long(10 * margin, in_64_bits)
        low = rest < margin
        high = _in_long(rest + margin, in_64_bits) > 10 * unit
        if margin <= 0:
            low = high = True
        if first and digit == 0 and not high:
            power -= 1
        else:
            digits, count = digits * 10 + digit, count + 1
        if first:
            # Two digits at least, since all these numbers are shown with an exponent.
            first, low, high = False, False, False
    doubled = 2 * rest - 10 * unit
    if high and (not low or doubled > 0 or (doubled == 0 and digits % 2 == 1)):
        digits += 1
    text = str(digits)
    return text.rstrip("0"), power + max(len(text) - count, 0)


def _in_long(value: int, in_64_bits: bool) -> int:
    return (value + 2**63) % 2**64 - 2**63 if in_64_bits else value


def _bits_of_five(power: int) -> int:
    """How many bits Java counts for a power of five."""
    return (5**power).bit_length() if 0 < power < 27 else 3 * power
