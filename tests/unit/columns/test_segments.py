import numpy as np
import pyarrow as pa
import pytest

from millstream import types as t
from millstream.columns import segments as sg
from millstream.columns.batch import Batch
from millstream.columns.sorting import stable_sort


def _random(seed: int) -> tuple[np.ndarray, sg.Segments, np.random.Generator]:
    rng = np.random.default_rng(seed)
    code = rng.integers(0, int(rng.integers(1, 40)), int(rng.integers(1, 300)))
    return code, sg.by_code(code), rng


@pytest.mark.parametrize("seed", range(20))
def test_running_values_equal_a_loop(seed: int) -> None:
    code, segments, rng = _random(seed)
    ints = rng.integers(-(2**62), 2**62, len(code))
    floats = rng.normal(size=len(code)) * 10.0 ** rng.integers(-9, 9, len(code))
    valid = rng.random(len(code)) < 0.7
    n = len(segments)
    int_start, float_start = rng.integers(-9, 9, n), rng.normal(size=n)
    count_start = rng.integers(0, 5, n)
    order = segments.order
    totals = dict(enumerate(int_start.tolist()))
    doubles = dict(enumerate(float_start.tolist()))
    tops, counts, all_counts = dict(totals), dict(enumerate(count_start.tolist())), {}
    all_counts.update(counts)
    expected: list[list[float]] = [[], [], [], [], []]
    for place, row in enumerate(order.tolist()):
        s = int(segments.number[place])
        totals[s] = (totals[s] + int(ints[row]) + 2**63) % 2**64 - 2**63
        doubles[s] += float(floats[row])
        tops[s] = max(tops[s], int(ints[row]))
        counts[s] += int(valid[row])
        all_counts[s] += 1
        for column, value in zip(
            expected, (totals[s], doubles[s], tops[s], counts[s], all_counts[s]), strict=True
        ):
            column.append(value)
    assert sg.running_sum(int_start, ints[order], segments).tolist() == expected[0]
    assert sg.running_float_sum(float_start, floats[order], segments).tolist() == expected[1]
    assert sg.running_max(int_start, ints[order], segments).tolist() == expected[2]
    assert sg.running_count(count_start, valid[order], segments).tolist() == expected[3]
    assert sg.running_count(count_start, None, segments).tolist() == expected[4]
    assert sg.segment_sum(int_start, ints[order], segments).tolist() == list(totals.values())
    assert sg.segment_max(int_start, ints[order], segments).tolist() == list(tops.values())


@pytest.mark.parametrize("lengths", [[5000, 1, 1], [1] * 50 + [60], [3000] + [1] * 3000])
def test_float_sums_of_uneven_segments_are_in_row_order(lengths: list[int]) -> None:
    code = np.repeat(np.arange(len(lengths)), lengths)
    rng = np.random.default_rng(1)
    rng.shuffle(code)
    segments = sg.by_code(code)
    values = rng.normal(size=len(code)) * 10.0 ** rng.integers(-9, 9, len(code))
    got = sg.running_float_sum(np.zeros(len(lengths)), values[segments.order], segments)
    totals = [0.0] * len(lengths)
    for place, row in enumerate(segments.order.tolist()):
        totals[int(code[row])] += float(values[row])
        assert got[place] == totals[int(code[row])]


def test_stable_sort_of_codes_too_wide_to_pack() -> None:
    code = np.array([2**62, -(2**62), 2**62, 0, -(2**62)])
    order, ordered = stable_sort(code)
    assert order.tolist() == [1, 4, 3, 0, 2]
    assert ordered.tolist() == sorted(code.tolist())
    assert sg.unsort(order)[order].tolist() == [0, 1, 2, 3, 4]


def _changes(rows: list[tuple[str, int | None, int | None]]) -> Batch:
    n = len(rows)
    return Batch(
        schema=t.Schema.of([("K", t.STRING)], [("V", t.BIGINT)]),
        arrays=[pa.array([r[0] for r in rows]), pa.array([r[2] for r in rows], pa.int64())],
        rowtime=np.arange(n),
        order=np.arange(n),
        seq=np.arange(n),
        partition=np.zeros(n, np.int32),
        offset=np.arange(n),
        value_null=np.array([r[2] is None for r in rows]),
        old=[pa.array([r[1] for r in rows], pa.int64())],
        old_null=np.array([r[1] is None for r in rows]),
    )


def test_coalesce_keeps_first_old_and_last_new_at_the_last_place() -> None:
    batch = sg.coalesce(
        _changes(
            [("a", 1, 2), ("b", None, 5), ("a", 2, 3), ("c", None, 1), ("c", 1, None), ("d", 4, 4)]
        )
    )
    assert batch.key_arrays[0].to_pylist() == ["b", "a", "d"]
    assert batch.value_arrays[0].to_pylist() == [5, 3, 4]
    assert batch.old is not None
    assert batch.old[0].to_pylist() == [None, 1, 4]
    assert batch.rowtime.tolist() == [1, 2, 5]


def test_coalesce_tells_windows_apart() -> None:
    batch = _changes([("a", None, 1), ("a", None, 1), ("a", 1, 2)])
    batch.window_start = np.array([0, 10, 0])
    batch.window_end = np.array([10, 20, 10])
    got = sg.coalesce(batch)
    assert got.window_start is not None
    assert got.window_start.tolist() == [10, 0]
    assert got.value_arrays[0].to_pylist() == [1, 2]


def test_coalesce_leaves_streams_alone() -> None:
    batch = _changes([("a", None, 1), ("a", 1, 2)])
    batch.old = batch.old_null = None
    assert len(sg.coalesce(batch)) == 2


@pytest.mark.parametrize("seed", range(10))
def test_few_pairs_are_the_groups_of_many_by_their_last_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 4, (2, int(rng.integers(0, 48))))
    few, many = sg.by_few_pairs(first, second), sg.by_pair(first, second)
    assert len(few) == len(many)
    assert sg.ascends(few.last(few.order))
    assert sorted(_groups(few)) == sorted(_groups(many))


def _groups(segments: sg.Segments) -> list[list[int]]:
    bounds = zip(segments.starts.tolist(), segments.ends.tolist(), strict=True)
    return [segments.order[start : end + 1].tolist() for start, end in bounds]
