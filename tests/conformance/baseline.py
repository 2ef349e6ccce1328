"""What passed before: figures by file that may not fall, and the known failures with reasons.

`python -m tests.conformance.baseline` runs the shared folder and writes both files anew; reasons
that were written by hand are kept as long as their case fails.
"""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from .folder import FileResult, run_folder
from .report import Figures, figures, last_line
from .runner import Options

HERE = Path(__file__).parent
BASELINE = HERE / "baseline.json"
KNOWN_FAILURES = HERE / "known_failures.toml"

_HEADER = """\
# Cases that are known to fail, by file, number in the file and expansion, each with the reason.
# A case that passes must be taken out; `python -m tests.conformance.baseline` does both.
"""


def shared_folder() -> Path:
    """Where the test cases are: beside the repository, or where MILLSTREAM_SHARED says."""
    default = HERE.parents[2] / "shared"
    return Path(os.environ.get("MILLSTREAM_SHARED", default)) / "qtt" / "query-validation-tests"


def read_baseline() -> Figures:
    """The figures by file that were reached."""
    if not BASELINE.exists():
        return {}
    table: Figures = json.loads(BASELINE.read_text(encoding="utf-8"))
    return table


def read_known_failures() -> dict[str, str]:
    """The known failures' ids, and why they fail."""
    if not KNOWN_FAILURES.exists():
        return {}
    document = tomllib.loads(KNOWN_FAILURES.read_text(encoding="utf-8"))
    return {id: reason for table in document.values() for id, reason in table.items()}


def failures_text(results: Sequence[FileResult], reasons: dict[str, str]) -> str:
    """The text of the file of known failures: old reasons kept, new ones as the runner tells."""
    parts = [_HEADER]
    for result in results:
        failed = [case for case in result.cases if not case.passed]
        if not failed:
            continue
        parts.append(f"\n[{json.dumps(result.stem)}]\n")
        for case in failed:
            reason = reasons.get(case.id) or _kind_of(case.reason or "")
            parts.append(f"{json.dumps(case.id)} = {json.dumps(reason, ensure_ascii=False)}\n")
    return "".join(parts)


def _kind_of(reason: str) -> str:
    """The reason without the test data in it, which stays out of this repository."""
    for mark in ("expected ", "is not a KAFKA", "is not JSON"):
        if mark in reason:
            return "the output differs"
    return reason.partition("; ")[0][:100]


def main() -> int:
    """Run everything and write both files."""
    results = run_folder(shared_folder(), Options())
    text = json.dumps(figures(results), indent=1, sort_keys=True)
    BASELINE.write_text(text + "\n", encoding="utf-8")
    KNOWN_FAILURES.write_text(failures_text(results, read_known_failures()), encoding="utf-8")
    print(last_line(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
