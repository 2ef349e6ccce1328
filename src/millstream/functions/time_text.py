"""Texts of DATE, TIME and TIMESTAMP as SQL writes them, and back.

Days, milliseconds of the day and milliseconds since 1970 are plain integers of any size: the
calendar is the proleptic Gregorian one, and years outside 0 to 9999 carry a sign.
"""

from __future__ import annotations

import re

DAY_MS = 86_400_000
"""Milliseconds of a day."""

_DAYS_PER_ERA = 146_097
_EPOCH_SHIFT_DAYS = 719_468

_DATE = re.compile(r"(\d{4}|-\d{4,}|\+\d{5,})-(\d{2})-(\d{2})\Z", re.ASCII)
_FULL_TIME = re.compile(r"(\d{2}):(\d{2}):(\d{2})\.(\d{3})\Z", re.ASCII)
_ZONE = re.compile(r"([+-])(\d{1,2})(?::?(\d{2}))?\Z", re.ASCII)
_NO_TIME = "00:00:00.000"
_TIME = re.compile(r"(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\Z", re.ASCII)
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of a date that exists."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * _DAYS_PER_ERA + day_of_era - _EPOCH_SHIFT_DAYS


def civil_from_days(days: int) -> tuple[int, int, int]:
    """Year, month and day of days since 1970-01-01."""
    era, day_of_era = divmod(days + _EPOCH_SHIFT_DAYS, _DAYS_PER_ERA)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    month = shifted_month + (3 if shifted_month < 10 else -9)
    year = year_of_era + era * 400 + (month <= 2)
    return year, month, day_of_year - (153 * shifted_month + 2) // 5 + 1


def is_leap(year: int) -> bool:
    """Whether the year has a 29th of February."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def days_in_month(year: int, month: int) -> int:
    """The number of days of a month."""
    return 28 if month == 2 and not is_leap(year) else _MONTH_DAYS[month - 1]


def parse_timestamp(text: str) -> int:
    """Milliseconds since 1970 of a timestamp or a leading part of one; UTC unless it has a zone.

    `2020`, `2020-01-02`, `2020-01-02T03`, `2020-01-02T03:04:05.678+0200`; ValueError otherwise.
    What the time of day lacks is filled up with zeros, digit by digit: `T1` is ten o'clock.
    """
    date, marker, rest = text.partition("T")
    if not marker:
        return _days_of(_completed(date), text) * DAY_MS
    sign = "+" if "+" in rest else "-"
    time, found, offset = rest.partition(sign)
    time = time.removesuffix("Z")
    match = _FULL_TIME.match(time + _NO_TIME[len(time) :])
    if match is None:
        raise ValueError(f"'{text}' is not a timestamp like 2020-01-31T12:59:59.123")
    hour, minute, second, ms = map(int, match.groups())
    midnight = (hour, minute, second, ms) == (24, 0, 0, 0)
    if (hour > 23 and not midnight) or minute > 59 or second > 59:
        raise ValueError(f"'{text}' names a time of day that does not exist")
    of_day = ((hour * 60 + minute) * 60 + second) * 1000 + ms
    zone_ms = _zone_ms(sign + offset, text) if found else 0
    return _days_of(date, text, clamp=True) * DAY_MS + of_day - zone_ms


def _completed(date: str) -> str:
    """A year or a month filled up to its first day."""
    return date + ("-01-01", "-01", "")[min(date.lstrip("-").count("-"), 2)]


def _days_of(date: str, text: str, *, clamp: bool = False) -> int:
    match = _DATE.match(date)
    if match is None:
        raise ValueError(f"'{text}' is not a date like 2020-01-31")
    year, month, day = map(int, match.groups())
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        raise ValueError(f"'{text}' names a day that does not exist")
    last = days_in_month(year, month)
    if day > last and not clamp:
        raise ValueError(f"'{text}' names a day that does not exist")
    return days_from_civil(year, month, min(day, last))


def _zone_ms(zone: str, text: str) -> int:
    match = _ZONE.match(zone)
    if match is None:
        raise ValueError(f"'{text}' has a zone that is not like +0200")
    ms = (int(match[2]) * 60 + int(match[3] or 0)) * 60_000
    return -ms if match[1] == "-" else ms


def parse_date(text: str) -> int:
    """Days since 1970 of a date or a leading part of one; ValueError otherwise."""
    return _days_of(_completed(text), text)


def parse_time(text: str) -> int:
    """Milliseconds of the day of `HH:mm`, `HH:mm:ss` or `HH:mm:ss.fraction`."""
    match = _TIME.match(text)
    if match is None:
        raise ValueError(f"'{text}' is not a time like 12:59:59")
    hour, minute, second = (int(g or 0) for g in match.groups()[:3])
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"'{text}' names a time of day that does not exist")
    return ((hour * 60 + minute) * 60 + second) * 1000 + int((match[4] or "").ljust(3, "0")[:3])


def format_timestamp(ms: int) -> str:
    """`yyyy-MM-ddTHH:mm:ss.SSS` in UTC."""
    days, of_day = divmod(ms, DAY_MS)
    seconds, milli = divmod(of_day, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{format_date(days)}T{hour:02d}:{minute:02d}:{second:02d}.{milli:03d}"


def format_date(days: int) -> str:
    """`yyyy-MM-dd`."""
    year, month, day = civil_from_days(days)
    shown = f"{year:04d}" if 0 <= year <= 9999 else f"{year:+05d}"
    return f"{shown}-{month:02d}-{day:02d}"


def format_time(ms: int) -> str:
    """`HH:mm`, with `:ss` where the seconds are not zero."""
    minutes, second = divmod(ms // 1000, 60)
    hour, minute = divmod(minutes, 60)
    text = f"{hour:02d}:{minute:02d}"
    return f"{text}:{second:02d}" if second else text
