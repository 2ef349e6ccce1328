"""Joins of tables give the same topics however their input is cut, and whatever comes between."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from millstream.database import Database
from tests.properties.engine_runs import Run, final, outcome
from tests.properties.program_records import INT, Topic, records, topics
from tests.properties.program_relations import Program
from tests.properties.programs import cuts
from tests.properties.test_engine_cuts import many, same, untimed

KINDS = ("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN")
QUERIES = (
    "SELECT {key} AS K, a.i, AS_VALUE(b.k) AS bk, b.t FROM a {any} b ON a.k = b.k",
    "SELECT {key} AS K, a.i, b.i FROM b {any} a ON a.k = b.k WHERE a.i > 0 OR b.t IS NULL",
    "SELECT b.k AS K, a.t, b.t, c.t, c.ROWTIME AS at FROM a {left} b ON a.k = b.k"
    " {left} c ON b.k = c.k",
    "SELECT ROWKEY AS K, a.t, b.t, c.t FROM a {left} b ON a.k = b.k FULL JOIN c ON a.k = c.k",
    "SELECT a.k AS K, a.i, b.k, b.t FROM a {foreign} b ON a.i = b.k",
    "SELECT a.k AS K, a.l, c.t FROM a {foreign} c ON a.i + 1 = c.k WHERE c.t <> 'a'",
    "SELECT a.k AS K, b.t, c.t FROM a {foreign} b ON a.i = b.k {left} c ON a.k = c.k",
    "SELECT b.t AS K, COUNT(*) AS n, SUM(a.i) AS s FROM a {any} b ON a.k = b.k GROUP BY b.t",
    "SELECT b.i AS K, COUNT(a.t) AS n FROM a {foreign} b ON a.i = b.k GROUP BY b.i",
)
"""Over tables a, b and c of a key K and values I, L, D and T."""


@st.composite
def table_programs(draw: st.DrawFn) -> Program:
    """Three tables, joins of them, and joins of a joined table with one of them."""
    partitions = draw(st.sampled_from([1, 1, 2, 3]))
    names = "abc"
    inputs: list[Topic] = [
        replace(draw(topics()), name=f"in_{name}", key_type=INT, value_format="JSON")
        for name in names
    ]
    script = [
        f"CREATE TABLE {name} (k INT PRIMARY KEY, i INT, l BIGINT, d DOUBLE, t VARCHAR) WITH"
        f" (KAFKA_TOPIC='{topic.name}', KEY_FORMAT='{topic.key_format}', VALUE_FORMAT='JSON',"
        f" PARTITIONS={partitions});"
        for name, topic in zip(names, inputs, strict=True)
    ]
    sinks = []
    for number in range(draw(st.integers(1, 3))):
        any_kind = draw(st.sampled_from(KINDS))
        select = draw(st.sampled_from(QUERIES)).format(
            any=any_kind,
            key="ROWKEY" if any_kind == "FULL JOIN" else "a.k",
            left=draw(st.sampled_from(KINDS[:3])),
            foreign=draw(st.sampled_from(KINDS[:2])),
        )
        sinks.append(f"Q{number}")
        script.append(f"CREATE TABLE Q{number} AS {select};")
        if draw(st.booleans()) and "GROUP BY" not in select:
            kind = draw(st.sampled_from(KINDS[:3]))
            sinks.append(f"R{number}")
            script.append(
                f"CREATE TABLE R{number} AS SELECT q.k AS K, a.i, a.t FROM Q{number} q"
                f" {kind} a ON q.k = a.k;"
            )
    found = draw(records(inputs, 20, True))
    loose = tuple(sink for sink in sinks if sink.startswith("R"))
    return Program(tuple(script), tuple(found), tuple(sinks), tuple(sinks), loose)


@st.composite
def cut_programs(draw: st.DrawFn) -> tuple[Program, list[int]]:
    """A program and the sizes of the pieces of its records."""
    program = draw(table_programs())
    return program, draw(cuts(len(program.records)))


@many(30)
@given(cut_programs())
def test_any_cut_gives_the_same_topics(drawn: tuple[Program, list[int]]) -> None:
    program, sizes = drawn
    expected = outcome(program)
    same(outcome(program, [1] * len(program.records)), expected, program)
    same(outcome(program, sizes), expected, program)
    same(outcome(program, sizes, row_wise=True), expected, program)


@many(30)
@given(cut_programs(), st.sampled_from([1, 3, 50_000]))
def test_queries_that_come_late_or_behind_give_the_same_topics(
    drawn: tuple[Program, list[int]], max_rows: int
) -> None:
    program, sizes = drawn
    expected = outcome(program)
    same(outcome(program, sizes, late=True, max_rows=max_rows), expected, program)
    same(outcome(program, sizes, behind=True, max_rows=max_rows), expected, program)


@many(15)
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


@many(30)
@given(cut_programs())
def test_a_cache_leaves_the_same_tables(drawn: tuple[Program, list[int]]) -> None:
    """Without the times of rows where a joined table is joined again: what changed twice in a
    commit and came back to what it was is no change."""
    program, sizes = drawn
    every, cached = outcome(program, sizes), outcome(program, sizes, cache=10_000_000)
    for sink in program.sinks:
        contents = untimed if sink in program.loose else final
        assert contents(cached[sink]) == contents(every[sink]), program.text()
