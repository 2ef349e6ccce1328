from __future__ import annotations

from pathlib import Path

import click
import pytest

from millstream.cli import main as command
from millstream.errors import MillstreamError, ParseError, Position


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        command.main(list(arguments))
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--version")
    assert (code, out) == (0, f"millstream {command.version()}\n")
    assert run(capsys, "--debug", "--version")[1] == out


@pytest.mark.parametrize("arguments", [["--help"], ["run", "-h"], ["query", "-h"], ["demo", "-h"]])
def test_help_ends_well(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, err) == (0, "")
    assert "Usage: millstream" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run"], "FILE"),
        (["run", "x.sql", "--for", "soon"], "write it like 500ms"),
        (["run", "x.sql", "-d", "novalue"], "name=value"),
        (["run", "x.sql", "--output", "xml"], "tabular"),
        (["query", "SELECT 1"], "--db"),
        (["demo", "unknown"], "clickstream"),
        (["demo", "clickstream", "--access-log", "/nowhere/x.log"], "does not exist"),
        (["fly"], "fly"),
    ],
)
def test_a_wrong_call_is_told_and_ends_with_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert told in err


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    missing = tmp_path / "missing.sql"
    code, _, err = run(capsys, "run", str(missing))
    assert code == 1
    assert f"{missing}: No such file or directory." in err.replace("\n", "")
    code, _, err = run(capsys, "query", "--db", str(tmp_path / "x.db"), "SELECT 1")
    assert code == 1
    assert "There is no database file" in err


def test_a_script_that_is_no_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    script = tmp_path / "script.sql"
    script.write_bytes(b"SELECT \xff")
    code, _, err = run(capsys, "run", str(script))
    assert code == 1
    assert "is not UTF-8 text: byte 7 is 0xff" in err


def failing(error: Exception) -> click.Command:
    def fail() -> None:
        raise error

    return click.Command(
        "millstream",
        callback=fail,
        context_settings={"ignore_unknown_options": True},
        params=[click.Argument(["words"], nargs=-1, expose_value=False)],
    )


def test_an_error_of_a_statement_shows_its_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ParseError("this is no name", Position(1, 8, 3), source="CREATE 123;", hint="Quote it.")
    monkeypatch.setattr("millstream.cli.commands.millstream", failing(error))
    code, out, err = run(capsys, "run", "x")
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "line 1, column 8: this is no name",
        "  CREATE 123;",
        "         ^^^",
        "Quote it.",
    ]


def test_no_traceback_reaches_a_user_who_did_not_ask(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.cli.commands.millstream", failing(KeyError("slot [red]")))
    monkeypatch.delenv("MILLSTREAM_DEBUG", raising=False)
    code, _, err = run(capsys, "run", "x")
    assert code == 1
    assert "Traceback" not in err
    assert "KeyError: 'slot [red]'" in err
    assert "--debug" in err
    assert "Traceback" in run(capsys, "run", "x", "--debug")[2]
    monkeypatch.setenv("MILLSTREAM_DEBUG", "1")
    assert "Traceback" in run(capsys, "run", "x")[2]
    monkeypatch.setenv("MILLSTREAM_DEBUG", "0")
    assert "Traceback" not in run(capsys, "run", "x")[2]


@pytest.mark.parametrize(
    ("error", "code"), [(MillstreamError("no"), 1), (KeyboardInterrupt(), 130)]
)
def test_exit_codes(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: int,
) -> None:
    monkeypatch.setattr("millstream.cli.commands.millstream", failing(error))
    assert run(capsys, "run", "x")[0] == code
