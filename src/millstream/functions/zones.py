"""Time zones by the names Java knows them, and the offsets they have."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_OFFSET = re.compile(r"([+-])(\d{1,2})(?::?(\d{2})(?::?(\d{2}))?)?\Z", re.ASCII)
_PREFIXED = re.compile(r"(?:UTC|GMT|UT)(.*)\Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1)
_MAX_MS = 253_402_000_000_000
_MIN_MS = -62_135_000_000_000

SHORT_NAMES = {
    "UTC": "UTC",
    "GMT": "UTC",
    "BST": "Europe/London",
    "WET": "Europe/Lisbon",
    "WEST": "Europe/Lisbon",
    "CET": "Europe/Paris",
    "CEST": "Europe/Paris",
    "EET": "Europe/Athens",
    "EEST": "Europe/Athens",
    "MSK": "Europe/Moscow",
    "AST": "America/Halifax",
    "ADT": "America/Halifax",
    "NST": "America/St_Johns",
    "NDT": "America/St_Johns",
    "EST": "America/New_York",
    "EDT": "America/New_York",
    "CST": "America/Chicago",
    "CDT": "America/Chicago",
    "MST": "America/Denver",
    "MDT": "America/Denver",
    "PST": "America/Los_Angeles",
    "PDT": "America/Los_Angeles",
    "AKST": "America/Anchorage",
    "AKDT": "America/Anchorage",
    "HST": "Pacific/Honolulu",
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    "KST": "Asia/Seoul",
    "AEST": "Australia/Sydney",
    "AEDT": "Australia/Sydney",
    "ACST": "Australia/Adelaide",
    "AWST": "Australia/Perth",
    "NZST": "Pacific/Auckland",
    "NZDT": "Pacific/Auckland",
}
"""Short names that occur in texts, to a zone that uses them."""


def offset_zone(text: str) -> tzinfo | None:
    """The zone of an offset like +02, +0200, +02:00 or +2; None where the text is none."""
    match = _OFFSET.match(text)
    if match is None:
        return None
    hours, minutes, seconds = int(match[2]), int(match[3] or 0), int(match[4] or 0)
    if hours > 18 or minutes > 59 or seconds > 59:
        return None
    delta = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return timezone(-delta if match[1] == "-" else delta)


@functools.lru_cache(maxsize=1024)
def zone_of(name: str) -> tzinfo:
    """The zone of an id (`Europe/London`, `UTC`, `Z`, `+0200`, `GMT+2`); ValueError otherwise."""
    if name in ("Z", "UTC", "GMT", "UT"):
        return UTC
    found = offset_zone(name)
    if found is None and (match := _PREFIXED.match(name)) is not None:
        found = offset_zone(match[1])
    if found is not None:
        return found
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"'{name}' is not a time zone") from error


def offset_ms(zone: tzinfo, ms: int) -> int:
    """How far the zone's clock is ahead of UTC at an instant, in milliseconds."""
    if zone is UTC:
        return 0
    instant = _EPOCH.replace(tzinfo=UTC) + timedelta(milliseconds=_held(ms))
    return _in_ms(instant.astimezone(zone).utcoffset())


def local_to_instant(local_ms: int, zone: tzinfo) -> int:
    """The instant at which the zone's clock shows a local time.

    A time that is skipped moves forward by the gap, one that occurs twice means the first.
    """
    if zone is UTC:
        return local_ms
    local = (_EPOCH + timedelta(milliseconds=_held(local_ms))).replace(tzinfo=zone)
    return local_ms - _in_ms(local.utcoffset())


def zone_name(zone: tzinfo, ms: int) -> str:
    """The short name of a zone at an instant: `PDT`, or its offset where it has none."""
    instant = _EPOCH.replace(tzinfo=UTC) + timedelta(milliseconds=_held(ms))
    return instant.astimezone(zone).tzname() or "UTC"


def zone_id(zone: tzinfo) -> str:
    """The id of a zone: `Europe/London`, `+02:00`, `Z`."""
    if zone is UTC:
        return "Z"
    return zone.key if isinstance(zone, ZoneInfo) else str(zone).removeprefix("UTC")


def _held(ms: int) -> int:
    """The instant, or the nearest one that Python's calendar has."""
    return min(max(ms, _MIN_MS), _MAX_MS)


def _in_ms(delta: timedelta | None) -> int:
    return 0 if delta is None else delta // timedelta(milliseconds=1)
