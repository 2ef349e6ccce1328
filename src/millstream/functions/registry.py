"""The registry: what functions exist, their signatures, and how each one is computed.

A function has one definition: its documentation, its variants, and for each variant a plain Python
implementation (`row`), a columnar one (`columnar`), or both; where both exist they are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from millstream.types import SqlType

# --- signatures --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Generic:
    """A type variable of a signature: the same name stands for the same type in one call."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class AnyDecimal:
    """DECIMAL of any precision and scale."""

    def __str__(self) -> str:
        return "DECIMAL"


@dataclass(frozen=True, slots=True)
class AnyStruct:
    """STRUCT of any fields."""

    def __str__(self) -> str:
        return "STRUCT"


@dataclass(frozen=True, slots=True)
class AnyType:
    """Any type at all, each argument its own."""

    def __str__(self) -> str:
        return "ANY"


@dataclass(frozen=True, slots=True)
class UnitOfTime:
    """A unit of time written as a bare word (DAYS, HOURS, ..)."""

    def __str__(self) -> str:
        return "TIMEUNIT"


@dataclass(frozen=True, slots=True)
class ArrayOf:
    """ARRAY whose item is a pattern."""

    item: Pattern

    def __str__(self) -> str:
        return f"ARRAY<{self.item}>"


@dataclass(frozen=True, slots=True)
class MapOf:
    """MAP whose key and value are patterns."""

    key: Pattern
    value: Pattern

    def __str__(self) -> str:
        return f"MAP<{self.key}, {self.value}>"


@dataclass(frozen=True, slots=True)
class LambdaOf:
    """A lambda: patterns of its parameters and of its result."""

    parameters: tuple[Pattern, ...]
    result: Pattern

    def __str__(self) -> str:
        return f"LAMBDA ({', '.join(map(str, self.parameters))}) => {self.result}"


Pattern = (
    SqlType | Generic | AnyDecimal | AnyStruct | AnyType | UnitOfTime | ArrayOf | MapOf | LambdaOf
)
"""What a parameter accepts."""

ReturnRule = SqlType | Pattern | Callable[[Sequence[SqlType | None]], SqlType]
"""A result's type: fixed, a pattern over the bound generics, or computed from the arguments' types
(None for a bare NULL; raise `ValueError` with a sentence to reject them)."""


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """One signature of a scalar function and its implementation.

    `variadic` is the index of the parameter that may repeat any number of times (or be absent),
    or None. `row` takes and gives Python values as `columns.arrow` documents them; a lambda
    arrives as a Python callable. `columnar` takes Arrow arrays of equal length and gives one.
    Both raise `ValueError` (row) or return null (columnar) where the arguments make no sense; a
    raised exception becomes null and a line in the processing log.
    `null_if_null`: any null argument gives null without a call. `deterministic`: where false, it is
    called once per row even with constant arguments (RANDOM, UUID). `takes_scalars`: the columnar
    form also takes a `pa.Scalar` for an argument that is constant. `row_for` stands for `row`
    where the work depends on the types: it gets the arguments' types and gives the row form.
    """

    parameters: tuple[Pattern, ...]
    returns: ReturnRule
    row: Callable[..., Any] | None = None
    columnar: Callable[..., pa.Array] | None = None
    variadic: int | None = None
    null_if_null: bool = True
    deterministic: bool = True
    takes_scalars: bool = False
    row_for: Callable[[Sequence[SqlType | None]], Callable[..., Any]] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ScalarFunction:
    """A function of one row."""

    name: str
    category: str
    description: str
    variants: tuple[Variant, ...]
    examples: tuple[tuple[str, str], ...] = ()


# --- aggregates --------------------------------------------------------------------------------


class Kernel(Protocol):
    """Columnar form of an aggregate over segments of equal slots.

    Rows arrive sorted by segment, in arrival order inside each. `state` is one NumPy array per
    state column, one entry per segment. `values` are the argument columns (Arrow), row by row.
    """

    def running(
        self, state: list[np.ndarray], values: list[pa.Array], segments: Any
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """State after every row (row-aligned), and the final state per segment."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class AggregateVariant:
    """One signature of an aggregate function.

    `literals` counts the trailing arguments that must be literals (TOPK's k); they are passed to
    `make`, with the types of the other arguments, to obtain the implementation.
    """

    parameters: tuple[Pattern, ...]
    returns: ReturnRule
    make: Callable[[Sequence[SqlType], Sequence[Any]], Aggregator]
    variadic: int | None = None
    literals: int = 0
    optional_literals: int = 0
    table_capable: bool = False


class Aggregator(Protocol):
    """An aggregate for given argument types: the meaning of it, one row at a time.

    A state is a tuple of Python values of `state_types`, so that it is stored like any row.
    """

    state_types: tuple[SqlType, ...]
    kernel: Kernel | None

    def initial(self) -> tuple[Any, ...]:
        """The state of no rows."""
        ...

    def add(self, state: tuple[Any, ...], arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """The state with one more row."""
        ...

    def undo(self, state: tuple[Any, ...], arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """The state with a row taken back (table-capable ones only)."""
        ...

    def merge(self, left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
        """The state of both sides' rows, left first (sessions)."""
        ...

    def result(self, state: tuple[Any, ...]) -> Any:
        """The value that a query sees."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class AggregateFunction:
    """A function of many rows."""

    name: str
    description: str
    variants: tuple[AggregateVariant, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TableFunction:
    """A function of one row that gives several; `row` returns a list of values."""

    name: str
    description: str
    variants: tuple[Variant, ...]


# --- the registry ------------------------------------------------------------------------------


@dataclass
class Registry:
    """All functions by upper-cased name; `child` copies it, so that users' additions stay local."""

    scalars: dict[str, ScalarFunction] = field(default_factory=dict)
    aggregates: dict[str, AggregateFunction] = field(default_factory=dict)
    tables: dict[str, TableFunction] = field(default_factory=dict)

    def add(self, *functions: ScalarFunction | AggregateFunction | TableFunction) -> None:
        """Add functions; one of the same name and kind is replaced."""
        for function in functions:
            match function:
                case ScalarFunction():
                    self.scalars[function.name] = function
                case AggregateFunction():
                    self.aggregates[function.name] = function
                case TableFunction():
                    self.tables[function.name] = function

    def child(self) -> Registry:
        """A copy that can be added to without touching this one."""
        return Registry(dict(self.scalars), dict(self.aggregates), dict(self.tables))

    def names(self) -> Iterator[str]:
        """All names, sorted."""
        yield from sorted({*self.scalars, *self.aggregates, *self.tables})

    def is_aggregate(self, name: str) -> bool:
        """Whether `name` is an aggregate function."""
        return name in self.aggregates

    def is_table_function(self, name: str) -> bool:
        """Whether `name` is a table function."""
        return name in self.tables
