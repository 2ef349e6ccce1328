"""The tables of a database file, and how a file is recognised as ours."""

from __future__ import annotations

from millstream.errors import StoreError
from millstream.store.sqlite.connection import Connection

APPLICATION_ID = 0x4D535452
"""Written into the file's header ("MSTR"), so that tools and we know whose it is."""

VERSION = 5
"""The version of the tables, in the header's user_version; grows with every change of them."""

# `crc` is the checksum of the row's other columns (see `checksums`): SQLite does not notice when
# the bytes of a value were altered on the disk.
TABLES = (
    # Counters that must survive: next sequence number, last ids, number of the last commit.
    "CREATE TABLE counter (name TEXT NOT NULL, value INTEGER NOT NULL, crc INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX counter_name ON counter (name)",
    # `records` is the ordinal of the next record, `offsets` the next offset of each partition.
    """CREATE TABLE topic (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, partitions INTEGER NOT NULL,
        replicas INTEGER NOT NULL, retention_ms INTEGER, cleanup_policy TEXT NOT NULL,
        records INTEGER NOT NULL, offsets TEXT NOT NULL, crc INTEGER NOT NULL)""",
    "CREATE UNIQUE INDEX topic_name ON topic (name)",
    """CREATE TABLE layout (
        id INTEGER PRIMARY KEY, content TEXT NOT NULL, crc INTEGER NOT NULL)""",
    # A run of records; `base` is the ordinal of its first one. The bodies come last in their row,
    # so that the small columns are read without walking through them.
    """CREATE TABLE run (
        id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, base INTEGER NOT NULL,
        count INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
        crc INTEGER NOT NULL, head BLOB NOT NULL, body BLOB NOT NULL)""",
    "CREATE UNIQUE INDEX run_place ON run (topic, base)",
    """CREATE TABLE position (
        owner TEXT NOT NULL, topic INTEGER NOT NULL, ordinal INTEGER NOT NULL,
        crc INTEGER NOT NULL)""",
    "CREATE UNIQUE INDEX position_place ON position (owner, topic)",
    """CREATE TABLE store (
        id INTEGER PRIMARY KEY, query INTEGER NOT NULL, step TEXT NOT NULL,
        schema_hash TEXT NOT NULL, meta TEXT, crc INTEGER NOT NULL)""",
    "CREATE UNIQUE INDEX store_name ON store (query, step, schema_hash)",
    """CREATE TABLE shape (
        id INTEGER PRIMARY KEY, content BLOB NOT NULL, crc INTEGER NOT NULL)""",
    # A part of a page of state; a higher id is newer, but for `cuts` (see `cuts`).
    """CREATE TABLE part (
        id INTEGER PRIMARY KEY, store INTEGER NOT NULL, page INTEGER NOT NULL,
        shape INTEGER NOT NULL, form INTEGER NOT NULL, count INTEGER NOT NULL,
        crc INTEGER NOT NULL, cuts BLOB, body BLOB NOT NULL)""",
    "CREATE UNIQUE INDEX part_place ON part (store, page, id)",
    """CREATE TABLE entry (
        kind TEXT NOT NULL, id INTEGER NOT NULL, content TEXT NOT NULL, crc INTEGER NOT NULL)""",
    "CREATE UNIQUE INDEX entry_place ON entry (kind, id)",
    # Dropped topics and stores whose runs and parts are still to be deleted, bit by bit.
    """CREATE TABLE trash (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, owner INTEGER NOT NULL,
        crc INTEGER NOT NULL)""",
    # A small commit, whole; `id` is the commit's number. Everything in it is newer than what the
    # other tables hold.
    "CREATE TABLE frame (id INTEGER PRIMARY KEY, crc INTEGER NOT NULL, body BLOB NOT NULL)",
)


def is_empty(connection: Connection) -> bool:
    """Whether the file holds nothing at all yet."""
    row = connection.one("SELECT count(*) FROM sqlite_master")
    return row is not None and row[0] == 0 and header(connection, "application_id") == 0


def create(connection: Connection) -> None:
    """Make the tables, in one transaction."""
    connection.run("BEGIN IMMEDIATE")
    for statement in TABLES:
        connection.run(statement)
    connection.run(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.run(f"PRAGMA user_version = {VERSION}")
    connection.run("COMMIT")


def check(connection: Connection, path: str) -> None:
    """Raise StoreError unless the file is a database of ours, of a version known here."""
    if header(connection, "application_id") != APPLICATION_ID:
        raise StoreError(
            f"the file '{path}' is a database of another program",
            hint="Give the path of a Millstream database, or of a file that does not exist yet.",
        )
    version = header(connection, "user_version")
    if version > VERSION:
        raise StoreError(
            f"the database '{path}' was written by a newer Millstream"
            f" (version {version} of its tables; this one knows {VERSION})",
            hint="Open it with that Millstream, or update this one.",
        )
    if version < VERSION:
        raise StoreError(
            f"the database '{path}' has version {version} of the tables, which this Millstream"
            f" cannot read (it knows {VERSION})",
            hint="Open it with the Millstream that wrote it.",
        )


def header(connection: Connection, name: str) -> int:
    """A number of the file's header."""
    row = connection.one(f"PRAGMA {name}")
    return 0 if row is None else int(row[0])
