"""How the command opens a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from millstream.cli.protocol import Database
from millstream.errors import StoreError

IN_MEMORY = ":memory:"


@contextmanager
def open_database(path: str | None, *, read_only: bool = False) -> Iterator[Database]:
    """The database in the file `path`, or one in memory that keeps nothing; closed on leaving.

    Raises StoreError where a file to be read does not exist, or cannot be opened.
    """
    if read_only and path is not None and not Path(path).is_file():
        raise StoreError(
            f"There is no database file {path}.",
            hint="`millstream run FILE --db PATH` and `millstream demo clickstream --db PATH` "
            "make one.",
        )
    from millstream.database import connect

    db = connect(path or IN_MEMORY, read_only=read_only)
    try:
        yield db
    finally:
        db.close()


def place(path: str | None) -> str:
    """Where a database is, as a title says it."""
    return "in memory" if path is None else path
