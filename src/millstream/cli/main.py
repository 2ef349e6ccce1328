"""The `millstream` command: where a process begins, and where every error ends.

Whatever a command needs is loaded when it is used, so that `millstream --version` and `--help`
answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with `arguments` (default: the process's), and end the process.

    Exit codes: 0 done, also when a person ended it; 1 it failed; 2 it was called wrongly.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given == ["--version"]:
        print(f"millstream {version()}")
        raise SystemExit(EXIT_OK)
    raise SystemExit(run(given))


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as version_of

    return version_of("millstream")


def run(arguments: list[str]) -> int:
    """Run the command with `arguments`; the exit code. What goes wrong is told on stderr."""
    import logging

    import click

    from millstream.cli.commands import millstream

    debug = "--debug" in arguments or os.environ.get("MILLSTREAM_DEBUG", "0") not in ("", "0")
    # What a part logs is for its developers; people read messages, metrics and the processing log.
    logging.getLogger("millstream").addHandler(
        logging.StreamHandler() if debug else logging.NullHandler()
    )
    try:
        with millstream.make_context("millstream", arguments) as context:
            millstream.invoke(context)
        sys.stdout.flush()
    except click.UsageError as error:
        error.show()
        return EXIT_USAGE
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return EXIT_FAILED
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (`| head`) has what it wanted. Python would complain once more
        # when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except Exception as error:
        from millstream.cli.messages import tell

        tell(error, debug=debug)
        return EXIT_FAILED
    return EXIT_OK
