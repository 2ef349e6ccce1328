"""A few values become the same column as many, whichever way they go."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from millstream import types as t
from millstream.columns import arrow
from millstream.database.values import Unfit, column_of

VALUES: list[tuple[t.SqlType, list[Any]]] = [
    (t.INTEGER, [0, -(2**31), 2**31 - 1]),
    (t.BIGINT, [0, -(2**63), 2**63 - 1]),
    (t.DOUBLE, [0.5, -0.0, float("inf")]),
    (t.STRING, ["", "a", "ü🙂\0"]),
    (t.BOOLEAN, [True, False]),
    (t.BYTES, [b"", b"\xff"]),
]


@pytest.mark.parametrize(("sql_type", "values"), VALUES, ids=[str(v[0]) for v in VALUES])
@pytest.mark.parametrize("times", [1, 100])
@pytest.mark.parametrize("nulls", [0, 1])
def test_values_that_fit(sql_type: t.SqlType, values: list[Any], times: int, nulls: int) -> None:
    given = (values + [None] * nulls) * times
    found = column_of(given, sql_type)
    found.validate(full=True)
    assert found.equals(arrow.from_python(given, sql_type))
    alone = column_of([None] * times, sql_type)
    assert alone.equals(pa.nulls(times, arrow.arrow_type(sql_type)))


@pytest.mark.parametrize(
    ("sql_type", "value"),
    [(t.INTEGER, 2**31), (t.BIGINT, -(2**63) - 1), (t.STRING, "\ud800"), (t.DOUBLE, "0.5")],
)
def test_a_value_that_does_not_is_named(sql_type: t.SqlType, value: Any) -> None:
    sound = "a" if sql_type == t.STRING else 1
    with pytest.raises(Unfit) as found:
        column_of([sound, sound, value, sound], sql_type)
    assert found.value.row == 2
