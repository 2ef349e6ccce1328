from __future__ import annotations

import io

import pytest
from rich.console import Console

from millstream.cli.demo import PANELS
from millstream.cli.live_view import Layout, Snapshot, problems, render
from millstream.cli.panels import Panel, PanelRows
from tests.unit.cli.fakes import FakeConnector, FakeMetrics, FakeQuery

NAMES = ["USER_CLICKSTREAM", *(panel.table for panel in PANELS)]


def recipe_metrics() -> FakeMetrics:
    queries = [
        FakeQuery(f"CTAS_{name}_{number}", name, rows_in=1_234_567, rows_out=7)
        for number, name in enumerate(NAMES)
    ]
    return FakeMetrics(123_456, 412.3, queries, [FakeConnector("CLICKS")], 3)


def screen(snapshot: Snapshot, width: int, height: int, *, colour: bool = False) -> str:
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        height=height,
        force_terminal=True,
        color_system="standard" if colour else None,
    )
    console.print(render(snapshot, width, height), end="")
    return out.getvalue()


def recipe_snapshot(rows: int) -> Snapshot:
    shown = [
        PanelRows(panel, ("user", "n"), [(f"user_{i}", i) for i in range(rows)]) for panel in PANELS
    ]
    return Snapshot("clickstream", 12_345, recipe_metrics(), shown)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 20), (200, 60)])
def test_a_screen_is_filled_exactly(size: tuple[int, int]) -> None:
    width, height = size
    text = screen(recipe_snapshot(100), width, height)
    lines = text.splitlines()
    assert len(lines) == height
    assert all(len(line) <= width for line in lines)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_every_query_and_every_table_has_its_place(size: tuple[int, int]) -> None:
    text = screen(recipe_snapshot(100), *size)
    assert "123,456 events" in text
    assert "00:12" in text
    for name in NAMES:
        assert name in text
    for panel in PANELS:
        assert panel.title in text
    assert text.count("user_0") == len(PANELS)
    assert "q  quit" in text


def test_a_larger_screen_shows_more_rows() -> None:
    small = Layout(80, 24, recipe_metrics(), 4).panel_rows
    assert Layout(80, 40, recipe_metrics(), 4).panel_rows == small + 8


def test_tiny_screens_do_not_fail() -> None:
    for width, height in [(20, 5), (10, 2), (40, 8)]:
        screen(recipe_snapshot(3), width, height)


def test_problems_are_told_in_red_and_whole_where_two_lines_hold_them() -> None:
    snapshot = recipe_snapshot(3)
    metrics = recipe_metrics()
    metrics.queries[1].error = "the state cannot be read"
    sentence = (
        "'connection.url' is a placeholder: put the URL of a server there, like http://h:9200."
    )
    metrics.connectors.append(FakeConnector("SINK", "FAILED", sentence))
    snapshot.metrics = metrics
    text = screen(snapshot, 80, 24, colour=True)
    assert "\x1b[31mPAGES_PER_MIN: the state cannot be read" in text
    assert "http://h:9200." in text
    assert len(problems(metrics)) == 2


def test_what_waits_is_told_in_yellow() -> None:
    snapshot = recipe_snapshot(3)
    metrics = recipe_metrics()
    metrics.connectors = [FakeConnector("SINK", message="The server is away.")]
    snapshot.metrics = metrics
    assert "\x1b[33mSINK: The server is away." in screen(snapshot, 80, 24, colour=True)


def test_a_bounded_input_shows_how_far_it_is() -> None:
    snapshot = recipe_snapshot(3)
    metrics = recipe_metrics()
    metrics.connectors = [FakeConnector("ACCESS_LOG", progress=(30, 120))]
    snapshot.metrics = metrics
    assert "25%" in screen(snapshot, 80, 24)
    metrics.connectors = [FakeConnector("ACCESS_LOG", progress=(0, 0))]
    assert "100%" in screen(snapshot, 80, 24)


def test_figures_and_times_are_never_cut() -> None:
    panel = Panel("P", "P", "")
    row = ("a very long name of a user that does not fit", "05-17 10:05:03", 1_234_567)
    shown = [PanelRows(panel, ("user", "from", "n"), [row], times={1})] * 2
    text = screen(Snapshot("x", 0, FakeMetrics(), shown), 80, 24)
    assert text.count("05-17 10:05:03 1234567") == 2


def test_paused_and_finished_are_said() -> None:
    snapshot = recipe_snapshot(1)
    snapshot.paused = True
    assert "paused" in screen(snapshot, 80, 24)
    assert "resume" in screen(snapshot, 80, 24)
    snapshot.paused, snapshot.finished = False, True
    assert "all input read" in screen(snapshot, 80, 24)


def test_an_empty_table_and_one_that_fails_keep_their_place() -> None:
    shown = [PanelRows(PANELS[0]), PanelRows(PANELS[1], error="it is locked")]
    text = screen(Snapshot("x", 0, FakeMetrics(), shown), 80, 24)
    assert "no rows yet" in text
    assert "it is locked" in text
