"""Opening a database by its path."""

from __future__ import annotations

from millstream.store.interfaces import Store
from millstream.store.sqlite.store import SqliteStore


def open_store(path: str, read_only: bool = False) -> Store:
    """Open the database file at `path`, making it if it does not exist; ":memory:" is a database
    that lives as long as it is open.

    One process writes; any number may open the file read-only and see its last commit. Raises
    StoreError where the file cannot be opened, is no database of ours, or has a writer already.
    """
    return SqliteStore(path, read_only=read_only)
