"""What a refusal says: where, what was found, and what to write instead."""

from __future__ import annotations

import pytest

from millstream.errors import ParseError
from millstream.sql import parse_script


def _rendered(text: str) -> str:
    with pytest.raises(ParseError) as caught:
        parse_script(text)
    return caught.value.render()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "SHOW TOPICS;\n  SELCT * FROM s;",
            """\
line 2, column 3: Expected a statement such as SELECT, CREATE or INSERT but found SELCT.
    SELCT * FROM s;
    ^^^^^
Did you mean SELECT?""",
        ),
        (
            "SELECT a FORM s;",
            """\
line 1, column 10: Expected FROM or a comma but found FORM.
  SELECT a FORM s;
           ^^^^
Did you mean FROM?""",
        ),
        (
            "SELECT a FROM s\nWEHRE b = 1;",
            """\
line 2, column 1: Expected the end of the statement but found WEHRE.
  WEHRE b = 1;
  ^^^^^
Did you mean WHERE?""",
        ),
        (
            "CREATE STREM s (id INT);",
            """\
line 1, column 8: Expected STREAM, TABLE, TYPE or SOURCE or SINK CONNECTOR but found STREM.
  CREATE STREM s (id INT);
         ^^^^^
Did you mean STREAM?""",
        ),
        (
            "CREATE STREAM s (\n  id INT,\n  order INT,\n  group INT);",
            """\
line 4, column 3: Expected the name of a column but found group.
    group INT);
    ^^^^^
GROUP is a reserved word; as a name, put it in back-ticks.""",
        ),
        (
            "CREATE TABLE t (id INT KEY);",
            """\
line 1, column 24: Column ID of a table is marked KEY.
  CREATE TABLE t (id INT KEY);
                         ^^^
The key of a table is its PRIMARY KEY: write PRIMARY KEY.""",
        ),
        (
            "CREATE STREAM s (a INT) WITH (value_format=JSON);",
            """\
line 1, column 44: Expected the value of VALUE_FORMAT but found JSON.
  CREATE STREAM s (a INT) WITH (value_format=JSON);
                                             ^^^^
Put the text in single quotes: 'JSON'""",
        ),
        (
            "CREATE STREAM s (a INT) WITH (format='a',\n Format='b');",
            """\
line 2, column 2: The property FORMAT is given twice.
   Format='b');
   ^^^^^^""",
        ),
        (
            "SELECT a,\n  9223372036854775808\nFROM s;",
            """\
line 2, column 3: The number 9223372036854775808 does not fit a BIGINT (64 bits).
    9223372036854775808
    ^^^^^^^^^^^^^^^^^^^
Write it with a decimal point to make it a DECIMAL.""",
        ),
        (
            "SELECT a FROM s GROUP BY a AND b;",
            """\
line 1, column 28: Expected the end of the statement but found AND.
  SELECT a FROM s GROUP BY a AND b;
                             ^^^""",
        ),
        (
            "SELECT a FROM s WHERE b LIEK 'x';",
            """\
line 1, column 25: Expected the end of the statement but found LIEK.
  SELECT a FROM s WHERE b LIEK 'x';
                          ^^^^
Did you mean LIKE?""",
        ),
        (
            "SELECT a FROM s WINDOW TUMBLNG (SIZE 1 HOUR) GROUP BY a;",
            """\
line 1, column 24: Expected TUMBLING, HOPPING or SESSION but found TUMBLNG.
  SELECT a FROM s WINDOW TUMBLNG (SIZE 1 HOUR) GROUP BY a;
                         ^^^^^^^
Did you mean TUMBLING?""",
        ),
        (
            "SELECT a FROM s WINDOW SESSION (1 SECOD) GROUP BY a;",
            """\
line 1, column 35: Expected a unit of time such as SECONDS but found SECOD.
  SELECT a FROM s WINDOW SESSION (1 SECOD) GROUP BY a;
                                    ^^^^^
Did you mean SECOND?""",
        ),
        (
            "SELECT a FROM s WHERE b = 'x",
            """\
line 1, column 27: This string is not closed.
  SELECT a FROM s WHERE b = 'x
                            ^^
End it with a single quote; a quote inside a string is written twice.""",
        ),
        (
            "SHOW STREMS;",
            """\
line 1, column 6: Expected what to show, such as STREAMS or TOPICS but found STREMS.
  SHOW STREMS;
       ^^^^^^
Did you mean STREAMS?""",
        ),
        (
            "SELECT a FROM s WHERE",
            """\
line 1, column 22: Expected an expression but found the end of the statement.
  SELECT a FROM s WHERE
                       ^""",
        ),
        (
            "CREATE STREAM s (id INT) WITH (format='JSON')\nCREATE STREAM t (id INT);",
            """\
line 2, column 1: Expected the end of the statement but found CREATE.
  CREATE STREAM t (id INT);
  ^^^^^^
A semicolon is missing in front of CREATE.""",
        ),
    ],
)
def test_a_refusal_as_a_person_reads_it(text: str, shown: str) -> None:
    assert _rendered(text) == shown
