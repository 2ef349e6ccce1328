"""Columns that ALTER and CREATE OR REPLACE add at the end of streams and tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.errors import SemanticError
from tests.e2e.replacing import feed, open_database, settle, values
from tests.properties.program_records import Record


@pytest.mark.parametrize("value_format", ["JSON", "DELIMITED"])
def test_records_without_an_added_column_have_null_there(value_format: str, tmp_path: Path) -> None:
    path = str(tmp_path / "added.db")
    database = open_database(path)
    database.execute(f"CREATE STREAM q WITH (VALUE_FORMAT='{value_format}') AS SELECT k, a FROM s;")
    database.execute("CREATE STREAM all_of_q AS SELECT * FROM q;")
    database.execute("CREATE TABLE counted AS SELECT a, COUNT(*) AS n FROM q GROUP BY a;")
    feed(database, [Record("s", b"x", b'{"a":1,"b":"one"}', 1)])
    database.execute(
        "CREATE OR REPLACE STREAM q AS SELECT k, a, b, a + 1 AS c FROM s;"
        if value_format == "JSON"
        else "CREATE OR REPLACE STREAM q WITH (VALUE_FORMAT='DELIMITED')"
        " AS SELECT k, a, b, a + 1 AS c FROM s;"
    )
    feed(database, [Record("s", b"y", b'{"a":2,"b":"two"}', 2)])
    database.execute("CREATE STREAM later AS SELECT * FROM q;")
    expected = [("x", 1, None, None), ("y", 2, "two", 3)]
    for _ in range(2):
        settle(database)
        assert database.sql("SELECT * FROM q").rows() == expected
        assert database.sql("SELECT * FROM later").rows() == expected
        assert database.sql("SELECT max(c) FROM q").rows() == [(3,)]
        # What was made with fewer columns stays as it is, also when it is opened again.
        assert database.sql("SELECT * FROM all_of_q").rows() == [("x", 1), ("y", 2)]
        assert sorted(database.sql("SELECT * FROM counted").rows()) == [(1, 1), (2, 1)]
        database.close()
        database = open_database(path)
    feed(database, [Record("s", b"z", b'{"a":3}', 3)])
    assert database.sql("SELECT * FROM all_of_q").rows()[-1] == ("z", 3)
    assert database.sql("SELECT * FROM q").rows()[-1] == ("z", 3, None, 4)
    database.close()


@pytest.mark.parametrize("how", ["ALTER", "REPLACE"])
def test_a_declared_stream_gets_columns(how: str, tmp_path: Path) -> None:
    path = str(tmp_path / "declared.db")
    database = open_database(path)
    database.execute("CREATE STREAM q AS SELECT * FROM s;")
    database.execute("INSERT INTO s (k, a) VALUES ('x', 1);")
    if how == "ALTER":
        told = database.execute("ALTER STREAM s ADD COLUMN c INT, ADD d DOUBLE;")[0].message
        assert told == "C, D added to stream S"
    else:
        database.execute(
            "CREATE OR REPLACE STREAM s (k VARCHAR KEY, p INT, a INT, b VARCHAR, c INT, d DOUBLE)"
            " WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');"
        )
    database.execute("INSERT INTO s (k, a, c) VALUES ('y', 2, 20);")
    feed(database, [Record("s", b"z", b'{"a":3,"d":0.5}', 3)])
    database.execute("CREATE STREAM later AS SELECT k, a, c, d FROM s;")
    database.execute(
        "CREATE STREAM landing (k VARCHAR KEY, a INT, c INT)"
        " WITH (KAFKA_TOPIC='landing', VALUE_FORMAT='JSON', PARTITIONS=2);"
    )
    for _ in range(2):
        settle(database)
        assert database.sql("SELECT k, a, c, d FROM later").rows() == [
            ("x", 1, None, None),
            ("y", 2, 20, None),
            ("z", 3, None, 0.5),
        ]
        assert [row[2] for row in database.sql("SELECT * FROM q").rows()] == [1, 2, 3]
        assert values(database, "Q")[1][1] == b'{"P":null,"A":2,"B":null}'
        database.close()
        database = open_database(path)
    database.close()


def test_a_table_gets_columns() -> None:
    database = open_database()
    database.execute("CREATE TABLE q AS SELECT k, n FROM t WHERE g > 0;")
    database.execute("INSERT INTO t (k, n, g) VALUES ('x', 'one', 1);")
    settle(database)
    database.execute("ALTER TABLE t ADD COLUMN h INT;")
    database.execute("INSERT INTO t (k, n, g, h) VALUES ('y', 'two', 1, 7);")
    database.execute("CREATE STREAM j AS SELECT s.k AS k, t.h AS h FROM s JOIN t ON s.k = t.k;")
    feed(database, [Record("s", b"x", b"{}", 1), Record("s", b"y", b"{}", 1)])
    settle(database)
    assert sorted(database.sql("SELECT * FROM q").rows()) == [("x", "one"), ("y", "two")]
    assert sorted(database.sql("SELECT * FROM j").rows()) == [("x", None), ("y", 7)]
    database.close()


def test_writers_of_fewer_and_more_columns_meet_in_one_topic(tmp_path: Path) -> None:
    path = str(tmp_path / "writers.db")
    database = open_database(path)
    database.execute(
        "CREATE STREAM landing (k VARCHAR KEY, a INT)"
        " WITH (KAFKA_TOPIC='landing', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
    database.execute("INSERT INTO landing SELECT k, a FROM s;")
    database.execute("ALTER STREAM landing ADD COLUMN x INT;")
    database.execute("INSERT INTO landing SELECT k, CAST(NULL AS INT) AS a, x FROM r;")
    with pytest.raises(SemanticError, match="do not fit"):
        database.execute("INSERT INTO landing SELECT k, a FROM s;")
    found = [
        Record("s", b"x", b'{"a":1}', 1),
        Record("r", b"x", b'{"x":2}', 1),
        Record("s", b"y", b'{"a":3}', 1),
        Record("s", b"z", b'{"a":4}', 1),
        Record("r", b"z", b'{"x":5}', 1),
    ]
    feed(database, found)
    database.close()
    database = open_database(path)
    feed(database, found[:1])
    assert [value for _, value in values(database, "landing")] == [
        b'{"A":1}',
        b'{"A":null,"X":2}',
        b'{"A":3}',
        b'{"A":4}',
        b'{"A":null,"X":5}',
        b'{"A":1}',
    ]
    assert database.sql("SELECT a, x FROM landing").rows() == [
        (1, None),
        (None, 2),
        (3, None),
        (4, None),
        (None, 5),
        (1, None),
    ]
    database.close()


def test_a_custom_type_keeps_its_meaning_for_a_query(tmp_path: Path) -> None:
    path = str(tmp_path / "types.db")
    database = open_database(path)
    database.execute("CREATE TYPE amount AS BIGINT;")
    database.execute("CREATE STREAM q AS SELECT k, CAST(a AS amount) AS a FROM s;")
    database.execute("DROP TYPE amount; CREATE TYPE amount AS VARCHAR;")
    feed(database, [Record("s", b"x", b'{"a":1}', 1)])
    database.close()
    database = open_database(path)
    feed(database, [Record("s", b"x", b'{"a":2}', 1)])
    assert values(database, "Q") == [(b"x", b'{"A":1}'), (b"x", b'{"A":2}')]
    database.close()
