"""Pull queries by key, range, window bounds and scan; what goes beyond them; what is refused."""

from __future__ import annotations

import pytest

from millstream.database import Database
from millstream.errors import ExecutionError, MillstreamError, ParseError, SemanticError
from tests.unit.database.setups import CLICKS, COUNTS, USERS, WINDOWS, click, rows, settle

HOPS = (
    "CREATE TABLE hops WITH (KEY_FORMAT='JSON') AS SELECT k, n % 2 AS odd, COUNT(*) AS c"
    " FROM clicks WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 5 SECONDS) GROUP BY k, n % 2;"
)
SESSIONS = (
    "CREATE TABLE sessions AS SELECT k, COUNT(*) AS c FROM clicks WINDOW SESSION (5 SECONDS)"
    " GROUP BY k;"
)


@pytest.fixture
def filled(db: Database) -> Database:
    """Clicks of three keys in three windows, counted in several ways."""
    db.execute(CLICKS + COUNTS + WINDOWS + HOPS + SESSIONS)
    db.insert(
        "clicks",
        click(
            ("a", 1, 1000),
            ("b", 2, 2000),
            ("a", 3, 3000),
            ("a", 4, 12_000),
            ("c", 5, 25_000),
            ("b", None, 26_000),
        ),
    )
    settle(db)
    return db


def test_by_key(filled: Database) -> None:
    assert rows(filled, "SELECT * FROM counts WHERE k = 'a'") == [("a", 3, 8)]
    assert rows(filled, "SELECT s, n FROM counts WHERE 'b' = k") == [(2, 2)]
    assert rows(filled, "SELECT * FROM counts WHERE k IN ('c', 'a', 'zz')") == [
        ("a", 3, 8),
        ("c", 1, 5),
    ]
    assert rows(filled, "SELECT * FROM counts WHERE k = 'zz'") == []
    assert rows(filled, "SELECT * FROM counts WHERE k = 'a' AND n > 3") == []
    assert rows(filled, "SELECT * FROM counts WHERE k = 'a' AND k = 'b'") == []
    assert rows(filled, "SELECT * FROM counts WHERE k = 'a' OR k = 'b'") == [
        ("a", 3, 8),
        ("b", 2, 2),
    ]


def test_by_range_and_scan(filled: Database) -> None:
    assert rows(filled, "SELECT k FROM counts WHERE k > 'a'") == [("b",), ("c",)]
    assert rows(filled, "SELECT k FROM counts WHERE k >= 'a' AND k < 'c'") == [("a",), ("b",)]
    assert rows(filled, "SELECT k, n * 2 AS m FROM counts WHERE s BETWEEN 3 AND 9") == [
        ("a", 6),
        ("c", 2),
    ]
    assert len(rows(filled, "SELECT * FROM counts")) == 3
    assert len(filled.sql("SELECT * FROM counts LIMIT 2").rows()) == 2
    assert filled.sql("SELECT * FROM counts LIMIT 0").rows() == []


def test_windows(filled: Database) -> None:
    assert rows(filled, "SELECT * FROM windows WHERE k = 'a'") == [
        ("a", 0, 10_000, 2),
        ("a", 10_000, 20_000, 1),
    ]
    assert rows(filled, "SELECT k, n FROM windows WHERE k = 'a' AND WINDOWSTART = 10000") == [
        ("a", 1)
    ]
    assert rows(
        filled, "SELECT k FROM windows WHERE WINDOWSTART >= 10000 AND WINDOWEND <= 30000"
    ) == [
        ("a",),
        ("b",),
        ("c",),
    ]
    assert rows(
        filled, "SELECT k FROM windows WHERE k = 'b' AND WINDOWSTART > '1970-01-01T00:00:10'"
    ) == [("b",)]
    assert rows(
        filled, "SELECT WINDOWSTART AS ws, WINDOWEND AS we FROM sessions WHERE k = 'a'"
    ) == [
        (1000, 3000),
        (12_000, 12_000),
    ]


def test_several_key_columns(filled: Database) -> None:
    assert rows(filled, "SELECT c FROM hops WHERE k = 'a' AND odd = 1 AND WINDOWSTART = 0") == [
        (2,)
    ]
    assert rows(
        filled, "SELECT odd, WINDOWSTART AS ws FROM hops WHERE k = 'a' AND odd IN (0, 1)"
    ) == [
        (0, 10_000),
        (0, 5000),
        (1, 0),
    ]
    assert rows(filled, "SELECT odd FROM hops WHERE k = 'c'") == [(1,), (1,)]


def test_pseudo_columns(filled: Database) -> None:
    assert rows(filled, "SELECT k, ROWTIME AS t FROM counts WHERE k = 'a'") == [("a", 12_000)]
    assert rows(filled, "SELECT k, ROWTIME AS t FROM windows WHERE k = 'c'") == [("c", 25_000)]


def test_sources_that_no_query_makes(db: Database) -> None:
    db.execute(CLICKS + USERS)
    db.insert("users", [("a", "x"), ("b", "y"), ("a", "z")])
    assert rows(db, "SELECT * FROM users") == [("a", "z"), ("b", "y")]
    assert rows(db, "SELECT name FROM users WHERE id = 'a'") == [("z",)]
    db.insert("clicks", click(("a", 1, 5), (None, 2, 6)))
    assert rows(db, "SELECT k, n FROM clicks") == [("a", 1), (None, 2)]
    assert rows(db, "SELECT k, n FROM clicks WHERE n = 2") == [(None, 2)]


def test_a_filtered_table(db: Database) -> None:
    db.execute(
        USERS + "CREATE TABLE xs AS SELECT id, UCASE(name) AS name FROM users WHERE name LIKE 'x%';"
    )
    db.insert("users", [("a", "x"), ("b", "y"), ("c", "xx"), ("a", "z")])
    settle(db)
    assert rows(db, "SELECT * FROM xs") == [("c", "XX")]
    assert rows(db, "SELECT * FROM xs WHERE id = 'a'") == []
    assert rows(db, "SELECT * FROM xs WHERE id = 'c'") == [("c", "XX")]


def test_a_table_without_its_query_keeps_its_rows(filled: Database) -> None:
    filled.execute("TERMINATE ALL;")
    assert rows(filled, "SELECT * FROM counts WHERE k = 'a'") == [("a", 3, 8)]
    assert len(rows(filled, "SELECT * FROM counts")) == 3
    assert len(rows(filled, "SELECT * FROM windows")) == 5
    assert len(rows(filled, "SELECT * FROM sessions")) == 5


def test_a_paused_table_keeps_its_rows(filled: Database) -> None:
    filled.execute("PAUSE ALL;")
    assert rows(filled, "SELECT * FROM counts WHERE k = 'a'") == [("a", 3, 8)]
    assert len(rows(filled, "SELECT * FROM windows")) == 5


def test_beyond_pull_queries(filled: Database) -> None:
    filled.execute(USERS)
    filled.insert("users", [("a", "Ann"), ("b", "Bob")])
    assert filled.sql("SELECT name, s FROM counts JOIN users ON k = id ORDER BY s DESC").rows() == [
        ("Ann", 8),
        ("Bob", 2),
    ]
    assert filled.sql("SELECT sum(n) FROM counts").rows() == [(6,)]
    assert filled.sql(
        "SELECT k, count(*) c FROM windows GROUP BY k ORDER BY c DESC, k LIMIT 1"
    ).rows() == [("a", 2)]
    result = filled.sql("select k, s from Counts order by k")
    assert [c.upper() for c in result.columns] == ["K", "S"]
    assert result.arrow().column(1).to_pylist() == [8, 2, 5]


def test_results_as_arrow(filled: Database) -> None:
    table = filled.sql("SELECT k, n FROM counts WHERE k = 'a'").arrow()
    assert table.to_pylist() == [{"K": "a", "N": 3}]
    assert filled.sql("SELECT k, n FROM counts WHERE k = 'q'").arrow().num_rows == 0


def test_refusals(filled: Database) -> None:
    with pytest.raises(SemanticError, match="NOTHING"):
        filled.sql("SELECT nothing FROM counts")
    with pytest.raises(SemanticError, match="NOWHERE"):
        filled.sql("SELECT * FROM nowhere")
    with pytest.raises(SemanticError, match="EMIT"):
        filled.sql("SELECT * FROM counts EMIT CHANGES")
    with pytest.raises(SemanticError):
        filled.sql("DROP TABLE counts")
    with pytest.raises(ParseError):
        filled.sql("SELEKT 1")
    with pytest.raises(MillstreamError):
        filled.sql("SELECT k FROM counts ORDER BY nothing")
    with pytest.raises(ExecutionError):
        filled.sql("SELECT * FROM counts, '/etc/passwd'")
