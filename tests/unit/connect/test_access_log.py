"""Access logs: tricky lines, visitors, positions, files that grow and are replaced."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.clock import FixedClock
from millstream.connect.access_log import AccessLogSource
from millstream.connect.base import ConnectorError, Poll, Rejected
from millstream.connect.registry import prepare

LINE = '192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET /a.html HTTP/1.1" 200 17 "-" "Otter/2"'


@contextmanager
def source_of(
    file: Path, position: dict[str, Any] | None = None, **options: str
) -> Iterator[AccessLogSource]:
    """A source of the file, closed at the end."""
    given_options = {"connector.class": "AccessLogSource", "file": str(file)} | options
    cls, checked = prepare("SOURCE", given_options)
    source = cls.create("x", checked, position or {}, FixedClock())
    assert isinstance(source, AccessLogSource)
    with closing(source):
        yield source


def polls_of(source: AccessLogSource, max_rows: int = 1_000) -> list[Poll]:
    """All that the source gives until it is finished, or has nothing more for now."""
    polls = []
    while source.due_in_ms() == 0:
        poll = source.poll(max_rows)
        if poll is not None:
            polls.append(poll)
    return polls


def records(polls: list[Poll], topic: str) -> list[tuple[str, dict[str, Any], int]]:
    """(key, value, time) of all records of a topic."""
    return [
        (key.decode(), json.loads(value), time)
        for poll in polls
        for r in poll.records
        if r.topic == topic
        for key, value, time in zip(
            r.key.to_pylist(), r.value.to_pylist(), r.rowtime.tolist(), strict=True
        )
    ]


def clicks(polls: list[Poll]) -> list[tuple[str, dict[str, Any], int]]:
    """All clicks."""
    return records(polls, "clickstream")


def users(polls: list[Poll]) -> list[tuple[str, dict[str, Any], int]]:
    """All users."""
    return records(polls, "clickstream_users")


def rejected(polls: list[Poll]) -> list[Rejected]:
    """All rejected lines."""
    return [r for poll in polls for r in poll.rejected]


def read(file: Path, *lines: str | bytes, max_rows: int = 1_000) -> list[Poll]:
    """Write the lines, and read them all."""
    file.write_bytes(b"".join((n if isinstance(n, bytes) else n.encode()) + b"\n" for n in lines))
    with source_of(file) as source:
        return polls_of(source, max_rows)


def only_click(file: Path, line: str | bytes) -> dict[str, Any]:
    """The click of a file of one line."""
    ((_, value, _),) = clicks(read(file, line))
    return value


def test_a_combined_line_becomes_a_user_and_a_click(tmp_path: Path) -> None:
    polls = read(tmp_path / "log", LINE)
    time_ms = 1_431_857_103_000
    assert users(polls) == [
        (
            "1",
            {
                "user_id": 1,
                "username": "visitor-1",
                "registered_at": time_ms,
                "first_name": None,
                "last_name": None,
                "city": "192.0.0.0/16",
                "level": "visitor",
            },
            time_ms,
        )
    ]
    assert clicks(polls) == [
        (
            "192.0.2.7",
            {
                "_time": time_ms,
                "time": str(time_ms),
                "ip": "192.0.2.7",
                "userid": 1,
                "remote_user": "-",
                "request": "GET /a.html HTTP/1.1",
                "status": "200",
                "bytes": "17",
                "referrer": "-",
                "agent": "Otter/2",
            },
            time_ms,
        )
    ]
    assert rejected(polls) == []


def test_a_common_line_has_no_referrer_and_agent(tmp_path: Path) -> None:
    click = only_click(tmp_path / "log", LINE[: LINE.index(' "-"')])
    assert (click["referrer"], click["agent"]) == ("-", "-")


@pytest.mark.parametrize(
    ("old", "new", "field", "value"),
    [
        ("Otter/2", r"Say \"hi\" \\ there", "agent", r'Say "hi" \ there'),
        ("Otter/2", r"caf\xc3\xa9\t.", "agent", "café\t."),
        ("Otter/2", r"\xe4\xe5 \"q\"", "agent", r'\xe4\xe5 "q"'),
        ("Otter/2", "", "agent", ""),
        ('"-"', r'"https://x.example/?q=\"a b\""', "referrer", 'https://x.example/?q="a b"'),
        (" 17 ", " - ", "bytes", "0"),
        (" 200 ", " - ", "status", None),
        ("GET /a.html HTTP/1.1", "GET /a.html", "request", "GET /a.html"),
        ("GET /a.html HTTP/1.1", "-", "request", "-"),
        ("GET /a.html HTTP/1.1", "", "request", ""),
        ("GET /a.html HTTP/1.1", r"\x16\x03\x01", "request", "\x16\x03\x01"),
        ("192.0.2.7", "2001:db8:a::7", "ip", "2001:db8:a::7"),
        ("192.0.2.7", "crawler.bot.example.org", "ip", "crawler.bot.example.org"),
        ("- - [", "ident ann [", "remote_user", "ann"),
        ("- - [", "- ann lee [", "remote_user", "ann lee"),
        ('Otter/2"', 'Otter/2" 0.003 "more"', "agent", "Otter/2"),
        ('Otter/2"', 'Otter/2"\r', "agent", "Otter/2"),
    ],
)
def test_fields(tmp_path: Path, old: str, new: str, field: str, value: str | None) -> None:
    assert old in LINE
    assert only_click(tmp_path / "log", LINE.replace(old, new, 1))[field] == value


def test_bytes_that_are_no_utf8_or_are_utf8(tmp_path: Path) -> None:
    line = LINE.encode()
    assert only_click(tmp_path / "a", line.replace(b"Otter", b"\xff!"))["agent"] == "\ufffd!/2"
    assert only_click(tmp_path / "b", line.replace(b"Otter", "Öl".encode()))["agent"] == "Öl/2"
    assert only_click(tmp_path / "c", line.replace(b"Otter", b"a\tb"))["agent"] == "a\tb/2"


@pytest.mark.parametrize(
    "text",
    [
        "17/May/2015:10:05:03 +0000",
        "29/Feb/2024:23:59:59 -0730",
        "01/Jan/1970:00:00:00 +1400",
        "31/Dec/1999:00:00:00 +0545",
    ],
)
def test_times_have_zones(tmp_path: Path, text: str) -> None:
    click = only_click(tmp_path / "log", re.sub(r"\[.*\]", f"[{text}]", LINE))
    expected = datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").timestamp() * 1_000
    assert click["_time"] == expected


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        LINE[: LINE.index("Otter") + 3],
        LINE.replace("May", "Mai"),
        LINE.replace("17/May", "31/Feb"),
        LINE.replace(":10:05:03", ":24:05:03"),
        LINE.replace("+0000", "UTC"),
        LINE.replace(" 200 ", " ok "),
        LINE.replace(" 17 ", " 1e3 "),
        LINE.replace("192.0.2.7 - - ", "192.0.2.7 "),
        LINE.replace("192.0.2.7", '192"'),
        LINE.replace("GET /a.html", 'GET "/a.html'),
    ],
)
def test_malformed_lines_are_rejected_with_their_place(tmp_path: Path, line: str) -> None:
    polls = read(tmp_path / "log", LINE, "", line, "  ", LINE)
    assert len(clicks(polls)) == 2
    (only,) = rejected(polls)
    assert only.record == line.encode()
    assert only.place == len(LINE) + 2
    assert only.topic == "clickstream"
    assert only.message.endswith(".")


def test_visitors_are_told_apart_by_user_else_by_host_and_browser(tmp_path: Path) -> None:
    other_agent = LINE.replace("Otter", "Lantern")
    other_host = LINE.replace("192.0.2.7", "198.51.100.3")
    ann = LINE.replace("- - [", "- ann [")
    ann_elsewhere = other_host.replace("- - [", "- ann [")
    lines = [LINE, other_agent, LINE, ann, other_host, ann_elsewhere, other_agent]
    polls = read(tmp_path / "log", *lines)
    assert [value["userid"] for _, value, _ in clicks(polls)] == [1, 2, 1, 3, 4, 3, 2]
    assert [value["username"] for _, value, _ in users(polls)] == [
        "visitor-1",
        "visitor-2",
        "ann",
        "visitor-4",
    ]
    assert [value["level"] for _, value, _ in users(polls)][2] == "member"


def test_a_user_called_like_a_made_up_name_keeps_apart(tmp_path: Path) -> None:
    polls = read(tmp_path / "log", LINE, LINE.replace("- - [", "- visitor-1 ["))
    assert len({value["username"] for _, value, _ in users(polls)}) == 2


@pytest.mark.parametrize(
    ("host", "city"),
    [
        ("203.0.113.9", "203.0.0.0/16"),
        ("2001:db8:a::7", "2001:db8::/32"),
        ("fe80::1%eth0", "fe80::/32"),
        ("a.b.example.org", "example.org"),
        ("localhost", "localhost"),
    ],
)
def test_city_is_what_the_address_tells(tmp_path: Path, host: str, city: str) -> None:
    ((_, value, _),) = users(read(tmp_path / "log", LINE.replace("192.0.2.7", host)))
    assert value["city"] == city


def some_lines(count: int) -> list[str]:
    """Lines of a few visitors, bad ones among them."""
    hosts = [f"192.0.2.{n}" for n in (1, 2, 3, 5, 8)]
    lines = [LINE.replace("192.0.2.7", hosts[n * n % 5 if n < 60 else n % 5]) for n in range(count)]
    return ["bad" if n % 17 == 5 else line for n, line in enumerate(lines)]


@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=6), restart=st.booleans())
def test_any_cut_of_polls_gives_the_same_records(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], restart: bool
) -> None:
    file = tmp_path_factory.getbasetemp() / "cuts.log"
    whole = read(file, *some_lines(100))
    polls: list[Poll] = []
    position: dict[str, Any] = {}
    rounds = iter([*cuts, *[25] * 100])
    finished = False
    while not finished:
        with source_of(file, position) as source:
            while (finished := source.due_in_ms() is None) is False:
                poll = source.poll(next(rounds))
                if poll is None:
                    continue  # found its visitors again
                polls.append(poll)
                position = json.loads(json.dumps(poll.position))
                if restart:
                    break
    assert clicks(polls) == clicks(whole)
    assert users(polls) == users(whole)
    assert rejected(polls) == rejected(whole)


def test_a_user_comes_before_the_first_click_in_every_poll(tmp_path: Path) -> None:
    polls = read(tmp_path / "log", *some_lines(80), max_rows=9)
    known: set[str] = set()
    for poll in polls:
        for r in poll.records:
            if r.topic == "clickstream_users":
                known |= {key.decode() for key in r.key.to_pylist()}
            else:
                ids = {str(json.loads(v)["userid"]) for v in r.value.to_pylist()}
                assert ids <= known


def test_the_position_does_not_grow_with_visitors(tmp_path: Path) -> None:
    lines = [LINE.replace("192.0.2.7", f"10.0.{n // 250}.{n % 250}") for n in range(3_000)]
    polls = read(tmp_path / "log", *lines)
    assert polls[-1].position["visitors"] == 3_000
    assert len(json.dumps(polls[-1].position)) < 200


def test_progress_and_end(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("\n".join([LINE] * 4))  # the last one without an end
    with source_of(file) as source:
        assert source.progress() == (0, file.stat().st_size)
        first = source.poll(2)
        assert first is not None and len(clicks([first])) == 2
        assert source.progress() == (2 * (len(LINE) + 1), file.stat().st_size)
        rest = polls_of(source)
        assert len(clicks(rest)) == 2
        assert source.progress() == (file.stat().st_size, file.stat().st_size)
        assert source.due_in_ms() is None and source.poll(5) is None
    with source_of(file, rest[-1].position) as again:
        assert again.due_in_ms() is None
        assert again.progress() == (file.stat().st_size, file.stat().st_size)


def test_an_empty_file_is_finished_at_once(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    with source_of(tmp_path / "log") as source:
        assert source.due_in_ms() is None
        assert source.poll(10) is None


def test_follow_waits_for_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text(f"{LINE}\n{LINE[:30]}")
    with source_of(file, follow="true") as source:
        polls = polls_of(source)
        assert len(clicks(polls)) == 1
        assert source.progress() is None
        wait = source.due_in_ms()
        assert wait is not None and wait > 0
        with file.open("a") as log:
            log.write(f"{LINE[30:]}\n{LINE.replace('Otter', 'Lantern')}\n")
        more = source.poll(10)
        assert more is not None
        assert [value["userid"] for _, value, _ in clicks([more])] == [1, 2]


def test_follow_goes_on_in_a_file_that_took_its_place(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text(f"{LINE}\n{LINE}")
    with source_of(file, follow="true") as source:
        polls = polls_of(source)
        file.rename(tmp_path / "log.1")
        assert source.poll(10) is None  # between two steps of the rotation
        file.write_text(f"{LINE.replace('Otter', 'Lantern')}\n")
        while len(clicks(polls)) < 3:
            poll = source.poll(10)
            polls += [poll] if poll is not None else []
        assert [value["userid"] for _, value, _ in clicks(polls)] == [1, 1, 2]
        assert len(users(polls)) == 2


def test_follow_after_a_restart_with_another_file(tmp_path: Path) -> None:
    file = tmp_path / "log"
    position = read(file, LINE, LINE.replace("Otter", "Lantern"))[-1].position
    file.write_text(f"{LINE.replace('192.0.2.7', '192.0.2.8')}\n" * 3)
    with source_of(file, position, follow="true") as source:
        polls = polls_of(source)
    assert [value["userid"] for _, value, _ in clicks(polls)] == [3, 3, 3]


def test_follow_with_a_file_that_became_shorter(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text(f"{LINE}\n" * 5)
    with source_of(file, follow="true") as source:
        assert len(clicks(polls_of(source))) == 5
        os.truncate(file, 0)
        assert source.poll(10) is None
        file.write_text(f"{LINE}\n")
        poll = source.poll(10)
        assert poll is not None and len(clicks([poll])) == 1


def test_a_changed_file_without_follow_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "log"
    position = read(file, *[LINE] * 5)[-1].position
    file.write_text(f"{LINE}\n" * 3)
    with pytest.raises(ConnectorError, match="not what it was"):
        source_of(file, position).__enter__()
    file.write_text("x" * 10_000)
    with pytest.raises(ConnectorError, match="not what it was"):
        source_of(file, position).__enter__()


def test_a_packed_file(tmp_path: Path) -> None:
    file = tmp_path / "log.gz"
    file.write_bytes(gzip.compress("".join(f"{n}\n" for n in some_lines(100)).encode()))
    plain = read(tmp_path / "log", *some_lines(100))
    with source_of(file) as source:
        first = source.poll(30)
        assert first is not None
    with source_of(file, first.position) as source:
        polls = [first, *polls_of(source)]
        size = file.stat().st_size
        assert source.progress() == (size, size)
    assert clicks(polls) == clicks(plain)
    assert rejected(polls) == rejected(plain)
    with pytest.raises(ConnectorError, match="does not grow"):
        source_of(file, follow="true").__enter__()


def test_a_broken_packed_file_is_said(tmp_path: Path) -> None:
    file = tmp_path / "log.gz"
    file.write_bytes(gzip.compress(b"x\n" * 10_000)[:30])
    with (
        source_of(file) as source,
        pytest.raises(ConnectorError, match="cannot be read"),
    ):
        polls_of(source)


def test_what_is_no_readable_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ConnectorError):
            source_of(path).__enter__()
    with pytest.raises(ConnectorError, match="two different topics"):
        source_of(tmp_path, None, topic="a", **{"users.topic": "a"}).__enter__()


_PLAIN = re.compile(
    r'(\S+) \S+ (.*?) \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "((?:\\.|[^"\\])*)" '
    r'(\d{3}|-) (\d+|-)(?: "((?:\\.|[^"\\])*)" "((?:\\.|[^"\\])*)")?'
)


def test_a_real_log_line_by_line(shared: Path) -> None:
    file = shared / "data" / "apache_logs.log"
    lines = file.read_text("utf-8").splitlines()
    expected = [m for m in map(_PLAIN.fullmatch, lines) if m is not None]
    with source_of(file) as source:
        polls = polls_of(source, 3_000)
    found = clicks(polls)
    assert len(lines) == len(found) + len(rejected(polls)) == 10_000
    assert len(found) == len(expected)
    ids: dict[tuple[str, str], int] = {}
    for (key, value, time_ms), match in zip(found, expected, strict=True):
        ip, user, time, request, status, size, referrer, agent = match.groups()
        assert key == value["ip"] == ip
        assert user == value["remote_user"] == "-"
        when = datetime.strptime(time, "%d/%b/%Y:%H:%M:%S %z")
        assert time_ms == value["_time"] == int(when.timestamp()) * 1_000
        assert (value["request"], value["status"]) == (request, status)
        assert value["bytes"] == ("0" if size == "-" else size)
        assert value["userid"] == ids.setdefault((ip, agent), len(ids) + 1)
        if "\\" not in match[0]:
            assert (value["referrer"], value["agent"]) == (referrer, agent)
    assert len(users(polls)) == len(ids)
