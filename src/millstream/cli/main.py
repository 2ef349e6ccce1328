"""The `millstream` command: where a process begins. Loads what a command needs when it is used."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with `arguments` (default: the process's), and end the process."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]):
        from importlib.metadata import version

        print(f"millstream {version('millstream')}")
        raise SystemExit(0)
    raise SystemExit("There are no commands yet.")
