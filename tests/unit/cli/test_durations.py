from __future__ import annotations

import pytest

from millstream.cli.durations import format_elapsed, parse_duration


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("500ms", 500),
        ("30s", 30_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("1d", 86_400_000),
        ("1.5s", 1_500),
        ("2 S", 2_000),
        ("7", 7_000),
        ("0s", 0),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize("text", ["", "s", "3x", "-1s", "1s 2s", "1e3", "one", "٣s"])
def test_anything_else_is_told_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 500ms, 30s, 5m or 1h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "00:00"), (999, "00:00"), (61_000, "01:01"), (3_600_000, "1:00:00"), (-5, "00:00")],
)
def test_elapsed_time_grows_an_hour(ms: int, text: str) -> None:
    assert format_elapsed(ms) == text
