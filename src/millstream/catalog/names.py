"""Things by name, in the order in which they came, of which a changed copy costs little."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from math import isqrt
from typing import Self, TypeVar

T = TypeVar("T")

_LEAST_DIFFERENCE = 32


class Names(MutableMapping[str, T]):
    """A dict whose copies share what they have in common: a copy takes time by the square root of
    its size. A script of 100,000 statements makes as many copies, each with one thing more."""

    __slots__ = ("_added", "_common", "_gone", "_replaced")

    def __init__(self, given: Mapping[str, T] | None = None) -> None:
        self._common: dict[str, T] = dict(given or {})
        """Shared by copies, so it never changes."""
        self._added: dict[str, T] = {}
        self._replaced: dict[str, T] = {}
        self._gone: set[str] = set()

    def copy(self) -> Self:
        """Names that can be changed without changing these."""
        made = type(self).__new__(type(self))
        difference = len(self._added) + len(self._replaced) + len(self._gone)
        if difference > max(_LEAST_DIFFERENCE, isqrt(len(self._common))):
            made._common, made._added, made._replaced, made._gone = dict(self), {}, {}, set()
        else:
            made._common = self._common
            made._added = self._added.copy()
            made._replaced = self._replaced.copy()
            made._gone = self._gone.copy()
        return made

    def __getitem__(self, name: str) -> T:
        if name in self._added:
            return self._added[name]
        if name in self._gone:
            raise KeyError(name)
        if name in self._replaced:
            return self._replaced[name]
        return self._common[name]

    def __contains__(self, name: object) -> bool:
        return name in self._added or (name in self._common and name not in self._gone)

    def __setitem__(self, name: str, value: T) -> None:
        if name in self._common and name not in self._gone:
            self._replaced[name] = value
        else:
            self._added[name] = value

    def __delitem__(self, name: str) -> None:
        if name in self._added:
            del self._added[name]
        elif name in self:
            self._gone.add(name)
            self._replaced.pop(name, None)
        else:
            raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        for name in self._common:
            if name not in self._gone:
                yield name
        yield from self._added

    def __len__(self) -> int:
        return len(self._common) - len(self._gone) + len(self._added)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self)!r})"
