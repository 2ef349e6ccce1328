"""`millstream demo clickstream`: the recipe, verbatim, over generated clicks or a real log."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from millstream.cli.opening import open_database, place
from millstream.cli.output import Output
from millstream.cli.panels import Panel
from millstream.cli.protocol import Database
from millstream.cli.run import execute_script, raise_failures, show_tables, watch
from millstream.cli.session import Ending, Session
from millstream.errors import MillstreamError
from millstream.recipes import read_recipe

UNATTENDED_MS = 30_000
SINK = "ANALYZED_CLICKSTREAM"

PANELS = (
    Panel(
        "Pages per minute",
        "PAGES_PER_MIN",
        # Of the windows that hold the newest click, the one that began first: the last minute.
        "SELECT USERID, WINDOWSTART, PAGES FROM PAGES_PER_MIN WHERE WINDOWSTART ="
        " (SELECT MAX(WINDOWSTART) - 55000 FROM PAGES_PER_MIN) ORDER BY PAGES DESC, USERID",
        ("user", "minute from", "pages"),
    ),
    Panel(
        "User sessions",
        "CLICK_USER_SESSIONS",
        "SELECT USERNAME, WINDOWSTART, (WINDOWEND - WINDOWSTART) // 1000, EVENTS"
        " FROM CLICK_USER_SESSIONS ORDER BY WINDOWEND DESC, EVENTS DESC, USERNAME",
        ("user", "from", "seconds", "events"),
    ),
    Panel(
        "Error alerts",
        "ERRORS_PER_MIN_ALERT",
        "SELECT STATUS, WINDOWSTART, ERRORS FROM ERRORS_PER_MIN_ALERT"
        " ORDER BY WINDOWSTART DESC, ERRORS DESC, STATUS",
        ("status", "minute from", "errors"),
    ),
    Panel(
        "User activity",
        "USER_IP_ACTIVITY",
        "SELECT USERNAME, IP, CITY, COUNT FROM USER_IP_ACTIVITY"
        " ORDER BY WINDOWSTART DESC, COUNT DESC, USERNAME",
        ("user", "ip", "city", "clicks"),
    ),
)


def run_demo(
    name: str,
    *,
    path: str | None,
    for_ms: int | None,
    access_log: Path | None,
    elasticsearch: str | None,
) -> None:
    """Run the recipe `name`; without a terminal for 30 seconds."""
    console = Output()
    attended = console.can_draw
    script = recipe_script(name, from_log=access_log is not None, elasticsearch=elasticsearch)
    with open_database(path) as db:
        if elasticsearch is not None:
            drop_failed_sink(db)
        told = execute_script(db, script, log_variables(access_log), console)
        after_ms = for_ms if for_ms is not None or attended else UNATTENDED_MS
        session = Session(
            db,
            f"{name} · {place(path)}",
            PANELS,
            Ending(after_ms, when_idle=not attended),
        )
        watch(session, console, attended=attended, told=told)
        show_tables(db, PANELS, console)
        raise_failures(db)


def recipe_script(name: str, *, from_log: bool, elasticsearch: str | None) -> str:
    """The recipe's statements with the source of its clicks and its sink's address put in."""
    script = read_recipe(name)
    if from_log:
        # The log's connector takes the generators' place; from SET on the recipe is unchanged.
        start = script.index("SET 'auto.offset.reset'")
        script = read_recipe(f"{name}_access_log") + "\n" + script[start:]
    if elasticsearch is not None:
        script = with_elasticsearch(script, elasticsearch)
    return script


def log_variables(access_log: Path | None) -> dict[str, str]:
    """The variable that the log's connector takes its file from."""
    if access_log is None:
        return {}
    return {"access_log": str(access_log.resolve())}


def with_elasticsearch(script: str, url: str) -> str:
    """The recipe with the address, user and password of a server put in."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MillstreamError(
            f"{url!r} is not the URL of a server.", hint="Write it like http://localhost:9200."
        )
    user = unquote(parts.username or "") or os.environ.get("MILLSTREAM_ELASTICSEARCH_USER", "")
    password = unquote(parts.password or "") or os.environ.get(
        "MILLSTREAM_ELASTICSEARCH_PASSWORD", ""
    )
    address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    for placeholder, value in (
        ("<elasticsearch-URI>", address),
        ("<elasticsearch-username>", user),
        ("<elasticsearch-password>", password),
    ):
        script = script.replace(placeholder, value.replace("'", "''"))
    return script


def drop_failed_sink(db: Database) -> None:
    """Let the recipe make its sink anew where an earlier run had no address for it."""
    for connector in db.metrics().connectors:
        if connector.name.upper() == SINK and connector.state == "FAILED":
            db.execute(f"DROP CONNECTOR IF EXISTS {SINK};")
