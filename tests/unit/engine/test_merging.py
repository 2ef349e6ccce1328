"""Cutting runs of records and merging what several queries wrote."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from millstream import types as t
from millstream.engine.merging import merge_pieces
from millstream.engine.source_rows import encode_part
from millstream.serde.base import Layout, TypedPart
from millstream.store.interfaces import Records
from millstream.store.records import slice_records
from tests.unit.store.builders import raw, records, typed

KEY = Layout("KAFKA", (t.Column("K", t.STRING, t.Role.KEY),), wrap=False)
VALUE = Layout("JSON", (t.Column("N", t.BIGINT),))
WIDER = Layout("JSON", (t.Column("N", t.BIGINT), t.Column("M", t.BIGINT)))


def written(values: list[tuple[int, int, str | None, int | None]], **more: Any) -> Records:
    """Typed records of (seq, writer, key, value)."""
    seq, writer, keys, numbers = zip(*values, strict=True)
    return records(
        typed(KEY, [keys], [k is None for k in keys]),
        typed(VALUE, [numbers], [n is None for n in numbers]),
        seq=seq,
        writer=writer,
        **more,
    )


def shown(run: Records) -> list[tuple[Any, ...]]:
    count = len(run)
    return list(
        zip(
            run.seq.tolist(),
            run.writer.tolist(),
            encode_part(run.key, count).to_pylist(),
            encode_part(run.value, count).to_pylist(),
            strict=True,
        )
    )


def test_a_part_of_a_run_holds_its_rows() -> None:
    whole = written(
        [(1, 0, "a", 1), (2, 0, None, 2), (3, 0, "c", None)],
        windows=[(0, 1), (2, 3), (4, 5)],
        headers=[[("h", b"1")], None, []],
    )
    assert shown(slice_records(whole, 1, 3)) == shown(whole)[1:]
    part = slice_records(whole, 1, 2)
    assert part.window_start is not None and part.window_start.tolist() == [2]
    assert part.window_end is not None and part.window_end.tolist() == [3]
    assert part.headers is not None and part.headers.to_pylist() == [None]
    assert slice_records(whole, 0, 3) is whole
    assert slice_records(whole, 0, 9) is whole
    assert shown(slice_records(whole, 0, 2)) == shown(whole)[:2]
    bytes_ = records(raw([b"x", None, b"z"]), raw([b"1", b"2", None]))
    assert shown(slice_records(bytes_, 1, 3)) == [(1, 0, None, b"2"), (2, 0, b"z", None)]


def test_pieces_come_in_the_order_of_seq_and_writer() -> None:
    first = written([(1, 2, "a", 1), (4, 2, "b", 2), (4, 2, "c", 3)])
    second = written([(1, 1, "d", 4), (4, 3, None, 5), (5, 3, "e", None)])
    (merged,) = merge_pieces([first, second])
    assert [(s, w, k) for s, w, k, _ in shown(merged)] == [
        (1, 1, b"d"),
        (1, 2, b"a"),
        (4, 2, b"b"),
        (4, 2, b"c"),
        (4, 3, None),
        (5, 3, b"e"),
    ]
    assert shown(merged)[-1][3] is None


def test_one_piece_is_left_alone() -> None:
    only = written([(1, 2, "a", 1)])
    assert merge_pieces([only])[0] is only


def test_pieces_without_headers_or_masks_join_those_with() -> None:
    bare = records(typed(KEY, [["a"]]), typed(VALUE, [[1]]), seq=[2], writer=[1])
    full = written([(1, 1, None, None)], headers=[[("h", b"1")]])
    (merged,) = merge_pieces([bare, full])
    assert shown(merged) == [(1, 1, None, None), (2, 1, b"a", b'{"N":1}')]
    assert merged.headers is not None
    assert merged.headers.to_pylist() == [[{"KEY": "h", "VALUE": b"1"}], None]
    windowed = [written([(n, n, "a", n)], windows=[(n, n + 1)]) for n in (2, 1)]
    (merged,) = merge_pieces(windowed)
    assert merged.window_start is not None and merged.window_start.tolist() == [1, 2]


def test_pieces_of_different_columns_become_runs_in_order() -> None:
    narrow = written([(1, 1, "a", 1), (3, 1, "b", 2), (4, 1, "c", 3)])
    wide = records(
        typed(KEY, [["x", "y"]]), typed(WIDER, [[7, 8], [9, None]]), seq=[2, 5], writer=[2, 2]
    )
    runs = merge_pieces([narrow, wide])
    assert [row[:2] for run in runs for row in shown(run)] == [
        (1, 1),
        (2, 2),
        (3, 1),
        (4, 1),
        (5, 2),
    ]
    layouts = [r.value.layout for r in runs if isinstance(r.value, TypedPart)]
    assert layouts == [VALUE, WIDER, VALUE, WIDER]


@pytest.mark.parametrize("seed", range(5))
def test_merging_is_sorting(seed: int) -> None:
    chance = np.random.default_rng(seed)
    pieces = []
    for writer in range(1, 5):
        seq = np.sort(chance.integers(0, 20, chance.integers(1, 15))).tolist()
        pieces.append(written([(s, writer, f"{writer}", i) for i, s in enumerate(seq)]))
    (merged,) = merge_pieces(pieces)
    rows = [row for piece in pieces for row in shown(piece)]
    assert shown(merged) == sorted(rows, key=lambda r: r[:2])
    assert isinstance(merged.key, TypedPart) and isinstance(merged.key.arrays[0], pa.Array)
