"""Custom types in a query: each name replaced by the type that it stands for."""

from __future__ import annotations

from dataclasses import replace

from millstream.catalog.catalog import Catalog
from millstream.errors import SemanticError
from millstream.plan.trees import rewrite
from millstream.sql import ast


class TypeResolver:
    """Replaces the names of custom types in casts; SemanticError for unknown ones."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def query(self, query: ast.Query) -> ast.Query:
        """A query whose casts name no custom types."""
        return replace(
            query,
            select=tuple(self._selection(s) for s in query.select),
            relation=self._relation(query.relation),
            where=None if query.where is None else self._expression(query.where),
            group_by=tuple(self._expression(g) for g in query.group_by),
            partition_by=tuple(self._expression(p) for p in query.partition_by),
            having=None if query.having is None else self._expression(query.having),
        )

    def _selection(self, selection: ast.Selection) -> ast.Selection:
        if isinstance(selection, ast.SelectItem):
            return replace(selection, expression=self._expression(selection.expression))
        if isinstance(selection, ast.SelectStructAll):
            return replace(selection, base=self._expression(selection.base))
        return selection

    def _relation(self, relation: ast.Relation) -> ast.Relation:
        if not isinstance(relation, ast.Join):
            return relation
        condition = self._expression(relation.condition)
        return replace(relation, left=self._relation(relation.left), condition=condition)

    def _expression(self, expression: ast.Expression) -> ast.Expression:
        return rewrite(expression, self._cast)

    def _cast(self, part: ast.Expression) -> ast.Expression | None:
        if not isinstance(part, ast.Cast):
            return None
        try:
            resolved = self._catalog.resolve_type(part.type)
        except SemanticError as error:
            error.position = error.position or part.position
            raise
        if resolved == part.type:
            return None
        return replace(part, operand=self._expression(part.operand), type=resolved)
