"""Which columns an expression can see, and under which names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from millstream import types as t
from millstream.catalog.catalog import did_you_mean
from millstream.catalog.model import Source
from millstream.errors import SemanticError
from millstream.plan import typed
from millstream.sql import ast

ROW_COLUMNS: tuple[tuple[str, t.SqlType], ...] = (
    ("ROWTIME", t.BIGINT),
    ("ROWPARTITION", t.INTEGER),
    ("ROWOFFSET", t.BIGINT),
)
"""Pseudo columns of every record."""
WINDOW_COLUMNS: tuple[tuple[str, t.SqlType], ...] = (
    ("WINDOWSTART", t.BIGINT),
    ("WINDOWEND", t.BIGINT),
)
"""Pseudo columns of records with a windowed key."""
RESERVED = frozenset(name for name, _ in ROW_COLUMNS + WINDOW_COLUMNS)
"""Names that no column may have."""


def pseudo_columns(source: Source) -> tuple[tuple[str, t.SqlType], ...]:
    """The pseudo columns that a source's rows have."""
    return ROW_COLUMNS + (WINDOW_COLUMNS if source.window is not None else ())


@dataclass(frozen=True, slots=True)
class Visible:
    """A column in scope: by `source` and `name` it is called, at `index` it lies."""

    source: str | None
    name: str
    type: t.SqlType
    index: int


class Scope:
    """The columns that expressions of one clause may use."""

    def __init__(self, columns: Sequence[Visible], clause: str) -> None:
        self.columns = list(columns)
        self.clause = clause
        self._by_name: dict[str, list[Visible]] = {}
        for column in columns:
            self._by_name.setdefault(column.name, []).append(column)

    def find(self, ref: ast.ColumnRef) -> Visible:
        """The column that a reference means; SemanticError where none or several could be."""
        named = self._by_name.get(ref.name, [])
        found = [c for c in named if ref.source is None or c.source == ref.source]
        if len(found) == 1:
            return found[0]
        shown = ref.name if ref.source is None else f"{ref.source}.{ref.name}"
        if found:
            choices = ", ".join(f"{c.source}.{c.name}" for c in found)
            raise SemanticError(
                f"{self.clause}: column {shown} is ambiguous",
                ref.position,
                hint=f"Write one of {choices}.",
            )
        raise SemanticError(
            f"{self.clause}: column {shown} is not known here", ref.position, hint=self._near(ref)
        )

    def resolve(self, ref: ast.ColumnRef) -> typed.Column:
        """The column that a reference means, as a typed expression."""
        column = self.find(ref)
        return typed.Column(
            type=column.type, index=column.index, name=column.name, position=ref.position
        )

    def _near(self, ref: ast.ColumnRef) -> str | None:
        sources = sorted({c.source for c in self.columns if c.source is not None})
        if ref.source is not None and ref.source not in sources:
            return f"The sources here are {', '.join(sources)}." if sources else None
        return did_you_mean(ref.name, [c.name for c in self.columns])
