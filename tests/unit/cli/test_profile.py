from __future__ import annotations

import json

import pytest

from millstream.cli.output import Output
from millstream.cli.panels import Panel
from millstream.cli.profile import profile_panel, profile_rows, show_profile
from millstream.engine.profile import Profile, ProfileStep
from tests.unit.cli.fakes import FakeDatabase, FakeMetrics

PROFILE = Profile(
    2.0,
    1,
    [
        ProfileStep("source S", "decode", 10, 8, 1, 0.5, 0.25, 20.0),
        ProfileStep("source S", "decode ahead", 10, 10, 1, 1.5, None, 20 / 3, beside=True),
        ProfileStep("Q_1", "where-1", 8, 4, 1, 0.0, 0.0, None),
        ProfileStep("each commit", "commit and fsync", None, None, 1, 1.5, 0.75, None),
    ],
)


def database(profile: Profile) -> FakeDatabase:
    return FakeDatabase(measured=FakeMetrics(profile=profile))


def test_what_a_step_belongs_to_stands_at_its_first_one() -> None:
    rows = profile_rows(PROFILE)
    assert [row[0] for row in rows] == ["source S", "", "Q_1", "each commit"]
    assert rows[0][1:] == ("decode", 10, 8, 1, 0.5, 25.0, 20)
    assert rows[1][1:] == ("decode ahead *", 10, 10, 1, 1.5, None, 7)
    assert rows[3][1:] == ("commit and fsync", None, None, 1, 1.5, 75.0, None)


def test_the_table_explains_the_star(capsys: pytest.CaptureFixture[str]) -> None:
    show_profile(database(PROFILE), Output(), as_json=False)
    shown = capsys.readouterr().out
    assert shown.startswith("Profile: 2.000 seconds of work in 1 commit\n")
    assert "\n* by a thread that reads ahead" in shown
    assert "null" not in shown


def test_nothing_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    show_profile(database(Profile(0.0, 0, [])), Output(), as_json=False)
    assert capsys.readouterr().out == "Profile: 0.000 seconds of work in 0 commits\n"


def test_a_program_gets_everything_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_profile(database(PROFILE), Output(), as_json=True)
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)["profile"]
    assert (told["seconds"], told["commits"], len(told["steps"])) == (2.0, 1, 4)
    assert told["steps"][1] == {
        "where": "source S",
        "step": "decode ahead",
        "rows_in": 10,
        "rows_out": 10,
        "calls": 1,
        "seconds": 1.5,
        "share": None,
        "rows_per_s": 20 / 3,
        "beside": True,
    }


def test_the_live_view_shows_the_longest_steps_first() -> None:
    shown = profile_panel(PROFILE)
    assert isinstance(shown.panel, Panel)
    assert [row[0] for row in shown.rows][-1] == "Q_1: where-1"
    assert shown.rows[0][2] == 1.5
