"""`+` on two STRINGs: concatenation in which a null reads as the word null, as in Java."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.functions.registry import Variant

_EMPTY = pa.scalar("", pa.string())


def _row(left: str | None, right: str | None) -> str:
    return f"{'null' if left is None else left}{'null' if right is None else right}"


def _columnar(left: pa.Array, right: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(
        left, right, _EMPTY, null_handling="replace", null_replacement="null"
    )


STRING_PLUS = Variant((t.STRING, t.STRING), t.STRING, _row, _columnar, null_if_null=False)
"""What `a + b` calls where both are STRING."""
