"""The commands, their options and their help. What they do stands in a module each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from millstream.cli.durations import parse_duration

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Duration(click.ParamType[int]):
    """An option's value like 30s, in milliseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds."""
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Definition(click.ParamType[tuple[str, str]]):
    """An option's value like name=value, as a pair."""

    name = "name=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Name and value."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals or not name.strip():
            self.fail(f"{value!r} is not a definition; write it like name=value", param, ctx)
        return name.strip(), text


def output_option(command: Callable[..., None]) -> Callable[..., None]:
    """The option --output."""
    return click.option(
        "--output",
        type=click.Choice(["tabular", "json"], case_sensitive=False),
        default="tabular",
        show_default=True,
        help="Tables for people, or a JSON object a line for programs.",
    )(command)


def debug_option(command: Callable[..., None]) -> Callable[..., None]:
    """The option --debug; it is read before anything else is, wherever it stands."""
    return click.option(
        "--debug", is_flag=True, expose_value=False, help="Show where an error happened."
    )(command)


def for_option(command: Callable[..., None]) -> Callable[..., None]:
    """The option --for."""
    return click.option(
        "--for", "for_ms", type=Duration(), metavar="TIME", help="End after this time: 500ms, 30s."
    )(command)


def show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Print the version and end."""
    if value and not ctx.resilient_parsing:
        from millstream.cli.main import version

        click.echo(f"millstream {version()}")
        ctx.exit()


@click.group(context_settings=HELP)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=show_version,
    help="Show the version and end.",
)
@debug_option
def millstream() -> None:
    """Streaming SQL for Python: runs ksqlDB scripts in one process, without a broker.

    \b
    millstream demo clickstream          live tables from generated clicks
    millstream run script.sql            run a script of your own
    millstream query --db FILE "SELECT"  ask a database file, also while another runs it
    millstream check FILE                tell whether a database file is intact
    """


@millstream.command(context_settings=HELP)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--db", metavar="PATH", help="Keep everything in this file, and go on from it.")
@click.option(
    "-d",
    "--define",
    "definitions",
    type=Definition(),
    multiple=True,
    metavar="NAME=VALUE",
    help="Define a variable: ${NAME} in the script.",
)
@for_option
@click.option("--until-idle", is_flag=True, help="End when all input has been read.")
@click.option("--profile", is_flag=True, help="Tell at the end where the time went.")
@output_option
@debug_option
def run(
    files: tuple[str, ...],
    db: str | None,
    definitions: tuple[tuple[str, str], ...],
    for_ms: int | None,
    until_idle: bool,
    profile: bool,
    output: str,
) -> None:
    """Run scripts, and the queries and connectors that they make.

    In a terminal a live view shows the tables as they change: p pauses the input, q and Ctrl-C
    commit and leave. Without a terminal it writes a line every few seconds and ends when no more
    input can come. A FILE named - is read from stdin.

    With --db a statement that made what exists already is skipped, so the same command goes on
    where it stopped.
    """
    from millstream.cli.run import run_scripts

    run_scripts(
        files,
        path=db,
        variables=dict(definitions),
        for_ms=for_ms,
        until_idle=until_idle,
        as_json=output == "json",
        profiled=profile,
    )


@millstream.command(context_settings=HELP)
@click.argument("sql", metavar="SELECT")
@click.option("--db", required=True, metavar="PATH", help="The database file.")
@output_option
@debug_option
def query(sql: str, db: str, output: str) -> None:
    """Ask a database file, read-only, also while `run` or `demo` works on it.

    Any SELECT over its streams and tables will do, joins and ORDER BY included. A SELECT with
    EMIT CHANGES goes on until Ctrl-C.
    """
    from millstream.cli.query import run_query

    run_query(sql, path=db, as_json=output == "json")


@millstream.command(context_settings=HELP)
@click.argument("path", type=click.Path(exists=True, dir_okay=False), metavar="PATH")
@output_option
@debug_option
@click.pass_context
def check(ctx: click.Context, path: str, output: str) -> None:
    """Tell what of a database file is intact, and what to do about the rest.

    Reads everything in it and changes nothing, also while `run` or `demo` works on it. The exit
    code is 0 where all is intact, 1 where it is damaged or is no database.
    """
    from millstream.cli.check import check as check_file

    if not check_file(path, as_json=output == "json"):
        ctx.exit(1)


@millstream.command(context_settings=HELP)
@click.argument("name", type=click.Choice(["clickstream"]), metavar="clickstream")
@click.option("--db", metavar="PATH", help="Keep everything in this file, and go on from it.")
@for_option
@click.option(
    "--access-log",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Take the clicks from a web server's log instead of generating them.",
)
@click.option(
    "--elasticsearch",
    metavar="URL",
    help="Write the tables there too, like http://user:password@localhost:9200.",
)
@debug_option
def demo(
    name: str,
    db: str | None,
    for_ms: int | None,
    access_log: Path | None,
    elasticsearch: str | None,
) -> None:
    """Run the recipe "Understand user behavior with clickstream data".

    Clicks come in; tables of pages per minute, user sessions, error alerts and user activity come
    out. In a terminal a live view shows them: p pauses the clicks, q and Ctrl-C leave. Without a
    terminal it ends after 30 seconds.

    User and password of Elasticsearch may stand in the URL, or in MILLSTREAM_ELASTICSEARCH_USER
    and MILLSTREAM_ELASTICSEARCH_PASSWORD.
    """
    from millstream.cli.demo import run_demo

    run_demo(name, path=db, for_ms=for_ms, access_log=access_log, elasticsearch=elasticsearch)
