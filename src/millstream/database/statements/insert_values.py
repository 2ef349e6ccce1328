"""INSERT INTO .. VALUES: one record, written at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millstream import types as t
from millstream.catalog.catalog import did_you_mean
from millstream.catalog.model import Source
from millstream.database.insert import append_rows
from millstream.database.outcome import Outcome
from millstream.engine.expressions import EvaluationContext, constant
from millstream.errors import SemanticError
from millstream.sql import ast
from millstream.sql.script import Parsed

if TYPE_CHECKING:
    from millstream.database.database import Database


def handle(database: Database, statement: ast.InsertValues, parsed: Parsed) -> Outcome:
    """Write one record; columns that are not named are null, ROWTIME is the clock's."""
    source, row, rowtime = row_of(database, statement)
    append_rows(database, source, [row], [rowtime])
    return Outcome(parsed.text, f"1 row written to {source.name}")


def row_of(database: Database, statement: ast.InsertValues) -> tuple[Source, dict[str, Any], int]:
    """The row that a statement means, where it goes, and its time; SemanticError where it cannot
    be written."""
    source = database.catalog.sources.get(statement.target)
    if source is None:
        raise SemanticError(
            f"there is no stream or table {t.quote_name(statement.target)}",
            statement.position,
            hint=did_you_mean(statement.target, database.catalog.sources)
            or "SHOW STREAMS; and SHOW TABLES; list what there is.",
        )
    _check_target(source, statement)
    names = _columns(source, statement)
    row = _values(database, source, names, statement)
    rowtime = row.pop("ROWTIME", None)
    if rowtime is None:
        rowtime = database.clock.now_ms()
    if rowtime < 0:
        raise SemanticError(f"ROWTIME cannot be negative: {rowtime}", statement.position)
    if source.is_table and any(row.get(c.name) is None for c in source.schema.key):
        raise SemanticError(
            f"a row of table {source.name} needs its primary key",
            statement.position,
            hint=f"Give a value for {', '.join(c.name for c in source.schema.key)}.",
        )
    return source, row, rowtime


def _check_target(source: Source, statement: ast.InsertValues) -> None:
    if source.window is not None:
        raise SemanticError(
            f"{source.name} has a windowed key, which VALUES cannot give", statement.position
        )
    if source.read_only:
        raise SemanticError(f"{source.name} is read-only", statement.position)
    headers = {c.name for c in source.schema.headers}
    if headers & set(statement.columns) or (headers and not statement.columns):
        raise SemanticError(
            f"headers cannot be written: {', '.join(sorted(headers))}",
            statement.position,
            hint="Name the other columns: INSERT INTO s (a, b) VALUES (..).",
        )


def _columns(source: Source, statement: ast.InsertValues) -> list[str]:
    """The columns that the values are for. Unnamed: key, then value, ROWTIME in front or not."""
    schema = source.schema
    known = [c.name for c in (*schema.key, *schema.value)]
    if not statement.columns:
        count = len(statement.values)
        if count == len(known):
            return known
        if count == len(known) + 1:
            return ["ROWTIME", *known]
        raise SemanticError(
            f"{count} values are given for the {len(known)} columns of {source.name}",
            statement.position,
            hint=f"The columns are {', '.join(known)}.",
        )
    if len(statement.columns) != len(statement.values):
        raise SemanticError(
            f"{len(statement.columns)} columns are named, but {len(statement.values)} values given",
            statement.position,
        )
    for name in statement.columns:
        if name not in known and name != "ROWTIME":
            raise SemanticError(
                f"{source.name} has no column {name} to write",
                statement.position,
                hint=did_you_mean(name, known) or f"The columns are {', '.join(known)}.",
            )
    if len(set(statement.columns)) < len(statement.columns):
        twice = next(n for n in statement.columns if statement.columns.count(n) > 1)
        raise SemanticError(f"the column {twice} is named twice", statement.position)
    return list(statement.columns)


def _values(
    database: Database, source: Source, names: list[str], statement: ast.InsertValues
) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, expression in zip(names, statement.values, strict=True):
        column = source.schema.find(name)
        target = t.BIGINT if column is None else column.type
        context = EvaluationContext(clock=database.clock)
        try:
            row[name] = constant(expression, target, database.registry, context)
        except SemanticError as error:
            raise SemanticError(
                f"column {name}: {error.message}",
                error.position or expression.position or statement.position,
                hint=error.hint,
            ) from error
    return row
