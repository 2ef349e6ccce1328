"""Joined tables, read back: by key, by scan, and as they change."""

from __future__ import annotations

import pytest

from millstream.database import Database
from tests.unit.database.setups import rows, settle

TABLES = (
    "CREATE TABLE u (id INT PRIMARY KEY, name VARCHAR, c INT)"
    " WITH (KAFKA_TOPIC='u', VALUE_FORMAT='JSON', PARTITIONS=1);"
    "CREATE TABLE v (id INT PRIMARY KEY, city VARCHAR)"
    " WITH (KAFKA_TOPIC='v', VALUE_FORMAT='JSON', PARTITIONS=1);"
)
RECORDS = (
    "INSERT INTO u (ROWTIME, id, name, c) VALUES (10, 1, 'ann', 2);"
    "INSERT INTO u (ROWTIME, id, name, c) VALUES (20, 2, 'bob', 1);"
    "INSERT INTO v (ROWTIME, id, city) VALUES (5, 1, 'Bern');"
    "INSERT INTO v (ROWTIME, id, city) VALUES (30, 2, 'Linz');"
)


BY_KEY = [(1, "ann", "Bern", 10), (2, "bob", "Linz", 30)]
LOOKED_UP = [(1, "ann", "Linz", 30), (2, "bob", "Bern", 5)]


@pytest.mark.parametrize(
    "kind, on, expected",
    [
        ("JOIN", "u.id = v.id", BY_KEY),
        ("LEFT JOIN", "u.id = v.id", BY_KEY),
        ("RIGHT JOIN", "u.id = v.id", BY_KEY),
        ("JOIN", "u.c = v.id", LOOKED_UP),
        ("LEFT JOIN", "u.c = v.id", LOOKED_UP),
    ],
)
def test_joined_rows_are_read_back(
    db: Database, kind: str, on: str, expected: list[tuple[object, ...]]
) -> None:
    db.execute(TABLES)
    db.execute(f"CREATE TABLE joined AS SELECT u.id AS id, name, city FROM u {kind} v ON {on};")
    db.execute(RECORDS)
    settle(db)
    read = "SELECT id, name, city, ROWTIME FROM joined"
    assert rows(db, read) == expected
    assert rows(db, f"{read} WHERE id = 2") == expected[1:]
    assert rows(db, f"{read} WHERE id = 7") == []


def test_groups_of_joined_rows(db: Database) -> None:
    db.execute(TABLES)
    db.execute(
        "CREATE TABLE people AS SELECT city, COUNT(*) AS n FROM u JOIN v ON u.c = v.id"
        " GROUP BY city;"
    )
    db.execute(RECORDS)
    db.execute("INSERT INTO u VALUES (1, 'ann', 1);")
    settle(db)
    assert rows(db, "SELECT * FROM people") == [("Bern", 2), ("Linz", 0)]


def test_a_joined_table_is_followed(db: Database) -> None:
    db.execute(TABLES + RECORDS)
    select = "SELECT u.id, name, city FROM u LEFT JOIN v ON u.c = v.id EMIT CHANGES LIMIT 3"
    assert list(db.subscribe(select)) == [
        (1, "ann", None),
        (2, "bob", None),
        (2, "bob", "Bern"),
    ]
