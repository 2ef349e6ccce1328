"""Scripts that nobody foresaw: a sentence, its place, what helps; and what went before stays."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from millstream import Database
from millstream.cli.main import run
from millstream.errors import MillstreamError, ParseError, SemanticError, SqlError
from tests.e2e.raw_topic import connect

WITH = "WITH (KAFKA_TOPIC = 'x', VALUE_FORMAT = 'JSON', PARTITIONS = 1)"
OVER = "WITH (KAFKA_TOPIC = {topic}, VALUE_FORMAT = 'JSON', PARTITIONS = 1)"
STREAM = f"CREATE STREAM s (k VARCHAR KEY, a INT, w VARCHAR) {WITH};"
MANY = 100_000


def refusal(script: str, db: Database | None = None) -> SqlError:
    """The error of a script that must be refused, with a place and nothing endless in it."""
    with connect(STREAM) as own:
        with pytest.raises(SqlError) as caught:
            (db or own).execute(script)
        error = caught.value
        assert error.position is not None
        assert error.message
        assert len(error.render()) < 4_000
        return error


def streams(db: Database) -> list[str]:
    """The streams that a script made."""
    return [name for name in db.catalog.sources if name != "KSQL_PROCESSING_LOG"]


# --- an error in the middle -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "line", "column", "shown"),
    [
        ("CREATE STREM b;", 3, 8, "STREM"),
        ("INSERT INTO s VALUES ('x', 'y', 'z');", 3, 28, "'y'"),
        ("INSERT INTO s VALUES ('x',\n  5 + 'y', 'z');", 4, 3, "5 + 'y'"),
        ("\r\n\n  DROP STREAM nothing;", 5, 3, "DROP"),
        ("/* \u2028 \x0b \x0c */ DROP STREAM nothing;", 3, 13, "DROP"),
        ("PRINT 'unclosed;", 3, 7, "'unclosed;"),
        ("SELECT ${nothing} FROM s;", 3, 8, "${nothing}"),
    ],
)
def test_what_went_before_stays_and_the_error_has_its_place(
    wrong: str, line: int, column: int, shown: str
) -> None:
    script = f"{STREAM}\nINSERT INTO s VALUES ('a', 1, 'b'); INSERT INTO s VALUES ('c', 2, 'd');\n"
    with connect() as db:
        with pytest.raises(SqlError) as caught:
            db.execute(f"{script}{wrong}\nCREATE STREAM later AS SELECT * FROM s;")
        error = caught.value
        assert error.position is not None
        assert (error.position.line, error.position.column) == (line, column)
        head, source, carets, *_ = error.render().split("\n")
        assert head.startswith(f"line {line}, column {column}: ")
        start = carets.index("^")
        assert source[start:].startswith(shown.split(";")[0])
        assert carets[start:].strip("^") == ""
        assert streams(db) == ["S"]
        assert db.sql("SELECT * FROM s;").rows() == [("a", 1, "b"), ("c", 2, "d")]


def test_an_endless_line_is_cut_around_the_error() -> None:
    error = refusal(f"SELECT {'a + ' * 50_000} FROM s;")
    _, source, carets = error.render().split("\n")[:3]
    assert len(source) < 170
    assert source.strip("… ") != source.strip()
    assert len(carets) <= len(source)
    error = refusal(f"SELECT {'n' * 1_000_000} FROM s;")
    assert "NNN…" in error.render()


# --- very many statements -----------------------------------------------------------------------


def test_a_hundred_thousand_definitions() -> None:
    script = "".join(f"DEFINE v{n} = '{n}';\n" for n in range(MANY))
    with connect(STREAM) as db:
        assert len(db.execute(script)) == MANY
        db.execute(f"INSERT INTO s VALUES ('k', ${{V{MANY - 1}}}, '${{v7}}');")
        assert db.sql("SELECT * FROM s;").rows() == [("k", MANY - 1, "7")]
        assert refusal(f"SELECT ${{v{MANY}}} FROM s;", db).message.endswith("is not defined.")


def test_inserts_that_follow_one_another_are_written_together(tmp_path: Path) -> None:
    script = "".join(f"INSERT INTO s VALUES ('k', {n}, 'w');\n" for n in range(3_000))
    with connect(STREAM, str(tmp_path / "x.db")) as db:
        outcomes = db.execute(script)
        assert [o.message for o in outcomes] == ["1 row written to S"] * 3_000
        assert outcomes[0].statement == "INSERT INTO s VALUES ('k', 0, 'w');"
        assert db.sql("SELECT a FROM s;").rows() == [(n,) for n in range(3_000)]
        with db.store.view() as view:
            topic = view.topic("x")
            assert topic is not None
            assert len(list(view.read(topic.id, 0))) <= 3


def test_inserts_keep_their_order_across_streams() -> None:
    with connect(
        STREAM + "CREATE STREAM two (k VARCHAR KEY, a INT) " + OVER.format(topic="'two'") + ";"
    ) as db:
        db.execute(
            "CREATE STREAM both AS SELECT k, a FROM s; INSERT INTO both SELECT k, a FROM two;"
            + "".join(f"INSERT INTO {'s' if n % 3 else 'two'} (a) VALUES ({n});" for n in range(30))
        )
        db.run(until_idle=True)
        assert db.sql("SELECT a FROM both;").rows() == [(n,) for n in range(30)]


def test_a_script_sees_what_it_inserted() -> None:
    with connect(STREAM) as db:
        outcomes = db.execute(
            "INSERT INTO s VALUES ('a', 1, 'b'); SELECT a FROM s;"
            "INSERT INTO s VALUES ('a', 2, 'b'); SELECT a FROM s;"
        )
        tables = [o.table.rows for o in outcomes if o.table is not None]
        assert [list(rows) for rows in tables] == [[(1,)], [(1,), (2,)]]


def test_many_types_and_streams_cost_the_same_each() -> None:
    # A catalogue that is copied whole for each statement makes 2,000 of them noticeable already;
    # what is asserted here is that names keep their order and their meaning.
    script = "".join(
        f"CREATE TYPE t{n} AS STRUCT<a INT>; CREATE STREAM s{n} (v t{n})"
        " WITH (KAFKA_TOPIC = 'x', VALUE_FORMAT = 'JSON');"
        for n in range(500)
    )
    with connect(STREAM + script) as db:
        assert streams(db) == ["S", *(f"S{n}" for n in range(500))]
        assert list(db.catalog.types) == [f"T{n}" for n in range(500)]
        db.execute("DROP STREAM s7; DROP TYPE t7; CREATE STREAM s7 (a INT) " + WITH + ";")
        assert streams(db)[-1] == "S7"
        assert "T7" not in db.catalog.types


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "declaration",
    [
        "a INT, a INT",
        "a INT, A VARCHAR",
        "a INT KEY, `A` INT",
        "a STRUCT<b INT, b INT>",
        "a STRUCT<b INT, `B` VARCHAR>",
        "a MAP<VARCHAR, ARRAY<STRUCT<b INT, c STRUCT<d INT, d INT>>>>",
    ],
)
def test_names_that_stand_twice(declaration: str) -> None:
    assert "twice" in refusal(f"CREATE STREAM b ({declaration}) {WITH};").message


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE STREAM b AS SELECT k, a AS c, w AS c FROM s;",
        "CREATE STREAM b AS SELECT k, STRUCT(c := 1, c := 2) AS d FROM s;",
        "CREATE TYPE b AS STRUCT<c INT, c INT>;",
        "ALTER STREAM s ADD COLUMN b STRUCT<c INT, c INT>;",
        "ALTER STREAM s ADD COLUMN a INT;",
        "INSERT INTO s (a, a) VALUES (1, 2);",
        "CREATE STREAM b (a INT) WITH (KAFKA_TOPIC = 'x', KAFKA_TOPIC = 'y');",
        "CREATE STREAM s (a INT) WITH (KAFKA_TOPIC = 'x', VALUE_FORMAT = 'JSON');",
    ],
)
def test_other_things_that_are_there_already(statement: str) -> None:
    error = refusal(statement)
    assert any(word in error.message for word in ("twice", "two", "already", "declared"))


def test_names_of_any_characters() -> None:
    names = [
        "a.b",
        "it's",
        '"q"',
        "``",
        "select",
        "é 世界 😀",
        " ",
        "a\x00b",
        "x" * 3_000,
        "-",
        "1",
    ]
    quoted = [f"`{name.replace('`', '``')}`" for name in names]
    columns = ", ".join(f"{name} INT" for name in quoted)
    with connect(f"CREATE STREAM odd (k VARCHAR KEY, {columns}) {WITH};") as db:
        db.execute(f"CREATE STREAM copy AS SELECT k, {', '.join(quoted)} FROM odd;")
        numbers = list(range(len(names)))
        db.execute(f"INSERT INTO odd VALUES ('k', {', '.join(map(str, numbers))});")
        db.insert("odd", [("k", *numbers), {"k": "k", **dict(zip(names, numbers, strict=True))}])
        db.run(until_idle=True)
        result = db.sql("SELECT * FROM copy;")
        assert result.columns == ["K", *names]
        assert result.rows() == [("k", *numbers)] * 3
        assert db.execute("DESCRIBE odd;")[0].table is not None


@pytest.mark.parametrize(
    "name", ["`a.b`", "`a'b`", "`a b`", "`é`", "`a``b`", "``", "é", "1", "a-b"]
)
def test_streams_that_cannot_be_called_so(name: str) -> None:
    refusal(f"CREATE STREAM {name} (a INT) {WITH};")


def test_topics_that_cannot_be_called_so() -> None:
    for name in ("", "a b", "é", "a/b", "..", "x" * 250):
        error = refusal("CREATE STREAM b (a INT) " + OVER.format(topic=repr(name)) + ";")
        assert error.message.startswith("a topic")
    assert "249" in refusal(f"CREATE STREAM {'n' * 250} AS SELECT * FROM s;").message


# --- variables ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["it's", '"', "`", "a'; DROP STREAM s; --", "${x}", "\n\x00", ""])
def test_variables_inside_quotes_are_never_more_than_text(value: str) -> None:
    with connect(STREAM) as db:
        db.execute("INSERT INTO s VALUES ('k', 1, '<${x}>');", {"x": value})
        assert db.sql("SELECT w FROM s;").rows() == [(f"<{value}>",)]


@pytest.mark.parametrize("value", ["it's", "1); DROP STREAM s; --", "", "a b", "'a' 'b'", "1 + 1"])
def test_variables_outside_of_quotes_are_one_word(value: str) -> None:
    with connect(STREAM) as db:
        with pytest.raises(ParseError, match="neither a name nor a literal") as caught:
            db.execute("INSERT INTO s VALUES ('k', ${x}, 'w');", {"x": value})
        assert caught.value.hint is not None
        assert streams(db) == ["S"]


def test_variables_that_cannot_be() -> None:
    with connect() as db:
        for name in ("", "1", "a b", "é", "a-b"):
            with pytest.raises(ParseError, match="not the name of a variable"):
                db.execute("SHOW STREAMS;", {name: "x"})
        with pytest.raises(ParseError, match="half of a pair"):
            db.execute("SHOW STREAMS;", {"x": "\ud800"})
        for script in (
            "DEFINE x = 5;",
            "DEFINE x;",
            "DEFINE 'x' = 'y';",
            "PRINT ${x;",
            "PRINT $x;",
        ):
            refusal(script)


def test_substitution_can_be_switched_off() -> None:
    with connect(STREAM) as db:
        db.execute(
            "DEFINE x = 'y'; SET 'ksql.variable.substitution.enable' = 'false';"
            "INSERT INTO s VALUES ('a', 1, '${x}');"
            "SET 'ksql.variable.substitution.enable' = 'true';"
            "INSERT INTO s VALUES ('a', 1, '${x}');"
        )
        assert db.sql("SELECT w FROM s;").rows() == [("${x}",), ("y",)]


# --- properties -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cache.max.bytes.buffering", ["abc", "", "-1", "1.5", "9" * 5_000, "٣"]),
        ("auto.offset.reset", ["soon", "", "earliest latest"]),
        ("ksql.sink.partitions", ["0", "-1", "x", "10001"]),
        ("ksql.sink.replicas", ["0", "x", "32768"]),
        ("ksql.timestamp.throw.on.invalid", ["maybe", "1", ""]),
        ("ksql.persistence.wrap.single.values", ["yes"]),
        ("ksql.variable.substitution.enable", ["off"]),
        ("ksql.persistence.default.format.value", ["XML"]),
        ("ksql.persistence.default.format.key", ["XML"]),
        ("ksql.output.topic.name.prefix", ["a b", "x" * 201]),
        ("ksql.streams.num.stream.threads", []),
        ("num.stream.threads", ["x", "0"]),
    ],
)
def test_values_of_properties(name: str, values: list[str]) -> None:
    with connect() as db:
        for value in values:
            error = refusal(f"SET '{name}' = '{value}';", db)
            assert f"'{name}'" in error.message
            assert name not in db.properties or db.properties[name] != value
    if not name.endswith((".key", ".value")):
        for value in values:
            with pytest.raises(SemanticError, match=name):
                Database.open(properties={name: value})


def test_properties_that_do_not_exist() -> None:
    assert "auto.offset.reset" in str(refusal("SET 'auto.ofset.reset' = 'earliest';").hint)
    assert "ksql.sink.partitions" in str(refusal("SET 'ksql.sink.partition' = '1';").hint)
    assert "SHOW PROPERTIES" in str(refusal("SET 'nothing' = '1';").hint)
    refusal("UNSET 'nothing';")
    with connect() as db:
        (outcome,) = db.execute("SET 'ksql.query.push.v2.enabled' = 'true';")
        assert "changes nothing here" in outcome.message


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("RETENTION_MS = 'abc'", "RETENTION_MS"),
        ("RETENTION_MS = '99999999999999999999'", "RETENTION_MS"),
        ("RETENTION_MS = -5", "RETENTION_MS"),
        ("PARTITIONS = '9999999999'", "partitions"),
        (f"PARTITIONS = '{'9' * 5_000}'", "PARTITIONS"),
        ("REPLICAS = 0", "REPLICAS"),
        ("VALUE_DELIMITER = 'ab'", "VALUE_DELIMITER"),
        ("NOTHING = 1", "NOTHING"),
        ("TIMESTAMP = 'nothing'", "nothing"),
    ],
)
def test_settings_of_streams(setting: str, word: str) -> None:
    error = refusal(
        "CREATE STREAM b (a INT) WITH (KAFKA_TOPIC = 'b', VALUE_FORMAT = 'DELIMITED',"
        f" {'' if 'PARTITIONS' in setting else 'PARTITIONS = 1, '}{setting});"
    )
    assert word in error.message


# --- texts that are no SQL ------------------------------------------------------------------------


@pytest.mark.parametrize("script", [None, 5, b"SHOW STREAMS;", ["SHOW STREAMS;"], "SHOW \ud800;"])
def test_what_is_no_text(script: object) -> None:
    with connect() as db:
        for call in (db.execute, db.sql, db.subscribe):
            with pytest.raises(ParseError):
                call(script)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "expression",
    ["(" * 100_000, "-" + " -" * 5_000 + "a", "NOT " * 5_000 + "true", "a" + "->b" * 5_000,
     "ARRAY[" * 5_000, "CASE WHEN " * 5_000, "a" + " + a" * 5_000, "f(" * 5_000],
)  # fmt: skip
def test_expressions_of_endless_depth(expression: str) -> None:
    refusal(f"CREATE STREAM b AS SELECT {expression} FROM s;")


def test_long_lists_are_no_depth() -> None:
    with connect(STREAM) as db:
        db.execute(
            f"CREATE STREAM b AS SELECT k, {' AND '.join(['a = 1'] * 3_000)} AS x,"
            f" CASE {'WHEN a = 2 THEN 3 ' * 1_000} ELSE 4 END AS y,"
            f" a IN ({', '.join(map(str, range(5_000)))}) AS z FROM s;"
        )
        db.insert("s", [("k", 1, "w")])
        db.run(until_idle=True)
        assert db.sql("SELECT x, y, z FROM b;").rows() == [(True, 4, True)]


def test_ad_hoc_sql_that_nobody_can_read() -> None:
    with connect(STREAM) as db:
        for query in (
            "SELECT * FROM s WHERE",
            "SELECT * FROM s JOIN",
            "SELECT a FROM s ORDER BY",
            "(s",
        ):
            with pytest.raises(ParseError) as caught:
                db.sql(query)
            assert caught.value.position is not None
        db.insert("s", [("k", 1, "w")])
        for query in (
            "SELECT nothing FROM s ORDER BY a",
            "SELECT CAST(w AS INTEGER) FROM s ORDER BY 1",
            "SELECT nothing(a) FROM s ORDER BY 1",
            "SELECT * FROM s, read_csv('/etc/hostname') ORDER BY 1",
        ):
            with pytest.raises(MillstreamError, match="the query cannot be answered: "):
                db.sql(query)


# --- the command ----------------------------------------------------------------------------------


def command(
    capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 1
) -> tuple[list[str], list[str]]:
    """Run the command: the lines of stdout and of stderr."""
    assert run(list(arguments)) == code
    told = capsys.readouterr()
    assert "Traceback" not in told.out + told.err
    assert "error of its own" not in told.err
    return told.out.splitlines(), told.err.splitlines()


def test_the_command_names_file_line_and_what_helps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script.sql"
    script.write_text(
        f"{STREAM}\nINSERT INTO s VALUES ('a', 1, 'b');\n\n"
        "  INSERT INTO s VALUES ('a', 'x', 'b');\n"
    )
    out, err = command(capsys, "run", str(script), "--db", str(tmp_path / "x.db"))
    assert out == ["stream S created", "1 row written to S"]
    assert err == [
        f"{script}:",
        "line 4, column 30: column A: STRING does not convert to INTEGER",
        "    INSERT INTO s VALUES ('a', 'x', 'b');",
        "                               ^^^",
        "Write a value of INTEGER, or use CAST.",
    ]
    out, _ = command(capsys, "query", "--db", str(tmp_path / "x.db"), "SELECT * FROM s;", code=0)
    assert len(out) == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfeS\x00", "is not UTF-8 text: byte 0 is 0xff."),
        (b"SHOW \x00;", "The character '\\x00' means nothing here."),
        (b"PRINT '", "This string is not closed."),
        (b"PK\x03\x04" + bytes(range(32)) * 100, "means nothing here"),
    ],
)
@pytest.mark.parametrize("stdin", [True, False])
def test_scripts_that_are_no_scripts(
    content: bytes,
    said: str,
    stdin: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "script.sql").write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    name = "-" if stdin else str(tmp_path / "script.sql")
    out, err = command(capsys, "run", name)
    assert out == []
    assert said in err[0] + (err[1] if len(err) > 1 else "")
    assert err[0].startswith("stdin" if stdin else name)


def test_files_that_are_no_databases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    junk = tmp_path / "junk.db"
    junk.write_bytes(bytes(range(256)) * 400)
    script = tmp_path / "script.sql"
    script.write_text("SHOW STREAMS;")
    for arguments in (
        ("query", "--db", str(junk), "SHOW STREAMS;"),
        ("query", "--db", str(tmp_path / "none.db"), "SHOW STREAMS;"),
        ("query", "--db", str(tmp_path), "SHOW STREAMS;"),
        ("run", str(script), "--db", str(junk)),
        ("run", str(script), "--db", str(tmp_path)),
        ("run", str(script), "--db", str(tmp_path / "none" / "x.db")),
        ("run", str(tmp_path / "none.sql")),
        ("run", str(tmp_path)),
    ):
        out, err = command(capsys, *arguments)
        assert out == []
        assert 1 <= len(err) <= 2
    assert junk.stat().st_size == 256 * 400


# --- types in a row -------------------------------------------------------------------------------


def test_types_that_follow_one_another_are_made_together(tmp_path: Path) -> None:
    script = "".join(
        f"CREATE TYPE t{n} AS ARRAY<{f't{n - 1}' if n else 'INT'}>;" for n in range(20)
    )
    path = str(tmp_path / "x.db")
    with connect(STREAM, path) as db:
        assert [o.message for o in db.execute(script)][-1] == "type T19 created"
        with pytest.raises(SemanticError, match="type T3 exists already") as caught:
            db.execute(
                "CREATE TYPE u1 AS t1;\nCREATE TYPE IF NOT EXISTS t1 AS INT;"
                "CREATE TYPE t3 AS INT;\nCREATE TYPE u2 AS t1;"
            )
        assert caught.value.position is not None
        assert (caught.value.position.line, caught.value.position.column) == (2, 37)
        with pytest.raises(SemanticError, match="NOTHING"):
            db.execute("CREATE TYPE u3 AS INT;CREATE TYPE u4 AS STRUCT<a nothing>; SHOW TYPES;")
        with pytest.raises(ParseError):
            db.execute("CREATE TYPE u5 AS INT;CREATE TYPE u6 AS INT;CREATE TYPE u7 AS;")
    with connect("", path) as db:
        made = [*(f"T{n}" for n in range(20)), "U1", "U3", "U5", "U6"]
        assert list(db.catalog.types) == made
        again = db.execute("CREATE TYPE u1 AS t1; CREATE TYPE u3 AS INT;", skip_existing=True)
        assert [o.skipped for o in again] == [True, True]
        with pytest.raises(SemanticError, match="U3 exists already"):
            db.execute("CREATE TYPE u3 AS VARCHAR;", skip_existing=True)
