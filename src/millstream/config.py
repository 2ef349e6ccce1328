"""Session properties: which ones there are, what they mean, and their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PropertyInfo:
    """A property that SET understands."""

    name: str
    default: str
    description: str


_KNOWN = (
    PropertyInfo(
        "auto.offset.reset", "latest", "where a new query begins to read: earliest or latest"
    ),
    PropertyInfo(
        "cache.max.bytes.buffering",
        "10000000",
        "0: every update of a table is emitted; else the last one per key and commit",
    ),
    PropertyInfo(
        "ksql.persistence.default.format.key", "KAFKA", "the key format where none is written"
    ),
    PropertyInfo(
        "ksql.persistence.default.format.value", "", "the value format where none is written"
    ),
    PropertyInfo(
        "ksql.persistence.wrap.single.values", "", "whether single values stand in an object"
    ),
    PropertyInfo("ksql.output.topic.name.prefix", "", "put before the names of sink topics"),
    PropertyInfo("ksql.sink.partitions", "", "partitions of new sink topics"),
    PropertyInfo("ksql.sink.replicas", "1", "replicas of new sink topics (kept and shown)"),
    PropertyInfo(
        "ksql.timestamp.throw.on.invalid",
        "false",
        "whether a record without a valid timestamp stops its query",
    ),
    PropertyInfo(
        "ksql.variable.substitution.enable", "true", "whether ${name} is replaced in scripts"
    ),
)
KNOWN: Mapping[str, PropertyInfo] = {p.name: p for p in _KNOWN}
"""Properties with a meaning here, by name."""

_ACCEPTED_PREFIXES = ("ksql.", "processing.", "num.", "commit.", "default.", "topology.")


def is_known(name: str) -> bool:
    """Whether SET takes the property: one with a meaning here, or one of ksqlDB's and Kafka
    Streams' that is kept and shown but changes nothing."""
    return name in KNOWN or name.startswith(_ACCEPTED_PREFIXES)


def normalised(name: str) -> str:
    """The property's short name: ksqlDB also writes Kafka Streams' ones with a prefix."""
    short = name.removeprefix("ksql.streams.")
    return short if short in KNOWN else name
