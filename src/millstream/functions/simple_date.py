"""Patterns of Java's SimpleDateFormat, as PARSE_DATE reads them.

They are lenient where DateTimeFormatter is strict: a number takes as many digits as there are
unless another number follows at once, a thirteenth month is January of the next year, and text
behind the pattern is not looked at.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, tzinfo

from millstream.functions.java_time import MONTHS, WEEKDAYS
from millstream.functions.runtime import now_ms
from millstream.functions.time_text import DAY_MS, civil_from_days, days_from_civil
from millstream.functions.zones import SHORT_NAMES, local_to_instant, offset_zone, zone_of

_LETTERS = "GyYMLdDEuaHkKhmsSzZX"
_TOKEN = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|(.)", re.DOTALL)
_CENTURY_BEFORE = 80
_ZONE_TEXT = r"[+-]\d{2}:?\d{2}|[+-]\d{2}|Z|[A-Za-z][A-Za-z0-9~/._+-]*"


class SimpleDateFormat:
    """A pattern, ready to parse; ValueError where it is not a valid one."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        if pattern.replace("''", "").count("'") % 2:
            raise ValueError(f"a quote is not closed in the pattern '{pattern}'")
        tokens = list(_TOKEN.finditer(pattern))
        self._fields: list[tuple[str, int]] = []
        source = ""
        for index, token in enumerate(tokens):
            if token[2] is None:
                text = token[3] if token[1] is None else token[1].replace("''", "'") or "'"
                source += re.escape(text)
                continue
            following = tokens[index + 1] if index + 1 < len(tokens) else None
            adjacent = following is not None and _is_number(following)
            source += self._field(token[2], len(token[0]), adjacent)
        self._matcher = re.compile(source, re.IGNORECASE | re.ASCII)

    def _field(self, letter: str, count: int, adjacent: bool) -> str:
        if letter not in _LETTERS:
            raise ValueError(f"'{letter}' has no meaning in the pattern '{self.pattern}'")
        self._fields.append((letter, count))
        words = _words(letter, count)
        if words:
            return "(" + "|".join(sorted(map(re.escape, words), key=len, reverse=True)) + ")"
        if letter in "zZX":
            return f"({_ZONE_TEXT})"
        return rf"\s*(\d{{{count}}})" if adjacent else r"\s*(\d+)"

    def parse_ms(self, text: str) -> int:
        """Milliseconds since 1970 of a text, in GMT unless it names a zone; ValueError if none."""
        match = self._matcher.match(text)
        if match is None:
            raise ValueError(f"'{text}' does not fit the pattern '{self.pattern}'")
        fields: dict[str, int] = {}
        zone: tzinfo = UTC
        for (letter, count), found in zip(self._fields, match.groups(), strict=True):
            if letter in "zZX":
                upper = found.upper()
                zone = offset_zone(found) or zone_of(SHORT_NAMES.get(upper, found))
            else:
                fields[letter] = _value(letter, count, found)
        return local_to_instant(_local_ms(fields), zone)


@functools.lru_cache(maxsize=1024)
def simple_date_format(pattern: str) -> SimpleDateFormat:
    """The format of a pattern, made once."""
    return SimpleDateFormat(pattern)


def _is_number(token: re.Match[str]) -> bool:
    letter = token[2]
    return letter is not None and letter not in "zZX" and not _words(letter, len(token[0]))


def _words(letter: str, count: int) -> list[str]:
    if letter in "ML" and count > 2:
        return MONTHS + [m[:3] for m in MONTHS]
    if letter == "E":
        return WEEKDAYS + [d[:3] for d in WEEKDAYS]
    return {"a": ["AM", "PM"], "G": ["BC", "AD"]}.get(letter, [])


def _value(letter: str, count: int, found: str) -> int:
    words = _words(letter, count)
    if words:
        full = words[: len(words) // 2] if letter in "MLE" else words
        place = next(i for i, w in enumerate(full) if w.lower().startswith(found.lower()))
        return place + (1 if letter in "ML" else 0)
    number = int(found)
    if letter in "yY" and count <= 2 and len(found) <= 2:
        start = civil_from_days(now_ms() // DAY_MS)[0] - _CENTURY_BEFORE
        return start + (number - start) % 100
    return number


def _local_ms(fields: dict[str, int]) -> int:
    year = fields.get("y", fields.get("Y", 1970))
    if fields.get("G") == 0:
        year = 1 - year
    month = fields.get("M", fields.get("L", 1)) - 1
    year, month = year + month // 12, month % 12 + 1
    days = days_from_civil(year, month, 1) + fields.get("d", 1) - 1
    if "D" in fields:
        days = days_from_civil(year, 1, 1) + fields["D"] - 1
    half = 12 * fields.get("a", 0)
    hour = fields.get("H", fields.get("k", 0) % 24)
    if "K" in fields or "h" in fields:
        hour = half + fields.get("K", fields.get("h", 0)) % 12
    seconds = (hour * 60 + fields.get("m", 0)) * 60 + fields.get("s", 0)
    return days * DAY_MS + seconds * 1000 + fields.get("S", 0)
