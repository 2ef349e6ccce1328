"""What every format offers: bytes to columns, columns to bytes, and what schemas it can carry.

The key and the value of a record are two `Part`s. A part is RAW, bytes as they were received, or
TYPED, columns together with the `Layout` that tells how their bytes look when someone asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa

from millstream.types import Column


@dataclass(frozen=True, slots=True)
class Layout:
    """How one part of a record is written: the format and all that decides its bytes.

    `wrap` tells whether a single column stands inside an object/record (always true for several
    columns). Keys are never wrapped when they have one column.
    """

    format: str
    columns: tuple[Column, ...]
    wrap: bool = True
    delimiter: str = ","


@dataclass(frozen=True, slots=True)
class RawPart:
    """Bytes of each record; null where the record has none."""

    data: pa.Array


@dataclass(frozen=True, slots=True)
class TypedPart:
    """Columns of each record; `null` masks records whose part is null altogether (or None)."""

    layout: Layout
    arrays: list[pa.Array]
    null: np.ndarray | None = None


Part = RawPart | TypedPart


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that could not be decoded: its row in the batch, and why, in a sentence."""

    row: int
    message: str


@dataclass(slots=True)
class Decoded:
    """Columns of decoded records, row by row; `null` masks null parts, `failures` lists bad rows
    (whose columns are null)."""

    arrays: list[pa.Array]
    null: np.ndarray | None
    failures: list[Failure] = field(default_factory=list)


class Decoder(Protocol):
    """Bytes to columns."""

    def decode(self, records: pa.Array, needed: Sequence[bool] | None = None) -> Decoded:
        """Decode a binary array. `needed` marks the columns wanted; the others come as nulls, and
        must not decide whether a record is good: a record is bad whichever columns are needed."""
        ...


class Encoder(Protocol):
    """Columns to bytes."""

    def encode(self, arrays: list[pa.Array], null: np.ndarray | None, length: int) -> pa.Array:
        """A binary array, null where `null` is true (or where an unwrapped single column is)."""
        ...

    def normalise(
        self, arrays: list[pa.Array], null: np.ndarray | None
    ) -> tuple[list[pa.Array], np.ndarray | None]:
        """The columns as a reader of the bytes gets them: decode(encode(x)) == normalise(x)."""
        ...


class Format(Protocol):
    """A serialisation format."""

    name: str

    def check(self, columns: Sequence[Column], *, is_key: bool) -> str | None:
        """Why the format cannot carry these columns, in a sentence, or None where it can."""
        ...

    def wrapping(self, wrap: bool | None, columns: Sequence[Column]) -> bool:
        """Whether values are wrapped, given WRAP_SINGLE_VALUE (None: not set); raises ValueError
        with a sentence where the setting is not possible."""
        ...

    def decoder(self, layout: Layout) -> Decoder:
        """A decoder of parts of this layout."""
        ...

    def encoder(self, layout: Layout) -> Encoder:
        """An encoder of parts of this layout."""
        ...
