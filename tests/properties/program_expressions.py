"""Random expressions over columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.properties.program_records import BIGINT, BOOLEAN, DOUBLE, DRAWN, INT, STRING

Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass
class Expressions:
    """Draws expressions and conditions."""

    draw: Draw

    # --- small draws ---------------------------------------------------------------------------

    def one(self, *choices: Any) -> Any:
        """One of several."""
        return self.draw(st.sampled_from(choices))

    def chance(self, percent: int) -> bool:
        """True that often; shrinks to False."""
        return bool(self.draw(st.integers(0, 99)) >= 100 - percent)

    # --- expressions ---------------------------------------------------------------------------

    def expression(self, columns: Sequence[tuple[str, str]], wanted: str, depth: int = 2) -> str:
        """An expression of a type."""
        own = [n for n, t in columns if t == wanted]
        if own and (depth == 0 or self.chance(50)):
            return str(self.one(*own))
        if depth == 0:
            literals = {INT: "3", BIGINT: "5000000000", DOUBLE: "2.5E0", STRING: "'lit'"}
            return literals.get(wanted, "true")

        def sub(kind: str) -> str:
            return self.expression(columns, kind, depth - 1)

        if wanted == BOOLEAN:
            return self.predicate(columns, depth - 1)
        form = self.draw(st.integers(0, 4))
        if form == 0:
            DRAWN["CASE"] += 1
            return (
                f"CASE WHEN {self.predicate(columns, 0)} THEN {sub(wanted)} ELSE {sub(wanted)} END"
            )
        if form == 1:
            DRAWN["CAST"] += 1
            other = self.one(*(t for t in (INT, BIGINT, DOUBLE, STRING) if t != wanted))
            return f"CAST({sub(other)} AS {wanted})"
        if form == 2:
            return f"COALESCE({sub(wanted)}, {sub(wanted)})"
        if wanted == STRING:
            return str(self.one(f"UCASE({sub(STRING)})", f"SUBSTRING({sub(STRING)}, 1, 2)"))
        if wanted == INT and form == 3:
            return f"LEN({sub(STRING)})"
        operator = self.one("+", "-", "*", "/")
        return f"({sub(wanted)} {operator} {sub(wanted)})"

    def predicate(self, columns: Sequence[tuple[str, str]], depth: int = 1) -> str:
        """A condition."""
        form = self.draw(st.integers(0, 7 if depth else 5))
        if self.chance(20):
            return f"{self.expression(columns, INT, 0)} IS NOT NULL"

        def sub(kind: str) -> str:
            return self.expression(columns, kind, depth)

        match form:
            case 0:
                return f"{sub(INT)} > {self.one(-9, -2, 0, 1)}"
            case 1:
                return f"{sub(STRING)} LIKE '{self.one('%', '%a%', 'a%', '_b')}'"
            case 2:
                return f"{sub(DOUBLE)} BETWEEN -1 AND 2"
            case 3:
                return f"{sub(INT)} IN (0, 1, 2)"
            case 4:
                return f"{sub(STRING)} IS {self.one('', 'NOT ')}NULL"
            case 5:
                return f"{sub(BIGINT)} <> 0"
            case 6:
                return f"NOT ({self.predicate(columns, depth - 1)})"
        both = self.one("AND", "OR")
        return f"({self.predicate(columns, depth - 1)} {both} {self.predicate(columns, depth - 1)})"
