"""What of a database file is intact: every page, every row, every checksum is looked at.

Read-only, beside a writer too, and on files on which nothing else works any more: whatever cannot
be read is told and passed over.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np

from millstream.errors import StoreError
from millstream.store.interfaces import Records
from millstream.store.sqlite import schema
from millstream.store.sqlite.connection import Connection, Row
from millstream.store.sqlite.failures import FAILURES, explain
from millstream.store.sqlite.image import Image, Tell, first_of, load_image
from millstream.store.sqlite.integrity import HEADER_BYTES, file_bytes, header_fault
from millstream.store.sqlite.log import find_damage
from millstream.store.sqlite.rows import PART_COLUMNS, RUN_COLUMNS, read_part, read_run

_BUSY_S = 10.0
_MOST_FAULTS = 100


@dataclass(slots=True)
class Gap:
    """Records of a topic that cannot be read: ordinals `first` to `last`, and the offsets that is
    in each partition, as (partition, first, last), where they can be told."""

    first: int
    last: int
    offsets: list[tuple[int, int, int]]
    reason: str


@dataclass(slots=True)
class TopicCheck:
    """A topic: its records are those from ordinal `start` to before `end`. `name` is None where
    its own entry is damaged; `end` is then that of the last record found."""

    id: int
    name: str | None
    start: int
    end: int
    gaps: list[Gap] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """How many records cannot be read."""
        return sum(g.last - g.first + 1 for g in self.gaps)


@dataclass(slots=True)
class StateCheck:
    """State of a query's step: how many pieces it has, and those that are damaged, as (page,
    reason)."""

    query: int
    step: str
    parts: int = 0
    damaged: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class FileCheck:
    """What a check found. `entries`: the catalogue's entries that are intact, by kind and id.

    `file`: faults of SQLite's own structure; `log`: of the write-ahead log; `tables`: rows of small
    values that are damaged, by table.
    """

    path: str
    commit: int = 0
    file: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    tables: dict[str, list[str]] = field(default_factory=dict)
    topics: list[TopicCheck] = field(default_factory=list)
    states: list[StateCheck] = field(default_factory=list)
    entries: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)

    @property
    def intact(self) -> bool:
        """Whether all is as it was written."""
        return not (
            self.file
            or self.log
            or self.tables
            or any(t.gaps or t.name is None for t in self.topics)
            or any(s.damaged for s in self.states)
        )


def check_file(path: str) -> FileCheck:
    """Look at everything in the database at `path`, as its last commit left it.

    Raises StoreError where it is no database of ours, or of another version, or cannot be opened.
    """
    if not os.path.isfile(path):
        raise StoreError(f"there is no database '{path}'", hint="Check the path.")
    connection = _Tolerant(_connect(path), path)
    with closing(connection):
        found = FileCheck(path)
        connection.tell = lambda _, sentence: _add(found.file, sentence)
        _check_header(connection, found)
        _check_known(found)
        connection.run("BEGIN")
        damage = find_damage(f"{os.path.realpath(path)}-wal")
        if damage is not None:
            found.log.append(
                f"the log '{path}-wal' is damaged: at least {_count(damage.commits, 'commit')},"
                " which had been made durable, cannot be read any more"
            )
        _check_structure(connection, found)

        def tell(table: str, sentence: str) -> None:
            _add(found.tables.setdefault(table, []), sentence)

        connection.tell = tell
        image = load_image(connection, tell=tell)
        found.commit = image.number
        for kind, entries in image.entries.items():
            found.entries[kind] = {i: json.loads(text) for i, text in sorted(entries.items())}
        _check_topics(connection, image, found)
        _check_states(connection, image, found)
    return found


class _Tolerant(Connection):
    """A connection that gives the rows that can be read of a table, from its start and from its
    end, and tells of the others."""

    def __init__(self, raw: sqlite3.Connection, path: str) -> None:
        super().__init__(raw, path)
        self.tell: Tell = _ignore

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        rows: list[Row] = []
        try:
            for row in self._rows(sql, parameters):
                rows.append(row)
        except StoreError as error:
            table = re.search(r"FROM (\w+)", sql)
            what = f"table {table[1]}" if table else "its structure"
            self.tell(table[1] if table else "", f"{what} cannot be read whole: {_reason(error)}")
            tail: list[Row] = []
            if sql.endswith((" ORDER BY rowid", " ORDER BY id")):
                try:
                    for row in self._rows(f"{sql} DESC", parameters):
                        tail.append(row)
                except StoreError:
                    pass
            rows += reversed(tail)
        return rows

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        return next(self._rows(sql, parameters), None)

    def _rows(self, sql: str, parameters: Sequence[Any]) -> Iterator[Row]:
        try:
            cursor = self._raw.execute(sql, parameters)
        except FAILURES as error:
            raise explain(error, self._path) from error
        with closing(cursor):
            while True:
                try:
                    row = cursor.fetchone()
                except FAILURES as error:
                    raise explain(error, self._path) from error
                if row is None:
                    return
                yield row


def _ignore(table: str, sentence: str) -> None:
    """Tell nobody."""


def _connect(path: str) -> sqlite3.Connection:
    place = quote(os.path.realpath(path))
    error: Exception | None = None
    # Where the folder cannot be written SQLite cannot make the file that it shares with others; it
    # does without where there is no log.
    log = f"{os.path.realpath(path)}-wal"
    has_log = os.path.exists(log) and os.path.getsize(log) > 0
    for option in ("mode=ro",) if has_log else ("mode=ro", "immutable=1"):
        raw = None
        try:
            raw = sqlite3.connect(
                f"file:{place}?{option}", uri=True, timeout=_BUSY_S, isolation_level=None
            )
            raw.execute("PRAGMA application_id").fetchone()
            return raw
        except FAILURES as problem:
            code = getattr(problem, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
            if raw is not None and code & 0xFF == sqlite3.SQLITE_CORRUPT:
                return raw
            error = error or problem
            if raw is not None:
                raw.close()
    assert error is not None
    raise explain(error, path) from error


def _check_header(connection: Connection, found: FileCheck) -> None:
    """Raise StoreError unless it is a database of ours whose tables are known here."""
    _check_length(connection, found)
    tables = {row[0] for row in connection.all("SELECT name FROM sqlite_master")}
    ours = {"counter", "topic", "run", "part", "entry", "frame"} <= tables
    header = schema.header(connection, "application_id")
    if header != schema.APPLICATION_ID and ours:
        found.file.append("the file's header does not tell that it is Millstream's")
        return
    if schema.is_empty(connection):
        raise StoreError(
            f"the database '{found.path}' is empty", hint="Its writer has not made its tables yet."
        )
    schema.check(connection, found.path)


def _check_length(connection: Connection, found: FileCheck) -> None:
    """Have SQLite read what is there of a file that is shorter than it says."""
    try:
        connection.one("SELECT count(*) FROM sqlite_master")
    except StoreError as error:
        connection.run("PRAGMA writable_schema = ON")
        connection.one("SELECT count(*) FROM sqlite_master")
        found.file.append(f"its first page cannot be used as it is: {_reason(error)}")


def _check_known(found: FileCheck) -> None:
    """Hold the header against what every file of ours has there."""
    with open(found.path, "rb") as file:
        head = file.read(HEADER_BYTES)
        size = os.fstat(file.fileno()).st_size
    log = f"{os.path.realpath(found.path)}-wal"
    log_size = os.path.getsize(log) if os.path.exists(log) else 0
    wanted = file_bytes(head)
    if size < wanted and not log_size:
        found.file = [f"the file is cut short: it should have {wanted:,} bytes, and has {size:,}"]
        return
    fault = header_fault(head, size, log_size)
    if fault is not None:
        found.file.append(f"the file's header is damaged: {fault}")


def _check_structure(connection: _Tolerant, found: FileCheck) -> None:
    """Let SQLite look at its pages, and say in which table or index faults are."""
    roots: dict[int, str] = {}
    for kind, name, root in connection.all("SELECT type, name, rootpage FROM sqlite_master"):
        roots[root] = f"{kind} {name}"
    lines = [
        line
        for (text,) in connection.all(f"PRAGMA integrity_check({_MOST_FAULTS})")
        for line in str(text).splitlines()
        if line and line != "ok" and not line.startswith("***")
    ]
    for line in lines:
        _add(found.file, _in_words(line, roots))


def _in_words(line: str, roots: dict[int, str]) -> str:
    tree = re.match(r"(?:On tree page|Tree) (\d+)", line)
    where = roots.get(int(tree[1])) if tree else None
    return f"{where}: {line}" if where else line


def _check_topics(connection: _Tolerant, image: Image, found: FileCheck) -> None:
    bases: dict[int, list[tuple[int, int]]] = {}
    for topic, base, number in _places(connection, "run", "topic, base", found):
        bases.setdefault(topic, []).append((base, number))
    dropped = _dropped(connection, "topic")
    for topic_id in sorted(image.logs.keys() | bases.keys() | image.frames.topics()):
        if topic_id in image.logs:
            log = image.logs[topic_id]
            start = image.counters.get(first_of(topic_id), 0)
            check = TopicCheck(topic_id, log.topic.name, start, log.records)
            coverage = _Coverage(check, dict(enumerate(log.offsets)))
        elif topic_id in dropped:
            continue
        else:
            check = TopicCheck(topic_id, None, image.counters.get(first_of(topic_id), 0), 0)
            coverage = _Coverage(check, {})
        for base, number in sorted(bases.get(topic_id, ())):
            _check_run(connection, image, coverage, base, number)
        for run in image.frames.runs(topic_id):
            try:
                coverage.add(run.base, run.records)
            except Exception:
                coverage.reason = "its layout cannot be read"
        coverage.finish()
        found.topics.append(check)


def _check_run(
    connection: Connection, image: Image, coverage: _Coverage, base: int, number: int
) -> None:
    name = coverage.topic.name or str(coverage.topic.id)
    try:
        row = connection.one(f"SELECT {RUN_COLUMNS} FROM run WHERE id = ?", (number,))
        if row is None:
            coverage.reason = "the row is missing"
            return
        base, records = read_run(row, image, name)
    except StoreError as error:
        coverage.reason = _reason(error)
        return
    coverage.add(base, records)


class _Coverage:
    """Finds the gaps between the records of a topic that can be read."""

    def __init__(self, topic: TopicCheck, ends: dict[int, int]) -> None:
        self.topic = topic
        self.reason = "it is missing"
        self._ends = ends
        self._next = topic.start
        # Of a topic that was trimmed nobody has kept with which offsets it begins.
        self._offsets: dict[int, int] | None = None if topic.start else {}

    def add(self, base: int, records: Records) -> None:
        """Records that can be read, behind all that were added before."""
        last = base + len(records) - 1
        if last < self._next:
            return
        first_offsets, next_offsets = _offsets(records)
        if base > self._next:
            self._gap(base, first_offsets)
        if self._offsets is None:
            self._offsets = {}
        self._offsets |= next_offsets
        self._next = last + 1
        if self.topic.name is None:
            self.topic.end = self._next

    def finish(self) -> None:
        """All was added."""
        if self._next < self.topic.end:
            self._gap(self.topic.end, self._ends)

    def _gap(self, end: int, upto: dict[int, int]) -> None:
        known = self._offsets
        if known is None:
            offsets = [(0, self._next, end - 1)] if len(self._ends) == 1 else []
        else:
            offsets = [
                (p, known.get(p, 0), o - 1) for p, o in sorted(upto.items()) if o > known.get(p, 0)
            ]
        self.topic.gaps.append(Gap(self._next, end - 1, offsets, self.reason))
        self.reason = "it is missing"
        self._next = end
        self._offsets = {**(known or {}), **upto}


def _offsets(records: Records) -> tuple[dict[int, int], dict[int, int]]:
    """The first offset in each partition, and the next one after the last."""
    partitions, rows = np.unique(records.partition, return_index=True)
    first = dict(zip(partitions.tolist(), records.offset[rows].tolist(), strict=True))
    partitions, rows = np.unique(records.partition[::-1], return_index=True)
    last = records.offset[::-1][rows].tolist()
    return first, {p: o + 1 for p, o in zip(partitions.tolist(), last, strict=True)}


def _check_states(connection: _Tolerant, image: Image, found: FileCheck) -> None:
    checks = {i: StateCheck(s.query_id, s.step) for i, s in image.stores.items()}
    dropped = _dropped(connection, "store")
    for store, page, number in _places(connection, "part", "store, page", found):
        if store not in checks:
            if store in dropped:
                continue
            checks[store] = StateCheck(0, f"store {store}")
            checks[store].damaged.append((page, "what it belongs to cannot be read"))
        checks[store].parts += 1
        try:
            row = connection.one(f"SELECT {PART_COLUMNS} FROM part WHERE id = ?", (number,))
            if row is None:
                checks[store].damaged.append((page, "it is missing"))
            else:
                read_part(row, image)
        except StoreError as error:
            checks[store].damaged.append((page, _reason(error)))
    for store, check in checks.items():
        for part in image.frames.parts(store, image.number):
            check.parts += 1
            try:
                _ = part.rows.batch()
            except Exception:
                check.damaged.append((part.page, "its schema cannot be read"))
    found.states = sorted(checks.values(), key=lambda c: (c.query, c.step))


def _places(
    connection: _Tolerant, table: str, columns: str, found: FileCheck
) -> list[tuple[int, int, int]]:
    """What a table of large rows has, as its index and the table itself tell."""
    problems: list[str] = []
    connection.tell, tell = (lambda _, sentence: problems.append(sentence)), connection.tell
    index = connection.all(f"SELECT {columns}, id FROM {table} INDEXED BY {table}_place")
    # Without the index, through all rows: what it does not know of.
    rows = connection.all(f"SELECT {columns}, id FROM {table} NOT INDEXED ORDER BY id")
    connection.tell = tell
    for problem in problems[:1]:
        _add(found.file, problem)
    known = [row for row in (*rows, *index) if all(isinstance(v, int) for v in row)]
    if not problems and sorted(index, key=str) != sorted(rows, key=str):
        _add(found.file, f"table {table} and its index do not have the same rows")
    return sorted({row[2]: row for row in known}.values())


def _dropped(connection: _Tolerant, kind: str) -> set[int]:
    """What was dropped, and whose rows are still being deleted."""
    return {r[0] for r in connection.all("SELECT owner FROM trash WHERE kind = ?", (kind,))}


def _reason(error: StoreError) -> str:
    """Why, without the place: that is told otherwise."""
    if error.__cause__ is not None and getattr(error.__cause__, "sqlite_errorcode", None):
        return f"SQLite says: {error.__cause__}"
    return error.message.rpartition(" cannot be read: ")[2]


def _add(sentences: list[str], sentence: str) -> None:
    if sentence not in sentences:
        sentences.append(sentence)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
