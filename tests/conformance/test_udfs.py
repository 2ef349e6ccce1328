"""The functions that only test cases call do what the description of the test data says."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from millstream import types as t
from millstream.functions.registry import (
    AggregateVariant,
    Aggregator,
    Registry,
    Variant,
)
from millstream.types import SqlType

from . import udfs


@pytest.fixture
def registry() -> Registry:
    everything = Registry()
    everything.add(*udfs.functions())
    return everything


def scalar(registry: Registry, name: str, *types: SqlType) -> Variant:
    (found,) = (v for v in registry.scalars[name].variants if v.parameters == types)
    return found


def call(variant: Variant, *arguments: Any) -> Any:
    assert variant.row is not None
    return variant.row(*arguments)


def aggregator(
    variants: Sequence[AggregateVariant], types: Sequence[SqlType], literals: Sequence[Any]
) -> Aggregator:
    """The aggregate for columns of these types and these constants."""
    wanted = (len(types), len(literals))
    variant = next(
        v
        for v in variants
        if (v.variadic is not None or len(v.parameters) - v.literals == len(types))
        and v.literals == wanted[1]
        and (not isinstance(v.parameters[0], t.SqlType) or v.parameters[0] == types[0])
    )
    return variant.make(types, literals)


def results(aggregate: Aggregator, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    state = aggregate.initial()
    shown = []
    for row in rows:
        state = aggregate.add(state, row)
        shown.append(aggregate.result(state))
    return shown


@pytest.mark.parametrize(
    ("name", "types", "literals", "rows", "expected"),
    [
        ("TEST_UDAF", [t.BIGINT], [], [(1,), (None,), (2,)], [1, 1, 3]),
        ("TEST_UDAF", [t.DOUBLE], [], [(0.5,), (1.0,)], [0.5, 1.5]),
        ("TEST_UDAF", [t.STRING], ["abc"], [("ab",), (None,)], [5, 5]),
        (
            "VAR_ARG",
            [t.BIGINT, t.STRING, t.STRING],
            [],
            [(5, "ab", "c"), (None, None, "d")],
            [8, 9],
        ),
        ("MULTI_ARG", [t.BIGINT, t.STRING], [5, "10", "3"], [(6, "hi")], [16]),
        ("FOUR_ARG", [t.BIGINT, *[t.STRING] * 3], [1], [(1, "a", "b", None)], [4]),
        ("FIVE_ARG", [t.BIGINT, *[t.STRING] * 3, t.INTEGER], [0, "x"], [(1, "", "", "", 7)], [9]),
        ("MID_VAR_ARG", [t.BIGINT, t.STRING], [7, 3], [(6, "hi"), (1, "")], [18, 19]),
        ("GENERIC_VAR_ARG", [t.DOUBLE, t.INTEGER], [], [(1.5, 1), (2.5, None)], [[1.5], [1.5]]),
        ("OBJ_COL_ARG", [t.INTEGER, t.BOOLEAN], [], [(1, True), (2, False)], [[1], [1, 2]]),
    ],
)
def test_aggregates(
    registry: Registry,
    name: str,
    types: list[SqlType],
    literals: list[Any],
    rows: list[tuple[Any, ...]],
    expected: list[Any],
) -> None:
    aggregate = aggregator(registry.aggregates[name].variants, types, literals)
    assert results(aggregate, rows) == expected
    for cut in range(len(rows) + 1):
        left = right = aggregate.initial()
        for row in rows[:cut]:
            left = aggregate.add(left, row)
        for row in rows[cut:]:
            right = aggregate.add(right, row)
        assert aggregate.result(aggregate.merge(left, right)) == expected[-1]


def test_structs_are_summed_fieldwise(registry: Registry) -> None:
    variant = registry.aggregates["TEST_UDAF"].variants[-1]
    rows = [({"A": 1, "B": 2},), (None,), ({"A": 2, "B": None},)]
    assert results(variant.make(variant.parameters[:1], []), rows)[-1] == {"A": 3, "B": 2}  # type: ignore[arg-type]


def test_bad_udf(registry: Registry) -> None:
    texts = scalar(registry, "BAD_UDF", t.STRING)
    assert [call(texts, "a") for _ in range(4)] == [None, "a", None, "a"]
    with pytest.raises(ValueError, match="BAD_UDF"):
        call(scalar(registry, "BAD_UDF", t.INTEGER), 1)
    with pytest.raises(ValueError, match="BAD_UDF"):
        call(scalar(registry, "BAD_UDF", t.BOOLEAN), True)
    assert call(scalar(registry, "BAD_UDF", t.BOOLEAN), False) == 0


def test_what_must_not_be_called(registry: Registry) -> None:
    variant = scalar(registry, "WHENRESULT", t.INTEGER, t.BOOLEAN)
    assert call(variant, 3, True) == 3
    with pytest.raises(ValueError, match="WHENRESULT"):
        call(variant, 3, False)


def test_test_udtf(registry: Registry) -> None:
    variants = registry.tables["TEST_UDTF"].variants
    row = (1, 2, 3.1, True, "foo", Decimal("1.50"), {"A": "bar"})
    texts = ["1", "2", "3.1", "true", "foo", "1.50", "Struct{A=bar}"]
    assert call(variants[0], *row) == texts
    assert call(variants[1], *([value] for value in row)) == texts
    assert call(variants[2], *({"k": value} for value in row)) == texts
    assert [call(v, value) for v, value in zip(variants[3:], row, strict=True)] == [
        [v] for v in row
    ]
    with pytest.raises(ValueError, match="THROWING_UDTF"):
        call(registry.tables["THROWING_UDTF"].variants[0], True)
