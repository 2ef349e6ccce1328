"""What a database file holds: its bytes by topic and by state store."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from benchmarks import report

MB = 1 << 20
_TOPICS = (
    "SELECT 'topic ' || t.name, sum(r.count), sum(length(r.body) + length(r.head))"
    " FROM run r JOIN topic t ON t.id = r.topic GROUP BY t.id"
)
_STATE = (
    "SELECT 'state of query ' || s.query || ', ' || s.step, sum(p.count), sum(length(p.body))"
    " FROM part p JOIN store s ON s.id = p.store GROUP BY s.id"
)


@dataclass(frozen=True)
class Kept:
    """Topics and state as (what, records or rows, bytes), the file's bytes, and those of its pages
    that hold nothing now and will be used again."""

    topics: list[tuple[str, int, int]]
    state: list[tuple[str, int, int]]
    file: int
    free: int

    @property
    def topic_bytes(self) -> int:
        """The bytes of all topics."""
        return sum(held for _, _, held in self.topics)

    @property
    def state_bytes(self) -> int:
        """The bytes of all state."""
        return sum(held for _, _, held in self.state)

    def table(self, clicks: int) -> str:
        """All of it, largest first, beside the number of clicks that caused it."""
        kept = sorted([*self.topics, *self.state], key=lambda row: -row[2])
        shown: list[list[object]] = [
            [what, count, held / MB, held / max(count, 1), held / clicks]
            for what, count, held in kept
        ]
        rest = self.file - self.free - self.topic_bytes - self.state_bytes
        shown.append(["free pages", "", self.free / MB, "", self.free / clicks])
        shown.append(["pages' heads, indexes, all else", "", rest / MB, "", rest / clicks])
        shown.append(["the file", "", self.file / MB, "", self.file / clicks])
        heads = ["kept in the file", "records or rows", "MB", "bytes each", "bytes per click"]
        return report.table(heads, shown)


def kept_in(path: Path) -> Kept:
    """Look at a file that nobody writes at the moment."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as con:
        topics, state = (con.execute(s).fetchall() for s in (_TOPICS, _STATE))
        (free,) = con.execute("PRAGMA freelist_count").fetchone()
        (page,) = con.execute("PRAGMA page_size").fetchone()
    return Kept(topics, state, path.stat().st_size, free * page)
