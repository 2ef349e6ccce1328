"""Functions of numbers: ABS, SIGN, rounding, extremes, powers and logarithms."""

from __future__ import annotations

import decimal
import math
import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.functions.registry import AnyDecimal, ScalarFunction, Variant

I, L, D = t.INTEGER, t.BIGINT, t.DOUBLE  # noqa: E741
DECIMAL = AnyDecimal()
_WIDE = decimal.Context(prec=400)


def wrapped(value: int, bits: int) -> int:
    """An integer in 32 or 64 bits, as Java overflows."""
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half


def same_type(types: Sequence[t.SqlType | None]) -> t.SqlType:
    """The type of the first argument."""
    first = types[0]
    if first is None:
        raise ValueError("a bare NULL has no type; CAST it")
    return first


def _whole(types: Sequence[t.SqlType | None]) -> t.SqlType:
    first = same_type(types)
    assert isinstance(first, t.Decimal)
    return t.Decimal(max(first.precision - first.scale, 1), 0)


def _widest_decimal(types: Sequence[t.SqlType | None]) -> t.SqlType:
    given = [x for x in types if isinstance(x, t.Decimal)]
    if not given:
        raise ValueError("a bare NULL has no type; CAST it")
    scale = max(d.scale for d in given)
    return t.Decimal(max(d.precision - d.scale for d in given) + scale, scale)


# --- signs ---


def _abs_int(value: int) -> int:
    return wrapped(abs(value), 32)


def _abs_bigint(value: int) -> int:
    return wrapped(abs(value), 64)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


# --- rounding ---


def _ceil_double(value: float) -> float:
    return math.copysign(math.ceil(value), value) if math.isfinite(value) else value


def _floor_double(value: float) -> float:
    return math.copysign(math.floor(value), value) if math.isfinite(value) else value


def _as_scale(value: Decimal, places: int, rounding: str) -> Decimal:
    context = _WIDE.copy()
    context.rounding = rounding
    return context.quantize(value, Decimal((0, (1,), -places)))


def _ceil_decimal(value: Decimal) -> Decimal:
    return _as_scale(value, 0, decimal.ROUND_CEILING)


def _floor_decimal(value: Decimal) -> Decimal:
    return _as_scale(value, 0, decimal.ROUND_FLOOR)


def _half_up(value: Decimal, places: int) -> Decimal:
    """Rounded; what lies half way goes up, towards positive infinity."""
    rounding = decimal.ROUND_HALF_UP if value > 0 else decimal.ROUND_HALF_DOWN
    return _as_scale(value, places, rounding)


def _saturated_bigint(value: float) -> int:
    if value != value:
        return 0
    return (
        int(min(max(value, -(2.0**63)), 2.0**63 - 1024))
        if abs(value) < 2**63
        else (2**63 - 1 if value > 0 else -(2**63))
    )


def _round_to_bigint(value: float) -> int:
    if not math.isfinite(value):
        return _saturated_bigint(value)
    return _saturated_bigint(math.floor(_WIDE.add(Decimal(value), Decimal("0.5"))))


def _round_double(value: float, places: int) -> float:
    return float(_half_up(Decimal(repr(_finite(value))), places))


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} cannot be rounded to a number of places")
    return value


def _trunc_to_bigint(value: float) -> int:
    return _saturated_bigint(value)


def _trunc_double(value: float, places: int) -> float:
    return float(_as_scale(Decimal(repr(_finite(value))), places, decimal.ROUND_DOWN))


def _trunc_decimal(value: Decimal, places: int = 0) -> Decimal:
    return _as_scale(value, places, decimal.ROUND_DOWN)


def _round_decimal(value: Decimal, places: int = 0) -> Decimal:
    return _half_up(value, places)


def _same(value: Any) -> Any:
    return value


def _as_bigint(array: pa.Array) -> pa.Array:
    return pc.cast(array, pa.int64())


# --- extremes ---


_SIGNED = bytes((b + 128) % 256 for b in range(256))


def java_order(value: Any) -> Any:
    """A key that orders values as Java compares them: NaN last, -0.0 before 0.0, bytes signed."""
    if isinstance(value, float):
        return value != value, value, math.copysign(1.0, value)
    return value.translate(_SIGNED) if isinstance(value, bytes) else value


def _extreme(choose: Callable[..., Any]) -> Callable[..., Any]:
    def apply(*values: Any) -> Any:
        given = [v for v in values if v is not None]
        return choose(given, key=java_order) if given else None

    return apply


def _extreme_columns(kernel: Callable[..., pa.Array]) -> Callable[..., pa.Array]:
    def apply(*arrays: pa.Array) -> pa.Array:
        return kernel(*arrays, skip_nulls=True)

    return apply


def _extremes(name: str, word: str, choose: Callable[..., Any], kernel: Any) -> ScalarFunction:
    row, columnar = _extreme(choose), _extreme_columns(kernel)
    simple = (I, L, t.DATE, t.TIME, t.TIMESTAMP)
    variants = [
        Variant((s, s), s, row, columnar, variadic=1, null_if_null=False) for s in simple
    ] + [Variant((s, s), s, row, variadic=1, null_if_null=False) for s in (D, t.STRING, t.BYTES)]
    variants.append(
        Variant((DECIMAL, DECIMAL), _widest_decimal, row, variadic=1, null_if_null=False)
    )
    return ScalarFunction(
        name, "math", f"The {word} of the values; nulls are skipped.", tuple(variants),
        ((f"{name}(4, 17, 5)", "17" if word == "greatest" else "4"),),
    )  # fmt: skip


# --- powers and logarithms ---


def guarded(function: Callable[..., float]) -> Callable[..., float]:
    """A function of Python's `math`, with Java's NaN and infinities where Python raises."""

    def apply(*values: float) -> float:
        try:
            return function(*map(float, values))
        except OverflowError:
            return math.inf
        except ValueError:
            return math.nan

    return apply


def over_numbers(
    name: str, description: str, example: tuple[str, str], function: Callable[..., float],
    arity: int = 1,
) -> ScalarFunction:  # fmt: skip
    """A function of DOUBLEs with variants for INTEGER and BIGINT."""
    row = guarded(function)
    variants = tuple(Variant((s,) * arity, D, row) for s in (I, L, D))
    return ScalarFunction(name, "math", description, variants, (example,))


def _ln(value: float) -> float:
    return -math.inf if value == 0 else math.log(value)


def _log(base: float, value: float) -> float:
    if base <= 0 or base == 1:
        return math.nan
    return _quotient(_ln(value), math.log(base))


def _quotient(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 or a != a else math.copysign(math.inf, a)
    return a / b


def _power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        odd = exponent == int(exponent) and int(exponent) % 2 == 1
        return -math.inf if base < 0 and odd else math.inf
    except ValueError:
        # Zero to a negative power; a root of a negative number is not a number.
        return math.nan if base else math.inf


def _log_function() -> ScalarFunction:
    one, two = guarded(_ln), guarded(_log)
    variants = [Variant((s,), D, one) for s in (I, L, D)]
    variants += [Variant((s, s), D, two) for s in (I, L, D)]
    return ScalarFunction(
        "LOG", "math", "The natural logarithm of a value, or its logarithm to a base (first).",
        tuple(variants), (("LOG(2, 8)", "3.0"),),
    )  # fmt: skip


def _rounding(name: str, what: str, of_double: Any, of_decimal: Any) -> ScalarFunction:
    ceil = name == "CEIL"
    return ScalarFunction(
        name, "math", what,
        (
            Variant((I,), I, _same, _same), Variant((L,), L, _same, _same),
            Variant((D,), D, of_double, pc.ceil if ceil else pc.floor),
            Variant((DECIMAL,), same_type, of_decimal),
        ),
        ((f"{name}(1.5)", "2.0" if ceil else "1.0"),),
    )  # fmt: skip


def _places(name: str, what: str, of_double: Any, with_places: Any, of_decimal: Any,
            example: tuple[str, str]) -> ScalarFunction:  # fmt: skip
    return ScalarFunction(
        name, "math", what,
        (
            Variant((L,), L, _same, _same), Variant((I,), L, _same, _as_bigint),
            Variant((D,), L, of_double), Variant((D, I), D, with_places),
            Variant((DECIMAL,), _whole, of_decimal), Variant((DECIMAL, I), same_type, of_decimal),
        ),
        (example,),
    )  # fmt: skip


FUNCTIONS = (
    ScalarFunction(
        "ABS", "math", "The value without its sign.",
        (
            Variant((I,), I, _abs_int, pc.abs), Variant((L,), L, _abs_bigint, pc.abs),
            Variant((D,), D, abs, pc.abs), Variant((DECIMAL,), same_type, Decimal.copy_abs),
        ),
        (("ABS(-5)", "5"),),
    ),
    ScalarFunction(
        "SIGN", "math", "-1, 0 or 1, as the value is negative, zero or positive.",
        tuple(Variant((s,), I, _sign) for s in (I, L, D)), (("SIGN(-5)", "-1"),),
    ),
    _rounding("CEIL", "The next whole number up.", _ceil_double, _ceil_decimal),
    _rounding("FLOOR", "The next whole number down.", _floor_double, _floor_decimal),
    _places(
        "ROUND", "The value rounded to a number of places; half way goes up.",
        _round_to_bigint, _round_double, _round_decimal, ("ROUND(2.567, 2)", "2.570"),
    ),
    _places(
        "TRUNC", "The value cut to a number of places.",
        _trunc_to_bigint, _trunc_double, _trunc_decimal, ("TRUNC(2.567, 2)", "2.560"),
    ),
    _extremes("GREATEST", "greatest", max, pc.max_element_wise),
    _extremes("LEAST", "least", min, pc.min_element_wise),
    over_numbers("SQRT", "The square root.", ("SQRT(9)", "3.0"), math.sqrt),
    over_numbers("CBRT", "The cube root.", ("CBRT(27)", "3.0"), math.cbrt),
    over_numbers("EXP", "e to the power of the value.", ("EXP(0)", "1.0"), math.exp),
    over_numbers("LN", "The natural logarithm.", ("LN(1)", "0.0"), _ln),
    _log_function(),
    over_numbers("POWER", "The first value to the power of the second.", ("POWER(2, 3)", "8.0"),
                 _power, 2),
    ScalarFunction("PI", "math", "The number pi.", (Variant((), D, lambda: math.pi),),
                   (("PI()", "3.141592653589793"),)),
    ScalarFunction(
        "RANDOM", "math", "A random number from 0 to before 1.",
        (Variant((), D, random.random, deterministic=False),), (("RANDOM()", "0.7311"),),
    ),
)  # fmt: skip
"""The family."""
