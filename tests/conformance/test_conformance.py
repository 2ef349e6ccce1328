"""Runs the whole shared folder: nothing that passed may fail, and the core passes nearly whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .baseline import read_baseline, read_known_failures, shared_folder
from .folder import FileResult, run_folder
from .report import figures
from .runner import Options

REQUIRED_STEMS = (
    "hopping-windows", "tumbling-windows", "session-windows", "window-bounds", "suppress",
    "having", "as_value", "count", "sum", "filter", "project-filter", "select", "between", "like",
    "case-expression", "null", "identifiers", "quoted-identifiers", "table", "partition-by",
    "group-by", "timestamp-extractor", "row-offset-and-partition", "headers", "insert-into",
    "drop_source", "windowed-source", "system-columns", "where",
)  # fmt: skip
REQUIRED_SHARE = 0.97
LEFT_OUT = ("AVRO", "PROTOBUF", "JSON_SR")

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def folder() -> Path:
    path = shared_folder()
    if path.is_dir():
        return path
    message = f"no test cases at {path}; MILLSTREAM_SHARED tells where they are"
    if os.environ.get("CI") == "true":
        raise RuntimeError(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def results(folder: Path) -> list[FileResult]:
    return run_folder(folder, Options())


def test_no_file_passes_less_than_before(results: list[FileResult]) -> None:
    now, before = figures(results), read_baseline()
    assert now.keys() >= before.keys()
    fallen = {
        f"{stem} {kind}": (counts["passed"], now[stem][kind]["passed"])
        for stem, kinds in before.items()
        for kind, counts in kinds.items()
        if now[stem][kind]["passed"] < counts["passed"]
    }
    assert fallen == {}


def test_failures_are_known_and_known_failures_fail(results: list[FileResult]) -> None:
    failed = {case.id: case.reason for r in results for case in r.cases if not case.passed}
    known = read_known_failures()
    assert {id: reason for id, reason in failed.items() if id not in known} == {}, "new failures"
    assert set(known) - set(failed) == set(), "these pass: take them out of known_failures.toml"
    assert all(reason.strip() for reason in known.values())


@pytest.mark.parametrize("positive", [True, False], ids=["positive", "negative"])
def test_the_core_passes_nearly_whole(folder: Path, positive: bool) -> None:
    core = run_folder(folder, Options(), only=REQUIRED_STEMS, without=LEFT_OUT)
    assert {result.stem for result in core} == set(REQUIRED_STEMS)
    counts = [result.count(positive=positive) for result in core]
    passed, total = sum(p for p, _ in counts), sum(n for _, n in counts)
    assert passed >= REQUIRED_SHARE * total, f"{passed} of {total}"
