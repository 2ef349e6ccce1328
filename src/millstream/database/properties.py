"""The properties that a database is opened with."""

from __future__ import annotations

from collections.abc import Mapping

from millstream.config import normalised, problem
from millstream.errors import SemanticError

SUBSTITUTION = "ksql.variable.substitution.enable"


def checked(given: Mapping[str, object]) -> dict[str, str]:
    """The properties by their short names; SemanticError where a value cannot be.

    Values may be texts, numbers or booleans. Names without a meaning here are kept."""
    found: dict[str, str] = {}
    for name, value in given.items():
        short = normalised(name)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        wrong = problem(short, text)
        if wrong is not None:
            raise SemanticError(wrong)
        found[short] = text
    return found
