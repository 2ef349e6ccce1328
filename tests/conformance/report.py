"""Shows results: a table by file, failures with their reasons, and the figures as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from .folder import FileResult

Figures = dict[str, dict[str, dict[str, int]]]
"""Stem to `positive` and `negative`, each with `passed` and `total`."""


def figures(results: Iterable[FileResult]) -> Figures:
    """The counts by file."""
    table: Figures = {}
    for result in results:
        table[result.stem] = {}
        for kind in ("positive", "negative"):
            passed, total = result.count(positive=kind == "positive")
            table[result.stem][kind] = {"passed": passed, "total": total}
    return table


def totals(results: Sequence[FileResult], *, positive: bool) -> tuple[int, int]:
    """How many positive (or negative) cases passed over all files, and how many there are."""
    counts = [r.count(positive=positive) for r in results]
    return sum(p for p, _ in counts), sum(n for _, n in counts)


def table(results: Sequence[FileResult]) -> str:
    """Passed of all by file, positive and negative cases apart, and their sums."""
    width = max(len("file"), *(len(r.stem) for r in results))
    lines = [f"{'file':{width}}  {'positive':>11}  {'negative':>11}"]
    for result in results:
        positive, negative = result.count(positive=True), result.count(positive=False)
        mark = "" if all(c.passed for c in result.cases) else "  *"
        lines.append(f"{result.stem:{width}}  {_share(positive)}  {_share(negative)}{mark}")
    sums = totals(results, positive=True), totals(results, positive=False)
    lines.append(f"{'all':{width}}  {_share(sums[0])}  {_share(sums[1])}")
    return "\n".join(lines)


def failures(results: Sequence[FileResult]) -> str:
    """A line for each failed case: what it is called, and why it failed."""
    failed = [case for result in results for case in result.cases if not case.passed]
    return "\n".join(
        f"FAILED {case.full_name} ({case.id})\n       {case.reason}" for case in failed
    )


def mutation_summary(results: Sequence[FileResult]) -> tuple[str, int]:
    """What the changed records showed, and how many of them passed although they must not."""
    judged = [
        (case, case.mutation) for r in results for case in r.cases if case.mutation is not None
    ]
    made = sum(m.made for _, m in judged)
    survivors = [f"SURVIVED {case.full_name}: {s}" for case, m in judged for s in m.survivors]
    line = f"mutants: {made} made in {len(judged)} cases, {len(survivors)} survived"
    return "\n".join([*survivors, line]), len(survivors)


def last_line(results: Sequence[FileResult]) -> str:
    """`passed N of M`."""
    (p, n), (q, m) = totals(results, positive=True), totals(results, positive=False)
    return f"passed {p + q} of {n + m}"


def write_json(path: Path, results: Sequence[FileResult]) -> None:
    """Write the figures by file."""
    path.write_text(json.dumps(figures(results), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _share(count: tuple[int, int]) -> str:
    passed, total = count
    return f"{passed:>5}/{total:<5}" if total else f"{'-':>8}   "
