"""Input topics of random programs, and the records that they get."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

DRAWN: Counter[str] = Counter()
"""How often each operator, aggregate and trait was drawn."""

INT, BIGINT, DOUBLE, STRING, BOOLEAN = "INT", "BIGINT", "DOUBLE", "VARCHAR", "BOOLEAN"
_HARSH_DOUBLES = [0.1, 0.2, 0.3, 0.7, 1e17, -1e17, 1e-9, -0.0]


@dataclass(frozen=True)
class Record:
    """A record of an input topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    rowtime: int
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(frozen=True)
class Topic:
    """An input topic: how its records are written."""

    name: str
    key_type: str
    key_format: str
    value_format: str
    value: tuple[tuple[str, str], ...]

    def key_bytes(self, key: Any) -> bytes | None:
        """A key as the format writes it."""
        if key is None:
            return None
        if self.key_format == "KAFKA" and self.key_type == INT:
            return int(key).to_bytes(4, "big", signed=True)
        if self.key_format == "JSON":
            return json.dumps(key).encode()
        return str(key).encode()

    def value_bytes(self, row: dict[str, Any]) -> bytes:
        """A value as the format writes it."""
        if self.value_format == "JSON":
            return json.dumps(row).encode()
        return ",".join(_cell(row.get(n)) for n, _ in self.value).encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


_VALUE = (("I", INT), ("L", BIGINT), ("D", DOUBLE), ("T", STRING))
_MALFORMED = [b"", b"{", b"nonsense", b'{"I": "x"}', b"1,2", b"a,b,c,d", b"[1]", b"\xff\xfe"]


def topics() -> st.SearchStrategy[Topic]:
    """Input topics of any format."""
    return st.builds(
        Topic,
        st.just("in0"),
        st.sampled_from([INT, STRING]),
        st.sampled_from(["KAFKA", "JSON", "DELIMITED"]),
        st.sampled_from(["JSON", "JSON", "DELIMITED"]),
        st.just(_VALUE),
    )


@st.composite
def records(draw: st.DrawFn, topics_: Sequence[Topic], most: int, harsh: bool) -> list[Record]:
    """Records for topics; `harsh`: doubles whose sums depend on their order are among them."""
    # The first choices are drawn most often: programs without records show little.
    count = draw(st.sampled_from([5, *[most] * 5, 2, 0]))
    doubles = [0.0, 1.5, -2.25, 0.5, 4.0]
    if harsh:
        doubles = [*_HARSH_DOUBLES, *doubles]
    values = {
        INT: st.sampled_from([1, 1, 1, 2, 2, 0, 3, -3, 5, 2_147_483_647, None]),
        BIGINT: st.sampled_from([7, 0, 1, 7, 20_000, 65_000, -1, 5_000_000_000, None]),
        DOUBLE: st.sampled_from([*doubles, None]),
        STRING: st.sampled_from(["a", "a", "a", "b", "b", "ab", "", "é", "12", "x y", None]),
    }
    keys = {
        INT: st.sampled_from([1, 1, 2, 2, 0, 3, None]),
        STRING: st.sampled_from(["a", "a", "b", "b", "0", "", None]),
    }
    now = 0
    found = []
    for _ in range(count):
        topic = draw(st.sampled_from(list(topics_)))
        now = max(
            0, now + draw(st.sampled_from([0, 0, 1, 500, 1000, 4000, 11_000, -3000, -20_000]))
        )
        key = topic.key_bytes(draw(keys[topic.key_type]))
        trouble = draw(st.integers(0, 19))
        value: bytes | None
        if trouble == 19:
            DRAWN["malformed record"] += 1
            value = draw(st.sampled_from(_MALFORMED))
        elif trouble >= 17:
            DRAWN["tombstone"] += 1
            value = None
        else:
            value = topic.value_bytes({n: draw(values[t]) for n, t in topic.value})
        headers = (("h", b"1"), ("i", None)) if trouble == 16 else ()
        found.append(Record(topic.name, key, value, now, headers))
    return found
