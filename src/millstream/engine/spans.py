"""Which records of a topic were looked at: stretches of ordinals, few and in order."""

from __future__ import annotations

from bisect import bisect_right

Spans = tuple[tuple[int, int], ...]
"""Stretches `(start, end)`, the end not included; ascending, neither touching nor overlapping."""

MOST_SPANS = 64


def holds(spans: Spans, ordinal: int) -> bool:
    """Whether an ordinal lies in one of the stretches."""
    place = bisect_right(spans, (ordinal, float("inf"))) - 1
    return place >= 0 and ordinal < spans[place][1]


def with_span(spans: Spans, start: int, end: int) -> Spans:
    """The stretches and one more. Beyond `MOST_SPANS` the oldest is forgotten."""
    if start >= end:
        return spans
    if spans and spans[-1][1] == start:
        return (*spans[:-1], (spans[-1][0], end))
    apart = [s for s in spans if s[1] < start or s[0] > end]
    touching = [s for s in spans if s[1] >= start and s[0] <= end]
    joined = (min([start, *(s[0] for s in touching)]), max([end, *(s[1] for s in touching)]))
    return tuple(sorted([*apart, joined]))[-MOST_SPANS:]
