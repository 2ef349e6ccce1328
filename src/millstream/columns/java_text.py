"""Numbers as Java writes them: the text of a DOUBLE in CAST, CONCAT, JSON, DELIMITED and keys.

Java's `Double.toString` prints the shortest digits that read back as the same number, at least two
of them; plain between 10^-3 and 10^7, else with an exponent (`1.0`, `1.0E7`, `1.23E-4`).
"""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_PLAIN_FROM = 1e-3
_PLAIN_BELOW = 1e7


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
    values = array.fill_null(0.0).to_numpy(zero_copy_only=False)
    magnitude = np.abs(values)
    plain = ((magnitude >= _PLAIN_FROM) & (magnitude < _PLAIN_BELOW)) | (magnitude == 0.0)
    texts = pc.cast(array, pa.string())
    whole = plain & (values == np.trunc(values))
    if whole.any():
        suffixed = pc.binary_join_element_wise(texts, ".0", "")
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
    parts = Decimal(repr(magnitude)).normalize().as_tuple()
    digits = "".join(map(str, parts.digits))
    if len(digits) == 1:
        # Java asks for two digits, and takes the two that are nearest: 4.9E-324, not 5E-324.
        nearest, _, power = f"{magnitude:.1e}".partition("e")
        return nearest.replace(".", "").rstrip("0") or "0", int(power)
    return digits, len(digits) - 1 + int(parts.exponent)
