"""Dense numbers for keys of any type: what state is indexed by.

Two keys are one when they serialise to the same bytes: 0.0 and -0.0 are two, every NaN is one, and
a null inside a key of several columns is a value like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from millstream import types as t
from millstream.columns import arrow
from millstream.columns.hash_index import HashIndex, first_occurrences
from millstream.columns.hash_table import INT_FACTOR_1, INT_FACTOR_2, mix64, mix64_of_one
from millstream.columns.row_store import RowStore

_INTEGERS = frozenset((t.INTEGER, t.BIGINT, t.DATE, t.TIME, t.TIMESTAMP))
_TEXTS = frozenset((t.STRING, t.BYTES))
_SEED_1, _SEED_2 = np.uint64(0x243F6A8885A308D3), np.uint64(0x13198A2E03707344)
_NULL_1, _NULL_2 = np.uint64(0xA4093822299F31D0), np.uint64(0x082EFA98EC4E6C89)
_STEP, _FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_FEW, _MANY = 16, 1024
_RECALL_ROWS, _RECALL_INTEGERS = 128, 32
_RECALLED = 65_536
_LONG_TEXT = 256
_SLICE = 32_768
"""Texts hashed at once: their words stay in the processor's cache."""
_NO_ROWS = np.empty(0, np.int64)
_NAN_BITS = np.array([np.nan]).view(np.int64)[0]

Hash = tuple[np.ndarray, np.ndarray]
"""128 bits of hash per row, as two uint64 arrays. Equal hashes are taken for equal keys: among
10^9 keys two differing ones meet with a probability below 10^-20."""


class KeyIndex:
    """Gives keys the numbers 0, 1, 2, .. in the order in which they first came.

    Numbers of keys that were released are given again.
    """

    def __init__(self, types: Sequence[t.SqlType]) -> None:
        self.types = tuple(types)
        self._plain = len(self.types) == 1 and self.types[0] in _INTEGERS
        self._index = HashIndex(1 if self._plain else 2)
        self._null_id = -1
        self._values = RowStore(self.types)
        self._texts = all(x in _TEXTS for x in self.types)
        # Python tells values of these types apart exactly as their bytes do.
        can_recall = all(x in (t.STRING, *_INTEGERS) for x in self.types)
        self._recalled: dict[object, int] = {}
        self._few = (_RECALL_INTEGERS if self._plain else _RECALL_ROWS) if can_recall else 0
        """Up to so many rows a dict is asked first."""

    def __len__(self) -> int:
        """One more than the largest number that was ever given."""
        return len(self._index)

    @property
    def used(self) -> int:
        """How many keys there are."""
        return self._index.used

    def ids(self, arrays: list[pa.Array]) -> np.ndarray:
        """The number of each row's key; unknown keys get the next numbers."""
        return self.insert(arrays)[0]

    def insert(self, arrays: list[pa.Array]) -> tuple[np.ndarray, np.ndarray]:
        """The number of each row's key, and the rows at which unknown keys came first."""
        if len(arrays[0]) <= self._few:
            return self._insert_few(arrays)
        return self._insert_many(arrays)

    def recall(self, arrays: list[pa.Array]) -> np.ndarray | None:
        """The number of each row's key, where there are few rows and all keys are recalled."""
        if len(arrays[0]) > self._few:
            return None
        ids = [*map(self._recalled.get, _python_keys(arrays))]
        return None if None in ids else np.array(ids, np.int64)

    def find(self, arrays: list[pa.Array]) -> np.ndarray:
        """The number of each row's key, -1 where it is unknown."""
        if len(arrays[0]) <= self._few:
            return self._find_few(arrays)
        return self._find_many(arrays)

    def arrays(self, ids: np.ndarray) -> list[pa.Array]:
        """The key columns of the given numbers."""
        return self._values.get(ids)[0]

    def added_since(self, mark: int) -> list[pa.Array]:
        """The key columns of all keys from number `mark` on, where none was ever released."""
        return self.arrays(np.arange(mark, len(self)))

    def restore(self, arrays: list[pa.Array], ids: np.ndarray | None = None) -> None:
        """Add keys that were saved: in their order, or, into an empty index, with their numbers."""
        if ids is None:
            self.insert(arrays)
            return
        self._values.put(ids, arrays)
        held = np.ones(len(ids), bool)
        if self._plain and arrays[0].null_count:
            held = arrow.valid_mask(arrays[0])
            self._null_id = int(ids[~held][0])
        kept = pa.array(np.flatnonzero(held))
        some = arrays if held.all() else [a.take(kept) for a in arrays]
        self._index.restore(ids[held], *self._codes(some, True))
        if self._null_id >= 0:
            self._index.reserve(self._null_id)

    def release(self, ids: np.ndarray) -> None:
        """Forget keys; their numbers may be given again."""
        if (ids == self._null_id).any():
            self._null_id = -1
        self._recalled.clear()
        self._index.release(ids)
        self._values.remove(ids)

    def holds(self, ids: np.ndarray) -> np.ndarray:
        """Which numbers are in use."""
        return self._values.has(ids)

    # --- inside -------------------------------------------------------------------------------

    def _codes(self, arrays: list[pa.Array], distinct: bool = False) -> list[np.ndarray]:
        if self._plain:
            return [arrays[0].to_numpy(zero_copy_only=False).astype(np.int64, copy=False)]
        first, second = hash_rows(arrays, self.types, distinct)
        return [first.view(np.int64), second.view(np.int64)]

    def _find_few(self, arrays: list[pa.Array]) -> np.ndarray:
        rows, ids, unknown = self._recalled_ids(arrays)
        if len(unknown):
            found = self._find_many(_picked(arrays, unknown))
            ids[unknown] = found
            places = zip(unknown.tolist(), found.tolist(), strict=True)
            self._recall((rows[place], i) for place, i in places if i >= 0)
        return ids

    def _find_many(self, arrays: list[pa.Array]) -> np.ndarray:
        first = arrays[0]
        if self._plain and first.null_count:
            found = self._index.find(*self._codes([first.fill_null(0)]))
            return np.where(arrow.valid_mask(first), found, self._null_id)
        if self._texts and len(arrays) == 1 and len(first) >= _FEW and not first.null_count:
            encoded = first.dictionary_encode()
            found = self._index.find(*self._codes([encoded.dictionary], True))
            return np.asarray(found[encoded.indices.to_numpy()])
        return self._index.find(*self._codes(arrays))

    def _recall(self, keys: Iterable[tuple[object, int]]) -> None:
        """Remember the numbers of some keys."""
        if len(self._recalled) >= _RECALLED:
            self._recalled.clear()
        self._recalled.update(keys)

    def _insert_few(self, arrays: list[pa.Array]) -> tuple[np.ndarray, np.ndarray]:
        """A few rows: most are of keys that were seen a moment ago, which a dict knows fastest."""
        rows, ids, unknown = self._recalled_ids(arrays)
        if len(unknown) == 0:
            return ids, unknown
        found, first = self._insert_many(_picked(arrays, unknown))
        ids[unknown] = found
        places = zip(unknown.tolist(), found.tolist(), strict=True)
        self._recall((rows[place], i) for place, i in places)
        return ids, unknown[first]

    def _recalled_ids(self, arrays: list[pa.Array]) -> tuple[list[object], np.ndarray, np.ndarray]:
        """The rows' keys, their numbers as far as they are recalled, and where they are not."""
        rows = _python_keys(arrays)
        known = self._recalled.get
        ids = [known(row, -1) for row in rows]
        if -1 not in ids:
            return rows, np.array(ids, np.int64), _NO_ROWS
        unknown = [place for place, number in enumerate(ids) if number < 0]
        return rows, np.array(ids, np.int64), np.array(unknown, np.int64)

    def _insert_many(self, arrays: list[pa.Array]) -> tuple[np.ndarray, np.ndarray]:
        if arrays[0].null_count:
            if self._plain:
                return self._insert_with_null(arrays[0])
        elif self._texts and len(arrays) == 1 and len(arrays[0]) >= _FEW:
            return self._insert_texts(arrays[0])
        if self._texts and len(arrays[0]) >= _MANY:
            number, rows = _distinct_texts(arrays)
            if 2 * len(rows) < len(arrays[0]):
                picked = pa.array(rows)
                ids, first = self._insert_rows([a.take(picked) for a in arrays])
                return ids[number], rows[first]
        return self._insert_rows(arrays)

    def _insert_rows(self, arrays: list[pa.Array]) -> tuple[np.ndarray, np.ndarray]:
        ids, first = self._index.insert(*self._codes(arrays))
        if len(first):
            picked = pa.array(first)
            self._values.put(ids[first], [a.take(picked) for a in arrays])
        return ids, first

    def _insert_texts(self, array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Look each distinct text up once; a dictionary holds them by first occurrence."""
        encoded = array.dictionary_encode()
        texts, index = encoded.dictionary, encoded.indices.to_numpy()
        ids, fresh = self._index.insert(*self._codes([texts], True))
        if len(fresh) == 0:
            return ids[index], fresh
        self._values.put(ids[fresh], [texts.take(pa.array(fresh))])
        first = np.empty(len(texts), np.int64)
        first[index[::-1]] = np.arange(len(index))[::-1]
        return ids[index], first[fresh]

    def _insert_with_null(self, array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        valid = arrow.valid_mask(array)
        ids = np.empty(len(array), np.int64)
        fresh = []
        rest = np.arange(len(array))
        if self._null_id < 0:
            # The null takes its number in its turn among the keys of this batch.
            first_null = int(np.argmin(valid))
            if first_null:
                ids[:first_null], some = self._insert_many([array.slice(0, first_null)])
                fresh.append(some)
            self._null_id = int(self._index.allocate(1)[0])
            self._values.put(np.array([self._null_id]), [pa.nulls(1, array.type)])
            fresh.append(np.array([first_null]))
            rest = rest[first_null:]
        ids[rest[~valid[rest]]] = self._null_id
        held = rest[valid[rest]]
        if len(held):
            ids[held], some = self._insert_many([array.take(pa.array(held))])
            fresh.append(held[some])
        return ids, np.concatenate(fresh) if fresh else np.empty(0, np.int64)


def _python_keys(arrays: list[pa.Array]) -> list[object]:
    """Each row's key: the value of the only column, or the values of all."""
    if len(arrays) == 1:
        values: list[object] = arrays[0].to_pylist()
        return values
    return [*zip(*[a.to_pylist() for a in arrays], strict=True)]


def _picked(arrays: list[pa.Array], rows: np.ndarray) -> list[pa.Array]:
    if len(rows) == len(arrays[0]):
        return arrays
    index = pa.array(rows)
    return [arrow.take(a, index) for a in arrays]


# --- hashes ------------------------------------------------------------------------------------


def hash_rows(
    arrays: Sequence[pa.Array], types: Sequence[t.SqlType], distinct: bool = False
) -> Hash:
    """128 bits of hash of each row of some columns; columns count by position.

    `distinct`: few texts occur twice, so that looking for such costs more than it spares.
    """
    length = len(arrays[0]) if arrays else 0
    if length < _FEW:
        few = _hash_few(arrays, types)
        if few is not None:
            return few
    first = np.full(length, _SEED_1)
    second = np.full(length, _SEED_2)
    for array, sql_type in zip(arrays, types, strict=True):
        one, two = _hash_column(array, sql_type, distinct)
        first = mix64(first * _STEP + one)
        second = mix64(second * _STEP + two)
    return first, second


def _hash_few(arrays: Sequence[pa.Array], types: Sequence[t.SqlType]) -> Hash | None:
    """The same hashes of a few rows, value by value: NumPy's calls cost more than a few values.

    None where a column is not of texts or integers, or a text is long.
    """
    columns: list[list[tuple[int, int]]] = []
    for array, sql_type in zip(arrays, types, strict=True):
        if sql_type in _INTEGERS:
            columns.append([_hash_integer(v) for v in array.to_pylist()])
        elif sql_type in _TEXTS:
            texts = [v.encode() if type(v) is str else v for v in array.to_pylist()]
            if any(v is not None and len(v) > _LONG_TEXT for v in texts):
                return None
            columns.append([_hash_text(v) for v in texts])
        else:
            return None
    first, second = [], []
    for row in zip(*columns, strict=True):
        one, two = _SEED_1_INT, _SEED_2_INT
        for code_1, code_2 in row:
            one = mix64_of_one((one * _STEP_INT + code_1) & _ALL_BITS)
            two = mix64_of_one((two * _STEP_INT + code_2) & _ALL_BITS)
        first.append(one)
        second.append(two)
    return np.array(first, np.uint64), np.array(second, np.uint64)


_ALL_BITS = (1 << 64) - 1
_SEED_1_INT, _SEED_2_INT, _STEP_INT = int(_SEED_1), int(_SEED_2), int(_STEP)
_NULL_INTS = int(_NULL_1), int(_NULL_2)
_WORDS_OF_LONG = _LONG_TEXT // 8
_PLACES = [
    (mix64_of_one(i * int(_STEP) & _ALL_BITS), mix64_of_one(i * int(_FACTOR) & _ALL_BITS))
    for i in range(_WORDS_OF_LONG)
]


def _hash_integer(value: int | None) -> tuple[int, int]:
    if value is None:
        return _NULL_INTS
    code = value & _ALL_BITS
    return mix64_of_one(code + _SEED_1_INT & _ALL_BITS), mix64_of_one(code ^ _SEED_2_INT)


def _hash_text(value: bytes | None) -> tuple[int, int]:
    if value is None:
        return _NULL_INTS
    one = two = len(value)
    for start, (place_1, place_2) in zip(range(0, len(value), 8), _PLACES, strict=False):
        word = int.from_bytes(value[start : start + 8], "little")
        # Each is `mix64_of_one`, whose call would cost as much as what it does.
        x = (word + _SEED_1_INT & _ALL_BITS) ^ place_1
        x = ((x ^ (x >> 30)) * INT_FACTOR_1) & _ALL_BITS
        x = ((x ^ (x >> 27)) * INT_FACTOR_2) & _ALL_BITS
        one += x ^ (x >> 31)
        x = (word ^ _SEED_2_INT) + place_2 & _ALL_BITS
        x = ((x ^ (x >> 30)) * INT_FACTOR_1) & _ALL_BITS
        x = ((x ^ (x >> 27)) * INT_FACTOR_2) & _ALL_BITS
        two += x ^ (x >> 31)
    first = mix64_of_one(one + _SEED_1_INT & _ALL_BITS)
    return first, mix64_of_one((two & _ALL_BITS) ^ _SEED_2_INT)


def _hash_column(array: pa.Array, sql_type: t.SqlType, distinct: bool) -> Hash:
    match sql_type:
        case t.STRING | t.BYTES:
            return _hash_texts(array) if distinct else _hash_distinct(array)
        case t.DOUBLE:
            values = _numbers(array, 0.0).astype(np.float64, copy=False)
            bits = np.where(np.isnan(values), _NAN_BITS, values.view(np.int64))
        case t.BOOLEAN:
            bits = _numbers(array, False).astype(np.int64)
        case t.Primitive():
            bits = _numbers(array, 0).astype(np.int64)
        case t.Decimal():
            encoded = array.dictionary_encode()
            texts = pa.array([str(v) for v in encoded.dictionary.to_pylist()], pa.string())
            return _hash_distinct(texts.take(encoded.indices))
        case _:
            items = arrow.to_python(array, sql_type)
            return _hash_distinct(pa.array([v if v is None else repr(v) for v in items], "string"))
    code = bits.view(np.uint64)
    return _null_where_missing(array, mix64(code + _SEED_1), mix64(code ^ _SEED_2))


def _numbers(array: pa.Array, missing: object) -> np.ndarray:
    filled = array.fill_null(missing) if array.null_count else array
    return np.asarray(filled.to_numpy(zero_copy_only=False))


def _null_where_missing(array: pa.Array, first: np.ndarray, second: np.ndarray) -> Hash:
    if array.null_count:
        missing = ~arrow.valid_mask(array)
        first[missing] = _NULL_1
        second[missing] = _NULL_2
    return first, second


def _hash_distinct(array: pa.Array) -> Hash:
    """Hash each distinct text or byte string once, and hand the hashes to the rows."""
    if len(array) < _FEW:
        return _hash_texts(array)
    encoded = array.dictionary_encode()
    first, second = _hash_texts(encoded.dictionary)
    index = encoded.indices
    if index.null_count:
        row = index.fill_null(len(first)).to_numpy()
        return np.append(first, _NULL_1)[row], np.append(second, _NULL_2)[row]
    row = index.to_numpy()
    return first[row], second[row]


def _distinct_texts(arrays: list[pa.Array]) -> tuple[np.ndarray, np.ndarray]:
    """Number the distinct rows of some text columns by first occurrence: each row's number, and
    the row at which each comes first."""
    code, span = np.zeros(len(arrays[0]), np.int64), 1
    for array in arrays:
        encoded = array.dictionary_encode()
        size = len(encoded.dictionary)
        index = encoded.indices.fill_null(size).to_numpy()
        span *= size + 1
        if span >= 1 << 62:
            rows = np.arange(len(code))
            return rows, rows
        code = code * (size + 1) + index
    first, number = first_occurrences([code])
    return number, first


def _hash_texts(array: pa.Array) -> Hash:
    if len(array) <= 2 * _SLICE:
        return _null_where_missing(array, *_hash_bytes(array))
    parts = [_hash_bytes(array.slice(at, _SLICE)) for at in range(0, len(array), _SLICE)]
    first, second = (np.concatenate(p) for p in zip(*parts, strict=True))
    return _null_where_missing(array, first, second)


def _hash_bytes(array: pa.Array) -> Hash:
    """Sums of one mixed word per eight bytes, keyed by its place, over the length."""
    length = len(array)
    if length == 0:
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[array.offset : array.offset + length + 1]
    offsets = offsets.astype(np.int64)
    sizes = np.diff(offsets)
    sum_1 = sizes.astype(np.uint64)
    sum_2 = sum_1.copy()
    words = (sizes + 7) >> 3
    total = int(words.sum())
    if total:
        used = np.flatnonzero(sizes)
        data = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
        word, place = _words(data, offsets[:-1] - offsets[0], sizes, words, total)
        starts = (np.cumsum(words) - words)[used]
        first = mix64((word + _SEED_1) ^ mix64(place * _STEP))
        second = mix64((word ^ _SEED_2) + mix64(place * _FACTOR))
        sum_1[used] += np.add.reduceat(first, starts)
        sum_2[used] += np.add.reduceat(second, starts)
    return mix64(sum_1 + _SEED_1), mix64(sum_2 ^ _SEED_2)


def _words(
    data: np.ndarray, starts: np.ndarray, sizes: np.ndarray, words: np.ndarray, total: int
) -> tuple[np.ndarray, np.ndarray]:
    """The strings' bytes in words of eight, the last one filled up with zeros; and each word's
    place in its string."""
    padded = np.empty(len(data) + 8, np.uint8)
    padded[: len(data)] = data
    padded[len(data) :] = 0
    before = np.cumsum(words) - words
    place = np.arange(total) - np.repeat(before, words)
    offset = np.repeat(starts, words) + (place << 3)
    # Words may begin at any byte, so this view steps byte by byte.
    word = np.ndarray(len(data) + 1, np.dtype("<u8"), padded, strides=(1,))[offset]
    rest = np.repeat(sizes, words) - (place << 3)
    last = np.flatnonzero(rest < 8)
    word[last] &= (np.uint64(1) << (rest[last].astype(np.uint64) << np.uint64(3))) - np.uint64(1)
    return word, place.astype(np.uint64)
