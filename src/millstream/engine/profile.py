"""Where the time goes: rows, calls and seconds of each step, counted once a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, ParamSpec

from millstream.columns.batch import Batch

if TYPE_CHECKING:
    from millstream.plan.nodes import Node

P = ParamSpec("P")


@dataclass(slots=True, eq=False)
class Meter:
    """What one step has done. `seconds` are those of the clock on the wall, those of steps below
    it left out; a meter that is not `counted` has no rows of its own."""

    name: str
    counted: bool = True
    rows_in: int = 0
    rows_out: int = 0
    calls: int = 0
    seconds: float = 0.0

    def add(self, rows_in: int, rows_out: int, seconds: float) -> None:
        """Count a call."""
        self.seconds += seconds
        self.rows_in += rows_in
        self.rows_out += rows_out
        self.calls += 1

    def run(
        self, rows_in: int, step: Callable[P, Batch], *args: P.args, **kwargs: P.kwargs
    ) -> Batch:
        """Call a step that takes so many rows, and count it."""
        began_s = perf_counter()
        batch = step(*args, **kwargs)
        self.add(rows_in, len(batch), perf_counter() - began_s)
        return batch

    def absorb(self, other: Meter) -> None:
        """Add what another meter has counted."""
        self.seconds += other.seconds
        self.rows_in += other.rows_in
        self.rows_out += other.rows_out
        self.calls += other.calls


class QueryMeters:
    """The meters of a query since it was loaded, in the order in which its rows meet them."""

    def __init__(self) -> None:
        self.inputs = Meter("order input")
        self.normalise = Meter("normalise")
        self.append = Meter("append")
        self.state = Meter("write state", counted=False)
        self.decodes: dict[int, Meter] = {}
        """By source id: decoding what this query has read. It is done once for all queries."""
        self._steps: list[tuple[Node, Meter]] = []

    def step(self, name: str, node: Node) -> Meter:
        """A new meter for an operator that does a part of a plan's node."""
        meter = Meter(name)
        self._steps.append((node, meter))
        return meter

    def of(self, node: Node) -> list[Meter]:
        """The meters of a plan's node, its first operator's first."""
        return [meter for owner, meter in self._steps if owner is node]

    def __iter__(self) -> Iterator[Meter]:
        """All of the query's own time; what it shares with others is not in it."""
        yield self.inputs
        for _, meter in self._steps:
            yield meter
        yield from (self.normalise, self.append, self.state)

    def decoded(self, source_id: int, name: str) -> Meter:
        """The meter for the decoding of a source."""
        found = self.decodes.get(source_id)
        if found is None:
            found = self.decodes[source_id] = Meter(f"decode {name}")
        return found

    def take_over(self, old: QueryMeters) -> None:
        """Go on from the meters of the same query, which was made anew."""
        for meter, before in zip(self, old, strict=True):
            meter.absorb(before)
        self.decodes = old.decodes


@dataclass(slots=True, eq=False)
class SourceMeters:
    """Decoding a source's records: on the engine's thread, and by the thread that reads ahead."""

    name: str
    decode: Meter = field(default_factory=lambda: Meter("decode"))
    ahead: Meter = field(default_factory=lambda: Meter("decode ahead"))


class EngineMeters:
    """The meters of an engine since it was made. `step` is the whole, in which all others are but
    those of the thread that reads ahead."""

    def __init__(self) -> None:
        self.step = Meter("step", counted=False)
        self.input = Meter("take input")
        self.wait = Meter("wait for read ahead", counted=False)
        self.read = Meter("read records")
        self.note = Meter("write positions and log", counted=False)
        self.commit = Meter("commit and fsync", counted=False)
        self.ended = Meter("queries that ended", counted=False)
        self.sources: dict[int, SourceMeters] = {}

    def source(self, source_id: int, name: str) -> SourceMeters:
        """The meters of a source."""
        found = self.sources.get(source_id)
        if found is None:
            found = self.sources[source_id] = SourceMeters(name)
        return found

    def end(self, query: QueryMeters) -> None:
        """Keep the time of a query that is taken out."""
        for meter in query:
            self.ended.absorb(meter)

    def report(self, queries: Iterable[tuple[str, QueryMeters]]) -> Profile:
        """All that was counted, given the queries that are there, each with its id."""
        whole = self.step.seconds
        steps: list[ProfileStep] = []
        for source in list(self.sources.values()):
            name = f"source {source.name}"
            steps.append(_step(name, source.decode, whole))
            steps.append(_step(name, source.ahead, whole, beside=True))
        for query_id, meters in queries:
            steps += [_step(query_id, meter, whole) for meter in meters]
        if self.ended.calls:
            steps.append(_step(_ENGINE, self.ended, whole))
        for meter in (self.input, self.wait, self.read, self.note, self.commit):
            steps.append(_step(_ENGINE, meter, whole))
        rest = Meter("everything else", counted=False, calls=self.step.calls)
        rest.seconds = max(0.0, whole - sum(step.seconds for step in steps if not step.beside))
        steps.append(_step(_ENGINE, rest, whole))
        kept = [step for step in steps if step.calls or step.seconds]
        return Profile(whole, self.commit.calls, kept)


_ENGINE = "each commit"


@dataclass(frozen=True, slots=True)
class ProfileStep:
    """One step: `where` is a query's id, a source, or the commit that all have in common.

    `share` of the profile's seconds, None for what was done beside them, on another thread; rows
    are None where a step has none, `rows_per_s` (of rows in) also where no time was measured.
    """

    where: str
    step: str
    rows_in: int | None
    rows_out: int | None
    calls: int
    seconds: float
    share: float | None
    rows_per_s: float | None
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """What an engine has spent its time on: the seconds of all its steps, the commits that they
    ended in, and the parts. The parts that are not `beside` add up to the seconds."""

    seconds: float
    commits: int
    steps: list[ProfileStep]


def _step(where: str, meter: Meter, whole_s: float, *, beside: bool = False) -> ProfileStep:
    seconds = meter.seconds
    return ProfileStep(
        where=where,
        step=meter.name,
        rows_in=meter.rows_in if meter.counted else None,
        rows_out=meter.rows_out if meter.counted else None,
        calls=meter.calls,
        seconds=seconds,
        share=None if beside else seconds / whole_s if whole_s else 0.0,
        rows_per_s=meter.rows_in / seconds if meter.counted and seconds else None,
        beside=beside,
    )
