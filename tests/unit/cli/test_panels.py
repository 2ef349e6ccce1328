from __future__ import annotations

from millstream.cli.panels import REST_PER_READ, Panel, PanelReader, telling_columns, time_columns
from tests.unit.cli.fakes import FakeDatabase, FakeResult

PANEL = Panel("Pages", "PAGES", "SELECT ID, N FROM PAGES")


class SlowDatabase(FakeDatabase):
    """Takes three seconds for an answer, on a clock of its own."""

    now_s = 100.0

    def sql(self, query: str) -> FakeResult:
        self.now_s += 3
        return super().sql(query)


def test_rows_that_the_last_read_did_not_have_are_marked() -> None:
    now = [0.0]
    db = FakeDatabase({"PAGES": FakeResult(["ID", "N"], [(1, 1), (2, 1)])})
    reader = PanelReader(db, [PANEL], lambda: now[0])
    assert reader.read(5)[0].changed == set()
    db.results["PAGES"] = FakeResult(["ID", "N"], [(1, 1), (2, 2), (3, 1)])
    now[0] += 10
    assert reader.read(5)[0].changed == {1, 2}


def test_reading_never_takes_more_than_its_share_of_the_time() -> None:
    db = SlowDatabase({"PAGES": FakeResult(["ID"], [(1,)])})
    reader = PanelReader(db, [PANEL], lambda: db.now_s)
    reader.read(5)
    db.now_s += 3 * REST_PER_READ - 1
    reader.read(5)
    assert len(db.asked) == 1
    db.now_s += 2
    reader.read(5)
    assert len(db.asked) == 2


def test_only_the_rows_that_fit_are_asked_for() -> None:
    db = FakeDatabase({"PAGES": FakeResult(["ID"], [(1,)])})
    PanelReader(db, [PANEL]).read(7)
    assert db.asked == ["SELECT ID, N FROM PAGES LIMIT 7"]


def test_timestamps_become_times_and_headings_names() -> None:
    panel = Panel("P", "P", "SELECT WINDOWSTART, N FROM P", ("from", "n"))
    db = FakeDatabase({"P": FakeResult(["WINDOWSTART", "N"], [(1_700_000_000_000, 5), (None, 6)])})
    (shown,) = PanelReader(db, [panel]).read(5)
    assert shown.columns == ("from", "n")
    assert shown.times == {0}
    assert ":" in shown.rows[0][0]
    assert shown.rows[1] == (None, 6)


def test_a_table_that_cannot_be_read_says_why_and_the_others_go_on() -> None:
    other = Panel("Other", "OTHER", "SELECT X FROM OTHER")
    db = FakeDatabase({"OTHER": FakeResult(["X"], [(1,)])})
    pages, others = PanelReader(db, [PANEL, other]).read(5)
    assert pages.error is not None
    assert others.rows == [(1,)]


def test_copies_of_timestamps_are_times_too() -> None:
    names = ["EVENT_TS", "N", "WINDOWSTART", "WINDOWEND"]
    assert time_columns(names, [(900, 7, 500, 900)]) == {0, 2, 3}


def test_of_columns_that_are_copies_one_is_shown() -> None:
    names = ["K1", "ID", "EVENT_TS", "N", "WINDOWSTART", "WINDOWEND", "ROWTIME"]
    rows = [(1, 1, 500, 7, 500, 900, 800), (2, 2, 600, 7, 600, 900, 800)]
    shown = telling_columns(names, rows, frozenset())
    assert [names[i] for i in shown] == ["ID", "N", "WINDOWSTART"]


def test_a_column_that_was_shown_stays() -> None:
    names = ["ID", "N"]
    assert telling_columns(names, [(1, 1), (2, 2)], frozenset()) == [1]
    assert telling_columns(names, [(1, 1), (2, 3)], frozenset({"N"})) == [0, 1]
    assert telling_columns(names, [(1, 1), (2, 2)], frozenset({"ID", "N"})) == [0, 1]
    assert telling_columns(names, [], frozenset({"ID", "N"})) == [0, 1]
