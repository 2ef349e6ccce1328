"""PRINT: the records of a topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from millstream.catalog.catalog import did_you_mean
from millstream.database.outcome import Outcome, listing
from millstream.engine.source_rows import encode_part
from millstream.errors import SemanticError
from millstream.sql import ast
from millstream.sql.script import Parsed
from millstream.store.interfaces import Records

if TYPE_CHECKING:
    from millstream.database.database import Database

_DEFAULT_LIMIT = 100


def handle(database: Database, statement: ast.PrintTopic, parsed: Parsed) -> Outcome:
    """Records that are there now: from the beginning, or the last ones; INTERVAL takes every
    n-th, LIMIT ends after so many (100 where it is not written)."""
    limit = _DEFAULT_LIMIT if statement.limit is None else statement.limit
    step = statement.interval or 1
    with database.store.view() as view:
        topic = view.topic(statement.topic)
        if topic is None:
            names = [t.name for t in view.topics()]
            raise SemanticError(
                f"there is no topic {statement.topic}",
                statement.position,
                hint=did_you_mean(statement.topic, {n.upper(): n for n in names}),
            )
        end = view.end(topic.id)
        start = 0 if statement.from_beginning else max(0, end - limit * step)
        rows: list[tuple[Any, ...]] = []
        for ordinal, records in view.read(topic.id, start, limit * step):
            for number, row in enumerate(_rows(records)):
                if (ordinal + number - start) % step == 0 and len(rows) < limit:
                    rows.append(row)
            if len(rows) >= limit:
                break
    columns = ["rowtime", "partition", "offset", "key", "value", "window"]
    return listing(parsed.text, "record", columns, rows)


def _rows(records: Records) -> list[tuple[Any, ...]]:
    count = len(records)
    keys = _texts(encode_part(records.key, count))
    values = _texts(encode_part(records.value, count))
    windows: list[str | None] = [None] * count
    if records.window_start is not None and records.window_end is not None:
        bounds = zip(records.window_start.tolist(), records.window_end.tolist(), strict=True)
        windows = [f"{a}..{b}" for a, b in bounds]
    return list(
        zip(
            records.rowtime.tolist(),
            records.partition.tolist(),
            records.offset.tolist(),
            keys,
            values,
            windows,
            strict=True,
        )
    )


def _texts(data: pa.Array) -> list[str | None]:
    """Bytes as people read them: text where they are text, else in hexadecimal."""
    texts: list[str | None] = []
    for value in data.to_pylist():
        if value is None:
            texts.append(None)
            continue
        try:
            text = value.decode("utf-8")
            texts.append(text if text.isprintable() else "0x" + value.hex())
        except UnicodeDecodeError:
            texts.append("0x" + value.hex())
    return texts
