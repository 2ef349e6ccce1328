"""Children of benchmarks end with one line where nobody waits for them, or tell how they failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.children import Child

_ROOT = Path(__file__).resolve().parents[2]
_CHILD = "import sys; from benchmarks.children import hand_back; sys.stdin.read(); hand_back({})"


def test_a_child_whose_parent_has_gone_ends_with_one_line() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None and child.stdout is not None and child.stderr is not None
    child.stdout.close()
    child.stdin.close()
    told = child.stderr.read()
    child.stderr.close()
    assert child.wait() == 1
    assert told == "nobody waits for the figures any more\n"


def test_a_child_that_has_ended_is_told_by_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_ROOT)
    with (
        pytest.raises(SystemExit, match="a contestant ended with code 1"),
        Child("contestant_growth", "no such query", 1) as child,
    ):
        child.ask("1")
