"""Sessions one row after the other: for keys whose rows come late or out of order, and for
aggregates that keep Python objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from millstream.engine.operators.aggregate_calls import AggregateCalls
from millstream.engine.operators.session_events import Events, no_events
from millstream.engine.operators.windows import WindowSpec
from millstream.functions.aggregates.kernels import States

Tuples = list[tuple[Any, ...]]
"""One state per call, as the row form holds it."""


@dataclass(slots=True)
class Session:
    """A session of one key."""

    start: int
    end: int
    states: Tuples


@dataclass(slots=True)
class KeySessions:
    """The sessions of a key that its rows may touch, by start; `before` is the start of the one
    that comes before them, -1 for none. `removed` are starts that are no more."""

    key: int
    sessions: list[Session]
    before: int = -1
    removed: set[int] = field(default_factory=set)


@dataclass(slots=True)
class EventList:
    """Events as they are made."""

    calls: AggregateCalls
    row: list[int] = field(default_factory=list)
    turn: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)
    new: list[Tuples | None] = field(default_factory=list)
    old: list[Tuples | None] = field(default_factory=list)

    def add(
        self,
        row: int,
        turn: int,
        key: int,
        bounds: tuple[int, int],
        new: Tuples | None,
        old: Tuples | None,
    ) -> None:
        """One more event; no new states: gone, no old ones: was not there."""
        self.row.append(row)
        self.turn.append(turn)
        self.ids.append(key)
        self.start.append(bounds[0])
        self.end.append(bounds[1])
        self.new.append(new)
        self.old.append(old)

    def columns(self) -> Events:
        """The events as columns."""
        if not self.row:
            return no_events(self.calls)
        return Events(
            np.array(self.row),
            np.array(self.turn),
            np.array(self.ids),
            np.array(self.start),
            np.array(self.end),
            np.array([n is None for n in self.new]),
            np.array([o is not None for o in self.old]),
            packed(self.calls, self.new),
            packed(self.calls, self.old),
        )


def packed(calls: AggregateCalls, rows: list[Tuples | None]) -> list[States]:
    """States of the row form as the kernels hold them; initial ones where there are none."""
    initial = [c.call.aggregator.initial() for c in calls.calls]
    return [
        bound.kernel.pack([initial[i] if r is None else r[i] for r in rows])
        for i, bound in enumerate(calls.calls)
    ]


def add_row(
    sessions: KeySessions,
    row: int,
    rowtime: int,
    stream_time: int,
    observed: int,
    arguments: Tuples,
    window: WindowSpec,
    events: EventList,
) -> bool:
    """Add a row to its key's sessions; False where it is late.

    Sessions within the gap, bounds included, and still visible to the store are merged with the
    row, oldest end first; each is taken away, unless the row repeats the only moment of one.
    """
    gap = window.size_ms
    merged = [
        s
        for s in sessions.sessions
        if s.end >= rowtime - gap
        and s.start <= rowtime + gap
        and s.end >= observed - window.kept_ms
    ]
    merged.sort(key=lambda s: (s.end, s.start))
    start = min([rowtime, *(s.start for s in merged)])
    end = max([rowtime, *(s.end for s in merged)])
    if end < stream_time - window.grace_ms - gap:
        return False
    aggregators = [c.call.aggregator for c in events.calls.calls]
    states = [a.initial() for a in aggregators]
    for session in merged:
        states = [
            a.merge(s, m) for a, s, m in zip(aggregators, states, session.states, strict=True)
        ]
    states = [a.add(s, x) for a, s, x in zip(aggregators, states, arguments, strict=True)]
    same = start == end == rowtime
    if not same:
        for turn, session in enumerate(merged):
            bounds = (session.start, session.end)
            events.add(row, turn, sessions.key, bounds, None, session.states)
    old = merged[0].states if same and merged else None
    events.add(row, len(merged), sessions.key, (start, end), states, old)
    kept = [s for s in sessions.sessions if all(s is not m for m in merged)]
    sessions.removed.update(s.start for s in merged)
    # An expired session may have the same start; it is not seen any more and gives way.
    kept = [s for s in kept if s.start != start]
    kept.append(Session(start, end, states))
    kept.sort(key=lambda s: s.start)
    sessions.sessions = kept
    return True
