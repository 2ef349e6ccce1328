import numpy as np
import pytest

from millstream.columns.block_index import BlockIndex


@pytest.mark.parametrize("shuffled", [False, True])
def test_equals_a_dict_over_many_random_runs(shuffled: bool) -> None:
    rng = np.random.default_rng(int(shuffled))
    index, known = BlockIndex(), dict[int, int]()
    for _ in range(60):
        starts = rng.integers(0, 40, int(rng.integers(0, 30))) * 10**15 + rng.integers(0, 30)
        codes = np.unique((starts[:, None] + np.arange(12)).ravel())[: int(rng.choice([20, 999]))]
        if shuffled:
            rng.shuffle(codes)
        assert index.find(codes).tolist() == [known.get(c, -1) for c in codes.tolist()]
        for code in codes.tolist():
            known.setdefault(code, len(known))
        assert index.find_or_insert_distinct(codes).tolist() == [known[c] for c in codes.tolist()]
        assert len(index) == len(known)
    some = rng.permutation(np.array(list(known)))
    assert index.find(some).tolist() == [known[c] for c in some.tolist()]
    assert index.find(np.array([10**18, 3])).tolist() == [-1, known.get(3, -1)]
