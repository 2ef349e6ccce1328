"""The laws of cuts fail where the engine is broken in what they are there for.

Each test breaks one thing and lets a law run over programs that are always the same ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from millstream.columns import segments
from millstream.columns.segments import Segments
from millstream.database import Database
from millstream.engine.operators.base import StreamTimes
from millstream.engine.source_rows import SourceRows
from millstream.store.interfaces import Records
from tests.properties.engine_runs import Run, outcome
from tests.properties.program_relations import Program, Traits
from tests.properties.test_engine_cuts import cut_programs, ones, same

Law = Callable[[Program, list[int]], None]

fixed = settings(
    max_examples=3000,  # it ends at the first that fails
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def any_cut(program: Program, sizes: list[int]) -> None:
    """A record at a time, or some at a time, give what all at once give."""
    expected = outcome(program)
    same(outcome(program, ones(program)), expected, program)
    same(outcome(program, sizes), expected, program)


def any_restart(program: Program, sizes: list[int]) -> None:
    """What is loaded again is what was there."""

    def reload(database: Database) -> Database:
        database.engine.reload()
        return database

    same(outcome(program, ones(program), between=reload), outcome(program), program)


def fails(law: Law, traits: Traits | None = None) -> None:
    """The law finds a program for which it does not hold."""

    @fixed
    @given(cut_programs(traits))
    def run(drawn: tuple[Program, list[int]]) -> None:
        law(*drawn)

    with pytest.raises(AssertionError, match=r"topic \w+ of"):
        run()


def test_writers_of_one_topic_that_do_not_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    def unmerged(pieces: Sequence[Records]) -> list[Records]:
        return list(pieces)

    monkeypatch.setattr("millstream.engine.arrival.merge_pieces", unmerged)
    fails(any_cut)


def test_inputs_of_a_query_that_are_not_taken_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_after_the_other(rows_by_source: dict[int, SourceRows]) -> dict[int, np.ndarray]:
        places, start = {}, 0
        for source, rows in rows_by_source.items():
            places[source] = np.arange(start, start + len(rows))
            start += len(rows)
        return places

    monkeypatch.setattr("millstream.engine.query._merge_order", one_after_the_other)
    fails(any_cut)


def test_doubles_that_are_added_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a batch adds up to is added to what was there before."""
    right = segments.running_float_sum

    def batch_first(initial: np.ndarray, values: np.ndarray, of: Segments) -> np.ndarray:
        sums: np.ndarray = right(np.zeros_like(initial), values, of) + initial[of.number]
        return sums

    monkeypatch.setattr(segments, "running_float_sum", batch_first)
    fails(any_cut, Traits(max_queries=2, max_records=20, partitions=(1,)))


def test_stream_times_that_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    right = StreamTimes.observe

    def forgetful(self: StreamTimes, rowtime: np.ndarray, partition: np.ndarray) -> np.ndarray:
        self._times.clear()
        return right(self, rowtime, partition)

    monkeypatch.setattr(StreamTimes, "observe", forgetful)
    fails(any_cut)


def test_state_that_is_not_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.engine.query.Query.load", lambda self, view: None)
    fails(any_restart)


def test_what_is_drawn_does_something() -> None:
    """Programs write something, and in several commits; queries and writers have work to do."""
    seen: Counter[str] = Counter()

    @settings(fixed, max_examples=250)
    @given(cut_programs())
    def look(drawn: tuple[Program, list[int]]) -> None:
        program, sizes = drawn
        found, database = Run().go(program, sizes)
        writers = [writers_of(database, topic) for topic in program.sinks if topic in found]
        notes = database.log_lines
        database.close()
        seen["programs"] += 1
        seen["cut"] += len(sizes) > 1
        seen["written"] += any(writers)
        seen["each written"] += bool(writers) and all(writers)
        seen["two writers of one topic"] += any(len(set(w)) > 1 for w in writers)
        seen["writers in turns"] += any(turns(w) > 1 for w in writers)
        seen["notes"] += notes > 0
        seen["tombstones"] += any(row[1] is None for t in program.tables for row in found[t])

    look()
    share = {name: count / seen["programs"] for name, count in seen.items()}
    assert seen["programs"] == 250
    expected = {
        "cut": 0.5,
        "written": 0.5,
        "each written": 0.3,
        "two writers of one topic": 0.02,
        "writers in turns": 0.01,
        "notes": 0.1,
        "tombstones": 0.005,
    }
    few = [f"{name}: {share[name]:.3f}" for name, least in expected.items() if share[name] < least]
    assert not few


def turns(writers: Sequence[int]) -> int:
    """How often a topic's next record is another writer's than the one before."""
    return sum(a != b for a, b in pairwise(writers))


def writers_of(database: Database, topic: str) -> list[int]:
    """The creation number of the query that wrote each record of a topic."""
    with database.store.view() as view:
        known = view.topic(topic)
        assert known is not None
        return [w for _, records in view.read(known.id, 0) for w in records.writer.tolist()]
