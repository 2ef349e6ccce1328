"""Random programs give the same topics however their input is cut, and whatever comes between."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from millstream.database import Database
from tests.properties.engine_runs import Dump, Row, Run, final, outcome
from tests.properties.program_records import DRAWN
from tests.properties.program_relations import Program, Traits
from tests.properties.programs import cuts, programs

EVERY = (
    "filter",
    "projection",
    "CASE",
    "CAST",
    "PARTITION BY",
    "LEFT JOIN",
    "INNER JOIN",
    "stream-stream join",
    "table-table join",
    "foreign-key join",
    "windowed source",
    "GROUP BY over a stream",
    "GROUP BY over a table",
    "unwindowed",
    "TUMBLING",
    "HOPPING",
    "SESSION",
    "HAVING",
    "EMIT FINAL",
    "INSERT INTO",
    "diamond",
    "filter of a table",
    "AS_VALUE",
    "COUNT(*)",
    "COUNT(int)",
    "COUNT(varchar)",
    "SUM(int)",
    "SUM(bigint)",
    "SUM(double)",
    "MIN(int)",
    "MIN(bigint)",
    "MIN(double)",
    "MAX(int)",
    "MAX(bigint)",
    "MAX(double)",
    "AVG(int)",
    "AVG(bigint)",
    "AVG(double)",
    "COLLECT_LIST(int)",
    "COLLECT_SET(varchar)",
    "HISTOGRAM(varchar)",
    "LATEST_BY_OFFSET(varchar)",
    "EARLIEST_BY_OFFSET(double)",
    "TOPK(int)",
    "TOPKDISTINCT(bigint)",
    "malformed record",
    "tombstone",
    "several partitions",
    "two sources of one topic",
    "headers column",
    "TIMESTAMP column",
    "DELIMITED values",
)
"""What the engine can do, as the generator of programs names it."""


def many(count: int) -> settings:
    """So many examples, or more where the profile asks for very many."""
    wanted = settings.get_current_profile_name() == "long"
    most = settings.get_profile("long").max_examples if wanted else count
    return settings(max_examples=most, suppress_health_check=[HealthCheck.too_slow])


def same(found: Dump, expected: Dump, program: Program) -> None:
    """Fail, showing the program, where two runs' topics differ."""
    for topic, rows in expected.items():
        assert found[topic] == rows, f"topic {topic} of\n{program.text()}"


@st.composite
def cut_programs(draw: st.DrawFn, traits: Traits | None = None) -> tuple[Program, list[int]]:
    """A program and the sizes of the pieces of its records."""
    program = draw(programs(traits))
    return program, draw(cuts(len(program.records)))


def ones(program: Program) -> list[int]:
    """Pieces of one record."""
    return [1] * len(program.records)


@many(120)
@given(cut_programs(), st.booleans())
def test_any_cut_gives_the_same_topics(drawn: tuple[Program, list[int]], by_feed: bool) -> None:
    program, sizes = drawn
    expected = outcome(program)
    same(outcome(program, ones(program)), expected, program)
    same(outcome(program, sizes, by_feed=by_feed), expected, program)


@many(40)
@given(cut_programs())
def test_any_cut_notes_and_counts_the_same(drawn: tuple[Program, list[int]]) -> None:
    """Records that cannot be decoded, each once; rows that went in and out, and what was noted."""

    def told(sizes: list[int] | None) -> tuple[list[Any], dict[str, tuple[int, int, int]]]:
        _, database = Run().go(program, sizes)
        rows = database.sql("SELECT * FROM KSQL_PROCESSING_LOG").rows()
        counted = {
            q.info.id: (q.counters.rows_in, q.counters.rows_out, q.counters.notes)
            for q in database.engine.queries.values()
            if q.info is not None
        }
        database.close()
        return sorted(row[3:9] for row in rows if row[3] == "deserialization"), counted

    program, sizes = drawn
    expected = told(None)
    assert told(ones(program)) == expected, program.text()
    assert told(sizes) == expected, program.text()


@many(80)
@given(cut_programs())
def test_row_paths_give_the_same_topics(drawn: tuple[Program, list[int]]) -> None:
    program, sizes = drawn
    same(outcome(program, sizes, row_wise=True), outcome(program, sizes), program)


@many(60)
@given(cut_programs(), st.sampled_from([1, 2, 3, 5]))
def test_small_batches_give_the_same_topics(
    drawn: tuple[Program, list[int]], max_rows: int
) -> None:
    program, sizes = drawn
    same(outcome(program, sizes, max_rows=max_rows, behind=True), outcome(program), program)


@many(60)
@given(cut_programs(), st.sampled_from([2, 50_000]))
def test_queries_that_come_late_give_the_same_topics(
    drawn: tuple[Program, list[int]], max_rows: int
) -> None:
    program, sizes = drawn
    found = outcome(program, sizes, late=True, max_rows=max_rows)
    same(found, outcome(program), program)


@many(60)
@given(cut_programs())
def test_a_reload_changes_nothing(drawn: tuple[Program, list[int]]) -> None:
    def reload(database: Database) -> Database:
        database.engine.reload()
        return database

    program, sizes = drawn
    same(outcome(program, sizes, between=reload), outcome(program), program)


@many(40)
@given(cut_programs())
def test_opening_the_file_again_changes_nothing(drawn: tuple[Program, list[int]]) -> None:
    program, sizes = drawn
    with tempfile.TemporaryDirectory() as folder:
        run = Run(path=str(Path(folder) / "program.db"))

        def reopen(database: Database) -> Database:
            database.close()
            return run.open()

        run.between = reopen
        found, database = run.go(program, sizes)
        database.close()
    same(found, outcome(program), program)


@many(100)
@given(cut_programs(Traits(cached=True)))
def test_the_cache_leaves_the_same_contents(drawn: tuple[Program, list[int]]) -> None:
    """Of tables, their times included; without them where tables that queries made are joined or
    grouped, and without the groups that have no rows any more."""
    program, sizes = drawn
    found, expected = outcome(program, sizes, cache=10_000_000), outcome(program)
    for topic, rows in expected.items():
        shown = f"topic {topic} of\n{program.text()}"
        if topic in program.regrouped:
            assert filled(found[topic]) == filled(rows), shown
        elif topic in program.loose:
            assert untimed(found[topic]) == untimed(rows), shown
        elif topic in program.tables:
            assert final(found[topic]) == final(rows), shown
            assert len(found[topic]) <= len(rows), shown
        else:
            assert found[topic] == rows, shown


def untimed(rows: Sequence[Row]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The last value of each key and window, and its partition."""
    return {key: (value, partition) for key, (value, _, partition) in final(rows).items()}


def filled(rows: Sequence[Row]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The same of groups whose first aggregate, a COUNT(*), is not 0."""
    empty = re.compile(rb'0,|0$|[{]"A0":0[,}]')
    return {key: row for key, row in untimed(rows).items() if not empty.match(row[0])}


def test_every_operator_and_aggregate_is_drawn() -> None:
    before = DRAWN.copy()

    def missing() -> list[str]:
        return [name for name in EVERY if DRAWN[name] == before[name]]

    # What is drawn depends also on the numbers and texts of the modules that are loaded.
    for number in range(5):
        if number and not missing():
            break

        @seed(number)
        @settings(max_examples=400, database=None, suppress_health_check=list(HealthCheck))
        @given(programs())
        def draw(program: Program) -> None:
            assert program.script

        draw()
    assert not missing()
