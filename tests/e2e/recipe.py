"""The clickstream recipe for tests: its text, a database that runs it, what its topics hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from millstream import Database
from millstream.clock import FixedClock
from millstream.engine.source_rows import encode_part
from millstream.recipes import read_recipe
from tests.e2e.recipe_oracle import Click, Event, Expected, User, expected

STARTED_MS = 1_700_000_000_000
TABLES = ("PAGES_PER_MIN", "CLICK_USER_SESSIONS", "ERRORS_PER_MIN_ALERT", "USER_IP_ACTIVITY")


def published(shared: Path) -> str:
    """The statements of the recipe's page with the comments between them, as they stand there:
    only the page's prose is left out."""
    page = (shared / "recipe" / "clickstream.txt").read_text("utf-8")
    code = page[page.index("-- Stream of users") : page.index("\nCleanup")]
    return re.sub(r"\nWrite the data out.*?(?=-- Send data)", "\n", code, flags=re.DOTALL)


def from_set_on() -> str:
    """The recipe without its two source connectors."""
    text = read_recipe("clickstream")
    return text[text.index("SET 'auto.offset.reset'") :]


def let_pass(db: Database, clock: FixedClock, ms: int, tick_ms: int = 250) -> None:
    """Let the clock go on in ticks; at each, do all there is to do."""
    end = clock.time_ms + ms
    while clock.time_ms < end:
        clock.time_ms = min(end, clock.time_ms + tick_ms)
        settle(db)


def settle(db: Database) -> None:
    """Do all there is to do now."""
    while db.step():
        pass


def rows_of(db: Database, statement: str) -> list[tuple[Any, ...]]:
    """The rows that a statement shows."""
    (outcome,) = db.execute(statement)
    assert outcome.table is not None
    return outcome.table.rows


def shown(db: Database, statement: str, *columns: str) -> list[Any]:
    """Some columns of what a statement shows; a plain list where it is one column."""
    (outcome,) = db.execute(statement)
    assert outcome.table is not None
    places = [outcome.table.columns.index(c) for c in columns]
    rows = [tuple(row[p] for p in places) for row in outcome.table.rows]
    return [row[0] for row in rows] if len(columns) == 1 else rows


def contents(db: Database, table: str) -> set[tuple[Any, ...]]:
    """The rows of a table now; none twice."""
    rows = db.sql(f"SELECT * FROM {table};").rows()
    assert len(set(rows)) == len(rows)
    return set(rows)


@dataclass(frozen=True)
class Record:
    """A record of a topic: its place, event time, bytes, and a windowed key's window."""

    seq: int
    topic: str
    rowtime: int
    key: bytes | None
    value: bytes | None
    window: tuple[int, int] | None


def records(db: Database, *topics: str) -> list[Record]:
    """The records of some topics in the order in which they came."""
    found: list[Record] = []
    with db.store.view() as view:
        for name in topics:
            topic = view.topic(name)
            assert topic is not None, name
            for _, run in view.read(topic.id, 0):
                windows: list[tuple[int, int] | None] = [None] * len(run)
                if run.window_start is not None and run.window_end is not None:
                    bounds = zip(run.window_start, run.window_end, strict=True)
                    windows = [(int(a), int(b)) for a, b in bounds]
                keys: pa.Array = encode_part(run.key, len(run))
                values: pa.Array = encode_part(run.value, len(run))
                found += [
                    Record(seq, name, time, key, value, window)
                    for seq, time, key, value, window in zip(
                        run.seq.tolist(),
                        run.rowtime.tolist(),
                        keys.to_pylist(),
                        values.to_pylist(),
                        windows,
                        strict=True,
                    )
                ]
    return sorted(found, key=lambda r: r.seq)


def events(db: Database) -> Iterator[Event]:
    """The users and clicks in the recipe's topics, in the order in which they came."""
    for record in records(db, "clickstream_users", "clickstream"):
        assert record.value is not None
        value = json.loads(record.value)
        if record.topic == "clickstream":
            yield Click(
                time_ms=record.rowtime,
                userid=int(value["userid"]),
                ip=value["ip"],
                request=value["request"],
                status=None if value["status"] is None else int(value["status"]),
                bytes=None if value["bytes"] is None else int(value["bytes"]),
            )
        else:
            assert record.key is not None
            yield User(record.key.decode(), value["username"], value["city"])


def left_in_topic(db: Database, topic: str) -> set[tuple[Any, ...]]:
    """What a windowed table's topic leaves when only the last record of each key and window
    counts: (start, end, *values)."""
    rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for record in records(db, topic):
        place = (record.key, record.window)
        assert record.window is not None
        if record.value is None:
            rows.pop(place, None)
        else:
            rows[place] = (*record.window, *json.loads(record.value).values())
    found = set(rows.values())
    assert len(found) == len(rows)
    return found


def check_tables(db: Database) -> Expected:
    """Hold the four tables, their topics and the joined stream against the oracle, which reads
    the records of the two source topics."""
    wanted = expected(events(db))
    assert db.sql("SELECT * FROM user_clickstream;").rows() == wanted.user_clickstream
    for name, table in wanted.tables().items():
        assert contents(db, name) == table.kept, name
        source = db.catalog.source(name)
        keys = len(source.schema.key)
        assert left_in_topic(db, source.topic) == {row[keys:] for row in table.all}, name
    return wanted
