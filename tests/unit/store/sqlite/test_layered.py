"""A layered dictionary holds what a plain one would, and so does each of its copies."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.store.sqlite.layered import Layered

CHANGES = st.lists(
    st.tuples(st.sampled_from(["set", "delete", "pop", "copy"]), st.integers(0, 90)), max_size=400
)


@given(base=st.dictionaries(st.integers(0, 90), st.integers()), changes=CHANGES)
def test_it_holds_what_a_dictionary_would(
    base: dict[int, int], changes: list[tuple[str, int]]
) -> None:
    mine, plain = Layered(dict(base)), dict(base)
    before: list[tuple[Layered[int, int], dict[int, int]]] = []
    for number, (what, key) in enumerate(changes):
        match what:
            case "set":
                mine[key] = plain[key] = number
            case "delete":
                with contextlib.suppress(KeyError):
                    del plain[key]
                    del mine[key]
            case "pop":
                assert mine.pop(key, None) == plain.pop(key, None)
            case "copy":
                before.append((mine, dict(plain)))
                mine = mine.copy()
        assert mine.get(key) == plain.get(key) and (key in mine) == (key in plain)
    for layered, expected in [*before, (mine, plain)]:
        assert dict(layered.items()) == expected
        assert len(layered) == len(expected)
        assert {key: layered[key] for key in expected} == expected


def test_what_is_not_there_is_told() -> None:
    mine = Layered({1: 1})
    del mine[1]
    for key in (1, 2):
        assert mine.get(key, 7) == 7
        with pytest.raises(KeyError):
            mine[key]
        with pytest.raises(KeyError):
            del mine[key]


def test_a_copy_has_little_to_copy() -> None:
    mine: Layered[int, int] = Layered()
    longest = 0
    for key in range(20_000):
        mine = mine.copy()
        mine[key] = key
        longest = max(longest, len(mine._recent))
    assert longest <= 150
    assert list(mine) == list(range(20_000))
