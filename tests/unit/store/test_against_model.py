"""Any sequence of changes, commits, rollbacks and restarts leaves what a plain model says."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import millstream.store.sqlite.commit
import millstream.store.sqlite.pending
import millstream.store.sqlite.write
from millstream.store.interfaces import Commit, StoreId
from millstream.store.open import open_store
from tests.unit.store.ahead import write_as_late_as_can_be
from tests.unit.store.builders import lines, plain, random_records
from tests.unit.store.model import Model

OWNERS = ["query-1", "sink"]
STORES = [StoreId(1, "agg", "h1"), StoreId(1, "join", "h1"), StoreId(2, "agg", "h1")]
SCHEMAS = [
    pa.schema([("k", pa.string()), ("n", pa.int64())]),
    pa.schema([("k", pa.string()), ("n", pa.int64())], metadata={"codec": "2"}),
    pa.schema([("k", pa.dictionary(pa.int32(), pa.string())), ("n", pa.int64())]),
]
SEEDS = st.integers(0, 2**32)
INDEX = st.integers(0, 2)


class StoreMachine(RuleBasedStateMachine):
    """Drives a store and a model side by side."""

    in_file: ClassVar[bool]
    ahead: ClassVar[bool] = False
    worth_rows: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = str(Path(self.folder.name) / "s.db") if self.in_file else ":memory:"
        self.store = open_store(self.path)
        self.committed = Model()
        self.model = Model()
        self.commit: Commit | None = None

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def open_commit(self) -> Commit:
        if self.commit is None:
            self.commit = self.store.begin(ahead=self.ahead)
            self.model = self.committed.copy()
        return self.commit

    def topic(self, index: int) -> int | None:
        """Some topic of the open commit."""
        ids = sorted(self.model.topics)
        return ids[index % len(ids)] if ids else None

    @initialize()
    def first_topic(self) -> None:
        self.create_topic(2)

    @rule(partitions=st.integers(1, 4))
    def create_topic(self, partitions: int) -> None:
        commit = self.open_commit()
        names = {t.name for t in self.model.topics.values()}
        name = next(n for n in (f"t{i}" for i in range(99)) if n not in names)
        topic = commit.create_topic(name, partitions, retention_ms=5, cleanup_policy="compact")
        assert topic.id not in self.model.topics
        assert topic.id > self.model.last_ids.get("topic", 0)
        self.model.last_ids["topic"] = topic.id
        self.model.topics[topic.id] = topic
        self.model.records[topic.id] = []

    @rule(index=INDEX)
    def drop_topic(self, index: int) -> None:
        commit = self.open_commit()
        topic_id = self.topic(index)
        if topic_id is not None:
            commit.drop_topic(topic_id)
            self.model.drop_topic(topic_id)

    @rule(index=INDEX, seed=SEEDS, count=st.integers(0, 3) | st.just(90))
    def append(self, index: int, seed: int, count: int) -> None:
        commit = self.open_commit()
        topic_id = self.topic(index)
        if topic_id is None:
            return
        run = random_records(random.Random(seed), count, self.model.topics[topic_id].partitions)
        expected = self.model.append(topic_id, plain(run))
        assert plain(commit.append(topic_id, run)) == expected

    @rule(count=st.integers(0, 5))
    def allocate_seq(self, count: int) -> None:
        assert self.open_commit().allocate_seq(count) == self.model.seq
        self.model.seq += count

    @rule(owner=st.sampled_from(OWNERS), index=INDEX, ordinal=st.integers(0, 99))
    def set_position(self, owner: str, index: int, ordinal: int) -> None:
        commit = self.open_commit()
        topic_id = self.topic(index)
        if topic_id is not None:
            commit.set_position(owner, topic_id, ordinal)
            self.model.positions.setdefault(owner, {})[topic_id] = ordinal

    @rule(owner=st.sampled_from(OWNERS))
    def drop_positions(self, owner: str) -> None:
        self.open_commit().drop_positions(owner)
        self.model.positions.pop(owner, None)

    @rule(
        store=st.sampled_from(STORES),
        page=st.integers(0, 2),
        count=st.integers(0, 3) | st.just(400),
        shape=INDEX,
        whole=st.sampled_from([False, False, True]),
    )
    def put_rows(self, store: StoreId, page: int, count: int, shape: int, whole: bool) -> None:
        rows: list[dict[str, Any]] = [{"k": f"key {i}", "n": i} for i in range(count)]
        batch = pa.RecordBatch.from_pylist(rows, schema=SCHEMAS[shape])
        if whole:
            self.open_commit().put_page(store, page, batch)
            self.model.put_page(store, page, rows)
        else:
            self.open_commit().put_delta(store, page, batch)
            self.model.put_delta(store, page, rows)

    @rule(store=st.sampled_from(STORES), page=st.integers(0, 2))
    def drop_page(self, store: StoreId, page: int) -> None:
        self.open_commit().drop_page(store, page)
        self.model.drop_page(store, page)

    @rule(store=st.sampled_from(STORES), value=st.integers(0, 3))
    def put_meta(self, store: StoreId, value: int) -> None:
        self.open_commit().put_state_meta(store, {"time": value, "é": [None]})
        self.model.metas[store] = {"time": value, "é": [None]}

    @rule(query=st.integers(1, 2))
    def drop_state(self, query: int) -> None:
        self.open_commit().drop_state(query)
        self.model.drop_state(query)

    @rule(kind=st.sampled_from(["source", "query"]))
    def put_entry(self, kind: str) -> None:
        entry_id = self.open_commit().allocate_id(kind)
        assert entry_id == self.model.last_ids.get(kind, 0) + 1
        self.model.last_ids[kind] = entry_id
        self.commit_or_fail().put_entry(kind, entry_id, {"name": f"n{entry_id}"})
        self.model.entries.setdefault(kind, {})[entry_id] = {"name": f"n{entry_id}"}

    @rule(kind=st.sampled_from(["source", "query"]), entry=st.integers(1, 3), keep=st.booleans())
    def change_entry(self, kind: str, entry: int, keep: bool) -> None:
        commit = self.open_commit()
        entries = self.model.entries.setdefault(kind, {})
        if keep and entry in entries:
            commit.put_entry(kind, entry, {"changed": [1, "x"]})
            entries[entry] = {"changed": [1, "x"]}
        else:
            commit.delete_entry(kind, entry)
            entries.pop(entry, None)

    def commit_or_fail(self) -> Commit:
        assert self.commit is not None
        return self.commit

    @precondition(lambda self: self.commit is not None)
    @rule()
    def own_reads(self) -> None:
        self.model.check(self.commit_or_fail(), STORES, OWNERS)

    @precondition(lambda self: self.commit is not None)
    @rule()
    def finish(self) -> None:
        with self.commit_or_fail() as commit:
            seal(commit, self.ahead)
        self.commit = None
        self.committed = self.model

    @precondition(lambda self: self.commit is not None)
    @rule()
    def undo(self) -> None:
        with self.commit_or_fail():
            pass
        self.commit = None

    @rule(
        index=INDEX,
        store=st.sampled_from(STORES),
        owner=st.sampled_from(OWNERS),
        what=st.sets(st.sampled_from(["append", "position", "delta", "meta", "seq"])),
    )
    def small_commit(self, index: int, store: StoreId, owner: str, what: set[str]) -> None:
        """A commit of a few known things, which the other rules hardly ever leave alone."""
        if self.commit is not None:
            self.finish()
        with self.store.begin(ahead=self.ahead) as commit:
            model = self.committed.copy()
            ids = sorted(model.topics)
            if ids:
                topic_id = ids[index % len(ids)]
                end = len(model.records[topic_id])
                if "append" in what:
                    run = lines([f"{end}"], seq=[end])
                    model.append(topic_id, plain(run))
                    commit.append(topic_id, run)
                if "position" in what:
                    commit.set_position(owner, topic_id, end)
                    model.positions.setdefault(owner, {})[topic_id] = end
            if "delta" in what:
                rows: list[dict[str, Any]] = [{"k": "small", "n": index}]
                batch = pa.RecordBatch.from_pylist(rows, schema=SCHEMAS[index])
                commit.put_delta(store, index, batch)
                model.put_delta(store, index, rows)
            if "meta" in what:
                commit.put_state_meta(store, {"small": index})
                model.metas[store] = {"small": index}
            if "seq" in what:
                assert commit.allocate_seq(1) == model.seq
                model.seq += 1
            seal(commit, self.ahead)
        self.committed = model

    @precondition(lambda self: self.in_file)
    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.commit = None
        self.store = open_store(self.path)

    @precondition(lambda self: self.in_file)
    @rule()
    def read_only(self) -> None:
        self.store.settle()
        other = open_store(self.path, read_only=True)
        with other.view() as view:
            self.committed.check(view, STORES, OWNERS)
        other.close()

    @precondition(lambda self: self.ahead)
    @rule()
    def settle(self) -> None:
        self.store.settle()
        with self.store.view() as view:
            self.committed.check(view, STORES, OWNERS)

    @precondition(lambda self: not self.ahead)
    @invariant()
    def views_show_the_last_commit(self) -> None:
        with self.store.view() as view:
            self.committed.check(view, STORES, OWNERS)


class FileMachine(StoreMachine):
    in_file = True


class MemoryMachine(StoreMachine):
    in_file = False


class AheadMachine(FileMachine):
    """Each commit is made while the one before is still to be written."""

    ahead = True


class MergingMachine(AheadMachine):
    """Each small commit is written at once, perhaps while frames are still to be merged."""

    worth_rows = 100


def seal(commit: Commit, ahead: bool) -> None:
    """Commit, or have it done."""
    if ahead:
        commit.commit_later(no_error)
    else:
        commit.commit()


def no_error(error: BaseException | None) -> None:
    """What was written was written."""
    assert error is None


@pytest.mark.parametrize("machine", [FileMachine, MemoryMachine, AheadMachine, MergingMachine])
@pytest.mark.parametrize("eager", [False, True], ids=["usual", "eager"])
def test_store_equals_model(
    machine: type[StoreMachine], eager: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`eager`: the store merges, splits, spills and sweeps at once what it usually does rarely."""
    if machine.ahead:
        write_as_late_as_can_be(monkeypatch, worth_rows=machine.worth_rows)
    if eager:
        monkeypatch.setattr(millstream.store.sqlite.write, "MERGE_FRAMES", 2)
        monkeypatch.setattr(millstream.store.sqlite.write, "SWEEP_BYTES", 1)
        for module in (millstream.store.sqlite.pending, millstream.store.sqlite.write):
            monkeypatch.setattr(module, "MOST_ROWS", 20)
        monkeypatch.setattr(millstream.store.sqlite.pending, "FEW_ROWS", 0)
        monkeypatch.setattr(millstream.store.sqlite.write, "RUN_ROWS", 2)
        monkeypatch.setattr(millstream.store.sqlite.write, "RUN_BYTES", 1000)
        monkeypatch.setattr(millstream.store.sqlite.commit, "SPILL_BYTES", 2000)
    run_state_machine_as_test(machine, settings=settings(stateful_step_count=30))
