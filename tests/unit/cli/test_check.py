"""What `millstream check` says, and how it ends."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import millstream
from millstream.cli.main import main
from millstream.clock import FixedClock

SCRIPT = """
SET 'auto.offset.reset' = 'earliest';
CREATE STREAM clicks (page VARCHAR, n INT)
  WITH (KAFKA_TOPIC = 'clicks', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE TABLE pages AS SELECT page, COUNT(*) AS n FROM clicks GROUP BY page;
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of one stream and one table, in the current folder."""
    monkeypatch.chdir(tmp_path)
    with millstream.connect("x.db", clock=FixedClock(0)) as db:
        db.execute(SCRIPT)
        db.insert("clicks", [(f"/{i % 3}", i) for i in range(300)])
        db.run(until_idle=True)
    return "x.db"


def check(*arguments: str, code: int) -> None:
    """Run the command and expect an exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["check", *arguments])
    assert ended.value.code == code


def alter(path: str, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(sql).rowcount > 0
        connection.commit()


def test_an_intact_file(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(path, code=0)
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("x.db is intact, up to commit ")
    assert others == [
        "  topics: millstream_processing_log (0 records), clicks (300 records), PAGES (3 records)",
        "  state of: query CTAS_PAGES_0 (writes PAGES)",
        "  catalogue: 3 streams and tables, 1 query",
    ]


def test_damaged_records(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    alter(path, "UPDATE run SET body = x'00' WHERE topic = 2")
    check(path, code=1)
    out = capsys.readouterr().out
    assert out.startswith("x.db is damaged.\n")
    assert (
        "  topic clicks: 300 records (offsets 0 to 299 of partition 0) cannot be read:"
        " the checksum does not match\n"
    ) in out
    assert "\nIntact\n  topics: millstream_processing_log (0 records), PAGES (3 records)\n" in out
    assert "\nWhat to do\n  Restore the file from a backup" in out


def test_damaged_state_can_be_computed_again(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    alter(path, "UPDATE part SET body = x'00'")
    check(path, "--output", "json", code=1)
    found = json.loads(capsys.readouterr().out)
    assert not found["intact"]
    assert [t["topic"] for t in found["topics"] if not t["intact"]] == []
    assert {(s["query"], s["intact"]) for s in found["states"]} == {("CTAS_PAGES_0", False)}
    assert "DROP TABLE PAGES DELETE TOPIC;" in found["advice"][1]


def test_json_of_an_intact_file(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(path, "--output", "json", code=0)
    found = json.loads(capsys.readouterr().out)
    assert found["intact"]
    assert found["advice"] == []
    assert found["catalogue"] == {"source": 3, "query": 1, "connector": 0}


def test_a_file_that_was_cut_short(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    os.truncate(path, 10_000)
    check(path, code=1)
    assert "the file is cut short: it should have" in capsys.readouterr().out


def test_beside_a_writer(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with millstream.connect(path) as db:
        db.insert("clicks", [("/", 1)])
        check(path, code=0)
    assert "clicks (301 records)" in capsys.readouterr().out


def test_what_is_no_database(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    check("missing.db", code=2)
    check(".", code=2)
    check(code=2)
    Path("text").write_text("This is no database, but it is long enough to be one." * 4)
    check("text", code=1)
    assert "is not a Millstream database" in capsys.readouterr().err
