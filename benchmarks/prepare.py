"""A database file with the raw records in its topics and the recipe's statements over them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

import millstream
from benchmarks.clicks import FIRST_MS, Clicks, user_rows
from millstream.database.records import append_outside
from millstream.recipes import read_recipe
from millstream.serde.base import RawPart


def recipe_queries() -> str:
    """The recipe's statements without its connectors: streams, tables and queries."""
    sql = read_recipe("clickstream")
    return re.sub(r"CREATE (?:SOURCE|SINK) CONNECTOR.*?\);", "", sql, flags=re.DOTALL)


def database_with_clicks(
    path: Path, clicks: Iterable[Clicks], users: int, *, cache: str = "10000000"
) -> None:
    """Make the file: all records are in their topics, no query has read any."""
    with millstream.connect(str(path)) as db:
        db.execute(f"SET 'cache.max.bytes.buffering' = '{cache}';")
        with db.store.begin() as commit:
            topic = commit.create_topic("clickstream_users", 1)
            keys, values = zip(*user_rows(users), strict=True)
            append_outside(
                commit,
                topic,
                RawPart(pa.array(keys, pa.binary())),
                RawPart(pa.array(values, pa.binary())),
                np.full(users, FIRST_MS, np.int64),
            )
            commit.create_topic("clickstream", 1)
            commit.commit()
        for piece in clicks:
            with db.store.begin() as commit:
                found = commit.topic("clickstream")
                assert found is not None
                append_outside(
                    commit,
                    found,
                    RawPart(pa.nulls(len(piece.values), pa.binary())),
                    RawPart(pa.array(piece.values, pa.binary())),
                    piece.rowtime,
                )
                commit.commit()
        db.execute(recipe_queries())


def lines_with_clicks(path: Path, clicks: Iterable[Clicks]) -> None:
    """The same clicks as lines of JSON."""
    with path.open("wb") as lines:
        for piece in clicks:
            lines.write(b"\n".join(piece.values) + b"\n")
