"""What is looked at when a file is opened, so that damage is never taken for contents.

A row that was altered has a checksum that tells. A row that a damaged page no longer shows has
none: it would be missed in silence. So the tables whose rows nobody can miss are compared with
their indexes, which takes less than a millisecond, and what SQLite believes without a question (its
header, its log) is held against what we know of it.
"""

from __future__ import annotations

import os

from millstream.store.sqlite.connection import Connection
from millstream.store.sqlite.failures import damaged
from millstream.store.sqlite.lock import is_held
from millstream.store.sqlite.log import find_damage
from millstream.store.sqlite.schema import APPLICATION_ID

HEADER_BYTES = 100

SMALL_TABLES = (
    "counter",
    "topic",
    "layout",
    "position",
    "store",
    "shape",
    "entry",
    "trash",
    "frame",
)

# Parts of the header that are the same in every file of ours: (first byte, contents).
# https://www.sqlite.org/fileformat2.html#the_database_header
_CONSTANT = (
    (20, bytes((0, 64, 32, 32))),  # unused space a page, how cells are shared out
    (44, (4).to_bytes(4)),  # schema format
    (52, bytes(4)),  # no vacuuming by itself
    (56, (1).to_bytes(4)),  # UTF-8
    (64, bytes(4)),
    (72, bytes(20)),
)


def check_header(file: str, path: str, *, is_writer: bool) -> None:
    """Raise StoreError where the header of the file at `file`, which is known as `path`, or its
    write-ahead log is damaged in a way that SQLite would not notice."""
    with open(file, "rb") as opened:
        head = opened.read(HEADER_BYTES)
        size = os.fstat(opened.fileno()).st_size
    log = f"{file}-wal"
    log_size = os.path.getsize(log) if os.path.exists(log) else 0
    fault = header_fault(head, size, log_size)
    if fault is not None:
        raise damaged(f"the header of the database '{path}' is damaged: {fault}")
    # A process that writes has looked at the log before, and appends to it now.
    looks = log_size > 0 and (is_writer or not is_held(file))
    if looks and find_damage(log) is not None:
        raise damaged(
            f"the log '{path}-wal' is damaged: commits that had been made durable cannot be read"
        )


def header_fault(head: bytes, size: int, log_size: int) -> str | None:
    """What is wrong with a header; None where it is as it must be, or not ours: that of a new
    file is in its log at first."""
    if len(head) < HEADER_BYTES or int.from_bytes(head[68:72]) != APPLICATION_ID:
        return None
    for start, contents in _CONSTANT:
        if head[start : start + len(contents)] != contents:
            return f"byte {start} or one behind it was altered"
    if log_size and head[18:20] != b"\2\2":
        return "it says that there is no log, and there is one"
    if head[24:28] == head[92:96] and not log_size and file_bytes(head) != size:
        return f"it says that the file has {file_bytes(head):,} bytes, and it has {size:,}"
    return None


def file_bytes(head: bytes) -> int:
    """How many bytes the file has, as its header says."""
    page_bytes = int.from_bytes(head[16:18])
    return int.from_bytes(head[28:32]) * (65536 if page_bytes == 1 else page_bytes)


def check_tables(connection: Connection, path: str) -> None:
    """Raise StoreError where rows of the small tables, or of the state's index, are missing."""
    for table in SMALL_TABLES:
        for (text,) in connection.all(f"PRAGMA integrity_check('{table}')"):
            if text != "ok":
                reason = " ".join(str(text).split())
                raise damaged(f"table {table} of the database '{path}' is damaged: {reason}")
    rows = connection.all("SELECT store, page, id FROM part NOT INDEXED")
    places = connection.all("SELECT store, page, id FROM part INDEXED BY part_place")
    if len(rows) != len(places) or set(rows) != set(places):
        raise damaged(f"the state in the database '{path}' is damaged: parts of it are missing")
