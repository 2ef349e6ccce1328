"""ksqlDB's types, the columns that carry them, and the schemas of streams and tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_@]*\Z")


def quote_name(name: str) -> str:
    """The name in back-ticks, as ksqlDB prints names in schemas."""
    return "`" + name.replace("`", "``") + "`"


def is_plain_name(name: str) -> bool:
    """Whether the name has the form of an unquoted identifier (its case aside)."""
    return _PLAIN_NAME.match(name) is not None


class SqlType:
    """Base of all SQL types; instances are immutable and compare by value."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Primitive(SqlType):
    """A type without parameters."""

    name: str

    def __str__(self) -> str:
        return self.name


BOOLEAN = Primitive("BOOLEAN")
INTEGER = Primitive("INTEGER")
BIGINT = Primitive("BIGINT")
DOUBLE = Primitive("DOUBLE")
STRING = Primitive("STRING")
BYTES = Primitive("BYTES")
DATE = Primitive("DATE")
TIME = Primitive("TIME")
TIMESTAMP = Primitive("TIMESTAMP")

PRIMITIVES: dict[str, Primitive] = {
    **{t.name: t for t in (BOOLEAN, INTEGER, BIGINT, DOUBLE, STRING, BYTES, DATE, TIME, TIMESTAMP)},
    "INT": INTEGER,
    "VARCHAR": STRING,
}
"""Every spelling of a type without parameters, to the type."""


@dataclass(frozen=True, slots=True)
class Decimal(SqlType):
    """An exact number of `precision` digits, `scale` of them behind the point."""

    precision: int
    scale: int

    def __str__(self) -> str:
        return f"DECIMAL({self.precision}, {self.scale})"


@dataclass(frozen=True, slots=True)
class Array(SqlType):
    """A list of items of one type."""

    item: SqlType

    def __str__(self) -> str:
        return f"ARRAY<{self.item}>"


@dataclass(frozen=True, slots=True)
class Map(SqlType):
    """Keys to values, each of one type."""

    key: SqlType
    value: SqlType

    def __str__(self) -> str:
        return f"MAP<{self.key}, {self.value}>"


@dataclass(frozen=True, slots=True)
class Field:
    """A named part of a struct."""

    name: str
    type: SqlType

    def __str__(self) -> str:
        return f"{quote_name(self.name)} {self.type}"


@dataclass(frozen=True, slots=True)
class Struct(SqlType):
    """Named fields in order."""

    fields: tuple[Field, ...]

    def __str__(self) -> str:
        return f"STRUCT<{', '.join(str(f) for f in self.fields)}>"

    def field(self, name: str) -> Field | None:
        """The field of exactly this name, or None."""
        return next((f for f in self.fields if f.name == name), None)


@dataclass(frozen=True, slots=True)
class NamedType(SqlType):
    """A type that CREATE TYPE made, not looked up yet; only statements' trees hold one."""

    name: str

    def __str__(self) -> str:
        return quote_name(self.name)


HEADERS_TYPE = Array(Struct((Field("KEY", STRING), Field("VALUE", BYTES))))
"""What a HEADERS column must be."""

NUMERIC = (INTEGER, BIGINT, DOUBLE)


def is_numeric(sql_type: SqlType) -> bool:
    """Whether arithmetic takes the type."""
    return sql_type in NUMERIC or isinstance(sql_type, Decimal)


class Role(Enum):
    """Where a column's value lives in a record."""

    KEY = "KEY"
    VALUE = "VALUE"
    HEADERS = "HEADERS"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a stream or table. `header` names one header for HEADER('h') columns."""

    name: str
    type: SqlType
    role: Role = Role.VALUE
    header: str | None = None


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a stream or table in declared order; `key` are those of the record's key,
    `value` those of its value, `headers` those that show its headers."""

    columns: tuple[Column, ...]
    key: tuple[Column, ...] = field(init=False, repr=False, compare=False)
    value: tuple[Column, ...] = field(init=False, repr=False, compare=False)
    headers: tuple[Column, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, role in (("key", Role.KEY), ("value", Role.VALUE), ("headers", Role.HEADERS)):
            found = tuple(c for c in self.columns if c.role is role)
            object.__setattr__(self, name, found)

    @staticmethod
    def of(key: Iterable[tuple[str, SqlType]], value: Iterable[tuple[str, SqlType]]) -> Schema:
        """A schema of (name, type) pairs."""
        return Schema(
            tuple(Column(n, t, Role.KEY) for n, t in key)
            + tuple(Column(n, t, Role.VALUE) for n, t in value)
        )

    def find(self, name: str) -> Column | None:
        """The column of exactly this name, or None."""
        return next((c for c in self.columns if c.name == name), None)

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)
