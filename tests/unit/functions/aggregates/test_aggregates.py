"""The rules of each aggregate, one row at a time, and its columnar form against them."""

import itertools
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream import types as t
from millstream.columns import arrow
from millstream.columns import segments as sg
from millstream.errors import ExecutionError
from millstream.functions.aggregates import ALL, LIST_LIMIT, SET_LIMIT, build
from millstream.functions.aggregates.kernels import ColumnKernel, RowKernel
from millstream.functions.registry import (
    AggregateFunction,
    Aggregator,
    AnyDecimal,
    AnyType,
    ArrayOf,
    Generic,
)

FUNCTIONS = {f.name: f for f in ALL}


def _make(
    name: str,
    types: Sequence[t.SqlType],
    literals: Sequence[Any] = (),
    functions: dict[str, AggregateFunction] = FUNCTIONS,
) -> Aggregator:
    for variant in functions[name].variants:
        repeats = 0 if variant.variadic is None else len(types) + len(literals)
        if len(variant.parameters) != len(types) + len(literals) and repeats < 3:
            continue
        if len(literals) != variant.literals:
            continue
        constants = [t.BOOLEAN if isinstance(x, bool) else t.INTEGER for x in literals]
        if variant.variadic is not None or all(
            map(_takes, variant.parameters, [*types, *constants])
        ):
            return variant.make(list(types), list(literals))
    raise AssertionError(f"no variant of {name} for {types}")


def _takes(pattern: Any, given_type: Any) -> bool:
    if isinstance(pattern, Generic | AnyType | ArrayOf) or pattern == given_type:
        return True
    return isinstance(pattern, AnyDecimal) and isinstance(given_type, t.Decimal)


def _results(aggregator: Aggregator, rows: Sequence[Any]) -> list[Any]:
    state, out = aggregator.initial(), []
    for row in rows:
        state = aggregator.add(state, row if isinstance(row, tuple) else (row,))
        out.append(aggregator.result(state))
    return out


def _of(aggregator: Aggregator, rows: Sequence[Any]) -> Any:
    state = aggregator.initial()
    for row in rows:
        state = aggregator.add(state, row if isinstance(row, tuple) else (row,))
    return state


def test_count_skips_nulls_only_with_an_argument() -> None:
    assert _results(_make("COUNT", []), [(), (), ()]) == [1, 2, 3]
    assert _results(_make("COUNT", [t.STRING]), ["a", None, "b"]) == [1, 1, 2]


@pytest.mark.parametrize(
    ("sql_type", "values", "total"),
    [
        (t.INTEGER, [None, 1, 2], 3),
        (t.INTEGER, [2**31 - 1, 1], -(2**31)),
        (t.BIGINT, [2**63 - 1, 2], -(2**63) + 1),
        (t.DOUBLE, [0.5, None, 0.25], 0.75),
        (t.Decimal(4, 1), [Decimal("0.1"), Decimal("99.9")], Decimal("100.0")),
    ],
)
def test_sums(sql_type: t.SqlType, values: list[Any], total: Any) -> None:
    aggregator = _make("SUM", [sql_type])
    assert _results(aggregator, values)[-1] == total
    assert aggregator.result(aggregator.initial()) == 0


def test_a_decimal_sum_keeps_its_scale_and_fails_beyond_its_precision() -> None:
    aggregator = _make("SUM", [t.Decimal(3, 1)])
    assert str(aggregator.result(aggregator.initial())) == "0.0"
    state = _of(aggregator, [Decimal("99.9")])
    with pytest.raises(ExecutionError, match="does not fit"):
        aggregator.add(state, (Decimal("0.1"),))
    assert aggregator.undo(state, (Decimal("99.9"),)) == (Decimal("0.0"),)


def test_averages() -> None:
    assert _results(_make("AVG", [t.INTEGER]), [None, 1, 2]) == [0.0, 1.0, 1.5]
    assert _results(_make("AVG", [t.BIGINT]), [-1, 2**63 - 1, 1])[-1] == (2**63 - 1) / 3
    average = _make("AVG", [t.DOUBLE])
    assert average.result(average.undo(_of(average, [1.5, 2.5]), (2.5,))) == 1.5
    assert average.result(average.undo(_of(average, [1.5]), (1.5,))) == 0.0


@pytest.mark.parametrize(
    ("sql_type", "ascending"),
    [
        (t.INTEGER, [-(2**31), 0, 2**31 - 1]),
        (t.BIGINT, [-(2**63), 0, 2**63 - 1]),
        (t.DOUBLE, [-math.inf, -0.0, 0.0, 5.0, math.inf, math.nan]),
        (t.STRING, ["", "A", "B", "a", "\U0001f600", "\uffff"]),
        (t.BYTES, [b"\x80", b"\x00", b"\x00\x00", b"\x7f"]),
        (t.Decimal(4, 2), [Decimal("-1.00"), Decimal("0.50"), Decimal("12.00")]),
        (t.TIMESTAMP, [-5, 0, 7]),
        (t.DATE, [-5, 0, 7]),
        (t.TIME, [0, 7]),
    ],
)
def test_extremes_follow_the_order_of_java(sql_type: t.SqlType, ascending: list[Any]) -> None:
    smallest, largest = _make("MIN", [sql_type]), _make("MAX", [sql_type])
    assert _results(largest, [None, *ascending]) == [None, *ascending] or sql_type == t.DOUBLE
    for low, high in itertools.pairwise(ascending):
        for pair in ([low, high], [high, None, low]):
            assert repr(_results(smallest, pair)[-1]) == repr(low)
            assert repr(_results(largest, pair)[-1]) == repr(high)
    left, right = _of(largest, ascending[:1]), _of(largest, ascending[1:])
    assert repr(largest.result(largest.merge(left, right))) == repr(ascending[-1])
    assert largest.result(largest.merge(largest.initial(), largest.initial())) is None


def test_lists_keep_nulls_and_order_up_to_their_limit() -> None:
    functions = {f.name: f for f in build({LIST_LIMIT: 3, SET_LIMIT: "2"})}
    lists = _make("COLLECT_LIST", [t.STRING], functions=functions)
    assert _results(lists, ["a", None, "a", "b"])[-1] == ["a", None, "a"]
    sets = _make("COLLECT_SET", [t.STRING], functions=functions)
    assert _results(sets, ["a", "a", None, "b"])[-1] == ["a", None]
    full = _of(lists, ["a", "b", "a"])
    assert lists.undo(full, ("a",)) == (["a", "b"],)
    assert lists.undo(full, ("zz",)) == full
    assert lists.merge(_of(lists, ["a", "b"]), full) == (["a", "b", "a"],)
    assert sets.merge(_of(sets, ["b"]), _of(sets, ["b", "c"])) == (["b", "c"],)


def test_sets_tell_doubles_apart_as_java_does() -> None:
    got = _results(_make("COLLECT_SET", [t.DOUBLE]), [0.0, -0.0, math.nan, math.nan, 0.0])[-1]
    assert [repr(x) for x in got] == ["0.0", "-0.0", "nan"]


def test_a_histogram_counts_texts() -> None:
    histogram = _make("HISTOGRAM", [t.STRING])
    state = _of(histogram, ["a", "b", None, "a"])
    assert state == ({"a": 2, "b": 1},)
    assert histogram.undo(histogram.undo(state, ("b",)), ("a",)) == ({"a": 1},)
    assert histogram.undo(state, ("zz",)) == state
    many = _of(histogram, [str(i) for i in range(1001)])
    assert len(many[0]) == 1000
    assert "1000" not in histogram.merge(many, many)[0]


def test_attr_is_the_one_value_of_a_group() -> None:
    attr = _make("ATTR", [t.STRING])
    assert _results(attr, ["1", "1", None, "1"]) == ["1", "1", None, None]
    state = attr.undo(_of(attr, ["1", "2"]), ("1",))
    assert attr.result(state) == "2"
    assert attr.result(attr.undo(state, ("2",))) is None
    assert attr.undo(state, ("2",)) == attr.initial()
    assert attr.result(attr.merge(_of(attr, ["1"]), _of(attr, ["1"]))) == "1"


def test_sums_of_lists_skip_nulls() -> None:
    sums = _make("SUM_LIST", [t.Array(t.BIGINT)])
    assert _results(sums, [[1, None, 2], None, [3]]) == [3, 3, 6]
    assert sums.undo(_of(sums, [[1, 2], [3]]), ([1, 2],)) == (3,)


def test_by_offset_one() -> None:
    assert _results(_make("EARLIEST_BY_OFFSET", [t.INTEGER]), [None, 1, 2]) == [None, 1, 1]
    assert _results(_make("LATEST_BY_OFFSET", [t.INTEGER]), [1, None, 2]) == [1, 1, 2]
    keep_nulls = _make("EARLIEST_BY_OFFSET", [t.INTEGER], [False])
    assert _results(keep_nulls, [None, 1]) == [None, None]
    assert _results(_make("LATEST_BY_OFFSET", [t.INTEGER], [False]), [1, None]) == [1, None]


def test_by_offset_several() -> None:
    assert _results(_make("EARLIEST_BY_OFFSET", [t.INTEGER], [2]), [None, 1, 2, 3])[-1] == [1, 2]
    assert _results(_make("LATEST_BY_OFFSET", [t.INTEGER], [2]), [1, 2, None, 3])[-1] == [2, 3]
    keep_nulls = _make("LATEST_BY_OFFSET", [t.INTEGER], [2, False])
    assert _results(keep_nulls, [1, None]) == [[1], [1, None]]
    with pytest.raises(ValueError, match="1 or more"):
        _make("LATEST_BY_OFFSET", [t.INTEGER], [0])


@pytest.mark.parametrize("size", [(), (2,)])
def test_merges_by_offset_follow_arrival_not_time(size: tuple[int, ...]) -> None:
    earliest = _make("EARLIEST_BY_OFFSET", [t.INTEGER], size)
    latest = _make("LATEST_BY_OFFSET", [t.INTEGER], size)
    for aggregator, one, two in ((earliest, 1, [1, 2]), (latest, 2, [1, 2])):
        first = aggregator.add(aggregator.initial(), (1,))
        second = aggregator.add(aggregator.initial(), (2,))
        expected = two if size else one
        assert aggregator.result(aggregator.merge(first, second)) == expected
        assert aggregator.result(aggregator.merge(second, first)) == expected
        assert aggregator.merge(aggregator.initial(), first) == first
        assert aggregator.merge(first, aggregator.initial()) == first


def test_topk_keeps_the_largest_and_of_equals_the_first() -> None:
    assert _results(_make("TOPK", [t.INTEGER], [2]), [1, None, 3, 3, 2])[-1] == [3, 3]
    rows = [(1, "a"), (2, "b"), (1, "c"), (None, "d"), (2, None)]
    pairs = _make("TOPK", [t.INTEGER, t.STRING], [3])
    assert _results(pairs, rows)[-1] == [
        {"sort_col": 2, "col0": "b"},
        {"sort_col": 2, "col0": None},
        {"sort_col": 1, "col0": "a"},
    ]
    distinct = _make("TOPKDISTINCT", [t.STRING], [2])
    assert _results(distinct, ["a", "b", "b", "c"])[-1] == ["c", "b"]
    assert distinct.merge(_of(distinct, ["a", "b"]), _of(distinct, ["b", "c"])) == (["c", "b"],)


def test_the_type_of_topk_with_further_columns_is_a_list_of_structs() -> None:
    variant = next(v for v in FUNCTIONS["TOPK"].variants if v.variadic is not None)
    assert callable(variant.returns)
    fields = (t.Field("sort_col", t.INTEGER), t.Field("col0", t.STRING), t.Field("col1", t.BYTES))
    given_types = [t.INTEGER, t.STRING, t.BYTES, t.INTEGER]
    assert variant.returns(given_types) == t.Array(t.Struct(fields))


def test_deviations_are_those_of_a_sample() -> None:
    values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]
    variance = sum((v - 5.0) ** 2 for v in values) / 7
    assert _results(_make("STDDEV_SAMP", [t.DOUBLE]), values)[-1] == pytest.approx(variance)
    deviation = _make("STDDEV_SAMPLE", [t.DOUBLE])
    assert _results(deviation, [None, 3.0]) == [0.0, 0.0]
    assert _results(deviation, values)[-1] == pytest.approx(math.sqrt(variance))
    halves = deviation.merge(_of(deviation, values[:3]), _of(deviation, values[3:]))
    assert deviation.result(halves) == pytest.approx(math.sqrt(variance))
    without = deviation.undo(_of(deviation, [*values, 50.0]), (50.0,))
    assert deviation.result(without) == pytest.approx(math.sqrt(variance))


def test_correlation_needs_two_varying_columns() -> None:
    correlation = _make("CORRELATION", [t.BIGINT, t.BIGINT])
    got = _results(correlation, [(1, 2), (2, None), (2, 4), (3, 6), (4, 0)])
    assert math.isnan(got[0])
    assert got[2:4] == pytest.approx([1.0, 1.0])
    assert got[4] == pytest.approx(-0.2)
    state = _of(correlation, [(1, 2), (2, 4), (9, 9)])
    assert correlation.result(correlation.undo(state, (9, 9))) == pytest.approx(1.0)


def test_distinct_counts_are_exact_while_few_and_close_when_many() -> None:
    distinct = _make("COUNT_DISTINCT", [t.STRING])
    assert _results(distinct, ["a", None, "b", "a"]) == [1, 1, 2, 2]
    many = _of(distinct, [str(i % 20_000) for i in range(25_000)])
    assert distinct.result(many) == pytest.approx(20_000, rel=0.06)
    other = _of(distinct, [str(i) for i in range(15_000, 30_000)])
    assert distinct.result(distinct.merge(many, other)) == pytest.approx(30_000, rel=0.06)
    few = _of(distinct, ["a", "b"])
    assert distinct.result(distinct.merge(few, _of(distinct, ["b", "c"]))) == 3
    assert distinct.result(distinct.merge(few, many)) >= distinct.result(many)


def test_which_functions_may_stand_over_a_table() -> None:
    capable = {f.name for f in ALL if all(v.table_capable for v in f.variants)}
    assert capable == {
        "ATTR",
        "AVG",
        "COLLECT_LIST",
        "CORRELATION",
        "COUNT",
        "HISTOGRAM",
        "STDDEV_SAMP",
        "STDDEV_SAMPLE",
        "SUM",
        "SUM_LIST",
    }
    assert {f.name for f in ALL} - capable == {
        f.name for f in ALL if not any(v.table_capable for v in f.variants)
    }


# --- columnar = row by row -----------------------------------------------------------------------

NUMBERS: dict[t.SqlType, st.SearchStrategy[Any]] = {
    t.INTEGER: st.integers(-(2**31), 2**31 - 1) | st.integers(-3, 3),
    t.BIGINT: st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3),
    t.DOUBLE: st.floats() | st.sampled_from([0.0, -0.0]),
    t.DATE: st.integers(-(2**31), 2**31 - 1),
    t.TIMESTAMP: st.integers(-(2**63), 2**63 - 1),
}
KERNELS = [
    *(("COUNT", x) for x in NUMBERS),
    *(("SUM", x) for x in (t.INTEGER, t.BIGINT, t.DOUBLE)),
    *(("AVG", x) for x in (t.INTEGER, t.BIGINT, t.DOUBLE)),
    *(("MIN", x) for x in NUMBERS),
    *(("MAX", x) for x in NUMBERS),
]


@given(st.data(), st.sampled_from(KERNELS))
def test_kernels_equal_the_row_form(data: st.DataObject, which: tuple[str, t.SqlType]) -> None:
    name, sql_type = which
    values = data.draw(st.lists(st.none() | NUMBERS[sql_type], min_size=1, max_size=30))
    code = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(values))))[: len(values)]
    segments = sg.by_code(code)
    aggregator = _make(name, [sql_type])
    kernel: ColumnKernel = aggregator.kernel  # type: ignore[assignment]
    result = {"COUNT": t.BIGINT, "AVG": t.DOUBLE}.get(name, sql_type)
    rows = RowKernel(aggregator, [sql_type], result)
    column = arrow.from_python(values, sql_type)
    states = [_of(aggregator, values[:i]) for i in range(len(segments))]
    mine, theirs = kernel.pack(states), rows.pack(states)
    taken = [v.take(segments.order) for v in kernel.prepare([column])]
    taken_rows = [v.take(segments.order) for v in rows.prepare([column])]
    every, final = kernel.running(mine, taken, segments)
    every_row, final_row = rows.running(theirs, taken_rows, segments)
    assert _same(kernel, every, rows, every_row)
    assert _same(kernel, final, rows, final_row)
    assert _same(kernel, kernel.last(mine, taken, segments), rows, final_row)
    stored = [pa.array(c) if isinstance(c, np.ndarray) else c for c in kernel.stored(final)]
    assert _same(kernel, kernel.restored(stored), rows, final_row)
    if name in ("COUNT", "SUM", "AVG"):
        sign = np.array(data.draw(st.lists(st.sampled_from([1, -1]), min_size=len(values))))
        sign = sign[: len(values)]
        signed = kernel.signed(mine, taken, sign, segments)
        assert _same(kernel, signed, rows, rows.signed(theirs, taken_rows, sign, segments))
    if kernel.exact:
        parts = [_of(aggregator, [values[i]]) for i in segments.order.tolist()]
        combined = kernel.combine(mine, kernel.pack(parts), segments)
        assert _same(kernel, combined, rows, final_row)


def _same(kernel: ColumnKernel, mine: Any, rows: RowKernel, theirs: Any) -> bool:
    left = [repr(kernel.unpack(mine, i)) for i in range(len(mine[0]))]
    right = [repr(s) for s in theirs[0]]
    results = (
        repr(kernel.results(mine).to_pylist()),
        repr(rows.results(theirs).to_pylist()),
    )
    return left == right and results[0] == results[1]
