"""From a logical plan to stages that run: operators with their state, joined into a tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Protocol

import pyarrow as pa

from millstream import types as t
from millstream.columns import arrow
from millstream.columns.batch import Batch, empty
from millstream.engine.operators.aggregate import (
    AggregateCall,
    AggregateOperator,
    AggregateSpec,
    WindowKind,
    WindowSpec,
)
from millstream.engine.operators.base import Operator, StepContext
from millstream.engine.operators.flat_map import FlatMapOperator
from millstream.engine.operators.foreign_key_join import (
    ForeignKeyFilterOperator,
    ForeignKeyJoinOperator,
)
from millstream.engine.operators.stateless import (
    FilterOperator,
    GroupOperator,
    Partitioner,
    ProjectOperator,
    RekeyOperator,
    TableGroupOperator,
)
from millstream.engine.operators.stream_stream_join import StreamStreamJoinOperator
from millstream.engine.operators.stream_table_join import StreamTableJoinOperator
from millstream.engine.operators.table_aggregate import TableAggregateOperator
from millstream.engine.operators.table_state import TableState
from millstream.engine.operators.table_table_join import TableTableJoinOperator
from millstream.engine.operators.table_table_rows import Current, Kept
from millstream.engine.profile import Meter, QueryMeters
from millstream.engine.state.pages import schema_hash
from millstream.plan import nodes
from millstream.serde.base import Encoder, Layout
from millstream.serde.formats import format_named
from millstream.sql.ast import JoinKind
from millstream.store.interfaces import Commit, StoreId, View


class Stateful(Protocol):
    """What is written at each commit and read at a start."""

    def write(self, commit: Commit) -> None:
        """Write what changed since the last write."""
        ...

    def load(self, view: View) -> None:
        """Read the state that the last commit left."""
        ...


class Stage(Protocol):
    """A part of a running query: from the rows of its sources to its own."""

    schema: t.Schema

    def run(self, inputs: Sequence[Batch], context: StepContext) -> Batch:
        """The rows that the sources' rows cause; `inputs` has a batch per source read."""
        ...

    def rows(self, keys: list[pa.Array] | None, context: StepContext) -> Batch:
        """The rows of the table that the stage keeps, all of them or those of some keys."""
        ...

    def states(self) -> Iterator[Stateful]:
        """Everything below that keeps state, inputs first."""
        ...


class ReadStage:
    """The rows of one source; a materialised table's as changes."""

    def __init__(
        self, index: int, node: nodes.ReadSource, state: TableState | None, meter: Meter
    ) -> None:
        self.schema = node.schema
        self.index = index
        self.state = state
        self._is_table = node.is_table
        self._meter = meter

    def run(self, inputs: Sequence[Batch], context: StepContext) -> Batch:
        batch = inputs[self.index]
        if len(batch) == 0:
            return batch
        if self.state is None:
            self._meter.add(len(batch), len(batch), 0.0)
            return batch
        return self._meter.run(len(batch), self.state.step, batch, context)

    def rows(self, keys: list[pa.Array] | None, context: StepContext) -> Batch:
        if self.state is None:
            raise LookupError("the table's rows are not kept")
        return self.state.rows() if keys is None else self.state.lookup(keys)

    def states(self) -> Iterator[Stateful]:
        if self.state is not None:
            yield self.state


class OperatorStage:
    """One operator over one input."""

    def __init__(self, below: Stage, operator: Operator, schema: t.Schema, meter: Meter) -> None:
        self.schema = schema
        self.below = below
        self.operator = operator
        self._meter = meter

    def run(self, inputs: Sequence[Batch], context: StepContext) -> Batch:
        batch = self.below.run(inputs, context)
        if len(batch) == 0:
            return empty(self.schema)
        return self._meter.run(len(batch), self.operator.step, batch, context)

    def rows(self, keys: list[pa.Array] | None, context: StepContext) -> Batch:
        batch = self.below.rows(keys, context)
        return self.operator.step(batch, context) if len(batch) else empty(self.schema)

    def states(self) -> Iterator[Stateful]:
        yield from self.below.states()
        yield self.operator


class AggregateStage:
    """A grouping, its aggregation, and the window's bounds as columns behind the results."""

    def __init__(
        self,
        below: Stage,
        group: GroupOperator | TableGroupOperator,
        aggregation: AggregateOperator | TableAggregateOperator,
        schema: t.Schema,
        meters: tuple[Meter, Meter],
        *,
        windowed: bool,
    ) -> None:
        self.schema = schema
        self._grouping, self._aggregating = meters
        self.below = below
        self.group = group
        self.aggregation = aggregation
        self.windowed = windowed
        self._bounds_read = (True, True)

    def run(self, inputs: Sequence[Batch], context: StepContext) -> Batch:
        batch = self.below.run(inputs, context)
        if len(batch) == 0:
            return empty(self.schema)
        if isinstance(self.group, TableGroupOperator):
            assert isinstance(self.aggregation, TableAggregateOperator)
            began_s = perf_counter()
            signed, sign = self.group.step_signed(batch, context)
            self._grouping.add(len(batch), len(signed), perf_counter() - began_s)
            if len(signed) == 0:
                return empty(self.schema)
            step = self.aggregation.step_signed
            result = self._aggregating.run(len(signed), step, signed, sign, context)
            return self._with_bounds(result)
        assert isinstance(self.aggregation, AggregateOperator)
        grouped = self._grouping.run(len(batch), self.group.step, batch, context)
        if len(grouped) == 0:
            return empty(self.schema)
        result = self._aggregating.run(len(grouped), self.aggregation.step, grouped, context)
        return self._with_bounds(result)

    def rows(self, keys: list[pa.Array] | None, context: StepContext) -> Batch:
        if keys is None:
            return self._with_bounds(self.aggregation.rows(*context.window_starts))
        return self._with_bounds(self.aggregation.lookup(keys, *context.window_starts))

    def _with_bounds(self, batch: Batch) -> Batch:
        bounds: list[pa.Array] = []
        if self.windowed:
            assert batch.window_start is not None and batch.window_end is not None
            bounds = [
                arrow.of_numbers(bound) if read else arrow.unread(len(batch))
                for bound, read in zip(
                    (batch.window_start, batch.window_end), self._bounds_read, strict=True
                )
            ]
        batch.widen(self.schema, bounds)
        return batch

    def read_only(self, columns: Collection[int]) -> None:
        """Behind it only columns at some indices are read."""
        if self.windowed:
            count = len(self.schema.columns)
            self._bounds_read = (count - 2 in columns, count - 1 in columns)

    def leave_out_old(self) -> None:
        """Nobody reads old values, as it is where a projection follows."""
        if isinstance(self.aggregation, AggregateOperator):
            self.aggregation.leave_out_old()

    def states(self) -> Iterator[Stateful]:
        yield from self.below.states()
        yield self.aggregation


class StreamJoinStage:
    """A stream joined with a materialised table, or with another stream within a time."""

    def __init__(
        self,
        left: Stage,
        right: Stage,
        operator: StreamTableJoinOperator | StreamStreamJoinOperator,
        meter: Meter,
    ) -> None:
        self.schema = operator.schema
        self.left = left
        self.right = right
        self.operator = operator
        self._meter = meter
        self._kept = [operator] if isinstance(operator, StreamStreamJoinOperator) else []

    def run(self, inputs: Sequence[Batch], context: StepContext) -> Batch:
        right = self.right.run(inputs, context)
        left = self.left.run(inputs, context)
        # A table's changes are in it already, and cause no rows.
        causes = len(left) + (len(right) if self._kept else 0)
        if causes == 0:
            return empty(self.schema)
        rows = len(left) + len(right)
        return self._meter.run(rows, self.operator.step, left, right, context)

    def rows(self, keys: list[pa.Array] | None, context: StepContext) -> Batch:
        raise LookupError("a stream keeps no rows")

    def states(self) -> Iterator[Stateful]:
        yield from self.left.states()
        yield from self.right.states()
        yield from self._kept


class TableTableStage:
    """Two tables joined, by their primary keys or a foreign key. `result` keeps the joined rows,
    where a join above needs them."""

    def __init__(
        self,
        left: Stage,
        right: Stage,
        operator: TableTableJoinOperator | ForeignKeyJoinOperator,
        meter: Meter,
        result: TableState | None = None,
    ) -> None:
        self.schema = operator.schema
        self._meter = meter
        self.left = left
        self.right = right
        self.operator = operator
        self.result = result

    def run(self, inputs: Sequence[Batch], context: StepContext) -> Batch:
        left = self.left.run(inputs, context)
        right = self.right.run(inputs, context)
        if len(left) == 0 and len(right) == 0:
            return empty(self.schema)
        rows = len(left) + len(right)
        return self._meter.run(rows, self._step, left, right, context)

    def _step(self, left: Batch, right: Batch, context: StepContext) -> Batch:
        batch = self.operator.step(_as_changes(left), _as_changes(right), context)
        return batch if self.result is None or len(batch) == 0 else self.result.step(batch, context)

    def rows(self, keys: list[pa.Array] | None, context: StepContext) -> Batch:
        if self.result is not None:
            return self.result.rows() if keys is None else self.result.lookup(keys)
        if not isinstance(self.operator, TableTableJoinOperator) or not self.operator.tells_times:
            raise LookupError("the joined rows are not kept")
        if keys is None:
            keys = self.left.rows(None, context).key_arrays
        return self.operator.rows(keys)

    def states(self) -> Iterator[Stateful]:
        yield from self.left.states()
        yield from self.right.states()
        yield self.operator
        if self.result is not None:
            yield self.result


class Builder:
    """Builds the stages of a plan. State belongs to `query_id`; `partitions` is how many the
    query's internal topics have, `key_format` the format of keys that decides partitions."""

    def __init__(self, query_id: int, partitions: int, key_format: str) -> None:
        self.query_id = query_id
        self.partitions = partitions
        self.key_format = key_format
        self.reads: list[nodes.ReadSource] = []
        self.stores: list[StoreId] = []
        self.tables: list[tuple[nodes.ReadSource, TableState]] = []
        self.meters = QueryMeters()
        self._steps = 0
        self._kinds: Counter[str] = Counter()

    def build(self, node: nodes.Node) -> Stage:
        """The stage of a node and of all below it."""
        match node:
            case nodes.ReadSource():
                return self._read(node)
            case nodes.Filter():
                below = self.build(node.input)
                name = self._name(node.clause.lower())
                looks_up = isinstance(node.input, nodes.ForeignKeyJoin)
                make = ForeignKeyFilterOperator if looks_up else FilterOperator
                filtering = make(name, node.predicate, is_table=node.is_table)
                return self._stage(below, filtering, node)
            case nodes.Project():
                below = self.build(node.input)
                project = ProjectOperator(self._name("project"), node.schema, node.expressions)
                _read_only(below, project.reads)
                if isinstance(below, AggregateStage):
                    below.leave_out_old()
                return self._stage(below, project, node)
            case nodes.Rekey():
                below = self.build(node.input)
                placing = self._partitioner(node.schema.key)
                rekey = RekeyOperator(self._name("rekey"), node.schema, node.keys, placing)
                return self._stage(below, rekey, node)
            case nodes.FlatMap():
                below = self.build(node.input)
                flat = FlatMapOperator(self._name("flatmap"), node.schema, node.lists)
                return self._stage(below, flat, node)
            case nodes.Aggregate():
                return self._aggregate(node)
            case nodes.StreamTableJoin():
                return self._stream_table(node)
            case nodes.StreamStreamJoin():
                return self._stream_stream(node)
            case nodes.TableTableJoin():
                return self._table_table(node)
            case nodes.ForeignKeyJoin():
                return self._foreign_key(node, kept=False)
        raise TypeError(f"no operator for {type(node).__name__}")

    def _stage(self, below: Stage, operator: Operator, node: nodes.Node) -> Stage:
        meter = self.meters.step(operator.name, node)
        return OperatorStage(below, operator, node.schema, meter)

    def _name(self, kind: str) -> str:
        self._steps += 1
        return f"{kind}-{self._steps}"

    def _store(self, name: str, *types: object) -> StoreId:
        """Names state by what it is for: a step without state before it does not change the name,
        so that another version of the query finds it."""
        kind = name.rpartition("-")[0]
        self._kinds[kind] += 1
        store = StoreId(self.query_id, f"{kind}-{self._kinds[kind]}", schema_hash(*types))
        self.stores.append(store)
        return store

    def _key_encoder(self, key: Sequence[t.Column]) -> Encoder:
        """The bytes of a key, by which it is placed and ordered; JSON where the format of the
        query's keys cannot hold it."""
        form = format_named(self.key_format)
        if form.check(key, is_key=True) is not None:
            form = format_named("JSON")
        return form.encoder(Layout(form.name, tuple(key), wrap=len(key) > 1))

    def _key_bytes(self, key: Sequence[t.Column]) -> Callable[[list[pa.Array]], list[bytes]]:
        encoder = self._key_encoder(key)

        def key_bytes(arrays: list[pa.Array]) -> list[bytes]:
            encoded: list[bytes | None] = encoder.encode(arrays, None, len(arrays[0])).to_pylist()
            return [b"" if key is None else key for key in encoded]

        return key_bytes

    def _partitioner(self, key: Sequence[t.Column]) -> Partitioner | None:
        if self.partitions == 1 or not key:
            return None
        return Partitioner(self._key_encoder(key), self.partitions)

    def _read(self, node: nodes.ReadSource) -> ReadStage:
        index = len(self.reads)
        self.reads.append(node)
        state = None
        shown = f"read {node.source.name}"
        if node.materialised:
            name = self._name("table")
            types = [f"{c.name} {c.type}" for c in node.schema.columns]
            state = TableState(name, node.schema, self._store(name, *types))
            self.tables.append((node, state))
            shown = f"{name}: {shown}"
        return ReadStage(index, node, state, self.meters.step(shown, node))

    def _aggregate(self, node: nodes.Aggregate) -> Stage:
        below = self.build(node.input)
        name = self._name("aggregate")
        arguments = [(f"argument_{i}", a.type or t.STRING) for i, a in enumerate(node.arguments)]
        key = node.schema.key
        schema = t.Schema.of([(c.name, c.type) for c in key], arguments)
        placing = self._partitioner(key) if node.rekeyed else None
        make = TableGroupOperator if node.input.is_table else GroupOperator
        group = make(self._name("group"), schema, node.keys, node.arguments, placing)
        if isinstance(group, GroupOperator):
            _read_only(below, group.reads)
        windowed = node.spec is not None
        results = node.schema.value[: len(node.calls)]
        output = t.Schema((*key, *results))
        calls = tuple(AggregateCall(c.aggregator, c.arguments, c.result) for c in node.calls)
        spec = AggregateSpec(
            key, calls, _window(node.spec), output, node.final, self._key_bytes(key)
        )
        states = [s for c in node.calls for s in c.aggregator.state_types]
        stored = self._store(name, *(c.type for c in output.columns), *states)
        operator: AggregateOperator | TableAggregateOperator
        if node.input.is_table:
            operator = TableAggregateOperator(name, stored, spec)
        else:
            operator = AggregateOperator(name, stored, spec)
        meters = (self.meters.step(group.name, node), self.meters.step(name, node))
        return AggregateStage(below, group, operator, node.schema, meters, windowed=windowed)

    def _stream_table(self, node: nodes.StreamTableJoin) -> Stage:
        left, right = self.build(node.left), self.build(node.right)
        if not isinstance(right, ReadStage) or right.state is None:
            raise TypeError("the right side of a join is a materialised table")
        placing = self._partitioner(node.schema.key) if node.rekeyed else None
        operator = StreamTableJoinOperator(
            self._name("join"),
            node.schema,
            right.state,
            node.left_key,
            placing,
            keep_unmatched=node.kind is JoinKind.LEFT,
        )
        return StreamJoinStage(left, right, operator, self.meters.step(operator.name, node))

    def _stream_stream(self, node: nodes.StreamStreamJoin) -> Stage:
        left, right = self.build(node.left), self.build(node.right)
        name = self._name("join")
        types = [f"{c.name} {c.type}" for c in node.schema.columns]
        operator = StreamStreamJoinOperator(
            name,
            node,
            self._store(name, *types),
            self._partitioner(node.schema.key),
            self._key_encoder(node.schema.key),
        )
        return StreamJoinStage(left, right, operator, self.meters.step(name, node))

    def _table_table(self, node: nodes.TableTableJoin) -> Stage:
        if isinstance(node.left, nodes.ForeignKeyJoin):
            left: Stage = self._foreign_key(node.left, kept=True)
        else:
            left = self.build(node.left)
        right = self.build(node.right)
        operator = TableTableJoinOperator(self._name("join"), node, _current(left), _current(right))
        return TableTableStage(left, right, operator, self.meters.step(operator.name, node))

    def _foreign_key(self, node: nodes.ForeignKeyJoin, *, kept: bool) -> Stage:
        left, right = self._read(node.left), self._read(node.right)
        assert left.state is not None and right.state is not None
        name = self._name("join")
        layout = node.left.source.key_layout
        encoder = format_named(layout.format).encoder(layout)
        operator = ForeignKeyJoinOperator(
            name, node, left.state, right.state, self._partitioner(node.schema.key), encoder
        )
        result = None
        if kept:
            types = [f"{c.name} {c.type}" for c in node.schema.columns]
            result = TableState(name, node.schema, self._store(name, *types))
        meter = self.meters.step(name, node)
        return TableTableStage(left, right, operator, meter, result)


def _read_only(below: Stage, columns: Collection[int]) -> None:
    """The step behind a stage reads only some of its columns: a filter takes no others, and of a
    window's bounds only those are given."""
    if isinstance(below, OperatorStage) and isinstance(below.operator, FilterOperator):
        below.operator.read_only(columns, len(below.schema.columns))
        _read_only(below.below, below.operator.reads.union(columns))
    elif isinstance(below, AggregateStage):
        below.read_only(columns)


def _current(stage: Stage) -> Current:
    """Where the rows of a joined table can be looked up."""
    if isinstance(stage, ReadStage) and stage.state is not None:
        return Kept(stage.state)
    if isinstance(stage, TableTableStage):
        if stage.result is not None:
            return Kept(stage.result)
        if isinstance(stage.operator, TableTableJoinOperator):
            return stage.operator
    raise TypeError("the inputs of a join of tables are tables whose rows can be looked up")


def _as_changes(batch: Batch) -> Batch:
    """A batch without rows as one without changes."""
    if batch.old is not None:
        return batch
    assert len(batch) == 0
    old = [arrow.nulls(c.type, 0) for c in batch.schema.value]
    return replace(batch, old=old)


def _window(spec: nodes.WindowSpec | None) -> WindowSpec | None:
    if spec is None:
        return None
    kind = WindowKind(spec.kind)
    return WindowSpec(kind, spec.size_ms, spec.advance_ms, spec.grace_ms, spec.retention_ms)
