"""The runner itself: reading cases, judging outcomes and refusals, mutants, and the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from millstream import types as t
from millstream.errors import (
    ExecutionError,
    MillstreamError,
    NotSupportedYetError,
    ParseError,
    Position,
    SemanticError,
)
from millstream.functions.registry import Registry
from millstream.sql import ast
from millstream.sql.script import Parsed

from . import report, runner, udfs
from .__main__ import main
from .engine import RawRecord, Source
from .folder import FileResult, selected
from .model import Case, DataError, Record, Refusal, Window, load_file
from .mutate import judge
from .outcome import ActualRecord, Outcome, compare
from .post import key_features, value_features
from .runner import CaseResult, Options, run_case
from .schema_text import SchemaTextError, read_schema

# --- reading cases -----------------------------------------------------------------------------

FILE = """{
  "comment": "a file",
  "tests": [
    {"name": "plain", // said behind it
     "statements": ["CREATE STREAM S (A INT) WITH (kafka_topic='s', value_format='{FORMAT}');"],
     "format": ["JSON", "DELIMITED"],
     "properties": {"some.flag": "{CONFIG}", "other": true},
     "config": ["on", "off"],
     "inputs": [{"topic": "s", "value": null}],
     "outputs": [{"topic": "OUT", "key": 1, "value": {"A": 1.50}, "timestamp": 7,
                  "window": {"start": 0, "end": 10, "type": "time"},
                  "headers": [{"KEY": "h", "VALUE": null}]}]},
    {"name": "left out", "enabled": false, "statements": ["x"], "inputs": []},
    {"name": "refused", "statements": ["y"],
     "expectedException": {"type": "a.b.KsqlException", "message": "m"}}
  ]
}"""


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    path = tmp_path / "some.json"
    path.write_text(FILE, encoding="utf-8")
    return load_file(path)


def test_formats_and_settings_multiply(cases: list[Case]) -> None:
    assert [c.id for c in cases] == [
        "some:0[JSON - some.flag=on]",
        "some:0[JSON - some.flag=off]",
        "some:0[DELIMITED - some.flag=on]",
        "some:0[DELIMITED - some.flag=off]",
        "some:2",
    ]
    assert cases[3].properties == {"some.flag": "off", "other": "true"}
    assert "value_format='DELIMITED'" in cases[3].statements[0]
    assert cases[4].full_name == "some - refused"
    assert [c.positive for c in cases] == [True] * 4 + [False]


def test_records_have_their_defaults(cases: list[Case]) -> None:
    assert cases[0].inputs == (Record("s", None, None),)
    (output,) = cases[0].outputs
    assert (output.window, output.timestamp) == (Window(0, 10, "time"), 7)
    assert output.headers == (("h", None),)


def test_cases_are_left_out_by_whole_words(cases: list[Case]) -> None:
    assert len(selected(cases, ["json"])) == 3
    assert len(selected(cases, ["DELIM"])) == 5
    assert len(selected(cases, ["JSON", "DELIMITED"])) == 1


@pytest.mark.parametrize("text", ['{"tests": [{"name": "n"}]}', '{"tests": 1}', "{"])
def test_files_of_another_form_are_errors(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"bad\.json"):
        load_file(path)


def test_schema_texts() -> None:
    text = "id INT PRIMARY KEY, `v` ARRAY<STRUCT<A DECIMAL(4,2), `b` MAP<STRING,BIGINT>>>, 1R BYTES"
    item = t.Struct((t.Field("A", t.Decimal(4, 2)), t.Field("b", t.Map(t.STRING, t.BIGINT))))
    assert read_schema(text) == t.Schema.of(
        [("ID", t.INTEGER)], [("v", t.Array(item)), ("1R", t.BYTES)]
    )
    header = read_schema("h BYTES HEADER('x')").columns[0]
    assert (header.role, header.header) == (t.Role.HEADERS, "x")


@pytest.mark.parametrize("text", ["A", "A INT B", "A WORD", "A DECIMAL(x)", "A INT,,"])
def test_what_is_no_schema_is_an_error(text: str) -> None:
    with pytest.raises(SchemaTextError):
        read_schema(text)


# --- outcomes and mutants ----------------------------------------------------------------------

EXPECTED = (
    Record("OUT", 1, {"A": "x", "B": [1, None]}, 5, Window(0, 10, "time")),
    Record("OUT", "k", None, None),
    Record("OTHER", True, "1,2", 0, None, (("h", "IQ=="),)),
)
OUTCOME = Outcome(
    {
        "OUT": [
            ActualRecord(1, {"A": "x", "B": [1, None]}, 5, Window(0, 10, "time")),
            ActualRecord("k", None, 99),
        ],
        "OTHER": [ActualRecord(True, "1,2", 0, None, (("h", b"!"),))],
    },
    had_inputs=True,
)


def test_an_equal_outcome_passes_and_every_mutant_of_it_fails() -> None:
    result = judge(EXPECTED, OUTCOME)
    assert result.survivors == ()
    # Key and value leaves: (2) + (2 + 2 + 1), (2) + (1), (2) + (2); 3 of a window; 2 timestamps.
    assert result.made == 7 + 3 + 1 + 3 + 4 + 1


def test_a_comparison_that_sees_nothing_is_found_out() -> None:
    blind = Outcome({"OUT": [], "OTHER": []}, had_inputs=True)
    assert judge(EXPECTED, blind).survivors == ("the unchanged case does not pass",)


@pytest.mark.parametrize(
    "change",
    [
        lambda records: records[:1],
        lambda records: [*records, records[0]],
        lambda records: records[::-1],
        lambda records: [replace(records[0], problem="cannot be read"), records[1]],
        lambda records: [replace(records[0], headers=(("h", None),)), records[1]],
        lambda records: [replace(records[0], window=None), records[1]],
        lambda records: [],
    ],
)
def test_other_outcomes_fail(
    change: Callable[[list[ActualRecord]], list[ActualRecord]],
) -> None:
    topics = {**OUTCOME.topics, "OUT": change(OUTCOME.topics["OUT"])}
    assert compare(EXPECTED, replace(OUTCOME, topics=topics)) is not None


def test_topics_of_which_nothing_is_expected_are_not_looked_at() -> None:
    assert compare((), OUTCOME) is None
    assert compare(EXPECTED[2:], OUTCOME) is None


def test_a_timestamp_of_0_is_not_compared_without_inputs() -> None:
    expected = (Record("OUT", None, 1, 0),)
    outcome = Outcome({"OUT": [ActualRecord(None, 1, 12)]}, had_inputs=False)
    assert compare(expected, outcome) is None
    assert compare(expected, replace(outcome, had_inputs=True)) is not None
    assert judge(expected, outcome).survivors == ()


# --- refusals, with an engine made for it --------------------------------------------------------


@dataclass
class FakeEngine:
    """Copies records of topic `s` to `OUT`; raises what it is told to, where it is told to."""

    fail_at: str = ""
    error: Exception | None = None
    executed: int = 0
    made: dict[str, int] = field(default_factory=dict)
    logs: dict[str, list[RawRecord]] = field(default_factory=dict)
    rows_forced: int = 0
    closed: bool = False

    def _pass(self, place: str) -> None:
        if place == self.fail_at and self.error is not None:
            raise self.error

    def ensure_topic(self, name: str, partitions: int) -> None:
        self.made.setdefault(name, partitions)

    def prepare(self, script: str) -> Sequence[Parsed]:
        self._pass("prepare")
        node = ast.CreateSource(
            kind=ast.SourceKind.STREAM,
            name="S",
            columns=(ast.ColumnDefinition("A", t.STRING),),
            properties=(
                ("KAFKA_TOPIC", ast.StringLiteral("s")),
                ("PARTITIONS", ast.IntegerLiteral(2)),
            ),
        )
        return [Parsed(node, "", Position(1, 1), "") for _ in script.splitlines()]

    def execute(self, statement: Parsed) -> None:
        self.executed += 1
        self._pass(f"statement {self.executed}")

    def append(self, topic: str, records: Sequence[RawRecord]) -> None:
        self.logs.setdefault(topic, []).extend(records)

    def drain(self, input_topics: set[str]) -> None:
        self._pass("drain")
        self.logs["OUT"] = list(self.logs.get("s", []))

    def read(self, topic: str) -> list[RawRecord]:
        return self.logs.get(topic, [])

    def sources(self) -> list[Source]:
        schema = t.Schema.of([], [("A", t.STRING)])
        return [Source("S", "STREAM", schema, topic, "KAFKA", "JSON") for topic in ("s", "OUT")]

    def topics(self) -> dict[str, int]:
        return self.made

    def close(self) -> None:
        self.closed = True


def judged(monkeypatch: pytest.MonkeyPatch, case: Case, engine: FakeEngine) -> CaseResult:
    def open_fake(_r: Registry, properties: Mapping[str, str], *, row_wise: bool) -> FakeEngine:
        assert properties == {}
        return engine

    monkeypatch.setattr(runner, "open_engine", open_fake)
    monkeypatch.setattr(udfs, "registry", Registry)
    result = run_case(case, Options(mutate=True))
    assert engine.closed
    return result


def a_case(refusal: str | None = None, **changes: object) -> Case:
    fields: dict[str, object] = {
        "stem": "f", "index": 0, "name": "n", "label": "", "statements": ("a;", "b;"),
        "properties": {"use.exact.numeric.comparison": "true"},
        "refusal": None if refusal is None else Refusal(refusal, ""),
    }  # fmt: skip
    return Case(**(fields | changes))  # type: ignore[arg-type]


def test_a_positive_case_is_run_compared_and_mutated(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record("s", "k", {"A": "x"}, 3)
    case = a_case(inputs=(record,), outputs=(replace(record, topic="OUT"),))
    engine = FakeEngine()
    result = judged(monkeypatch, case, engine)
    assert result.passed
    assert result.mutation is not None
    assert (result.mutation.made, result.mutation.survivors) == (5, ())
    assert engine.made == {"s": 2, "OUT": 4}
    wrong = replace(case, outputs=(replace(record, topic="OUT", value={"A": "y"}),))
    assert judged(monkeypatch, wrong, FakeEngine()).reason == (
        'OUT#0: value: expected "y", got "x" at A'
    )


PARSE, SEMANTIC = ParseError("p"), SemanticError("s")
RUNTIME, UNSUPPORTED = ExecutionError("r"), NotSupportedYetError("u")
JAVA_PARSE = "io.confluent.ksql.parser.exception.ParseFailedException"
JAVA_STATEMENT = "io.confluent.ksql.util.KsqlStatementException"
JAVA_KSQL = "io.confluent.ksql.util.KsqlException"
JAVA_STREAMS = "org.apache.kafka.streams.errors.StreamsException"


@pytest.mark.parametrize(
    ("java_class", "place", "error", "passed"),
    [
        (JAVA_PARSE, "prepare", PARSE, True),
        (JAVA_PARSE, "statement 2", SEMANTIC, False),
        (JAVA_STATEMENT, "statement 2", SEMANTIC, True),
        (JAVA_KSQL, "statement 2", SEMANTIC, True),
        (JAVA_KSQL, "statement 1", SEMANTIC, False),
        (JAVA_KSQL, "prepare", PARSE, False),
        (JAVA_KSQL, "statement 2", UNSUPPORTED, False),
        (JAVA_KSQL, "statement 2", RUNTIME, False),
        (JAVA_KSQL, "drain", RUNTIME, False),
        (JAVA_KSQL, "statement 2", KeyError("k"), False),
        (JAVA_STREAMS, "drain", RUNTIME, True),
        (JAVA_STREAMS, "drain", UNSUPPORTED, False),
        (JAVA_STREAMS, "statement 2", SEMANTIC, False),
        (JAVA_STREAMS, "drain", ZeroDivisionError("z"), False),
        (JAVA_KSQL, "nowhere", None, False),
        (None, "statement 2", SEMANTIC, False),
        (None, "drain", RUNTIME, False),
        (None, "prepare", MillstreamError("m"), False),
        (None, "nowhere", None, True),
    ],
)
def test_refusals_count_in_the_right_phase_only(
    monkeypatch: pytest.MonkeyPatch,
    java_class: str | None,
    place: str,
    error: Exception | None,
    passed: bool,
) -> None:
    result = judged(monkeypatch, a_case(java_class), FakeEngine(place, error))
    assert result.passed == passed, result.reason


def test_a_case_that_hangs_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging(FakeEngine):
        def drain(self, input_topics: set[str]) -> None:
            while True:
                pass

    monkeypatch.setattr(runner, "TIME_LIMIT_S", 0.05)
    assert "not done" in (judged(monkeypatch, a_case(), Hanging()).reason or "")


def test_features_follow_from_format_columns_and_setting() -> None:
    one = Source(
        "S", "STREAM", t.Schema.of([("K", t.STRING)], [("A", t.STRING)]), "s", "JSON", "JSON"
    )
    two = t.Schema.of([("K", t.STRING), ("L", t.STRING)], [("A", t.STRING), ("B", t.STRING)])
    assert key_features(one) == {"UNWRAP_SINGLES"}
    assert key_features(replace(one, key_format="KAFKA")) == set()
    assert key_features(replace(one, schema=two)) == set()
    assert value_features(one) == set()
    assert value_features(replace(one, wrapping=False)) == {"UNWRAP_SINGLES"}
    assert value_features(replace(one, wrapping=True)) == {"WRAP_SINGLES"}
    assert value_features(replace(one, wrapping=True, schema=two)) == set()


# --- the report --------------------------------------------------------------------------------


def test_the_report_counts_by_file_and_kind(tmp_path: Path) -> None:
    good = CaseResult("a:0", "a - one", True, None, mutation=judge(EXPECTED, OUTCOME))
    bad = CaseResult("a:1", "a - two", True, "wrong")
    refused = CaseResult("a:2", "a - three", False, None)
    results = [FileResult("a", (good, bad, refused)), FileResult("b", (good,))]
    assert report.last_line(results) == "passed 3 of 4"
    lines = report.table(results).splitlines()
    assert lines[1].split() == ["a", "1/2", "1/1", "*"]
    assert lines[2].split() == ["b", "1/1", "-"]
    assert lines[3].split() == ["all", "2/3", "1/1"]
    assert "a - two (a:1)" in report.failures(results)
    assert report.mutation_summary(results) == ("mutants: 38 made in 2 cases, 0 survived", 0)
    path = tmp_path / "figures.json"
    report.write_json(path, results)
    assert json.loads(path.read_text(encoding="utf-8"))["a"]["positive"] == {
        "passed": 1,
        "total": 2,
    }


def test_wrong_usage_and_no_cases_exit_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        [],
        [str(tmp_path / "missing")],
        [str(tmp_path), "--only", "missing"],
        [str(tmp_path), "--unknown"],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 1
    assert main([str(tmp_path)]) == 1
    assert "no cases" in capsys.readouterr().err
