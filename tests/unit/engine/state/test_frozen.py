"""Frozen rows come back as they were, in little room."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from millstream.engine.state.frozen import freeze

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(INT64, st.integers(0, 300), st.none() | INT64, st.none() | st.text())))
def test_any_rows_come_back(rows: list[tuple[int, int, int | None, str | None]]) -> None:
    types = [pa.int64(), pa.int64(), pa.int64(), pa.string()]
    arrays = [pa.array([r[i] for r in rows], t) for i, t in enumerate(types)]
    batch = pa.RecordBatch.from_arrays(arrays, ["a", "b", "c", "d"])
    assert freeze(batch).thaw().equals(batch)


def test_what_counts_up_takes_no_room() -> None:
    for start in (0, -5, 2**62):
        slots = pa.array(range(start, start + 50_000))
        batch = pa.RecordBatch.from_arrays([slots], ["slot"])
        frozen = freeze(batch)
        assert frozen.nbytes < 1000
        assert frozen.thaw().equals(batch)


def test_small_differences_take_small_room() -> None:
    times = pa.array([1_700_000_000_000 + (i * 7919) % 60_000 for i in range(50_000)])
    batch = pa.RecordBatch.from_arrays([times], ["time"])
    assert freeze(batch).nbytes < 2.1 * 50_000
    assert freeze(batch).thaw().equals(batch)
