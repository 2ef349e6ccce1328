"""What the aggregates share: a base class, Java's orders and equality, and error reporting."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

from millstream import types as t
from millstream.functions.registry import Kernel

State = tuple[Any, ...]


class RowAggregator:
    """An aggregate that has only its row form; subclasses say what a row does.

    `sequence` numbers the rows that an aggregate has seen, for those whose result depends on which
    of two states saw its row first; whoever stores the states stores it too.
    """

    state_types: tuple[t.SqlType, ...] = ()
    kernel: Kernel | None = None
    sequence: int = 0

    def initial(self) -> State:
        """The state of no rows."""
        raise NotImplementedError

    def add(self, state: State, arguments: State) -> State:
        """The state with one more row."""
        raise NotImplementedError

    def undo(self, state: State, arguments: State) -> State:
        """The state with a row taken back."""
        raise NotImplementedError

    def merge(self, left: State, right: State) -> State:
        """The state of both sides' rows, left first."""
        raise NotImplementedError

    def result(self, state: State) -> Any:
        """The value that a query sees."""
        return state[0]


def wrap_int(value: int) -> int:
    """The value as a Java int, overflow included."""
    return (value + 0x8000_0000) % 0x1_0000_0000 - 0x8000_0000


def wrap_long(value: int) -> int:
    """The value as a Java long, overflow included."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def wrapping(sql_type: t.SqlType) -> Callable[[Any], Any]:
    """What keeps a sum within its type: integers wrap around, doubles stay."""
    if sql_type == t.INTEGER:
        return wrap_int
    return wrap_long if sql_type == t.BIGINT else lambda value: value


_NAN_BITS = struct.unpack("<q", struct.pack("<d", math.nan))[0]


def double_order(value: float) -> int:
    """A number that orders doubles as Java does: -0.0 before 0.0, NaN after everything."""
    if value != value:
        return int(_NAN_BITS)
    bits = int(struct.unpack("<q", struct.pack("<d", value))[0])
    return bits ^ ((bits >> 63) & 0x7FFF_FFFF_FFFF_FFFF)


def order_of(sql_type: t.SqlType) -> Callable[[Any], Any]:
    """A sort key that orders values of a type as Java orders them.

    Strings by UTF-16 units, bytes as signed numbers (ByteBuffer), doubles totally.
    """
    if sql_type == t.STRING:
        return lambda value: value.encode("utf-16-be", "surrogatepass")
    if sql_type == t.BYTES:
        return lambda value: bytes(b ^ 0x80 for b in value)
    if sql_type == t.DOUBLE:
        return double_order
    return lambda value: value


def identity(value: Any) -> Any:
    """Something hashable that is equal exactly for values that Java calls equal."""
    if isinstance(value, float):
        return ("double", double_order(value))
    if isinstance(value, list):
        return tuple(map(identity, value))
    if isinstance(value, dict):
        return frozenset((k, identity(v)) for k, v in value.items())
    return value


def same_type(arguments: Sequence[t.SqlType | None]) -> t.SqlType:
    """The return rule of aggregates that give back a value of their first argument's type."""
    if arguments[0] is None:
        raise ValueError("the argument needs a type: CAST the NULL")
    return arguments[0]


def list_of_first(arguments: Sequence[t.SqlType | None]) -> t.SqlType:
    """The return rule of aggregates that give a list of their first argument's values."""
    return t.Array(same_type(arguments))
