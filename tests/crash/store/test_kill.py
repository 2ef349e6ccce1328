"""A writer that is killed at any moment has lost nothing that it was told is durable, and has left
no half of a commit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from millstream.store.interfaces import Store, StoreId
from millstream.store.open import open_store
from tests.conftest import ROOT
from tests.unit.store.builders import plain_state, values

STATE = StoreId(1, "agg", "h")

# Commits without an end, going on where the last one ended; tells each commit that is durable.
# What a commit writes follows from its number: see `expected`.
WRITER = """
import sys
import pyarrow as pa
from millstream.store.interfaces import StoreId
from millstream.store.open import open_store
from tests.crash.store.test_kill import size_of
from tests.unit.store.builders import lines

state = StoreId(1, "agg", "h")
store = open_store(sys.argv[1])
with store.begin() as commit:
    if not commit.topics():
        commit.create_topic("a", 1)
        commit.create_topic("b", 3)
    a, b = commit.topics()
    commit.commit()
print("open", flush=True)
with store.view() as view:
    number = view.state_meta(state).get("n", 0)
while True:
    number += 1
    size = size_of(number)
    with store.begin() as commit:
        commit.append(a.id, lines([f"{number}:{i}" for i in range(size)], seq=range(size)))
        commit.append(b.id, lines([str(number)] * size, partition=[i % 3 for i in range(size)]))
        commit.set_position("q", a.id, commit.end(a.id))
        commit.put_state_meta(state, {"n": number})
        rows = pa.record_batch({"n": pa.array([number] * size)})
        if number % 11 == 0:
            commit.put_page(state, number % 2, rows)
        else:
            commit.put_delta(state, number % 2, rows)
        assert commit.allocate_id("query") == number
        assert commit.allocate_seq(size) == commit.end(a.id) - size
        commit.commit()
    print(number, flush=True)
"""


def size_of(number: int) -> int:
    """How many rows commit `number` writes: mostly a few, sometimes many."""
    return 3000 if number % 13 == 0 else 1 + number % 4


def expected(last: int) -> tuple[list[str], list[str], dict[int, list[int]]]:
    """Both topics' values and the state's pages after commit `last`."""
    first = [f"{n}:{i}" for n in range(1, last + 1) for i in range(size_of(n))]
    second = [str(n) for n in range(1, last + 1) for _ in range(size_of(n))]
    pages: dict[int, list[int]] = {}
    for number in range(1, last + 1):
        rows = [number] * size_of(number)
        if number % 11 == 0:
            pages[number % 2] = rows
        else:
            pages.setdefault(number % 2, []).extend(rows)
    return first, second, pages


def check(store: Store, told: int) -> int:
    """All parts of the store agree on one commit, which is the last one told or the one after."""
    with store.view() as view:
        first, second = view.topics()
        last = view.state_meta(STATE).get("n", 0)
        assert told <= last <= told + 1
        texts, numbers, pages = expected(last)
        assert values(view, first.id) == texts
        assert values(view, second.id) == numbers
        assert view.positions("q") == ({first.id: len(texts)} if last else {})
        assert view.next_seq() == len(texts)
        state = {p: [r["n"] for r in rows] for p, rows in plain_state(view.state(STATE)).items()}
        assert state == pages
        counts = [0, 0, 0]
        for _, run in view.read(second.id, 0):
            for partition, offset in zip(run.partition.tolist(), run.offset.tolist(), strict=True):
                assert offset == counts[partition]
                counts[partition] += 1
    return int(last)


def run_and_kill(path: str, commits: int, delay_ms: float) -> int:
    """Let a writer do some commits and a little more, kill it; the last commit it told of."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, path],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        told = 0
        for _ in range(commits):
            told = int(writer.stdout.readline())
        try:
            writer.wait(delay_ms / 1000)
        except subprocess.TimeoutExpired:
            writer.send_signal(signal.SIGKILL)
        for line in writer.stdout:
            if line.endswith("\n"):
                told = int(line)
        writer.wait()
        assert writer.returncode == -signal.SIGKILL
    return told


@pytest.mark.parametrize("read_only_first", [False, True])
def test_killed_at_random_moments(tmp_path: Path, read_only_first: bool) -> None:
    path = str(tmp_path / "store.db")
    source = random.Random()
    seed = source.randrange(10**9)
    print(f"seed {seed}")
    source.seed(seed)
    for _ in range(5):
        told = run_and_kill(path, source.randrange(1, 150), source.random() * 5)
        last = -1
        if read_only_first:
            store = open_store(path, read_only=True)
            last = check(store, told)
            store.close()
        store = open_store(path)
        assert check(store, told) == last or last == -1
        store.close()
