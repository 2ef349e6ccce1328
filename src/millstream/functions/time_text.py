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

_TIMESTAMP = re.compile(
    r"(?P<year>[+-]?\d{4,})(?:-(?P<month>\d{1,2})(?:-(?P<day>\d{1,2})"
    r"(?:T(?:(?P<hour>\d{1,2})(?::(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})"
    r"(?:[.,](?P<fraction>\d{1,9}))?)?)?)?)?)?)?(?P<zone>Z|[+-]\d{2}:?\d{2})?\Z",
    re.ASCII,
)
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
    """
    match = _TIMESTAMP.match(text)
    if match is None:
        raise ValueError(f"'{text}' is not a timestamp like 2020-01-31T12:59:59.123")
    part = match.groupdict()
    year, month, day = int(part["year"]), int(part["month"] or 1), int(part["day"] or 1)
    hour, minute, second = (int(part[k] or 0) for k in ("hour", "minute", "second"))
    if not 1 <= month <= 12 or not 1 <= day <= days_in_month(year, month):
        raise ValueError(f"'{text}' names a day that does not exist")
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"'{text}' names a time of day that does not exist")
    ms = int((part["fraction"] or "").ljust(3, "0")[:3])
    of_day = ((hour * 60 + minute) * 60 + second) * 1000 + ms
    return days_from_civil(year, month, day) * DAY_MS + of_day - _zone_ms(part["zone"])


def _zone_ms(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    ms = (int(zone[1:3]) * 60 + int(zone[-2:])) * 60_000
    return -ms if zone[0] == "-" else ms


def parse_date(text: str) -> int:
    """Days since 1970 of a date or a leading part of one; a time of day must be midnight."""
    days, rest = divmod(parse_timestamp(text), DAY_MS)
    if rest:
        raise ValueError(f"'{text}' is not a date like 2020-01-31")
    return days


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
