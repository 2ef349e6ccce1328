"""Dates, times, patterns, zones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.functions.java_time import JavaTimeFormat
from millstream.functions.time_text import (
    civil_from_days,
    days_from_civil,
    format_timestamp,
    parse_date,
    parse_time,
    parse_timestamp,
)

NOW_MS = 1_589_234_313_000

CASES = [
    ("FORMAT_TIMESTAMP(FROM_UNIXTIME(1526075913000), 'yyyy-MM-dd HH:mm:ss zzz',"
     " 'America/Los_Angeles')", "2018-05-11 14:58:33 PDT"),
    ("TIMESTAMPTOSTRING(1526075913000, 'yyyy-MM-dd HH:mm:ss zzz', 'Europe/London')",
     "2018-05-11 22:58:33 BST"),
    ("TIMESTAMPTOSTRING(1526075913123, 'yyyy.MM.dd''T''HH:mm:ss.SSSX')",
     "2018.05.11T21:58:33.123Z"),
    ("FORMAT_DATE(DATE '2020-05-11', 'EEEE, d MMM yy')", "Monday, 11 May 20"),
    ("FORMAT_TIME(TIME '00:20:34.567', 'HHmmss''AAAAA''')", "002034AAAAA"),
    ("DATETOSTRING(18393, 'dd/MM/yyyy')", "11/05/2020"),
    ("STRINGTOTIMESTAMP('2018-05-11T21:58:33z', 'yyyy-MM-dd''T''HH:mm:ssX')", 1526075913000),
    ("STRINGTOTIMESTAMP('2018-05-11 21:58', 'yyyy-MM-dd HH:mm', 'Asia/Kolkata')", 1526056080000),
    ("PARSE_TIMESTAMP('2018-05-11T21:58:33 PST', 'yyyy-MM-dd''T''HH:mm:ss zzz')", 1526101113000),
    ("PARSE_TIMESTAMP('21:58', 'HH:mm')", 79_080_000),
    ("PARSE_TIMESTAMP('2020', 'yyyy')", 1577836800000),
    ("PARSE_DATE('2003-12-24', 'yyyy-MM-dd')", 12410),
    ("PARSE_DATE('2003-12-24-01-01', 'yyyy-MM-dd')", 12410),
    ("PARSE_DATE('2003/13/01', 'yyyy/MM/dd')", 12418),
    ("PARSE_DATE('24DEC2003', 'ddMMMyyyy')", 12410),
    ("PARSE_DATE('20031224', 'yyyyMMdd')", 12410),
    ("PARSE_TIME('2158', 'HHmm')", 79_080_000),
    ("PARSE_TIME('09:58 pm', 'hh:mm a')", 79_080_000),
    ("STRINGTODATE('2020-05-11', 'yyyy-MM-dd')", 18393),
    ("CONVERT_TZ(FROM_UNIXTIME(100), '+0200', '+0500')", 10_800_100),
    ("CONVERT_TZ(FROM_UNIXTIME(1589234313000), 'America/Los_Angeles', 'America/New_York')",
     1589245113000),
    ("DATEADD(DAYS, -5, FROM_DAYS(2))", -3),
    ("DATESUB(HOURS, 36, FROM_DAYS(5))", 3),
    ("TIMEADD(MILLISECONDS, -5, TIME '00:00:00.002')", 86_399_997),
    ("TIMESUB(MINUTES, 5, TIME '00:10')", 300_000),
    ("TIMESTAMPADD(MILLISECONDS, -5, FROM_UNIXTIME(2))", -3),
    ("TIMESTAMPSUB(DAYS, 1, FROM_UNIXTIME(0))", -86_400_000),
    ("FROM_DAYS(-10)", -10),
    ("UNIX_DATE(DATE '1970-01-11')", 10),
    ("UNIX_TIMESTAMP(FROM_UNIXTIME(5))", 5),
    ("UNIX_TIMESTAMP()", NOW_MS),
    ("UNIX_DATE()", 18393),
    ("FORMAT_DATE(CAST(NULL AS DATE), 'yyyy')", None),
    ("PARSE_DATE('2020-01-01', NULL)", None),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "expected"), CASES)
def test_values(value: Any, sql: str, expected: Any) -> None:
    assert value(sql) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "PARSE_DATE('2004', 'yyyy-MM-dd')",
        "PARSE_DATE('2004-01-01 01', 'yyyy-MM-dd HH')",
        "PARSE_TIME('2020-01-01', 'yyyy-MM-dd')",
        "STRINGTODATE('foo', 'yyyyMMdd')",
        "STRINGTODATE('2020', 'yyyy')",
        "STRINGTOTIMESTAMP('2018-05-11 trailing', 'yyyy-MM-dd')",
        "FORMAT_DATE(DATE '2020-01-01', 'HH:mm')",
        "FORMAT_TIME(TIME '10:00', 'yyyy')",
        "FORMAT_TIMESTAMP(FROM_UNIXTIME(0), 'bogus')",
        "FORMAT_TIMESTAMP(FROM_UNIXTIME(0), 'yyyy', 'Mars/Olympus')",
        "CONVERT_TZ(FROM_UNIXTIME(0), 'UTC', 'PST')",
    ],
)
def test_failures(value: Any, failed: Any, sql: str) -> None:
    assert value(sql) is failed


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("yyyy-MM-dd HH:mm:ss.SSS", "2021-02-03 04:05:06.789"),
        ("yy-M-d H:m:s.SSS", "21-2-3 4:5:6.789"),
        ("uuuuMMddHHmmssSSS", "20210203040506789"),
        ("EEE, dd MMM yyyy hh:mm:ss.SSS a", "Wed, 03 Feb 2021 04:05:06.789 AM"),
        ("EEEE d MMMM yyyy G KK:mm:ss.SSS a", "Wednesday 3 February 2021 AD 04:05:06.789 AM"),
        ("yyyy DDD kk:mm:ss.SSS", "2021 034 04:05:06.789"),
        ("yyyy-MM-dd['T'HH:mm:ss.SSS]", "2021-02-03T04:05:06.789"),
        ("yyyy-MM-dd HH:mm:ss.SSSX", "2021-02-03 04:05:06.789Z"),
        ("yyyy-MM-dd HH:mm:ss.SSSZ", "2021-02-03 04:05:06.789+0000"),
        ("yyyy-MM-dd HH:mm:ss.SSSxxx", "2021-02-03 04:05:06.789+00:00"),
        ("yyyy-MM-dd HH:mm:ss.SSS VV", "2021-02-03 04:05:06.789 Z"),
        ("yyyy-MM-dd HH:mm:ss.SSS O", "2021-02-03 04:05:06.789 GMT"),
        ("yyyy-MM-dd A", "2021-02-03 14706789"),
    ],
)
def test_patterns_both_ways(pattern: str, text: str) -> None:
    form = JavaTimeFormat(pattern)
    assert form.format_ms(1612325106789) == text
    assert form.parse_ms(text) == 1612325106789


@pytest.mark.parametrize(
    ("pattern", "text", "ms"),
    [
        ("yyyy-MM-dd", "2021-02-31", 1614470400000),
        ("yyyy-MM-dd HH:mm", "2021-02-03 24:00", 1612396800000),
        ("yyyy-MM-dd HH", "2021-02-03 05", 1612328400000),
        ("HH:mm", "01:00", 3_600_000),
        ("yyyy-MM-dd HH:mm VV", "2021-03-28 02:30 Europe/Berlin", 1616895000000),
        ("yyyy-MM-dd HH:mm VV", "2021-10-31 02:30 Europe/Berlin", 1635640200000),
        ("yyyy-MM-dd'T'HH:mm:ssxxx", "2021-02-03T04:05:06-03:30", 1612337706000),
        ("yyyy-MM-dd[ HH:mm]", "2021-02-03", 1612310400000),
    ],
)
def test_parsing(pattern: str, text: str, ms: int) -> None:
    assert JavaTimeFormat(pattern).parse_ms(text) == ms


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("yyyy-MM-dd", "21-02-03"),
        ("yyyy-MM-dd", "12021-02-03"),
        ("yyyy-MM-dd", "2021-2-3"),
        ("yyyy-MM-dd", "2021-02-32"),
        ("yyyy-MM-dd", "2021-13-01"),
        ("yyyy-MM-dd HH:mm", "2021-02-03 25:00"),
        ("yyyy-MM-dd HH:mm", "2021-02-03 24:01"),
        ("HH:mm", "10:60"),
        ("EEE yyyy-MM-dd", "Mon 2021-02-03"),
        ("yyyy-MM-dd z", "2021-02-03 Nowhere"),
    ],
)
def test_texts_that_do_not_fit(pattern: str, text: str) -> None:
    with pytest.raises(ValueError):
        JavaTimeFormat(pattern).parse_ms(text)


@pytest.mark.parametrize("pattern", ["yyyy-MM-dd'T", "b", "MMMMMM", "yyyy]", "V", "{}", "HHH"])
def test_patterns_that_are_none(pattern: str) -> None:
    with pytest.raises(ValueError):
        JavaTimeFormat(pattern)


@given(st.integers(-(10**9), 10**9))
def test_calendar_round_trip(days: int) -> None:
    assert days_from_civil(*civil_from_days(days)) == days


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_timestamp_texts_round_trip(ms: int) -> None:
    assert parse_timestamp(format_timestamp(ms)) == ms


@given(st.integers(0, 4 * 10**12), st.sampled_from(["Europe/Berlin", "America/New_York", "+0530"]))
def test_zoned_texts_round_trip(ms: int, zone: str) -> None:
    form = JavaTimeFormat("yyyy-MM-dd HH:mm:ss.SSSxx")
    assert form.parse_ms(form.format_ms(ms, zone)) == ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2020", 1577836800000),
        ("2020-02", 1580515200000),
        ("2020-01-02", 1577923200000),
        ("2020-01-02T", 1577923200000),
        ("2020-01-02TZ", 1577923200000),
        ("2020-01-02T03:04:05.6", 1577934245600),
        ("2020-01-02T03:04:05.678Z", 1577934245678),
        ("2019-03-17T03:00-0700", 1552816800000),
        ("2019-03-17T03:00+02:30", 1552782600000),
    ],
)
def test_sql_timestamps(text: str, ms: int) -> None:
    assert parse_timestamp(text) == ms


@pytest.mark.parametrize(
    "text", ["abc", "2019-03-17 03:00", "2019-3-1", "2019-13", "2019-01-01T25", "2020-01-02Z", ""]
)
def test_sql_timestamps_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse_timestamp(text)


def test_sql_dates_and_times() -> None:
    assert parse_date("1970-02") == 31
    assert parse_time("10:00") == 36_000_000
    assert parse_time("10:00:00.001") == 36_000_001
    for text in ("10", "25:00", "10:00:00.", "1:00"):
        with pytest.raises(ValueError):
            parse_time(text)
    for text in ("1970-02-30", "1970-01-01T00", "x"):
        with pytest.raises(ValueError):
            parse_date(text)
