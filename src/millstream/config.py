"""Session properties: which ones there are, what they mean, and their defaults."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

LARGEST = 2**63 - 1
_TOPIC_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,200}")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,30}")


@dataclass(frozen=True, slots=True)
class PropertyInfo:
    """A property that SET understands: one of `choices`, a number within `between`, a text that
    `pattern` describes (in words: `form`), or any text."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()
    between: tuple[int, int] | None = None
    pattern: re.Pattern[str] | None = None
    form: str = ""

    def problem(self, value: str) -> str | None:
        """What is wrong with a value, in a sentence; None where nothing is."""
        shown = repr(value) if len(value) <= 60 else repr(f"{value[:60]}…")
        if self.choices and value.strip().lower() not in self.choices:
            return f"'{self.name}' is {' or '.join(self.choices)}, not {shown}"
        if self.between is not None:
            low, high = self.between
            text = value.strip()
            if _WHOLE_NUMBER.fullmatch(text) is None or not low <= int(text) <= high:
                limits = "" if low == -LARGEST else f" from {low}"
                limits += "" if high == LARGEST else f" to {high}"
                return f"'{self.name}' is a whole number{limits}, not {shown}"
        if self.pattern is not None and self.pattern.fullmatch(value) is None:
            return f"'{self.name}' takes {self.form}, not {shown}"
        return None


_BOOLEAN = ("true", "false")


_KNOWN = (
    PropertyInfo(
        "auto.offset.reset",
        "latest",
        "where a new query begins to read: earliest or latest",
        choices=("earliest", "latest"),
    ),
    PropertyInfo(
        "cache.max.bytes.buffering",
        "10000000",
        "0: every update of a table is emitted; else the last one per key and commit",
        between=(0, LARGEST),
    ),
    PropertyInfo(
        "ksql.persistence.default.format.key", "KAFKA", "the key format where none is written"
    ),
    PropertyInfo(
        "ksql.persistence.default.format.value", "", "the value format where none is written"
    ),
    PropertyInfo(
        "ksql.persistence.wrap.single.values",
        "",
        "whether single values stand in an object",
        choices=_BOOLEAN,
    ),
    PropertyInfo(
        "ksql.output.topic.name.prefix",
        "",
        "put before the names of sink topics",
        pattern=_TOPIC_PREFIX,
        form="up to 200 letters, digits, '.', '_' and '-'",
    ),
    PropertyInfo("ksql.sink.partitions", "", "partitions of new sink topics", between=(1, 10_000)),
    PropertyInfo(
        "ksql.sink.replicas",
        "1",
        "replicas of new sink topics (kept and shown)",
        between=(1, 32_767),
    ),
    PropertyInfo(
        "ksql.timestamp.throw.on.invalid",
        "false",
        "whether a record without a valid timestamp stops its query",
        choices=_BOOLEAN,
    ),
    PropertyInfo(
        "ksql.variable.substitution.enable",
        "true",
        "whether ${name} is replaced in scripts",
        choices=_BOOLEAN,
    ),
)
KNOWN: Mapping[str, PropertyInfo] = {p.name: p for p in _KNOWN}
"""Properties with a meaning here, by name."""

_KEPT: Mapping[str, PropertyInfo] = {
    name: PropertyInfo(name, "", "", between=between)
    for name, between in {
        "num.stream.threads": (1, 2**31 - 1),
        "commit.interval.ms": (0, LARGEST),
        "ksql.functions.collect_list.limit": (-LARGEST, LARGEST),
        "ksql.functions.collect_set.limit": (-LARGEST, LARGEST),
    }.items()
}
"""Properties that SHOW PROPERTIES does not list, but whose values are checked."""

_ACCEPTED_PREFIXES = ("ksql.", "processing.", "num.", "commit.", "default.", "topology.")
_READ_PREFIX = "ksql.functions."
_READ = ("ksql.new.query.planner.enabled",)
_NEAR = 0.93


def is_known(name: str) -> bool:
    """Whether SET takes the property: one with a meaning here, or one of ksqlDB's and Kafka
    Streams' that is kept and shown but changes nothing."""
    if name in KNOWN or name in _KEPT:
        return True
    return name.startswith(_ACCEPTED_PREFIXES) and nearest(name) is None


def has_meaning(name: str) -> bool:
    """Whether anything depends on the property."""
    return name in KNOWN or name.startswith(_READ_PREFIX) or name in _READ


def nearest(name: str, likeness: float = _NEAR) -> str | None:
    """The property that a name is most likely a misspelling of, if there is one."""
    if len(name) > 100:
        return None
    near = difflib.get_close_matches(name.lower(), KNOWN, n=1, cutoff=likeness)
    return near[0] if near else None


def problem(name: str, value: str) -> str | None:
    """What is wrong with a property's value, in a sentence; None where nothing is known to be."""
    info = KNOWN.get(name) or _KEPT.get(name)
    return None if info is None else info.problem(value)


def normalised(name: str) -> str:
    """The property's short name: ksqlDB also writes Kafka Streams' ones with a prefix."""
    short = name.removeprefix("ksql.streams.")
    return short if short in KNOWN else name
