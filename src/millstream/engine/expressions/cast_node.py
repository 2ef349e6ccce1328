"""The CAST node: by column where the types are simple, value by value otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.columns import arrow
from millstream.columns.java_text import doubles_to_text
from millstream.engine.expressions.base import (
    EvaluationContext,
    Frame,
    Node,
    Result,
    RowScope,
    either,
    failure_message,
    is_quiet,
    null_mask,
    nulled,
)
from millstream.engine.expressions.casts import caster
from millstream.engine.expressions.strict import map_rows, python_values

_ZERO = pa.scalar(0.0, pa.float64())
_WHOLE = (t.INTEGER, t.BIGINT)
_FEW = 16
"""Up to so many values Python writes numbers sooner than Arrow begins to."""
_PLAIN_TEXT = (*_WHOLE, t.BOOLEAN)


class Cast(Node):
    """The operand as another type; what does not convert is null, and reported.

    A cast is a wall: a failure under it becomes null and goes no further. A widening of numbers
    that the analysis put in is no cast to ksqlDB, and lets failures through.
    """

    def __init__(
        self, operand: Node, source: t.SqlType, target: t.SqlType, *, transparent: bool
    ) -> None:
        self.operand_node = operand
        self.source = source
        self.type = target
        self.target = target
        self.transparent = transparent
        self.columns = operand.columns
        self.variables = operand.variables
        self._caster = caster(source, target)
        self.total = operand.total and _cannot_fail(source, target)

    def row(self, scope: RowScope) -> Any:
        try:
            value = self.operand_node.row(scope)
            return None if value is None else self._caster(value)
        except MemoryError:
            raise
        except Exception as error:
            if self.transparent:
                raise
            if not is_quiet(error):
                scope.report(failure_message(error))
            return None

    def evaluate(self, frame: Frame) -> Result:
        result = self.operand_node.evaluate(frame)
        cast = _by_column(result.values, self.source, self.target)
        if cast is None:
            cast, failed = self._by_value(result.values, frame)
        else:
            failed = self._failed_of(result.values, cast)
            if failed is not None:
                cast, failed = self._repair(result.values, cast, failed, frame)
        if not self.transparent:
            return Result(nulled(cast, failed))
        failed = either(result.failed, failed)
        return Result(nulled(cast, failed), failed)

    @staticmethod
    def _failed_of(source: pa.Array, cast: pa.Array) -> np.ndarray | None:
        if cast.null_count == source.null_count:
            return None
        nulls = null_mask(cast)
        before = null_mask(source)
        assert nulls is not None
        return nulls if before is None else nulls & ~before

    def _repair(
        self, source: pa.Array, cast: pa.Array, open_rows: np.ndarray, frame: Frame
    ) -> tuple[pa.Array, np.ndarray | None]:
        """The rows that the columnar form left open: each distinct value of them, once."""
        indices = np.flatnonzero(open_rows)
        encoded = source.take(pa.array(indices)).dictionary_encode()
        distinct = encoded.dictionary
        quiet = Frame((), len(distinct), EvaluationContext(limit=len(distinct)))
        some, failed = self._by_value(distinct, quiet)
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        cast = pc.replace_with_mask(cast, pa.array(open_rows), some.take(encoded.indices))
        if failed is None:
            return cast, None
        messages = dict(quiet.context.reports)
        whole = np.zeros(len(cast), bool)
        whole[indices] = failed[codes]
        places = dict(zip(indices.tolist(), codes.tolist(), strict=True))
        frame.report_rows(np.flatnonzero(whole), lambda row: messages.get(places[row]))
        return cast, whole

    def _by_value(self, values: pa.Array, frame: Frame) -> tuple[pa.Array, np.ndarray | None]:
        def convert(value: Any) -> Any:
            return None if value is None else self._caster(value)

        columns = [python_values(values, self.source, len(values))]
        result = map_rows(convert, columns, self.type, None, frame)
        return result.values, result.failed


def _cannot_fail(source: t.SqlType, target: t.SqlType) -> bool:
    numbers = (*_WHOLE, t.DOUBLE)
    return (source in numbers and target in (*numbers, t.STRING)) or (
        source == t.BOOLEAN and target == t.STRING
    )


def _by_column(values: pa.Array, source: t.SqlType, target: t.SqlType) -> pa.Array | None:
    """The column cast; rows it cannot settle are null. None where there is no columnar form."""
    if target == t.STRING:
        if source == t.DOUBLE:
            return doubles_to_text(values)
        if source in _WHOLE and len(values) <= _FEW:
            if values.null_count == 0:
                return arrow.of_texts(list(map(str, values.to_pylist())))
            texts = [None if v is None else str(v) for v in values.to_pylist()]
            return pa.array(texts, pa.string())
        return pc.cast(values, pa.string()) if source in _PLAIN_TEXT else None
    if source in _WHOLE and target in (*_WHOLE, t.DOUBLE):
        return pc.cast(values, arrow.arrow_type(target), safe=False)
    if source == t.DOUBLE and target in _WHOLE:
        return _saturated(values, target)
    if source == t.STRING and target in _WHOLE:
        return _parsed(values, _INTEGER_TEXT[target], target)
    if source == t.STRING and target == t.DOUBLE:
        return _parsed(values, r"^[+-]?[0-9]{1,99}(?:\.[0-9]{1,99})?$", target)
    return None


_INTEGER_TEXT = {t.INTEGER: r"^[+-]?[0-9]{1,9}$", t.BIGINT: r"^[+-]?[0-9]{1,18}$"}


def _saturated(values: pa.Array, target: t.SqlType) -> pa.Array:
    dtype: Any = np.int32 if target == t.INTEGER else np.int64
    limits = np.iinfo(dtype)
    nulls = null_mask(values)
    numbers = (values if nulls is None else values.fill_null(_ZERO)).to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        whole = np.trunc(numbers).astype(dtype)
    whole = np.where(numbers >= float(limits.max), limits.max, whole)
    whole = np.where(numbers <= float(limits.min), limits.min, whole)
    whole = np.where(np.isnan(numbers), dtype(0), whole)
    return pa.array(whole.astype(dtype), mask=nulls)


def _parsed(values: pa.Array, plain: str, target: t.SqlType) -> pa.Array:
    """Plain numerals parsed in bulk; everything else is null, for the row form to look at."""
    fits = pc.match_substring_regex(values, pattern=plain)
    if fits.null_count or not pc.all(fits, skip_nulls=True).as_py():
        values = pc.if_else(fits, values, pa.scalar(None, pa.string()))
    if pc.any(pc.starts_with(values, pattern="+")).as_py():
        values = pc.utf8_ltrim(values, characters="+")
    return pc.cast(values, arrow.arrow_type(target))
