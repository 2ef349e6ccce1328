"""The linear matcher finds what Python's finds: every match, and every group of it."""

from __future__ import annotations

import re

from hypothesis import assume, example, given
from hypothesis import strategies as st

from millstream.functions.linear_regex import LinearPattern

LETTERS = "abc"
_atoms = st.sampled_from(
    ["a", "b", "c", ".", "[ab]", "[^a]", r"\w", r"\s", r"\b", r"\B", "^", "$", r"\Z", "(?i:A)", "-"]
)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeats = st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?", "{2,}"])
    groups = st.one_of(inner.map("({})".format), inner.map("(?:{})".format))
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map("|".join).map("(?:{})".format),
        groups,
        st.tuples(groups, repeats).map("".join),
        st.tuples(st.sampled_from(["a", "b", ".", "[ab]"]), repeats).map("".join),
    )


patterns = st.recursive(_atoms, _grown, max_leaves=6)
texts = st.text(alphabet="abcA \n-", max_size=8)


@given(patterns, texts)
@example("((a*)*)", "a")
@example("((a{0,2}?))*", "aa")
@example("((a??)){0,3}b", "aab")
@example("(?:(a|b??)*?c|.)*", "abca")
def test_matches_are_those_of_re(pattern: str, text: str) -> None:
    try:
        known = re.compile(pattern, re.ASCII)
    except re.error:
        assume(False)
    found = list(LinearPattern(known).finditer(text))
    expected = list(known.finditer(text))
    assert [(m.start(), m.end()) for m in found] == [m.span() for m in expected]
    for mine, theirs in zip(found, expected, strict=True):
        assert [mine[g] for g in range(known.groups + 1)] == [
            theirs[g] for g in range(known.groups + 1)
        ], (mine.start(), theirs.span())
