"""The layout of statements."""

from __future__ import annotations

import pytest

from millstream.sql import format_expression, format_statement, parse_expression, parse_statement
from millstream.sql.formatter import format_name


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        (
            "create stream s with (kafka_topic='t') as select a, b->c x from `in` i left join t on"
            " i.a=t.a window hopping(size 1 minute,advance by 1 second) where a>1 and (b or c)"
            " group by a having count(*)>1 emit changes limit 5",
            """\
CREATE STREAM S WITH (KAFKA_TOPIC = 't') AS
SELECT
  A,
  B->C AS X
FROM `in` AS I
  LEFT JOIN T ON I.A = T.A
WINDOW HOPPING (SIZE 1 MINUTES, ADVANCE BY 1 SECONDS)
WHERE A > 1 AND (B OR C)
GROUP BY A
HAVING COUNT(*) > 1
EMIT CHANGES
LIMIT 5;""",
        ),
        ("select * from s", "SELECT *\nFROM S;"),
        (
            "create table t (id int primary key, `v` map<string, int>) with (format='JSON')",
            "CREATE TABLE T (ID INTEGER PRIMARY KEY, `v` MAP<STRING, INTEGER>)"
            " WITH (FORMAT = 'JSON');",
        ),
        (
            "insert into s(a,b) values (-1.50,'it''s')",
            "INSERT INTO S (A, B) VALUES (-1.50, 'it''s');",
        ),
        (
            "create table a_table_with_a_long_name (first_column int primary key,"
            " second_column int, third_column int, fourth_column int)",
            """\
CREATE TABLE A_TABLE_WITH_A_LONG_NAME (
  FIRST_COLUMN INTEGER PRIMARY KEY,
  SECOND_COLUMN INTEGER,
  THIRD_COLUMN INTEGER,
  FOURTH_COLUMN INTEGER
);""",
        ),
        (
            "select * from s where a_rather_long_column_name = 'some text' and"
            " another_long_column_name = 'some other text' and b = 1",
            """\
SELECT *
FROM S
WHERE A_RATHER_LONG_COLUMN_NAME = 'some text'
  AND ANOTHER_LONG_COLUMN_NAME = 'some other text'
  AND B = 1;""",
        ),
    ],
)
def test_layout(text: str, formatted: str) -> None:
    assert format_statement(parse_statement(text)) == formatted


@pytest.mark.parametrize(
    "text",
    [
        "(A + B) * C",
        "A - (B - C)",
        "A + B - C",
        "NOT (A AND B)",
        "(NOT A) = B",
        "(A = B) = C",
        "-(-1)",
        "-(-A)",
        "(-1)[2]",
        "A - -1",
        "(A OR B) AND C",
        "1.5E-7",
        "1E3",
        "5.",
        "F(A, X => X + 1)",
        "F(A, (X, `y`) => X)",
        "`a`.`b c`->`d``e`",
        "CASE A WHEN 1 THEN 'x' ELSE NULL END",
        "CAST(A AS DECIMAL(4, 2))",
        "A NOT LIKE '!%' ESCAPE '!'",
        "A NOT BETWEEN 1 AND B + 1",
        "A NOT IN (1, 2)",
        "A IS NOT DISTINCT FROM NULL",
        "MAP('a' := ARRAY[1], B := ARRAY[])",
        "STRUCT(A := 1, `from` := 2)",
        "TIMESTAMPADD(DAYS, 1, TIMESTAMP '2020-01-01T00:00:00')",
    ],
)
def test_canonical_expressions_stay_as_they_are(text: str) -> None:
    assert format_expression(parse_expression(text)) == text


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("A_1", "A_1"),
        ("A@B", "A@B"),
        ("TIME", "TIME"),
        ("a", "`a`"),
        ("1A", "`1A`"),
        ("SELECT", "`SELECT`"),
        ("ARRAY", "`ARRAY`"),
        ("A`B", "`A``B`"),
        ("A B", "`A B`"),
    ],
)
def test_names_are_quoted_where_they_must(name: str, written: str) -> None:
    assert format_name(name) == written
