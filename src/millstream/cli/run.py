"""`millstream run`: scripts, and the queries and connectors that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from millstream.cli.live_view import DATABASE, FAILED_STATES, problems
from millstream.cli.messages import remark
from millstream.cli.opening import open_database, place
from millstream.cli.output import Output
from millstream.cli.panels import Panel, fetch
from millstream.cli.profile import show_profile
from millstream.cli.protocol import Database
from millstream.cli.session import Ending, Session
from millstream.cli.statements import is_insert, read_script, shown_name, tell_outcome
from millstream.cli.tables import json_line, print_rows
from millstream.errors import ExecutionError, SqlError

FINAL_ROWS = 5
# Queries may feed one another in a circle, which never comes to rest.
MOST_STEPS = 1_000


def run_scripts(
    files: Sequence[str],
    *,
    path: str | None,
    variables: Mapping[str, str],
    for_ms: int | None,
    until_idle: bool,
    as_json: bool,
    profiled: bool = False,
) -> None:
    """Execute the files in order, then run what they made until the end; `profiled`: tell where
    the time went. Raises MillstreamError for a file that cannot be read, a statement at fault, or
    a query that failed."""
    scripts = [(name, read_script(name)) for name in files]
    console = Output()
    with open_database(path) as db:
        told = []
        for name, text in scripts:
            told += execute_script(db, text, variables, console, as_json=as_json, name=name)
        if not db.metrics().queries and not db.metrics().connectors:
            if profiled:
                show_profile(db, console, as_json=as_json)
            return
        panels = table_panels(db)
        title = f"{', '.join(files)} · {place(path)}"
        attended = console.can_draw and not as_json
        if until_idle:
            db.run(for_ms=0, until_idle=True)  # Refuses a source that never ends.
        ending = Ending(for_ms, when_idle=until_idle or not attended)
        session = Session(db, title, panels, ending, profiled=profiled)
        if as_json:
            session.run_in_lines(remark, told)
        else:
            watch(session, console, attended=attended, told=told)
        show_tables(db, panels, console, as_json=as_json)
        if profiled:
            show_profile(db, console, as_json=as_json)
        raise_failures(db)


def execute_script(
    db: Database,
    text: str,
    variables: Mapping[str, str],
    console: Output,
    *,
    as_json: bool = False,
    name: str | None = None,
) -> list[str]:
    """Execute a script and tell what each statement did; what was told. An error names the file."""
    told = []
    try:
        for outcome in db.execute_each(text, variables, skip_existing=True, together=True):
            told.append(outcome.message)
            if is_insert(outcome.statement):
                settle(db)
            tell_outcome(console, outcome, as_json=as_json)
    except SqlError as error:
        if name is not None and error.position is not None:
            remark(f"{shown_name(name)}:", style="bold")
        raise
    return told


def settle(db: Database) -> None:
    """Let the queries read what a statement inserted, so that a SELECT after it sees the result."""
    for _ in range(MOST_STEPS):
        if db.engine.idle():
            return
        db.engine.step([])


def watch(session: Session, console: Output, *, attended: bool, told: Sequence[str] = ()) -> None:
    """Run a session in the live view, or in plain lines on stdout. `told` was said before."""
    if attended:
        session.run_in_terminal(console)
    else:
        session.run_in_lines(lambda line: print(line, flush=True), told)


def quoted(name: str) -> str:
    """A name as ad-hoc SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'


def table_panels(db: Database) -> list[Panel]:
    """A panel for each table that a query writes, with the rows that changed last."""
    names = {query.sink for query in db.metrics().queries}
    return [
        Panel(name, name, f"SELECT * FROM {quoted(name)} ORDER BY ROWTIME DESC")
        for (outcome,) in [db.execute("SHOW TABLES;")]
        if outcome.table is not None
        for name in (str(row[0]) for row in outcome.table.rows)
        if name in names
    ]


def show_tables(
    db: Database, panels: Sequence[Panel], console: Output, *, as_json: bool = False
) -> None:
    """Print some rows of each panel's table."""
    for panel in panels:
        if as_json:
            result = db.sql(f"{panel.query} LIMIT {FINAL_ROWS}")
            for row in result.rows():
                print(json_line(["TABLE", *result.columns], [panel.table, *row]))
            continue
        shown = fetch(db, panel, FINAL_ROWS)
        console.print(Text(panel.title, style="bold"))
        if shown.error is not None:
            console.print(Text(shown.error, style="red"))
        elif not shown.rows:
            console.print(Text("no rows", style="dim"))
        else:
            print_rows(console, shown.columns, shown.rows)
        console.print()


def raise_failures(db: Database) -> None:
    """Raise ExecutionError where a query stands still, a source brings nothing, or what was read
    could not be committed, because of an error. A sink that failed can be mended later: what it
    has to deliver is kept."""
    failed = [
        f"{query.id} ({query.sink}): {query.error}"
        for query in db.metrics().queries
        if query.state in FAILED_STATES
    ]
    failed += [
        f"{connector.info.name}: {connector.message}"
        for connector in db.connectors.all()
        if connector.info.direction == "SOURCE" and connector.state in FAILED_STATES
    ]
    failed += [problem.text for problem in problems(db.metrics()) if problem.name == DATABASE]
    if failed:
        raise ExecutionError("\n".join(failed))
