"""SELECT and its clauses."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from millstream.sql.ast.expressions import Expression, Node

UNIT_MS = {
    "MILLISECONDS": 1,
    "SECONDS": 1_000,
    "MINUTES": 60_000,
    "HOURS": 3_600_000,
    "DAYS": 86_400_000,
}
MOST_MS = 1 << 60
"""The longest duration, 36 million years: a few of them added to an event time fit 64 bits."""


@dataclass(frozen=True)
class Duration(Node):
    """A number and a unit in the plural, one of UNIT_MS."""

    value: int
    unit: str

    @property
    def ms(self) -> int:
        """The duration in milliseconds."""
        return self.value * UNIT_MS[self.unit]


@dataclass(frozen=True)
class Window(Node):
    """Base of the three windows; RETENTION and GRACE PERIOD where written."""

    retention: Duration | None = field(default=None, kw_only=True)
    grace: Duration | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class TumblingWindow(Window):
    """TUMBLING (SIZE ..)."""

    size: Duration


@dataclass(frozen=True)
class HoppingWindow(Window):
    """HOPPING (SIZE .., ADVANCE BY ..)."""

    size: Duration
    advance: Duration


@dataclass(frozen=True)
class SessionWindow(Window):
    """SESSION (gap)."""

    gap: Duration


@dataclass(frozen=True)
class SelectItem(Node):
    """An expression with its alias, if any."""

    expression: Expression
    alias: str | None = None


@dataclass(frozen=True)
class SelectAll(Node):
    """`*` or `source.*`."""

    source: str | None = None


@dataclass(frozen=True)
class SelectStructAll(Node):
    """`struct->*`."""

    base: Expression


Selection = SelectItem | SelectAll | SelectStructAll


@dataclass(frozen=True)
class Relation(Node):
    """What FROM names."""


@dataclass(frozen=True)
class NamedRelation(Relation):
    """A stream or table, and the alias it goes by (its own name where none is written)."""

    name: str
    alias: str


class JoinKind(Enum):
    """How rows without a match are treated."""

    INNER = "INNER"
    LEFT = "LEFT"
    RIGHT = "RIGHT"
    FULL = "FULL"


@dataclass(frozen=True)
class Within(Node):
    """WITHIN d | (before, after) [GRACE PERIOD g]."""

    before: Duration
    after: Duration
    grace: Duration | None = None


@dataclass(frozen=True)
class Join(Relation):
    """left JOIN right ON condition; joins of more than two nest to the left."""

    kind: JoinKind
    left: Relation
    right: NamedRelation
    condition: Expression
    within: Within | None = None


class Emit(Enum):
    """EMIT CHANGES or EMIT FINAL."""

    CHANGES = "CHANGES"
    FINAL = "FINAL"


@dataclass(frozen=True)
class Query(Node):
    """SELECT and its clauses, as written."""

    select: tuple[Selection, ...]
    relation: Relation
    window: Window | None = None
    where: Expression | None = None
    group_by: tuple[Expression, ...] = ()
    partition_by: tuple[Expression, ...] = ()
    having: Expression | None = None
    emit: Emit | None = None
    limit: int | None = None
