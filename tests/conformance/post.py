"""Checks what must hold after a run: the catalogue's sources, and topics."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable

from millstream import types as t

from .engine import Engine, Source
from .model import Case, KeyFormat, SourceCheck, TopicCheck
from .schema_text import read_schema

DEFAULT_PARTITIONS = 4
"""What topics get that nobody declares; every sink's topic is reported with it."""

_INTERNAL = re.compile(r"^_confluent-ksql-")
_BOTH_WRAPPINGS = ("JSON", "JSON_SR", "AVRO", "PROTOBUF_NOSR")


def check(case: Case, engine: Engine, sinks: Collection[str]) -> str | None:
    """Which condition does not hold, or None. `sinks` are the topics that queries write."""
    sources = engine.sources()
    for source_check in case.post.sources:
        found = _first(_source_problem(source_check, s) for s in _named(source_check, sources))
        if found is not None:
            return f"source {source_check.name}: {found}"
    partitions = engine.topics()
    if case.post.absent_topics is not None:
        found = next((n for n in partitions if re.search(case.post.absent_topics, n)), None)
        if found is not None:
            return f"topic {found} must not exist"
    for topic_check in case.post.topics:
        if _INTERNAL.search(topic_check.name):
            continue
        count = DEFAULT_PARTITIONS if topic_check.name in sinks else None
        found = _topic_problem(topic_check, sources, partitions, count)
        if found is not None:
            return f"topic {topic_check.name}: {found}"
    return None


def _named(check: SourceCheck, sources: list[Source]) -> list[Source | None]:
    return [s for s in sources if s.name == check.name] or [None]


def _first(problems: Iterable[str | None]) -> str | None:
    return next(iter(problems))


def _source_problem(check: SourceCheck, source: Source | None) -> str | None:
    if source is None:
        return "it does not exist"
    tests: list[tuple[str, object, Callable[[], object]]] = [
        ("kind", check.kind, lambda: source.kind),
        ("value format", check.value_format, lambda: source.value_format),
        ("key features", check.key_features, lambda: key_features(source)),
        ("value features", check.value_features, lambda: value_features(source)),
        ("read-only", check.read_only, lambda: source.read_only),
    ]
    if check.schema is not None:
        tests.append(("schema", _shown(read_schema(check.schema)), lambda: _shown(source.schema)))
    if check.key_format is not None:
        tests.append(("key format", _shown_format(check.key_format), lambda: _key_format(source)))
    return _first_difference(tests)


def _topic_problem(
    check: TopicCheck, sources: list[Source], partitions: dict[str, int], count: int | None
) -> str | None:
    source = next((s for s in sources if s.topic == check.name), None)
    if check.name not in partitions or source is None:
        return "it does not exist"
    tests: list[tuple[str, object, Callable[[], object]]] = [
        ("key format", _shown_format(check.key_format), lambda: _key_format(source)),
        ("key features", check.key_format.features, lambda: key_features(source)),
        ("value format", check.value_format, lambda: source.value_format),
        ("value features", check.value_features, lambda: value_features(source)),
        ("partitions", check.partitions, lambda: count or partitions[check.name]),
    ]
    return _first_difference(tests)


def _first_difference(tests: list[tuple[str, object, Callable[[], object]]]) -> str | None:
    for what, expected, actual in tests:
        if expected is not None and (got := actual()) != expected:
            return f"{what}: expected {_listed(expected)}, got {_listed(got)}"
    return None


def key_features(source: Source) -> frozenset[str]:
    """A key of one column is unwrapped wherever the format could do both."""
    single = len(source.schema.key) == 1 and source.key_format in _BOTH_WRAPPINGS
    return frozenset({"UNWRAP_SINGLES"} if single else ())


def value_features(source: Source) -> frozenset[str]:
    """What was said about wrapping, where the value has one column and the format can do both."""
    if source.wrapping is None or len(source.schema.value) != 1:
        return frozenset()
    if source.value_format not in _BOTH_WRAPPINGS:
        return frozenset()
    return frozenset({"WRAP_SINGLES" if source.wrapping else "UNWRAP_SINGLES"})


def _shown_format(expected: KeyFormat) -> str:
    return f"{expected.format} {expected.window_type} {expected.window_size}"


def _key_format(source: Source) -> str:
    return f"{source.key_format} {source.window_type} {source.window_size}"


def _shown(schema: t.Schema) -> str:
    return ", ".join(
        f"{t.quote_name(c.name)} {c.type}"
        + {t.Role.KEY: " KEY", t.Role.VALUE: "", t.Role.HEADERS: f" HEADER({c.header})"}[c.role]
        for c in schema
    )


def _listed(value: object) -> str:
    return str(sorted(value)) if isinstance(value, frozenset) else str(value)
