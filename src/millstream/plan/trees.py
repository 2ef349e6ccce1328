"""Walking and rewriting expressions as written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from millstream.sql import ast


def walk(expression: ast.Expression) -> Iterator[ast.Expression]:
    """The expression and all expressions inside it, outermost first."""
    yield expression
    for child in _children(expression):
        yield from walk(child)


def column_refs(expression: ast.Expression) -> list[ast.ColumnRef]:
    """References to columns; variables of lambdas are left out inside their lambdas."""
    return list(_free_refs(expression, frozenset()))


def rewrite(
    expression: ast.Expression,
    change: Callable[[ast.Expression], ast.Expression | None],
    bound: frozenset[str] = frozenset(),
) -> ast.Expression:
    """A copy in which `change` replaced what it gave an expression for, outermost first.

    Where it gives None, the parts are looked at. Lambda variables are never offered.
    """
    if (
        isinstance(expression, ast.ColumnRef)
        and expression.source is None
        and expression.name in bound
    ):
        return expression
    changed = change(expression)
    if changed is not None:
        return changed
    if isinstance(expression, ast.Lambda):
        bound = bound | frozenset(expression.parameters)
    updates = {}
    for part in fields(expression):
        value = getattr(expression, part.name)
        new = _rewrite_value(value, change, bound)
        if new is not value:
            updates[part.name] = new
    return replace(expression, **updates) if updates else expression


def _is_variable(ref: ast.ColumnRef, bound: frozenset[str]) -> bool:
    return ref.source is None and ref.name in bound


def _rewrite_value(
    value: Any, change: Callable[[ast.Expression], ast.Expression | None], bound: frozenset[str]
) -> Any:
    if isinstance(value, ast.Expression):
        return rewrite(value, change, bound)
    if isinstance(value, ast.When):
        condition = rewrite(value.condition, change, bound)
        result = rewrite(value.result, change, bound)
        if condition is value.condition and result is value.result:
            return value
        return replace(value, condition=condition, result=result)
    if isinstance(value, tuple):
        items = tuple(_rewrite_value(item, change, bound) for item in value)
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    return value


def _children(expression: ast.Expression) -> Iterator[ast.Expression]:
    for part in fields(expression):
        yield from _expressions_in(getattr(expression, part.name))


def _expressions_in(value: Any) -> Iterator[ast.Expression]:
    if isinstance(value, ast.Expression):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _expressions_in(item)
    elif isinstance(value, ast.When) and is_dataclass(value):
        yield value.condition
        yield value.result


def _free_refs(expression: ast.Expression, bound: frozenset[str]) -> Iterator[ast.ColumnRef]:
    if isinstance(expression, ast.ColumnRef):
        if not _is_variable(expression, bound):
            yield expression
        return
    if isinstance(expression, ast.Lambda):
        bound = bound | frozenset(expression.parameters)
    for child in _children(expression):
        yield from _free_refs(child, bound)
