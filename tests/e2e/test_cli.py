"""The command as people use it: programs of their own, in a terminal and without one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import IO

import httpx
import pytest

from tests.e2e.terminal import COMMAND, Terminal

TABLES = ("Pages per minute", "User sessions", "Error alerts", "User activity")

CLICKS = """
CREATE SOURCE CONNECTOR clicks WITH ('connector.class' = 'DatagenSource',
  'quickstart' = 'CLICKSTREAM', 'kafka.topic' = 'clickstream', 'maxInterval' = '5');
SET 'auto.offset.reset' = 'earliest';
CREATE STREAM clickstream (request VARCHAR, userid INT)
  WITH (KAFKA_TOPIC = 'clickstream', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE TABLE pages AS SELECT userid, COUNT(*) AS n FROM clickstream GROUP BY userid;
"""

READINGS = """
SET 'auto.offset.reset' = 'earliest';
CREATE STREAM readings (sensor VARCHAR KEY, celsius DOUBLE)
  WITH (KAFKA_TOPIC = 'readings', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE TABLE hottest AS SELECT sensor, MAX(celsius) AS celsius FROM readings GROUP BY sensor;
INSERT INTO readings (sensor, celsius) VALUES ('attic', ${first});
INSERT INTO readings (sensor, celsius) VALUES ('attic', 31.5);
"""


def millstream(*arguments: str, folder: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command in `folder` without a terminal, and expect an exit code."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def answer(sql: str, folder: Path, db: str = "x.db") -> list[dict[str, object]]:
    """The rows that `millstream query` gives."""
    done = millstream("query", "--db", db, sql, "--output", "json", folder=folder)
    return [json.loads(line) for line in done.stdout.splitlines()]


def wait_for_figures(stdout: IO[str]) -> None:
    """Read on until the first line of figures: the engine runs."""
    for line in stdout:
        if " events (" in line:
            return
    raise AssertionError("the program ended before it wrote figures")


def access_log() -> str:
    """A log of two visitors in which each of the recipe's tables finds rows."""
    line = '192.0.2.{host} - - [17/May/2015:10:05:{second:02} +0000] "GET {path} HTTP/1.1" {status}'
    lines = [
        line.format(host=host, second=second, path=path, status=status) + ' 20 "-" "Mozilla"'
        for second in range(0, 24, 3)
        for host, path, status in [(1, "/a.html", 200), (2, "/lost", 404)]
    ]
    return "\n".join([*lines, "this line is no request", ""])


def test_a_script_runs_to_the_end_of_its_input_and_goes_on_next_time(tmp_path: Path) -> None:
    (tmp_path / "readings.sql").write_text(READINGS)
    arguments = ("run", "readings.sql", "--db", "x.db", "-d", "first=12.0", "--until-idle")
    first = millstream(*arguments, folder=tmp_path)
    assert "skipped" not in first.stdout
    assert "31.5" in first.stdout
    assert answer("SELECT * FROM hottest", tmp_path) == [{"SENSOR": "attic", "CELSIUS": 31.5}]
    second = millstream(*arguments, folder=tmp_path)
    assert second.stdout.count("skipped") == 2
    assert answer("SELECT COUNT(*) AS N FROM readings", tmp_path) == [{"N": 4}]


def test_every_statement_tells_what_it_did_in_json_too(tmp_path: Path) -> None:
    (tmp_path / "readings.sql").write_text(READINGS + "SHOW TABLES;")
    done = millstream("run", "readings.sql", "-d", "first=1.5", "--output", "json", folder=tmp_path)
    *outcomes, final = [json.loads(line) for line in done.stdout.splitlines()]
    assert [outcome["skipped"] for outcome in outcomes] == [False] * 6
    assert outcomes[-1]["rows"]
    assert (final["TABLE"], final["SENSOR"], final["CELSIUS"]) == ("HOTTEST", "attic", 31.5)


def test_a_select_in_a_script_sees_what_was_inserted_before_it(tmp_path: Path) -> None:
    (tmp_path / "readings.sql").write_text(READINGS + "SELECT * FROM hottest;")
    done = millstream("run", "readings.sql", "-d", "first=1.5", "--output", "json", folder=tmp_path)
    select = json.loads(done.stdout.splitlines()[5])
    assert select["rows"] == [{"SENSOR": "attic", "CELSIUS": 31.5}]


def test_show_and_describe_may_be_asked_beside_a_run(tmp_path: Path) -> None:
    (tmp_path / "readings.sql").write_text(READINGS)
    millstream("run", "readings.sql", "--db", "x.db", "-d", "first=1.5", folder=tmp_path)
    (shown,) = answer("SHOW TABLES;", tmp_path)
    assert "HOTTEST" in json.dumps(shown["rows"])
    done = millstream("query", "--db", "x.db", "DROP TABLE hottest;", folder=tmp_path, code=1)
    assert "read" in done.stderr


def test_several_files_run_in_order_and_one_may_be_stdin(tmp_path: Path) -> None:
    (tmp_path / "first.sql").write_text(
        "CREATE STREAM only_one (x INT)"
        " WITH (KAFKA_TOPIC = 'a', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
    )
    done = subprocess.run(
        [*COMMAND, "run", "first.sql", "-", "--output", "json"],
        cwd=tmp_path,
        input="SHOW STREAMS;",
        capture_output=True,
        text=True,
        check=True,
    )
    created, shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert created["statement"].startswith("CREATE STREAM")
    assert any("ONLY_ONE" in row.values() for row in shown["rows"])


def test_a_mistake_is_shown_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "bad.sql").write_text("SHOW STREAMS;\nCREATE STRAEM x;\n")
    done = millstream("run", "bad.sql", folder=tmp_path, code=1)
    lines = done.stderr.splitlines()
    assert lines[0] == "bad.sql:"
    assert lines[1].startswith("line 2, column 8: ")
    assert lines[2] == "  CREATE STRAEM x;"
    assert lines[3] == "         ^^^^^^"


def test_until_idle_refuses_a_source_that_never_ends(tmp_path: Path) -> None:
    (tmp_path / "clicks.sql").write_text(CLICKS)
    done = millstream("run", "clicks.sql", "--until-idle", folder=tmp_path, code=1)
    assert "CLICKS" in done.stderr
    assert "never ends" in done.stderr


def test_the_demo_reads_a_log_to_its_end_and_fills_all_four_tables(tmp_path: Path) -> None:
    (tmp_path / "it's.log").write_text(access_log())
    done = millstream(
        "demo", "clickstream", "--access-log", "it's.log", "--db", "x.db", folder=tmp_path
    )
    for title in TABLES:
        assert title in done.stdout
    assert "no rows" not in done.stdout
    assert done.stdout.count("elasticsearch-URI") == 1
    assert answer("SELECT MAX(pages) AS N FROM pages_per_min", tmp_path) == [{"N": 8}]
    assert answer("SELECT events FROM click_user_sessions", tmp_path) == [{"EVENTS": 8}] * 2
    assert answer("SELECT MAX(errors) AS N FROM errors_per_min_alert", tmp_path) == [{"N": 8}]
    assert answer("SELECT count FROM user_ip_activity", tmp_path) == [{"COUNT": 8}] * 2


def documents(url: str, index: str) -> list[dict[str, object]]:
    """What an index of a search server holds."""
    httpx.post(f"{url}/{index}/_refresh").raise_for_status()
    answer = httpx.get(f"{url}/{index}/_search", params={"size": 1_000}).raise_for_status()
    return [hit["_source"] for hit in answer.json()["hits"]["hits"]]


def test_a_search_server_that_is_named_later_gets_everything(
    tmp_path: Path, opensearch: str
) -> None:
    indices = ("user_ip_activity", "errors_per_min_alert")
    for index in indices:
        httpx.delete(f"{opensearch}/{index}", params={"ignore_unavailable": "true"})
    (tmp_path / "x.log").write_text(access_log())
    arguments = ("demo", "clickstream", "--access-log", "x.log", "--db", "x.db")
    millstream(*arguments, folder=tmp_path)
    done = millstream(*arguments, "--elasticsearch", opensearch, folder=tmp_path)
    assert "FAILED" not in done.stdout
    activity, errors = (documents(opensearch, index) for index in indices)
    assert {(row["USERNAME"], row["COUNT"]) for row in activity} >= {
        ("visitor-1", 8),
        ("visitor-2", 8),
    }
    assert {row["STATUS"] for row in errors} == {404}


def test_a_source_that_fails_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "log.sql").write_text(
        "CREATE SOURCE CONNECTOR log WITH ('connector.class' = 'AccessLogSource',"
        " 'file' = 'missing.log');"
    )
    done = millstream("run", "log.sql", folder=tmp_path, code=1)
    assert "LOG: The file missing.log cannot be read" in done.stderr


def test_a_second_demo_goes_on_where_the_first_stopped(tmp_path: Path) -> None:
    arguments = ("demo", "clickstream", "--db", "x.db", "--for", "1s")
    millstream(*arguments, folder=tmp_path)
    (first,) = answer("SELECT COUNT(*) AS N FROM clickstream", tmp_path)
    done = millstream(*arguments, folder=tmp_path)
    (second,) = answer("SELECT COUNT(*) AS N FROM clickstream", tmp_path)
    assert "skipped" in done.stdout
    assert isinstance(first["N"], int)
    assert isinstance(second["N"], int)
    assert second["N"] > first["N"] > 0


def test_without_a_file_the_demo_keeps_nothing(tmp_path: Path) -> None:
    millstream("demo", "clickstream", "--for", "500ms", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_commits_and_leaves_with_0_and_others_may_ask_meanwhile(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "clicks.sql").write_text(CLICKS)
    with subprocess.Popen(
        [*COMMAND, "run", "clicks.sql", "--db", "x.db"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        wait_for_figures(running.stdout)
        (row,) = answer("SELECT SUM(n) AS N FROM pages", tmp_path)
        second = millstream("run", "clicks.sql", "--db", "x.db", folder=tmp_path, code=1)
        running.send_signal(number)
        running.stdout.read()
        assert running.wait() == 0
    assert isinstance(row["N"], int)
    assert str(running.pid) in second.stderr
    (later,) = answer("SELECT SUM(n) AS N FROM pages", tmp_path)
    assert isinstance(later["N"], int)
    assert later["N"] >= row["N"] > 0


def test_a_push_query_follows_until_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "clicks.sql").write_text(CLICKS)
    sql = "SELECT userid, request FROM clickstream EMIT CHANGES"
    with (
        subprocess.Popen(
            [*COMMAND, "run", "clicks.sql", "--db", "x.db"],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as running,
    ):
        assert running.stdout is not None
        wait_for_figures(running.stdout)
        with subprocess.Popen(
            [*COMMAND, "query", "--db", "x.db", sql, "--output", "json"],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as following:
            assert following.stdout is not None
            rows = [json.loads(following.stdout.readline()) for _ in range(3)]
            following.send_signal(signal.SIGINT)
            following.stdout.read()
            assert following.wait() == 0
        running.send_signal(signal.SIGTERM)
        running.stdout.read()
    assert all(set(row) == {"USERID", "REQUEST"} for row in rows)


def test_a_reader_that_has_enough_ends_it_quietly(tmp_path: Path) -> None:
    (tmp_path / "readings.sql").write_text(READINGS)
    millstream("run", "readings.sql", "--db", "x.db", "-d", "first=1.0", folder=tmp_path)
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*COMMAND, "query", "--db", "x.db", "SELECT * FROM readings"],
        cwd=tmp_path,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("leave", ["q", "\x03"])
def test_the_live_view_pauses_resumes_and_leaves_with_0(tmp_path: Path, leave: str) -> None:
    with Terminal(["demo", "clickstream", "--db", "x.db"], tmp_path) as terminal:
        for text in (*TABLES, "pause the input"):
            terminal.wait_for(text)
        terminal.type("p")
        terminal.wait_for("paused")
        terminal.wait_for("resume the input")
        terminal.type("p")
        terminal.wait_for("pause the input")
        terminal.type(leave)
        assert terminal.wait() == 0
        for title in TABLES:
            assert title in terminal.seen
        assert "Traceback" not in terminal.seen
    (row,) = answer("SELECT COUNT(*) AS N FROM clickstream", tmp_path)
    assert row["N"] != 0


def test_a_pause_ends_with_its_view(tmp_path: Path) -> None:
    with Terminal(["demo", "clickstream", "--db", "x.db"], tmp_path) as terminal:
        terminal.wait_for("pause the input")
        terminal.type("p")
        terminal.wait_for("paused")
        terminal.type("q")
        assert terminal.wait() == 0
    (first,) = answer("SELECT COUNT(*) AS N FROM clickstream", tmp_path)
    millstream("demo", "clickstream", "--db", "x.db", "--for", "1s", folder=tmp_path)
    (second,) = answer("SELECT COUNT(*) AS N FROM clickstream", tmp_path)
    assert isinstance(first["N"], int)
    assert isinstance(second["N"], int)
    assert second["N"] > first["N"]


def test_a_profile_tells_where_the_time_went(tmp_path: Path) -> None:
    (tmp_path / "readings.sql").write_text(READINGS)
    arguments = ("run", "readings.sql", "-d", "first=12.0", "--profile")
    shown = millstream(*arguments, folder=tmp_path).stdout
    assert "Profile: " in shown
    assert "aggregate-1" in shown
    lines = millstream(*arguments, "--output", "json", folder=tmp_path).stdout.splitlines()
    profile = [json.loads(line) for line in lines][-1]["profile"]
    found = {(step["where"], step["step"]): step for step in profile["steps"]}
    assert found["CTAS_HOTTEST_0", "aggregate-1"]["rows_in"] == 2
    inside = sum(step["seconds"] for step in profile["steps"] if not step["beside"])
    assert inside == pytest.approx(profile["seconds"])


def test_a_profile_of_a_script_that_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "s.sql").write_text("SHOW STREAMS;")
    assert "in 0 commits" in millstream("run", "s.sql", "--profile", folder=tmp_path).stdout
