"""Servers that end-to-end tests talk to, started once for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import require
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
