"""Kafka's default partitioner."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.serde.keys import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        # Published values of Kafka's own hash, as signed integers.
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2(key: bytes, hashed: int) -> None:
    assert murmur2(key) == hashed % 2**32


@given(st.lists(st.none() | st.binary(max_size=20), max_size=60), st.integers(1, 50))
def test_each_key_has_the_partition_of_its_hash(keys: list[bytes | None], count: int) -> None:
    expected = [0 if key is None else (murmur2(key) & 0x7FFFFFFF) % count for key in keys]
    found = partition_of(pa.array(keys, pa.binary()), count)
    assert found.dtype == np.int32
    assert found.tolist() == expected


def test_a_slice_of_keys() -> None:
    keys = [str(n % 7).encode() * (n % 5) for n in range(100)]
    whole = partition_of(pa.array(keys, pa.binary()), 6)
    part = partition_of(pa.array(keys, pa.binary()).slice(13, 60), 6)
    assert part.tolist() == whole[13:73].tolist()
