"""What statements give back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows, as SHOW and the like print them."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one statement did: one sentence, and a table where it shows something.

    `skipped`: its identical text had already made the object that exists.
    """

    statement: str
    message: str
    table: Table | None = None
    skipped: bool = False


def listing(
    statement: str, what: str, columns: Sequence[str], rows: list[tuple[Any, ...]]
) -> Outcome:
    """An outcome that shows rows of something, named in the singular."""
    if len(rows) != 1:
        if what.endswith(("ry", "ty")):
            what = f"{what[:-1]}ies"
        else:
            what += "es" if what.endswith("s") else "s"
    count = f"{len(rows)} {what}"
    return Outcome(statement, count, Table(tuple(columns), rows))
