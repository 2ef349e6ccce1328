from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator

import pytest
from rich.console import Console

from millstream.cli.panels import Panel
from millstream.cli.session import Ending, Session, quoted, stop_signals
from millstream.engine.profile import Profile, ProfileStep
from tests.unit.cli.fakes import FakeConnector, FakeDatabase, FakeMetrics, FakeQuery, FakeResult

PANEL = Panel("Pages", "PAGES", "SELECT ID FROM PAGES")


def busy_database() -> FakeDatabase:
    metrics = FakeMetrics(
        5, 1.0, [FakeQuery("Q", "PAGES")], [FakeConnector("Clicks"), FakeConnector("S", "FAILED")]
    )
    return FakeDatabase({"PAGES": FakeResult(["ID"], [(1,)])}, metrics)


def test_lines_end_after_their_time_with_the_last_figures() -> None:
    db = busy_database()
    lines: list[str] = []
    Session(db, "x", [PANEL], Ending(after_ms=0)).run_in_lines(lines.append)
    assert lines[-1].startswith("00:00  5 events")
    assert not db.running


def test_lines_end_when_no_more_input_can_come() -> None:
    db = busy_database()
    db.measured.connectors = [FakeConnector("Log", progress=(7, 7))]
    lines: list[str] = []
    Session(db, "x", [PANEL], Ending(when_idle=True)).run_in_lines(lines.append)
    assert "Log 100%" in lines[-1]


class Typing(FakeDatabase):
    """Each look at the metrics types the next key on the terminal."""

    person = -1
    keys = b""

    def metrics(self) -> FakeMetrics:
        if self.keys:
            os.write(self.person, self.keys[:1])
            self.keys = self.keys[1:]
        return super().metrics()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    pty = pytest.importorskip("pty")
    person, program = pty.openpty()
    stdin = os.fdopen(program, "r")
    monkeypatch.setattr(sys, "stdin", stdin)
    yield person
    stdin.close()
    os.close(person)


@pytest.mark.parametrize(
    ("keys", "executed"),
    [
        (b"q", []),
        (b"pq", ["PAUSE CONNECTOR `Clicks`;", "RESUME CONNECTOR `Clicks`;"]),
        (b"ppq", ["PAUSE CONNECTOR `Clicks`;", "RESUME CONNECTOR `Clicks`;"]),
    ],
)
def test_p_pauses_and_resumes_and_q_leaves(terminal: int, keys: bytes, executed: list[str]) -> None:
    busy = busy_database()
    db = Typing(busy.results, busy.measured)
    db.person, db.keys = terminal, keys
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24)
    Session(db, "title", [PANEL], Ending()).run_in_terminal(console)
    assert db.executed == executed
    assert not db.running
    assert "title" in out.getvalue()


def test_the_view_shows_where_the_time_goes_when_asked(terminal: int) -> None:
    busy = busy_database()
    step = ProfileStep("Q", "where-1", 2, 1, 1, 0.5, 1.0, 4.0)
    busy.measured.profile = Profile(0.5, 1, [step])
    for profiled in (False, True):
        db = Typing(busy.results, busy.measured)
        db.person, db.keys = terminal, b"q"
        out = io.StringIO()
        console = Console(file=out, force_terminal=True, width=80, height=24)
        Session(db, "x", [PANEL], Ending(), profiled=profiled).run_in_terminal(console)
        assert ("Q: where-1" in out.getvalue()) is profiled


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_for_the_end_and_tears_nothing(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_signals() as stopped:
        os.kill(os.getpid(), number)
        assert stopped.wait(10)
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_interrupts() -> None:
    with stop_signals() as stopped:
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped.wait(10)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1_000):
                pass


def test_names_are_quoted_as_written() -> None:
    assert quoted("a`b") == "`a``b`"
