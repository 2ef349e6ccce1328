"""What `run --profile` shows: where the time went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from rich.text import Text

from millstream.cli.output import Output
from millstream.cli.panels import Panel, PanelRows
from millstream.cli.protocol import Database
from millstream.cli.tables import print_rows

if TYPE_CHECKING:
    from millstream.engine.profile import Profile, ProfileStep

COLUMNS = ("where", "step", "rows in", "rows out", "calls", "seconds", "percent", "rows/s")
PANEL_COLUMNS = ("step", "rows in", "seconds", "percent")
_PANEL = Panel("time", "", "")
_BESIDE = "* by a thread that reads ahead, beside the rest: its seconds are not part of the whole"


def show_profile(db: Database, console: Output, *, as_json: bool) -> None:
    """Print where the time went: a table, or a JSON object on one line."""
    profile = db.metrics().profile
    if as_json:
        print(msgspec.json.encode({"profile": profile}).decode())
        return
    commits = "1 commit" if profile.commits == 1 else f"{profile.commits:,} commits"
    title = f"Profile: {profile.seconds:.3f} seconds of work in {commits}"
    console.print(Text(title, style="bold"))
    if profile.steps:
        print_rows(console, COLUMNS, profile_rows(profile), null=Text())
    if any(step.beside for step in profile.steps):
        console.print(Text(_BESIDE, style="dim"), soft_wrap=True)


def profile_rows(profile: Profile) -> list[tuple[Any, ...]]:
    """The table's rows; what a step belongs to stands at its first one only."""
    rows = []
    before = None
    for step in profile.steps:
        rows.append(
            (
                "" if step.where == before else step.where,
                _name(step),
                step.rows_in,
                step.rows_out,
                step.calls,
                round(step.seconds, 4),
                _percent(step),
                None if step.rows_per_s is None else round(step.rows_per_s),
            )
        )
        before = step.where
    return rows


def profile_panel(profile: Profile) -> PanelRows:
    """The steps that took most, for the live view."""
    by_time = sorted(profile.steps, key=lambda step: step.seconds, reverse=True)
    rows = [
        (f"{step.where}: {_name(step)}", step.rows_in, round(step.seconds, 2), _percent(step))
        for step in by_time
    ]
    return PanelRows(_PANEL, PANEL_COLUMNS, rows)


def _name(step: ProfileStep) -> str:
    return f"{step.step} *" if step.beside else step.step


def _percent(step: ProfileStep) -> float | None:
    return None if step.share is None else round(100 * step.share, 1)
