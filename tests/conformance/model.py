"""Test cases as data: reading the files, filling in defaults, expanding formats and settings."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Self

Json = None | bool | int | Decimal | str | list["Json"] | dict[str, "Json"]
"""A JSON value; numbers with a point or an exponent are `Number`s."""

EXACT_NUMBERS = "use.exact.numeric.comparison"
"""A property that is meant for the runner, not for the engine."""

_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


class Number(Decimal):
    """A JSON number with a point or an exponent, which remembers how it was written."""

    text: str

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number


class DataError(Exception):
    """A file of test cases does not have the expected form."""


@dataclass(frozen=True)
class Window:
    """The window of a windowed key: bounds in ms, and `time` or `session`."""

    start: int
    end: int
    type: str


Header = tuple[str, str | None]
"""A header's key, and its value as base64."""


@dataclass(frozen=True)
class Record:
    """An input, or an expected output; `timestamp` is None where the file gives none."""

    topic: str
    key: Json
    value: Json
    timestamp: int | None = None
    window: Window | None = None
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True)
class TopicSpec:
    """A topic that exists before the statements run."""

    name: str
    partitions: int
    replicas: int
    key_format: str | None
    value_format: str | None
    key_schema: Json
    value_schema: Json


@dataclass(frozen=True)
class Refusal:
    """What a negative case expects: a Java class (or None: any), and part of its message."""

    type: str | None
    message: str


@dataclass(frozen=True)
class KeyFormat:
    """A key's format as a post condition states it; window size in ms."""

    format: str
    window_type: str | None
    window_size: int | None
    features: frozenset[str] | None


@dataclass(frozen=True)
class SourceCheck:
    """A stream or table that must exist after the run; None marks what is not checked."""

    name: str
    kind: str
    schema: str | None
    key_format: KeyFormat | None
    value_format: str | None
    key_features: frozenset[str] | None
    value_features: frozenset[str] | None
    read_only: bool | None


@dataclass(frozen=True)
class TopicCheck:
    """A topic that must exist after the run."""

    name: str
    key_format: KeyFormat
    value_format: str
    value_features: frozenset[str] | None
    partitions: int | None


@dataclass(frozen=True)
class PostConditions:
    """What must hold after the run."""

    sources: tuple[SourceCheck, ...] = ()
    topics: tuple[TopicCheck, ...] = ()
    absent_topics: str | None = None


@dataclass(frozen=True)
class Case:
    """One case after expansion. `label` tells format and setting; `id` is unique over all files."""

    stem: str
    index: int
    name: str
    label: str
    statements: tuple[str, ...]
    properties: Mapping[str, str]
    topics: tuple[TopicSpec, ...] = ()
    inputs: tuple[Record, ...] = ()
    outputs: tuple[Record, ...] = ()
    refusal: Refusal | None = None
    post: PostConditions = field(default_factory=PostConditions)
    words: str = ""

    @property
    def id(self) -> str:
        """A short name that holds nothing of the case's text: file, number and expansion."""
        suffix = f"[{self.label}]" if self.label else ""
        return f"{self.stem}:{self.index}{suffix}"

    @property
    def full_name(self) -> str:
        """The name as a person looks for it in the file."""
        suffix = f" - {self.label}" if self.label else ""
        return f"{self.stem} - {self.name}{suffix}"

    @property
    def positive(self) -> bool:
        """Whether the case expects to run."""
        return self.refusal is None

    @property
    def exact(self) -> bool:
        """Whether numbers with a point are compared as exact decimals."""
        return self.properties.get(EXACT_NUMBERS, "true").lower() != "false"

    def mentions(self, word: str) -> bool:
        """Whether a statement, topic or property names the word."""
        return re.search(rf"\b{re.escape(word)}\b", self.words, re.IGNORECASE) is not None


def read_json(text: str) -> Json:
    """JSON with // and /* */ comments; numbers keep their text."""
    plain = _COMMENT.sub(lambda m: m[0] if m[0].startswith('"') else " ", text)
    value: Json = json.loads(plain, parse_float=Number)
    return value


def load_folder(folder: Path) -> dict[str, list[Case]]:
    """All cases of the folder's files by stem; DataError where a file is not understood."""
    return {path.stem: load_file(path) for path in sorted(folder.glob("*.json"))}


def load_file(path: Path) -> list[Case]:
    """All enabled cases of a file, expanded; DataError where it is not understood."""
    try:
        document = _object(read_json(path.read_text(encoding="utf-8")))
        tests = [_object(test) for test in _list(document.get("tests"))]
        return [
            case
            for index, test in enumerate(tests)
            if test.get("enabled", True) is not False
            for case in _expand(path.stem, index, test)
        ]
    except (ValueError, DataError) as error:
        raise DataError(f"{path}: {error}") from error


def _expand(stem: str, index: int, test: dict[str, Json]) -> Iterator[Case]:
    formats: list[Json] = _list(test.get("format")) or [None]
    settings: list[Json] = _list(test.get("config")) or [None]
    for format_name, setting in itertools.product(formats, settings):
        yield _case(stem, index, test, format_name, setting)


def _case(stem: str, index: int, test: dict[str, Json], format_name: Json, setting: Json) -> Case:
    labels = [] if format_name is None else [str(format_name)]
    statements = [str(s) for s in _list(test.get("statements"))]
    if not statements:
        raise DataError(f"case {index} has no statements")
    if format_name is not None:
        statements = [s.replace("{FORMAT}", str(format_name)) for s in statements]
    properties = {k: _setting(v) for k, v in _object(test.get("properties")).items()}
    if setting is not None:
        for key, value in properties.items():
            if value == "{CONFIG}":
                properties[key] = _setting(setting)
                labels.append(f"{key}={_setting(setting)}")
    topics = _list(test.get("topics"))
    if not any(test.get(k) is not None for k in ("inputs", "outputs", "expectedException")):
        raise DataError(f"case {index} has no inputs, outputs or expected failure")
    return Case(
        stem=stem,
        index=index,
        name=str(test.get("name")),
        label=" - ".join(labels),
        statements=tuple(statements),
        properties=properties,
        topics=tuple(_topic(_object(topic)) for topic in topics),
        inputs=tuple(_record(_object(r)) for r in _list(test.get("inputs"))),
        outputs=tuple(_record(_object(r)) for r in _list(test.get("outputs"))),
        refusal=_refusal(test.get("expectedException")),
        post=_post(_object(test.get("post"))),
        words=json.dumps([statements, topics, properties], default=str),
    )


def _record(node: dict[str, Json]) -> Record:
    if "topic" not in node or "value" not in node:
        raise DataError(f"a record needs topic and value: {node}")
    window = node.get("window")
    timestamp = node.get("timestamp")
    headers = [_object(h) for h in _list(node.get("headers"))]
    return Record(
        topic=str(node["topic"]),
        key=node.get("key"),
        value=node["value"],
        timestamp=None if timestamp is None else _int(timestamp),
        window=None if window is None else _window(_object(window)),
        headers=tuple((str(h.get("KEY")), _text(h.get("VALUE"))) for h in headers),
    )


def _window(node: dict[str, Json]) -> Window:
    return Window(_int(node.get("start")), _int(node.get("end")), str(node.get("type")).lower())


def _topic(node: dict[str, Json]) -> TopicSpec:
    key_schema, value_schema = node.get("keySchema"), node.get("valueSchema")
    return TopicSpec(
        name=str(node["name"]),
        partitions=_int(node.get("partitions", 1)),
        replicas=_int(node.get("replicas", 1)),
        key_format=_text(node.get("keyFormat")) or ("AVRO" if key_schema is not None else None),
        value_format=_text(node.get("valueFormat"))
        or ("AVRO" if value_schema is not None else None),
        key_schema=key_schema,
        value_schema=value_schema,
    )


def _refusal(node: Json) -> Refusal | None:
    if node is None:
        return None
    fields = _object(node)
    return Refusal(_text(fields.get("type")), _text(fields.get("message")) or "")


def _post(node: dict[str, Json]) -> PostConditions:
    topics = _object(node.get("topics"))
    return PostConditions(
        sources=tuple(_source_check(_object(s)) for s in _list(node.get("sources"))),
        topics=tuple(_topic_check(_object(t)) for t in _list(topics.get("topics"))),
        absent_topics=_text(topics.get("blacklist")),
    )


def _source_check(node: dict[str, Json]) -> SourceCheck:
    key_format, read_only = node.get("keyFormat"), node.get("isSource")
    return SourceCheck(
        name=str(node["name"]),
        kind=str(node["type"]).upper(),
        schema=_text(node.get("schema")),
        key_format=None if key_format is None else _key_format(_object(key_format)),
        value_format=_text(node.get("valueFormat")),
        key_features=_features(node.get("keyFeatures")),
        value_features=_features(node.get("valueFeatures")),
        read_only=None if read_only is None else read_only is True,
    )


def _topic_check(node: dict[str, Json]) -> TopicCheck:
    value_format = node["valueFormat"]
    fields = value_format if isinstance(value_format, dict) else {"format": value_format}
    partitions = node.get("partitions")
    return TopicCheck(
        name=str(node["name"]),
        key_format=_key_format(_object(node["keyFormat"])),
        value_format=str(fields["format"]),
        value_features=_features(fields.get("features")),
        partitions=None if partitions is None else _int(partitions),
    )


def _key_format(node: dict[str, Json]) -> KeyFormat:
    info = _object(node.get("windowInfo"))
    window_type = node.get("windowType", info.get("type"))
    size = node.get("windowSize", info.get("size"))
    return KeyFormat(
        format=str(node["format"]),
        window_type=_text(window_type),
        window_size=_int(size) if isinstance(size, int) else None,
        features=_features(node.get("features")),
    )


def _features(node: Json) -> frozenset[str] | None:
    return None if node is None else frozenset(str(name) for name in _list(node))


def _setting(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(value: Json) -> str | None:
    return None if value is None else str(value)


def _int(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise DataError(f"a whole number was expected, not {value!r}")
    return int(value)


def _object(value: Json) -> dict[str, Json]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DataError(f"an object was expected, not {value!r}")
    return value


def _list(value: Json) -> list[Json]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise DataError(f"a list was expected, not {value!r}")
    return value
