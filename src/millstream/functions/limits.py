"""How large a value a function may make: a short record must not become one that fills memory."""

from __future__ import annotations

LONGEST_TEXT = 1 << 25
"""Characters, or bytes, of a text that grew."""
LONGEST_ARRAY = 1_000_000
"""Items of an array that no argument had."""


def check_length(length: int, given: int) -> None:
    """ValueError where a text would grow beyond what may be made; `given` is its length now."""
    if length > LONGEST_TEXT and length > given:
        raise ValueError(f"the text would have a length of {length}, more than {LONGEST_TEXT}")


def check_count(count: int) -> None:
    """ValueError where an array would have more items than may be made."""
    if count > LONGEST_ARRAY:
        raise ValueError(f"the array would have {count} items, more than {LONGEST_ARRAY}")
