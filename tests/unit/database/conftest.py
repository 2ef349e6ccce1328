"""A database in memory that reads from the beginning and emits every update."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millstream.clock import FixedClock
from millstream.database import Database
from tests.unit.database.setups import PROPERTIES


@pytest.fixture
def db() -> Iterator[Database]:
    """An empty database whose clock stands at 1,000 ms."""
    with Database.open(clock=FixedClock(1_000), properties=PROPERTIES) as database:
        yield database
