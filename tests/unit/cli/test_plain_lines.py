from __future__ import annotations

from millstream.cli.live_view import Snapshot
from millstream.cli.plain_lines import PlainLines
from tests.unit.cli.fakes import FakeConnector, FakeMetrics, FakeQuery

METRICS = FakeMetrics(
    1_234, 56.7, [FakeQuery("Q1", "PAGES", rows_out=99)], [FakeConnector("LOG", progress=(1, 4))], 2
)


def lines_at(*elapsed_ms: int, metrics: FakeMetrics = METRICS) -> list[str]:
    written: list[str] = []
    lines = PlainLines(written.append)
    for moment_ms in elapsed_ms:
        lines.show(Snapshot("x", moment_ms, metrics))
    return written


def test_a_line_holds_the_figures() -> None:
    (line,) = lines_at(65_000)
    assert line == "01:05  1,234 events (57/s)  LOG 25%  PAGES 99  processing log 2"


def test_lines_come_every_five_seconds_and_the_first_after_one() -> None:
    assert len(lines_at(0, 900)) == 0
    assert len(lines_at(0, 1_000, 1_250, 4_999)) == 1
    assert len(lines_at(0, 1_000, 5_000, 5_250, 10_000)) == 3
    assert len(lines_at(60_000, 60_250)) == 1


def test_the_last_line_comes_at_once() -> None:
    written: list[str] = []
    PlainLines(written.append).show(Snapshot("x", 3, METRICS), last=True)
    assert len(written) == 1


def test_what_a_statement_has_told_is_not_told_again() -> None:
    failed = FakeMetrics(connectors=[FakeConnector("SINK", "FAILED", "put a URL there.")])
    written: list[str] = []
    lines = PlainLines(written.append, ["connector SINK created, but FAILED: put a URL there."])
    lines.show(Snapshot("x", 0, failed))
    assert written == []


def test_the_same_line_is_not_written_twice() -> None:
    written: list[str] = []
    lines = PlainLines(written.append)
    lines.show(Snapshot("x", 5_000, METRICS))
    lines.show(Snapshot("x", 5_001, METRICS), last=True)
    assert len(written) == 1


def test_a_problem_is_told_once() -> None:
    failed = FakeMetrics(connectors=[FakeConnector("SINK", "FAILED", "put a URL there.")])
    assert lines_at(0, 250, 500, metrics=failed) == ["SINK: put a URL there."]


def test_what_is_wrong_with_the_whole_is_told_once() -> None:
    query = FakeQuery("Q1", "PAGES", error="it fails")
    full = FakeMetrics(queries=[query], errors=["Q1: it fails", "the disk is full"])
    assert lines_at(0, 250, metrics=full) == ["PAGES: it fails", "database: the disk is full"]


def test_what_waits_is_told_once_whatever_the_next_try() -> None:
    written: list[str] = []
    lines = PlainLines(written.append)
    for delay_ms in (100, 200):
        waits = f"The server is away. The next try is in {delay_ms} ms."
        lines.show(Snapshot("x", 0, FakeMetrics(connectors=[FakeConnector("S", message=waits)])))
    assert written == ["S: The server is away."]
