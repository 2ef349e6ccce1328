import numpy as np
import pytest

from millstream.columns import hash_index
from millstream.columns.hash_index import HashIndex, first_occurrences


@pytest.mark.parametrize("width", [1, 2])
def test_equals_a_dict_over_many_random_batches(width: int) -> None:
    rng = np.random.default_rng(width)
    index, known = HashIndex(width), dict[tuple[int, ...], int]()
    for _ in range(60):
        size = int(rng.integers(0, 400))
        keys = [rng.integers(-40, 40, size) * 10**16 for _ in range(width)]
        rows = list(zip(*[k.tolist() for k in keys], strict=True))
        assert index.find(*keys).tolist() == [known.get(r, -1) for r in rows]
        for row in rows:
            known.setdefault(row, len(known))
        assert index.find_or_insert(*keys).tolist() == [known[r] for r in rows]
    assert len(index) == len(known)


def test_every_int64_is_a_legal_key() -> None:
    keys = np.array([0, -1, np.iinfo(np.int64).min, np.iinfo(np.int64).max, 1, -2])
    index = HashIndex()
    assert index.find(keys).tolist() == [-1] * 6
    assert index.find_or_insert(keys).tolist() == [0, 1, 2, 3, 4, 5]
    assert index.find(keys[::-1]).tolist() == [5, 4, 3, 2, 1, 0]


def test_grows_past_its_first_table() -> None:
    index = HashIndex()
    keys = np.arange(100_000) * 7919
    assert (index.find_or_insert(keys) == np.arange(100_000)).all()
    assert (index.find(keys[::-1]) == np.arange(100_000)[::-1]).all()


@pytest.mark.parametrize("width", [1, 2])
def test_keys_are_found_while_they_move_to_a_larger_table(width: int) -> None:
    rng = np.random.default_rng(9)
    index = HashIndex(width)
    keys = [np.arange(60_000) * 7919, np.arange(60_000) // 7][:width]
    index.find_or_insert(*[k[:50_000] for k in keys])
    for start in range(50_000, 60_000, 50):
        some = [k[start : start + 50] for k in keys]
        assert (index.find_or_insert(*some) == np.arange(start, start + 50)).all()
        rows = rng.integers(0, start + 50, 20)
        assert (index.find(*[k[rows] for k in keys]) == rows).all()
        gone = rows[:1]
        index.release(gone)
        assert index.find(*[k[gone] for k in keys]).tolist() == [-1]
        assert index.find_or_insert(*[k[gone] for k in keys]).tolist() == gone.tolist()
    assert len(index) == index.used == 60_000


def test_keys_that_come_and_go_need_no_more_room() -> None:
    index = HashIndex()
    for start in range(0, 100_000, 100):
        keys = np.arange(start, start + 100)
        slots = index.find_or_insert(keys)
        assert slots.tolist() == list(range(100))
        index.release(slots)
        assert (index.find(keys) == -1).all()


def test_released_slots_are_given_again() -> None:
    rng = np.random.default_rng(5)
    index, known = HashIndex(), dict[int, int]()
    for _ in range(60):
        keys = rng.integers(0, 300, 40)
        got = index.find_or_insert(keys)
        for key, slot in zip(keys.tolist(), got.tolist(), strict=True):
            assert known.setdefault(key, slot) == slot
        assert len(set(known.values())) == len(known) == index.used
        gone = rng.permutation(list(known))[: len(known) // 3]
        index.release(np.array([known.pop(int(k)) for k in gone]))
        assert (index.find(gone) == -1).all()
        assert len(index) <= 300
    again = HashIndex()
    again.restore(np.array(list(known.values())), np.array(list(known)))
    assert again.find(np.array(list(known))).tolist() == list(known.values())
    assert again.allocate(2).tolist() == index.allocate(2).tolist()


def test_what_few_rows_looked_up_is_remembered_only_while_it_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hash_index, "_RECALLED", 4)
    index = HashIndex()
    for first in range(0, 12, 3):
        numbers = list(range(first, first + 3))
        assert index.insert_each(numbers) == numbers
        assert index.insert_each([*numbers, 0]) == [*numbers, 0]
    assert index.find_each([0, 11, 12]) == [0, 11, -1]
    index.release(np.array([11]))
    assert index.find_each([0, 11]) == [0, -1]
    assert index.insert_each([11, 99, 11]) == [11, 12, 11]
    index.forget_recalled()
    assert index.find_each([99, 0]) == [12, 0]


def test_a_width_of_three_is_refused() -> None:
    with pytest.raises(ValueError, match="one or two"):
        HashIndex(3)


def test_first_occurrences_are_in_row_order() -> None:
    first, inverse = first_occurrences([np.array([7, 3, 7, 1, 3])])
    assert first.tolist() == [0, 1, 3]
    assert inverse.tolist() == [0, 1, 0, 2, 1]


@pytest.mark.parametrize("width", [1, 2])
def test_one_key_finds_what_many_find(width: int) -> None:
    rng = np.random.default_rng(width)
    one, many = HashIndex(width), HashIndex(width)
    for _ in range(300):
        keys = [rng.integers(-(2**63), 2**63, 20) // 10**17 for _ in range(width)]
        fresh = []
        for row, key in enumerate(zip(*[k.tolist() for k in keys], strict=True)):
            known = one.find_one(key)
            slots, first = one.insert(*[np.array([part]) for part in key])
            assert known in (-1, slots[0])
            fresh += [row] * len(first)
            assert (known < 0) == bool(len(first))
        slots, first = many.insert(*keys)
        assert one.find(*keys).tolist() == slots.tolist()
        assert fresh == first.tolist()
