"""Expressions as written, and the base of every node."""

from __future__ import annotations

import decimal
from dataclasses import dataclass, field

from millstream.errors import Position
from millstream.types import SqlType


@dataclass(frozen=True, kw_only=True)
class Node:
    """Base of every node."""

    position: Position | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Expression(Node):
    """Anything that has a value."""


@dataclass(frozen=True)
class NullLiteral(Expression):
    """NULL."""


@dataclass(frozen=True)
class BooleanLiteral(Expression):
    """TRUE or FALSE."""

    value: bool


@dataclass(frozen=True)
class IntegerLiteral(Expression):
    """Digits: INTEGER where the value fits 32 bits, else BIGINT."""

    value: int


@dataclass(frozen=True)
class DecimalLiteral(Expression):
    """Digits with a point: DECIMAL, scale as written."""

    value: decimal.Decimal


@dataclass(frozen=True)
class DoubleLiteral(Expression):
    """Digits with an exponent: DOUBLE."""

    value: float


@dataclass(frozen=True)
class StringLiteral(Expression):
    """Text between single quotes."""

    value: str


@dataclass(frozen=True)
class TypedLiteral(Expression):
    """DATE '..', TIME '..' or TIMESTAMP '..'; `kind` is the word."""

    kind: str
    text: str


@dataclass(frozen=True)
class TimeUnit(Expression):
    """A unit of time as a bare word, for functions that take one; stored in the plural: DAYS."""

    name: str


@dataclass(frozen=True)
class ColumnRef(Expression):
    """A column, a pseudo column or a lambda's variable; `source` is the qualifier, if any."""

    name: str
    source: str | None = None


@dataclass(frozen=True)
class FieldAccess(Expression):
    """`base->field`."""

    base: Expression
    field_name: str


@dataclass(frozen=True)
class Subscript(Expression):
    """`base[index]`: an array's item or a map's value."""

    base: Expression
    index: Expression


@dataclass(frozen=True)
class FunctionCall(Expression):
    """A scalar, aggregate or table function; `||` is CONCAT. `star` marks COUNT(*)."""

    name: str
    arguments: tuple[Expression, ...]
    star: bool = False


@dataclass(frozen=True)
class Lambda(Expression):
    """`(a, b) => body`, only as a function's argument."""

    parameters: tuple[str, ...]
    body: Expression


@dataclass(frozen=True)
class Negation(Expression):
    """`-x` (op "-") or `+x` (op "+")."""

    op: str
    operand: Expression


@dataclass(frozen=True)
class Arithmetic(Expression):
    """op is one of + - * / %."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Comparison(Expression):
    """op is one of = <> < <= > >= and "IS DISTINCT FROM", "IS NOT DISTINCT FROM"; != is <>."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Logical(Expression):
    """op is AND or OR."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Not(Expression):
    """NOT x."""

    operand: Expression


@dataclass(frozen=True)
class IsNull(Expression):
    """x IS [NOT] NULL."""

    operand: Expression
    negated: bool = False


@dataclass(frozen=True)
class Between(Expression):
    """x [NOT] BETWEEN low AND high."""

    operand: Expression
    low: Expression
    high: Expression
    negated: bool = False


@dataclass(frozen=True)
class In(Expression):
    """x [NOT] IN (items)."""

    operand: Expression
    items: tuple[Expression, ...]
    negated: bool = False


@dataclass(frozen=True)
class Like(Expression):
    """x [NOT] LIKE pattern [ESCAPE 'c']."""

    operand: Expression
    pattern: Expression
    escape: str | None = None
    negated: bool = False


@dataclass(frozen=True)
class When(Node):
    """WHEN condition THEN result; in a simple CASE the condition is the value compared with."""

    condition: Expression
    result: Expression


@dataclass(frozen=True)
class Case(Expression):
    """CASE [operand] WHEN .. THEN .. [ELSE default] END."""

    operand: Expression | None
    whens: tuple[When, ...]
    default: Expression | None


@dataclass(frozen=True)
class Cast(Expression):
    """CAST(operand AS type)."""

    operand: Expression
    type: SqlType


@dataclass(frozen=True)
class ArrayConstructor(Expression):
    """ARRAY[..]."""

    items: tuple[Expression, ...]


@dataclass(frozen=True)
class MapConstructor(Expression):
    """MAP(k := v, ..)."""

    entries: tuple[tuple[Expression, Expression], ...]


@dataclass(frozen=True)
class StructConstructor(Expression):
    """STRUCT(name := value, ..)."""

    fields: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True)
class AtTimeZone(Expression):
    """x AT TIME ZONE 'zone': in ksqlDB's grammar only."""

    operand: Expression
    zone: str
