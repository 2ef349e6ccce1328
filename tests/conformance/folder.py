"""Runs the cases of a folder, file by file, on two cores."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Collection
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .model import Case, load_file
from .runner import CaseResult, Options, run_case

WORKERS = 2
_ROOT = str(Path(__file__).parents[__name__.count(".")])


@dataclass(frozen=True)
class FileResult:
    """What became of a file's cases."""

    stem: str
    cases: tuple[CaseResult, ...]

    def count(self, *, positive: bool) -> tuple[int, int]:
        """How many positive (or negative) cases passed, and how many there are."""
        chosen = [c for c in self.cases if c.positive == positive]
        return sum(c.passed for c in chosen), len(chosen)


def run_folder(
    folder: Path,
    options: Options,
    *,
    only: Collection[str] | None = None,
    without: Collection[str] = (),
) -> list[FileResult]:
    """Run the files named by `only` (None: all), without the cases that mention one of the words
    in `without`. Files in the order of their names, those left without cases not among them."""
    paths = sorted(p for p in folder.glob("*.json") if only is None or p.stem in only)
    words = tuple(without)
    largest_first = sorted(paths, key=lambda p: p.stat().st_size, reverse=True)
    if _ROOT not in sys.path:  # workers import this package by its name from here
        sys.path.append(_ROOT)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(WORKERS, len(paths) or 1), mp_context=context) as pool:
        running = {p: pool.submit(_run_file, p, options, words) for p in largest_first}
        results = [running[p].result() for p in paths]
    return [result for result in results if result.cases]


def selected(cases: list[Case], without: Collection[str]) -> list[Case]:
    """The cases that mention none of the words."""
    return [c for c in cases if not any(c.mentions(word) for word in without)]


def _run_file(path: Path, options: Options, without: tuple[str, ...]) -> FileResult:
    cases = selected(load_file(path), without)
    return FileResult(path.stem, tuple(run_case(case, options) for case in cases))
