"""Functions about null: COALESCE, IFNULL, NULLIF; and AS_VALUE."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from millstream.functions.registry import Generic, ScalarFunction, Variant

T = Generic("T")


def _coalesce(*values: Any) -> Any:
    return next((v for v in values if v is not None), None)


def _coalesce_columns(*arrays: pa.Array) -> pa.Array:
    return pc.coalesce(*arrays)


def _null_if(value: Any, other: Any) -> Any:
    return None if value == other else value


def _as_value(value: Any) -> Any:
    return value


FUNCTIONS = (
    ScalarFunction(
        "COALESCE",
        "nulls",
        "The first argument that is not null; all have one type.",
        (
            Variant(
                (T, T),
                T,
                _coalesce,
                _coalesce_columns,
                variadic=1,
                null_if_null=False,
                takes_scalars=True,
            ),
        ),
        (("COALESCE(NULL, 'a', 'b')", "'a'"),),
    ),
    ScalarFunction(
        "IFNULL",
        "nulls",
        "The first argument, or the second where the first is null.",
        (Variant((T, T), T, _coalesce, _coalesce_columns, null_if_null=False, takes_scalars=True),),
        (("IFNULL(CAST(NULL AS INT), 7)", "7"),),
    ),
    ScalarFunction(
        "NULLIF",
        "nulls",
        "Null where both arguments are equal, else the first.",
        (Variant((T, T), T, _null_if, null_if_null=False),),
        (("NULLIF('a', 'b')", "'a'"),),
    ),
    ScalarFunction(
        "AS_VALUE",
        "udf",
        "A copy of a key column for the value, under an alias of its own.",
        (Variant((T,), T, _as_value, _as_value),),
        (("AS_VALUE(id) AS id_copy", "the value of id"),),
    ),
)
"""The family."""
