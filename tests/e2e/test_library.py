"""Millstream as a library: connect, execute, insert, sql, subscribe."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import millstream
from millstream import Database
from millstream.clock import FixedClock
from millstream.errors import (
    ExecutionError,
    MillstreamError,
    NotSupportedYetError,
    ParseError,
    SemanticError,
)
from tests.e2e.readings import SCRIPT, settle


@pytest.fixture
def db() -> Iterator[Database]:
    """A database in memory with a stream and a table; its clock stands at 1000 ms."""
    with millstream.connect(clock=FixedClock(1_000)) as database:
        database.execute(SCRIPT)
        yield database


# --- importing and opening --------------------------------------------------------------------


def test_import_is_light() -> None:
    heavy = ("duckdb", "pyarrow", "numpy", "rich", "httpx", "sqlite3")
    code = f"import sys, millstream; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_file_is_made_and_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "clicks.db"
    db = millstream.connect(str(path))
    db.execute(SCRIPT)
    db.insert("readings", [("attic", 31.5)])
    settle(db)
    db.close()
    db.close()
    assert db.closed
    assert path.stat().st_mode & 0o077 == 0
    with millstream.connect(str(path)) as db:
        assert db.sql("SELECT * FROM hottest;").rows() == [("attic", 31.5, 1)]


def test_memory_databases_are_apart() -> None:
    with millstream.connect() as one, millstream.connect() as other:
        one.execute(SCRIPT)
        assert "READINGS" not in other.catalog.sources


# --- execute ----------------------------------------------------------------------------------


def test_outcomes_say_what_was_done(db: Database) -> None:
    outcomes = db.execute("SHOW STREAMS; CREATE STREAM warm AS SELECT * FROM readings;")
    assert [o.statement.split()[0] for o in outcomes] == ["SHOW", "CREATE"]
    assert outcomes[0].table is not None
    assert outcomes[0].table.columns[0] == "name"
    assert outcomes[1].message == "stream WARM created, query CSAS_WARM_1 started"
    assert outcomes[1].table is None


def test_variables_are_filled_in(db: Database) -> None:
    db.execute(
        "DEFINE place = 'cellar'; INSERT INTO readings VALUES ('${place}', ${value});",
        {"value": "7.5"},
    )
    assert db.sql("SELECT * FROM readings;").rows() == [("cellar", 7.5)]


def test_statements_before_one_at_fault_stay(db: Database) -> None:
    with pytest.raises(SemanticError):
        db.execute("INSERT INTO readings VALUES ('a', 1.0); DROP STREAM nothing;")
    assert len(db.sql("SELECT * FROM readings;")) == 1


def test_nothing_of_a_script_that_does_not_parse_is_lost_silently(db: Database) -> None:
    with pytest.raises(ParseError):
        db.execute("INSERT INTO readings VALUES ('a', 1.0); INSERT INTO;")


# --- insert -----------------------------------------------------------------------------------


def test_rows_as_tuples_and_dicts(db: Database) -> None:
    assert db.insert("readings", [("attic", 31.5), ("cellar", None)]) == 2
    rows = [{"sensor": "attic", "celsius": 30.0, "ROWTIME": 5}, {"CELSIUS": 12.5}]
    assert db.insert("READINGS", rows) == 2
    assert db.insert("readings", []) == 0
    assert db.sql("SELECT sensor, celsius, ROWTIME FROM readings;").rows() == [
        ("attic", 31.5, 1_000),
        ("cellar", None, 1_000),
        ("attic", 30.0, 5),
        (None, 12.5, 1_000),
    ]
    settle(db)
    # A row without a key belongs to no group.
    assert db.sql("SELECT * FROM hottest;").rows() == [("attic", 31.5, 2), ("cellar", None, 1)]


def test_a_row_time_of_zero_is_a_time(db: Database) -> None:
    db.insert("readings", [{"sensor": "a", "ROWTIME": 0}])
    db.insert("readings", pa.table({"sensor": ["b"], "rowtime": [0]}))
    assert db.sql("SELECT ROWTIME FROM readings;").rows() == [(0,), (0,)]


def test_rows_as_arrow(db: Database) -> None:
    table = pa.table({"sensor": ["attic", "cellar"], "celsius": pa.array([31, 12], pa.int32())})
    assert db.insert("readings", table) == 2
    batch = pa.record_batch({"Celsius": [1.5], "rowtime": pa.array([7_000], pa.timestamp("ms"))})
    assert db.insert("readings", batch) == 1
    assert db.insert("readings", table.slice(0, 0)) == 0
    assert db.sql("SELECT sensor, celsius, ROWTIME FROM readings;").rows() == [
        ("attic", 31.0, 1_000),
        ("cellar", 12.0, 1_000),
        (None, 1.5, 7_000),
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"sensr": "attic"}], "READINGS has no column sensr"),
        ([("attic",)], "1 values are given for the 2 columns of READINGS"),
        ([("attic", "warm")], "READINGS: column CELSIUS takes DOUBLE, not 'warm'"),
        ([{"sensor": "a", "ROWTIME": "noon"}], "ROWTIME is a number of ms since 1970, not 'noon'"),
        ([{"sensor": "a", "ROWTIME": -1}], "ROWTIME is a number of ms since 1970, not -1"),
        (pa.table({"rowtime": ["noon"]}), "ROWTIME is a number of ms since 1970 or a timestamp"),
        (pa.table({"rowtime": [-1]}), "ROWTIME cannot be before 1970"),
        (
            pa.table({"celsius": ["warm"]}),
            "READINGS: column CELSIUS takes DOUBLE, and not every",
        ),
        (pa.table({"kelvin": [1.5]}), "READINGS has no column KELVIN"),
    ],
)
def test_rows_that_do_not_fit(db: Database, rows: Any, message: str) -> None:
    with pytest.raises(ExecutionError, match=message):
        db.insert("readings", rows)
    assert len(db.sql("SELECT * FROM readings;")) == 0


def test_inserting_where_one_cannot(db: Database) -> None:
    with pytest.raises(SemanticError, match="there is no stream or table `READING`"):
        db.insert("reading", [("a", 1.0)])
    db.execute(
        "CREATE TABLE per_minute AS SELECT sensor, COUNT(*) AS n FROM readings"
        " WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY sensor;"
    )
    for name in ("per_minute", "KSQL_PROCESSING_LOG"):
        with pytest.raises(ExecutionError, match="cannot be written"):
            db.insert(name, [])


def test_values_of_every_type_come_back(db: Database) -> None:
    columns = {
        "b": ("BOOLEAN", True),
        "i": ("INT", -7),
        "l": ("BIGINT", 2**53 + 1),
        "d": ("DOUBLE", 0.1),
        "n": ("DECIMAL(5, 2)", Decimal("12.50")),
        "s": ("VARCHAR", "Grüße 🜁"),
        "y": ("BYTES", b"\x00\xff"),
        "a": ("ARRAY<INT>", [1, None, 3]),
        "m": ("MAP<VARCHAR, DOUBLE>", {"x": 1.5, "y": None}),
        "r": ("STRUCT<F INT, G ARRAY<VARCHAR>>", {"F": 1, "G": ["p"]}),
        "t": ("TIMESTAMP", 1_500),
        "dt": ("DATE", 19_000),
        "tm": ("TIME", 3_600_000),
    }
    declared = ", ".join(f"{name} {kind}" for name, (kind, _) in columns.items())
    db.execute(
        f"CREATE STREAM wide ({declared})"
        " WITH (KAFKA_TOPIC = 'wide', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
        "CREATE STREAM copy AS SELECT * FROM wide;"
    )
    row = {name: value for name, (_, value) in columns.items()}
    db.insert("wide", [row, {}])
    settle(db)
    expected = [tuple(row.values()), (None,) * len(row)]
    assert db.sql("SELECT * FROM wide;").rows() == expected
    assert db.sql("SELECT * FROM copy;").rows() == expected
    table = db.sql("SELECT * FROM copy;").arrow()
    assert table.column("T").to_pylist() == [datetime.datetime(1970, 1, 1, 0, 0, 1, 500_000), None]
    assert table.column("DT").to_pylist() == [datetime.date(2022, 1, 8), None]
    assert table.column("TM").to_pylist() == [datetime.time(1), None]
    # What Arrow gives goes in again.
    assert db.insert("wide", table) == 2
    assert db.sql("SELECT * FROM wide;").rows() == expected * 2


# --- sql --------------------------------------------------------------------------------------


def test_answers_as_rows_and_as_arrow(db: Database) -> None:
    db.insert("readings", [("attic", 31.5), ("attic", 12.0), ("cellar", 9.0)])
    settle(db)
    found = db.sql("SELECT sensor, celsius AS top FROM hottest WHERE sensor = 'attic';")
    assert found.columns == ["SENSOR", "TOP"]
    assert found.rows() == [("attic", 31.5)]
    assert found.arrow().to_pydict() == {"SENSOR": ["attic"], "TOP": [31.5]}
    nothing = db.sql("SELECT * FROM hottest WHERE sensor = 'moon';")
    assert (len(nothing), nothing.rows(), nothing.arrow().num_rows) == (0, [], 0)
    assert nothing.columns == ["SENSOR", "CELSIUS", "N"]


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT COUNT(*) FROM hottest;", [(2,)]),
        ("SELECT COUNT(*) AS n, MAX(celsius) FROM readings", [(3, 31.5)]),
        ("SELECT SUM(n) + 1 FROM hottest", [(4,)]),
        ("SELECT sensor FROM hottest ORDER BY celsius DESC LIMIT 1", [("attic",)]),
        (
            "SELECT sensor, COUNT(*) FROM readings GROUP BY sensor HAVING COUNT(*) > 1",
            [("attic", 2)],
        ),
        (
            "SELECT r.celsius FROM readings r JOIN hottest h ON r.sensor = h.sensor"
            " AND r.celsius < h.celsius",
            [(12.0,)],
        ),
        ("SELECT count(*) FROM (SELECT DISTINCT sensor FROM readings) AS x", [(2,)]),
        ("WITH t AS (SELECT n FROM hottest) SELECT max(n) FROM t", [(2,)]),
    ],
)
def test_sql_beyond_pull_queries(db: Database, query: str, rows: list[tuple[Any, ...]]) -> None:
    db.insert("readings", [("attic", 31.5), ("attic", 12.0), ("cellar", 9.0)])
    settle(db)
    assert db.sql(query).rows() == rows
    assert db.sql(query).arrow().num_rows == len(rows)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "COPY (SELECT * FROM hottest) TO '/tmp/millstream-should-not-be'",
        "SELECT * FROM hottest ORDER BY nothing",
        "INSTALL hottest",
        "SELECT * FROM hottest; DROP TABLE hottest",
    ],
)
def test_sql_that_is_refused(db: Database, query: str) -> None:
    with pytest.raises(MillstreamError):
        db.sql(query)
    assert not Path("/tmp/millstream-should-not-be").exists()
    assert "HOTTEST" in db.catalog.sources


def test_other_statements_and_endless_ones_are_sent_elsewhere(db: Database) -> None:
    with pytest.raises(SemanticError, match="only SELECT") as caught:
        db.sql("DROP TABLE hottest;")
    assert "execute" in (caught.value.hint or "")
    with pytest.raises(SemanticError, match="never ends") as caught:
        db.sql("SELECT * FROM hottest EMIT CHANGES;")
    assert "subscribe" in (caught.value.hint or "")
    with pytest.raises(SemanticError, match="EMIT CHANGES"):
        db.subscribe("SELECT * FROM hottest;")


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "kind", "place"),
    [
        ("SELECT sensor\nFROM reading;", SemanticError, (2, "reading")),
        ("CREATE STREAM x AS\n  SELECT kelvin FROM readings;", SemanticError, (2, "kelvin")),
        (
            "CREATE STREAM x AS\n  SELECT sensor, NOPE(celsius) FROM readings;",
            SemanticError,
            (2, "NOPE"),
        ),
        ("SHOW\n  STRAEMS;", ParseError, (2, "STRAEMS")),
        ("DROP TABLE hotest;", SemanticError, (1, "DROP")),
        ("ASSERT TOPIC readings;", NotSupportedYetError, (1, "ASSERT")),
        ("RUN SCRIPT 'x.sql';", NotSupportedYetError, (1, "RUN")),
    ],
)
def test_errors_point_at_the_word(
    db: Database, statement: str, kind: type[MillstreamError], place: tuple[int, str]
) -> None:
    script = "SHOW STREAMS;\n\n" + statement
    with pytest.raises(kind) as caught:
        db.execute(script)
    line, word = place
    first, source, caret, *_ = caught.value.render().splitlines()
    column = statement.splitlines()[line - 1].index(word) + 1
    assert first.startswith(f"line {line + 2}, column {column}: ")
    assert source == "  " + statement.splitlines()[line - 1]
    assert caret.startswith("  " + " " * (column - 1) + "^" * min(len(word), 4))
    assert caret.strip(" ^") == ""


@pytest.mark.parametrize("ask", [Database.sql, Database.subscribe])
def test_errors_of_queries_point_at_the_word(
    db: Database, ask: Callable[[Database, str], object]
) -> None:
    emit = " EMIT CHANGES" if ask is Database.subscribe else ""
    with pytest.raises(SemanticError) as caught:
        ask(db, f"SELECT sensor,\n  kelvin FROM readings{emit};")
    lines = caught.value.render().splitlines()
    assert lines[0].startswith("line 2, column 3: ")
    assert lines[2] == "  " + "  " + "^" * 6


def test_hints_name_what_was_meant(db: Database) -> None:
    with pytest.raises(SemanticError) as caught:
        db.execute("DROP TABLE hotest;")
    assert caught.value.hint == "Did you mean HOTTEST?"


def test_a_closed_database_says_so(db: Database) -> None:
    db.close()
    for act in (
        lambda: db.execute("SHOW STREAMS;"),
        lambda: db.execute("INSERT INTO readings VALUES ('a', 1.0);"),
        lambda: db.sql("SELECT * FROM hottest;"),
        lambda: db.insert("readings", [("a", 1.0)]),
    ):
        with pytest.raises(MillstreamError, match="closed"):
            act()


# --- the processing log -----------------------------------------------------------------------


def test_the_processing_log_is_bounded(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.database.processing_log.KEPT_LINES", 100)
    db.execute(
        """CREATE STREAM numbers (x INT)
          WITH (KAFKA_TOPIC = 'numbers', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
        CREATE STREAM words (x VARCHAR)
          WITH (KAFKA_TOPIC = 'numbers', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
        CREATE STREAM doubled AS SELECT x * 2 AS y FROM numbers;
        CREATE TABLE problems AS SELECT kind, COUNT(*) AS n FROM KSQL_PROCESSING_LOG GROUP BY kind;
        """
    )
    for batch in range(30):
        db.insert("words", [{"x": f"no number {batch} {i}"} for i in range(10)])
        settle(db)
    kept = db.sql("SELECT RECORD FROM KSQL_PROCESSING_LOG;").rows()
    assert 100 <= len(kept) <= 125
    assert kept[-1] == (b'{"X":"no number 29 9"}',)
    # Who follows the log sees all of it.
    assert db.sql("SELECT * FROM problems;").rows() == [("deserialization", 300)]
    assert db.metrics().log_count == 300


def test_many_problems_in_one_commit_are_counted(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.database.processing_log.LINES_PER_COMMIT", 10)
    db.execute(
        """CREATE STREAM numbers (x INT)
          WITH (KAFKA_TOPIC = 'numbers', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
        CREATE STREAM words (x VARCHAR)
          WITH (KAFKA_TOPIC = 'numbers', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
        CREATE STREAM doubled AS SELECT x * 2 AS y FROM numbers;
        """
    )
    db.insert("words", [{"x": "no number"}] * 50 + [{"x": "7"}])
    settle(db)
    assert db.sql("SELECT y FROM doubled;").rows() == [(14,)]
    lines = db.sql("SELECT KIND, MESSAGE FROM KSQL_PROCESSING_LOG;").rows()
    assert [kind for kind, _ in lines] == ["deserialization"] * 10 + ["skipped"]
    assert lines[-1][1] == "40 more lines were left out"


# --- queries that fail ------------------------------------------------------------------------


def test_a_query_that_fails_stops_alone_and_says_why(tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    with millstream.connect(path) as db:
        db.execute(
            """SET 'auto.offset.reset' = 'earliest';
            CREATE STREAM events (name VARCHAR, at BIGINT) WITH (KAFKA_TOPIC = 'events',
              VALUE_FORMAT = 'JSON', PARTITIONS = 1);
            CREATE STREAM timed (name VARCHAR, at BIGINT) WITH (KAFKA_TOPIC = 'events',
              VALUE_FORMAT = 'JSON', TIMESTAMP = 'at');
            CREATE STREAM lenient AS SELECT * FROM events;
            SET 'ksql.timestamp.throw.on.invalid' = 'true';
            CREATE STREAM strict AS SELECT * FROM timed;"""
        )
        db.insert("events", [("a", 5)])
        settle(db)
        db.insert("events", [("b", -5)])
        settle(db)
        db.insert("events", [("c", 7)])
        settle(db)
        assert [row[0] for row in db.sql("SELECT name FROM lenient;").rows()] == ["a", "b", "c"]
        assert [row[0] for row in db.sql("SELECT name FROM strict;").rows()] == ["a"]
        lenient, strict = db.metrics().queries
        assert (lenient.state, lenient.error) == ("RUNNING", None)
        assert strict.state == "ERROR"
        assert strict.error
        assert db.metrics().errors == [f"CSAS_STRICT_1: {strict.error}"]
    with millstream.connect(path) as db:
        (outcome,) = db.execute("SHOW QUERIES EXTENDED;")
        assert outcome.table is not None
        states = [(row[0], row[1]) for row in outcome.table.rows]
        assert states == [("CSAS_LENIENT_0", "RUNNING"), ("CSAS_STRICT_1", "ERROR")]
        assert outcome.table.rows[1][-1] == strict.error
        # It may be tried again, and ended; nothing else is touched by either.
        db.execute("RESUME CSAS_STRICT_1;")
        settle(db)
        assert db.metrics().queries[1].state == "ERROR"
        db.execute("TERMINATE CSAS_STRICT_1;")
        db.insert("events", [("d", 9)])
        settle(db)
        assert len(db.sql("SELECT name FROM lenient;")) == 4
