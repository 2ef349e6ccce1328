"""JOIN of two streams: rows of one key whose event times are near."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.columns import arrow
from millstream.columns.batch import Batch, empty, is_null, mask_or_none
from millstream.columns.keys import hash_rows
from millstream.engine.operators.base import StepContext
from millstream.engine.operators.stateless import Evaluator, Partitioner
from millstream.engine.operators.stream_stream_rows import SideRows
from millstream.engine.operators.stream_stream_task import NO_ROW, Found, JoinTask, JoinTimes
from millstream.engine.operators.windows import LATEST_MS, within_time
from millstream.engine.state.pages import part_of
from millstream.plan import nodes
from millstream.serde.base import Encoder, Layout
from millstream.serde.formats import format_named
from millstream.sql.ast import JoinKind
from millstream.store.interfaces import Commit, StoreId, View

DEFAULT_GRACE_MS = 86_400_000
"""How long buffers wait beyond the join's times where no GRACE is written: 24 hours."""

_PARTITION, _TIME, _START, _END, _KEY = range(5)
_COLUMNS = _KEY + 1


@dataclass(slots=True)
class _Input:
    """Rows of one side with a value, their join keys, and where each stands."""

    batch: Batch
    key: pa.Array
    partition: np.ndarray


class StreamStreamJoinOperator:
    """Joins each row with the rows of the other side's buffer, then puts it into its own.

    Result: key, left columns, right columns; event time is the later one, the place that of the
    row that came last. Inner joins drop a null key; a side whose rows are kept gives them at once
    with nulls. Records without a value only move the stream time.

    Misses of LEFT, RIGHT and FULL come at once where no GRACE is written (a match may follow), and
    else when the stream time passes the end of the row's window and the grace; a row that comes
    when its window's end has passed gives its miss at once. The window of a RIGHT join is measured
    from its right rows, as ksqlDB does: BEFORE and AFTER change roles.

    Where the sources are windowed, the window belongs to the key: its start, and for SESSION its
    end. Results have the windows of the left side.

    `key_encoder` gives the bytes by which misses of one time and side are ordered.
    """

    def __init__(
        self,
        name: str,
        node: nodes.StreamStreamJoin,
        store: StoreId,
        partitioner: Partitioner | None,
        key_encoder: Encoder | None = None,
    ) -> None:
        self.name = name
        self.node = node
        self.schema = node.schema
        self.store = store
        self.unmatched_rows = 0
        self._key_type = node.schema.key[0].type
        self._times = _times_of(node)
        self._keys = (Evaluator(name, [node.left_key]), Evaluator(name, [node.right_key]))
        self._rekeyed = (node.left_rekeyed, node.right_rekeyed)
        self._partitioner = partitioner
        if key_encoder is None:
            key_encoder = _default_encoder(node) if partitioner is None else partitioner.encoder
        self._key_encoder = key_encoder
        self._window = node.window
        head = [t.INTEGER, t.BIGINT, t.BIGINT, t.BIGINT, self._key_type]
        sides = (node.left.schema, node.right.schema)
        left, right = (
            SideRows([*head, *(c.type for c in schema.columns)], part_of(store, side))
            for side, schema in zip(("left", "right"), sides, strict=True)
        )
        self._rows = (left, right)
        self._tasks: dict[int, JoinTask] = {}
        self._changed = False

    # --- steps -------------------------------------------------------------------------------

    def step(self, left: Batch, right: Batch, context: StepContext) -> Batch:
        """The rows that both sides' rows cause, in the order of both."""
        left, right = (within_time(b, LATEST_MS, self.name, context) for b in (left, right))
        inputs = (self._prepare(0, left, context), self._prepare(1, right, context))
        found = self._run(inputs, context)
        result = self._result(inputs, found)
        for side, rows in enumerate(self._rows):
            rows.drop(found.alone[side])
            for task in self._tasks.values():
                rows.drop(task.expire(side))
        self._changed = True
        return result

    def _prepare(self, side: int, batch: Batch, context: StepContext) -> _Input:
        """Evaluate the key of a side's rows; it is null for records without a value."""
        (key,) = self._keys[side].evaluate(batch.arrays, batch, context)
        partition = batch.partition
        if self._rekeyed[side] and self._partitioner is not None and len(batch):
            partition = self._partitioner.place([key], len(batch))
        return _Input(batch, key, partition.astype(np.int32, copy=False))

    def _run(self, inputs: tuple[_Input, _Input], context: StepContext) -> Found:
        found = Found()
        left, right = inputs
        split = len(left.batch)
        order = np.concatenate([left.batch.order, right.batch.order])
        places = np.argsort(order, kind="stable").tolist()
        columns = [self._columns(side, one, context) for side, one in enumerate(inputs)]
        times, partitions, actions, codes, sort_keys, ids = (
            [*a, *b] for a, b in zip(*columns, strict=True)
        )
        for place in places:
            task = self._task(partitions[place])
            side = 0 if place < split else 1
            time, action = times[place], actions[place]
            if action == _JOIN:
                task.process(side, time, ids[place], codes[place], sort_keys[place], place, found)
                continue
            task.stream_time = max(task.stream_time, time)
            if action == _ALONE:
                found.add(place, side, ids[place], NO_ROW, time)
                found.alone[side].append(ids[place])
        return found

    def _columns(
        self, side: int, one: _Input, context: StepContext
    ) -> tuple[list[int], list[int], list[int], list[bytes], list[bytes], list[int]]:
        """What the loop needs of each row of a side; its rows are added to the side's rows."""
        batch, key = one.batch, one.key
        length = len(batch)
        has_value = ~is_null(batch.value_null, length)
        has_key = arrow.valid_mask(key)
        keyless = has_value & ~has_key
        if not self._times.keeps[side] and keyless.any():
            context.note_rows(self.name, "skipped", "the join key is null", batch.seq[keyless])
        actions = np.full(length, _IGNORE)
        actions[has_value & has_key] = _JOIN
        if self._times.keeps[side]:
            actions[keyless] = _ALONE
        ids = np.full(length, NO_ROW)
        rows = np.flatnonzero(actions != _IGNORE)
        bounds = [_bound(b, length) for b in (batch.window_start, batch.window_end)]
        head = [pa.array(one.partition), pa.array(batch.rowtime), *bounds]
        arrays = [*head, key, *batch.arrays]
        if len(rows) < length:
            arrays = [a.take(pa.array(rows)) for a in arrays]
        first_id = self._rows[side].append(arrays, len(rows))
        ids[rows] = np.arange(first_id, first_id + len(rows))
        return (
            batch.rowtime.tolist(),
            one.partition.tolist(),
            actions.tolist(),
            self._codes(key, bounds),
            self._sort_keys(side, key, bounds),
            ids.tolist(),
        )

    def _codes(self, key: pa.Array, bounds: list[pa.Array]) -> list[bytes]:
        """16 bytes for each key and window, equal where they are."""
        if len(key) == 0:
            return []
        window = self._identity(bounds)
        types = [self._key_type, *(t.BIGINT for _ in window)]
        halves = np.stack(hash_rows([key, *window], types), axis=1)
        return list(halves.view("V16").ravel().tolist())

    def _sort_keys(self, side: int, key: pa.Array, bounds: list[pa.Array]) -> list[bytes]:
        """The serialised keys where misses wait, which are given in the order of these bytes."""
        if self._times.grace is None or not self._times.keeps[side]:
            return [b""] * len(key)
        encoded = self._key_encoder.encode([key], None, len(key)).to_pylist()
        tails = zip(*(b.to_pylist() for b in self._identity(bounds)), strict=True)
        suffixes = [b"".join(n.to_bytes(8, "big") for n in tail) for tail in tails]
        suffixes = suffixes or [b""] * len(key)
        return [(k or b"") + suffix for k, suffix in zip(encoded, suffixes, strict=True)]

    def _identity(self, bounds: list[pa.Array]) -> list[pa.Array]:
        """The bounds that belong to the key, as they stand in its bytes."""
        if self._window is None:
            return []
        start, end = bounds
        return [end, start] if self._window.kind == "SESSION" else [start]

    def _task(self, partition: int) -> JoinTask:
        task = self._tasks.get(partition)
        if task is None:
            task = self._tasks[partition] = JoinTask(self._times, self._rows)
        return task

    # --- results -----------------------------------------------------------------------------

    def _result(self, inputs: tuple[_Input, _Input], found: Found) -> Batch:
        if not found.trigger:
            return empty(self.schema)
        left_ids, right_ids = np.array(found.left), np.array(found.right)
        self.unmatched_rows += int((left_ids < 0).sum() + (right_ids < 0).sum())
        columns = slice(_COLUMNS, None)
        start, end, key = self._identities(left_ids, right_ids)
        trigger = np.array(found.trigger)
        left, right = (one.batch for one in inputs)
        return Batch(
            schema=self.schema,
            arrays=[
                key,
                *self._rows[0].take(left_ids, columns),
                *self._rows[1].take(right_ids, columns),
            ],
            rowtime=np.array(found.rowtime),
            order=np.concatenate([left.order, right.order])[trigger],
            seq=np.concatenate([left.seq, right.seq])[trigger],
            partition=np.concatenate([one.partition for one in inputs])[trigger],
            offset=np.concatenate([left.offset, right.offset])[trigger],
            key_null=mask_or_none(~arrow.valid_mask(key)),
            window_start=start,
            window_end=end,
            headers=_headers(left, right, trigger),
        )

    def _identities(
        self, left_ids: np.ndarray, right_ids: np.ndarray
    ) -> tuple[np.ndarray | None, np.ndarray | None, pa.Array]:
        """Start and end of each result's window, and its key: those of its left row, if any."""
        columns = slice(_START, _COLUMNS)
        arrays = self._rows[0].take(left_ids, columns)
        if (left_ids < 0).any():
            count = len(left_ids)
            pick = pa.array(np.arange(count) + np.where(left_ids < 0, count, 0))
            right = self._rows[1].take(right_ids, columns)
            arrays = [pa.concat_arrays(both).take(pick) for both in zip(arrays, right, strict=True)]
        start, end, key = arrays
        if self._window is None:
            return None, None, key
        starts = start.to_numpy()
        size = self._window.size_ms
        return starts, end.to_numpy() if size is None else starts + size, key

    # --- persistence -------------------------------------------------------------------------

    def write(self, commit: Commit) -> None:
        """Write what the steps since the last write changed."""
        if not self._changed:
            return
        self._changed = False
        for rows in self._rows:
            rows.write(commit)
        tasks = {str(n): [k.stream_time, *k.observed] for n, k in self._tasks.items()}
        commit.put_state_meta(
            self.store, {"tasks": tasks, "next": [rows.next_id for rows in self._rows]}
        )

    def load(self, view: View) -> None:
        """Read what the last commit left."""
        meta = view.state_meta(self.store)
        for number, (stream_time, *observed) in meta.get("tasks", {}).items():
            task = self._task(int(number))
            task.stream_time, task.observed = stream_time, observed
        for side, next_id in enumerate(meta.get("next", [])):
            self._load_side(side, view, next_id)

    def _load_side(self, side: int, view: View, next_id: int) -> None:
        rows = self._rows[side]
        ids, columns = rows.load(view, next_id)
        if len(ids) == 0:
            return
        key, bounds = columns[_KEY], columns[_START:_KEY]
        gone = []
        for row, partition, time, code, sort_key in zip(
            ids.tolist(),
            columns[_PARTITION].to_pylist(),
            columns[_TIME].to_pylist(),
            self._codes(key, bounds),
            self._sort_keys(side, key, bounds),
            strict=True,
        ):
            task = self._task(partition)
            if row in rows.waiting:
                task.expect(side, (time, sort_key, row))
            elif time <= task.horizon(side):
                gone.append(row)
                continue
            task.keep(side, (time, row, code))
        rows.drop(gone)


_IGNORE, _ALONE, _JOIN = 0, 1, 2


def _times_of(node: nodes.StreamStreamJoin) -> JoinTimes:
    before, after = node.before_ms, node.after_ms
    back, ahead = (before, after), (after, before)
    if node.kind is JoinKind.RIGHT:
        back, ahead = (after, before), (before, after)
    keeps = (
        node.kind in (JoinKind.LEFT, JoinKind.FULL),
        node.kind in (JoinKind.RIGHT, JoinKind.FULL),
    )
    grace = DEFAULT_GRACE_MS if node.grace_ms is None else node.grace_ms
    return JoinTimes(back, ahead, keeps, node.grace_ms, before + after + grace)


def _default_encoder(node: nodes.StreamStreamJoin) -> Encoder:
    columns = node.schema.key
    kafka = format_named("KAFKA")
    chosen = kafka if kafka.check(columns, is_key=True) is None else format_named("JSON")
    return chosen.encoder(Layout(chosen.name, columns, wrap=False))


def _bound(bound: np.ndarray | None, length: int) -> pa.Array:
    return pa.nulls(length, pa.int64()) if bound is None else pa.array(bound)


def _headers(left: Batch, right: Batch, trigger: np.ndarray) -> pa.Array | None:
    known = left.headers if left.headers is not None else right.headers
    if known is None:
        return None
    both = [pa.nulls(len(b), known.type) if b.headers is None else b.headers for b in (left, right)]
    return pa.concat_arrays(both).take(pa.array(trigger))
