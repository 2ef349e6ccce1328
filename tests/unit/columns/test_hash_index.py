import numpy as np
import pytest

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


def test_rebuild_forgets_the_rest() -> None:
    index = HashIndex()
    index.find_or_insert(np.array([5, 6, 7]))
    index.rebuild(np.array([7, 9]))
    assert index.find(np.array([5, 7, 9])).tolist() == [-1, 0, 1]
    assert len(index) == 2


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


def test_a_width_of_three_is_refused() -> None:
    with pytest.raises(ValueError, match="one or two"):
        HashIndex(3)


def test_first_occurrences_are_in_row_order() -> None:
    first, inverse = first_occurrences([np.array([7, 3, 7, 1, 3])])
    assert first.tolist() == [0, 1, 3]
    assert inverse.tolist() == [0, 1, 0, 2, 1]
