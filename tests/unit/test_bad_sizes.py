"""Records, rows and scripts larger than anyone expects: memory and time follow what there is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from millstream.columns import arrow
from millstream.engine.query import Query
from millstream.engine.scheduler import Round
from millstream.errors import ExecutionError
from millstream.serde.base import Layout, RawPart, TypedPart
from millstream.store.interfaces import Records
from millstream.store.portion import portion, portions
from millstream.types import STRING, Column
from tests.feeding import feed, feed_json, log, memory_database, rows, settle, states

WORDS = (
    "CREATE STREAM words (k VARCHAR KEY, n INT, w VARCHAR)"
    " WITH (KAFKA_TOPIC = 'words', VALUE_FORMAT = '{format}', PARTITIONS = 1);"
)
MEGABYTE = 1_000_000


def record(number: int, size: int) -> bytes:
    """A JSON record of so many bytes and a few."""
    return b'{"n": %d, "w": "%s"}' % (number, b"x" * size)


# --- how much goes through at once ---------------------------------------------------------------


def most_bytes(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Let only so many bytes be taken at once."""
    for place in ("database.pull", "store.portion"):
        monkeypatch.setattr(f"millstream.{place}.MOST_BYTES", room)


def run_of(values: list[bytes | None], *, typed: bool = False) -> Records:
    """A run of records with these values."""
    count = len(values)
    numbers = np.arange(count)
    part: RawPart | TypedPart = RawPart(pa.array(values, pa.binary()))
    if typed:
        texts = pa.array([None if v is None else v.decode() for v in values], pa.string())
        part = TypedPart(Layout("JSON", (Column("W", STRING),)), [texts])
    return Records(numbers, numbers, numbers, numbers, numbers, part, part)


@pytest.mark.parametrize(
    ("values", "most_rows", "room", "expected"),
    [
        ([b"xx"] * 5, 10, 100, 5),
        ([b"xx"] * 5, 3, 100, 3),
        ([b"xx"] * 5, 0, 100, 0),
        ([b"xx"] * 5, 10, 5, 2),
        ([b"xx"] * 5, 10, 10, 5),
        ([b"x" * 50, b"x"], 10, 20, 0),
        ([b"x", b"x" * 50, b"x"], 10, 20, 1),
        ([None, None, b"xxx"], 10, 2, 2),
        ([None], 10, 0, 1),
    ],
)
def test_a_portion_of_a_run(
    values: list[bytes | None], most_rows: int, room: int, expected: int
) -> None:
    assert portion(run_of(values), most_rows, room) == expected
    padded = run_of([b"padding", *values, b"padding"])
    sliced = RawPart(padded.value.data.slice(1, len(values)))  # type: ignore[union-attr]
    assert portion(run_of(values), most_rows, room) == expected
    whole = run_of(values)
    whole.value = sliced
    assert portion(whole, most_rows, room) == expected


def test_a_portion_of_columns_is_about_right() -> None:
    run = run_of([b"x" * 100] * 100, typed=True)
    assert 40 <= portion(run, 1_000, 5_000) <= 60
    assert portion(run, 10, 5_000) == 10
    assert portion(run, 1_000, 10) == 0


@pytest.mark.parametrize("late", [False, True])
def test_large_records_go_through_in_small_commits(
    late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    most_bytes(monkeypatch, 1_000)
    sizes: list[int] = []
    step = Query.step

    def watched(query: Query, given: Any) -> Any:
        sizes.append(sum(len(r) for r in given.values()))
        return step(query, given)

    monkeypatch.setattr(Query, "step", watched)
    copy = "CREATE STREAM copies AS SELECT * FROM words;"
    with memory_database(WORDS.format(format="JSON") + ("" if late else copy)) as db:
        given = [10, 400, 400, 400, 5_000, 10, 5_000, 10, 10]
        feed(db, "words", [record(n, size) for n, size in enumerate(given)])
        feed(db, "words", [record(9, 900), record(10, 2_000)])
        if late:
            db.execute(copy)
        settle(db)
        assert [n for (n,) in rows(db, "SELECT n FROM copies;")] == list(range(11))
        assert sizes == [3, 1, 1, 1, 1, 3, 1]


def test_a_row_in_many_windows_takes_few_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.engine.scheduler.MOST_EXPANDED", 5_000)
    most: list[int] = []
    step = Round._step

    def watched(work: Round, query: Query, taken: Any) -> None:
        most.append(sum(len(r) for runs in taken.values() for _, r in runs))
        step(work, query, taken)

    monkeypatch.setattr(Round, "_step", watched)
    with memory_database(
        WORDS.format(format="JSON") + "CREATE TABLE counts AS SELECT k, COUNT(*) AS c FROM words"
        " WINDOW HOPPING (SIZE 1000 SECONDS, ADVANCE BY 1 SECOND) GROUP BY k;"
    ) as db:
        feed(db, "words", [b"{}"] * 23, [b"k"] * 23, [10_000_000] * 23)
        settle(db)
        assert most == [5, 5, 5, 5, 3]
        found = rows(db, "SELECT c FROM counts;")
        assert found == [(23,)] * 1_000


def test_a_batch_that_does_not_fit_memory_is_taken_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = Query.step
    sizes: list[int] = []

    def small_memory(query: Query, given: Any) -> Any:
        sizes.append(sum(len(r) for r in given.values()))
        if sizes[-1] > 100:
            raise MemoryError
        return step(query, given)

    monkeypatch.setattr(Query, "step", small_memory)
    with memory_database(
        WORDS.format(format="JSON") + "CREATE TABLE counts AS SELECT k, COUNT(*) AS c, SUM(n) AS s"
        " FROM words GROUP BY k;"
    ) as db:
        feed(db, "words", [b'{"n": %d}' % n for n in range(3_000)], [b"k"] * 3_000)
        settle(db)
        assert rows(db, "SELECT c, s FROM counts;") == [(3_000, sum(range(3_000)))]
        assert states(db) == {"CTAS_COUNTS_0": "RUNNING"}


def test_one_record_that_does_not_fit_memory_stops_its_query_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = Query.step

    def no_memory(query: Query, given: Any) -> Any:
        if query.number == 1:
            raise pa.ArrowCapacityError("array cannot contain more")
        return step(query, given)

    monkeypatch.setattr(Query, "step", no_memory)
    with memory_database(
        WORDS.format(format="JSON")
        + "CREATE STREAM a AS SELECT * FROM words; CREATE STREAM b AS SELECT * FROM words;"
    ) as db:
        feed_json(db, "words", {"n": 1}, {"n": 2})
        settle(db)
        assert states(db) == {"CSAS_A_0": "ERROR", "CSAS_B_1": "RUNNING"}
        error = db.catalog.queries["CSAS_A_0"].error
        assert error == "what one record becomes does not fit into memory"
        assert len(rows(db, "SELECT * FROM b;")) == 2


def test_more_text_than_an_array_holds_is_an_error_and_no_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What Arrow gives for 2 GB of text and more.
    chunks = pa.chunked_array([["x"], ["y"]])
    monkeypatch.setattr(pa, "array", lambda values, type: chunks)
    with pytest.raises(pa.ArrowCapacityError):
        arrow.from_python(["x", "y"], STRING)


# --- large records -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["JSON", "DELIMITED"])
def test_records_of_ten_megabytes(form: str) -> None:
    with memory_database(
        WORDS.format(format=form) + "CREATE STREAM copies AS SELECT * FROM words;"
        "CREATE STREAM shouted AS SELECT k, n, UCASE(w) AS w, LEN(w) AS l, w LIKE '%y' AS y FROM"
        " words; CREATE TABLE counts AS SELECT w, COUNT(*) AS c FROM words GROUP BY w;"
    ) as db:
        big = b"x" * (10 * MEGABYTE)
        if form == "JSON":
            given = [record(1, 10 * MEGABYTE), record(2, 10 * MEGABYTE)[:-2], big, record(3, 5)]
        else:
            given = [b"1," + big, b'2,"' + big, big, b"3,xxxxx"]
        feed(db, "words", given, [b"k"] * 4)
        settle(db)
        assert set(states(db).values()) == {"RUNNING"}
        found = rows(db, "SELECT n, LEN(w) AS l FROM copies;")
        assert found == [(1, 10 * MEGABYTE), (3, 5)]
        assert rows(db, "SELECT n, l, y FROM shouted;") == [
            (1, 10 * MEGABYTE, False),
            (3, 5, False),
        ]
        assert sorted(c for (c,) in rows(db, "SELECT c FROM counts;")) == [1, 1]
        assert [(line.offset, len(line.record or b"")) for line in log(db)] == [
            (1, 4096),
            (2, 4096),
        ]


def test_keys_of_ten_megabytes() -> None:
    with memory_database(
        WORDS.format(format="JSON")
        + "CREATE TABLE counts AS SELECT k, COUNT(*) AS c FROM words GROUP BY k;"
    ) as db:
        key = b"k" * (10 * MEGABYTE)
        feed(db, "words", [b"{}"] * 3, [key, b"k", key])
        settle(db)
        assert sorted((len(k), c) for k, c in rows(db, "SELECT k, c FROM counts;")) == [
            (1, 1),
            (10 * MEGABYTE, 2),
        ]


# --- many columns --------------------------------------------------------------------------------

COLUMNS = 10_000


def wide(form: str) -> str:
    """A stream of ten thousand columns."""
    declared = ", ".join(f"c{n} INT" for n in range(COLUMNS))
    return (
        f"CREATE STREAM wide ({declared})"
        f" WITH (KAFKA_TOPIC = 'wide', VALUE_FORMAT = '{form}', PARTITIONS = 1);"
    )


@pytest.mark.parametrize("form", ["JSON", "DELIMITED"])
def test_ten_thousand_columns(form: str) -> None:
    with memory_database(
        wide(form) + "CREATE STREAM copies AS SELECT * FROM wide;"
        "CREATE STREAM few AS SELECT c5, c9999 FROM wide;"
    ) as db:
        values = [str(n) for n in range(COLUMNS)]
        if form == "JSON":
            good = json.dumps({f"c{n}": n for n in range(COLUMNS)}).encode()
            bad = b'{"c7": "x"}'
        else:
            good = ",".join(values).encode()
            bad = ",".join([*values[:7], "x", *values[8:]]).encode()
        feed(db, "wide", [good] * 100 + [bad, b"{", good])
        settle(db)
        assert set(states(db).values()) == {"RUNNING"}
        assert rows(db, "SELECT * FROM few;") == [(5, 9999)] * 101
        assert rows(db, "SELECT c9998 FROM copies;") == [(9998,)] * 101
        assert [line.offset for line in log(db)] == [100, 101]
        assert "C7" in log(db)[0].message


def test_records_with_ten_thousand_unknown_names() -> None:
    with memory_database(
        WORDS.format(format="JSON") + "CREATE STREAM copies AS SELECT * FROM words;"
    ) as db:
        noise = ", ".join(f'"c{n}": {n}' for n in range(COLUMNS))
        given = [f'{{{noise}, "n": {n}}}'.encode() for n in range(150)]
        feed(db, "words", given)
        settle(db)
        assert [n for (n,) in rows(db, "SELECT n FROM copies;")] == list(range(150))
        assert log(db) == []


# --- reading much --------------------------------------------------------------------------------


def test_portions_of_runs_cut_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [(0, run_of([b"xx"] * 3)), (3, run_of([b"xx"] * 3)), (6, run_of([b"xx"] * 3))]

    def taken(most_rows: int, room: int) -> list[tuple[int, int]]:
        most_bytes(monkeypatch, room)
        return [(at, len(r)) for at, r in portions(runs, most_rows)]

    assert taken(100, 100) == [(0, 3), (3, 3), (6, 3)]
    assert taken(4, 100) == [(0, 3), (3, 1)]
    assert taken(6, 100) == [(0, 3), (3, 3)]
    assert taken(100, 9) == [(0, 3), (3, 1)]
    assert taken(100, 1) == [(0, 1)]
    assert list(portions([], 5)) == []


def test_answers_and_subscriptions_read_large_records_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most_bytes(monkeypatch, 1_000)
    with (
        memory_database(WORDS.format(format="JSON")) as db,
        db.subscribe("SELECT n FROM words EMIT CHANGES;") as pushed,
    ):
        for start in range(0, 20, 4):
            feed(db, "words", [record(n, 400) for n in range(start, start + 4)])
        assert [n for (n,) in rows(db, "SELECT n FROM words;")] == list(range(20))
        assert rows(db, "SELECT COUNT(*) FROM words;") == [(20,)]
        parts = []
        while part := pushed.poll():
            parts.append([n for (n,) in part])
        assert parts == [[n, n + 1] for n in range(0, 20, 2)]


def test_an_answer_that_does_not_fit_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(parts: Any) -> Any:
        raise pa.ArrowInvalid("offset overflow while concatenating arrays")

    monkeypatch.setattr("millstream.database.pull.concat", too_large)
    with memory_database(WORDS.format(format="JSON")) as db:
        for number in range(3):
            feed(db, "words", [record(number, 10)])
        with pytest.raises(ExecutionError, match="does not fit into memory") as caught:
            db.sql("SELECT * FROM words;")
        assert caught.value.hint is not None
        # What is counted or ordered never lies in one array.
        assert rows(db, "SELECT COUNT(*) FROM words;") == [(3,)]
        assert rows(db, "SELECT n FROM words ORDER BY n DESC;") == [(2,), (1,), (0,)]


def test_an_ad_hoc_query_reads_the_columns_that_it_names() -> None:
    with memory_database(
        "CREATE STREAM odd (`k` VARCHAR KEY, `a.b` INT, n INT, `N x` INT)"
        " WITH (KAFKA_TOPIC = 'odd', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
    ) as db:
        db.insert("odd", [("a", 1, 2, 3), ("b", 4, 5, 6)])
        assert rows(db, "SELECT COUNT( * ), SUM(n) FROM odd GROUP BY 1 > 0;") == [(2, 7)]
        assert rows(db, 'SELECT "a.b" + "N x" FROM odd ORDER BY ROWTIME, K;') == [(4,), (10,)]
        for query in ("SELECT * FROM odd ORDER BY N;", "FROM odd ORDER BY N;"):
            assert len(rows(db, query)[0]) == 5
        whole = {"k": "a", "a.b": 1, "N": 2, "N x": 3, "ROWTIME": 1_000}
        assert rows(db, "SELECT odd FROM odd ORDER BY ROWTIME, N;")[0] == (whole,)
        joined = "SELECT COUNT(*) FROM odd NATURAL JOIN (SELECT 2 AS n) ORDER BY 1;"
        assert rows(db, joined) == [(1,)]
        with pytest.raises(ExecutionError, match="nothing"):
            db.sql("SELECT nothing FROM odd ORDER BY 1;")


def test_columns_that_an_ad_hoc_query_cannot_tell_apart() -> None:
    with memory_database(
        "CREATE STREAM odd (`k` VARCHAR KEY, `n` INT, n INT)"
        " WITH (KAFKA_TOPIC = 'odd', VALUE_FORMAT = 'JSON', PARTITIONS = 1);"
    ) as db:
        db.insert("odd", [("a", 1, 2)])
        assert rows(db, "SELECT n, `n` FROM odd;") == [(2, 1)]
        assert rows(db, "SELECT K FROM odd ORDER BY 1;") == [("a",)]
        for query in ("SELECT n FROM odd ORDER BY 1;", "SELECT * FROM odd ORDER BY 1;"):
            with pytest.raises(ExecutionError, match="differ in case only") as caught:
                db.sql(query)
            assert caught.value.hint is not None
