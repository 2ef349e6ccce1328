"""All benchmarks, one after the other.

    python -m benchmarks [NAME ..] [--json FILE] [--small]

Writes one file: the recipe's figures by their names, those of the others under the benchmark's.
A benchmark that fails is told at the end; the others run all the same.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import report
from benchmarks.children import Figures

_NAMES = ("recipe", "hard", "latency", "growth", "restart", "many")


def main() -> None:
    """Run them, and write what they found."""
    parser = report.parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(_NAMES))
    options = parser.parse_args()
    unknown = set(options.names) - set(_NAMES)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    figures: Figures = {}
    failed = []
    for name in options.names or _NAMES:
        print(f"\n## {name}", flush=True)
        found = _run(name, options)
        if found is None:
            failed.append(name)
        elif name == "recipe":
            figures |= found
        else:
            figures[name] = found
    if options.json is not None:
        report.write(options.json, figures)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _run(name: str, options: argparse.Namespace) -> Figures | None:
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as folder:
        written = Path(folder) / "figures.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(written)]
        if options.small:
            command.append("--small")
        if subprocess.run(command).returncode:
            return None
        found: Figures = json.loads(written.read_text())
        return found


if __name__ == "__main__":
    main()
