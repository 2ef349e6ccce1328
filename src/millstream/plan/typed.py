"""Expressions after analysis: every name resolved, every type known, every coercion explicit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from millstream.errors import Position
from millstream.functions.registry import Variant
from millstream.types import SqlType


@dataclass(frozen=True, kw_only=True)
class Expression:
    """Base of typed expressions; `type` is None only for the bare NULL literal."""

    type: SqlType | None
    position: Position | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Literal(Expression):
    """A constant, as the Python value that `columns.arrow` documents for its type."""

    value: Any


@dataclass(frozen=True, kw_only=True)
class Column(Expression):
    """The column at `index` of the step's input."""

    index: int
    name: str


@dataclass(frozen=True, kw_only=True)
class Variable(Expression):
    """A lambda's parameter; `name` is unique within the whole expression."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Lambda(Expression):
    """A function given to a function; `type` is its body's type."""

    parameters: tuple[Variable, ...]
    body: Expression


@dataclass(frozen=True, kw_only=True)
class Call(Expression):
    """A scalar function in the variant that fits the arguments."""

    name: str
    variant: Variant
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, kw_only=True)
class Cast(Expression):
    """CAST, or a coercion that the analysis put in (`implicit`)."""

    operand: Expression
    implicit: bool = False


@dataclass(frozen=True, kw_only=True)
class Negation(Expression):
    """-x."""

    operand: Expression


@dataclass(frozen=True, kw_only=True)
class Arithmetic(Expression):
    """Both sides numeric; the result's type is `type`. `+` on strings is a Call of CONCAT."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, kw_only=True)
class Comparison(Expression):
    """Both sides of comparable types; null on a side gives false, except IS [NOT] DISTINCT FROM."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, kw_only=True)
class Logical(Expression):
    """AND or OR, short-circuited from the left."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, kw_only=True)
class Not(Expression):
    """NOT x."""

    operand: Expression


@dataclass(frozen=True, kw_only=True)
class IsNull(Expression):
    """IS [NOT] NULL."""

    operand: Expression
    negated: bool = False


@dataclass(frozen=True, kw_only=True)
class Like(Expression):
    """LIKE with its pattern; NOT LIKE is Not(Like)."""

    operand: Expression
    pattern: Expression
    escape: str | None = None


@dataclass(frozen=True, kw_only=True)
class In(Expression):
    """IN over items of the operand's type; NOT IN is Not(In)."""

    operand: Expression
    items: tuple[Expression, ...]


@dataclass(frozen=True, kw_only=True)
class Case(Expression):
    """Searched CASE: the first true condition's result; evaluated lazily."""

    whens: tuple[tuple[Expression, Expression], ...]
    default: Expression | None


@dataclass(frozen=True, kw_only=True)
class ItemAt(Expression):
    """array[i], 1-based, negative from the end."""

    base: Expression
    index: Expression


@dataclass(frozen=True, kw_only=True)
class ValueAt(Expression):
    """map[key]."""

    base: Expression
    key: Expression


@dataclass(frozen=True, kw_only=True)
class FieldOf(Expression):
    """struct->field; null where the struct is null."""

    base: Expression
    field_name: str


@dataclass(frozen=True, kw_only=True)
class MakeArray(Expression):
    """ARRAY[..], items of one type."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, kw_only=True)
class MakeMap(Expression):
    """MAP(k := v, ..)."""

    entries: tuple[tuple[Expression, Expression], ...]


@dataclass(frozen=True, kw_only=True)
class MakeStruct(Expression):
    """STRUCT(f := v, ..); field names are those of `type`."""

    values: tuple[Expression, ...]
