"""What several end-to-end tests begin with: a server, a database with the clickstream recipe."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import millstream
from millstream import Database
from millstream.clock import FixedClock
from millstream.recipes import read_recipe
from tests.conftest import require
from tests.e2e.recipe import STARTED_MS
from tests.servers.opensearch import CannotStartError, running_opensearch


@pytest.fixture(scope="session")
def opensearch() -> Iterator[str]:
    """The address of a real OpenSearch node. Skips the test aloud where none can be started,
    fails it on CI."""
    try:
        with running_opensearch() as url:
            yield url
    except CannotStartError as error:
        require(False, f"an OpenSearch node could not be started: {error}")


@pytest.fixture
def clock() -> FixedClock:
    """A clock that only the test moves."""
    return FixedClock(STARTED_MS)


@pytest.fixture
def db(clock: FixedClock) -> Iterator[Database]:
    """An empty database in memory."""
    with millstream.connect(clock=clock) as database:
        yield database


@pytest.fixture
def recipe(db: Database) -> Database:
    """A database in which the recipe's statements were executed; nothing has run yet."""
    db.execute(read_recipe("clickstream"))
    return db
