from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator

import pytest

from millstream.cli.keys import Keys

pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """stdin is a terminal; gives the side where a person types."""
    person, program = pty.openpty()
    stdin = os.fdopen(program, "r")
    monkeypatch.setattr(sys, "stdin", stdin)
    yield person
    stdin.close()
    os.close(person)


def test_a_key_needs_no_enter(terminal: int) -> None:
    with Keys() as keys:
        assert keys.available
        os.write(terminal, b"P")
        assert keys.read(10_000) == "p"
        assert keys.read(0) == ""


def test_the_terminals_settings_come_back(terminal: int) -> None:
    before = termios.tcgetattr(sys.stdin.fileno())
    with Keys():
        assert termios.tcgetattr(sys.stdin.fileno()) != before
    assert termios.tcgetattr(sys.stdin.fileno()) == before


def test_without_a_terminal_there_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("q"))
    with Keys() as keys:
        assert not keys.available
        assert keys.read(0) == ""
