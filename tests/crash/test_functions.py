"""A function that fails in the middle of a batch, with everything running: a row's failure is a
line of the processing log, a query's failure stops that query alone, and where memory is short
fewer rows are taken at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from millstream import types as t
from millstream.clock import FixedClock
from millstream.database import Database
from millstream.engine.query import Query
from millstream.errors import StoreError
from millstream.functions import default_registry
from millstream.functions.aggregates.base import RowAggregator, State
from millstream.functions.registry import (
    AggregateFunction,
    AggregateVariant,
    Registry,
    ScalarFunction,
    TableFunction,
    Variant,
)
from millstream.store.interfaces import Commit
from tests.crash.unreliable import FULL, failing, open_unreliable, writes

ROWS = 3_000
SCRIPT = """
SET 'auto.offset.reset' = 'earliest';
CREATE STREAM numbers (n INT, k VARCHAR)
  WITH (KAFKA_TOPIC = 'numbers', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
CREATE TABLE before AS SELECT k, COUNT(*) AS c, SUM(n) AS s FROM numbers GROUP BY k;
CREATE TABLE windows AS SELECT k, MAX(n) AS most FROM numbers
  WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY k;
{statement}
CREATE STREAM behind AS SELECT * FROM fragile;
CREATE STREAM after AS SELECT n, k FROM numbers WHERE n % 2 = 0;
"""
STATEMENTS = {
    "row": "CREATE STREAM fragile AS SELECT n, k, FRAGILE(n) AS f FROM numbers;",
    "condition": "CREATE STREAM fragile AS SELECT n, k FROM numbers WHERE FRAGILE(n) >= 0;",
    "column": "CREATE STREAM fragile AS SELECT n, k, FRAGILE_COLUMN(n) AS f FROM numbers;",
    "table": "CREATE STREAM fragile AS SELECT n, k, FRAGILE_ROWS(n) AS f FROM numbers;",
    "aggregate": "CREATE STREAM fragile (n INT, k VARCHAR) WITH (KAFKA_TOPIC = 'fragile',"
    " VALUE_FORMAT = 'JSON', PARTITIONS = 2);"
    "CREATE TABLE sums AS SELECT k, FRAGILE_SUM(n) AS f FROM numbers GROUP BY k;",
    "windowed aggregate": "CREATE STREAM fragile (n INT, k VARCHAR) WITH (KAFKA_TOPIC = 'fragile',"
    " VALUE_FORMAT = 'JSON', PARTITIONS = 2);"
    "CREATE TABLE sums AS SELECT k, FRAGILE_SUM(n) AS f FROM numbers"
    " WINDOW SESSION (1 SECOND) GROUP BY k;",
}
TABLES = ("before", "windows", "after", "fragile", "behind")

Meet = Callable[[list[int]], None]
"""Gets the values that a call is about; raises where it is to fail."""


class Sum(RowAggregator):
    """A sum that may fail."""

    state_types: tuple[t.SqlType, ...] = (t.BIGINT,)

    def __init__(self, meet: Meet) -> None:
        self._meet = meet

    def initial(self) -> State:
        return (0,)

    def add(self, state: State, arguments: State) -> State:
        self._meet([arguments[0]])
        return (state[0] + arguments[0],)

    def merge(self, left: State, right: State) -> State:
        return (left[0] + right[0],)


class Fragile:
    """Functions that do what they are told: `meet` is asked at each call."""

    def __init__(self) -> None:
        self.meet: Meet = lambda values: None

    def registry(self) -> Registry:
        """All functions and these."""

        def ask(values: list[int]) -> None:
            self.meet(values)

        def row(n: int) -> int:
            ask([n])
            return n

        def column(n: pa.Array) -> pa.Array:
            ask(n.to_pylist())
            return n

        def rows(n: int) -> list[int]:
            ask([n])
            return [n] * (n % 3)

        found = default_registry().child()
        i = t.INTEGER
        found.add(
            ScalarFunction("FRAGILE", "test", "", (Variant((i,), i, row),)),
            ScalarFunction("FRAGILE_COLUMN", "test", "", (Variant((i,), i, columnar=column),)),
            TableFunction("FRAGILE_ROWS", "", (Variant((i,), i, rows),)),
            AggregateFunction(
                "FRAGILE_SUM",
                "",
                (AggregateVariant((i,), lambda *_: t.BIGINT, lambda *_: Sum(ask)),),
            ),
        )
        return found


def feed(db: Database, start: int, stop: int) -> None:
    """Insert numbers, a batch of them."""
    columns = {
        "n": pa.array(range(start, stop), pa.int32()),
        "k": pa.array([f"key {n % 17}" for n in range(start, stop)]),
        "ROWTIME": pa.array([n * 10 for n in range(start, stop)], pa.int64()),
    }
    db.insert("numbers", pa.table(columns))


def answers(db: Database, more: tuple[str, ...] = ()) -> dict[str, Any]:
    """What is in all tables and streams."""
    return {
        name: sorted(db.sql(f"SELECT * FROM {name};").rows(), key=str) for name in (*TABLES, *more)
    }


def log(db: Database) -> list[tuple[Any, ...]]:
    """The lines of the processing log."""
    query = 'SELECT query_id, message, "OFFSET", "PARTITION" FROM KSQL_PROCESSING_LOG;'
    rows: list[tuple[Any, ...]] = db.sql(query).rows()
    return rows


@pytest.fixture
def fragile() -> Fragile:
    """The functions."""
    return Fragile()


@pytest.fixture(params=list(STATEMENTS))
def kind(request: pytest.FixtureRequest) -> str:
    """Where the function is called."""
    return str(request.param)


@pytest.fixture
def db(tmp_path: Path, fragile: Fragile, kind: str) -> Iterator[Database]:
    """A database with a query that calls a function, others before, beside and behind it."""
    path = str(tmp_path / "x.db")
    clock = FixedClock(1_000_000)
    with Database.open(path, clock=clock, registry=fragile.registry()) as database:
        database.execute(SCRIPT.format(statement=STATEMENTS[kind]))
        yield database


def undisturbed(kind: str, more: tuple[str, ...]) -> dict[str, Any]:
    """What there is in the end where nothing fails."""
    with Database.open(clock=FixedClock(1_000_000), registry=Fragile().registry()) as database:
        database.execute(SCRIPT.format(statement=STATEMENTS[kind]))
        for start in range(0, ROWS, ROWS // 3):
            feed(database, start, start + ROWS // 3)
        database.run(until_idle=True)
        return answers(database, more)


def more_of(kind: str) -> tuple[str, ...]:
    """The table of an aggregate."""
    return ("sums",) if "aggregate" in kind else ()


def failed(db: Database) -> dict[str, str | None]:
    """The queries that stand still, with the reason."""
    return {q.id: q.error for q in db.catalog.queries.values() if q.state != "RUNNING"}


def test_memory_is_short_for_a_while(db: Database, fragile: Fragile, kind: str) -> None:
    expected = undisturbed(kind, more_of(kind))
    times = 2

    def short(values: list[int]) -> None:
        nonlocal times
        if len(values) > 200:
            raise MemoryError
        if 1_900 in values and times > 0:
            times -= 1
            raise MemoryError

    feed(db, 0, ROWS // 3)
    db.run(until_idle=True)
    fragile.meet = short
    feed(db, ROWS // 3, 2 * ROWS // 3)
    feed(db, 2 * ROWS // 3, ROWS)
    db.start()
    while not db.idle():
        with db.engine.committed:
            db.engine.committed.wait(0.02)
    db.stop()
    assert times == 0
    assert failed(db) == {}
    assert answers(db, more_of(kind)) == expected
    assert log(db) == []


def test_a_value_that_never_fits_is_one_rows_failure(
    db: Database, fragile: Fragile, kind: str
) -> None:
    def never(values: list[int]) -> None:
        if 1_234 in values:
            raise MemoryError

    fragile.meet = never
    feed(db, 0, ROWS)
    db.run(until_idle=True)
    if "aggregate" not in kind:
        assert failed(db) == {}
        ((_, message, offset, partition),) = log(db)
        assert "not enough memory" in message
        assert (offset, partition) == (1_234, 0)
        return
    assert len(failed(db)) == 1
    fragile.meet = lambda values: None
    db.execute("RESUME ALL;")
    db.run(until_idle=True)
    assert answers(db, more_of(kind)) == undisturbed(kind, more_of(kind))


def test_a_function_raises_in_the_middle_of_a_batch(
    db: Database, fragile: Fragile, kind: str
) -> None:
    def broken(values: list[int]) -> None:
        if any(1_100 <= n < 1_110 for n in values):
            raise RuntimeError("the function's own failure")

    feed(db, 0, ROWS // 3)
    db.run(until_idle=True)
    fragile.meet = broken
    feed(db, ROWS // 3, ROWS)
    db.start()
    while not db.idle():
        with db.engine.committed:
            db.engine.committed.wait(0.02)
    db.stop()
    assert db.loop_error is None
    found, expected = answers(db), undisturbed(kind, more_of(kind))
    for name in ("before", "windows", "after"):
        assert found[name] == expected[name], name
    if "aggregate" not in kind:
        assert failed(db) == {}
        assert {m for _, m, _, _ in log(db)} == {"the function's own failure"}
        assert sorted(offset for _, _, offset, _ in log(db)) == list(range(1_100, 1_110))
        for name in ("fragile", "behind"):
            sound = [f for f in found[name] if not 1_100 <= f[0] < 1_110]
            assert sound == [f for f in expected[name] if not 1_100 <= f[0] < 1_110], name
            # The value is null; a row of a condition or a table function is none.
            rest = sorted(f for f in found[name] if 1_100 <= f[0] < 1_110)
            whole = kind in ("row", "column")
            assert rest == [(n, f"key {n % 17}", None) for n in range(1_100, 1_110) if whole], name
        return
    ((stopped, reason),) = failed(db).items()
    assert reason == "RuntimeError: the function's own failure"
    fragile.meet = lambda values: None
    db.execute(f"RESUME {stopped};")
    db.run(until_idle=True)
    assert answers(db, more_of(kind)) == expected


def test_a_function_that_wants_to_exit_stops_its_query_alone(
    db: Database, fragile: Fragile, kind: str
) -> None:
    def leave(values: list[int]) -> None:
        raise SystemExit(3)

    fragile.meet = leave
    db.start()
    feed(db, 0, ROWS)
    db.stop()
    assert db.loop_error is None
    ((_, reason),) = failed(db).items()
    assert reason is not None
    assert "the program's end (SystemExit(3))" in reason
    found, expected = answers(db), undisturbed(kind, more_of(kind))
    for name in ("before", "windows", "after"):
        assert found[name] == expected[name], name


@pytest.mark.parametrize("kind", ["aggregate"], indirect=True)
def test_a_failure_that_cannot_be_written_down_is_met_again(
    tmp_path: Path, fragile: Fragile, kind: str
) -> None:
    def broken(values: list[int]) -> None:
        raise RuntimeError("the function's own failure")

    with open_unreliable(str(tmp_path / "x.db"), registry=fragile.registry()) as db:
        db.execute(SCRIPT.format(statement=STATEMENTS[kind]))
        feed(db, 0, ROWS)
        fragile.meet = broken
        with failing(writes(FULL)):
            for _ in range(3):
                with pytest.raises(StoreError, match="the disk is full"):
                    db.step()
        assert failed(db) == {}
        db.run(until_idle=True)
        ((stopped, _),) = failed(db).items()
        fragile.meet = lambda values: None
        db.execute(f"RESUME {stopped};")
        db.run(until_idle=True)
        found = answers(db, more_of(kind))
    assert found == undisturbed(kind, more_of(kind))


@pytest.mark.parametrize("kind", ["row"], indirect=True)
@pytest.mark.parametrize(
    ("fatal", "told"),
    [(ValueError("a bug"), "a bug"), (MemoryError(), "memory")],
    ids=["bug", "memory"],
)
def test_state_that_cannot_be_written(
    db: Database, monkeypatch: pytest.MonkeyPatch, fatal: Exception, told: str
) -> None:
    write = Query.write
    broken = True

    def fails(query: Query, commit: Commit) -> None:
        write(query, commit)
        if broken and query.info is not None and query.info.sink == "BEFORE":
            raise fatal

    expected = undisturbed("row", ())
    monkeypatch.setattr(Query, "write", fails)
    feed(db, 0, ROWS)
    db.run(until_idle=True)
    ((stopped, reason),) = failed(db).items()
    assert stopped == "CTAS_BEFORE_0"
    assert reason is not None
    assert told in reason
    assert {**answers(db), "before": []} == {**expected, "before": []}
    broken = False
    db.execute(f"RESUME {stopped};")
    db.run(until_idle=True)
    assert answers(db) == expected
