"""`python -m tests.conformance DIR`: run a folder of test cases and print what passed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from . import report
from .folder import run_folder
from .model import DataError
from .runner import Options


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(1, f"{self.prog}: {message}\n")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = _Parser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder with *.json files")
    parser.add_argument("--only", type=_words, metavar="STEM,..", help="only these files")
    parser.add_argument(
        "--without",
        type=_words,
        default=[],
        metavar="FORMAT,..",
        help="leave out cases whose statements, topics or properties name one of these",
    )
    parser.add_argument("--row-wise", action="store_true", help="force the operators' row paths")
    parser.add_argument(
        "--mutate", action="store_true", help="change each expected record; every change must fail"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures by file")
    parser.add_argument("-v", "--verbose", action="store_true", help="list failures and reasons")
    arguments = parser.parse_args(argv)
    if not arguments.folder.is_dir():
        parser.error(f"{arguments.folder} is not a folder")
    known = {path.stem for path in arguments.folder.glob("*.json")}
    unknown = sorted(set(arguments.only or ()) - known)
    if unknown:
        parser.error(f"no such file: {', '.join(unknown)}")
    return arguments


def main(argv: list[str]) -> int:
    """The exit code: 0 when it ran, 1 for wrong usage, no cases, or surviving mutants."""
    arguments = _arguments(argv)
    options = Options(row_wise=arguments.row_wise, mutate=arguments.mutate)
    try:
        results = run_folder(
            arguments.folder, options, only=arguments.only, without=arguments.without
        )
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    if not results:
        print("no cases", file=sys.stderr)
        return 1
    survived = 0
    if arguments.verbose and (listed := report.failures(results)):
        print(listed)
    print(report.table(results))
    if arguments.row_wise:
        forced = sum(case.rows_forced for result in results for case in result.cases)
        print(f"row paths forced: {forced}")
    if arguments.mutate:
        summary, survived = report.mutation_summary(results)
        print(summary)
    if arguments.json is not None:
        report.write_json(arguments.json, results)
    print(report.last_line(results))
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
