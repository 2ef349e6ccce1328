"""Names behave as a dict does, and so do their copies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.catalog.names import Names

KEYS = st.sampled_from([f"n{i}" for i in range(60)])
STEPS = st.lists(
    st.tuples(st.sampled_from(["set", "delete", "copy"]), KEYS, st.integers(0, 9)), max_size=200
)


@given(STEPS)
def test_names_are_a_dict(steps: list[tuple[str, str, int]]) -> None:
    names: Names[int] = Names({"n1": 1, "n2": 2})
    expected = {"n1": 1, "n2": 2}
    kept: list[tuple[Names[int], dict[str, int]]] = []
    for step, key, value in steps:
        if step == "set":
            names[key] = expected[key] = value
        elif step == "copy":
            kept.append((names, dict(expected)))
            names = names.copy()
        else:
            assert names.pop(key, None) == expected.pop(key, None)
        assert list(names.items()) == list(expected.items())
        assert len(names) == len(expected)
        assert (key in names, names.get(key)) == (key in expected, expected.get(key))
    for old, content in kept:
        assert list(old.items()) == list(content.items())


def test_what_is_not_there() -> None:
    names: Names[int] = Names({"a": 1})
    del names["a"]
    with pytest.raises(KeyError):
        names["a"]
    with pytest.raises(KeyError):
        del names["a"]
    assert (list(names), len(names), repr(names)) == ([], 0, "Names({})")
    names["a"] = 2
    assert dict(names) == {"a": 2}


def test_copies_share_what_they_have_in_common() -> None:
    names: Names[int] = Names()
    for number in range(2_000):
        names[f"n{number}"] = number
        names = names.copy()
    changes = len(names._added) + len(names._replaced) + len(names._gone)
    assert changes <= 64
    assert list(names.values()) == list(range(2_000))
