"""The order of the rows of state that a merge of frames has joined.

A store's parts are read in the order in which they were written, over all its pages. A merge joins
what many small commits added to each page, one row of the file a page; where they came to several
pages in turn, each of those rows also keeps its cuts: the merge's number, and for each piece its
place in the merge and how many rows it has. A reader cuts them again, and takes them in order.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from millstream.store.interfaces import StatePart


class Cuts(msgspec.Struct, array_like=True, frozen=True):
    """The pieces of one row of the file: (place, rows), in order."""

    merge: int
    pieces: list[tuple[int, int]]


encode_cuts = msgspec.msgpack.Encoder().encode
decode_cuts = msgspec.msgpack.Decoder(Cuts).decode


def in_order(joined: Sequence[tuple[Cuts, StatePart]]) -> list[StatePart]:
    """The parts of one merge as they were written; neighbours in one page stay together."""
    pieces: list[tuple[int, int, int, int]] = []
    for number, (cuts, _) in enumerate(joined):
        start = 0
        for place, rows in cuts.pieces:
            pieces.append((place, number, start, rows))
            start += rows
    pieces.sort()
    parts: list[tuple[int, int, int]] = []
    for _, number, start, rows in pieces:
        if parts and parts[-1][0] == number:
            _, first, before = parts[-1]
            parts[-1] = (number, first, before + rows)
        else:
            parts.append((number, start, rows))
    return [
        StatePart(joined[number][1].page, joined[number][1].rows.slice(start, rows))
        for number, start, rows in parts
    ]
