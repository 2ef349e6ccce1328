"""The cache holds what was committed last, within its bound, and a few runs that were read."""

from __future__ import annotations

from millstream.store.records import size_of
from millstream.store.sqlite.cache import TailCache
from tests.unit.store.builders import lines

SIZE = size_of(lines(["x" * 100] * 10))


def add(cache: TailCache, topic: int, *bases: int) -> None:
    for base in bases:
        cache.add(topic, base, lines(["x" * 100] * 10), SIZE)


def bases(cache: TailCache, topic: int) -> list[int]:
    """The runs that are found, by the ordinals of their first records."""
    found = [cache.find(topic, ordinal) for ordinal in range(100)]
    return sorted({run[0] for run in found if run is not None})


def test_any_record_of_a_run_finds_it() -> None:
    cache = TailCache()
    add(cache, 1, 10, 20)
    for ordinal, base in ((10, 10), (19, 10), (20, 20), (29, 20)):
        run = cache.find(1, ordinal)
        assert run is not None and run[0] == base
    assert cache.find(1, 9) is None
    assert cache.find(1, 30) is None
    assert cache.find(2, 10) is None


def test_the_oldest_runs_make_room_whatever_their_topic() -> None:
    cache = TailCache(limit_bytes=3 * SIZE)
    add(cache, 1, 0)
    add(cache, 2, 0)
    add(cache, 1, 10, 20)
    assert (bases(cache, 1), bases(cache, 2)) == ([10, 20], [0])
    add(cache, 1, 30)
    assert (bases(cache, 1), bases(cache, 2)) == ([10, 20, 30], [])


def test_a_run_larger_than_the_bound_is_not_kept() -> None:
    cache = TailCache(limit_bytes=SIZE)
    add(cache, 1, 0)
    large = lines(["x" * 1000] * 10)
    cache.add(1, 10, large, size_of(large))
    assert bases(cache, 1) == [0]


def test_runs_that_were_read_push_each_other_out_only() -> None:
    cache = TailCache(limit_bytes=2 * SIZE)
    add(cache, 1, 50)
    for base in (0, 10, 10, 20):
        cache.add_decoded(1, base, lines(["x" * 100] * 10))
    assert bases(cache, 1) == [10, 20, 50]
    cache.clear()
    assert bases(cache, 1) == []


def test_few_runs_that_were_read_are_kept_however_small() -> None:
    cache = TailCache()
    for base in range(0, 70, 10):
        cache.add_decoded(1, base, lines(["x"] * 10))
    assert bases(cache, 1) == [30, 40, 50, 60]
