"""A query on its own: the order of its inputs, forced rows, what it keeps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millstream.clock import FixedClock
from millstream.database import Database
from millstream.engine.query import Query
from millstream.engine.source_rows import SourceReader, SourceRows, concat_rows

SCRIPT = """
CREATE STREAM s (k VARCHAR KEY, n INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE t (k VARCHAR PRIMARY KEY, n INT)
  WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE STREAM j AS SELECT s.k, s.n AS sn, t.n AS tn FROM s LEFT JOIN t ON s.k = t.k;
CREATE TABLE c AS SELECT k, COUNT(*) AS c FROM s GROUP BY k;
CREATE STREAM f AS SELECT k, n * 2 AS m FROM s WHERE n > 1;
"""


@pytest.fixture
def db() -> Iterator[Database]:
    """Rows of a stream and a table in turn, and queries that have not run."""
    properties = {"auto.offset.reset": "earliest", "cache.max.bytes.buffering": "0"}
    with Database.open(clock=FixedClock(0), properties=properties) as database:
        database.execute(SCRIPT)
        for number in range(4):
            database.insert("s", [{"k": "a", "n": number, "rowtime": number}])
            database.insert("t", [{"k": "a", "n": number * 10, "rowtime": number}])
        yield database


def query_of(database: Database, sink: str, row_wise: bool = False) -> Query:
    """A query by its sink, without state."""
    info = next(q for q in database.catalog.queries.values() if q.sink == sink)
    query = database.make_query(info)
    query.row_wise = row_wise
    return query


def inputs(database: Database, query: Query) -> dict[int, SourceRows]:
    """All rows of all sources of a query."""
    found = {}
    with database.store.view() as view:
        for read in query.reads:
            needed = query.needed_columns(read.source.id)
            reader = SourceReader(read.source, needed, strict_time=False)
            runs = [reader.read(records) for _, records in view.read(read.source.topic_id, 0)]
            found[read.source.id] = concat_rows(runs)
    return found


@pytest.mark.parametrize("row_wise", [False, True])
def test_rows_of_several_sources_happen_in_the_order_of_the_log(
    db: Database, row_wise: bool
) -> None:
    query = query_of(db, "J", row_wise)
    batch, notes = query.step(inputs(db, query))
    assert [a.to_pylist() for a in batch.arrays[1:]] == [[0, 1, 2, 3], [None, 0, 10, 20]]
    assert batch.order.tolist() == [0, 2, 4, 6]
    assert notes == []
    assert query.counters.rows_in == 8
    assert query.counters.rows_forced == (8 if row_wise else 0)


def test_records_carry_the_query_and_the_origin(db: Database) -> None:
    query = query_of(db, "F")
    rows = inputs(db, query)
    batch, notes = query.step(rows)
    records = query.records(batch, notes, 1)
    assert records is not None
    assert records.writer.tolist() == [query.number] * 2
    (source,) = rows.values()
    assert records.seq.tolist() == source.seq[2:].tolist()
    assert query.counters.rows_out == 2


def test_a_query_reads_what_it_needs(db: Database) -> None:
    query = query_of(db, "C")
    (read,) = query.reads
    assert "N" not in query.needed_columns(read.source.id)
    assert query.needed_columns(-1) == frozenset()
    assert query.topic_ids == [read.source.topic_id]


def test_tables_can_be_looked_at_and_streams_cannot(db: Database) -> None:
    query = query_of(db, "C")
    query.step(inputs(db, query))
    assert [a.to_pylist() for a in query.rows().arrays] == [["a"], [4]]
    stream = query_of(db, "J")
    stream.step(inputs(db, stream))
    with pytest.raises(LookupError):
        stream.rows()


def test_state_is_written_and_loaded(db: Database) -> None:
    query = query_of(db, "C")
    query.step(inputs(db, query))
    with db.store.begin() as commit:
        query.write(commit)
        commit.commit()
    again = query_of(db, "C")
    with db.store.view() as view:
        again.load(view)
    assert [a.to_pylist() for a in again.rows().arrays] == [["a"], [4]]
