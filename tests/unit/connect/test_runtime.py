"""States of connectors, retries, and a source's turn in the engine's loop."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from millstream.clock import FixedClock
from millstream.connect.base import ConnectorError, Poll, RetriableError
from millstream.connect.retry import RetryPolicy
from millstream.connect.runtime import ConnectorState, SourceRunner, owner_of, trace_sentence


class Script:
    """A source that does what its list says: gives a poll, nothing, or raises."""

    def __init__(self, *steps: Poll | Exception | None) -> None:
        self.steps = list(steps)
        self.closed = 0
        self.resumed = 0

    def poll(self, max_rows: int) -> Poll | None:
        """The next step."""
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def due_in_ms(self) -> int | None:
        """0 while there are steps."""
        return 0 if self.steps else None

    def progress(self) -> tuple[int, int] | None:
        """Not known."""
        return None

    def topics(self) -> Sequence[str]:
        """One topic."""
        return ("t",)

    def resume(self) -> None:
        """Count."""
        self.resumed += 1

    def close(self) -> None:
        """Count."""
        self.closed += 1


SOMETHING = Poll([], {"n": 1})


def test_delays_double_up_to_the_longest() -> None:
    policy = RetryPolicy(first_ms=100, longest_ms=1_000)
    assert [policy.delay_ms(n) for n in range(1, 7)] == [100, 200, 400, 800, 1_000, 1_000]
    assert policy.delay_ms(10_000) == 1_000


def test_retries_can_be_limited() -> None:
    policy = RetryPolicy(first_ms=10, max_retries=2)
    assert [policy.delay_ms(n) for n in (1, 2, 3)] == [10, 20, None]
    assert RetryPolicy(max_retries=0).delay_ms(1) is None


def test_a_long_first_delay_stands() -> None:
    assert RetryPolicy(first_ms=60_000, longest_ms=1_000).delay_ms(3) == 60_000


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ConnectorError("It broke.", hint="Mend it."), "It broke. Mend it."),
        (ValueError("bad\n  value"), "ValueError: bad value"),
        (KeyError(), "KeyError"),
    ],
)
def test_a_trace_is_one_line(error: Exception, sentence: str) -> None:
    assert trace_sentence(error) == sentence


def test_owner() -> None:
    assert owner_of(7) == "connector-7"


def test_a_source_gives_its_polls_and_finishes() -> None:
    runner = SourceRunner(1, "x", Script(SOMETHING, None))
    assert runner.due_in_ms() == 0 and not runner.finished
    assert runner.poll(10) is SOMETHING
    assert runner.poll(10) is None
    assert runner.finished and runner.due_in_ms() is None
    assert runner.state is ConnectorState.RUNNING


def test_pause_and_resume() -> None:
    source = Script(SOMETHING)
    runner = SourceRunner(1, "x", source)
    runner.pause()
    assert runner.state is ConnectorState.PAUSED
    assert runner.due_in_ms() is None and not runner.finished
    assert runner.poll(10) is None
    runner.resume()
    assert source.resumed == 1
    assert runner.poll(10) is SOMETHING


def test_a_failure_for_now_is_tried_again_later_and_later() -> None:
    clock = FixedClock(1_000)
    source = Script(RetriableError("Away."), RetriableError("Away."), SOMETHING)
    runner = SourceRunner(1, "x", source, clock=clock, retry=RetryPolicy(first_ms=100))
    assert runner.poll(1) is None
    assert runner.state is ConnectorState.RUNNING
    assert runner.message == "Away. The next try is in 100 ms."
    assert runner.due_in_ms() == 100
    assert runner.poll(1) is None and len(source.steps) == 2  # not before its time
    clock.time_ms += 100
    assert runner.poll(1) is None
    assert runner.due_in_ms() == 200
    clock.time_ms += 200
    assert runner.poll(1) is SOMETHING
    assert runner.message is None


def test_retries_end_where_limited() -> None:
    clock = FixedClock()
    runner = SourceRunner(
        1, "x", Script(RetriableError("Away.")), clock=clock, retry=RetryPolicy(max_retries=0)
    )
    assert runner.poll(1) is None
    assert runner.state is ConnectorState.FAILED
    assert runner.message == "Away. Given up after 1 tries."


@pytest.mark.parametrize("error", [ConnectorError("No."), ZeroDivisionError("no")])
def test_a_failure_for_good_makes_it_failed_until_resumed(error: Exception) -> None:
    runner = SourceRunner(1, "x", Script(error, SOMETHING))
    assert runner.poll(1) is None
    assert runner.state is ConnectorState.FAILED
    assert runner.message == trace_sentence(error)
    assert runner.due_in_ms() is None and runner.poll(1) is None
    runner.pause()
    assert runner.state is ConnectorState.FAILED  # a failure is not hidden
    runner.resume()
    assert runner.message is None
    assert runner.poll(1) is SOMETHING


def test_the_engine_can_fail_it_and_replace_its_source() -> None:
    old, new = Script(SOMETHING), Script(SOMETHING)
    runner = SourceRunner(1, "x", old)
    runner.replace(new)
    assert old.closed == 1 and runner.source is new
    runner.fail("The topic t was dropped.")
    assert runner.state is ConnectorState.FAILED and runner.message == "The topic t was dropped."
    runner.close()
    assert new.closed == 1
