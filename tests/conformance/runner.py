"""Runs one case: topics, statements and inputs in, then the outcome held against the case."""

from __future__ import annotations

import base64
import itertools
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from types import FrameType

from millstream.errors import (
    MillstreamError,
    NotSupportedYetError,
    ParseError,
    SemanticError,
)
from millstream.sql import ast
from millstream.sql.script import Parsed

from . import post, udfs
from .engine import Engine, RawRecord, Source, open_engine
from .model import EXACT_NUMBERS, Case, Record, Window
from .mutate import MutationResult, judge
from .outcome import ActualRecord, Outcome, by_topic, compare, read_record
from .values import Side, ValueProblem, from_bytes, to_bytes

TIME_LIMIT_S = 60.0
"""After this long a case counts as hung."""


class Phase(Enum):
    """When a case was refused."""

    PARSE = "while parsing"
    STATEMENT = "while executing a statement"
    RUNTIME = "while processing records"


class Refused(Exception):
    """The engine refused the case; `last` tells whether nothing was left to execute."""

    def __init__(self, phase: Phase, error: MillstreamError, *, last: bool) -> None:
        super().__init__(f"{phase.value}: {error.message}")
        self.phase = phase
        self.last = last


class HungError(BaseException):
    """A case took longer than the time limit."""


@dataclass(frozen=True)
class Options:
    """How cases are run."""

    row_wise: bool = False
    mutate: bool = False


@dataclass(frozen=True)
class CaseResult:
    """What became of a case; `reason` tells why it failed, in a line."""

    id: str
    full_name: str
    positive: bool
    reason: str | None
    rows_forced: int = 0
    mutation: MutationResult | None = None

    @property
    def passed(self) -> bool:
        """Whether the case does what it must."""
        return self.reason is None


@dataclass
class _Run:
    """A case being run against one engine."""

    case: Case
    engine: Engine
    seen: dict[str, Source] = field(default_factory=dict)
    sinks: set[str] = field(default_factory=set)

    def execute(self) -> Outcome:
        """All phases; raises Refused, or what the engine raised by mistake."""
        statements = self._prepare()
        self._make_topics(statements)
        for index, statement in enumerate(statements):
            self._execute(statement, last=index == len(statements) - 1)
        self._feed()
        return self._collect()

    def _prepare(self) -> Sequence[Parsed]:
        try:
            return self.engine.prepare("\n".join(self.case.statements))
        except ParseError as error:
            raise Refused(Phase.PARSE, error, last=True) from error

    def _make_topics(self, statements: Sequence[Parsed]) -> None:
        for topic in self.case.topics:
            self.engine.ensure_topic(topic.name, topic.partitions)
        for statement in statements:
            node = statement.statement
            if isinstance(node, ast.CreateSource) and node.columns:
                self.engine.ensure_topic(*_declared_topic(node))
        for record in (*self.case.inputs, *self.case.outputs):
            self.engine.ensure_topic(record.topic, post.DEFAULT_PARTITIONS)

    def _execute(self, statement: Parsed, *, last: bool) -> None:
        try:
            self.engine.execute(statement)
        except NotSupportedYetError:
            raise
        except ParseError as error:
            raise Refused(Phase.PARSE, error, last=last) from error
        except SemanticError as error:
            raise Refused(Phase.STATEMENT, error, last=last) from error
        except MillstreamError as error:
            raise Refused(Phase.RUNTIME, error, last=last) from error
        self.seen.update((source.name, source) for source in self.engine.sources())
        match statement.statement:
            case ast.CreateAsSelect(name=name) | ast.InsertIntoSelect(target=name):
                if name in self.seen:
                    self.sinks.add(self.seen[name].topic)

    def _feed(self) -> None:
        inputs = self.case.inputs
        records = [self._raw(record) for record in inputs]
        try:
            for topic, run in itertools.groupby(
                zip(inputs, records, strict=True), key=lambda pair: pair[0].topic
            ):
                self.engine.append(topic, [raw for _, raw in run])
            self.engine.drain({record.topic for record in inputs})
        except NotSupportedYetError:
            raise
        except MillstreamError as error:
            raise Refused(Phase.RUNTIME, error, last=True) from error

    def _collect(self) -> Outcome:
        topics = {}
        for topic in by_topic(self.case.outputs):
            source = self._source_of(topic)
            topics[topic] = [self._actual(raw, source) for raw in self.engine.read(topic)]
        return Outcome(topics, had_inputs=bool(self.case.inputs))

    def check_post(self) -> str | None:
        """Which post condition does not hold."""
        return post.check(self.case, self.engine, self.sinks)

    def _source_of(self, topic: str) -> Source | None:
        """What is declared on a topic: what exists first, then what was dropped."""
        sources = (*self.engine.sources(), *reversed(self.seen.values()))
        return next((source for source in sources if source.topic == topic), None)

    def _raw(self, record: Record) -> RawRecord:
        source = self._source_of(record.topic)
        key_side, value_side = _sides(source)
        return RawRecord(
            key=to_bytes(record.key, key_side),
            value=to_bytes(record.value, value_side),
            rowtime=record.timestamp or 0,
            headers=tuple(
                (k, None if v is None else base64.b64decode(v)) for k, v in record.headers
            ),
            window=None if record.window is None else _wire_window(record.window, source),
        )

    def _actual(self, raw: RawRecord, source: Source | None) -> ActualRecord:
        key_side, value_side = _sides(source)
        exact = self.case.exact
        return read_record(
            lambda: from_bytes(raw.key, key_side, exact=exact),
            lambda: from_bytes(raw.value, value_side, exact=exact),
            raw.rowtime,
            None if raw.window is None else Window(*raw.window, _window_kind(source)),
            raw.headers,
        )


def run_case(case: Case, options: Options) -> CaseResult:
    """Run a case on a fresh engine."""
    try:
        with _time_limit(TIME_LIMIT_S):
            judgement = _judge(case, options)
    except HungError:
        judgement = _Judgement(f"not done after {TIME_LIMIT_S:.0f} s")
    mutation = None
    if options.mutate and judgement.reason is None and judgement.outcome is not None:
        mutation = judge(case.outputs, judgement.outcome)
    return CaseResult(
        case.id, case.full_name, case.positive, judgement.reason, judgement.rows_forced, mutation
    )


@dataclass(frozen=True)
class _Judgement:
    """Why a case failed (or None), and the outcome of a positive one."""

    reason: str | None
    outcome: Outcome | None = None
    rows_forced: int = 0


def _judge(case: Case, options: Options) -> _Judgement:
    properties = {k: v for k, v in case.properties.items() if k != EXACT_NUMBERS}
    try:
        engine = open_engine(udfs.registry(), properties, row_wise=options.row_wise)
        try:
            run = _Run(case, engine)
            outcome = run.execute()
            if case.refusal is not None:
                return _Judgement("it must be refused, and ran")
            reason = compare(case.outputs, outcome) or run.check_post()
            return _Judgement(reason, outcome, engine.rows_forced)
        finally:
            engine.close()
    except Refused as refused:
        return _Judgement(_judge_refusal(case, refused))
    except NotSupportedYetError as error:
        return _Judgement(error.message)
    except ValueProblem as problem:
        return _Judgement(str(problem))
    except Exception as error:  # a mistake in the engine fails the case, not the run
        return _Judgement(f"{type(error).__name__}: {_one_line(str(error))}")


def _judge_refusal(case: Case, refused: Refused) -> str | None:
    if case.refusal is None:
        return f"refused {_one_line(str(refused))}"
    if not refused.last:
        return f"refused too early, {_one_line(str(refused))}"
    expected = _expected_phase(case.refusal.type)
    if expected is not None and refused.phase is not expected:
        return f"to be refused {expected.value}, not {_one_line(str(refused))}"
    return None


def _expected_phase(java_class: str | None) -> Phase | None:
    """When a case must be refused, by the class of the exception; None: at any time."""
    if java_class is None:
        return None
    match java_class.rpartition(".")[2]:
        case "ParseFailedException":
            return Phase.PARSE
        case "StreamsException":
            return Phase.RUNTIME
    return Phase.STATEMENT


def _declared_topic(node: ast.CreateSource) -> tuple[str, int]:
    """The topic of a CREATE STREAM or TABLE, and how many partitions it is to have."""
    properties = dict(node.properties)
    name, partitions = node.name, post.DEFAULT_PARTITIONS
    match properties.get("KAFKA_TOPIC"):
        case ast.StringLiteral(value=text):
            name = text
    match properties.get("PARTITIONS"):
        case ast.IntegerLiteral(value=count):
            partitions = count
        case ast.StringLiteral(value=text) if text.isdigit():
            partitions = int(text)
    return name, partitions


def _sides(source: Source | None) -> tuple[Side, Side]:
    if source is None:
        return Side("KAFKA", ()), Side("JSON", ())
    return (
        Side(source.key_format, tuple(c.type for c in source.schema.key)),
        Side(source.value_format, tuple(c.type for c in source.schema.value)),
    )


def _wire_window(window: Window, source: Source | None) -> tuple[int, int]:
    """Time windows carry only their start on the wire; the source's size tells the end."""
    if window.type == "time" and source is not None and source.window_size is not None:
        return window.start, window.start + source.window_size
    return window.start, window.end


def _window_kind(source: Source | None) -> str:
    return "session" if source is not None and source.window_type == "SESSION" else "time"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 240 else line[:237] + "..."


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise HungError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
