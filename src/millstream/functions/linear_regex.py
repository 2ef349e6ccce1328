"""Matching regular expressions in time by the lengths of pattern and text, where `re` may not.

Python's matcher, as Java's, tries one way after the other. For some patterns on some texts there
are more ways than anyone can wait for, and it cannot be interrupted. `is_patient` says, of a
pattern and a text's length, whether that cannot happen. Where it can, a `LinearPattern` walks the
same ways in the same order, and goes no way twice that has failed: from a place of the pattern at a
place of the text the rest is the same, however it was reached. References to groups, looks ahead
and looks behind have no such rest: patterns with them are left to `re`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

# The tree of a pattern: the standard library keeps its parser to itself, and has no other.
sre: Any = importlib.import_module("re._constants")
sre_parser: Any = importlib.import_module("re._parser")

MOST_STEPS = 30_000_000
MOST_PLACES = 200_000_000
"""Places of the pattern times places of the text."""
_MOST_INSTRUCTIONS = 2_000
_PATIENCE = 10**9
"""Steps of Python's matcher that take about a second."""
_SHORT = 16
_MANY = 50
"""Repeats up to so often count as bounded."""

Test = Callable[[str], object]


class NotLinearError(Exception):
    """The pattern has something that cannot be matched in linear time."""


class LinearMatch:
    """What a `re.Match` tells, as far as it is asked."""

    __slots__ = ("_names", "_places", "_text")

    def __init__(self, text: str, places: list[int], names: dict[str, int]) -> None:
        self._text = text
        self._places = places
        self._names = names

    def __getitem__(self, group: int | str) -> str | None:
        number = self._names[group] if isinstance(group, str) and group in self._names else group
        if not isinstance(number, int) or not 0 <= number < len(self._places) // 2:
            raise IndexError("no such group")
        start, end = self._places[2 * number : 2 * number + 2]
        return None if start < 0 or end < 0 else self._text[start:end]

    def start(self) -> int:
        """Where the match begins."""
        return self._places[0]

    def end(self) -> int:
        """Where it ends."""
        return self._places[1]


@dataclass(slots=True)
class _Risk:
    """How many ways there may be: `nested` repeats in each other, and so many one after the other
    behind which something may fail."""

    nested: bool = False
    repeats: int = 0


def is_patient(pattern: re.Pattern[str], length: int) -> bool:
    """Whether Python's matcher is done with any text of this length within a second or so."""
    if length <= _SHORT:
        return True
    risk = _risks(pattern)
    return not risk.nested and length ** (risk.repeats + 1) <= _PATIENCE


_known: dict[re.Pattern[str], _Risk] = {}


def _risks(pattern: re.Pattern[str]) -> _Risk:
    risk = _known.get(pattern)
    if risk is None:
        if len(_known) > 10_000:
            _known.clear()
        risk = _known[pattern] = _Risk()
        _look(list(_parsed(pattern)), risk, inside=False, last=True)
    return risk


def _parsed(pattern: re.Pattern[str]) -> Any:
    return sre_parser.parse(pattern.pattern, pattern.flags)


def _look(items: list[Any], risk: _Risk, *, inside: bool, last: bool) -> None:
    for index, (op, argument) in enumerate(items):
        final = last and index == len(items) - 1
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            least, most, body = argument
            varies = least != most and most > 1
            if varies and inside:
                risk.nested = True
            if most > _MANY and not final:
                risk.repeats += 1
            _look(list(body), risk, inside=inside or most > 1, last=final and most == 1)
        elif op is sre.BRANCH:
            risk.nested = risk.nested or inside
            for branch in argument[1]:
                _look(list(branch), risk, inside=inside, last=final)
        elif op is sre.SUBPATTERN:
            _look(list(argument[3]), risk, inside=inside, last=final)
        elif op in (sre.ASSERT, sre.ASSERT_NOT):
            _look(list(argument[1]), risk, inside=inside, last=final)
        elif op is sre.ATOMIC_GROUP:
            _look(list(argument), risk, inside=inside, last=final)
        elif op is sre.GROUPREF_EXISTS:
            risk.nested = True


# --- instructions -------------------------------------------------------------------------------

_CHARACTER, _SPLIT, _JUMP, _SAVE, _HERE, _DONE = range(6)


class LinearPattern:
    """A pattern as instructions of a small machine; `NotLinearError` where it cannot be one."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.groups = pattern.groups
        self._names = dict(pattern.groupindex)
        self._flags = pattern.flags
        self._code: list[tuple[int, Any, Any]] = []
        self._emit_all(list(_parsed(pattern)), pattern.flags)
        self._code.append((_DONE, None, None))

    def search(self, text: str) -> LinearMatch | None:
        """The first match."""
        return next(self.finditer(text), None)

    def finditer(self, text: str) -> Iterator[LinearMatch]:
        """All matches, as `re` finds them. ValueError where that takes too long even so."""
        run = _Run(self._code, text, 2 * (self.groups + 1))
        place, must_advance = 0, False
        while place <= len(text):
            found = run.search(place, must_advance)
            if found is None:
                return
            yield LinearMatch(text, found, self._names)
            must_advance = found[0] == found[1]
            place = found[1]

    # --- from the pattern's tree ---------------------------------------------------------

    def _emit(self, op: int, first: Any = None, second: Any = None) -> int:
        if len(self._code) >= _MOST_INSTRUCTIONS:
            raise NotLinearError
        self._code.append((op, first, second))
        return len(self._code) - 1

    def _emit_all(self, items: list[Any], flags: int) -> None:
        for op, argument in items:
            self._emit_one(op, argument, flags)

    def _emit_one(self, op: Any, argument: Any, flags: int) -> None:
        if op in (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN):
            self._emit(_CHARACTER, _test(op, argument, flags), len(self._code) + 1)
        elif op is sre.AT:
            self._emit(_HERE, _here(argument, flags))
        elif op is sre.BRANCH:
            self._branch(argument[1], flags)
        elif op is sre.SUBPATTERN:
            group, added, removed, body = argument
            within = (flags | added) & ~removed
            if added & re.UNICODE:
                within &= ~re.ASCII
            if group is not None:
                self._emit(_SAVE, 2 * group)
            self._emit_all(list(body), within)
            if group is not None:
                self._emit(_SAVE, 2 * group + 1)
        elif op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            least, most, body = argument
            empty = body.getwidth()[0] == 0
            self._repeat(least, most, list(body), flags, empty, greedy=op is sre.MAX_REPEAT)
        else:
            raise NotLinearError

    def _branch(self, branches: list[Any], flags: int) -> None:
        ends = []
        for branch in branches[:-1]:
            split = self._emit(_SPLIT)
            self._emit_all(list(branch), flags)
            ends.append(self._emit(_JUMP))
            self._code[split] = (_SPLIT, split + 1, len(self._code))
        self._emit_all(list(branches[-1]), flags)
        for end in ends:
            self._code[end] = (_JUMP, len(self._code), None)

    def _repeat(
        self, least: int, most: Any, items: list[Any], flags: int, empty: bool, *, greedy: bool
    ) -> None:
        for _ in range(least):
            self._emit_all(items, flags)
        endless = most == sre.MAXREPEAT
        splits: list[int] = []
        leaving: list[int] = []
        for _ in range(1 if endless else most - least):
            splits.append(self._emit(_SPLIT))
            leaving += self._round(items, flags, empty)
        if endless:
            self._emit(_JUMP, splits[0])
        for split in splits:
            self._set_split(split, split + 1, len(self._code), greedy=greedy)
        for jump in leaving:
            self._code[jump] = (_JUMP, len(self._code), None)

    def _round(self, items: list[Any], flags: int, empty: bool) -> list[int]:
        """Emit what is repeated. A time round that matched nothing is the last: where there may be
        one, this is two copies, and a character leads from the first, which ends in a jump to
        leave by, into the second. Gives the jump."""
        first = len(self._code)
        self._emit_all(items, flags)
        if not empty:
            return []
        leave = self._emit(_JUMP)
        further = len(self._code) - first
        self._emit_all(items, flags)
        for at in range(first, leave):
            op, test, following = self._code[at]
            if op == _CHARACTER:
                self._code[at] = (op, test, following + further)
        return [leave]

    def _set_split(self, split: int, go_on: int, leave: int, *, greedy: bool) -> None:
        self._code[split] = (_SPLIT, go_on, leave) if greedy else (_SPLIT, leave, go_on)


_KEPT_FLAGS = re.IGNORECASE | re.ASCII | re.DOTALL


def _test(op: Any, argument: Any, flags: int) -> Test:
    """Whether a character is the one, or one of those, that the pattern names there."""
    if not flags & re.IGNORECASE:
        if op is sre.LITERAL:
            return chr(argument).__eq__
        if op is sre.NOT_LITERAL:
            return chr(argument).__ne__
        if op is sre.ANY:
            return (lambda c: True) if flags & re.DOTALL else "\n".__ne__
    known: dict[str, bool] = {}
    matches = _single(op, argument, flags & _KEPT_FLAGS).match

    def test(character: str) -> bool:
        found = known.get(character)
        if found is None:
            found = known[character] = matches(character) is not None
        return found

    return test


def _single(op: Any, argument: Any, flags: int) -> re.Pattern[str]:
    """A pattern of one character, in words of its own."""
    if op is sre.ANY:
        return re.compile(".", flags)
    if op in (sre.LITERAL, sre.NOT_LITERAL):
        inverse = "^" if op is sre.NOT_LITERAL else ""
        return re.compile(f"[{inverse}{_escaped(argument)}]", flags)
    parts = []
    for kind, value in argument:
        if kind is sre.NEGATE:
            parts.append("^")
        elif kind is sre.LITERAL:
            parts.append(_escaped(value))
        elif kind is sre.RANGE:
            parts.append(f"{_escaped(value[0])}-{_escaped(value[1])}")
        elif kind is sre.CATEGORY:
            parts.append(_CATEGORIES[value])
        else:
            raise NotLinearError
    return re.compile(f"[{''.join(parts)}]", flags)


def _escaped(code: int) -> str:
    return f"\\U{code:08x}"


_CATEGORIES = {
    sre.CATEGORY_DIGIT: r"\d", sre.CATEGORY_NOT_DIGIT: r"\D",
    sre.CATEGORY_SPACE: r"\s", sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_WORD: r"\w", sre.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip
_PLACES = {
    sre.AT_BEGINNING: "^", sre.AT_BEGINNING_STRING: r"\A", sre.AT_BOUNDARY: r"\b",
    sre.AT_NON_BOUNDARY: r"\B", sre.AT_END: "$", sre.AT_END_STRING: r"\Z",
}  # fmt: skip


def _here(kind: Any, flags: int) -> Callable[[str, int], object]:
    """Whether a place of the text is one of this kind."""
    written = _PLACES.get(kind)
    if written is None:
        raise NotLinearError
    return re.compile(written, flags & (re.MULTILINE | re.ASCII)).match


# --- running ------------------------------------------------------------------------------------


class _Run:
    """Searches in one text, which together take so many steps at most."""

    def __init__(self, code: list[tuple[int, Any, Any]], text: str, slots: int) -> None:
        if len(code) * (len(text) + 1) > MOST_PLACES:
            raise ValueError("the text is too long for this regular expression")
        self._code = code
        self._text = text
        self._slots = slots
        self._been = bytearray(len(code) * (len(text) + 1))
        self._left = MOST_STEPS
        self._furthest = 0

    def search(self, place: int, must_advance: bool) -> list[int] | None:
        """The places of the first match from here on, and of its groups."""
        self._furthest = place
        for start in range(place, len(self._text) + 1):
            found = self._match(start, must_advance and start == place)
            if found is not None:
                # One of these ways led to the match: for the next search all are open again.
                size = len(self._code)
                been = slice(place * size, (self._furthest + 1) * size)
                self._been[been] = bytes(been.stop - been.start)
                return found
        return None

    def _match(self, start: int, must_advance: bool) -> list[int] | None:
        code, text, been, size = self._code, self._text, self._been, len(self._code)
        length, left, furthest = len(text), self._left, max(self._furthest, start)
        places = [-1] * self._slots
        # What is left to try: an instruction and a place; or, to undo it, a slot and what it held.
        waiting: list[tuple[int, int, bool]] = [(0, start, False)]
        found = None
        while waiting and found is None:
            at, place, undo = waiting.pop()
            if undo:
                places[at] = place
                continue
            while not been[place * size + at]:
                been[place * size + at] = 1
                left -= 1
                if left < 0:
                    raise ValueError("the regular expression takes too long on this text")
                op, first, second = code[at]
                at += 1
                if op == _CHARACTER:
                    if place >= length or not first(text[place]):
                        break
                    place += 1
                    at = second
                    if place > furthest:
                        furthest = place
                elif op == _SPLIT:
                    waiting.append((second, place, False))
                    at = first
                elif op == _JUMP:
                    at = first
                elif op == _SAVE:
                    waiting.append((first, places[first], True))
                    places[first] = place
                elif op == _HERE:
                    if first(text, place) is None:
                        break
                elif must_advance and place == start:
                    break
                else:
                    places[0], places[1] = start, place
                    found = places
                    break
        self._left, self._furthest = left, furthest
        return found
