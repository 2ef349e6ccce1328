"""How errors and remarks are told to a person: on stderr, in one sentence, never a traceback."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text

from millstream.errors import MillstreamError


def tell(error: BaseException, *, debug: bool = False, stderr: Console | None = None) -> None:
    """Print `error` on stderr in red; with `debug` the traceback before it."""
    console = stderr or Console(file=sys.stderr, highlight=False)
    if debug:
        console.print_exception()
    console.print(error_text(error, debug=debug), soft_wrap=True)


def error_text(error: BaseException, *, debug: bool = False) -> Text:
    """What a person reads: the sentence in red, and what helps further."""
    if isinstance(error, MillstreamError):
        return Text(error.render(), style="red")
    if isinstance(error, OSError) and error.filename is not None:
        return Text(f"{error.filename}: {error.strerror or error}.", style="red")
    told = ": ".join(filter(None, [type(error).__name__, str(error).rstrip(".")]))
    text = Text(f"Millstream met an error of its own: {told}.", style="red")
    if not debug:
        text.append("\nPlease report it; with --debug it shows where it happened.", style="not red")
    return text


def remark(message: str, *, style: str = "dim", stderr: Console | None = None) -> None:
    """Print a remark on stderr, so that stdout holds results only."""
    console = stderr or Console(file=sys.stderr, highlight=False)
    console.print(Text(message, style=style), soft_wrap=True)
