"""Durations as people type them: `500ms`, `30s`, `5m`, `1h`."""

from __future__ import annotations

import re

UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", re.ASCII | re.IGNORECASE)


def parse_duration(text: str) -> int:
    """Milliseconds of a duration; a bare number means seconds. Raises ValueError otherwise."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write it like 500ms, 30s, 5m or 1h")
    number, unit = match.groups()
    return round(float(number) * UNITS_MS[(unit or "s").lower()])


def format_elapsed(elapsed_ms: int) -> str:
    """A running time as `mm:ss`, or `h:mm:ss` from an hour on."""
    minutes, seconds = divmod(max(0, elapsed_ms) // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"
