"""What a run left in the topics, and how it is held against the expected records."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .model import Record, Window
from .values import Actual, ValueProblem, difference


@dataclass(frozen=True)
class ActualRecord:
    """A record that was found in a topic; a problem says why it could not be read."""

    key: Actual
    value: Actual
    timestamp: int
    window: Window | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Outcome:
    """The records of each topic that a case expects something of."""

    topics: dict[str, list[ActualRecord]]
    had_inputs: bool


def checks_timestamp(record: Record, had_inputs: bool) -> bool:
    """Whether the expected record's timestamp is compared: where the file gives one, except a 0
    where all records come from INSERT VALUES."""
    return record.timestamp is not None and (had_inputs or record.timestamp != 0)


def by_topic(expected: Sequence[Record]) -> dict[str, list[Record]]:
    """The expected records of each topic, in order."""
    grouped: dict[str, list[Record]] = {}
    for record in expected:
        grouped.setdefault(record.topic, []).append(record)
    return grouped


def compare(expected: Sequence[Record], outcome: Outcome) -> str | None:
    """How the topics differ from what is expected, or None where they do not."""
    for topic, records in by_topic(expected).items():
        actual = outcome.topics.get(topic, [])
        for index, (wanted, got) in enumerate(zip(records, actual, strict=False)):
            found = record_difference(wanted, got, outcome.had_inputs)
            if found is not None:
                return f"{topic}#{index}: {found}"
        if len(actual) != len(records):
            return f"{topic}: expected {len(records)} records, got {len(actual)}"
    return None


def record_difference(wanted: Record, got: ActualRecord, had_inputs: bool) -> str | None:
    """How a record differs from the expected one, or None where it does not."""
    if got.problem is not None:
        return got.problem
    if wanted.window != got.window:
        return f"window: expected {_window(wanted.window)}, got {_window(got.window)}"
    if (found := difference(wanted.key, got.key)) is not None:
        return f"key: {found}"
    if (found := difference(wanted.value, got.value)) is not None:
        return f"value: {found}"
    if checks_timestamp(wanted, had_inputs) and wanted.timestamp != got.timestamp:
        return f"timestamp: expected {wanted.timestamp}, got {got.timestamp}"
    headers = tuple((k, None if v is None else base64.b64decode(v)) for k, v in wanted.headers)
    if headers != got.headers:
        return f"headers: expected {headers}, got {got.headers}"
    return None


def read_record(
    read_key: Callable[[], Actual],
    read_value: Callable[[], Actual],
    timestamp: int,
    window: Window | None,
    headers: tuple[tuple[str, bytes | None], ...],
) -> ActualRecord:
    """A record; where its bytes cannot be read, one that says so and equals nothing."""
    try:
        return ActualRecord(read_key(), read_value(), timestamp, window, headers)
    except ValueProblem as problem:
        return ActualRecord(None, None, timestamp, window, headers, str(problem))


def _window(window: Window | None) -> str:
    return "none" if window is None else f"{window.type} {window.start}..{window.end}"
