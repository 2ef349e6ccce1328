"""Patterns of Java's DateTimeFormatter: texts to instants and back.

Parsing is strict about widths and ignores case; fields that the text does not give are those of
1970-01-01T00:00. Days that a month does not have become its last day, as Java resolves them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, tzinfo

from millstream.functions.time_text import (
    DAY_MS,
    civil_from_days,
    days_from_civil,
    days_in_month,
    is_leap,
)
from millstream.functions.zones import (
    SHORT_NAMES,
    local_to_instant,
    offset_ms,
    offset_zone,
    zone_id,
    zone_name,
    zone_of,
)

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
DATE_LETTERS = "GuyDMLdQqYwWEecF"
"""Letters that need a date."""
TIME_LETTERS = "ahKkHmsSAnN"
"""Letters that need a time of day."""
ZONE_LETTERS = "VzOXxZ"
"""Letters that need a zone."""
_LONGEST = {
    **dict.fromkeys("dHhKkms", 2), **dict.fromkeys("MLEQqGec", 5), "a": 1, "D": 3, "S": 9,
    "w": 2, "W": 1, "F": 1, "X": 5, "x": 5, "Z": 5, "z": 4, "V": 2, "O": 4,
}  # fmt: skip
_OFFSET_TEXT = r"Z|[+-]\d{2}(?::?\d{2}(?::?\d{2})?)?"


@dataclass(frozen=True, slots=True)
class Element:
    """A part of a pattern: a letter repeated, a literal text, or an optional group."""

    letter: str
    count: int = 0
    text: str = ""
    parts: tuple[Element, ...] = ()


@dataclass(slots=True)
class Parsed:
    """The fields that a text gives, by letter; `zone` where it names one."""

    fields: dict[str, int] = field(default_factory=dict)
    zone: tzinfo | None = None


class JavaTimeFormat:
    """A pattern, ready to parse and to format; ValueError where it is not a valid pattern."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._elements = _elements(pattern)
        self._groups: list[Element] = []
        source = "".join(self._regex(e) for e in self._elements)
        self._matcher = re.compile(source + r"\Z", re.IGNORECASE | re.ASCII)

    # --- parsing ---

    def parse_ms(self, text: str, zone: str | tzinfo = UTC) -> int:
        """Milliseconds since 1970 of a text; `zone` holds where the text names none.

        ValueError where the text does not fit the pattern or names no time.
        """
        parsed = self.parse_fields(text)
        days, extra = _resolve_date(parsed.fields, text)
        of_day, over = resolve_time(parsed.fields, text)
        local_ms = (days + extra + over) * DAY_MS + of_day
        used = parsed.zone or (zone_of(zone) if isinstance(zone, str) else zone)
        return local_to_instant(local_ms, used)

    def parse_days(self, text: str) -> int:
        """Days since 1970 of a text that gives a whole date; ValueError otherwise."""
        fields = self.parse_fields(text).fields
        has_year = "u" in fields or "y" in fields
        whole = has_year and ("D" in fields or ("M" in fields and "d" in fields))
        if not whole:
            raise ValueError(f"'{self.pattern}' does not give a whole date")
        days, extra = _resolve_date(fields, text)
        return days + extra

    def parse_time_of_day(self, text: str) -> int:
        """Milliseconds of the day of a text that gives a time; ValueError otherwise."""
        fields = self.parse_fields(text).fields
        timed = [k for k in fields if k in "HkAN"] or ("a" in fields and {"h", "K"} & set(fields))
        if not timed:
            raise ValueError(f"'{self.pattern}' does not give a time of day")
        return resolve_time(fields, text)[0]

    def letters(self) -> set[str]:
        """The letters of the pattern."""
        return {e.letter for e in _flat(self._elements) if e.letter}

    def parse_fields(self, text: str) -> Parsed:
        """The fields of a text; ValueError where it does not fit the pattern."""
        match = self._matcher.match(text)
        if match is None:
            raise ValueError(f"'{text}' does not fit the pattern '{self.pattern}'")
        parsed = Parsed()
        for element, found in zip(self._groups, match.groups(), strict=True):
            if found is not None:
                _store(parsed, element, found, text)
        return parsed

    def _regex(self, element: Element) -> str:
        if element.parts:
            return f"(?:{''.join(self._regex(e) for e in element.parts)})?"
        if not element.letter:
            return re.escape(element.text)
        self._groups.append(element)
        return f"({_field_regex(element)})"

    # --- formatting ---

    def format_ms(self, ms: int, zone: str | tzinfo = UTC) -> str:
        """The text of an instant, as the clock of `zone` shows it."""
        used = zone_of(zone) if isinstance(zone, str) else zone
        days, of_day = divmod(ms + offset_ms(used, ms), DAY_MS)
        moment = _Moment(days, of_day, used, ms)
        return "".join(moment.text(e) for e in _flat(self._elements))

    def format_days(self, days: int) -> str:
        """The text of a date; ValueError where the pattern asks for a time."""
        self._refuse(TIME_LETTERS + ZONE_LETTERS, "a date has no time of day")
        return self.format_ms(days * DAY_MS)

    def format_time_of_day(self, ms: int) -> str:
        """The text of a time of day; ValueError where the pattern asks for a date."""
        self._refuse(DATE_LETTERS + ZONE_LETTERS, "a time has no date")
        return self.format_ms(ms)

    def _refuse(self, letters: str, why: str) -> None:
        unfit = sorted(self.letters() & set(letters))
        if unfit:
            raise ValueError(f"{why}, and '{self.pattern}' asks for '{unfit[0]}'")


@functools.lru_cache(maxsize=1024)
def java_time_format(pattern: str) -> JavaTimeFormat:
    """The format of a pattern, made once."""
    return JavaTimeFormat(pattern)


# --- patterns ----------------------------------------------------------------------------------


def _elements(pattern: str) -> tuple[Element, ...]:
    stack: list[list[Element]] = [[]]
    place = 0
    while place < len(pattern):
        character = pattern[place]
        if character == "'":
            text, place = _quoted(pattern, place)
            stack[-1].append(Element("", text=text))
            continue
        if character.isalpha() and character.isascii():
            end = place
            while end < len(pattern) and pattern[end] == character:
                end += 1
            stack[-1].append(_letter(character, end - place, pattern))
            place = end
            continue
        if character == "[":
            stack.append([])
        elif character == "]":
            if len(stack) == 1:
                raise ValueError(f"']' closes nothing in the pattern '{pattern}'")
            group = tuple(stack.pop())
            stack[-1].append(Element("", parts=group))
        elif character in "{}#":
            raise ValueError(f"'{character}' has no meaning in the pattern '{pattern}'")
        else:
            stack[-1].append(Element("", text=character))
        place += 1
    while len(stack) > 1:
        group = tuple(stack.pop())
        stack[-1].append(Element("", parts=group))
    return tuple(stack[0])


def _quoted(pattern: str, place: int) -> tuple[str, int]:
    if pattern.startswith("''", place):
        return "'", place + 2
    text, place = "", place + 1
    while place < len(pattern):
        if pattern.startswith("''", place):
            text, place = text + "'", place + 2
        elif pattern[place] == "'":
            return text, place + 1
        else:
            text, place = text + pattern[place], place + 1
    raise ValueError(f"a quote is not closed in the pattern '{pattern}'")


def _letter(letter: str, count: int, pattern: str) -> Element:
    if letter not in DATE_LETTERS + TIME_LETTERS + ZONE_LETTERS:
        raise ValueError(f"'{letter}' has no meaning in the pattern '{pattern}'")
    if count > _LONGEST.get(letter, 19):
        raise ValueError(f"'{letter * count}' is too long in the pattern '{pattern}'")
    if letter == "V" and count != 2:
        raise ValueError(f"'V' stands twice or not at all, and not so in '{pattern}'")
    return Element(letter, count)


def _flat(elements: tuple[Element, ...]) -> Iterator[Element]:
    for element in elements:
        if element.parts:
            yield from _flat(element.parts)
        else:
            yield element


# --- parsing of fields -------------------------------------------------------------------------


def _field_regex(element: Element) -> str:
    letter, count = element.letter, element.count
    if letter in "uyY":
        if count == 2:
            return r"\d{2}"
        if count < 4:
            return rf"-?\d{{{count},19}}"
        return rf"-\d{{{count},19}}|\+\d{{{count + 1},19}}|\d{{{count}}}"
    if (letter in "MLQq" and count > 2) or letter in "EGa" or (letter in "ec" and count > 2):
        return "|".join(re.escape(t) for t in sorted(_texts(element), key=len, reverse=True))
    if letter == "S":
        return rf"\d{{{count}}}"
    if letter in "AnN":
        return rf"\d{{{count},19}}"
    if letter == "D":
        return (r"-?\d{1,19}", r"\d{2,3}", r"\d{3}")[count - 1]
    if letter in "XxZ":
        return _offset_regex(letter, count)
    if letter == "O":
        return r"GMT(?:[+-]\d{1,2}(?::\d{2})?)?"
    if letter in "Vz":
        return r"[A-Za-z][A-Za-z0-9~/._+-]*|[+-]\d{2}:?\d{2}|Z"
    return rf"\d{{{count}}}" if count > 1 else r"-?\d{1,19}"


def _offset_regex(letter: str, count: int) -> str:
    if letter == "Z":
        if count == 4:
            return r"GMT(?:[+-]\d{2}:\d{2})?"
        return r"Z|[+-]\d{2}:\d{2}(?::\d{2})?" if count == 5 else r"[+-]\d{4}"
    numeric = (
        r"[+-]\d{2}(?:\d{2})?", r"[+-]\d{4}", r"[+-]\d{2}:\d{2}",
        r"[+-]\d{4}(?:\d{2})?", r"[+-]\d{2}:\d{2}(?::\d{2})?",
    )[count - 1]  # fmt: skip
    return f"Z|{numeric}" if letter == "X" else numeric


def _texts(element: Element) -> list[str]:
    """The words a text field may be, in the order of its values."""
    letter, count = element.letter, element.count
    if letter == "a":
        return ["AM", "PM"]
    if letter == "G":
        if count == 4:
            return ["Before Christ", "Anno Domini"]
        return ["B", "A"] if count == 5 else ["BC", "AD"]
    if letter in "Qq":
        if count == 4:
            return [f"{n} quarter" for n in ("1st", "2nd", "3rd", "4th")]
        return [f"Q{n}" for n in range(1, 5)]
    words = MONTHS if letter in "ML" else WEEKDAYS
    if count == 4:
        return list(words)
    return [w[0] for w in words] if count == 5 else [w[:3] for w in words]


_STORED = {"L": "M", "e": "E", "c": "E"}
_NOT_RESOLVED = "QqYwW"
"""Letters whose fields ksqlDB does not take over from a parsed text."""


def _store(parsed: Parsed, element: Element, found: str, text: str) -> None:
    letter, count = element.letter, element.count
    if letter in ZONE_LETTERS:
        parsed.zone = _parsed_zone(found, text)
        return
    if letter in _NOT_RESOLVED:
        return
    if found.lstrip("+-").isdigit():
        value = int(found)
        if letter in "uyY" and count == 2:
            value += 2000
        elif letter == "S":
            value = int(found.ljust(9, "0"))
        elif letter in "ec":
            value = (_in_range("the day of the week", value, 1, 7, text) + 5) % 7 + 1
    else:
        words = [w.lower() for w in _texts(element)]
        value = words.index(found.lower()) + (0 if letter in "aG" else 1)
    name = _STORED.get(letter, letter)
    if parsed.fields.setdefault(name, value) != value:
        raise ValueError(f"'{text}' gives two values for '{letter}'")


def _parsed_zone(found: str, text: str) -> tzinfo:
    if found in ("Z", "z"):
        return UTC
    offset = offset_zone(found)
    if offset is not None:
        return offset
    upper = found.upper()
    try:
        return zone_of(SHORT_NAMES.get(upper, upper if upper.startswith("GMT") else found))
    except ValueError as error:
        raise ValueError(f"'{text}' names an unknown time zone") from error


def _in_range(name: str, value: int, low: int, high: int, text: str) -> int:
    if not low <= value <= high:
        raise ValueError(f"'{text}' has {name} {value}, which does not exist")
    return value


def _resolve_date(fields: dict[str, int], text: str) -> tuple[int, int]:
    """Days since 1970 of the date fields, and days to add for a day of the week alone."""
    year = fields.get("u", 1970)
    if "y" in fields:
        year = _in_range("the year", fields["y"], 1, 999_999_999, text)
        if fields.get("G") == 0:
            year = 1 - year
    if "D" in fields:
        last = 366 if is_leap(year) else 365
        day_of_year = _in_range("the day of the year", fields["D"], 1, last, text)
        return days_from_civil(year, 1, 1) + day_of_year - 1, 0
    month = _in_range("the month", fields.get("M", 1), 1, 12, text)
    day = _in_range("the day", fields.get("d", 1), 1, 31, text)
    if "d" not in fields and "F" in fields:
        day = _in_range("the day", fields["F"], 1, 7, text)
    days = days_from_civil(year, month, min(day, days_in_month(year, month)))
    if "E" not in fields:
        return days, 0
    weekday = (days + 3) % 7 + 1
    if "d" in fields and "M" in fields and fields["E"] != weekday:
        raise ValueError(f"'{text}' names another day of the week than its date has")
    return days, 0 if "d" in fields and "M" in fields else fields["E"] - weekday


def resolve_time(fields: dict[str, int], text: str) -> tuple[int, int]:
    """Milliseconds of the day of the time fields, and 1 where 24:00 means the next day."""
    if "N" in fields:
        nanos = _in_range("the nanosecond", fields["N"], 0, DAY_MS * 1_000_000 - 1, text)
        return nanos // 1_000_000, 0
    if "A" in fields:
        return _in_range("the millisecond", fields["A"], 0, DAY_MS - 1, text), 0
    minute = _in_range("the minute", fields.get("m", 0), 0, 59, text)
    second = _in_range("the second", fields.get("s", 0), 0, 59, text)
    nano = fields.get("S", fields.get("n", 0))
    _in_range("the nanosecond", nano, 0, 999_999_999, text)
    hour = _resolve_hour(fields, text)
    rest = (minute * 60 + second) * 1000 + nano // 1_000_000
    if hour == 24:
        if minute or second or nano:
            raise ValueError(f"'{text}' has a time after 24:00")
        return 0, 1
    return hour * 3_600_000 + rest, 0


def _resolve_hour(fields: dict[str, int], text: str) -> int:
    if "H" in fields:
        return _in_range("the hour", fields["H"], 0, 24, text)
    if "k" in fields:
        return _in_range("the hour", fields["k"], 1, 24, text) % 24
    half = fields.get("a", 0) * 12
    if "a" in fields and not {"h", "K"} & set(fields):
        return half + 6
    if "h" in fields:
        return half + _in_range("the hour", fields["h"], 1, 12, text) % 12
    return half + _in_range("the hour", fields.get("K", 0), 0, 11, text)


# --- formatting of fields ----------------------------------------------------------------------


class _Moment:
    """A local date and time of day, field by field."""

    def __init__(self, days: int, of_day: int, zone: tzinfo, instant_ms: int) -> None:
        self.days, self.of_day, self.zone, self.instant_ms = days, of_day, zone, instant_ms
        self.year, self.month, self.day = civil_from_days(days)
        self.hour = of_day // 3_600_000

    def text(self, element: Element) -> str:
        letter, count = element.letter, element.count
        if not letter:
            return element.text
        if letter in ZONE_LETTERS:
            return self._zone(letter, count)
        if letter in "uyY":
            return self._year(letter, count)
        if letter in "EGa" or (letter in "MLQqec" and count > 2):
            return self._word(element)
        if letter == "S":
            return f"{self.of_day % 1000 * 1_000_000:09d}"[:count]
        return f"{self._number(letter):0{count}d}"

    def _number(self, letter: str) -> int:
        first = days_from_civil(self.year, 1, 1)
        weekday = (self.days + 3) % 7 + 1
        numbers = {
            "M": self.month, "L": self.month, "d": self.day, "D": self.days - first + 1,
            "Q": (self.month + 2) // 3, "q": (self.month + 2) // 3, "H": self.hour,
            "k": self.hour or 24, "K": self.hour % 12, "h": self.hour % 12 or 12,
            "m": self.of_day // 60_000 % 60, "s": self.of_day // 1000 % 60, "A": self.of_day,
            "n": self.of_day % 1000 * 1_000_000, "N": self.of_day * 1_000_000,
            "e": weekday % 7 + 1, "c": weekday % 7 + 1, "F": (self.day - 1) % 7 + 1,
            "w": (self.days - first + (first + 4) % 7) // 7 + 1,
            "W": (self.day - 1 + (self.days - self.day + 5) % 7) // 7 + 1,
        }  # fmt: skip
        return numbers[letter]

    def _year(self, letter: str, count: int) -> str:
        year = self.year
        if letter == "y" and year <= 0:
            year = 1 - year
        if count == 2:
            return f"{year % 100:02d}"
        shown = f"{abs(year):0{count}d}"
        if year < 0:
            return "-" + shown
        return "+" + shown if count >= 4 and len(shown) > count else shown

    def _word(self, element: Element) -> str:
        words = _texts(element)
        letter = element.letter
        if letter == "a":
            return words[self.hour // 12]
        if letter == "G":
            return words[int(self.year > 0)]
        if letter in "Qq":
            return words[(self.month - 1) // 3]
        return words[self.month - 1] if letter in "ML" else words[(self.days + 3) % 7]

    def _zone(self, letter: str, count: int) -> str:
        if letter == "V":
            return zone_id(self.zone)
        if letter == "z":
            return zone_name(self.zone, self.instant_ms)
        return _offset(letter, count, offset_ms(self.zone, self.instant_ms) // 1000)


def _offset(letter: str, count: int, seconds: int) -> str:
    if seconds == 0 and (letter == "X" or (letter == "Z" and count == 5)):
        return "Z"
    sign = "-" if seconds < 0 else "+"
    hours, rest = divmod(abs(seconds), 3600)
    minutes, second = divmod(rest, 60)
    if letter == "O" or (letter == "Z" and count == 4):
        if seconds == 0:
            return "GMT"
        if count == 4:
            return f"GMT{sign}{hours:02d}:{minutes:02d}"
        return f"GMT{sign}{hours}" + (f":{minutes:02d}" if minutes else "")
    if letter == "Z":
        colon = ":" if count == 5 else ""
        return f"{sign}{hours:02d}{colon}{minutes:02d}"
    if count == 1:
        return f"{sign}{hours:02d}" + (f"{minutes:02d}" if minutes else "")
    colon = ":" if count in (3, 5) else ""
    tail = f"{colon}{second:02d}" if count > 3 and second else ""
    return f"{sign}{hours:02d}{colon}{minutes:02d}{tail}"
