"""The live view of a running database: what flows, and the tables as they change."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from millstream.cli.durations import format_elapsed
from millstream.cli.panels import PanelRows
from millstream.cli.protocol import ConnectorMetrics, Metrics, QueryMetrics
from millstream.cli.tables import cell, is_numeric

FAILED_STATES = ("FAILED", "ERROR")


@dataclass(slots=True)
class Snapshot:
    """Everything that the view shows at one moment."""

    title: str
    elapsed_ms: int
    metrics: Metrics
    panels: Sequence[PanelRows] = field(default_factory=list)
    paused: bool = False
    finished: bool = False
    notes: Sequence[str] = ()


class LiveView:
    """Draws snapshots on the whole screen of a terminal. A context manager."""

    def __init__(self, console: Console, *, keys: bool) -> None:
        self._console = console
        self._keys = keys
        self._live = Live(console=console, screen=True, auto_refresh=False)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def rows_per_panel(self, metrics: Metrics, panels: int) -> int:
        """How many rows of each panel the screen has room for."""
        layout = Layout(self._console.width, self._console.height, metrics, panels)
        return layout.panel_rows

    def show(self, snapshot: Snapshot) -> None:
        """Draw a snapshot."""
        screen = render(snapshot, self._console.width, self._console.height, keys=self._keys)
        self._live.update(screen, refresh=True)


class Layout:
    """How the lines of a screen are shared out."""

    def __init__(self, width: int, height: int, metrics: Metrics, panels: int) -> None:
        self.wide = width >= 100
        self.panels_across = 1 if panels <= 1 or width < 60 else 2
        bands = -(-panels // self.panels_across)
        # Title, figures, foot; the queries' header; a blank line before each band of panels.
        fixed = 4 + bands + len(problem_lines(metrics, width)) + len(_bounded(metrics))
        room = max(0, height - fixed)
        # A panel is worth its title, its header and two rows; queries give way before that.
        self.query_rows = min(len(metrics.queries), max(1, room - 4 * bands))
        left = max(0, room - self.query_rows)
        # A band has a title and a header line above its rows.
        self.panel_rows = max(1, left // bands - 2) if bands else 0


def render(snapshot: Snapshot, width: int, height: int, *, keys: bool = True) -> RenderableType:
    """A snapshot as a screen of `width` by `height` characters."""
    metrics = snapshot.metrics
    layout = Layout(width, height, metrics, len(snapshot.panels))
    parts: list[RenderableType] = [
        _title(snapshot, width),
        _figures(snapshot),
        _queries(metrics.queries, layout),
        *_progress(metrics, width),
        *problem_lines(metrics, width),
        *_panels(snapshot.panels, layout, width),
    ]
    return Screen(parts, _foot(snapshot, width, keys=keys), height)


class Screen:
    """Parts from the top, and a foot on the last line; what does not fit between is cut."""

    def __init__(self, parts: Sequence[RenderableType], foot: Text, height: int) -> None:
        self._parts = parts
        self._foot = foot
        self._height = height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = self._height - 1
        lines = [
            line for part in self._parts for line in console.render_lines(part, options, pad=True)
        ][:room]
        empty = [Segment(" " * options.max_width)]
        for line in [*lines, *[empty] * (room - len(lines))]:
            yield from line
            yield Segment.line()
        yield self._foot


def _title(snapshot: Snapshot, width: int) -> Text:
    left = Text.assemble(("Millstream", "bold cyan"), "  ", (snapshot.title, "bold"))
    right = format_elapsed(snapshot.elapsed_ms)
    left.truncate(width - len(right) - 2, overflow="ellipsis")
    left.pad_right(max(1, width - left.cell_len - len(right)))
    return left.append(right)


def _figures(snapshot: Snapshot) -> Text:
    metrics = snapshot.metrics
    line = Text.assemble(
        (f"{metrics.events_total:,}", "bold"),
        " events   ",
        (f"{metrics.events_per_s:,.0f}", "bold"),
        " a second",
    )
    if snapshot.paused:
        line.append("   paused", style="bold yellow")
    elif snapshot.finished:
        line.append("   all input read", style="bold green")
    if metrics.log_count:
        line.append(f"   {metrics.log_count:,} in the processing log", style="red")
    return line


def _queries(queries: Sequence[QueryMetrics], layout: Layout) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", expand=False, padding=(0, 2, 0, 0))
    table.add_column("query writes", no_wrap=True, overflow="ellipsis")
    if layout.wide:
        table.add_column("id", no_wrap=True, overflow="ellipsis")
    table.add_column("state", no_wrap=True)
    table.add_column("rows in", justify="right", no_wrap=True, min_width=9)
    table.add_column("rows out", justify="right", no_wrap=True, min_width=9)
    table.add_column("behind", justify="right", no_wrap=True, min_width=7)
    for query in queries[: layout.query_rows]:
        failed = query.state in FAILED_STATES or query.error
        row = [
            query.sink,
            *([query.id] if layout.wide else []),
            query.state.lower(),
            f"{query.rows_in:,}",
            f"{query.rows_out:,}",
            f"{query.lag:,}",
        ]
        table.add_row(*row, style="red" if failed else None)
    return table


@dataclass(frozen=True, slots=True)
class Problem:
    """A query or connector that failed, or waits for something outside."""

    name: str
    text: str
    failed: bool


DATABASE = "database"
"""The name under which problems of the whole are told, such as a full disk."""


def problems(metrics: Metrics) -> list[Problem]:
    """What went wrong, or waits, and why."""
    found = [Problem(query.sink, query.error, True) for query in metrics.queries if query.error]
    for connector in metrics.connectors:
        failed = connector.state in FAILED_STATES
        if failed or connector.message:
            found.append(Problem(connector.name, connector.message or "failed", failed))
    known = {f"{query.id}: {query.error}" for query in metrics.queries}
    known |= {f"{connector.name}: {connector.message}" for connector in metrics.connectors}
    found += [Problem(DATABASE, error, True) for error in metrics.errors if error not in known]
    return found


def problem_lines(metrics: Metrics, width: int) -> list[Text]:
    """The problems, each on at most two lines: failures in red, what waits in yellow."""
    lines: list[Text] = []
    for problem in problems(metrics):
        text = " ".join(f"{problem.name}: {problem.text}".split())
        wrapped = textwrap.wrap(text, width, max_lines=2, placeholder=" …", break_on_hyphens=False)
        style = "red" if problem.failed else "yellow"
        lines.extend(Text(line, style=style) for line in wrapped)
    return lines


def _bounded(metrics: Metrics) -> list[ConnectorMetrics]:
    return [connector for connector in metrics.connectors if connector.progress is not None]


def _progress(metrics: Metrics, width: int) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for connector in _bounded(metrics):
        assert connector.progress is not None
        done, total = connector.progress
        share = done / total if total else 1.0
        line = Table.grid(padding=(0, 1))
        line.add_row(
            Text(connector.name),
            ProgressBar(total=1.0, completed=share, width=max(10, width // 3)),
            Text(f"{share:4.0%}"),
        )
        lines.append(line)
    return lines


def _panels(panels: Sequence[PanelRows], layout: Layout, width: int) -> list[RenderableType]:
    across = layout.panels_across
    gap = 2
    panel_width = (width - gap * (across - 1)) // across
    bands: list[RenderableType] = []
    for start in range(0, len(panels), across):
        band = Table.grid(padding=(0, gap, 0, 0))
        for _ in range(across):
            band.add_column(width=panel_width)
        cells = [
            _panel(shown, layout.panel_rows, panel_width)
            for shown in panels[start : start + across]
        ]
        band.add_row(*cells)
        bands.append(Padding(band, (1, 0, 0, 0)))
    return bands


def _panel(shown: PanelRows, rows: int, width: int) -> Group:
    title = Text(shown.panel.title, style="bold")
    if shown.error is not None:
        return Group(title, Text(shown.error, style="red"))
    if not shown.rows:
        return Group(title, Text("no rows yet", style="dim"))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    texts = [[cell(value) for value in row] for row in shown.rows[:rows]]
    numeric = [is_numeric(shown.rows, index) for index in range(len(shown.columns))]
    widths = _column_widths(shown, texts, numeric, width)
    for name, right, column_width in zip(shown.columns, numeric, widths, strict=True):
        table.add_column(
            name.lower(),
            justify="right" if right else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=column_width,
        )
    for index, row in enumerate(texts):
        table.add_row(*row, style="green" if index in shown.changed else None)
    return Group(title, table)


def _column_widths(
    shown: PanelRows, texts: Sequence[Sequence[Text]], numeric: Sequence[bool], width: int
) -> list[int]:
    """Widths that fit into `width`: where room is scarce, the longest texts are cut first;
    figures and times are not."""
    widths = [
        max(len(name), *(row[index].cell_len for row in texts))
        for index, name in enumerate(shown.columns)
    ]
    texts_at = [i for i, right in enumerate(numeric) if not right and i not in shown.times]
    while sum(widths) + len(widths) > width and texts_at:
        longest = max(texts_at, key=widths.__getitem__)
        if widths[longest] <= 3:
            break
        widths[longest] -= 1
    return widths


def _foot(snapshot: Snapshot, width: int, *, keys: bool) -> Text:
    if keys:
        verb = "resume" if snapshot.paused else "pause"
        line = Text.assemble(
            (" p ", "reverse"), f" {verb} the input   ", (" q ", "reverse"), " quit"
        )
    else:
        line = Text.assemble((" Ctrl-C ", "reverse"), " quit")
    for note in snapshot.notes:
        line.append(f"   {note}", style="dim")
    line.truncate(width, overflow="ellipsis")
    return line
