"""Aggregations one row after the other, in plain Python: what the operators must equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millstream import types as t
from millstream.engine.operators.windows import AggregateCall, AggregateSpec, WindowSpec
from millstream.functions.aggregates import ALL
from millstream.functions.registry import Aggregator

KEY = (("K", t.STRING),)
VALUE = (("I", t.INTEGER), ("B", t.BIGINT), ("D", t.DOUBLE), ("S", t.STRING))
FUNCTIONS = {f.name: f for f in ALL}

Row = tuple[Any, ...]
"""(key, int, bigint, double, string)"""


def make(name: str, *types: t.SqlType) -> Aggregator:
    """An aggregate for argument types."""
    for variant in FUNCTIONS[name].variants:
        fixed = [p for p in variant.parameters if isinstance(p, t.SqlType)]
        if len(variant.parameters) == len(types) and all(p in types for p in fixed):
            return variant.make(types, [])
    raise AssertionError(name)


COLUMNAR = [
    ("COUNT", ()),
    ("COUNT", (0,)),
    ("SUM", (0,)),
    ("SUM", (1,)),
    ("SUM", (2,)),
    ("MIN", (0,)),
    ("MAX", (1,)),
    ("MIN", (2,)),
    ("MAX", (2,)),
    ("AVG", (0,)),
    ("AVG", (2,)),
]
EXACT = [c for c in COLUMNAR if c not in (("SUM", (2,)), ("AVG", (2,)))]
UNDOABLE_OBJECTS = [("COLLECT_LIST", (3,)), ("HISTOGRAM", (3,)), ("ATTR", (0,)), ("COUNT", ())]
OBJECTS = [("COLLECT_LIST", (3,)), ("MAX", (3,)), ("LATEST_BY_OFFSET", (1,)), ("COUNT", ())]
UNDOABLE = [c for c in COLUMNAR if c[0] not in ("MIN", "MAX")]


def spec_of(
    calls: Sequence[tuple[str, tuple[int, ...]]],
    window: WindowSpec | None = None,
    final: bool = False,
) -> AggregateSpec:
    """A specification of calls, each a name and the value columns that it reads."""
    made = []
    for name, indices in calls:
        aggregator = make(name, *(VALUE[i][1] for i in indices))
        made.append(AggregateCall(aggregator, indices, _result(name, indices)))
    output = t.Schema.of(KEY, [(f"R{i}", c.result) for i, c in enumerate(made)])
    return AggregateSpec(output.key, tuple(made), window, output, final)


def _result(name: str, indices: tuple[int, ...]) -> t.SqlType:
    if name == "COUNT":
        return t.BIGINT
    if name == "AVG":
        return t.DOUBLE
    if name == "HISTOGRAM":
        return t.Map(t.STRING, t.BIGINT)
    own = VALUE[indices[0]][1]
    return t.Array(own) if name == "COLLECT_LIST" else own


class Oracle:
    """Windows (or none) one row after the other, straight from the rules."""

    def __init__(self, spec: AggregateSpec) -> None:
        self.spec = spec
        self.window = spec.window
        self.states: dict[tuple[str, int], tuple[list[Row], int]] = {}
        self.time: dict[int, int] = {}
        self.newest: dict[int, int] = {}
        self.closed: dict[int, int] = {}
        self.partition: dict[str, int] = {}
        self.late = 0
        self.lost = 0

    def results(self, rows: Sequence[Row]) -> tuple[Any, ...]:
        """What the calls give for these rows."""
        out = []
        for call in self.spec.calls:
            state = call.aggregator.initial()
            for row in rows:
                state = call.aggregator.add(state, tuple(row[1 + i] for i in call.arguments))
            value = call.aggregator.result(state)
            out.append(value.hex() if isinstance(value, float) else value)
        return tuple(out)

    def step(self, place: int, row: Row, rowtime: int, partition: int) -> list[tuple[Any, ...]]:
        """The changes that a row causes."""
        if self.window is None:
            return [self._update(place, row, rowtime, 0, None)]
        size, advance, grace = (
            self.window.size_ms,
            self.window.advance_ms,
            self.window.grace_ms,
        )
        self.partition[row[0]] = partition
        now = self.time[partition] = max(self.time.get(partition, -1), rowtime)
        out = []
        start = max(0, (rowtime - size + advance) // advance * advance)
        while start <= rowtime:
            if start + size + grace > now:
                out.append(self._update(place, row, rowtime, start, (start, start + size)))
                self.newest[partition] = max(self.newest.get(partition, -1), start)
            else:
                self.late += 1
            start += advance
        return self._final(place, now - grace, partition) if self.spec.final else out

    def _update(
        self, place: int, row: Row, rowtime: int, start: int, window: tuple[int, int] | None
    ) -> tuple[Any, ...]:
        rows, newest = self.states.get((row[0], start), ([], -1))
        old = self.results(rows) if rows else None
        rows = [*rows, row]
        newest = max(newest, rowtime)
        self.states[(row[0], start)] = (rows, newest)
        return (place, (row[0],), window, newest, self.results(rows), old)

    def _final(self, place: int, close: int, partition: int) -> list[tuple[Any, ...]]:
        assert self.window is not None
        size, before = self.window.size_ms, self.closed.get(partition)
        if before is not None and close <= before:
            return []
        self.closed[partition] = close
        out = []
        for (key, start), (rows, newest) in sorted(
            self.states.items(), key=lambda s: (s[0][1], s[0][0])
        ):
            if self.partition[key] != partition:
                continue
            if (before is not None and start + size <= before) or start + size > close:
                continue
            if start < self.newest[partition] - self.window.kept_ms:
                self.lost += 1
                continue
            out.append((place, (key,), (start, start + size), newest, self.results(rows), None))
        return out


class SessionOracle:
    """Sessions one row after the other, straight from the rules."""

    def __init__(self, spec: AggregateSpec) -> None:
        assert spec.window is not None
        self.spec = spec
        self.window = spec.window
        self.sessions: dict[str, list[tuple[int, int, list[Any]]]] = {}
        self.time: dict[int, int] = {}
        self.closed: dict[int, int] = {}
        self.partition: dict[str, int] = {}
        self.late = 0
        self.lost = 0

    def results(self, states: Sequence[Any]) -> tuple[Any, ...]:
        """What the calls give for these states."""
        out = []
        for call, state in zip(self.spec.calls, states, strict=True):
            value = call.aggregator.result(state)
            out.append(value.hex() if isinstance(value, float) else value)
        return tuple(out)

    def step(self, place: int, row: Row, rowtime: int, partition: int) -> list[tuple[Any, ...]]:
        """The changes that a row causes."""
        gap, grace = self.window.size_ms, self.window.grace_ms
        observed = self.time.get(partition, -1)
        now = self.time[partition] = max(observed, rowtime)
        self.partition[row[0]] = partition
        mine = self.sessions.setdefault(row[0], [])
        merged = sorted(
            (
                s
                for s in mine
                if s[1] >= rowtime - gap
                and s[0] <= rowtime + gap
                and s[1] >= observed - self.window.kept_ms
            ),
            key=lambda s: (s[1], s[0]),
        )
        start = min([rowtime, *(s[0] for s in merged)])
        end = max([rowtime, *(s[1] for s in merged)])
        out: list[tuple[Any, ...]] = []
        if end < now - gap - grace:
            self.late += 1
            return out
        states = []
        for i, call in enumerate(self.spec.calls):
            state = call.aggregator.initial()
            for session in merged:
                state = call.aggregator.merge(state, session[2][i])
            states.append(call.aggregator.add(state, tuple(row[1 + j] for j in call.arguments)))
        key, repeats = (row[0],), start == end
        for session in merged:
            mine.remove(session)
            if not repeats:
                bounds = (session[0], session[1])
                out.append((place, key, bounds, session[1], None, self.results(session[2])))
        old = self.results(merged[0][2]) if repeats and merged else None
        mine[:] = [s for s in mine if s[0] != start]
        mine.append((start, end, states))
        out.append((place, key, (start, end), end, self.results(states), old))
        return self._final(place, now, partition) if self.spec.final else out

    def _final(self, place: int, now: int, partition: int) -> list[tuple[Any, ...]]:
        close, before = now - self.window.size_ms - self.window.grace_ms, self.closed.get(partition)
        if before is not None and close <= before:
            return []
        self.closed[partition] = close
        piece = max(self.window.kept_ms // 2, 60_000)
        out = []
        for end, start, key, states in sorted(
            (s[1], s[0], k, s[2]) for k, some in self.sessions.items() for s in some
        ):
            if self.partition[key] != partition or not max(0, before or 0) <= end < close:
                continue
            if end // piece < (now - self.window.kept_ms) // piece:
                self.lost += 1
                continue
            out.append((place, (key,), (start, end), end, self.results(states), None))
        return out

    def visible(self) -> dict[Any, Any]:
        """All sessions that can be seen: (key, bounds) to (row time, results)."""
        return {
            ((key,), (start, end)): (end, self.results(states))
            for key, some in self.sessions.items()
            for start, end, states in some
            if end >= self.time[self.partition[key]] - self.window.kept_ms
        }


class TableOracle:
    """A table's aggregation one change after the other, straight from the rules."""

    def __init__(self, spec: AggregateSpec) -> None:
        self.spec = spec
        self.groups: dict[str, tuple[list[Any], int]] = {}

    def results(self, states: Sequence[Any]) -> tuple[Any, ...]:
        """What the calls give for these states."""
        out = []
        for call, state in zip(self.spec.calls, states, strict=True):
            value = call.aggregator.result(state)
            out.append(value.hex() if isinstance(value, float) else value)
        return tuple(out)

    def step(
        self, place: int, old: Row | None, new: Row | None, rowtime: int
    ) -> list[tuple[Any, ...]]:
        """The changes that a change of the source causes."""
        if old is not None and new is not None and old[0] == new[0]:
            return self._update(place, [("undo", old), ("add", new)], rowtime)
        out = [] if old is None else self._update(place, [("undo", old)], rowtime)
        return out if new is None else out + self._update(place, [("add", new)], rowtime)

    def _update(
        self, place: int, steps: Sequence[tuple[str, Row]], rowtime: int
    ) -> list[tuple[Any, ...]]:
        key = steps[0][1][0]
        known = self.groups.get(key)
        states = [c.aggregator.initial() for c in self.spec.calls] if known is None else known[0]
        newest = max(rowtime, -1 if known is None else known[1])
        old = None if known is None else self.results(states)
        for name, row in steps:
            states = [
                getattr(c.aggregator, name)(s, tuple(row[1 + i] for i in c.arguments))
                for c, s in zip(self.spec.calls, states, strict=True)
            ]
        self.groups[key] = (states, newest)
        return [(place, (key,), None, newest, self.results(states), old)]


def coalesced(changes: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """First old to last new per key and window, at the last one's place; nothing from nothing."""
    first: dict[Any, Any] = {}
    last: dict[Any, int] = {}
    for i, change in enumerate(changes):
        first.setdefault(change[1:3], change[5])
        last[change[1:3]] = i
    out = []
    for i in sorted(last.values()):
        change = changes[i]
        old = first[change[1:3]]
        if change[4] is not None or old is not None:
            out.append((*change[:5], old))
    return out
