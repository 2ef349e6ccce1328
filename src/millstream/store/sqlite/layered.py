"""Dictionaries that every commit copies, however much they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from math import isqrt
from typing import Any, TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

_FEW = 64

_UNKNOWN: Any = object()
_GONE: Any = object()


class Layered(MutableMapping[K, V]):
    """A dictionary of which a copy costs as much as was changed lately.

    What changed lately lies in a small dictionary over a large one, which all copies share and
    nobody changes. Once the small one has grown past the root of the large one, the next copy has
    both as its large one: that is so rare that a change costs the root, too.
    """

    __slots__ = ("_base", "_recent")

    def __init__(
        self, base: Mapping[K, V] | None = None, recent: dict[K, Any] | None = None
    ) -> None:
        self._base: Mapping[K, V] = {} if base is None else base
        self._recent: dict[Any, Any] = {} if recent is None else recent

    def copy(self) -> Layered[K, V]:
        """The same contents, to be changed independently."""
        recent, base = self._recent, self._base
        if len(recent) > _FEW and len(recent) > isqrt(len(base)):
            return Layered(dict(self.items()))
        return Layered(base, recent.copy())

    def __getitem__(self, key: K) -> V:
        value = self._recent.get(key, _UNKNOWN)
        if value is _UNKNOWN:
            return self._base[key]
        if value is _GONE:
            raise KeyError(key)
        found: V = value
        return found

    @overload
    def get(self, key: K, default: None = None) -> V | None: ...

    @overload
    def get(self, key: K, default: V | T) -> V | T: ...

    def get(self, key: K, default: Any = None) -> Any:
        """The value of a key, or the default where there is none."""
        value = self._recent.get(key, _UNKNOWN)
        if value is _UNKNOWN:
            return self._base.get(key, default)
        return default if value is _GONE else value

    def __contains__(self, key: object) -> bool:
        value = self._recent.get(key, _UNKNOWN)
        return key in self._base if value is _UNKNOWN else value is not _GONE

    def __setitem__(self, key: K, value: V) -> None:
        self._recent[key] = value

    def __delitem__(self, key: K) -> None:
        if key not in self:
            raise KeyError(key)
        if key in self._base:
            self._recent[key] = _GONE
        else:
            del self._recent[key]

    def __iter__(self) -> Iterator[K]:
        """The keys, those that have been there for long before those that came lately."""
        recent, base = self._recent, self._base
        yield from (key for key in base if recent.get(key) is not _GONE)
        yield from (key for key in recent if key not in base)

    def __len__(self) -> int:
        return sum(1 for _ in self)
