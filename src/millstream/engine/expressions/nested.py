"""Arrays, maps and structs: taking them apart and putting them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.engine.expressions.base import (
    EvaluationFailure,
    Frame,
    Node,
    Result,
    RowScope,
    failure_message,
    is_quiet,
)
from millstream.engine.expressions.strict import (
    Computed,
    Operand,
    Strict,
    map_rows,
    python_values,
)


class ItemAt(Strict):
    """array[i]: 1-based, from the end where negative; null where there is no such item."""

    def apply(self, *values: Any) -> Any:
        items, index = values
        if items is None:
            return None
        if index is None:
            raise EvaluationFailure("an array's index is null", quiet=True)
        place = index - 1 if index > 0 else len(items) + index
        return items[place] if index != 0 and 0 <= place < len(items) else None


class ValueAt(Strict):
    """map[key]: null where the map has no such key."""

    def apply(self, *values: Any) -> Any:
        mapping, key = values
        return None if mapping is None else mapping.get(key)


class FieldOf(Strict):
    """struct->field: null where the struct is."""

    def __init__(self, sql_type: t.SqlType, base: Node, name: str) -> None:
        super().__init__(sql_type, (base,))
        self.name = name
        self.total = base.total

    def apply(self, *values: Any) -> Any:
        return None if values[0] is None else values[0][self.name]

    def columnar(self, operands: list[Operand], length: int) -> Computed | None:
        base = operands[0]
        if not isinstance(base, pa.StructArray):
            return None
        return Computed(pc.struct_field(base, [base.type.get_field_index(self.name)]))


class _Constructor(Node):
    """Parts put together; a part that fails is null inside the whole."""

    def __init__(self, sql_type: t.SqlType, parts: Sequence[Node]) -> None:
        self.type = sql_type
        self.parts = tuple(parts)
        self.columns = frozenset().union(*(p.columns for p in parts))
        self.variables = any(p.variables for p in parts)

    def build(self, *values: Any) -> Any:
        """The whole, of the parts' values."""
        raise NotImplementedError

    def row(self, scope: RowScope) -> Any:
        values = []
        for part in self.parts:
            try:
                values.append(part.row(scope))
            except MemoryError:
                raise
            except Exception as error:
                if not is_quiet(error):
                    scope.report(failure_message(error))
                values.append(None)
        return self.build(*values)

    def evaluate(self, frame: Frame) -> Result:
        columns = [python_values(p.operand(frame)[0], p.type, frame.length) for p in self.parts]
        return map_rows(self.build, columns, self.type, None, frame)


class MakeArray(_Constructor):
    """ARRAY[..]."""

    def build(self, *values: Any) -> Any:
        return list(values)


class MakeMap(_Constructor):
    """MAP(k := v, ..); the last of equal keys counts, and a null key is the word null."""

    def build(self, *values: Any) -> Any:
        keys, items = values[::2], values[1::2]
        if None in keys:
            assert isinstance(self.type, t.Map)
            if self.type.key != t.STRING:
                raise EvaluationFailure("a map's key is null")
            keys = tuple("null" if k is None else k for k in keys)
        return dict(zip(keys, items, strict=True))


class MakeStruct(_Constructor):
    """STRUCT(f := v, ..)."""

    def build(self, *values: Any) -> Any:
        assert isinstance(self.type, t.Struct)
        return {f.name: v for f, v in zip(self.type.fields, values, strict=True)}

    def evaluate(self, frame: Frame) -> Result:
        assert isinstance(self.type, t.Struct)
        arrays = [p.evaluate(frame).values for p in self.parts]
        names = [f.name for f in self.type.fields]
        if any(a.type == pa.null() for a in arrays):
            return super().evaluate(frame)
        return Result(pa.StructArray.from_arrays(arrays, names=names))


__all__ = ["FieldOf", "ItemAt", "MakeArray", "MakeMap", "MakeStruct", "ValueAt"]
