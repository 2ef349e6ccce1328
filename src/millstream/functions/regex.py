"""Functions of regular expressions, in Java's dialect as far as Python's covers it."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from millstream import types as t
from millstream.functions.limits import check_length
from millstream.functions.linear_regex import (
    LinearMatch,
    LinearPattern,
    NotLinearError,
    is_patient,
)
from millstream.functions.registry import ArrayOf, ScalarFunction, Variant

S, I = t.STRING, t.INTEGER  # noqa: E741

_CLASSES = {
    "Lower": "a-z", "Upper": "A-Z", "ASCII": r"\x00-\x7f", "Alpha": "a-zA-Z", "Digit": "0-9",
    "Alnum": "a-zA-Z0-9", "Punct": r"!-/:-@\[-`{-~", "Graph": "!-~", "Print": " -~",
    "Blank": r" \t", "Cntrl": r"\x00-\x1f\x7f", "XDigit": "0-9a-fA-F", "Space": r" \t\n\x0b\f\r",
}  # fmt: skip
_JAVA_PARTS = re.compile(
    r"\\\\|\\Q(.*?)(?:\\E|\Z)|\\([pP])\{(\w+)\}|\\z|\\h|\(\?<(?![=!])|\[", re.DOTALL
)
_REPLACEMENT = re.compile(r"\\(.)|\$(\d+)|\$\{(\w+)\}|\\\Z", re.DOTALL)


@functools.lru_cache(maxsize=1024)
def java_regex(pattern: str) -> re.Pattern[str]:
    """A Java regular expression, compiled; ValueError where it is not a valid one."""
    try:
        return re.compile(_translated(pattern), re.ASCII)
    except re.error as error:
        raise ValueError(f"'{pattern}' is not a valid regular expression: {error}") from error
    except RecursionError as error:
        raise ValueError("the regular expression is nested too deeply") from error
    except OverflowError as error:
        raise ValueError(f"'{pattern}' repeats too often") from error


def _translated(pattern: str) -> str:
    """The pattern with what only Java writes that way put in Python's words."""
    in_class = _class_spans(pattern)

    def part(match: re.Match[str]) -> str:
        found = match[0]
        if found.startswith("\\Q"):
            return re.escape(match[1])
        if match[2]:
            inner = _CLASSES.get(match[3])
            if inner is None:
                raise ValueError(f"the character class \\p{{{match[3]}}} is not supported")
            if in_class(match.start()):
                return inner
            return f"[{'^' if match[2] == 'P' else ''}{inner}]"
        return {"\\z": "\\Z", "(?<": "(?P<", "\\h": r"[ \t]"}.get(found, found)

    return _JAVA_PARTS.sub(part, pattern)


def _class_spans(pattern: str) -> Callable[[int], bool]:
    """Tells whether a place of the pattern lies inside square brackets."""
    spans = [m.span() for m in re.finditer(r"(?<!\\)\[\^?\]?(?:\\.|[^\]\\])*\]", pattern)]
    return lambda place: any(a < place < b for a, b in spans)


def _matcher(pattern: str, text: str) -> re.Pattern[str] | LinearPattern:
    """The pattern as something that is done with this text in a bearable time, where there is."""
    regex = java_regex(pattern)
    if is_patient(regex, len(text)):
        return regex
    return _linear(pattern) or regex


@functools.lru_cache(maxsize=256)
def _linear(pattern: str) -> LinearPattern | None:
    try:
        return LinearPattern(java_regex(pattern))
    except NotLinearError:
        return None


def _extract(pattern: str, text: str, group: int = 0) -> str | None:
    regex = _matcher(pattern, text)
    if group > regex.groups:
        return None
    match = regex.search(text)
    return None if match is None else match[group]


def _extract_all(pattern: str, text: str, group: int = 0) -> list[str | None] | None:
    regex = _matcher(pattern, text)
    if group > regex.groups:
        return None
    return [m[group] for m in regex.finditer(text)]


def _replace(text: str, pattern: str, replacement: str) -> str:
    parts: list[str] = []
    place, grown = 0, len(text)
    for match in _matcher(pattern, text).finditer(text):
        part = _filled(replacement, match)
        grown += len(part)
        check_length(grown, len(text))
        parts += (text[place : match.start()], part)
        place = match.end()
    return "".join((*parts, text[place:]))


def _filled(replacement: str, match: re.Match[str] | LinearMatch) -> str:
    def part(found: re.Match[str]) -> str:
        if found[1] is not None:
            return found[1]
        if found[2] is None and found[3] is None:
            raise ValueError("the replacement ends with a backslash")
        try:
            group: int | str = found[3] if found[2] is None else int(found[2])
            return match[group] or ""
        except IndexError as error:
            raise ValueError(f"the pattern has no group {found[0]}") from error

    return _REPLACEMENT.sub(part, replacement)


def _split(text: str, pattern: str) -> list[str]:
    regex = _matcher(pattern, text)
    if not pattern or java_regex(pattern).fullmatch("") is not None:
        return _java_split(text, regex)
    parts, place = [], 0
    for match in regex.finditer(text):
        parts.append(text[place : match.start()])
        place = match.end()
    return [*parts, text[place:]]


def _java_split(text: str, regex: re.Pattern[str] | LinearPattern) -> list[str]:
    """Java's own split: no empty part at the start of an empty match, none at the end."""
    parts, place = [], 0
    for match in regex.finditer(text):
        if match.end() == 0:
            continue
        parts.append(text[place : match.start()])
        place = match.end()
    parts.append(text[place:])
    while len(parts) > 1 and parts[-1] == "":
        parts.pop()
    return parts


FUNCTIONS = (
    ScalarFunction(
        "REGEXP_EXTRACT", "string", "The first part of a text that matches, or a group of it.",
        (Variant((S, S), S, _extract), Variant((S, S, I), S, _extract)),
        (("REGEXP_EXTRACT('(.*) (.*)', 'hello there', 2)", "'there'"),),
    ),
    ScalarFunction(
        "REGEXP_EXTRACT_ALL", "string", "All parts of a text that match, or a group of each.",
        (Variant((S, S), ArrayOf(S), _extract_all), Variant((S, S, I), ArrayOf(S), _extract_all)),
        (("REGEXP_EXTRACT_ALL('.at', 'cat hat')", "['cat', 'hat']"),),
    ),
    ScalarFunction(
        "REGEXP_REPLACE", "string", "The text with every match replaced; $1 is the first group.",
        (Variant((S, S, S), S, _replace),), (("REGEXP_REPLACE('a1b2', '[0-9]', '#')", "'a#b#'"),),
    ),
    ScalarFunction(
        "REGEXP_SPLIT_TO_ARRAY", "string", "The parts of a text between the matches.",
        (Variant((S, S), ArrayOf(S), _split),),
        (("REGEXP_SPLIT_TO_ARRAY('a1b2c', '[0-9]')", "['a', 'b', 'c']"),),
    ),
)  # fmt: skip
"""The family."""
