"""Lagging queries get what fits into a short time, each in its turn."""

from __future__ import annotations

from millstream.engine.pace import Pace


def test_what_was_taken_before_tells_how_much_fits() -> None:
    pace = Pace(50_000)
    first = pace.share([1], busy=True).rows
    for _ in range(30):
        pace.took(10_000, 0.01)
    faster = pace.share([1], busy=True).rows
    for _ in range(30):
        pace.took(1_000, 0.1)
    slower = pace.share([1], busy=True).rows
    assert slower <= first < faster


def test_where_nothing_waits_there_is_more_time() -> None:
    pace = Pace(50_000)
    quiet, busy = pace.share([1], busy=False), pace.share([1], busy=True)
    assert quiet.rows > busy.rows
    assert quiet.seconds > busy.seconds


def test_groups_share_and_take_turns() -> None:
    pace = Pace(50_000)
    alone, seconds, _ = pace.share([1], busy=False)
    two, half, due = pace.share([1, 2], busy=False)
    assert two <= alone // 2 + 1
    assert half == seconds / 2
    assert sorted(due) == [1, 2]
    many = list(range(1000))
    seen: set[int] = set()
    for _ in range(1000):
        rows, _, due = pace.share(many, busy=False)
        assert rows * len(due) <= alone + 1000
        assert due
        seen.update(due)
    assert seen == set(many)


def test_no_more_than_a_commit_holds() -> None:
    pace = Pace(3)
    assert pace.share([1, 2, 3], busy=False).rows == 3
