"""The processing log: there from the start, asked like any stream, and never without end."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from millstream import Database
from millstream.cli.main import run
from millstream.database import processing_log
from tests.e2e.raw_topic import NOW_MS, RAW, connect, write

READ = (
    "CREATE STREAM s (k VARCHAR KEY, a INT) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON');"
    "CREATE STREAM good AS SELECT k, a, 6 / a AS d FROM s;"
)
COUNTED = "SELECT COUNT(*) FROM KSQL_PROCESSING_LOG;"


def lines(db: Database) -> int:
    """How many lines the log has."""
    (row,) = db.sql(COUNTED).rows()
    return int(row[0])


def test_it_is_there_before_anything_else() -> None:
    with connect() as db:
        assert lines(db) == 0
        (outcome,) = db.execute("DESCRIBE KSQL_PROCESSING_LOG;")
        assert outcome.table is not None
        assert [row[0] for row in outcome.table.rows] == [
            *("TIME", "QUERY_ID", "STEP", "KIND", "MESSAGE"),
            *("TOPIC", "PARTITION", "OFFSET", "RECORD"),
        ]


def test_a_line_tells_all_there_is_to_know() -> None:
    with connect(RAW + READ) as db:
        write(db, [b'{"a": 3}', b"{broken", b'{"a": 0}', b'{"a": 2}'])
        db.run(until_idle=True)
        assert db.sql("SELECT a, d FROM good;").rows() == [(3, 2), (0, None), (2, 3)]
        assert db.sql("SELECT * FROM KSQL_PROCESSING_LOG;").rows() == [
            (
                *(NOW_MS, "CSAS_GOOD_0", "source S", "deserialization"),
                "value: The record is not valid JSON: a name in double quotes is missing"
                " at byte 1.",
                *("t", 0, 1, b"{broken"),
            ),
            (
                *(NOW_MS, "CSAS_GOOD_0", "project-1", "expression", "division by zero"),
                *("t", 0, 2, b'{"a": 0}'),
            ),
        ]


def test_it_is_asked_as_any_other_stream() -> None:
    with (
        connect(
            RAW + READ + "CREATE TABLE kinds AS SELECT kind, COUNT(*) AS n,"
            " LATEST_BY_OFFSET(`OFFSET`) AS latest FROM KSQL_PROCESSING_LOG GROUP BY kind;"
            "CREATE STREAM broken AS SELECT `OFFSET` AS place, FROM_BYTES(record, 'utf8') AS text"
            " FROM KSQL_PROCESSING_LOG WHERE kind = 'deserialization';"
        ) as db,
        db.subscribe("SELECT `OFFSET` FROM KSQL_PROCESSING_LOG EMIT CHANGES;") as pushed,
    ):
        write(db, [b"{", b'{"a": 0}', b"[", b'{"a": 1}'])
        db.run(until_idle=True)
        assert sorted(pushed.poll()) == [(0,), (1,), (2,)]
        assert sorted(db.sql("SELECT * FROM kinds;").rows()) == [
            ("deserialization", 2, 2),
            ("expression", 1, 1),
        ]
        assert db.sql("SELECT * FROM broken;").rows() == [(0, "{"), (2, "[")]
        assert db.sql(
            "SELECT kind, COUNT(*) FROM KSQL_PROCESSING_LOG GROUP BY kind ORDER BY 1;"
        ).rows() == [("deserialization", 2), ("expression", 1)]
        (shown,) = db.execute("PRINT 'millstream_processing_log' FROM BEGINNING LIMIT 3;")
        assert shown.table is not None
        assert len(shown.table.rows) == 3


@pytest.mark.parametrize("where", ["value", "key"])
def test_records_and_messages_of_any_length_are_cut(where: str) -> None:
    with connect(RAW + READ.replace("k VARCHAR KEY", "k INT KEY")) as db:
        long = b'{"a": "%s"}' % (b"x" * 1_000_000)
        if where == "value":
            write(db, [long], [b"\x00\x00\x00\x01"])
        else:
            write(db, [b'{"a": 1}'], [long])
        db.run(until_idle=True)
        ((message, record),) = db.sql("SELECT message, record FROM KSQL_PROCESSING_LOG;").rows()
        assert message.startswith(where)
        assert len(message) <= processing_log.MESSAGE_LENGTH + 1
        assert record == long[: processing_log.RECORD_BYTES]


def grown(path: Path, end: bytes, rounds: int) -> tuple[int, int]:
    """The size of a database file after so many commits of records with this end; the log's lines.

    The records do not compress, or the file would tell little about what is kept; and they are so
    many that each commit goes into the tables at once."""
    chance = random.Random(rounds)
    # The query's own results are none, so that the file holds the records and the log.
    with connect(RAW + READ.replace("FROM s", "FROM s WHERE a > 5"), str(path)) as db:
        for _ in range(rounds):
            texts = [chance.randbytes(1_500).hex().encode() for _ in range(100)]
            write(db, [b'{"w": "%s"%s' % (text, end) for text in texts])
            db.run(until_idle=True)
        assert db.metrics().log_count == (0 if end == b"}" else rounds * 100)
        count = lines(db)
    return path.stat().st_size, count


def test_a_flood_of_bad_records_does_not_grow_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processing_log, "KEPT_LINES", 200)
    monkeypatch.setattr(processing_log, "LINES_PER_COMMIT", 50)
    taken_by_log = []
    for rounds in (8, 24):
        good, none = grown(tmp_path / f"good{rounds}.db", b"}", rounds)
        bad, kept = grown(tmp_path / f"bad{rounds}.db", b"]", rounds)
        assert none == 0
        assert 200 <= kept <= 250
        taken_by_log.append(bad - good)
    # Three times as many bad records, and the log takes what it took before, up to some pages.
    assert taken_by_log[0] > 200_000
    assert abs(taken_by_log[1] - taken_by_log[0]) < 100_000


def test_the_command_shows_how_many_lines_there_are_and_the_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script.sql"
    values = ['{"a": 1}', "{", '{"a": 0}', '{"a": "its"}', '{"a": 2}']
    script.write_text(
        "SET 'auto.offset.reset' = 'earliest';"
        + RAW.replace("v BYTES", "v VARCHAR")
        + READ
        + "".join(
            f"INSERT INTO raw (v) VALUES ('{v.replace(chr(39), chr(39) * 2)}');" for v in values
        )
    )
    assert run(["run", str(script), "--db", str(tmp_path / "x.db")]) == 0
    told = capsys.readouterr()
    assert "processing log 3" in told.out
    assert "Traceback" not in told.out + told.err
    arguments = ["query", "--db", str(tmp_path / "x.db"), "--output", "json"]
    assert run([*arguments, "SELECT `OFFSET`, kind FROM KSQL_PROCESSING_LOG;"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted((row["OFFSET"], row["KIND"]) for row in found) == [
        (1, "deserialization"),
        (2, "expression"),
        (3, "deserialization"),
    ]
