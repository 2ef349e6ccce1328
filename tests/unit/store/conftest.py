"""Stores to test, in a file and in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from millstream.store.interfaces import Store
from millstream.store.open import open_store


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    opened = open_store(str(tmp_path / "store.db") if request.param == "file" else ":memory:")
    yield opened
    opened.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The path of a database file that does not exist yet."""
    return str(tmp_path / "store.db")
