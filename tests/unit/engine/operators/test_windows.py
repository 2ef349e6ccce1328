import numpy as np
import pytest

from millstream.engine.operators.open_windows import OpenWindows
from millstream.engine.operators.windows import WindowKind, WindowSpec, windows_of


@pytest.mark.parametrize(("size", "advance"), [(10, 10), (30, 10), (25, 10), (7, 3), (5, 1)])
def test_windows_hold_the_row_and_come_oldest_first(size: int, advance: int) -> None:
    times = np.array([0, 3, 9, 10, 24, 25, 1000, 7, 2])
    window = WindowSpec(WindowKind.HOPPING, size, advance, 0, size)
    row, number = windows_of(times, window)
    expected = [
        (i, n)
        for i, time in enumerate(times.tolist())
        for n in range(time // advance + 1)
        if n * advance <= time < n * advance + size
    ]
    assert list(zip(row.tolist(), number.tolist(), strict=True)) == expected


def test_no_rows_have_no_windows() -> None:
    row, number = windows_of(np.empty(0, np.int64), WindowSpec(WindowKind.HOPPING, 30, 10, 0, 30))
    assert len(row) == len(number) == 0


def test_a_window_is_kept_as_long_as_it_takes_rows() -> None:
    assert WindowSpec(WindowKind.TUMBLING, 10, 10, 5, 0).kept_ms == 15
    assert WindowSpec(WindowKind.TUMBLING, 10, 10, 5, 99).kept_ms == 99


@pytest.mark.parametrize(("size", "advance"), [(10, 10), (60, 5), (7, 2), (400, 2)])
@pytest.mark.parametrize("count", [1, 3, 64, 65, 200])
def test_open_windows_are_all_windows_of_rows_that_are_in_time(
    size: int, advance: int, count: int
) -> None:
    window = WindowSpec(WindowKind.HOPPING, size, advance, 10**6, 2 * 10**6)
    late: list[tuple[int, int]] = []
    for first in (0, 5_000):
        times = first + np.arange(count) * 3
        found = OpenWindows(window).expand(times, times, lambda row, n: late.append((row, n)))
        row, number = windows_of(times, window)
        assert found.row.tolist() == row.tolist()
        assert found.number.tolist() == number.tolist()
        assert not found.one_each or row.tolist() == list(range(count))
    assert late == []
