from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from millstream import types as t
from millstream.columns import arrow
from millstream.columns.keys import KeyIndex, hash_rows

STRUCT = t.Struct((t.Field("A", t.INTEGER), t.Field("B", t.STRING)))

CASES = [
    ([t.INTEGER], [[3], [1], [3], [None], [1], [None], [9]]),
    ([t.BIGINT], [[None], [-1], [2**62], [None], [-1], [0]]),
    ([t.STRING], [["a"], ["b"], [""], ["a"], [None], ["é"], [""], [None]]),
    ([t.STRING], [[f"user_{i % 37}"] for i in range(100)]),
    ([t.BYTES], [[b"\0"], [b""], [b"\0\0"], [b"\0"]]),
    ([t.DOUBLE], [[0.0], [-0.0], [float("nan")], [1.5], [0.0]]),
    ([t.BOOLEAN], [[True], [False], [True], [None]]),
    ([t.Decimal(5, 2)], [[Decimal("1.10")], [Decimal("1.11")], [Decimal("1.10")], [None]]),
    ([STRUCT], [[{"A": 1, "B": "x"}], [{"A": 1, "B": None}], [{"A": 1, "B": "x"}], [None]]),
    ([t.Array(t.INTEGER)], [[[1, 2]], [[1]], [[]], [None], [[1, 2]]]),
    ([t.STRING, t.STRING], [["a", "b"], ["ab", ""], ["", "ab"], ["b", "a"], [None, "b"]]),
    ([t.STRING, t.INTEGER], [["a", None], [None, 1], ["a", 1], ["a", None], [None, 1]]),
    ([t.INTEGER, t.BIGINT, t.STRING], [[1, 2, "x"], [2, 1, "x"], [1, 2, None], [1, 2, "x"]]),
]


def _columns(types: list[t.SqlType], rows: list[list[object]]) -> list[pa.Array]:
    return [arrow.from_python([r[i] for r in rows], x) for i, x in enumerate(types)]


def _identity(row: list[object]) -> str:
    return repr(row)


@pytest.mark.parametrize(("types", "rows"), CASES)
@pytest.mark.parametrize("cut", [1, 2, 100])
def test_numbers_follow_first_occurrence(
    types: list[t.SqlType], rows: list[list[object]], cut: int
) -> None:
    index, known = KeyIndex(types), dict[str, int]()
    assert index.find(_columns(types, rows)).tolist() == [-1] * len(rows)
    for start in range(0, len(rows), cut):
        part = rows[start : start + cut]
        expected = [known.setdefault(_identity(r), len(known)) for r in part]
        assert index.ids(_columns(types, part)).tolist() == expected
    everything = _columns(types, rows)
    ids = index.find(everything)
    assert ids.tolist() == [known[_identity(r)] for r in rows]
    assert len(index) == len(known)
    got = index.arrays(ids)
    assert [_identity(list(r)) for r in zip(*[a.to_pylist() for a in got], strict=True)] == [
        _identity(list(r)) for r in zip(*[a.to_pylist() for a in everything], strict=True)
    ]


@pytest.mark.parametrize(("types", "rows"), CASES)
def test_restored_keys_keep_their_numbers(types: list[t.SqlType], rows: list[list[object]]) -> None:
    index = KeyIndex(types)
    index.ids(_columns(types, rows[:2]))
    mark = len(index)
    saved = [index.added_since(0)]
    index.ids(_columns(types, rows))
    saved.append(index.added_since(mark))
    again = KeyIndex(types)
    for part in saved:
        again.restore(part)
    assert len(again) == len(index)
    columns = _columns(types, rows)
    assert again.find(columns).tolist() == index.find(columns).tolist()


@pytest.mark.parametrize(("types", "rows"), CASES)
def test_released_keys_are_unknown_and_come_back_as_new(
    types: list[t.SqlType], rows: list[list[object]]
) -> None:
    index = KeyIndex(types)
    columns = _columns(types, rows)
    ids = index.ids(columns)
    index.release(np.unique(ids))
    assert index.used == 0
    assert index.find(columns).tolist() == [-1] * len(rows)
    assert index.ids(columns).tolist() == ids.tolist()
    kept = np.unique(ids)[::2]
    index.release(np.setdiff1d(ids, kept))
    again = KeyIndex(types)
    again.restore(index.arrays(kept), kept)
    assert again.find(columns).tolist() == [i if i in kept else -1 for i in ids.tolist()]
    assert again.holds(np.unique(ids)).sum() == len(kept) == again.used
    assert sorted(again.ids(columns).tolist()) == sorted(index.ids(columns).tolist())


def test_sliced_columns_are_read_from_their_offset() -> None:
    index = KeyIndex([t.STRING])
    whole = pa.array(["x", "yy", "zzz", "yy"])
    assert index.ids([whole.slice(1)]).tolist() == [0, 1, 0]
    assert index.find([whole]).tolist() == [-1, 0, 1, 0]
    assert index.arrays(np.array([1, 0]))[0].to_pylist() == ["zzz", "yy"]


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("distinct", [3, 2000])
def test_many_texts_equal_a_dict(width: int, distinct: int) -> None:
    rng = np.random.default_rng(width)
    every: list[t.SqlType] = [t.STRING, t.BYTES, t.STRING]
    types = every[:width]
    index, known = KeyIndex(types), dict[str, int]()
    for _ in range(3):
        numbers = rng.integers(0, distinct, (3000, width))
        rows: list[list[object]] = [
            [None if n == 0 and i else (f"t{n}", f"b{n}".encode(), f"u{n}")[i] for i, n in pair]
            for pair in (list(enumerate(r)) for r in numbers.tolist())
        ]
        columns = _columns(types, rows)
        expected = [known.setdefault(_identity(r), len(known)) for r in rows]
        before = len(index)
        ids, first = index.insert(columns)
        assert ids.tolist() == expected
        assert [expected.index(i) for i in range(before, len(known))] == first.tolist()
        assert index.find(columns).tolist() == expected
    got = index.arrays(np.arange(len(known)))
    assert [_identity(list(r)) for r in zip(*[a.to_pylist() for a in got], strict=True)] == [*known]


def test_few_rows_have_the_hashes_that_they_have_among_many() -> None:
    texts = ["", "a", "12345678", "123456789", "é💥" * 9, "x" * 255, "y" * 300, None]
    columns = [
        pa.array(texts, pa.string()),
        pa.array([None, *(None if v is None else v.encode() for v in texts[:-1])], pa.binary()),
        pa.array([0, 1, -1, (1 << 31) - 1, -(1 << 31), None, 7, 8], pa.int32()),
        pa.array([0, 1, -1, (1 << 63) - 1, -(1 << 63), None, 7, 8], pa.int64()),
    ]
    types = [t.STRING, t.BYTES, t.INTEGER, t.TIMESTAMP]
    among_many = hash_rows([pa.concat_arrays([c] * 3) for c in columns], types)
    for start, stop in ((0, 8), (0, 1), (3, 6), (7, 8)):
        few = hash_rows([c.slice(start, stop - start) for c in columns], types)
        for codes, wanted in zip(few, among_many, strict=True):
            assert codes.tolist() == wanted[start:stop].tolist()
