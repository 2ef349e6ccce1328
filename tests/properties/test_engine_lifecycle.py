"""Queries that are made, paused and resumed between records, and queries in a circle."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.database import Database
from tests.properties.engine_runs import (
    Dump,
    Run,
    append,
    check_healthy,
    dump,
    final,
    outcome,
    parts,
)
from tests.properties.program_records import Record
from tests.properties.program_relations import Program, Traits
from tests.properties.programs import cuts, programs


def feed(database: Database, records: Sequence[Record]) -> None:
    """Append records and take one step."""
    with database.engine.lock, database.store.begin() as commit:
        append(commit, records)
        commit.commit()
    database.step()


def settled(database: Database) -> Dump:
    """What the topics hold once nothing is left to do."""
    database.run(until_idle=True)
    check_healthy(database)
    return dump(database)


@settings(max_examples=60)
@given(st.data(), programs(Traits(writers=False)), st.sampled_from([2, 50_000]))
def test_queries_made_between_records_give_the_same_topics(
    data: st.DataObject, program: Program, max_rows: int
) -> None:
    sources, queries = parts(program)
    count = len(program.records)
    places = sorted(data.draw(st.integers(0, count)) for _ in queries)
    with Run(max_rows=max_rows).open() as database:
        database.execute("\n".join(sources))
        for number in range(count + 1):
            while places and places[0] == number:
                places.pop(0)
                database.execute(queries.pop(0))
            feed(database, program.records[number : number + 1])
        found = settled(database)
    assert found == outcome(program), program.text()


@settings(max_examples=60)
@given(st.data(), programs(), st.sampled_from([2, 50_000]))
def test_queries_paused_for_a_while_give_the_same_topics(
    data: st.DataObject, program: Program, max_rows: int
) -> None:
    names = re.findall(r"^CREATE \w+ (\w+)", program.text(), re.MULTILINE)
    leaves = [n for n in names if not re.search(rf"(FROM|JOIN|INTO) {n}\b|'{n}'", program.text())]
    with Run(max_rows=max_rows).open() as database:
        database.execute(program.text())
        chosen = [q.id for q in database.catalog.queries.values() if q.sink in leaves]
        for number in range(len(program.records)):
            for query in chosen:
                verb = data.draw(st.sampled_from(["", "PAUSE", "RESUME"]))
                if verb:
                    database.execute(f"{verb} {query};")
            feed(database, program.records[number : number + 1])
        database.execute("RESUME ALL;")
        found = settled(database)
    assert found == outcome(program), program.text()


CIRCLE = (
    "CREATE STREAM s (k INT KEY, n INT)"
    " WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS={});",
    "CREATE TABLE t AS SELECT k, COUNT(*) AS c, SUM(n) AS total FROM s GROUP BY k;",
    "CREATE STREAM up AS SELECT k, n + 1 AS n FROM s WHERE n < 5;",
    "INSERT INTO s SELECT k, n FROM up;",
    "CREATE STREAM other AS SELECT k + 1 AS k, n - 1 AS n FROM up WHERE n > 3 PARTITION BY k + 1;",
    "INSERT INTO s SELECT k, n FROM other WHERE k < 4;",
)


def contents(found: Dump) -> dict[str, Any]:
    """Per stream its records in any order; of the table its final rows without their times."""
    bags: dict[str, Any] = {
        topic: sorted((r[:3] for r in rows), key=repr) for topic, rows in found.items()
    }
    bags["T"] = {key: row[0] for key, row in final(found["T"]).items()}
    return bags


@settings(max_examples=40)
@given(
    st.data(),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), max_size=7),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 2, 50_000]),
    st.booleans(),
)
def test_a_circle_of_queries_comes_to_an_end_and_to_the_same_contents(
    data: st.DataObject, rows: list[tuple[int, int]], partitions: int, max_rows: int, late: bool
) -> None:
    records = tuple(
        Record("s", k.to_bytes(4, "big"), json.dumps({"N": n}).encode(), 1000 * i)
        for i, (k, n) in enumerate(rows)
    )
    script = tuple(s.format(partitions) for s in CIRCLE)
    program = Program(script, records, (), ())
    sizes = data.draw(cuts(len(records)))
    found = outcome(program, sizes, behind=True, max_rows=max_rows, late=late)
    assert contents(found) == contents(outcome(program, behind=True))
