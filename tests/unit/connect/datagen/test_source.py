"""Datagen: records are a function of (seed, index), due times of the start."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.clock import FixedClock
from millstream.connect.base import ConnectorError, Poll
from millstream.connect.datagen.source import DatagenClass, DatagenSource
from millstream.connect.registry import prepare

START_MS = 1_700_000_000_000


def make(
    clock: FixedClock, position: dict[str, Any] | None = None, **options: str
) -> DatagenSource:
    """A source of the quickstart CLICKSTREAM unless options say otherwise."""
    given_options = {"connector.class": "DatagenSource", "kafka.topic": "t"}
    given_options |= {"quickstart": "CLICKSTREAM", "maxInterval": "0"} | {
        name.replace("_", "."): value for name, value in options.items()
    }
    cls, checked = prepare("SOURCE", given_options)
    source = cls.create("x", checked, position or {}, clock)
    assert isinstance(source, DatagenSource)
    return source


def records(polls: list[Poll]) -> list[tuple[bytes, bytes]]:
    """Keys and values of all polls."""
    return [
        pair
        for poll in polls
        for r in poll.records
        for pair in zip(r.key.to_pylist(), r.value.to_pylist(), strict=True)
    ]


def values(quickstart: str, count: int, **options: str) -> list[dict[str, Any]]:
    """The first `count` values of a quickstart."""
    poll = make(FixedClock(START_MS), None, quickstart=quickstart, **options).poll(count)
    assert poll is not None
    return [json.loads(value) for _, value in records([poll])]


@pytest.mark.parametrize("quickstart", ["CLICKSTREAM", "CLICKSTREAM_USERS", "CLICKSTREAM_CODES"])
@given(cuts=st.lists(st.integers(1, 700), min_size=1, max_size=8), restart=st.booleans())
def test_any_cut_of_polls_gives_the_same_records(
    quickstart: str, cuts: list[int], restart: bool
) -> None:
    clock = FixedClock(START_MS)
    whole = make(clock, quickstart=quickstart).poll(sum(cuts))
    assert whole is not None
    source = make(clock, quickstart=quickstart)
    polls = []
    for cut in cuts:
        poll = source.poll(cut)
        assert poll is not None
        polls.append(poll)
        if restart:
            source = make(clock, poll.position, quickstart=quickstart)
    assert records(polls) == records([whole])
    assert polls[-1].position == whole.position


def test_a_seed_decides_and_another_decides_otherwise() -> None:
    assert values("CLICKSTREAM", 50, random_seed="7") == values("CLICKSTREAM", 50, random_seed="7")
    assert values("CLICKSTREAM", 50, random_seed="7") != values("CLICKSTREAM", 50, random_seed="8")
    assert values("CLICKSTREAM", 50, random_seed="-7") != values("CLICKSTREAM", 50, random_seed="7")


def test_records_carry_the_clocks_time_whatever_the_content_says() -> None:
    clock = FixedClock(START_MS)
    source = make(clock)
    first = source.poll(3)
    clock.time_ms += 5_000
    second = source.poll(2)
    assert first is not None and second is not None
    assert first.records[0].rowtime.tolist() == [START_MS] * 3
    assert second.records[0].rowtime.tolist() == [START_MS + 5_000] * 2
    assert first.records[0].topic == "t"
    assert first.records[0].key.type == first.records[0].value.type == pa.binary()


def due_times(step_ms: int, until_ms: int) -> Iterator[tuple[int, int]]:
    """(time, records given by then), looking every `step_ms`."""
    clock = FixedClock(START_MS)
    source = make(clock, maxInterval="30")
    total = 0
    for now_ms in range(START_MS, START_MS + until_ms + 1, step_ms):
        clock.time_ms = now_ms
        while (poll := source.poll(7)) is not None:
            total += len(poll.records[0].key)
        yield now_ms, total


def test_due_times_do_not_depend_on_when_one_looks() -> None:
    every_ms = dict(due_times(1, 6_000))
    now_and_then = dict(due_times(600, 6_000))
    assert now_and_then == {now: every_ms[now] for now in now_and_then}
    assert 300 < every_ms[START_MS + 6_000] < 500  # 15 ms between two on average


def test_intervals_are_uniform_up_to_the_longest() -> None:
    clock = FixedClock(START_MS)
    source = make(clock, maxInterval="30")
    dues = []
    for _ in range(10_000):
        wait = source.due_in_ms()
        assert wait is not None
        clock.time_ms += wait
        dues.append(clock.time_ms)
        assert source.poll(1) is not None
    waits = Counter(b - a for a, b in pairwise(dues))
    assert set(waits) == set(range(31))
    assert min(waits.values()) > 200 and max(waits.values()) < 450


def test_nothing_is_due_before_its_time() -> None:
    clock = FixedClock(START_MS)
    source = make(clock, maxInterval="1000")
    assert source.poll(100) is not None  # the first record is due at once
    wait = source.due_in_ms()
    assert wait is not None and wait > 0
    assert source.poll(100) is None
    clock.time_ms += wait
    assert source.poll(100) is not None


def test_a_break_is_not_made_up_for() -> None:
    clock = FixedClock(START_MS)
    source = make(clock, maxInterval="30")
    first = source.poll(100)
    assert first is not None
    clock.time_ms += 3_600_000
    restarted = make(clock, first.position, maxInterval="30")
    source.resume()
    for running in (restarted, source):
        assert running.due_in_ms() == 0
        poll = running.poll(1_000)
        assert poll is not None and len(poll.records[0].key) < 10


def test_a_clock_set_back_does_not_stop_it() -> None:
    clock = FixedClock(START_MS)
    poll = make(clock, maxInterval="30").poll(1)
    assert poll is not None
    clock.time_ms -= 86_400_000
    wait = make(clock, poll.position, maxInterval="30").due_in_ms()
    assert wait is not None and wait <= 30


def test_iterations_end_it() -> None:
    clock = FixedClock(START_MS)
    source = make(clock, iterations="10")
    first = source.poll(7)
    assert first is not None
    assert source.progress() == (7, 10) and source.due_in_ms() == 0
    last = source.poll(7)
    assert last is not None and len(last.records[0].key) == 3
    assert source.poll(7) is None and source.due_in_ms() is None
    assert source.progress() == (10, 10)
    assert make(clock, last.position, iterations="10").due_in_ms() is None
    assert make(clock).progress() is None


def test_users_are_a_fixed_population_told_over_and_over() -> None:
    users = values("CLICKSTREAM_USERS", 10_000)
    assert [u["user_id"] for u in users[:100]] == [*range(1, 51)] * 2
    assert users[:50] == users[50:100] == users[-50:]
    assert len({u["username"] for u in users}) == 50
    fields = ["user_id", "username", "registered_at", "first_name", "last_name", "city", "level"]
    assert list(users[0]) == fields
    assert isinstance(users[0]["user_id"], int) and isinstance(users[0]["registered_at"], int)
    assert len({u["city"] for u in users}) > 10 and len({u["level"] for u in users}) == 3


def test_keys_are_text_of_the_right_field() -> None:
    for quickstart, field in (
        ("CLICKSTREAM", "ip"),
        ("CLICKSTREAM_USERS", "user_id"),
        ("CLICKSTREAM_CODES", "code"),
    ):
        poll = make(FixedClock(START_MS), quickstart=quickstart).poll(200)
        assert poll is not None
        assert all(key.decode() == str(json.loads(value)[field]) for key, value in records([poll]))


def test_clicks_have_the_fields_and_types_of_the_recipe() -> None:
    click = values("CLICKSTREAM", 3)[2]
    assert {name: type(value) for name, value in click.items()} == {
        "_time": int,
        "time": str,
        "ip": str,
        "userid": int,
        "remote_user": str,
        "request": str,
        "status": str,
        "bytes": str,
        "referrer": str,
        "agent": str,
    }
    assert click["time"] == str(click["_time"])
    assert click["status"].isdigit() and click["bytes"].isdigit()


def test_clicks_are_those_of_visitors_who_stay() -> None:
    clicks = values("CLICKSTREAM", 10_000)
    assert {c["userid"] for c in clicks} <= set(range(1, 51))
    assert len({c["userid"] for c in clicks}) > 30
    assert len({(c["userid"], c["ip"]) for c in clicks}) <= 100  # two addresses a user
    in_a_second = clicks[:67]
    visitors = Counter((c["userid"], c["ip"], c["agent"]) for c in in_a_second)
    assert len(visitors) <= 12 and max(visitors.values()) > 3
    by_visitor = Counter((c["userid"], c["ip"], c["agent"]) for c in clicks)
    assert sum(by_visitor.values()) / len(by_visitor) > 40  # clicks of a visit


def test_most_requests_are_fine_and_some_fail() -> None:
    clicks = values("CLICKSTREAM", 10_000)
    status = Counter(int(c["status"]) for c in clicks)
    assert 0.7 < status[200] / 10_000 < 0.9
    errors = {code: n for code, n in status.items() if code > 400}
    assert 0.08 < sum(errors.values()) / 10_000 < 0.2
    in_a_minute = Counter(int(c["status"]) for c in clicks[: 60 * 67])
    assert sum(in_a_minute[code] > 5 for code in errors) == len(errors)
    in_three_seconds = Counter(int(c["status"]) for c in clicks[:200])
    assert any(n > 5 for code, n in in_three_seconds.items() if code > 400)
    html = sum("html" in c["request"] for c in clicks)
    assert 0.4 < html / 10_000 < 0.8


def test_codes_define_every_status_that_clicks_have() -> None:
    codes = {c["code"]: c["definition"] for c in values("CLICKSTREAM_CODES", 100)}
    assert {int(c["status"]) for c in values("CLICKSTREAM", 10_000)} <= set(codes)
    assert all(codes.values())


def test_a_larger_population() -> None:
    users = values("CLICKSTREAM_USERS", 2_000, users="1000")
    assert len({u["username"] for u in users}) == 1_000
    clicks = values("CLICKSTREAM", 100_000, users="1000")
    ids = {c["userid"] for c in clicks}
    assert max(ids) > 900 and max(ids) <= 1_000 and min(ids) >= 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quickstart": "CLICKSTREAMS"}, "CLICKSTREAMS"),
        ({"quickstart": ""}, "quickstart is missing"),
        ({"output_data_format": "AVRO"}, "AVRO is not supported yet"),
        ({"schema_filename": "x.avsc"}, "not supported yet"),
        ({"schema_keyfield": "userid"}, "not supported yet"),
        ({"maxInterval": "soon"}, "whole number"),
        ({"maxInterval": "-1"}, "at least 0"),
        ({"iterations": "-2"}, "at least -1"),
        ({"users": "0"}, "at least 1"),
    ],
)
def test_what_it_cannot_do_is_said(options: dict[str, str], words: str) -> None:
    with pytest.raises(ConnectorError, match=words):
        make(FixedClock(), None, **options)


def test_option_defaults_are_those_of_the_original() -> None:
    defaults = {o.name: o.default for o in DatagenClass.options}
    assert defaults["maxInterval"] == "500" and defaults["iterations"] == "-1"


def test_positions_are_small_and_json() -> None:
    poll = make(FixedClock(START_MS)).poll(100_000)
    assert poll is not None
    assert json.loads(json.dumps(poll.position)) == poll.position
    assert poll.records[0].rowtime.dtype == np.int64
