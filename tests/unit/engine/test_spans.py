"""Stretches of ordinals against plain sets."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from millstream.engine.spans import MOST_SPANS, Spans, holds, with_span

_STRETCHES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=20)


@given(_STRETCHES)
def test_like_a_set(stretches: list[tuple[int, int]]) -> None:
    spans: Spans = ()
    known: set[int] = set()
    for start, end in stretches:
        spans = with_span(spans, start, end)
        known |= set(range(start, end))
    assert {n for n in range(-1, 70) if holds(spans, n)} == known
    assert all(a[1] < b[0] for a, b in itertools.pairwise(spans))


def test_the_oldest_of_too_many_is_forgotten() -> None:
    spans: Spans = ()
    for n in range(MOST_SPANS + 1):
        spans = with_span(spans, 10 * n, 10 * n + 1)
    assert len(spans) == MOST_SPANS
    assert not holds(spans, 0)
    assert holds(spans, 10 * MOST_SPANS)
