import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.columns import arrow
from millstream.columns.row_store import RowStore

TYPES = [t.STRING, t.Struct((t.Field("A", t.INTEGER),))]


def test_equals_a_dict_through_random_puts_and_removes() -> None:
    rng = np.random.default_rng(3)
    store, expected = RowStore(TYPES), dict[int, tuple[object, object]]()
    for step in range(200):
        slots = rng.integers(0, 300, int(rng.integers(0, 80)))
        if step % 3 == 2:
            store.remove(slots)
            for slot in slots.tolist():
                expected.pop(slot, None)
        else:
            rows = [
                (f"{step}-{i}" if i % 5 else None, {"A": i} if i % 7 else None)
                for i in range(len(slots))
            ]
            columns = [arrow.from_python([r[i] for r in rows], x) for i, x in enumerate(TYPES)]
            store.put(slots, columns)
            expected.update(zip(slots.tolist(), rows, strict=True))
        wanted = rng.integers(-1, 320, 50)
        arrays, absent = store.get(wanted)
        got = list(zip(*[a.to_pylist() for a in arrays], strict=True))
        assert absent.tolist() == [w not in expected for w in wanted.tolist()]
        assert got == [expected.get(w, (None, None)) for w in wanted.tolist()]
        assert len(store) == len(expected)
    assert store.slots().tolist() == sorted(expected)


def test_an_empty_store_gives_nulls() -> None:
    arrays, absent = RowStore(TYPES).get(np.array([0, 5]))
    assert absent.all()
    assert [a.null_count for a in arrays] == [2, 2]


def test_rows_that_change_again_and_again_need_no_more_memory() -> None:
    rng = np.random.default_rng(4)
    store = RowStore([t.BIGINT, t.STRING])
    count, held = 20_000, np.zeros(20_000, np.int64)

    def put(slots: np.ndarray, number: int) -> None:
        held[slots] = number
        texts = pa.array([f"text {number}"] * len(slots))
        store.put(slots, [pa.array(np.full(len(slots), number)), texts])

    put(np.arange(count), 0)
    for number in range(1, 2000):
        # Most of the changes are of the same slots; rows that stay lie in front of all others.
        put(rng.integers(0, count if number % 50 == 0 else 50, 60), number)
    (numbers, texts), absent = store.get(np.arange(count))
    assert not absent.any()
    assert numbers.to_pylist() == held.tolist()
    assert texts.to_pylist() == [f"text {n}" for n in held.tolist()]
    (only,), _ = store.get(np.array([7]), count=1)
    assert only.to_pylist() == [held[7]]
    assert sum(len(piece) for piece in store._columns[0]._pieces) < 4 * count
