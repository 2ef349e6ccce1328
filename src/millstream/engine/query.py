"""A running query: reads rows of its sources, runs its stages, gives records for its sink."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import pyarrow as pa

from millstream.catalog.model import QueryInfo, Source
from millstream.clock import Clock
from millstream.columns.batch import Batch, concat, empty
from millstream.columns.segments import singles
from millstream.engine.build import Builder
from millstream.engine.operators.base import Emission, Note, StepContext
from millstream.engine.profile import QueryMeters
from millstream.engine.sink import SinkWriter
from millstream.engine.source_rows import THROW_ON_INVALID, SourceRows
from millstream.plan.nodes import Aggregate, Filter, Node, Project, QueryPlan, ReadSource, walk
from millstream.store.interfaces import Commit, Records, View

Reading = tuple[int, int, bool]
"""How a query reads a source: its id, how many value columns it has, and whether a record without a
valid timestamp stops the query. Queries that read alike share what is decoded."""
CACHE_PROPERTY = "cache.max.bytes.buffering"


@dataclass(slots=True)
class Counters:
    """What a query has done since it was loaded."""

    rows_in: int = 0
    rows_out: int = 0
    notes: int = 0
    rows_forced: int = 0


@dataclass
class Query:
    """A query that can step. `number` is its creation number, 0 for a subscriber's.

    A step is all or nothing: after an exception the query must be made anew and loaded.
    """

    plan: QueryPlan
    properties: dict[str, str]
    clock: Clock
    partitions: int = 1
    info: QueryInfo | None = None
    row_wise: bool = False
    counters: Counters = field(default_factory=Counters)

    def __post_init__(self) -> None:
        number = 0 if self.info is None else self.info.number
        key_format = self.plan.sources[0].key_layout.format
        if self.plan.sink is not None:
            key_format = self.plan.sink.key_layout.format
        if key_format == "NONE":
            key_format = "KAFKA"
        builder = Builder(number, self.partitions, key_format)
        self.stage = builder.build(self.plan.root)
        self.meters: QueryMeters = builder.meters
        self.reads: list[ReadSource] = builder.reads
        self._states = list(self.stage.states())
        self.stores = builder.stores
        """Where its state is kept."""
        self.tables = builder.tables
        """The tables whose rows it keeps as they are read."""
        self.sink = None if self.plan.sink is None else SinkWriter(self.plan.sink, number)
        self.number = number
        """The creation number."""
        self.owner = f"query-{number}"
        """The name under which positions are kept."""
        cache = self.properties.get(CACHE_PROPERTY, "10000000").strip()
        self.emission = Emission.ALL if cache == "0" else Emission.LAST
        """Every update at cache 0, else the last one of a commit."""
        self.fan_out = max([1, *(_windows_of(n) for n in walk(self.plan.root))])
        """How many rows a row may become inside it (a row in each of its windows)."""
        self.strict_time = self.properties.get(THROW_ON_INVALID, "false").lower() == "true"
        """Whether a record without a valid timestamp stops the query."""
        self.topic_ids = list(dict.fromkeys(r.source.topic_id for r in self.reads))
        """The topics that the query reads, each once."""
        self.sources = list({r.source.id: r.source for r in self.reads}.values())
        """The sources that the query reads, each once."""
        self.is_net = self.emission is Emission.LAST and not self.row_wise and _nets(self.plan.root)
        """Whether a step gives at most one change a key (and window), so that none coalesce."""
        self._readings = {s.id: (*s.reading, self.strict_time) for s in self.sources}
        self._no_rows = [empty(read.schema) for read in self.reads]

    def reading(self, source: Source) -> Reading:
        """How the query reads one of its sources."""
        return self._readings[source.id]

    def needed_columns(self, source_id: int) -> frozenset[str]:
        """The columns of a source that the query wants."""
        names: set[str] = set()
        for read in self.reads:
            if read.source.id == source_id:
                names |= set(read.columns)
        return frozenset(names)

    def step(self, rows_by_source: dict[int, SourceRows]) -> tuple[Batch, list[Note]]:
        """Run the rows of the sources (by source id) through; gives result rows and notes.

        Rows of several sources happen in the order of (seq, writer).
        """
        context = StepContext(self.emission, self.row_wise, self.clock)
        began_s = perf_counter()
        inputs = self._inputs(rows_by_source)
        rows = sum(map(len, inputs))
        self.meters.inputs.add(rows, rows, perf_counter() - began_s)
        self.counters.rows_in += rows
        if self.row_wise:
            batch = self._one_by_one(inputs, context)
        else:
            batch = self.stage.run(inputs, context)
        if context.notes:
            self.counters.notes += sum(n.count for n in context.notes)
        self.counters.rows_forced += context.rows_forced
        return batch, context.notes

    def records(self, batch: Batch, notes: list[Note], partitions: int) -> Records | None:
        """The records of result rows for the sink's topic, which has so many partitions."""
        assert self.sink is not None
        context = StepContext(self.emission, self.row_wise, self.clock, notes)
        began_s = perf_counter()
        records = self.sink.records(batch, context, partitions, is_net=self.is_net)
        written = 0 if records is None else len(records)
        self.meters.normalise.add(len(batch), written, perf_counter() - began_s)
        self.counters.rows_out += written
        return records

    def _inputs(self, rows_by_source: dict[int, SourceRows]) -> list[Batch]:
        orders = _merge_order(rows_by_source)
        inputs = []
        for read, nothing in zip(self.reads, self._no_rows, strict=True):
            rows = rows_by_source.get(read.source.id)
            if rows is None:
                inputs.append(nothing)
            else:
                inputs.append(rows.batch(read.columns, read.schema, orders[read.source.id]))
        return inputs

    def _one_by_one(self, inputs: list[Batch], context: StepContext) -> Batch:
        """Record after record, each in a batch of its own."""
        places = np.unique(np.concatenate([b.order for b in inputs]))
        results = []
        for place in places.tolist():
            alone = [b.where(b.order == place) for b in inputs]
            result = self.stage.run(alone, context)
            if len(result):
                results.append(result)
        context.rows_forced += len(places)
        return concat(results) if results else empty(self.stage.schema)

    def rows(
        self,
        keys: list[pa.Array] | None = None,
        window_starts: tuple[int | None, int | None] = (None, None),
    ) -> Batch:
        """The rows of the table that the query keeps, all or those of some keys; at least those of
        windows that start between the bounds.

        LookupError where it keeps none.
        """
        return self.stage.rows(keys, StepContext(clock=self.clock, window_starts=window_starts))

    def write(self, commit: Commit) -> None:
        """Write all state that changed."""
        began_s = perf_counter()
        for state in self._states:
            state.write(commit)
        self.meters.state.add(0, 0, perf_counter() - began_s)

    def load(self, view: View) -> None:
        """Read all state from the last commit."""
        for state in self._states:
            state.load(view)


def _nets(node: Node) -> bool:
    """Whether it is an aggregation, perhaps filtered: these give one change a key and step."""
    while isinstance(node, Filter | Project):
        node = node.input
    return isinstance(node, Aggregate) and not node.final


def _windows_of(node: Node) -> int:
    """How many windows a row falls into."""
    if not isinstance(node, Aggregate) or node.spec is None or node.spec.kind != "HOPPING":
        return 1
    return -(-node.spec.size_ms // node.spec.advance_ms)


def _merge_order(rows_by_source: dict[int, SourceRows]) -> dict[int, np.ndarray]:
    """For each source, the place of its rows among all rows by (seq, writer)."""
    if len(rows_by_source) == 1:
        return {source: singles(len(rows)).order for source, rows in rows_by_source.items()}
    sizes = [len(rows) for rows in rows_by_source.values()]
    if not sizes:
        return {}
    seq = np.concatenate([rows.seq for rows in rows_by_source.values()])
    writer = np.concatenate([rows.writer for rows in rows_by_source.values()])
    place = np.empty(len(seq), np.int64)
    place[np.lexsort((writer, seq))] = np.arange(len(seq))
    ends = np.cumsum(sizes)
    return {
        source: place[end - size : end]
        for source, size, end in zip(rows_by_source, sizes, ends.tolist(), strict=True)
    }
