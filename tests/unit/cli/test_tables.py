from __future__ import annotations

import datetime
import io
import json
import math
from decimal import Decimal

import pytest
from rich.console import Console
from rich.text import Text

from millstream.cli.tables import (
    cell,
    json_line,
    local_time,
    plain_table,
    presented,
    print_rows,
    write_json_lines,
)
from millstream.types import BIGINT, DATE, TIME, TIMESTAMP


def printed(columns: list[str], rows: list[tuple[object, ...]]) -> list[str]:
    out = io.StringIO()
    print_rows(Console(file=out, width=20), columns, rows)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_numbers_stand_right_and_text_left() -> None:
    lines = printed(["NAME", "N"], [("a", 1), ("bbbbbb", 22_000)])
    assert lines[0].split() == ["NAME", "N"]
    assert lines[2].index("a") == lines[3].index("bbbbbb")
    assert lines[2].endswith("1")
    assert len(lines[2]) == len(lines[3])


def test_without_a_terminal_nothing_is_cut_or_wrapped() -> None:
    long = "x" * 500
    assert long in printed(["A", "B"], [(long, long)])[2]


def test_values_look_like_sql() -> None:
    row = (None, True, b"\x00\xff", {"A": [1, None]}, Decimal("1.50"))
    line = printed(["A", "B", "C", "D", "E"], [row])[2]
    assert line.split() == ["null", "true", "AP8=", '{"A":[1,null]}', "1.50"]


def test_markup_in_data_is_data() -> None:
    assert "[red]x[/red]" in printed(["A"], [("[red]x[/red]",)])[2]


def test_json_keeps_digits_and_nulls() -> None:
    columns = ["A", "B", "C", "D"]
    line = json_line(columns, (Decimal("1.10"), None, b"\xff", datetime.date(2020, 1, 2)))
    assert line == '{"A":1.10,"B":null,"C":"/w==","D":"2020-01-02"}'


def test_json_rows_stand_on_lines_of_their_own() -> None:
    out = io.StringIO()
    write_json_lines(out, ["A"], [("x\ny",), ("é",)])
    assert [json.loads(line) for line in out.getvalue().splitlines()] == [{"A": "x\ny"}, {"A": "é"}]


def test_a_row_that_does_not_fit_its_columns_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        json_line(["A", "B"], (1,))


def test_a_time_of_another_day_says_which() -> None:
    moment = datetime.datetime(2015, 5, 17, 10, 5, 3)
    time_ms = int(moment.timestamp() * 1000)
    assert local_time(time_ms, moment.date()) == "10:05:03"
    assert local_time(time_ms, datetime.date(2015, 5, 18)) == "05-17 10:05:03"


def test_integers_of_time_types_become_times() -> None:
    types = [DATE, TIME, TIMESTAMP, BIGINT]
    shown = presented([(1, 3_600_001, -1, 5), (None, None, None, None)], types)
    assert [*map(str, shown[0])] == [
        "1970-01-02",
        "01:00:00.001000",
        "1969-12-31 23:59:59.999000",
        "5",
    ]
    assert shown[1] == [None] * 4
    assert presented([(1,)], []) == [(1,)]


def test_times_beyond_pythons_calendar_are_texts() -> None:
    rows = [(2**31 - 1, 86_400_000, 2**63 - 1), (-(2**31), 0, -(2**63)), (None, None, None)]
    assert presented(rows, [DATE, TIME, TIMESTAMP]) == [
        ["+5881580-07-11", "24:00", "+292278994-08-17T07:12:55.807"],
        ["-5877641-06-23", datetime.time(0), "-292275055-05-16T16:47:04.192"],
        [None, None, None],
    ]


def test_numbers_that_json_does_not_have_are_texts() -> None:
    row = [math.nan, math.inf, -math.inf, [math.nan, 1.0], {"a": {"b": math.inf}}]
    assert json_line(list("abcde"), row) == (
        '{"a":"NaN","b":"Infinity","c":"-Infinity","d":["NaN",1.0],"e":{"a":{"b":"Infinity"}}}'
    )
    assert cell([math.nan]).plain == '["NaN"]'


def test_characters_that_move_the_cursor_are_escaped() -> None:
    assert cell("a\x1b[2J\n\x00\u2028é 😀\x9b").plain == "a\\x1b[2J\\n\\x00\\u2028é 😀\\x9b"
    assert cell({"a": "\n\x1b"}).plain == '{"a":"\\n\\u001b"}'


def test_an_endless_value_does_not_widen_the_other_rows() -> None:
    rows = [[Text("x" * 100_000), Text("1")], [Text("y"), Text("2")]]
    lines = list(plain_table(["A", "B"], rows, [False, True]))
    assert [len(line) for line in lines] == [204, 204, 100_004, 204]
