"""All small values of a database in memory, as one commit left them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import pyarrow as pa

from millstream.store.interfaces import StoreId, Topic
from millstream.store.sqlite.connection import Connection
from millstream.store.sqlite.frames import FramePart, FrameRun, Frames, decode_frame
from millstream.store.sqlite.layouts import KnownLayout, know, load_layout

NUMBER = "commit"
SEQ = "seq"
"""Names of counters: the number of the last commit, and the next sequence number."""


def first_of(topic: int) -> str:
    """The name of the counter that tells the first record a trimmed topic still has."""
    return f"first {topic}"


@dataclass(frozen=True, slots=True)
class Log:
    """A topic, how many records it has had, and the next offset of each partition."""

    topic: Topic
    records: int
    offsets: tuple[int, ...]


@dataclass(slots=True)
class Image:
    """The small values that commit `number` left: never changed once that commit is published.

    A commit works on a copy (`draft`), which becomes the next image; so undoing it is forgetting
    the copy. Entries and small values of states are kept as JSON text. `trash` tells that dropped
    topics or stores have left rows to delete.
    """

    number: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    logs: dict[int, Log] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    positions: dict[str, dict[int, int]] = field(default_factory=dict)
    entries: dict[str, dict[int, str]] = field(default_factory=dict)
    stores: dict[StoreId, int] = field(default_factory=dict)
    metas: dict[int, str] = field(default_factory=dict)
    layouts: dict[int, KnownLayout] = field(default_factory=dict)
    layout_ids: dict[KnownLayout, int] = field(default_factory=dict)
    shapes: dict[int, pa.Schema] = field(default_factory=dict)
    frames: Frames = field(default_factory=Frames)
    trash: bool = False

    def draft(self) -> Image:
        """A copy for the next commit. What lies deeper than one dictionary, and the layouts and
        shapes, are still shared: whoever changes them replaces them."""
        return replace(
            self,
            number=self.number + 1,
            counters=dict(self.counters),
            logs=dict(self.logs),
            names=dict(self.names),
            positions=dict(self.positions),
            entries=dict(self.entries),
            stores=dict(self.stores),
            metas=dict(self.metas),
        )

    def count(self, name: str, by: int = 1) -> int:
        """Advance a counter; its value before is given."""
        value = self.counters.get(name, 0)
        self.counters[name] = value + by
        return value

    def add_layout(self, layout: KnownLayout, layout_id: int) -> None:
        """Know a layout, leaving the images that share the dictionaries as they are."""
        self.layouts = {**self.layouts, layout_id: layout}
        self.layout_ids = {**self.layout_ids, layout: layout_id}

    def add_shape(self, schema: pa.Schema, shape_id: int) -> None:
        """Know a schema of rows of state, likewise."""
        self.shapes = {**self.shapes, shape_id: schema}

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


def commit_number(connection: Connection) -> int:
    """The number of the last commit that the connection sees."""
    row = connection.one(
        "SELECT max(coalesce((SELECT value FROM counter WHERE name = 'commit'), 0),"
        " coalesce((SELECT max(id) FROM frame), 0))"
    )
    return 0 if row is None else int(row[0])


def load_image(connection: Connection, known: Image | None = None) -> Image:
    """Read the image of the last commit that the connection sees, inside its transaction.

    Layouts and schemas that `known` has already (they never change) are taken from there.
    """
    image = Image()
    image.counters = dict(connection.all("SELECT name, value FROM counter"))
    _load_topics(connection, image)
    for owner, topic, ordinal in connection.all("SELECT owner, topic, ordinal FROM position"):
        image.positions.setdefault(owner, {})[topic] = ordinal
    for kind, entry_id, content in connection.all(
        "SELECT kind, id, content FROM entry ORDER BY kind, id"
    ):
        image.entries.setdefault(kind, {})[entry_id] = content
    for store_id, query, step, schema_hash, meta in connection.all(
        "SELECT id, query, step, schema_hash, meta FROM store ORDER BY id"
    ):
        image.stores[StoreId(query, step, schema_hash)] = store_id
        if meta is not None:
            image.metas[store_id] = meta
    _load_layouts(connection, image, known)
    image.trash = bool(connection.all("SELECT 1 FROM trash LIMIT 1"))
    image.number = image.counters.get(NUMBER, 0)
    for number, body in connection.all("SELECT id, body FROM frame ORDER BY id"):
        _apply(image, number, body)
    return image


def _load_topics(connection: Connection, image: Image) -> None:
    for (
        topic_id,
        name,
        partitions,
        replicas,
        retention_ms,
        policy,
        records,
        offsets,
    ) in connection.all(
        "SELECT id, name, partitions, replicas, retention_ms, cleanup_policy, records, offsets"
        " FROM topic ORDER BY id"
    ):
        topic = Topic(topic_id, name, partitions, replicas, retention_ms, policy)
        image.logs[topic_id] = Log(topic, records, tuple(json.loads(offsets)))
        image.names[name] = topic_id


def _load_layouts(connection: Connection, image: Image, known: Image | None) -> None:
    known = known or image
    image.layouts = dict(known.layouts)
    image.shapes = dict(known.shapes)
    for layout_id, text in connection.all(
        "SELECT id, content FROM layout WHERE id > ?", (max(known.layouts, default=0),)
    ):
        image.layouts[layout_id] = know(load_layout(text))
    for shape_id, content in connection.all(
        "SELECT id, content FROM shape WHERE id > ?", (max(known.shapes, default=0),)
    ):
        image.shapes[shape_id] = pa.ipc.read_schema(pa.py_buffer(content))
    image.layout_ids = {layout: i for i, layout in image.layouts.items()}


def _apply(image: Image, number: int, body: bytes) -> None:
    """Add a frame to an image that is being loaded."""
    content = decode_frame(body)
    frames = image.frames
    image.number = number
    image.counters |= content.counters
    frames.touched.counters |= content.counters.keys()
    for topic, records, offsets in content.ends:
        image.logs[topic] = replace(image.logs[topic], records=records, offsets=tuple(offsets))
        frames.touched.logs.add(topic)
    for owner, topic, ordinal in content.positions:
        image.positions.setdefault(owner, {})[topic] = ordinal
        frames.touched.positions.add((owner, topic))
    for store, meta in content.metas:
        image.metas[store] = meta
        frames.touched.metas.add(store)
    for kind, entry, text in content.entries:
        if text is None:
            image.entries.get(kind, {}).pop(entry, None)
        else:
            image.entries.setdefault(kind, {})[entry] = text
        frames.touched.entries.add((kind, entry))
    for run in content.runs:
        frames.add_run(run.topic, FrameRun(run.base, run.count, content=run, layouts=image.layouts))
    for part in content.parts:
        frames.add_part(part.store, FramePart(number, part.page, content=part, shapes=image.shapes))
    frames.count += 1
    frames.bytes += len(body)
