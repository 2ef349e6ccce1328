"""What the generators have in common, and which there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pyarrow as pa

from millstream.connect.datagen.clicks import Clicks
from millstream.connect.datagen.codes import Codes
from millstream.connect.datagen.users import Users


class Quickstart(Protocol):
    """Generates records by their index."""

    key_field: str
    """The field whose text is the record's key."""

    def generate(self, first: int, count: int) -> tuple[pa.Array, pa.Array]:
        """Keys and values (binary) of the records first, first + 1, ... first + count - 1."""
        ...


QUICKSTARTS: dict[str, Callable[[int, int], Quickstart]] = {
    "CLICKSTREAM": Clicks,
    "CLICKSTREAM_USERS": Users,
    "CLICKSTREAM_CODES": lambda seed, _users: Codes(),
}
"""The option `quickstart` to what makes its records from (seed, number of users)."""
