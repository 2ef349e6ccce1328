"""A table of columns to evaluate SQL text over, in both forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from millstream import types as t
from millstream.clock import FixedClock
from millstream.columns import arrow
from millstream.engine.expressions import Compiled, EvaluationContext, compile_expression
from millstream.functions import default_registry
from millstream.functions.registry import Registry
from millstream.plan import typed
from millstream.plan.typing import type_expression, unknown_column
from millstream.sql import ast, parse_expression

COLUMNS: dict[str, t.SqlType] = {
    "I": t.INTEGER,
    "L": t.BIGINT,
    "D": t.DOUBLE,
    "S": t.STRING,
    "B": t.BOOLEAN,
    "N": t.Decimal(6, 2),
    "Y": t.BYTES,
    "TS": t.TIMESTAMP,
    "DT": t.DATE,
    "TM": t.TIME,
    "A": t.Array(t.INTEGER),
    "M": t.Map(t.STRING, t.INTEGER),
    "R": t.Struct((t.Field("F", t.INTEGER), t.Field("G", t.STRING))),
}


@dataclass
class Evaluated:
    """What an expression gave over some rows."""

    values: list[Any]
    failed: list[bool]
    reports: list[tuple[int, str]]


class Columns:
    """The scope of the table's columns."""

    def __init__(self, columns: dict[str, t.SqlType]) -> None:
        self.columns = columns

    def resolve(self, ref: ast.ColumnRef) -> typed.Column:
        if ref.name not in self.columns:
            raise unknown_column(ref, self.columns)
        index = list(self.columns).index(ref.name)
        return typed.Column(type=self.columns[ref.name], index=index, name=ref.name)


class Table:
    """Compiles and evaluates SQL text over rows of `columns`."""

    def __init__(self, registry: Registry, columns: dict[str, t.SqlType] | None = None) -> None:
        self.registry = registry
        self.columns = COLUMNS if columns is None else columns

    def typed(self, sql: str) -> typed.Expression:
        return type_expression(parse_expression(sql), Columns(self.columns), self.registry)

    def compile(self, sql: str) -> Compiled:
        return compile_expression(self.typed(sql))

    def rows(self, sql: str, rows: Sequence[dict[str, Any]]) -> Evaluated:
        """The columnar form over rows given as dicts; what they lack is null."""
        compiled = self.compile(sql)
        arrays = [
            arrow.from_python([row.get(name) for row in rows], sql_type)
            for name, sql_type in self.columns.items()
        ]
        context = EvaluationContext(clock=FixedClock(1_589_234_313_000), limit=10_000)
        result = compiled.evaluate(arrays, len(rows), context)
        assert compiled.type is not None
        assert result.values.type == arrow.arrow_type(compiled.type)
        assert len(result.values) == len(rows)
        failed = [False] * len(rows) if result.failed is None else result.failed.tolist()
        values = arrow.to_python(result.values, compiled.type)
        assert all(v is None for v, f in zip(values, failed, strict=True) if f)
        return Evaluated(values, failed, context.reports)

    def by_row(self, sql: str, rows: Sequence[dict[str, Any]]) -> Evaluated:
        """The row form over the same rows."""
        compiled = self.compile(sql)
        context = EvaluationContext(clock=FixedClock(1_589_234_313_000))
        values = []
        for row in rows:
            given = [row.get(name) for name in self.columns]
            values.append(compiled.evaluate_row(given, context))
        return Evaluated(values, [], context.reports)

    def one(self, sql: str, **row: Any) -> Any:
        """The value of one row, which both forms give alike."""
        columnar, single = self.rows(sql, [row]).values[0], self.by_row(sql, [row]).values[0]
        assert same(columnar, single), f"columns give {columnar!r}, rows give {single!r}"
        return columnar


def same(left: Any, right: Any) -> bool:
    """Equality in which NaN is itself, and 1, 1.0 and True differ."""
    if isinstance(left, float) and isinstance(right, float) and left != left:
        return right != right
    return type(left) is type(right) and left == right


@pytest.fixture(scope="session")
def table() -> Table:
    return Table(default_registry())


@pytest.fixture(scope="session")
def table_of() -> Callable[[Registry], Table]:
    return Table
