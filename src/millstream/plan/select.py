"""SELECT: `*` spelt out, and a name for every item."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from millstream import types as t
from millstream.errors import Position, SemanticError
from millstream.plan.relations import Input
from millstream.plan.scope import RESERVED, ROW_COLUMNS, Scope
from millstream.plan.trees import rewrite
from millstream.sql import ast


@dataclass(frozen=True, slots=True)
class Item:
    """A selected expression, its columns qualified, and its name; `written` if AS gave it."""

    expression: ast.Expression
    name: str
    position: Position | None
    written: bool = False


class NameGenerator:
    """Names for items without an alias: a struct's field by its name, others KSQL_COL_<n>."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._next = 0

    def generated(self) -> str:
        """The next free KSQL_COL_<n>."""
        while (name := f"KSQL_COL_{self._next}") in self._taken:
            self._next += 1
        self._next += 1
        return name

    def unique(self, base: str) -> str:
        """The name, or the first of name_1, name_2, .. that is free."""
        name, number = base, 1
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name)
        return name

    def of(self, expression: ast.Expression) -> str:
        """A name for an expression that is no plain column."""
        if isinstance(expression, ast.FieldAccess):
            return self.unique(expression.field_name)
        return self.generated()


def qualify(expression: ast.Expression, scope: Scope) -> ast.Expression:
    """The expression with every column under its source's alias; unknown ones are errors."""

    def change(part: ast.Expression) -> ast.Expression | None:
        if not isinstance(part, ast.ColumnRef):
            return None
        found = scope.find(part)
        return ast.ColumnRef(found.name, found.source, position=part.position)

    return rewrite(expression, change)


class Expander:
    """Turns the SELECT list into items."""

    def __init__(
        self,
        inputs: list[Input],
        scope: Scope,
        partition_by: tuple[ast.Expression, ...],
        struct_fields: Callable[[ast.Expression], t.SqlType | None],
        synthetic_key: str | None = None,
        *,
        persistent: bool,
    ) -> None:
        self.inputs = inputs
        self.scope = scope
        self.partition_by = partition_by
        self.struct_fields = struct_fields
        self.synthetic_key = synthetic_key
        self.persistent = persistent
        self.joined = len(inputs) > 1
        self.names = NameGenerator(c.name for i in inputs for c in i.source.schema)
        counts: dict[str, int] = {}
        for item in inputs:
            for column in item.source.schema:
                counts[column.name] = counts.get(column.name, 0) + 1
            for name, _ in ROW_COLUMNS:
                counts[name] = counts.get(name, 0) + 1
        self._clashing = {name for name, count in counts.items() if count > 1}

    def expand(self, selection: tuple[ast.Selection, ...]) -> list[Item]:
        """The items in order; SemanticError for unknown columns and reserved names."""
        items: list[Item] = []
        for selected in selection:
            match selected:
                case ast.SelectAll():
                    items += self._all(selected)
                case ast.SelectStructAll():
                    items += self._struct(selected)
                case ast.SelectItem():
                    items.append(self._item(selected))
        return items

    def _item(self, selected: ast.SelectItem) -> Item:
        expression = qualify(selected.expression, self.scope)
        where = selected.position or expression.position
        if selected.alias is not None:
            if selected.alias in RESERVED:
                raise SemanticError(
                    f"{selected.alias} is a reserved name and no alias",
                    where,
                    hint="Give the column another name.",
                )
            return Item(expression, selected.alias, where, written=True)
        if isinstance(expression, ast.ColumnRef):
            return Item(expression, self._column_name(expression), where)
        return Item(expression, self.names.of(expression), where)

    def _column_name(self, ref: ast.ColumnRef) -> str:
        if self.joined and ref.name in self._clashing and ref.source is not None:
            return f"{ref.source}_{ref.name}"
        return ref.name

    def _struct(self, selected: ast.SelectStructAll) -> list[Item]:
        base = qualify(selected.base, self.scope)
        kind = self.struct_fields(base)
        if not isinstance(kind, t.Struct):
            raise SemanticError(f"->* needs a STRUCT, not {kind}", selected.position)
        return [Item(ast.FieldAccess(base, f.name), f.name, selected.position) for f in kind.fields]

    def _all(self, selected: ast.SelectAll) -> list[Item]:
        chosen = [i for i in self.inputs if selected.source in (None, i.alias)]
        if not chosen:
            raise SemanticError(
                f"{selected.source}.* names no source of this query",
                selected.position,
                hint=f"The sources are {', '.join(i.alias for i in self.inputs)}.",
            )
        items: list[Item] = []
        if selected.source is None:
            if self.synthetic_key is not None and not self.partition_by:
                key = ast.ColumnRef(self.synthetic_key, None, position=selected.position)
                items.append(Item(key, self.synthetic_key, selected.position))
            for expression in self.partition_by:
                if not isinstance(expression, (ast.ColumnRef, ast.NullLiteral)):
                    items.append(Item(expression, self.names.of(expression), selected.position))
                elif isinstance(expression, ast.ColumnRef) and expression.name in RESERVED:
                    items.append(Item(expression, expression.name, selected.position))
        for item in chosen:
            items += self._source_columns(item, selected)
        return items

    def _source_columns(self, item: Input, selected: ast.SelectAll) -> list[Item]:
        schema = item.source.schema
        names = [c.name for c in schema]
        if self.partition_by:
            keys = [c.name for c in schema.key]
            # The repartition of a join's result carries the row's pseudo columns along.
            pseudo = [n for n, _ in ROW_COLUMNS] if self.joined else []
            names = [n for n in names if n not in keys] + pseudo + keys
        elif item.source.window is not None and (self.joined or not self.persistent):
            names = (
                [c.name for c in schema.key]
                + ["WINDOWSTART", "WINDOWEND"]
                + [c.name for c in schema if c not in schema.key]
            )
        prefix = f"{item.alias}_" if self.joined else ""
        return [
            Item(
                ast.ColumnRef(n, item.alias, position=selected.position),
                prefix + n,
                selected.position,
            )
            for n in names
        ]
