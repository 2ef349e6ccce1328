"""What becomes of the notes of a commit before they are lines of the processing log.

A source's malformed record is noted once, however many queries read it, now or later; and what a
query says of a row tells the record that the row comes from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from millstream.catalog.model import Source
from millstream.engine.operators.base import Note
from millstream.engine.source_rows import bytes_of
from millstream.engine.spans import Spans, holds, with_span
from millstream.store.interfaces import Commit, Records, View

NOTED = "noted"
"""The kind of catalogue entry that holds which records of a source were looked at."""

Runs = Mapping[str, Sequence[tuple[int, Records]]]
"""Runs of records that a query read, each with the ordinal of its first record, by topic."""


class Noted:
    """Which records of each source were looked at. It is stored where a note was written: of what
    is not stored, there was nothing to note."""

    def __init__(self, spans: dict[tuple[int, int], Spans] | None = None) -> None:
        self._spans = {} if spans is None else spans
        self._told: set[tuple[int, int]] = set()

    @staticmethod
    def load(view: View) -> Noted:
        """As the last commit left it."""
        spans: dict[tuple[int, int], Spans] = {}
        for source_id, entry in view.entries(NOTED).items():
            stretches = tuple((int(a), int(b)) for a, b in entry["spans"])
            spans[source_id, int(entry["columns"])] = stretches
        return Noted(spans)

    def copy(self) -> Noted:
        """One that can go on without changing this one."""
        return Noted(dict(self._spans))

    def fresh(self, source: Source, ordinal: int, count: int, notes: Sequence[Note]) -> list[Note]:
        """Those of the notes that nobody made before, of a run of so many records."""
        key = source.reading
        known = self._spans.get(key, ())
        self._spans[key] = with_span(known, ordinal, ordinal + count)
        if not notes or self._spans[key] == known:
            return []
        told = [n for n in notes if n.row < 0 or not holds(known, ordinal + n.row)]
        if told:
            self._told.add(key)
        return told

    def write(self, commit: Commit) -> None:
        """Store what was looked at of sources of which there was something to note."""
        for source_id, columns in self._told:
            spans = self._spans[source_id, columns]
            commit.put_entry(NOTED, source_id, {"columns": columns, "spans": spans})


def located(notes: Iterable[Note], runs: Runs) -> list[Note]:
    """The notes, those of rows with the place and the bytes of the record that the row is from."""
    return [n if n.topic is not None or n.seq < 0 else _located(n, runs) for n in notes]


def _located(note: Note, runs: Runs) -> Note:
    for topic, parts in runs.items():
        for _, records in parts:
            row = int(np.searchsorted(records.seq, note.seq))
            if row < len(records) and records.seq[row] == note.seq:
                return replace(
                    note,
                    topic=topic,
                    partition=int(records.partition[row]),
                    offset=int(records.offset[row]),
                    record=bytes_of(records.value, row),
                    writer=int(records.writer[row]),
                )
    return note
