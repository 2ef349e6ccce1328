"""Rows for people and for programs: aligned columns, or a JSON object a row."""

from __future__ import annotations

import base64
import datetime
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, TextIO

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from millstream.types import DATE, TIME, TIMESTAMP, SqlType

NULL = Text("null", style="dim")
_WIDEST = 200
"""Columns are aligned up to this width; what is longer sticks out."""
_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff]")

# Exact: a DECIMAL keeps its digits, where a float would not.
_encoder = msgspec.json.Encoder(decimal_format="number")


def cell(value: object) -> Text:
    """One value as a person reads it."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return Text("true" if value else "false")
    if isinstance(value, bytes):
        return Text(base64.b64encode(value).decode())
    if isinstance(value, dict | list | tuple):
        return Text(_encoder.encode(_writable(value)).decode())
    return Text(_CONTROL.sub(_escape, str(value)))


def _escape(match: re.Match[str]) -> str:
    """A character that would move the cursor, end the line, or worse."""
    return match[0].encode("unicode_escape").decode()


def is_number(value: object) -> bool:
    """Whether a value stands right-aligned."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def print_rows(
    console: Console, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, null: Text = NULL
) -> None:
    """Print rows with a header, numbers to the right. Without a terminal nothing is ever wrapped
    or cut."""
    texts = [[null if value is None else cell(value) for value in row] for row in rows]
    numeric = [is_numeric(rows, index) for index in range(len(columns))]
    if not console.is_terminal:
        console.file.writelines(plain_table(columns, texts, numeric))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for name, right in zip(columns, numeric, strict=True):
        table.add_column(Text(name), justify="right" if right else "left", overflow="fold")
    for row in texts:
        table.add_row(*row)
    console.print(table)


def is_numeric(rows: Sequence[Sequence[object]], index: int) -> bool:
    """Whether a column holds numbers only, besides nulls."""
    values = [row[index] for row in rows if row[index] is not None]
    return bool(values) and all(is_number(value) for value in values)


def plain_table(
    columns: Sequence[str], rows: Sequence[Sequence[Text]], numeric: Sequence[bool]
) -> Iterator[str]:
    """The lines of a table as plain text."""
    header = [Text(name) for name in columns]
    widths = [
        min(_WIDEST, max(row[i].cell_len for row in (header, *rows))) for i in range(len(columns))
    ]

    def line(cells: Sequence[Text]) -> str:
        padded = [
            " " * (width - text.cell_len) + text.plain
            if right
            else text.plain + " " * (width - text.cell_len)
            for text, width, right in zip(cells, widths, numeric, strict=True)
        ]
        return "  ".join(padded).rstrip() + "\n"

    yield line(header)
    yield "  ".join("─" * width for width in widths) + "\n"
    yield from map(line, rows)


def presented(rows: Iterable[Sequence[Any]], types: Sequence[SqlType]) -> list[Sequence[Any]]:
    """Rows with the integers of DATE, TIME and TIMESTAMP columns as dates and times; `types` may
    be empty, where the rows hold such values already."""
    convert = {i: _TIMES[kind] for i, kind in enumerate(types) if kind in _TIMES}
    if not convert:
        return list(rows)
    return [
        [
            convert[i](value) if i in convert and value is not None else value
            for i, value in enumerate(row)
        ]
        for row in rows
    ]


def _timestamp(time_ms: int) -> object:
    try:
        return datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=time_ms)
    except OverflowError:
        return _as_java("format_timestamp", time_ms)


def _date(days: int) -> object:
    try:
        return datetime.date(1970, 1, 1) + datetime.timedelta(days)
    except OverflowError:
        return _as_java("format_date", days)


def _time(time_ms: int) -> object:
    seconds, ms = divmod(time_ms, 1000)
    try:
        return datetime.time(seconds // 3600, seconds // 60 % 60, seconds % 60, ms * 1000)
    except ValueError:
        return _as_java("format_time", time_ms)


def _as_java(function: str, value: int) -> object:
    """A time that Python has no value for, as a text. (Functions take long to load.)"""
    from millstream.functions import time_text

    return getattr(time_text, function)(value)


_TIMES: dict[SqlType, Callable[[int], object]] = {DATE: _date, TIME: _time, TIMESTAMP: _timestamp}


def json_line(columns: Sequence[str], row: Sequence[Any]) -> str:
    """One row as a JSON object on one line; bytes in base 64, times in ISO 8601, and numbers that
    JSON does not have as the texts NaN, Infinity and -Infinity."""
    return _encoder.encode(dict(zip(columns, map(_writable, row), strict=True))).decode()


def _writable(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list | tuple):
        return [_writable(item) for item in value]
    if isinstance(value, dict):
        return {key: _writable(item) for key, item in value.items()}
    return value


def write_json_lines(out: TextIO, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write each row as a JSON object on a line of its own."""
    for row in rows:
        out.write(json_line(columns, row) + "\n")


def local_time(time_ms: int, today: datetime.date | None = None) -> str:
    """A timestamp in the local zone, short: with its day where it is not of today."""
    moment = datetime.datetime.fromtimestamp(time_ms / 1000)
    is_today = moment.date() == (today or datetime.date.today())
    return moment.strftime("%H:%M:%S" if is_today else "%m-%d %H:%M:%S")
