"""What SQLite's errors mean to the person who runs the database."""

from __future__ import annotations

import sqlite3

from millstream.errors import DamagedError, StoreError

# Primary result codes, https://www.sqlite.org/rescode.html
_PERM, _BUSY, _LOCKED, _NOMEM, _READONLY = 3, 5, 6, 7, 8
_IOERR, _CORRUPT, _FULL, _CANTOPEN = 10, 11, 13, 14
_TOOBIG, _NOTADB = 18, 26


FAILURES = (sqlite3.Error, OverflowError, UnicodeDecodeError)
"""What Python's module raises where SQLite fails; the last one where its message quotes a damaged
text."""


def explain(error: BaseException, path: str) -> StoreError:
    """The StoreError that says what an error of SQLite means for the database at `path`."""
    if isinstance(error, StoreError):
        return error
    code = getattr(error, "sqlite_errorcode", None)
    sentence, hint = _sentence(None if code is None else code & 0xFF, str(error), path)
    result = StoreError(sentence, hint=hint)
    result.__cause__ = error
    return result


def damaged(sentence: str) -> DamagedError:
    """The error for contents of the file that are not as they were written."""
    return DamagedError(
        sentence,
        hint="The database file is damaged: `millstream check` tells what is intact. Restore it"
        " from a backup.",
    )


def _sentence(code: int | None, text: str, path: str) -> tuple[str, str | None]:
    if isinstance(code, int):
        known = _KNOWN.get(code)
        if known is not None:
            return known[0].format(path=path, text=text), known[1]
    if "closed database" in text:
        return f"the database '{path}' is closed", "Open it again."
    if "no such column" in text or "no such table" in text or "has no column" in text:
        # We ask for our own tables only, by their names in the file.
        known = _KNOWN[_CORRUPT]
        return known[0].format(path=path, text=text), known[1]
    if "decode to UTF-8" in text or "codec can't decode" in text:
        known = _KNOWN[_CORRUPT]
        return known[0].format(path=path, text="a text is not UTF-8"), known[1]
    return f"the database '{path}' failed: {text}", None


_KNOWN: dict[int, tuple[str, str | None]] = {
    _PERM: (
        "access to the database '{path}' was denied",
        "Check the permissions of the file and its folder.",
    ),
    _BUSY: (
        "the database '{path}' is locked by another process",
        "Close the other process, or try again.",
    ),
    _LOCKED: ("the database '{path}' is in use", "Leave its open views and try again."),
    _NOMEM: ("there was not enough memory to use the database '{path}'", None),
    _READONLY: (
        "the database '{path}' cannot be written",
        "Check the permissions of the file and its folder, or open it read-only.",
    ),
    _IOERR: (
        "the disk failed while the database '{path}' was used: {text}",
        "Check the disk; what was committed before is safe.",
    ),
    _CORRUPT: (
        "the database '{path}' is damaged: {text}",
        "`millstream check` tells what is intact. Restore it from a backup; SQLite's '.recover'"
        " may save a part of it.",
    ),
    _FULL: (
        "the disk is full: nothing more can be written to the database '{path}'",
        "Free some space and try again; what was committed before is safe.",
    ),
    _CANTOPEN: (
        "the database '{path}' cannot be opened",
        "Check that its folder exists and may be read and written.",
    ),
    _TOOBIG: (
        "a record or a piece of state is too big for the database '{path}'",
        "A single one may have 1,000,000,000 bytes at most.",
    ),
    _NOTADB: (
        "the file '{path}' is not a Millstream database",
        "Give the path of a database, or of a file that does not exist yet.",
    ),
}
