"""Functions that hide text: letters and digits become other characters, their kind kept."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from millstream import types as t
from millstream.functions.registry import ScalarFunction, Variant

S, I = t.STRING, t.INTEGER  # noqa: E741
_KINDS = {"Lu": 0, "Ll": 1, "Nd": 2}
_DEFAULT = ("X", "x", "n", "-")
Masks = tuple[str | None, str | None, str | None, str | None]
"""What stands for upper case, lower case, digits and the rest; None keeps the character."""


def _masked(text: str, masks: Masks) -> str:
    return "".join(masks[_KINDS.get(unicodedata.category(c), 3)] or c for c in text)


def _checked(upper: str | None, lower: str | None, digit: str | None, other: str | None) -> Masks:
    for mask in (upper, lower, digit, other):
        if mask is not None and len(mask) != 1:
            raise ValueError(f"a mask is one character, not '{mask}'")
    return upper, lower, digit, other


def _mask(text: str | None, *masks: str | None) -> str | None:
    used = _checked(*masks) if masks else _DEFAULT
    return None if text is None else _masked(text, used)


def _partly(split: Callable[[str, int], tuple[str, str, str]]) -> Callable[..., str | None]:
    """A function that masks the middle of the three parts that `split` makes."""

    def apply(text: str | None, count: int | None, *masks: str | None) -> str | None:
        used = _checked(*masks) if masks else _DEFAULT
        if count is None:
            raise ValueError("the number of characters is null")
        if count < 0:
            raise ValueError("the number of characters is negative")
        if text is None:
            return None
        before, hidden, after = split(text, count)
        return before + _masked(hidden, used) + after

    return apply


def _functions(name: str, what: str, example: tuple[str, str], row: Callable[..., str | None],
               *counted: t.SqlType) -> ScalarFunction:  # fmt: skip
    plain = (S, *counted)
    return ScalarFunction(
        name, "string", what,
        (
            Variant(plain, S, row, null_if_null=False),
            Variant((*plain, S, S, S, S), S, row, null_if_null=False),
        ),
        (example,),
    )  # fmt: skip


FUNCTIONS = (
    _functions(
        "MASK", "The text with every character masked; NULL for a mask keeps its kind.",
        ("MASK('My Test $123')", "'Xx-Xxxx--nnn'"), _mask,
    ),
    _functions(
        "MASK_LEFT", "The text with its first n characters masked.",
        ("MASK_LEFT('My Test $123', 4)", "'Xx-Xest $123'"),
        _partly(lambda text, n: ("", text[:n], text[n:])), I,
    ),
    _functions(
        "MASK_RIGHT", "The text with its last n characters masked.",
        ("MASK_RIGHT('My Test $123', 4)", "'My Test -nnn'"),
        _partly(lambda text, n: (text[: max(len(text) - n, 0)], text[max(len(text) - n, 0) :], "")),
        I,
    ),
    _functions(
        "MASK_KEEP_LEFT", "The text with all but its first n characters masked.",
        ("MASK_KEEP_LEFT('My Test $123', 4)", "'My Txxx--nnn'"),
        _partly(lambda text, n: (text[:n], text[n:], "")), I,
    ),
    _functions(
        "MASK_KEEP_RIGHT", "The text with all but its last n characters masked.",
        ("MASK_KEEP_RIGHT('My Test $123', 4)", "'Xx-Xxxx-$123'"),
        _partly(lambda text, n: ("", text[: max(len(text) - n, 0)], text[max(len(text) - n, 0) :])),
        I,
    ),
)  # fmt: skip
"""The family."""
