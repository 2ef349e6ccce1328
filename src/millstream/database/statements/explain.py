"""EXPLAIN: the steps of a query, and with ANALYZE what they have done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.catalog.catalog import did_you_mean
from millstream.database.outcome import Outcome, Table
from millstream.database.statements.analyze import analyze
from millstream.errors import SemanticError
from millstream.plan.analyse import Analyser, Purpose
from millstream.plan.explain import plan_lines
from millstream.plan.nodes import Node
from millstream.sql import ast
from millstream.sql.script import Parsed

if TYPE_CHECKING:
    from millstream.database.database import Database


def handle(database: Database, statement: ast.Explain, parsed: Parsed) -> Outcome:
    """The plan of a statement, or of a running query."""
    if statement.query_id is not None:
        info = database.catalog.queries.get(statement.query_id) or database.catalog.queries.get(
            statement.query_id.upper()
        )
        if info is None:
            raise SemanticError(
                f"there is no query {statement.query_id}",
                statement.position,
                hint=did_you_mean(statement.query_id, database.catalog.queries),
            )
        if statement.analyze:
            return analyze(database, info, parsed.text)
        plan = database.plan_of_query(info)
        rows = [(line,) for line in plan_lines(plan.root, plan.sink)]
        reason = "" if info.error is None else f": {info.error}"
        return Outcome(
            parsed.text, f"{info.id} is {info.state}{reason}", Table(("plan",), list(rows))
        )
    assert statement.statement is not None
    inner = statement.statement
    if isinstance(inner, ast.CreateAsSelect | ast.InsertIntoSelect):
        plan = database.plan_of(inner, database.session())
        lines = plan_lines(plan.root, plan.sink)
    elif isinstance(inner, ast.Select):
        lines = plan_lines(_root(database, inner), None)
    else:
        raise SemanticError("only queries have a plan", inner.position or statement.position)
    return Outcome(
        parsed.text,
        "the plan, from its result down to its sources",
        Table(("plan",), [(line,) for line in lines]),
    )


def _root(database: Database, select: ast.Select) -> Node:
    purpose = Purpose.PULL if select.query.emit is None else Purpose.PUSH
    return Analyser(select.query, database.catalog, database.registry, purpose).analyse().root
