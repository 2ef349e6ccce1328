"""JOIN of two tables by a foreign key: each left row with the right row that its key names."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.columns import arrow
from millstream.columns.batch import Batch, empty, is_null, mask_or_none
from millstream.columns.keys import KeyIndex
from millstream.columns.segments import distinct, last_of_each
from millstream.engine.operators.base import Stateless, StepContext
from millstream.engine.operators.foreign_key_index import NO_KEY, ForeignKeyIndex, ranges
from millstream.engine.operators.stateless import Evaluator, FilterOperator, Partitioner
from millstream.engine.operators.table_state import TableState
from millstream.engine.operators.table_table_rows import Rows, places, pooled, rows_before
from millstream.plan import nodes
from millstream.serde.base import Encoder
from millstream.sql.ast import JoinKind
from millstream.store.interfaces import Commit, View

_FEWEST_SWEPT = 65_536


class ForeignKeyJoinOperator(Stateless):
    """Keyed by the left's primary key: left columns, right columns, event time of the result.

    A left change gives the result of its row; event time is the later one of the change and the
    right row. A right change gives the results of all left rows that name it, in the order of their
    keys' bytes; event time is the right change's. A result that goes, or that never was but may
    have been, is a tombstone: for every left row that names a right row which is deleted, and again
    when the left row is deleted after it.

    Both sides are kept by their reads. Which left rows name which key is an index in memory, made
    anew at a start. `key_encoder` gives the bytes of left keys.
    """

    def __init__(
        self,
        name: str,
        node: nodes.ForeignKeyJoin,
        left: TableState,
        right: TableState,
        partitioner: Partitioner | None,
        key_encoder: Encoder,
    ) -> None:
        self.name = name
        self.schema = node.schema
        self.left = left
        self.right = right
        self._keeps_left = node.kind is JoinKind.LEFT
        self._right_time = (node.right_time,)
        self._foreign_key = Evaluator(name, [node.foreign_key])
        self._partitioner = partitioner
        self._key_encoder = key_encoder
        self._numbers = KeyIndex([c.type for c in right.schema.key])
        self._index = ForeignKeyIndex()
        self._swept = 0

    def step(self, left: Batch, right: Batch, context: StepContext) -> Batch:
        """The changes that the changes of both sides cause. Both states have them already."""
        named = self._named(left, context)
        right_rows, after, before = self._right_rows(left, right, named)
        left_rows, follower, follows = self._left_rows(left, right, named)
        passed = np.flatnonzero(self._passed(named, ~right_rows.absent[after]))
        self._assign(named)
        time = right_rows.times(self._right_time)
        met = time[after]
        if not self._keeps_left:
            met = np.where(named.after != NO_KEY, met, time[before])
        own_time = np.maximum(left.rowtime, met)
        trigger = np.concatenate([passed, follows + len(left)])
        sort = np.argsort(np.concatenate([left.order, right.order])[trigger], kind="stable")
        seen = [
            np.concatenate(pair)[sort]
            for pair in (
                (passed, follower),
                (passed + len(left), follower),
                (after[passed], follows),
                (before[passed], follows + len(right)),
                (own_time[passed], right.rowtime[follows]),
            )
        ]
        at = places(left, right, trigger[sort])
        return self._result(at, left_rows, right_rows, *seen)

    def write(self, commit: Commit) -> None:
        """Nothing is written; keys that no left row names any more are forgotten, once the number
        of all has doubled."""
        if self._numbers.used > max(2 * self._swept, _FEWEST_SWEPT):
            numbers = np.arange(len(self._numbers))
            unused = self._numbers.holds(numbers) & ~self._index.used(len(numbers))
            self._numbers.release(numbers[unused])
            self._swept = self._numbers.used

    def load(self, view: View) -> None:
        """Index the left rows, which have been read."""
        rows = self.left.rows()
        if len(rows) == 0:
            return
        (key,) = self._foreign_key.evaluate(rows.arrays, rows, StepContext())
        held = np.flatnonzero(arrow.valid_mask(key))
        if len(held):
            numbers = self._numbers.ids([key.take(pa.array(held))])
            self._index.assign(self.left.find(rows.key_arrays)[held], numbers)

    # --- what a step meets ---------------------------------------------------------------------

    def _named(self, left: Batch, context: StepContext) -> _Named:
        """The foreign keys of left rows after and before their changes."""
        assert left.old is not None
        length = len(left)
        has = ~is_null(left.value_null, length)
        had = ~is_null(left.old_null, length)
        (key,) = self._foreign_key.evaluate(left.arrays, left, context)
        quiet = replace(context, notes=[])
        (old_key,) = self._foreign_key.evaluate([*left.key_arrays, *left.old], left, quiet)
        both = arrow.concat([key, old_key])
        present = np.concatenate([has, had]) & arrow.valid_mask(both)
        numbers = np.full(2 * length, NO_KEY)
        right_slots = np.full(2 * length, -1)
        rows = np.flatnonzero(present)
        if len(rows):
            values = [both.take(pa.array(rows))]
            numbers[rows] = self._numbers.ids(values)
            right_slots[rows] = self.right.find(values)
        slots = self.left.find(left.key_arrays)
        return _Named(slots, has, had, numbers[:length], numbers[length:], right_slots)

    def _right_rows(
        self, left: Batch, right: Batch, named: _Named
    ) -> tuple[Rows, np.ndarray, np.ndarray]:
        """The right rows of the step, and which of them each left change meets: by its key after
        the change, and by the one before it."""
        changed = self.right.find(right.key_arrays)
        at = np.concatenate([left.order, left.order])
        seen = rows_before(changed, right.order, named.right_slots, at)
        unchanged = np.flatnonzero(seen < 0)
        seen[unchanged] = 2 * len(right) + np.arange(len(unchanged))
        rows = _pooled(right, self.right, named.right_slots[unchanged])
        return rows, seen[: len(left)], seen[len(left) :]

    def _left_rows(
        self, left: Batch, right: Batch, named: _Named
    ) -> tuple[Rows, np.ndarray, np.ndarray]:
        """The left rows of the step; which of them the right changes meet, and which right change
        meets each: in the order of the changes, those of one in the order of their keys' bytes."""
        wanted = self._numbers.find(right.key_arrays) if len(right) else np.empty(0, np.int64)
        change, slot = self._candidates(wanted, named)
        seen = rows_before(named.slots, left.order, slot, right.order[change])
        known = np.concatenate([named.after, named.before, [NO_KEY]])
        number = np.where(seen < 0, self._index.keys_of(slot), known[seen])
        meets = number == wanted[change]
        change, slot, seen = change[meets], slot[meets], seen[meets]
        if len(change):
            encoded = self._key_encoder.encode(self.left.keys_at(slot), None, len(slot))
            key_bytes = encoded.to_pylist()
            numbers = change.tolist()
            order = sorted(range(len(slot)), key=lambda i: (numbers[i], key_bytes[i]))
            change, slot, seen = change[order], slot[order], seen[order]
        unchanged = np.flatnonzero(seen < 0)
        seen[unchanged] = 2 * len(left) + np.arange(len(unchanged))
        return _pooled(left, self.left, slot[unchanged]), seen, change

    def _candidates(self, wanted: np.ndarray, named: _Named) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of a right change and the slot of a left row that names its key at some moment."""
        keys = distinct(wanted[wanted != NO_KEY])
        if len(keys) == 0:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        number, slot = self._index.slots_of(keys)
        place = np.minimum(np.searchsorted(keys, named.after), len(keys) - 1)
        fresh = np.flatnonzero(keys[place] == named.after)
        if len(fresh):
            number = np.concatenate([number, named.after[fresh]])
            slot = np.concatenate([slot, named.slots[fresh]])
            span = int(slot.max()) + 1
            pairs = distinct(number * span + slot)
            number, slot = pairs // span, pairs % span
        start, end = np.searchsorted(number, wanted), np.searchsorted(number, wanted, side="right")
        return np.repeat(np.arange(len(wanted)), end - start), slot[ranges(start, end)]

    def _passed(self, named: _Named, met: np.ndarray) -> np.ndarray:
        """Which left changes are passed on."""
        if self._keeps_left:
            return np.asarray(named.has | named.had)
        moved = (named.before != NO_KEY) & (named.before != named.after)
        return np.asarray(np.where(named.after != NO_KEY, met | moved, named.before != NO_KEY))

    def _assign(self, named: _Named) -> None:
        _, last = last_of_each(named.slots)
        self._index.assign(named.slots[last], named.after[last])

    def _result(
        self,
        at: Batch,
        left: Rows,
        right: Rows,
        left_new: np.ndarray,
        left_old: np.ndarray,
        right_new: np.ndarray,
        right_old: np.ndarray,
        rowtime: np.ndarray,
    ) -> Batch:
        if len(at) == 0:
            return empty(self.schema)
        count = len(self.left.schema.key)
        index = pa.array(left_new)
        keys = [c.take(index) for c in left.columns[:count]]
        partition = np.zeros(len(at), np.int32)
        if self._partitioner is not None:
            partition = self._partitioner.place(keys, len(at))
        new = [*left.take(left_new, count), *right.take(right_new), pa.array(rowtime)]
        old = [*left.take(left_old, count), *right.take(right_old)]
        return at.derive(
            None,
            self.schema,
            [*keys, *new],
            rowtime=rowtime,
            partition=partition,
            value_null=mask_or_none(~self._joined(left, left_new, right, right_new)),
            old=[*old, arrow.nulls(t.BIGINT, len(at))],
            old_null=mask_or_none(~self._joined(left, left_old, right, right_old)),
        )

    def _joined(
        self, left: Rows, left_row: np.ndarray, right: Rows, right_row: np.ndarray
    ) -> np.ndarray:
        has_left = ~left.absent[left_row]
        return np.asarray(has_left & (self._keeps_left | ~right.absent[right_row]))


class ForeignKeyFilterOperator(FilterOperator):
    """WHERE over a join by a foreign key, which does not know what it gave before: a row that does
    not match is a tombstone, whether or not there was one that did."""

    def _changes(self, batch: Batch, visible: np.ndarray, was_visible: np.ndarray) -> Batch:
        return replace(
            batch, value_null=mask_or_none(~visible), old_null=mask_or_none(~was_visible)
        )


@dataclass(slots=True)
class _Named:
    """Left changes: the slot of each row, whether it is there after and before, and the numbers of
    its foreign keys then. `right_slots` has the right's slots of the keys after, then before.
    """

    slots: np.ndarray
    has: np.ndarray
    had: np.ndarray
    after: np.ndarray
    before: np.ndarray
    right_slots: np.ndarray


def _pooled(changes: Batch, state: TableState, slots: np.ndarray) -> Rows:
    return pooled(changes, state.keys_at(slots), *state.get(slots))
