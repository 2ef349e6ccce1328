"""The ring: what is read back, and that what is written follows what changed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.engine.state import ring as module
from millstream.engine.state.ring import RING_PAGES, Ring
from millstream.store.interfaces import Commit, StoreId, View
from millstream.store.open import open_store
from tests.unit.engine.fakes import FakeStore

STORE = StoreId(1, "state", "hash")


class Table:
    """Values by slot, kept in a ring."""

    def __init__(self, store: FakeStore | View, base: int = 0) -> None:
        self.values: dict[int, int] = {}
        self.slots = 0
        self._store = store
        self._ring = Ring(STORE, base)

    def write_into(self, commit: Commit) -> None:
        """Write into another commit from now on."""
        self._store = commit

    def load(self) -> None:
        """Read what the store has."""
        for part in self._store.state(STORE):
            self._ring.loaded(part.page, part.rows)
            slots, values = (c.to_pylist() for c in part.rows.columns)
            for slot, value in zip(slots, values, strict=True):
                self.values[slot] = value
                self.slots = max(self.slots, slot + 1)

    def set(self, slots: list[int], value: int) -> None:
        """Change some slots and write them."""
        self.values |= dict.fromkeys(slots, value)
        self.slots = max(self.slots, *(s + 1 for s in slots))
        self._ring.write(
            self._store,  # type: ignore[arg-type]
            np.unique(slots),
            self.slots,
            self._rows,
            self._kept,
        )

    def _rows(self, slots: np.ndarray) -> pa.RecordBatch:
        values = [self.values[s] for s in slots.tolist()]
        return pa.RecordBatch.from_arrays([pa.array(slots), pa.array(values)], ["slot", "value"])

    def _kept(self, low: int, high: int) -> np.ndarray:
        return np.array([s for s in range(low, high) if s in self.values], np.int64)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_BITS", 3)
    monkeypatch.setattr(module, "PAGE_SLOTS", 8)
    monkeypatch.setattr(module, "_FEWEST_ROWS", 4)
    monkeypatch.setattr(module, "_MOST_PARTS", 8)
    monkeypatch.setattr(module, "_SMALL_PART", 1)


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.booleans()),
        max_size=80,
    ),
    st.sampled_from([0, 5 * RING_PAGES]),
)
def test_equals_a_dict_whenever_it_is_read(steps: list[tuple[list[int], bool]], base: int) -> None:
    store, expected = FakeStore(), dict[int, int]()
    table = Table(store, base)
    for value, (slots, reload) in enumerate(steps):
        table.set(slots, value)
        expected |= dict.fromkeys(slots, value)
        again = Table(store, base)
        again.load()
        assert again.values == expected
        if reload:
            table = again


def test_what_is_written_follows_what_changed() -> None:
    store = FakeStore()
    table = Table(store)
    table.set(list(range(8000)), 0)
    rng = np.random.default_rng(0)
    store.rows_written = 0
    most = 0
    for value in range(1000):
        before = store.rows_written
        table.set(np.unique(rng.integers(0, 8000, 10)).tolist(), value)
        most = max(most, store.rows_written - before)
    assert most <= 10 + 8 * 4
    assert store.rows_written <= 1000 * 10 * 3
    assert sum(p.rows.num_rows for p in store.parts[STORE]) <= 2 * 8000 + 40


def test_a_load_after_many_small_writes_reads_few_parts() -> None:
    store = FakeStore()
    table = Table(store)
    for value in range(2000):
        table.set([value % 16], value)
    assert len(store.parts[STORE]) < 20


def test_reloads_in_between_do_not_let_the_journal_grow() -> None:
    store = FakeStore()
    Table(store).set(list(range(64)), 0)
    for value in range(300):
        table = Table(store)
        table.load()
        table.set([value % 64], value)
    assert len(store.parts[STORE]) < 60


def test_a_file_of_small_commits_reads_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.store.sqlite.write.MERGE_FRAMES", 7)
    monkeypatch.setattr(module, "_FEWEST_ROWS", 64)
    monkeypatch.setattr(module, "_MOST_PARTS", 64)
    rng = np.random.default_rng(1)
    path = str(tmp_path / "ring.db")
    expected: dict[int, int] = {}
    for _ in range(25):
        with closing(open_store(path)) as store:
            with store.view() as view:
                table = Table(view)
                table.load()
            assert table.values == expected
            for _ in range(int(rng.integers(1, 20))):
                old = rng.integers(0, max(1, len(expected)), int(rng.integers(0, 6)))
                new = np.arange(len(expected), len(expected) + int(rng.integers(0, 4)))
                slots = np.unique(np.concatenate([old, new])).tolist()
                if not slots:
                    continue
                value = int(rng.integers(0, 1000))
                with store.begin() as commit:
                    table.write_into(commit)
                    table.set(slots, value)
                    commit.commit()
                expected |= dict.fromkeys(slots, value)
