"""Regular expressions that would take for ever, and those that are not slowed down."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from millstream.functions import linear_regex
from millstream.functions.linear_regex import LinearPattern, NotLinearError, is_patient
from millstream.functions.regex import _extract, _extract_all, _matcher, _replace, _split
from tests.e2e.raw_topic import connect

A = "a" * 5_000


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: _extract("(a+)+$", A + "b"), None),
        (lambda: _extract("(a|aa)*b", A), None),
        (lambda: _extract("(a|a?)+b", A + "b"), A + "b"),
        (lambda: _extract("(x+x+)+y", A.replace("a", "x")), None),
        (lambda: _extract("(.*)(.*)(.*)(.*)x", A), None),
        (lambda: _extract("^(([a-z])+.)+[A-Z]([a-z])+$", A), None),
        (lambda: _extract("(a*)*b|(c)", A + "c", 2), "c"),
        (lambda: _extract_all("(a|b|ab)*c", "abab" * 1_000 + "c"), ["abab" * 1_000 + "c"]),
        (lambda: _replace(A + "b", "(a+)+(b)", "<$2>"), "<b>"),
        (lambda: _split(A + ",,b", "(,+)+"), [A, "b"]),
    ],
)
def test_patterns_that_would_take_for_ever(call: Callable[[], object], expected: object) -> None:
    assert call() == expected


@pytest.mark.parametrize(
    ("pattern", "length", "patient"),
    [
        ("(a+)+$", 10, True),
        ("(a+)+$", 100, False),
        ("(?:ab|a)*c", 100, False),
        ("(a{1,3})*", 100, False),
        ("[0-9]+", 10**8, True),
        ("abc", 10**8, True),
        ("(a|b)c", 10**8, True),
        ("(ab){3}c", 10**8, True),
        (r"(\d+)-(\d+)", 1_000, True),
        (r"(\d+)-(\d+)", 10**6, False),
        (".*a.*b.*c", 100, True),
        (".*a.*b.*c", 10_000, False),
    ],
)
def test_what_python_is_done_with_in_time(pattern: str, length: int, patient: bool) -> None:
    assert is_patient(re.compile(pattern), length) == patient


@pytest.mark.parametrize(
    "pattern", [r"(a)\1", "(?=a)b", "(?<!a)b", "a*+", "(?>a)", "(a)?(?(1)b|c)"]
)
def test_patterns_that_only_python_knows(pattern: str) -> None:
    with pytest.raises(NotLinearError):
        LinearPattern(re.compile(pattern))
    assert isinstance(_matcher(pattern, "a" * 10**5), re.Pattern)
    with pytest.raises(NotLinearError):
        LinearPattern(re.compile("((a{90}){90}){90}"))


def test_what_takes_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_regex, "MOST_STEPS", 1_000)
    with pytest.raises(ValueError, match="takes too long on this text"):
        _extract("(a+)+$", A + "b")
    monkeypatch.setattr(linear_regex, "MOST_PLACES", 1_000)
    with pytest.raises(ValueError, match="too long for this regular expression"):
        _extract("(a+)+$", A + "b")


def test_a_query_goes_on_where_a_pattern_would_take_for_ever() -> None:
    with connect(
        "CREATE STREAM s (w VARCHAR)"
        " WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
        "CREATE STREAM found AS SELECT REGEXP_EXTRACT('(a+)+[$]', w) AS f FROM s;"
    ) as db:
        db.insert("s", [{"w": "a" * 60 + end} for end in ("b", "$", "")])
        db.run(until_idle=True)
        assert db.sql("SELECT f FROM found;").rows() == [(None,), ("a" * 60 + "$",), (None,)]
