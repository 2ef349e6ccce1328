"""Bounds of windows that a WHERE means, and that a look-up reads only what is between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.database import Database
from millstream.database.pull import _conjuncts
from millstream.database.window_bounds import Bounds, window_starts
from millstream.engine.state import windowed
from millstream.engine.state.segment import Segment
from millstream.sql import ast
from millstream.sql.script import parse_statement


@pytest.mark.parametrize(
    ("where", "bounds"),
    [
        ("k = 'a'", (None, None)),
        ("WINDOWSTART = 5", (5, 5)),
        ("5 <= WINDOWSTART AND WINDOWSTART < 9", (5, 9)),
        ("WINDOWSTART > 5 AND WINDOWSTART >= 7 AND 20 > WINDOWSTART", (7, 20)),
        ("WINDOWSTART BETWEEN 5 AND 9", (5, 9)),
        ("WINDOWSTART NOT BETWEEN 5 AND 9", (None, None)),
        ("WINDOWEND <= 9", (None, 9)),
        ("WINDOWEND > 9", (None, None)),
        ("WINDOWSTART >= '1970-01-01T00:00:05'", (5000, None)),
        ("WINDOWSTART >= 'some day'", (None, None)),
        ("WINDOWSTART <> 5", (None, None)),
        ("WINDOWSTART > 5 OR k = 'a'", (None, None)),
        ("WINDOWSTART > 2 + 3", (None, None)),
        ("other > 5", (None, None)),
    ],
)
def test_bounds(where: str, bounds: Bounds) -> None:
    statement = parse_statement(f"SELECT * FROM t WHERE {where};")
    assert isinstance(statement, ast.Select) and statement.query.where is not None
    assert window_starts(_conjuncts(statement.query.where)) == bounds


@pytest.mark.parametrize("key", ["k = 'a' AND ", ""])
def test_a_look_up_reads_only_the_segments_between_its_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr(windowed, "COLD_BYTES", 0)
    filled: list[Segment] = []
    fill = Segment.fill

    def spy(segment: Segment, *arguments: object) -> None:
        filled.append(segment)
        fill(segment, *arguments)  # type: ignore[arg-type]

    with Database.open(str(tmp_path / "some.db")) as db:
        db.execute(
            "CREATE STREAM s (k VARCHAR KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON',"
            " PARTITIONS=1); CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s"
            " WINDOW TUMBLING (SIZE 10 SECONDS, GRACE PERIOD 600 SECONDS) GROUP BY k;"
        )
        for place in range(40):
            db.execute(f"INSERT INTO s (ROWTIME, k, v) VALUES ({place * 10_000}, 'a', 1);")
            db.run(until_idle=True)
        monkeypatch.setattr(Segment, "fill", spy)
        rows = db.sql(
            f"SELECT WINDOWSTART AS ws, n FROM t WHERE {key}WINDOWSTART >= 50000"
            " AND WINDOWSTART < 70000;"
        ).rows()
        assert rows == [(50_000, 1), (60_000, 1)]
        assert 0 < len(filled) <= 3
        assert len(db.sql("SELECT n FROM t WHERE k = 'a';").rows()) == 40
