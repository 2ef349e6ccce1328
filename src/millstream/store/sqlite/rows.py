"""Rows of the tables of runs and of parts, checked and decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from millstream.store.interfaces import Records, StatePart
from millstream.store.sqlite.blobs import decode_head, decode_run
from millstream.store.sqlite.checksums import checksum_body
from millstream.store.sqlite.connection import Row
from millstream.store.sqlite.cuts import Cuts, decode_cuts
from millstream.store.sqlite.failures import damaged
from millstream.store.sqlite.image import Image
from millstream.store.sqlite.parts import decode_rows

RUN_COLUMNS = "topic, base, count, first_seq, last_seq, head, crc, body"
PART_COLUMNS = "store, page, shape, form, count, cuts, crc, body"
PART_PLACES = "SELECT id, page FROM part WHERE store = ? AND page >= ? AND page < ? ORDER BY id"
PART_PAGES = "SELECT DISTINCT page FROM part WHERE store = ?"
ALL_PAGES = range(-(1 << 63), (1 << 63) - 1)


def holds(row: Row, topic: int, ordinal: int) -> bool:
    """Whether a row of `RUN_COLUMNS` is that of a topic's record."""
    return _is_place(row) and row[0] == topic and row[1] <= ordinal < row[1] + row[2]


def _is_place(row: Row) -> bool:
    """Whether topic, base and count are numbers at all, which damage may have changed."""
    return all(isinstance(value, int) for value in row[:3])


def read_run(row: Row, image: Image, topic: str) -> tuple[int, Records]:
    """The records of a row of `RUN_COLUMNS`, and the ordinal of the first one."""
    *small, crc, body = row
    _, base, count, _, _, head = small
    last = base + count - 1 if _is_place(row) else "..."
    with _damage(f"records {base} to {last} of topic '{topic}'"):
        _compare(checksum_body(body, *small), crc)
        return base, decode_run(decode_head(head), body, count, image.layouts)


def read_part(row: Row, image: Image) -> tuple[Cuts | None, StatePart]:
    """The rows of state of a row of `PART_COLUMNS`, and how they are to be cut."""
    *small, crc, body = row
    store, page, shape, form, count, cuts = small
    with _damage(f"page {page} of {image.name_of(store)}"):
        _compare(checksum_body(body, *small), crc)
        rows = decode_rows(form, count, body, image.shapes.get(shape))
        return None if cuts is None else decode_cuts(cuts), StatePart(page, rows.batch())


def _compare(found: int, stored: int) -> None:
    if found != stored:
        raise ValueError("the checksum does not match")


@contextmanager
def _damage(what: str) -> Iterator[None]:
    """Turn whatever reading raises into a StoreError that names the place."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise damaged(f"{what} cannot be read: {error}") from error
