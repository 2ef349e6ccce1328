"""All small values of a database in memory, as one commit left them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import pyarrow as pa

from millstream.store.interfaces import StoreId, Topic
from millstream.store.sqlite.checksums import checksum, checksum_body
from millstream.store.sqlite.connection import Connection, Row
from millstream.store.sqlite.failures import damaged
from millstream.store.sqlite.frames import FramePart, FrameRun, Frames, decode_frame
from millstream.store.sqlite.layered import Layered
from millstream.store.sqlite.layouts import KnownLayout, know, load_layout

NUMBER = "commit"
SEQ = "seq"
"""Names of counters: the number of the last commit, and the next sequence number."""


_FIRST = "first "


def first_of(topic: int) -> str:
    """The name of the counter that tells the first record a trimmed topic still has."""
    return f"{_FIRST}{topic}"


def topic_of(counter: str) -> int | None:
    """The topic of such a counter, None where it is another one."""
    return int(counter[len(_FIRST) :]) if counter.startswith(_FIRST) else None


class Log(NamedTuple):
    """A topic, how many records it has had, and the next offset of each partition."""

    topic: Topic
    records: int
    offsets: tuple[int, ...]


@dataclass(slots=True)
class Image:
    """The small values that commit `number` left: never changed once that commit is published.
    `merged` is the last commit whose rows are in the tables; those after it are frames.

    A commit works on a copy (`draft`), which becomes the next image; so undoing it is forgetting
    the copy. Entries and small values of states are kept as JSON text. `stores` and `store_ids` are
    each other's opposites. `trash` tells that dropped topics or stores have left rows to delete.
    """

    number: int = 0
    merged: int = 0
    counters: Layered[str, int] = field(default_factory=Layered)
    logs: Layered[int, Log] = field(default_factory=Layered)
    names: Layered[str, int] = field(default_factory=Layered)
    positions: Layered[str, dict[int, int]] = field(default_factory=Layered)
    entries: dict[str, Layered[int, str]] = field(default_factory=dict)
    stores: Layered[int, StoreId] = field(default_factory=Layered)
    store_ids: Layered[StoreId, int] = field(default_factory=Layered)
    metas: Layered[int, str] = field(default_factory=Layered)
    layouts: dict[int, KnownLayout] = field(default_factory=dict)
    layout_ids: dict[KnownLayout, int] = field(default_factory=dict)
    shapes: dict[int, pa.Schema] = field(default_factory=dict)
    frames: Frames = field(default_factory=Frames)
    trash: bool = False

    def draft(self) -> Image:
        """A copy for the next commit."""
        image = self.copy()
        image.number += 1
        return image

    def copy(self) -> Image:
        """A copy, to be changed until it is published. What lies deeper than one dictionary, and
        what changes rarely (names, stores, layouts, shapes), are still shared: whoever changes them
        replaces them."""
        return Image(
            self.number,
            self.merged,
            self.counters.copy(),
            self.logs.copy(),
            self.names,
            self.positions.copy(),
            self.entries.copy(),
            self.stores,
            self.store_ids,
            self.metas.copy(),
            self.layouts,
            self.layout_ids,
            self.shapes,
            self.frames,
            self.trash,
        )

    def count(self, name: str, by: int = 1) -> int:
        """Advance a counter; its value before is given."""
        value = self.counters.get(name, 0)
        self.counters[name] = value + by
        return value

    def add_topic(self, topic: Topic) -> None:
        """Know a topic, which has no records yet, leaving the images that share the names as they
        are."""
        self.logs[topic.id] = Log(topic, 0, (0,) * topic.partitions)
        self.names = self.names.copy()
        self.names[topic.name] = topic.id

    def remove_topic(self, topic: Topic) -> None:
        """Know a topic no longer, likewise."""
        del self.logs[topic.id]
        self.names = self.names.copy()
        del self.names[topic.name]

    def add_store(self, store: StoreId, store_id: int) -> None:
        """Know a state store, likewise."""
        self.stores, self.store_ids = self.stores.copy(), self.store_ids.copy()
        self.stores[store_id], self.store_ids[store] = store, store_id

    def remove_store(self, store_id: int) -> None:
        """Know a state store no longer, likewise."""
        self.stores, self.store_ids = self.stores.copy(), self.store_ids.copy()
        del self.store_ids[self.stores.pop(store_id)]
        self.metas.pop(store_id, None)

    def add_layout(self, layout: KnownLayout, layout_id: int) -> None:
        """Know a layout, likewise."""
        self.layouts = {**self.layouts, layout_id: layout}
        self.layout_ids = {**self.layout_ids, layout: layout_id}

    def add_shape(self, schema: pa.Schema, shape_id: int) -> None:
        """Know a schema of rows of state, likewise."""
        self.shapes = {**self.shapes, shape_id: schema}

    def name_of(self, store: int) -> str:
        """A state store, as an error names it."""
        known = self.stores.get(store)
        if known is None:
            return f"state store {store}"
        return f"state '{known.step}' of query {known.query_id}"

    def find_shape(self, schema: pa.Schema, guess: int = 0) -> int:
        """The id of a schema, metadata included, or 0. Hashing one is slow, so a guess comes
        first."""
        known = self.shapes.get(guess)
        if known is not None and schema.equals(known, check_metadata=True):
            return guess
        for shape_id, known in self.shapes.items():
            if schema.equals(known, check_metadata=True):
                return shape_id
        return 0


def commit_numbers(connection: Connection) -> tuple[int, int]:
    """The number of the last commit that the connection sees, and of the last one in the tables."""
    row = connection.one(
        "SELECT (SELECT max(id) FROM frame), (SELECT value FROM counter WHERE name = 'commit')"
    )
    assert row is not None
    framed, merged = row
    return max(framed or 0, merged or 0), merged or 0


Tell = Callable[[str, str], None]
"""Takes a table whose rows are damaged, and a sentence that says so."""


def _refuse(table: str, sentence: str) -> None:
    raise damaged(sentence)


def load_image(connection: Connection, known: Image | None = None, tell: Tell = _refuse) -> Image:
    """Read the image of the last commit that the connection sees, inside its transaction.

    Layouts and schemas that `known` has already (they never change) are taken from there. Rows
    that are damaged go to `tell`, which raises StoreError unless another one is given.
    """
    image = Image()
    rows = partial(_rows, connection, tell)
    image.counters = Layered(dict(rows("counter", "name, value")))
    for topic_id, *settings, records, offsets in rows("topic", _TOPIC_COLUMNS):
        topic = Topic(topic_id, *settings)
        image.logs[topic_id] = Log(topic, records, tuple(json.loads(offsets)))
        image.names[topic.name] = topic_id
    for owner, topic_id, ordinal in rows("position", "owner, topic, ordinal"):
        image.positions.setdefault(owner, {})[topic_id] = ordinal
    for kind, entry_id, content in rows("entry", "kind, id, content"):
        image.entries.setdefault(kind, Layered())[entry_id] = content
    for store_id, query, step, schema_hash, meta in rows("store", _STORE_COLUMNS):
        store = StoreId(query, step, schema_hash)
        image.stores[store_id], image.store_ids[store] = store, store_id
        if meta is not None:
            image.metas[store_id] = meta
    known = known or image
    after = f"WHERE id > {max(known.layouts, default=0)}"
    image.layouts = dict(known.layouts)
    for layout_id, text in rows("layout", "id, content", after):
        image.layouts[layout_id] = know(load_layout(text))
    image.layout_ids = {layout: i for i, layout in image.layouts.items()}
    after = f"WHERE id > {max(known.shapes, default=0)}"
    image.shapes = dict(known.shapes)
    for shape_id, content in rows("shape", "id, content", after):
        image.shapes[shape_id] = pa.ipc.read_schema(pa.py_buffer(content))
    image.trash = any(True for _ in rows("trash", "kind, owner"))
    image.number = image.merged = image.counters.get(NUMBER, 0)
    for number, crc, body in connection.all("SELECT id, crc, body FROM frame ORDER BY id"):
        if number != image.number + 1:
            tell("frame", f"commit {image.number + 1} is missing")
        # Where the table's own description is damaged, a row has no number.
        image.number = image.number + 1 if number is None else number
        if checksum_body(body, number) == crc:
            _apply(image, number, body)
        else:
            tell("frame", f"commit {image.number} cannot be read: the checksum does not match")
    return image


_TOPIC_COLUMNS = "id, name, partitions, replicas, retention_ms, cleanup_policy, records, offsets"
_STORE_COLUMNS = "id, query, step, schema_hash, meta"


def _rows(
    connection: Connection, tell: Tell, table: str, columns: str, where: str = ""
) -> Iterator[Row]:
    """The rows of a small table, checked, in the order in which they were made."""
    sql = f"SELECT {columns}, crc FROM {table} {where} ORDER BY rowid"
    for *values, crc in connection.all(sql):
        if checksum(*values) == crc:
            yield tuple(values)
        else:
            tell(table, f"a row of table {table} cannot be read: the checksum does not match")


def _apply(image: Image, number: int, body: bytes) -> None:
    """Add a frame to an image that is being loaded."""
    content = decode_frame(body)
    frames = image.frames
    image.counters.update(content.counters)
    frames.touched.counters |= content.counters.keys()
    for topic, records, offsets in content.ends:
        # It is not there only where its own row is damaged, and that was told.
        if topic in image.logs:
            image.logs[topic] = Log(image.logs[topic].topic, records, tuple(offsets))
        frames.touched.logs.add(topic)
    for owner, topic, ordinal in content.positions:
        image.positions.setdefault(owner, {})[topic] = ordinal
        frames.touched.positions.add((owner, topic))
    for store, meta in content.metas:
        image.metas[store] = meta
        frames.touched.metas.add(store)
    for kind, entry_id, text in content.entries:
        entries = image.entries.setdefault(kind, Layered())
        if text is None:
            entries.pop(entry_id, None)
        else:
            entries[entry_id] = text
        frames.touched.entries.add((kind, entry_id))
    for run in content.runs:
        frames.add_run(run.topic, FrameRun(run.base, run.count, content=run, layouts=image.layouts))
    for part in content.parts:
        framed = FramePart(number, part.page, part.shape, content=part, shapes=image.shapes)
        frames.add_part(part.store, framed)
    frames.count += 1
    frames.bytes += len(body)
