"""JOIN of two tables on their primary keys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from millstream.columns import arrow
from millstream.columns.batch import Batch, empty, mask_or_none
from millstream.columns.hash_index import first_occurrences
from millstream.columns.keys import hash_rows
from millstream.engine.operators.base import Stateless, StepContext
from millstream.engine.operators.table_table_rows import (
    Current,
    Rows,
    places,
    pooled,
    rows_before,
)
from millstream.plan import nodes
from millstream.sql.ast import JoinKind


class TableTableJoinOperator(Stateless):
    """A change of either side changes the joined row of its key.

    Result: key, left columns, right columns, as changes with old rows; event time is the later one
    of the change and the other side's row, the place that of the change. A change is passed on
    where the other side has a row, which includes tombstones for joined rows that never were; a
    side whose rows are kept without a match also passes on all changes of its own rows.

    The operator keeps nothing: rows that a step does not change it finds in its inputs.
    """

    def __init__(
        self, name: str, node: nodes.TableTableJoin, left: Current, right: Current
    ) -> None:
        self.name = name
        self.schema = node.schema
        self._kind = node.kind
        self._width = len(node.left.schema)
        self._inputs = (left, right)
        self._time_columns = (node.left_times, node.right_times)
        self._keeps = (
            node.kind in (JoinKind.LEFT, JoinKind.FULL),
            node.kind in (JoinKind.RIGHT, JoinKind.FULL),
        )
        self.tells_times: bool = node.kind is JoinKind.INNER and all(
            side.tells_times for side in (left, right) if isinstance(side, TableTableJoinOperator)
        )
        """Whether event times of `rows` are those of the last changes that were passed on. Where
        an outer join's row has lost a side, its last change is later than what is left of it."""

    def step(self, left: Batch, right: Batch, context: StepContext) -> Batch:
        """The changes that the changes of both sides cause, in the order of both."""
        keys = [
            arrow.concat([a, b]) for a, b in zip(left.key_arrays, right.key_arrays, strict=True)
        ]
        trigger = np.argsort(np.concatenate([left.order, right.order]), kind="stable")
        sides = self._sides(left, right, keys, trigger)
        passed = self._passed(trigger < len(left), *sides)
        if not passed.any():
            return empty(self.schema)
        if not passed.all():
            trigger = trigger[passed]
            for side in sides:
                side.new, side.old = side.new[passed], side.old[passed]
        return self._result(places(left, right, trigger), trigger < len(left), keys, trigger, sides)

    def current(self, keys: list[pa.Array]) -> tuple[list[pa.Array], np.ndarray]:
        """The columns of each key's joined row, null where it has none, and a mask of those."""
        (left, no_left), (right, no_right) = (side.current(keys) for side in self._inputs)
        absent = ~self._joined(~no_left, ~no_right)
        columns: list[pa.Array] = []
        for values, missing in ((left, no_left | absent), (right, no_right | absent)):
            columns += arrow.masked([*keys, *values], missing)
        return columns, absent

    def rows(self, keys: list[pa.Array]) -> Batch:
        """The joined rows of those keys that have one; event time is the latest of their rows'."""
        columns, absent = self.current(keys)
        found = np.flatnonzero(~absent)
        index = pa.array(found)
        shift = len(keys)
        left, right = self._time_columns
        places_of_times = [*(i + shift for i in left), *(i + shift + self._width for i in right)]
        rows = Rows([c.take(index) for c in (*keys, *columns)], np.zeros(len(found), bool))
        return Batch(
            schema=self.schema,
            arrays=rows.columns,
            rowtime=rows.times(places_of_times),
            order=np.arange(len(found)),
            seq=np.full(len(found), -1, np.int64),
            partition=np.zeros(len(found), np.int32),
            offset=np.full(len(found), -1, np.int64),
        )

    # --- inside --------------------------------------------------------------------------------

    def _sides(
        self, left: Batch, right: Batch, keys: list[pa.Array], trigger: np.ndarray
    ) -> tuple[_Side, _Side]:
        """What each side holds after and before each change."""
        _, code = first_occurrences(list(hash_rows(keys, [c.type for c in self.schema.key])))
        split = len(left)
        left_rows, left_seen = self._rows(0, left, code[:split], right, code[split:])
        right_rows, right_seen = self._rows(1, right, code[split:], left, code[:split])
        left_own, right_own = np.arange(split), np.arange(len(right))
        return (
            _Side(
                left_rows,
                np.concatenate([left_own, left_seen])[trigger],
                np.concatenate([left_own + split, left_seen])[trigger],
            ),
            _Side(
                right_rows,
                np.concatenate([right_seen, right_own])[trigger],
                np.concatenate([right_seen, right_own + len(right)])[trigger],
            ),
        )

    def _rows(
        self, side: int, mine: Batch, my_code: np.ndarray, other: Batch, other_code: np.ndarray
    ) -> tuple[Rows, np.ndarray]:
        """A side's rows in this step, and which of them each change of the other side meets."""
        seen = rows_before(my_code, mine.order, other_code, other.order)
        unchanged = np.flatnonzero(seen < 0)
        seen[unchanged] = 2 * len(mine) + np.arange(len(unchanged))
        index = pa.array(unchanged)
        keys = [k.take(index) for k in other.key_arrays]
        return pooled(mine, keys, *self._inputs[side].current(keys)), seen

    def _passed(self, from_left: np.ndarray, left: _Side, right: _Side) -> np.ndarray:
        """Which changes are passed on."""
        met = np.where(from_left, right.has_new, left.has_new)
        own = np.where(from_left, left.has_new | left.has_old, right.has_new | right.has_old)
        return np.asarray(met | (np.where(from_left, *self._keeps) & own))

    def _joined(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Where there is a joined row, by where the sides have theirs."""
        match self._kind:
            case JoinKind.INNER:
                return np.asarray(left & right)
            case JoinKind.LEFT:
                return left
            case JoinKind.RIGHT:
                return right
        return np.asarray(left | right)

    def _result(
        self,
        at: Batch,
        from_left: np.ndarray,
        keys: list[pa.Array],
        trigger: np.ndarray,
        sides: tuple[_Side, _Side],
    ) -> Batch:
        left, right = sides
        index = pa.array(trigger)
        left_time, right_time = (
            side.rows.times(columns)[side.new]
            for side, columns in zip(sides, self._time_columns, strict=True)
        )
        met_time = np.where(from_left, right_time, left_time)
        return at.derive(
            None,
            self.schema,
            [
                *(k.take(index) for k in keys),
                *left.rows.take(left.new),
                *right.rows.take(right.new),
            ],
            rowtime=np.maximum(at.rowtime, met_time),
            value_null=mask_or_none(~self._joined(left.has_new, right.has_new)),
            old=[*left.rows.take(left.old), *right.rows.take(right.old)],
            old_null=mask_or_none(~self._joined(left.has_old, right.has_old)),
        )


@dataclass(slots=True)
class _Side:
    """The rows of one side, and which of them hold after and before each change of either side."""

    rows: Rows
    new: np.ndarray
    old: np.ndarray

    @property
    def has_new(self) -> np.ndarray:
        """Where the side has a row after the change."""
        return np.asarray(~self.rows.absent[self.new])

    @property
    def has_old(self) -> np.ndarray:
        """Where the side had a row before the change."""
        return np.asarray(~self.rows.absent[self.old])
