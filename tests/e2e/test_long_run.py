"""A week of the recipe: what it keeps in memory follows the last day; counted, not weighed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import contestant_soak, soak
from benchmarks.contestant_soak import Population, feed, prepare
from millstream.database import Database
from millstream.engine.operators.aggregate import AggregateOperator
from millstream.engine.operators.aggregate_windowed import WindowedAggregation
from millstream.engine.operators.session import SessionAggregation
from millstream.engine.state import keys, windowed

_PIECE = 500


def _entries(database: Database) -> dict[str, tuple[int, int]]:
    """Per aggregation: how many keys it knows, and how many rows it has in memory."""
    found = {}
    for number, query in database.engine.queries.items():
        for state in query.stage.states():
            if not isinstance(state, AggregateOperator):
                continue
            form = state._form
            if isinstance(form, SessionAggregation):
                rows = form.state.sessions.census()[2]
            else:
                assert isinstance(form, WindowedAggregation)
                rows = form.state.census()[2]
            found[f"query {number}"] = (form.keys.index.used, rows)
    return found


def test_keys_and_rows_in_memory_follow_the_last_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_FEWEST_SWEPT", 100)
    monkeypatch.setattr(windowed, "COLD_BYTES", 100_000)
    monkeypatch.setattr(contestant_soak, "_LATE", 0.001)
    population = Population(clicks=28_000, active=50, fresh=400)
    most: dict[str, list[list[int]]] = {}
    with Database.open(str(tmp_path / "long.db"), max_rows=_PIECE) as database:
        prepare(database, population)
        for start in range(0, population.clicks, _PIECE):
            feed(database, *population.piece(start, _PIECE))
            database.run(until_idle=True)
            for name, counts in _entries(database).items():
                halves = most.setdefault(name, [[0, 0], [0, 0]])
                half = halves[2 * start // population.clicks]
                half[:] = [max(a, b) for a, b in zip(half, counts, strict=True)]
    assert len(most) == 4
    for name, ((_, rows_before), (known, rows)) in most.items():
        # Of 2,850 users those of the last day and a bit are held, and at most as many unswept.
        assert known <= 2 * (50 + 2 * 400), name
        assert rows <= 1.3 * rows_before, name


def test_a_small_soak_gives_its_figures(tmp_path: Path) -> None:
    figures, shown = soak.measure(tmp_path, 8_000, 50, 100)
    assert figures["portions"][-1]["clicks"] == 8_000
    assert figures["topics_mb"] + figures["state_mb"] <= figures["file_mb"]
    assert {"events_per_s", "slowdown", "rss_growth_mb", "keys_at_most"} <= figures.keys()
    assert "topic PAGES_PER_MIN" in shown
