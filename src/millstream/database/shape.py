"""Rows as people give them, in the order of a source's columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from millstream.catalog.model import Source
from millstream.errors import ExecutionError

ROWTIME = "ROWTIME"
_MOST_SHAPES = 64
_MOST_SOURCES = 1024


class Shapes:
    """Puts the values of rows in order. How dicts spell the names of columns, which producers do
    in one way, it works out once."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._names = [c.name for c in (*source.schema.key, *source.schema.value)]
        self._known = (
            {n.upper(): n for n in self._names} | {n: n for n in self._names} | {ROWTIME: ROWTIME}
        )
        self._orders: dict[tuple[Any, ...], tuple[list[str | None], str | None]] = {}

    def row(self, row: Any) -> tuple[list[Any], Any]:
        """The values of a row, key columns first, and its ROWTIME; what is not given is None.

        ExecutionError where it is no row of this source.
        """
        if type(row) is dict:
            order = self._orders.get(tuple(row))
            if order is not None:
                get = row.get
                names, time = order
                return [get(name) for name in names], get(time)
        if isinstance(row, Mapping):
            return self._of_mapping(row)
        if isinstance(row, str | bytes) or not isinstance(row, Iterable):
            raise ExecutionError(
                f"{self.source.name}: a row is a dict or a tuple, not {type(row).__name__}"
            )
        values = list(row)
        if len(values) != len(self._names):
            raise ExecutionError(
                f"{len(values)} values are given for the {len(self._names)} columns of"
                f" {self.source.name}"
            )
        return values, None

    def _of_mapping(self, row: Mapping[Any, Any]) -> tuple[list[Any], Any]:
        spelt: dict[str, Any] = {}
        for key in row:
            name = self._known.get(key) or self._known.get(str(key).upper())
            if name is None or name in spelt:
                problem = "has no" if name is None else "is given twice the"
                raise ExecutionError(
                    f"{self.source.name} {problem} column {key}",
                    hint=f"Its columns are {', '.join(self._names)}.",
                )
            spelt[name] = key
        if all(type(key) is str for key in row) and len(self._orders) < _MOST_SHAPES:
            # No such dict has a key None.
            self._orders[tuple(row)] = [spelt.get(n) for n in self._names], spelt.get(ROWTIME)
        values = {name: row[key] for name, key in spelt.items()}
        return [values.get(n) for n in self._names], values.get(ROWTIME)


_shapes: dict[int, Shapes] = {}


def shapes_of(source: Source) -> Shapes:
    """The shapes of a source's rows."""
    found = _shapes.get(id(source))
    # The entry keeps its source alive, so that its identity is not given to another one.
    if found is not None and found.source is source:
        return found
    if len(_shapes) >= _MOST_SOURCES:
        _shapes.clear()
    found = _shapes[id(source)] = Shapes(source)
    return found
