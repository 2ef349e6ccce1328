"""Statements: every kind, with and without its options."""

from __future__ import annotations

import pytest

from millstream import types as t
from millstream.errors import ParseError
from millstream.sql import ast, format_statement, parse_statement
from millstream.sql.ast import ColumnConstraint, ColumnDefinition, QueryAction, SourceKind

STREAM, TABLE = SourceKind.STREAM, SourceKind.TABLE
QUERY = ast.Query((ast.SelectAll(),), ast.NamedRelation("T", "T"))
ONE, TEXT = ast.IntegerLiteral(1), ast.StringLiteral("x")
ID = ColumnDefinition("ID", t.INTEGER)
TEN_SECONDS = ast.Duration(10, "SECONDS")


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("SELECT * FROM t", ast.Select(QUERY)),
        ("CREATE STREAM s", ast.CreateSource(STREAM, "S", ())),
        (
            "CREATE OR REPLACE SOURCE TABLE IF NOT EXISTS s (id INT PRIMARY KEY)",
            ast.CreateSource(
                TABLE,
                "S",
                (ColumnDefinition("ID", t.INTEGER, ColumnConstraint.PRIMARY_KEY),),
                or_replace=True,
                if_not_exists=True,
                read_only=True,
            ),
        ),
        (
            "CREATE STREAM `my-stream` (k INT KEY, h ARRAY<STRUCT<key STRING, value BYTES>>"
            " HEADERS, b BYTES HEADER('it''s'), key STRING, header INT, primary INT ARRAY)",
            ast.CreateSource(
                STREAM,
                "my-stream",
                (
                    ColumnDefinition("K", t.INTEGER, ColumnConstraint.KEY),
                    ColumnDefinition("H", t.HEADERS_TYPE, ColumnConstraint.HEADERS),
                    ColumnDefinition("B", t.BYTES, ColumnConstraint.HEADER, "it's"),
                    ColumnDefinition("KEY", t.STRING),
                    ColumnDefinition("HEADER", t.INTEGER),
                    ColumnDefinition("PRIMARY", t.Array(t.INTEGER)),
                ),
            ),
        ),
        ("CREATE TABLE if AS SELECT * FROM t", ast.CreateAsSelect(TABLE, "IF", QUERY)),
        (
            "CREATE OR REPLACE STREAM IF NOT EXISTS s WITH (format='x') AS SELECT * FROM t",
            ast.CreateAsSelect(STREAM, "S", QUERY, (("FORMAT", TEXT),), True, True),
        ),
        ("INSERT INTO s SELECT * FROM t", ast.InsertIntoSelect("S", QUERY)),
        (
            "INSERT INTO s WITH (QUERY_ID='x') SELECT * FROM t",
            ast.InsertIntoSelect("S", QUERY, (("QUERY_ID", TEXT),)),
        ),
        ("INSERT INTO s VALUES (1, 'x')", ast.InsertValues("S", (), (ONE, TEXT))),
        (
            "INSERT INTO values (`a`, b) VALUES (1, 'x')",
            ast.InsertValues("VALUES", ("a", "B"), (ONE, TEXT)),
        ),
        ("DROP STREAM s", ast.DropSource(STREAM, "S")),
        ("DROP TABLE IF EXISTS s DELETE TOPIC", ast.DropSource(TABLE, "S", True, True)),
        ("DROP TABLE if", ast.DropSource(TABLE, "IF")),
        ("ALTER STREAM s ADD id INT", ast.AlterSource(STREAM, "S", (ID,))),
        (
            "ALTER TABLE s ADD COLUMN id INT, ADD column INT, ADD COLUMN column INT",
            ast.AlterSource(
                TABLE,
                "S",
                (ID, ColumnDefinition("COLUMN", t.INTEGER), ColumnDefinition("COLUMN", t.INTEGER)),
            ),
        ),
        ("CREATE TYPE a AS INT", ast.CreateType("A", t.INTEGER)),
        (
            "CREATE TYPE IF NOT EXISTS a AS STRUCT<b address>",
            ast.CreateType("A", t.Struct((t.Field("B", t.NamedType("ADDRESS")),)), True),
        ),
        ("DROP TYPE a", ast.DropType("A")),
        ("DROP TYPE IF EXISTS `a`", ast.DropType("a", True)),
        ("TERMINATE ctas_a_1", ast.ControlQuery(QueryAction.TERMINATE, "CTAS_A_1")),
        ("TERMINATE ALL", ast.ControlQuery(QueryAction.TERMINATE, None)),
        ("PAUSE q", ast.ControlQuery(QueryAction.PAUSE, "Q")),
        ("PAUSE `all`", ast.ControlQuery(QueryAction.PAUSE, "all")),
        ("RESUME ALL", ast.ControlQuery(QueryAction.RESUME, None)),
        ("PAUSE CONNECTOR c", ast.ControlConnector(QueryAction.PAUSE, "C")),
        ("RESUME CONNECTOR `c`", ast.ControlConnector(QueryAction.RESUME, "c")),
        ("PAUSE connector", ast.ControlQuery(QueryAction.PAUSE, "CONNECTOR")),
        ("SET 'a' = 'b'", ast.SetProperty("a", "b")),
        ("ALTER SYSTEM 'a'='b'", ast.SetProperty("a", "b", True)),
        ("UNSET 'a'", ast.UnsetProperty("a")),
        ("DEFINE Format = 'JSON'", ast.DefineVariable("Format", "JSON")),
        ("UNDEFINE topic", ast.UndefineVariable("topic")),
        (
            "CREATE SOURCE CONNECTOR IF NOT EXISTS c WITH ('connector.class'='x', Name='x')",
            ast.CreateConnector("SOURCE", "C", (("connector.class", TEXT), ("Name", TEXT)), True),
        ),
        (
            "CREATE SINK CONNECTOR `c` WITH (\"Topics\"='x')",
            ast.CreateConnector("SINK", "c", (("Topics", TEXT),)),
        ),
        ("DROP CONNECTOR IF EXISTS c", ast.DropConnector("C", True)),
        ("DROP CONNECTOR c", ast.DropConnector("C")),
        ("DESCRIBE s", ast.Describe("S")),
        ("DESC s EXTENDED", ast.Describe("S", True)),
        ("DESCRIBE STREAMS", ast.Describe(None, all_of=STREAM)),
        ("describe tables extended", ast.Describe(None, True, TABLE)),
        ("DESCRIBE `STREAMS`", ast.Describe("STREAMS")),
        ("DESCRIBE function", ast.Describe("FUNCTION")),
        ("DESCRIBE function EXTENDED", ast.Describe("FUNCTION", True)),
        ("DESCRIBE FUNCTION count", ast.DescribeFunction("COUNT")),
        ("DESCRIBE CONNECTOR c", ast.DescribeConnector("C")),
        ("PRINT Clicks", ast.PrintTopic("Clicks")),
        ("PRINT 'my-topic.a'", ast.PrintTopic("my-topic.a")),
        (
            "PRINT `t` FROM BEGINNING INTERVAL 2 LIMIT 3",
            ast.PrintTopic("t", True, 2, 3),
        ),
        ("PRINT t SAMPLE 2", ast.PrintTopic("t", interval=2)),
        ("EXPLAIN CTAS_A_1", ast.Explain(None, "CTAS_A_1")),
        ("explain analyze CTAS_A_1", ast.Explain(None, "CTAS_A_1", analyze=True)),
        ("EXPLAIN ANALYZE ANALYZE", ast.Explain(None, "ANALYZE", analyze=True)),
        ("EXPLAIN ANALYZE", ast.Explain(None, "ANALYZE")),
        ("EXPLAIN SELECT * FROM t", ast.Explain(ast.Select(QUERY), None)),
        (
            "EXPLAIN CREATE STREAM s AS SELECT * FROM t",
            ast.Explain(ast.CreateAsSelect(STREAM, "S", QUERY), None),
        ),
        ("ASSERT TOPIC Foo", ast.AssertTopic("Foo")),
        (
            "ASSERT NOT EXISTS TOPIC `foo` WITH (partitions=1) TIMEOUT 10 SECONDS",
            ast.AssertTopic("foo", (("PARTITIONS", ONE),), False, TEN_SECONDS),
        ),
        ("ASSERT SCHEMA SUBJECT 'a-value'", ast.AssertSchema("a-value", None)),
        ("ASSERT SCHEMA ID 1", ast.AssertSchema(None, 1)),
        (
            "ASSERT NOT EXISTS SCHEMA SUBJECT a ID 1 TIMEOUT 10 SECONDS",
            ast.AssertSchema("a", 1, False, TEN_SECONDS),
        ),
        ("ASSERT VALUES s (a) VALUES (1)", ast.AssertValues("S", ("A",), (ONE,))),
        ("ASSERT VALUES s VALUES (1)", ast.AssertValues("S", (), (ONE,))),
        ("ASSERT NULL VALUES s (a) KEY (1)", ast.AssertTombstone("S", ("A",), (ONE,))),
        (
            "ASSERT STREAM s (id INT) WITH (kafka_topic='x')",
            ast.AssertSource(STREAM, "S", (ID,), (("KAFKA_TOPIC", TEXT),)),
        ),
        ("ASSERT TABLE s", ast.AssertSource(TABLE, "S", ())),
        ("RUN SCRIPT 'a.sql'", ast.RunScript("a.sql")),
    ],
)
def test_every_kind(text: str, statement: ast.Statement) -> None:
    assert parse_statement(text) == statement
    assert parse_statement(format_statement(statement)) == statement


@pytest.mark.parametrize("verb", ["SHOW", "LIST", "list"])
@pytest.mark.parametrize(
    ("what", "extended"),
    [
        ("PROPERTIES", False),
        ("TOPICS", True),
        ("ALL TOPICS", True),
        ("STREAMS", True),
        ("TABLES", True),
        ("FUNCTIONS", False),
        ("CONNECTORS", False),
        ("SOURCE CONNECTORS", False),
        ("SINK CONNECTORS", False),
        ("CONNECTOR PLUGINS", False),
        ("TYPES", False),
        ("VARIABLES", False),
        ("QUERIES", True),
    ],
)
def test_show(verb: str, what: str, extended: bool) -> None:
    assert parse_statement(f"{verb} {what};") == ast.Show(what)
    longer = f"{verb} {what.lower()} EXTENDED;"
    if extended:
        assert parse_statement(longer) == ast.Show(what, True)
        assert format_statement(ast.Show(what, True)) == f"SHOW {what} EXTENDED;"
    else:
        with pytest.raises(ParseError):
            parse_statement(longer)


def test_properties_of_a_source() -> None:
    text = (
        "CREATE STREAM s (id INT) WITH (kafka_topic='x', 'Partitions'=1, a=true, b=-1.5, c=NULL);"
    )
    statement = parse_statement(text)
    assert isinstance(statement, ast.CreateSource)
    names = [name for name, _ in statement.properties]
    assert names == ["KAFKA_TOPIC", "PARTITIONS", "A", "B", "C"]
    assert parse_statement(format_statement(statement)) == statement


@pytest.mark.parametrize(
    "text",
    [
        "NONSENSE",
        "UPDATE s SET a = 1",
        "DELETE FROM s",
        "WITH a AS (SELECT * FROM t) SELECT * FROM a",
        "'text'",
        "CREATE",
        "CREATE VIEW v AS SELECT * FROM t",
        "CREATE STREAM",
        "CREATE STREAM s ()",
        "CREATE STREAM s (id)",
        "CREATE STREAM s (id KEY)",
        "CREATE STREAM s (id INT,)",
        "CREATE STREAM s (id INT NOT NULL)",
        "CREATE STREAM s (id NULL)",
        "CREATE STREAM s (id INT PRIMARY)",
        "CREATE STREAM s (id BYTES HEADER)",
        "CREATE STREAM s (id BYTES HEADER(h))",
        "CREATE STREAM s (id INT PRIMARY KEY)",
        "CREATE TABLE s (id INT KEY)",
        "CREATE STREAM s (k STRING (KEY))",
        "CREATE STREAM s (group INT)",
        "CREATE STREAM `my stream` (id INT)",
        "CREATE STREAM `a.b` AS SELECT * FROM t",
        "CREATE STREAM s (id INT) WITH ()",
        "CREATE STREAM s (id INT) WITH (a)",
        "CREATE STREAM s (id INT) WITH (a='x',)",
        "CREATE STREAM s (id INT) WITH (a=JSON)",
        "CREATE STREAM s (id INT) WITH (a=1+1)",
        "CREATE STREAM s (id INT) WITH (a=-'x')",
        "CREATE STREAM s (id INT) WITH (a='x', A='y')",
        "CREATE STREAM s (id INT) WITH (a='x', 'a'='y')",
        "CREATE STREAM s (id INT) AS SELECT * FROM t",
        "CREATE SOURCE STREAM s AS SELECT * FROM t",
        "CREATE SINK STREAM s (id INT)",
        "CREATE STREAM s AS t",
        "CREATE STREAM s AS INSERT INTO t VALUES (1)",
        "CREATE CONNECTOR c WITH ('a'='b')",
        "CREATE OR REPLACE SOURCE CONNECTOR c WITH ('a'='b')",
        "CREATE SOURCE CONNECTOR c",
        "CREATE SOURCE CONNECTOR c WITH ('a'='b', 'a'='c')",
        "CREATE OR REPLACE TYPE a AS INT",
        "CREATE TYPE a INT",
        "INSERT s VALUES (1)",
        "INSERT INTO s",
        "INSERT INTO s (a)",
        "INSERT INTO s (a) SELECT * FROM t",
        "INSERT INTO s () VALUES (1)",
        "INSERT INTO s VALUES (1), (2)",
        "INSERT INTO s VALUES (a = b)",
        "INSERT INTO s VALUES 1",
        "DROP s",
        "DROP STREAM s DELETE",
        "DROP STREAM IF s",
        "ALTER STREAM s",
        "ALTER STREAM s ADD",
        "ALTER STREAM s DROP a",
        "ALTER STREAM s ADD a INT KEY",
        "TERMINATE",
        "TERMINATE CONNECTOR c",
        "SET a = 'b'",
        "SET 'a' = 1",
        "SET 'a'",
        "DEFINE 'a' = 'b'",
        "DEFINE 1a = 'b'",
        "DEFINE a = b",
        "SHOW",
        "SHOW THINGS",
        "SHOW ALL STREAMS",
        "DESCRIBE",
        "DESCRIBE STREAM s",
        "PRINT",
        "PRINT ''",
        "PRINT my-topic",
        "PRINT t LIMIT x",
        "PRINT t FROM",
        "EXPLAIN",
        "EXPLAIN EXPLAIN SELECT * FROM t",
        "EXPLAIN a b",
        "EXPLAIN ANALYZE a b",
        "EXPLAIN ANALYZE SELECT * FROM t",
        "EXPLAIN ANALYZE 'a'",
        "ASSERT",
        "ASSERT SCHEMA",
        "ASSERT TOPIC t TIMEOUT 1",
        "ASSERT NULL s KEY (1)",
        "RUN 'a.sql'",
        "RUN SCRIPT a",
    ],
)
def test_what_is_no_statement(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_statement(text + ";")
    assert caught.value.position is not None
    assert caught.value.source == text + ";"
