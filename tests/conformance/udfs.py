"""Functions that only test cases call, added to a copy of the registry."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from millstream import types as t
from millstream.functions.registry import (
    AggregateFunction,
    AggregateVariant,
    AnyDecimal,
    AnyType,
    Generic,
    Kernel,
    Pattern,
    Registry,
    ScalarFunction,
    TableFunction,
    Variant,
)

_A_STRING = t.Struct((t.Field("A", t.STRING),))
_A_B = t.Struct((t.Field("A", t.INTEGER), t.Field("B", t.INTEGER)))
_MOST_LITERALS = 8
"""How many initial texts the aggregates of several arguments take at most."""


def registry() -> Registry:
    """All functions of the product, and those of the test cases."""
    default: Callable[[], Registry] = importlib.import_module(
        "millstream.functions"
    ).default_registry
    everything = default().child()
    everything.add(*functions())
    return everything


def functions() -> list[ScalarFunction | AggregateFunction | TableFunction]:
    """The functions of the test cases, new ones at each call: one of them counts its calls."""
    return [
        _test_udf(),
        _bad_udf(),
        _when("WHENCONDITION", t.BOOLEAN),
        _when("WHENRESULT", t.INTEGER),
        _test_udaf(),
        *_summing_udafs(),
        _generic_var_arg(),
        _obj_col_arg(),
        _test_udtf(),
        _throwing_udtf(),
    ]


# --- scalar functions --------------------------------------------------------------------------


def _scalar(name: str, *variants: Variant) -> ScalarFunction:
    return ScalarFunction(name, "TEST", f"{name} of the test cases.", variants)


def _constant(parameters: tuple[Pattern, ...], text: str, variadic: int | None = None) -> Variant:
    def give(*_arguments: Any) -> str:
        return text

    return Variant(parameters, t.STRING, give, variadic=variadic, null_if_null=False)


def _test_udf() -> ScalarFunction:
    return _scalar(
        "TEST_UDF",
        _constant((t.INTEGER, t.STRING), "doStuffIntString"),
        _constant((t.BIGINT, t.STRING), "doStuffLongString"),
        _constant((t.BIGINT, t.BIGINT, t.STRING), "doStuffLongLongString"),
        _constant((t.BIGINT,), "doStuffLongVarargs", variadic=0),
        Variant((_A_STRING,), t.STRING, lambda s: None if s is None else s["A"]),
        Variant((), _A_STRING, lambda: {"A": "foo"}),
    )


def _bad_udf() -> ScalarFunction:
    calls = 0

    def fail(_number: int | None) -> int:
        raise ValueError("BAD_UDF always fails")

    def fail_if_true(flag: bool | None) -> int:
        if flag:
            raise ValueError("BAD_UDF fails where it is told to")
        return 0

    def every_other(text: str | None) -> str | None:
        nonlocal calls
        calls += 1
        return None if calls % 2 else text

    return _scalar(
        "BAD_UDF",
        Variant((t.INTEGER,), t.INTEGER, fail, null_if_null=False, deterministic=False),
        Variant((t.BOOLEAN,), t.INTEGER, fail_if_true, null_if_null=False, deterministic=False),
        Variant((t.STRING,), t.STRING, every_other, null_if_null=False, deterministic=False),
    )


def _when(name: str, returns: t.SqlType) -> ScalarFunction:
    def give(result: Any, allowed: bool) -> Any:
        if not allowed:
            raise ValueError(f"{name} must not be called here")
        return result

    variant = Variant((returns, t.BOOLEAN), returns, give, null_if_null=False, deterministic=False)
    return _scalar(name, variant)


# --- aggregates --------------------------------------------------------------------------------

State = tuple[Any, ...]


@dataclass
class _Folding:
    """An aggregate of one value: a start, a way to add a row, and a last step."""

    state_types: tuple[t.SqlType, ...]
    start: Any
    step: Callable[[Any, tuple[Any, ...]], Any]
    join: Callable[[Any, Any], Any]
    take_back: Callable[[Any, tuple[Any, ...]], Any] | None = None
    finish: Callable[[Any], Any] = lambda value: value
    kernel: Kernel | None = None

    def initial(self) -> State:
        """The state of no rows."""
        return (self.start,)

    def add(self, state: State, arguments: tuple[Any, ...]) -> State:
        """The state with one more row."""
        return (self.step(state[0], arguments),)

    def undo(self, state: State, arguments: tuple[Any, ...]) -> State:
        """The state with a row taken back."""
        if self.take_back is None:
            raise NotImplementedError
        return (self.take_back(state[0], arguments),)

    def merge(self, left: State, right: State) -> State:
        """The state of both sides' rows."""
        return (self.join(left[0], right[0]),)

    def result(self, state: State) -> Any:
        """The value that a query sees."""
        return self.finish(state[0])


def _weight(value: Any) -> Any:
    """What an argument adds to a sum: a number itself, a text its length, null nothing."""
    if value is None:
        return 0
    return len(value) if isinstance(value, str) else value


def _weights(values: Iterable[Any]) -> Any:
    return sum(map(_weight, values))


def _sum(state: t.SqlType, start: Any, last: int = 0, shared: int = 0) -> _Folding:
    """A running sum from `start`; merging counts `shared`, the part both sides began with, once."""
    return _Folding(
        (state,),
        start,
        step=lambda total, row: total + _weights(row),
        join=lambda left, right: left + right - shared,
        take_back=lambda total, row: total - _weights(row),
        finish=lambda total: total + last,
    )


def _aggregate(name: str, *variants: AggregateVariant) -> AggregateFunction:
    return AggregateFunction(name, f"{name} of the test cases.", variants)


def _test_udaf() -> AggregateFunction:
    def plain(state: t.SqlType, zero: Any) -> Callable[[Sequence[t.SqlType], Sequence[Any]], Any]:
        return lambda _types, _literals: _sum(state, zero)

    def from_text(_types: Sequence[t.SqlType], literals: Sequence[Any]) -> _Folding:
        return _sum(t.BIGINT, len(literals[0]), shared=len(literals[0]))

    def fieldwise(total: Any, other: Any) -> Any:
        if other is None:
            return total
        return {name: total[name] + (other[name] or 0) for name in ("A", "B")}

    def of_struct(_types: Sequence[t.SqlType], _literals: Sequence[Any]) -> _Folding:
        return _Folding(
            (_A_B,),
            {"A": 0, "B": 0},
            step=lambda total, row: fieldwise(total, row[0]),
            join=fieldwise,
        )

    return _aggregate(
        "TEST_UDAF",
        AggregateVariant((t.BIGINT,), t.BIGINT, plain(t.BIGINT, 0), table_capable=True),
        AggregateVariant((t.INTEGER,), t.BIGINT, plain(t.BIGINT, 0), table_capable=True),
        AggregateVariant((t.DOUBLE,), t.DOUBLE, plain(t.DOUBLE, 0.0)),
        AggregateVariant((t.STRING, t.STRING), t.BIGINT, from_text, literals=1),
        AggregateVariant((_A_B,), _A_B, of_struct),
    )


def _summing_udafs() -> list[AggregateFunction]:
    def running(_types: Sequence[t.SqlType], literals: Sequence[Any]) -> _Folding:
        start = _weights(literals)
        return _sum(t.BIGINT, start, shared=start)

    def with_last(_types: Sequence[t.SqlType], literals: Sequence[Any]) -> _Folding:
        return _sum(t.BIGINT, 0, last=sum(literals))

    def with_initial(name: str, *columns: t.SqlType) -> AggregateFunction:
        variants = []
        for count in range(_MOST_LITERALS):
            literals = (t.INTEGER, *(t.STRING,) * count)
            variants.append(
                AggregateVariant((*columns, *literals), t.BIGINT, running, literals=len(literals))
            )
        return _aggregate(name, *variants)

    three_texts = (t.STRING,) * 3
    return [
        _aggregate(
            "VAR_ARG", AggregateVariant((t.BIGINT, t.STRING), t.BIGINT, running, variadic=1)
        ),
        with_initial("MULTI_ARG", t.BIGINT, t.STRING),
        with_initial("FOUR_ARG", t.BIGINT, *three_texts),
        with_initial("FIVE_ARG", t.BIGINT, *three_texts, t.INTEGER),
        _aggregate(
            "MID_VAR_ARG",
            AggregateVariant(
                (t.BIGINT, t.STRING, t.INTEGER, t.INTEGER),
                t.BIGINT,
                with_last,
                variadic=1,
                literals=2,
            ),
        ),
    ]


def _collecting(types: Sequence[t.SqlType], _literals: Sequence[Any]) -> _Folding:
    """The first arguments of the rows that have no null argument."""

    def step(items: list[Any], row: tuple[Any, ...]) -> list[Any]:
        return items if any(value is None for value in row) else [*items, row[0]]

    return _Folding((t.Array(types[0]),), [], step, join=lambda left, right: left + right)


def _first_as_array(types: Sequence[t.SqlType | None]) -> t.SqlType:
    if types[0] is None:
        raise ValueError("the first argument needs a type")
    return t.Array(types[0])


def _generic_var_arg() -> AggregateFunction:
    parameters = (Generic("A"), Generic("B"), Generic("C"))
    variant = AggregateVariant(parameters, _first_as_array, _collecting, variadic=2)
    return _aggregate("GENERIC_VAR_ARG", variant)


def _obj_col_arg() -> AggregateFunction:
    parameters = (t.INTEGER, AnyType())
    variant = AggregateVariant(parameters, _first_as_array, _collecting, variadic=1)
    return _aggregate("OBJ_COL_ARG", variant)


# --- table functions ---------------------------------------------------------------------------


def _test_udtf() -> TableFunction:
    scalars: tuple[Pattern, ...] = (
        t.INTEGER, t.BIGINT, t.DOUBLE, t.BOOLEAN, t.STRING, AnyDecimal(), _A_STRING
    )  # fmt: skip
    singles = [Variant((p,), _same_type, lambda value: [value]) for p in scalars]
    decimal = t.Decimal(30, 10)
    items = (t.INTEGER, t.BIGINT, t.DOUBLE, t.BOOLEAN, t.STRING, decimal, _A_STRING)
    arrays = tuple(t.Array(item) for item in items)
    maps = tuple(t.Map(t.STRING, item) for item in items)
    variants = [
        Variant(scalars, t.STRING, lambda *values: [_java_text(v) for v in values]),
        Variant(arrays, t.STRING, lambda *lists: [_java_text(v[0]) for v in lists]),
        Variant(maps, t.STRING, lambda *given: [_java_text(next(iter(m.values()))) for m in given]),
        *singles,
    ]
    return TableFunction("TEST_UDTF", "TEST_UDTF of the test cases.", tuple(variants))


def _same_type(types: Sequence[t.SqlType | None]) -> t.SqlType:
    (given,) = types
    if given is None:
        raise ValueError("the argument needs a type")
    return t.Decimal(30, 10) if isinstance(given, t.Decimal) else given


def _java_text(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "Struct{" + ",".join(f"{k}={_java_text(v)}" for k, v in value.items()) + "}"
        case Decimal():
            return format(value, "f")
    return str(value)


def _throwing_udtf() -> TableFunction:
    def give(flag: bool | None) -> list[bool | None]:
        if flag:
            raise ValueError("THROWING_UDTF fails where it is told to")
        return [flag]

    variant = Variant((t.BOOLEAN,), t.BOOLEAN, give, null_if_null=False, deterministic=False)
    return TableFunction("THROWING_UDTF", "THROWING_UDTF of the test cases.", (variant,))
