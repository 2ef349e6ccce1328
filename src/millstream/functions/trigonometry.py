"""Angles and hyperbolic functions, in radians; and the distance of two places on Earth."""

from __future__ import annotations

import math

from millstream import types as t
from millstream.functions.numeric import over_numbers
from millstream.functions.registry import ScalarFunction, Variant

_RADIUS = {
    **dict.fromkeys(("mi", "mile", "miles"), 3959.0),
    **dict.fromkeys(("km", "kilometer", "kilometers", "kilometre", "kilometres"), 6371.0),
}


def _cot(value: float) -> float:
    tangent = math.tan(value)
    return math.copysign(math.inf, tangent) if tangent == 0 else 1 / tangent


def _sinh(value: float) -> float:
    try:
        return math.sinh(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def _distance(lat1: float, lon1: float, lat2: float, lon2: float, unit: str | None = None) -> float:
    if not all(-90 <= x <= 90 for x in (lat1, lat2)):
        raise ValueError("a latitude lies between -90 and 90 degrees")
    if not all(-180 <= x <= 180 for x in (lon1, lon2)):
        raise ValueError("a longitude lies between -180 and 180 degrees")
    name = (unit or "").strip().lower() or "km"
    if name not in _RADIUS:
        raise ValueError(f"'{unit}' is no unit of distance; use KM or MILES")
    half_lat, half_lon = math.radians(lat2 - lat1) / 2, math.radians(lon2 - lon1) / 2
    cosine1, cosine2 = math.cos(math.radians(lat1)), math.cos(math.radians(lat2))
    chord = math.sin(half_lat) ** 2 + math.sin(half_lon) ** 2 * cosine1 * cosine2
    return 2 * math.asin(math.sqrt(chord)) * _RADIUS[name]


def _distance_or_null(
    lat1: float | None, lon1: float | None, lat2: float | None, lon2: float | None,
    unit: str | None = None,
) -> float | None:  # fmt: skip
    if lat1 is None or lon1 is None or lat2 is None or lon2 is None:
        return None
    return _distance(lat1, lon1, lat2, lon2, unit)


D = t.DOUBLE

FUNCTIONS = (
    over_numbers("SIN", "The sine.", ("SIN(0)", "0.0"), math.sin),
    over_numbers("COS", "The cosine.", ("COS(0)", "1.0"), math.cos),
    over_numbers("TAN", "The tangent.", ("TAN(0)", "0.0"), math.tan),
    over_numbers("COT", "The cotangent.", ("COT(0.7853981633974483)", "1.0"), _cot),
    over_numbers("ASIN", "The angle of a sine.", ("ASIN(0)", "0.0"), math.asin),
    over_numbers("ACOS", "The angle of a cosine.", ("ACOS(1)", "0.0"), math.acos),
    over_numbers("ATAN", "The angle of a tangent.", ("ATAN(0)", "0.0"), math.atan),
    over_numbers("ATAN2", "The angle of the point (second, first).", ("ATAN2(0, 1)", "0.0"),
                 math.atan2, 2),
    over_numbers("SINH", "The hyperbolic sine.", ("SINH(0)", "0.0"), _sinh),
    over_numbers("COSH", "The hyperbolic cosine.", ("COSH(0)", "1.0"), math.cosh),
    over_numbers("TANH", "The hyperbolic tangent.", ("TANH(0)", "0.0"), math.tanh),
    over_numbers("DEGREES", "Radians as degrees.", ("DEGREES(0)", "0.0"), math.degrees),
    over_numbers("RADIANS", "Degrees as radians.", ("RADIANS(0)", "0.0"), math.radians),
    ScalarFunction(
        "GEO_DISTANCE", "geo",
        "The great-circle distance of two places (latitude, longitude, in degrees), in KM or MI.",
        (
            Variant((D, D, D, D, t.STRING), D, _distance_or_null, null_if_null=False),
            Variant((D, D, D, D), D, _distance),
        ),
        (("GEO_DISTANCE(37.4, -122.1, 51.5, -0.1, 'KM')", "8639.5"),),
    ),
)  # fmt: skip
"""The family."""
