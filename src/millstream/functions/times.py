"""Functions of dates, times and timestamps."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from millstream import types as t
from millstream.functions.java_time import java_time_format
from millstream.functions.registry import ScalarFunction, UnitOfTime, Variant
from millstream.functions.runtime import now_ms
from millstream.functions.simple_date import simple_date_format
from millstream.functions.time_text import DAY_MS
from millstream.functions.zones import offset_ms, zone_of

S, I, L = t.STRING, t.INTEGER, t.BIGINT  # noqa: E741
DATE, TIME, TS = t.DATE, t.TIME, t.TIMESTAMP
UNIT = UnitOfTime()
UNIT_MS = {
    "MILLISECONDS": 1,
    "SECONDS": 1_000,
    "MINUTES": 60_000,
    "HOURS": 3_600_000,
    "DAYS": DAY_MS,
}
"""Milliseconds of each unit of time, by its name in the plural."""


def _format_timestamp(ms: int, pattern: str, zone: str = "UTC") -> str:
    return java_time_format(pattern).format_ms(ms, zone)


def _format_date(days: int, pattern: str) -> str:
    return java_time_format(pattern).format_days(days)


def _format_time(ms: int, pattern: str) -> str:
    return java_time_format(pattern).format_time_of_day(ms)


def _parse_timestamp(text: str, pattern: str, zone: str = "UTC") -> int:
    return java_time_format(pattern).parse_ms(text, zone)


def _parse_date(text: str, pattern: str) -> int:
    return java_time_format(pattern).parse_days(text)


def _parse_date_only(text: str, pattern: str) -> int:
    days, rest = divmod(simple_date_format(pattern).parse_ms(text), DAY_MS)
    if rest:
        raise ValueError(f"'{text}' has a time of day, and is to be a date")
    return days


def _parse_time(text: str, pattern: str) -> int:
    form = java_time_format(pattern)
    if form.letters() & set("GuyDMLdQqYwWEecF"):
        raise ValueError(f"the pattern '{pattern}' of a time has a date")
    return form.parse_time_of_day(text)


def _convert_tz(ms: int, source: str, target: str) -> int:
    return ms + offset_ms(zone_of(target), ms) - offset_ms(zone_of(source), ms)


def _moved(sign: int) -> Callable[[str, int, int], int]:
    return lambda unit, count, ms: ms + sign * count * UNIT_MS[unit]


def _date_moved(sign: int) -> Callable[[str, int, int], int]:
    def apply(unit: str, count: int, days: int) -> int:
        ms = days * DAY_MS + sign * count * UNIT_MS[unit]
        return -(-ms // DAY_MS) if ms < 0 else ms // DAY_MS

    return apply


def _time_moved(sign: int) -> Callable[[str, int, int], int]:
    return lambda unit, count, ms: (ms + sign * count * UNIT_MS[unit]) % DAY_MS


def _same(value: int) -> int:
    return value


def _same_column(array: pa.Array) -> pa.Array:
    return array


def _today() -> int:
    return now_ms() // DAY_MS


def _function(name: str, what: str, example: tuple[str, str], *variants: Variant) -> ScalarFunction:
    return ScalarFunction(name, "datetime", what, variants, (example,))


FUNCTIONS = (
    _function(
        "FORMAT_TIMESTAMP", "A TIMESTAMP as text by a pattern, in UTC or a zone.",
        ("FORMAT_TIMESTAMP(ts, 'yyyy-MM-dd HH:mm', 'Europe/London')", "'2020-05-11 22:58'"),
        Variant((TS, S), S, _format_timestamp), Variant((TS, S, S), S, _format_timestamp),
    ),
    _function(
        "FORMAT_DATE", "A DATE as text by a pattern.",
        ("FORMAT_DATE(d, 'dd/MM/yyyy')", "'11/05/2020'"), Variant((DATE, S), S, _format_date),
    ),
    _function(
        "FORMAT_TIME", "A TIME as text by a pattern.", ("FORMAT_TIME(t, 'HH:mm')", "'21:58'"),
        Variant((TIME, S), S, _format_time),
    ),
    _function(
        "PARSE_TIMESTAMP", "The TIMESTAMP of a text by a pattern, in UTC or a zone.",
        ("PARSE_TIMESTAMP('2020-05-11 21:58', 'yyyy-MM-dd HH:mm')", "2020-05-11T21:58:00.000"),
        Variant((S, S), TS, _parse_timestamp), Variant((S, S, S), TS, _parse_timestamp),
    ),
    _function(
        "PARSE_DATE", "The DATE of a text by a pattern.",
        ("PARSE_DATE('11/05/2020', 'dd/MM/yyyy')", "2020-05-11"),
        Variant((S, S), DATE, _parse_date_only),
    ),
    _function(
        "PARSE_TIME", "The TIME of a text by a pattern.", ("PARSE_TIME('2158', 'HHmm')", "21:58"),
        Variant((S, S), TIME, _parse_time),
    ),
    _function(
        "TIMESTAMPTOSTRING", "Milliseconds since 1970 as text by a pattern (older name).",
        ("TIMESTAMPTOSTRING(ROWTIME, 'yyyy-MM-dd')", "'2020-05-11'"),
        Variant((L, S), S, _format_timestamp), Variant((L, S, S), S, _format_timestamp),
    ),
    _function(
        "STRINGTOTIMESTAMP", "Milliseconds since 1970 of a text by a pattern (older name).",
        ("STRINGTOTIMESTAMP('2020-05-11', 'yyyy-MM-dd')", "1589155200000"),
        Variant((S, S), L, _parse_timestamp), Variant((S, S, S), L, _parse_timestamp),
    ),
    _function(
        "DATETOSTRING", "Days since 1970 as text by a pattern (older name).",
        ("DATETOSTRING(18393, 'yyyy-MM-dd')", "'2020-05-11'"), Variant((I, S), S, _format_date),
    ),
    _function(
        "STRINGTODATE", "Days since 1970 of a text by a pattern (older name).",
        ("STRINGTODATE('2020-05-11', 'yyyy-MM-dd')", "18393"), Variant((S, S), I, _parse_date),
    ),
    _function(
        "CONVERT_TZ", "A TIMESTAMP of one zone's clock as that of another's.",
        ("CONVERT_TZ(ts, 'UTC', 'Europe/London')", "2020-05-11T22:58:00.000"),
        Variant((TS, S, S), TS, _convert_tz),
    ),
    _function(
        "DATEADD", "A DATE moved by a number of units.", ("DATEADD(DAYS, 5, d)", "2020-05-16"),
        Variant((UNIT, I, DATE), DATE, _date_moved(1)),
    ),
    _function(
        "DATESUB", "A DATE moved back by a number of units.",
        ("DATESUB(DAYS, 5, d)", "2020-05-06"), Variant((UNIT, I, DATE), DATE, _date_moved(-1)),
    ),
    _function(
        "TIMEADD", "A TIME moved by a number of units, around midnight where needed.",
        ("TIMEADD(MINUTES, 5, t)", "22:03"), Variant((UNIT, I, TIME), TIME, _time_moved(1)),
    ),
    _function(
        "TIMESUB", "A TIME moved back by a number of units, around midnight where needed.",
        ("TIMESUB(MINUTES, 5, t)", "21:53"), Variant((UNIT, I, TIME), TIME, _time_moved(-1)),
    ),
    _function(
        "TIMESTAMPADD", "A TIMESTAMP moved by a number of units.",
        ("TIMESTAMPADD(HOURS, 1, ts)", "2020-05-11T22:58:00.000"),
        Variant((UNIT, I, TS), TS, _moved(1)),
    ),
    _function(
        "TIMESTAMPSUB", "A TIMESTAMP moved back by a number of units.",
        ("TIMESTAMPSUB(HOURS, 1, ts)", "2020-05-11T20:58:00.000"),
        Variant((UNIT, I, TS), TS, _moved(-1)),
    ),
    _function(
        "FROM_UNIXTIME", "The TIMESTAMP of milliseconds since 1970.",
        ("FROM_UNIXTIME(1589234313000)", "2020-05-11T21:58:33.000"),
        Variant((L,), TS, _same, _same_column),
    ),
    _function(
        "FROM_DAYS", "The DATE of days since 1970.", ("FROM_DAYS(18393)", "2020-05-11"),
        Variant((I,), DATE, _same, _same_column),
    ),
    _function(
        "UNIX_TIMESTAMP", "Milliseconds since 1970 of a TIMESTAMP, or of now.",
        ("UNIX_TIMESTAMP(ts)", "1589234313000"),
        Variant((), L, now_ms, deterministic=False), Variant((TS,), L, _same, _same_column),
    ),
    _function(
        "UNIX_DATE", "Days since 1970 of a DATE, or of today.", ("UNIX_DATE(d)", "18393"),
        Variant((), I, _today, deterministic=False), Variant((DATE,), I, _same, _same_column),
    ),
)  # fmt: skip
"""The family."""
