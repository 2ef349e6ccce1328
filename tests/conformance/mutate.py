"""Changes expected records one leaf at a time, to prove that the comparison would notice."""

from __future__ import annotations

import decimal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from .model import Json, Record, Window
from .outcome import Outcome, checks_timestamp, compare


@dataclass(frozen=True)
class Mutant:
    """The expected records with one leaf changed, and what was changed."""

    change: str
    records: tuple[Record, ...]


@dataclass(frozen=True)
class MutationResult:
    """How many mutants a case has, and which of them passed although they must not."""

    made: int
    survivors: tuple[str, ...]


def judge(expected: Sequence[Record], outcome: Outcome) -> MutationResult:
    """Hold every mutant against the outcome of the unchanged case."""
    made, survivors = 0, []
    if compare(expected, outcome) is not None:
        survivors.append("the unchanged case does not pass")
    for mutant in mutants(expected, outcome.had_inputs):
        made += 1
        if compare(mutant.records, outcome) is None:
            survivors.append(mutant.change)
    return MutationResult(made, tuple(survivors))


def mutants(expected: Sequence[Record], had_inputs: bool) -> Iterator[Mutant]:
    """Every way to change one leaf of key, value, window or timestamp of one record."""
    for index, record in enumerate(expected):
        for what, changed in _changed_records(record, had_inputs):
            records = (*expected[:index], changed, *expected[index + 1 :])
            yield Mutant(f"record {index}: {what}", records)


def _changed_records(record: Record, had_inputs: bool) -> Iterator[tuple[str, Record]]:
    for what, value in changed_values(record.key):
        yield f"key{what}", replace(record, key=value)
    for what, value in changed_values(record.value):
        yield f"value{what}", replace(record, value=value)
    if record.window is not None:
        for what, window in _changed_windows(record.window):
            yield f"window.{what}", replace(record, window=window)
    if record.timestamp is not None and checks_timestamp(record, had_inputs):
        yield "timestamp + 1", replace(record, timestamp=record.timestamp + 1)


def _changed_windows(window: Window) -> Iterator[tuple[str, Window]]:
    yield "start + 1", replace(window, start=window.start + 1)
    yield "end + 1", replace(window, end=window.end + 1)
    yield "type", replace(window, type="time" if window.type == "session" else "session")


def changed_values(value: Json) -> Iterator[tuple[str, Json]]:
    """Every way to change one leaf of a value, each with a description."""
    match value:
        case list() if value:
            for index, item in enumerate(value):
                for what, changed in changed_values(item):
                    yield f"[{index}]{what}", [*value[:index], changed, *value[index + 1 :]]
        case dict() if value:
            for name, item in value.items():
                for what, changed in changed_values(item):
                    yield f".{name}{what}", {**value, name: changed}
        case None:
            yield " null -> 1", 1
        case _:
            yield " -> null", None
            changed_leaf = _changed_leaf(value)
            if changed_leaf is not None:
                yield f" -> {changed_leaf}", changed_leaf


def _changed_leaf(value: Json) -> Json:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case Decimal():
            return _next_number(value)
        case str():
            return value + "x"
    return None


def _next_number(value: Decimal) -> Decimal:
    """The number plus one at its own scale; where a DOUBLE could not tell, a tenth more."""
    exponent = value.as_tuple().exponent
    unit = Decimal((0, (1,), max(exponent, 0) if isinstance(exponent, int) else 0))
    context = decimal.Context(prec=1000)
    changed = context.add(value, unit)
    if float(changed) == float(value):
        changed = context.add(value, context.scaleb(Decimal(1), Decimal(value.adjusted())))
    if changed.as_tuple().exponent == exponent or not isinstance(exponent, int):
        return changed
    return changed.quantize(Decimal((0, (1,), exponent)), context=context)
