"""Writing what a commit gathered: as one frame where it is small, into the tables otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from millstream.store.interfaces import Records
from millstream.store.records import concat_records, shape_of, size_of, slice_records
from millstream.store.sqlite.blobs import encode_few, encode_head, encode_run
from millstream.store.sqlite.checksums import checksum, checksum_body
from millstream.store.sqlite.connection import Connection, Row
from millstream.store.sqlite.cuts import Cuts, encode_cuts
from millstream.store.sqlite.frames import (
    MOST_BYTES,
    MOST_ROWS,
    FrameContent,
    FramePart,
    FrameRun,
    Frames,
    PartContent,
    RunContent,
    Touched,
    encode_frame,
)
from millstream.store.sqlite.image import NUMBER, Image, topic_of
from millstream.store.sqlite.layouts import KnownLayout, dump_layout
from millstream.store.sqlite.parts import encode_few_rows, encode_rows
from millstream.store.sqlite.pending import Action, Pending, PendingPart, PendingRun
from millstream.store.state_rows import StateRows

MERGE_FRAMES = 32
"""So many frames are merged at once. The more there are, the longer that takes (1.5 ms for these, 2
for twice as many), and the fewer runs a topic has then."""

MERGE_BYTES = 2 << 20
"""Or fewer, when they have so many bytes."""

_INSERT_RUN = (
    "INSERT INTO run (topic, base, count, first_seq, last_seq, crc, head, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_PART = (
    "INSERT INTO part (store, page, shape, form, count, crc, cuts, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)

RUN_ROWS = 128 << 10
RUN_BYTES = 32 << 20
"""Longer runs and larger pieces of state are stored in several: SQLite takes 1 GB at most, and a
reader need not decode more to get one record."""

SWEEP_BYTES = 16 << 20
SWEEP_ROW_BYTES = 4096
"""A commit into the tables deletes about so many bytes of what was dropped, each row counted as
so many more."""

NewRun = tuple[int, int, Records, int]
"""A run now in the tables: topic, ordinal of its first record, records, their bytes of memory."""


def fits_a_frame(image: Image, pending: Pending) -> bool:
    """Whether the commit is to be written as a frame."""
    return pending.is_small and not is_to_be_merged(image)


def is_to_be_merged(image: Image) -> bool:
    """Whether there are so many frames that no other is to be added."""
    return image.frames.count >= MERGE_FRAMES or image.frames.bytes >= MERGE_BYTES


def frame_of(image: Image, pending: Pending) -> bytes | None:
    """The commit as one frame, or None where it must go into the tables."""
    if not fits_a_frame(image, pending):
        return None
    body = encode_frame(_frame(image, pending))
    return body if len(body) <= MOST_BYTES else None


def write_frame(connection: Connection, image: Image, body: bytes) -> None:
    """Write the commit as one frame."""
    connection.run(
        "INSERT INTO frame (id, crc, body) VALUES (?, ?, ?)",
        (image.number, checksum_body(body, image.number), body),
    )


def keep_frame(image: Image, pending: Pending, size: int) -> None:
    """Remember a frame that was committed."""
    frames = image.frames
    for topic, runs in pending.runs.items():
        for run in runs:
            frames.add_run(topic, FrameRun(run.base, len(run.records), run.records))
    for store, parts in pending.parts.items():
        for part in parts:
            frames.add_part(store, FramePart(image.number, part.page, part.shape, part.rows))
    frames.touched.add(pending.touched)
    frames.count += 1
    frames.bytes += size


def write_tables(connection: Connection, image: Image, pending: Pending) -> list[NewRun]:
    """Write the commit, and all frames before it, into the tables.

    The image has no frames afterwards. The runs that topics have got are given.
    """
    frames = image.frames
    touched = Touched()
    touched.add(frames.touched)
    touched.add(pending.touched)
    _write_removals(connection, image, pending)
    _write_topics(connection, image, pending.topics | touched.logs)
    _write_stores(connection, image, pending.stores | touched.metas)
    _write_layouts(connection, image, pending)
    _write_entries(connection, image, touched.entries)
    _write_positions(connection, image, touched.positions)
    runs = {topic: list(framed) for topic, framed in frames.all_runs()}
    parts = {store: list(framed) for store, framed in frames.all_parts()}
    own_runs, own_parts = pending.runs, pending.parts
    if frames.count and pending.rows <= MOST_ROWS and pending.only_deltas:
        # As small as a frame: it is merged with them.
        _add_frame(runs, parts, image.number, pending)
        own_runs, own_parts = {}, {}
    written = _write_runs(connection, image, runs, own_runs)
    _write_parts(connection, image, parts, own_parts)
    _delete_trimmed(connection, image, touched.counters)
    if frames.count:
        connection.run("DELETE FROM frame")
        image.frames = Frames()
    if image.trash:
        _sweep(connection, image)
    image.counters[NUMBER] = image.merged = image.number
    _write_counters(connection, image, touched.counters | {NUMBER})
    return written


def _frame(image: Image, pending: Pending) -> FrameContent:
    touched, layouts = pending.touched, image.layout_ids
    return FrameContent(
        counters={name: image.counters[name] for name in touched.counters},
        ends=[(t, image.logs[t].records, list(image.logs[t].offsets)) for t in touched.logs],
        positions=[(o, t, image.positions[o][t]) for o, t in touched.positions],
        metas=[(s, image.metas[s]) for s in touched.metas],
        entries=[(kind, i, image.entries[kind].get(i)) for kind, i in touched.entries],
        runs=[
            _run_content(topic, run, layouts)
            for topic, runs in pending.runs.items()
            for run in runs
        ],
        parts=[
            _part_content(store, part.page, part.shape, part.rows)
            for store, parts in pending.parts.items()
            for part in parts
            if part.rows is not None
        ],
    )


def _run_content(topic: int, run: PendingRun, layouts: dict[KnownLayout, int]) -> RunContent:
    head, body = encode_few(run.records, run.firsts, layouts)
    return RunContent(topic, run.base, len(run.records), head, body)


def _part_content(store: int, page: int, shape: int, rows: StateRows) -> PartContent:
    form, body = encode_few_rows(rows, shape > 0)
    return PartContent(store, page, shape, form, rows.num_rows, body)


def _write_removals(connection: Connection, image: Image, pending: Pending) -> None:
    """Before anything is added: a name may have been given to something new in this commit."""
    gone = [("topic", i) for i in pending.topics - image.logs.keys()]
    gone += [("store", i) for i in pending.stores - image.stores.keys()]
    for kind, number in gone:
        connection.run(f"DELETE FROM {kind} WHERE id = ?", (number,))
    if gone:
        connection.many(
            "INSERT INTO trash (kind, owner, crc) VALUES (?, ?, ?)",
            [(*row, checksum(*row)) for row in gone],
        )
        image.trash = True


def _write_topics(connection: Connection, image: Image, topics: Iterable[int]) -> None:
    rows = []
    for topic_id in topics:
        log = image.logs.get(topic_id)
        if log is not None:
            topic = log.topic
            row = (
                topic_id,
                topic.name,
                topic.partitions,
                topic.replicas,
                topic.retention_ms,
                topic.cleanup_policy,
                log.records,
                json.dumps(log.offsets),
            )
            rows.append((*row, checksum(*row)))
    if rows:
        connection.many(
            "INSERT INTO topic (id, name, partitions, replicas, retention_ms, cleanup_policy,"
            " records, offsets, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
            " SET records = excluded.records, offsets = excluded.offsets, crc = excluded.crc",
            rows,
        )


def _write_stores(connection: Connection, image: Image, stores: set[int]) -> None:
    if not stores:
        return
    known = [(i, image.stores[i]) for i in stores if i in image.stores]
    rows = [(i, s.query_id, s.step, s.schema_hash, image.metas.get(i)) for i, s in known]
    connection.many(
        "INSERT INTO store (id, query, step, schema_hash, meta, crc) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET meta = excluded.meta, crc = excluded.crc",
        [(*row, checksum(*row)) for row in rows],
    )


def _write_layouts(connection: Connection, image: Image, pending: Pending) -> None:
    for layout in pending.layouts:
        text = dump_layout(image.layouts[layout].layout)
        connection.run(
            "INSERT OR REPLACE INTO layout (id, content, crc) VALUES (?, ?, ?)",
            (layout, text, checksum(layout, text)),
        )
    for shape in pending.shapes:
        content = image.shapes[shape].serialize().to_pybytes()
        connection.run(
            "INSERT OR REPLACE INTO shape (id, content, crc) VALUES (?, ?, ?)",
            (shape, content, checksum(shape, content)),
        )


def _write_entries(connection: Connection, image: Image, entries: set[tuple[str, int]]) -> None:
    kept, gone = [], []
    for kind, entry in entries:
        content = image.entries[kind].get(entry)
        if content is None:
            gone.append((kind, entry))
        else:
            kept.append((kind, entry, content, checksum(kind, entry, content)))
    if gone:
        connection.many("DELETE FROM entry WHERE kind = ? AND id = ?", gone)
    if kept:
        connection.many(
            "INSERT INTO entry (kind, id, content, crc) VALUES (?, ?, ?, ?) ON CONFLICT (kind, id)"
            " DO UPDATE SET content = excluded.content, crc = excluded.crc",
            kept,
        )


def _write_positions(connection: Connection, image: Image, positions: set[tuple[str, int]]) -> None:
    kept, gone = [], []
    for owner, topic in positions:
        ordinal = image.positions.get(owner, {}).get(topic)
        if ordinal is None:
            gone.append((owner, topic))
        else:
            kept.append((owner, topic, ordinal, checksum(owner, topic, ordinal)))
    if gone:
        connection.many("DELETE FROM position WHERE owner = ? AND topic = ?", gone)
    if kept:
        connection.many(
            "INSERT INTO position (owner, topic, ordinal, crc) VALUES (?, ?, ?, ?) ON CONFLICT"
            " (owner, topic) DO UPDATE SET ordinal = excluded.ordinal, crc = excluded.crc",
            kept,
        )


def _write_counters(connection: Connection, image: Image, names: set[str]) -> None:
    rows = [(name, image.counters[name]) for name in names if name in image.counters]
    connection.many(
        "INSERT INTO counter (name, value, crc) VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value, crc = excluded.crc",
        [(*row, checksum(*row)) for row in rows],
    )
    for name in names - image.counters.keys():
        connection.run("DELETE FROM counter WHERE name = ?", (name,))


def _delete_trimmed(connection: Connection, image: Image, counters: set[str]) -> None:
    """Delete the runs of which all records were trimmed."""
    for name in counters:
        topic = topic_of(name)
        if topic in image.logs and name in image.counters:
            connection.run(
                "DELETE FROM run WHERE topic = ? AND base + count <= ?",
                (topic, image.counters[name]),
            )


def _add_frame(
    runs: dict[int, list[FrameRun]],
    parts: dict[int, list[FramePart]],
    number: int,
    pending: Pending,
) -> None:
    for topic, own_runs in pending.runs.items():
        runs.setdefault(topic, []).extend(
            FrameRun(r.base, len(r.records), r.records) for r in own_runs
        )
    for store, own_parts in pending.parts.items():
        parts.setdefault(store, []).extend(
            FramePart(number, p.page, p.shape, p.rows) for p in own_parts
        )


def _write_runs(
    connection: Connection,
    image: Image,
    framed: dict[int, list[FrameRun]],
    own: dict[int, list[PendingRun]],
) -> list[NewRun]:
    """Write runs, those of frames merged where they can be."""
    layouts = image.layout_ids
    merged: list[tuple[Row, NewRun]] = []
    for topic, runs in framed.items():
        if topic not in image.logs:
            continue
        base = runs[0].base
        for _, alike in groupby([run.records for run in runs], shape_of):
            records = concat_records(list(alike))
            merged += _run_rows(layouts, topic, base, records)
            base += len(records)
    if merged:
        connection.many(_INSERT_RUN, [row for row, _ in merged])
    written = [new for _, new in merged]
    for topic, pending in own.items():
        for run in pending:
            for row, new in _run_rows(layouts, topic, run.base, run.records):
                connection.run(_INSERT_RUN, row)
                written.append(new)
    return written


def _run_rows(
    layouts: dict[KnownLayout, int], topic: int, base: int, records: Records
) -> Iterator[tuple[Row, NewRun]]:
    """The rows of the table for records, in halves of halves where they are too many for one."""
    count = len(records)
    if count <= RUN_ROWS:
        size = size_of(records)
        head, body = encode_run(records, size, layouts)
        if len(body) <= RUN_BYTES or count == 1:
            small = (topic, base, count, int(records.seq.min()), int(records.seq.max()))
            told = encode_head(head)
            crc = checksum_body(body, *small, told)
            yield (*small, crc, told, body), (topic, base, records, size)
            return
    half = count // 2
    yield from _run_rows(layouts, topic, base, slice_records(records, 0, half))
    yield from _run_rows(layouts, topic, base + half, slice_records(records, half, count))


def _sweep(connection: Connection, image: Image) -> None:
    """Delete a bounded part of what dropped topics and stores have left: a gigabyte takes seconds,
    which no commit should wait for."""
    left = SWEEP_BYTES
    for kind, owner in connection.all("SELECT kind, owner FROM trash ORDER BY id"):
        table, column = ("run", "topic") if kind == "topic" else ("part", "store")
        while True:
            rows = connection.all(
                f"SELECT id, length(body) FROM {table} WHERE {column} = ? LIMIT 64", (owner,)
            )
            if not rows:
                connection.run("DELETE FROM trash WHERE kind = ? AND owner = ?", (kind, owner))
                break
            for number, size in rows:
                connection.run(f"DELETE FROM {table} WHERE id = ?", (number,))
                left -= size + SWEEP_ROW_BYTES
                if left <= 0:
                    return
    image.trash = False


def _write_parts(
    connection: Connection,
    image: Image,
    framed: dict[int, list[FramePart]],
    own: dict[int, list[PendingPart]],
) -> None:
    """Write rows of state, those of frames as one part a page where they can be merged."""
    kept = [(store, parts) for store, parts in framed.items() if store in image.stores]
    if kept:
        rows = [row for store, parts in kept for row in _merged(image.number, store, parts)]
        connection.many(_INSERT_PART, rows)
    for store, changes in own.items():
        for change in changes:
            _write_part(connection, store, change)


def _joinable(
    pieces: list[tuple[int, FramePart]],
) -> list[list[tuple[int, FramePart]]]:
    """The pieces of a page as one group, or each on its own where they cannot be joined."""
    (shape, *others) = {part.shape for _, part in pieces}
    if shape == 0 or others or len(pieces[0][1].rows.schema) == 0:
        return [[piece] for piece in pieces]
    return [pieces]


def _merged(number: int, store: int, parts: list[FramePart]) -> Iterator[Row]:
    """The rows of the table for a store's parts in frames; `number` is the merge's."""
    pages: dict[int, list[tuple[int, FramePart]]] = {}
    for place, part in enumerate(parts):
        pages.setdefault(part.page, []).append((place, part))
    for page, pieces in pages.items():
        for group in _joinable(pieces):
            shape, rows = group[0][1].shape, [part.rows for _, part in group]
            counts = [r.num_rows for r in rows]
            cuts = None
            if len(pages) > 1:
                places = [place for place, _ in group]
                cuts = encode_cuts(Cuts(number, list(zip(places, counts, strict=True))))
            form, body = encode_rows(rows, shape > 0)
            yield _part_row((store, page, shape, form, sum(counts)), cuts, body)


def _write_part(connection: Connection, store: int, change: PendingPart) -> None:
    if change.action is not Action.DELTA:
        connection.run("DELETE FROM part WHERE store = ? AND page = ?", (store, change.page))
    if change.rows is None:
        return
    for start, stop in _cuts(change.rows.num_rows, change.rows.nbytes):
        form, body = encode_rows([change.rows.slice(start, stop)], change.shape > 0)
        small = (store, change.page, change.shape, form, stop - start)
        connection.run(_INSERT_PART, _part_row(small, None, body))


def _cuts(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut `count` rows of `size` bytes in all into ranges of about RUN_BYTES."""
    pieces = min(count, max(1, -(-size // RUN_BYTES)))
    step = -(-count // pieces)
    for start in range(0, count, step):
        yield start, min(start + step, count)


def _part_row(small: tuple[int, ...], cuts: bytes | None, body: Any) -> Row:
    return (*small, checksum_body(body, *small, cuts), cuts, body)
