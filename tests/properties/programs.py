"""Random programs: topics with random records, and persistent queries that read one another.

A program is a script and the records of its input topics. What was drawn is counted in `DRAWN`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from tests.properties.program_expressions import Draw, Expressions
from tests.properties.program_records import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    DRAWN,
    INT,
    STRING,
    Topic,
    records,
    topics,
)
from tests.properties.program_relations import Program, Relation, Traits


@dataclass
class Maker(Expressions):
    """Draws one program."""

    traits: Traits = field(default_factory=Traits)
    partitions: int = 1
    relations: list[Relation] = field(default_factory=list)
    script: list[str] = field(default_factory=list)
    insertable: list[tuple[Relation, Relation, str]] = field(default_factory=list)
    names: int = 0

    def name(self, prefix: str) -> str:
        """A name that nothing else has."""
        self.names += 1
        return f"{prefix}{self.names}"

    # --- sources -------------------------------------------------------------------------------

    def source(self, number: int, topic: Topic) -> Relation:
        """A stream or table over a topic."""
        is_table = self.one(False, True) if number else False
        name = f"{'T' if is_table else 'S'}{number}"
        role = "PRIMARY KEY" if is_table else "KEY"
        value = [*topic.value]
        columns = [f"K {topic.key_type} {role}", *(f"{n} {t}" for n, t in value)]
        if not is_table and self.chance(15):
            DRAWN["headers column"] += 1
            columns.append("H BYTES HEADER('h')")
        properties = [
            f"KAFKA_TOPIC='{topic.name}'",
            f"KEY_FORMAT='{topic.key_format}'",
            f"VALUE_FORMAT='{topic.value_format}'",
            f"PARTITIONS={self.partitions}",
        ]
        if self.chance(15):
            DRAWN["TIMESTAMP column"] += 1
            properties.append("TIMESTAMP='L'")
        DRAWN["source table" if is_table else "source stream"] += 1
        kind = "TABLE" if is_table else "STREAM"
        self.script.append(
            f"CREATE {kind} {name} ({', '.join(columns)}) WITH ({', '.join(properties)});"
        )
        return Relation(
            name,
            is_table,
            (("K", topic.key_type),),
            tuple(value),
            topic.name,
            topic.value_format,
            self.partitions,
            topic.key_format,
            ancestors=frozenset({topic.name}),
        )

    # --- queries -------------------------------------------------------------------------------

    def query(self) -> None:
        """One more persistent query."""
        streams = [r for r in self.relations if not r.is_table]
        tables = [r for r in self.relations if r.is_table and not (r.windowed or r.regrouped)]
        keyed = [s for s in streams if len(s.key) == 1 and not s.windowed]
        join_tables = [t for t in tables if not (self.traits.cached and t.changing)]
        forms: list[Callable[[], None]] = [lambda: self.group(self.one(*streams))] * 3
        forms += [lambda: self.select(self.one(*streams))] * 2
        forms += [lambda: self.partition_by(self.one(*streams))]
        if keyed and self.traits.writers:
            forms += [lambda: self.two_writers(self.one(*keyed))]
        plain = [s for s in streams if not s.windowed]
        pairs = [(s, t) for s in plain for t in join_tables if s.partitions == t.partitions]
        if pairs:
            forms += [lambda: self.join(*self.one(*pairs))] * 2
        if tables:
            forms += [lambda: self.select(self.one(*tables))]
        two = [(a, b) for a in tables for b in tables if self._may_meet(a, b)]
        two = [(a, b) for a, b in two if len(a.key) == 1 == len(b.key)]
        if two:
            forms += [lambda: self.join_tables(*self.one(*two))] * 5
        others = [(a, b) for a in streams for b in streams if self._may_meet(a, b)]
        if others:
            forms += [lambda: self.meet(*self.one(*others))]
        windowed = [r for r in self.relations if r.window]
        if windowed and not self.traits.cached:
            forms += [lambda: self.read_windows(self.one(*windowed))] * 3
        if tables:
            forms += [lambda: self.group(self.one(*tables))] * 2
        self.one(*forms)()

    def make(
        self,
        relation: Relation,
        select: str,
        *,
        formats: bool = True,
        key_format: str | None = None,
    ) -> None:
        """CREATE .. AS SELECT; `select` begins at SELECT."""
        properties = []
        if not formats or self.chance(30):
            chosen = self.one("JSON", "DELIMITED") if formats else "JSON"
            properties.append(f"VALUE_FORMAT='{chosen}'")
            relation = replace(relation, value_format=chosen)
        if key_format is not None:
            relation = replace(relation, key_format=key_format)
            properties.append(f"KEY_FORMAT='{key_format}'")
        if self.chance(20):
            relation = replace(relation, partitions=self.one(1, 2))
            properties.append(f"PARTITIONS={relation.partitions}")
        with_ = f" WITH ({', '.join(properties)})" if properties else ""
        kind = "TABLE" if relation.is_table else "STREAM"
        self.script.append(f"CREATE {kind} {relation.name}{with_} AS {select};")
        self.relations.append(relation)

    def projected(
        self, source: Relation, hidden: Sequence[str] = ()
    ) -> tuple[list[str], list[tuple[str, str]]]:
        """Value columns of a projection and their names and types."""
        wanted = self.draw(
            st.lists(
                st.sampled_from([INT, BIGINT, DOUBLE, STRING, BOOLEAN]), min_size=1, max_size=3
            )
        )
        keys = {*(n for n, _ in source.key), *hidden}
        names = [n for n in (f"V{i}" for i in range(len(wanted) + len(keys))) if n not in keys]
        named = list(zip(names, wanted, strict=False))
        found = [self.expression(source.columns, t) for t in wanted]
        found = [f"AS_VALUE({e})" if e in keys else e for e in found]
        return [f"{e} AS {n}" for e, (n, _) in zip(found, named, strict=True)], named

    def select(self, source: Relation) -> None:
        """A filter, a projection, or both."""
        name = self.name("Q")
        if self.chance(40):
            written, value = ["*"], list(source.value)
        else:
            DRAWN["projection"] += 1
            columns, value = self.projected(source)
            written = [*(k for k, _ in source.key), *columns]
        where = ""
        if self.chance(60):
            DRAWN["filter of a table" if source.is_table else "filter"] += 1
            where = f" WHERE {self.predicate(source.columns)}"
        result = source.result(name, source.key, value)
        result = replace(result, changing=source.changing or bool(where and source.is_table))
        text = f"SELECT {', '.join(written)} FROM {source.name}{where} EMIT CHANGES"
        self.make(result, text, formats=_plain(value))

    def partition_by(self, source: Relation) -> None:
        """A new key."""
        DRAWN["PARTITION BY"] += 1
        name = self.name("Q")
        key_type = self.one(INT, STRING)
        key = self.expression(source.columns, key_type)
        columns, value = self.projected(source, [key])
        if source.columns and self.chance(50):
            columns = [n for n, _ in source.value if n != "H"]
            value = [(n, t) for n, t in source.value if n in columns]
        bare = key in columns
        if bare:
            columns.remove(key)
            value = [(n, t) for n, t in value if n != key]
        if not value:
            columns, value = ["1 AS C"], [("C", INT)]
        key_name = key if bare else "NK"
        shown = key if bare else f"{key} AS NK"
        result = replace(source.result(name, [(key_name, key_type)], value), windowed=False)
        text = f"SELECT {', '.join([shown, *columns])} FROM {source.name} PARTITION BY {key}"
        self.make(result, f"{text} EMIT CHANGES", formats=_plain(value))

    def join(self, stream: Relation, table: Relation) -> None:
        """A stream with a table."""
        kind = self.one("LEFT", "INNER")
        DRAWN[f"{kind} JOIN"] += 1
        name = self.name("Q")
        key_name, key_type = table.key[0]
        same = [n for n, t in stream.columns if t == key_type]
        left = [(f"l.{n}", t) for n, t in stream.columns]
        if same and self.chance(70):
            on = f"l.{self.one(*same)}"
        else:
            on = self.expression(left, key_type, 1)
        if len(table.key) > 1 or "l." not in on:
            return self.select(stream)
        wanted = [(n, t) for n, t in left if n != on][:3] + [
            (f"r.{n}", t) for n, t in table.value[:3]
        ]
        value = [(f"V{i}", t) for i, (_, t) in enumerate(wanted)]
        columns = [f"{n} AS V{i}" for i, (n, _) in enumerate(wanted)]
        where = ""
        if self.chance(20):
            DRAWN["filter"] += 1
            where = f" WHERE {self.predicate([*left, *((f'r.{n}', t) for n, t in table.value)])}"
        text = (
            f"SELECT r.{key_name} AS JK, {', '.join(columns)} FROM {stream.name} l"
            f" {kind} JOIN {table.name} r ON {on} = r.{key_name}{where} EMIT CHANGES"
        )
        result = stream.result(name, [("JK", key_type)], value)
        self.make(self._met(result, stream, table), text, formats=_plain(value))
        return None

    @staticmethod
    def _met(result: Relation, left: Relation, right: Relation) -> Relation:
        """The result of a join, which may close a diamond."""
        if left.ancestors & right.ancestors and (left.derived or right.derived):
            DRAWN["diamond"] += 1
        return replace(result, ancestors=left.ancestors | right.ancestors)

    @staticmethod
    def _may_meet(left: Relation, right: Relation) -> bool:
        """Whether two streams, or two tables, can be joined."""
        plain = not (left.windowed or right.windowed)
        return plain and left.name != right.name and left.partitions == right.partitions

    def meet(self, left: Relation, right: Relation) -> None:
        """Two streams within a time."""
        kind = self.one("INNER", "LEFT", "FULL OUTER")
        DRAWN["stream-stream join"] += 1
        key_type = self.one(INT, STRING)
        mine = [n for n, t in left.columns if t == key_type]
        theirs = [n for n, t in right.columns if t == key_type]
        if not mine or not theirs:
            return self.select(left)
        name = self.name("Q")
        first, second = self.one(*mine), self.one(*theirs)
        within = f"WITHIN {self.one(1, 5)} SECONDS"
        if self.chance(60):
            within += f" GRACE PERIOD {self.one(0, 5, 30)} SECONDS"
        wanted = [(f"l.{n}", t) for n, t in left.columns if n != first][:2]
        wanted += [(f"r.{n}", t) for n, t in right.columns if n != second][:2]
        value = [(f"V{i}", t) for i, (_, t) in enumerate(wanted)]
        columns = [f"{n} AS V{i}" for i, (n, _) in enumerate(wanted)]
        key = "ROWKEY" if kind == "FULL OUTER" else f"l.{first}"
        result = self._met(left.result(name, [("JK", key_type)], value), left, right)
        text = (
            f"SELECT {', '.join([f'{key} AS JK', *columns])} FROM {left.name} l"
            f" {kind} JOIN {right.name} r {within} ON l.{first} = r.{second} EMIT CHANGES"
        )
        self.make(result, text, formats=_plain(value))
        return None

    def join_tables(self, left: Relation, right: Relation) -> None:
        """Two tables by their keys, or the left one's column by the right one's key."""
        key_name, key_type = left.key[0]
        other, other_type = right.key[0]
        foreign = [n for n, t in left.value if t == other_type]
        name = self.name("Q")
        if key_type == other_type and (not foreign or self.chance(50)):
            kind = self.one("INNER", "LEFT", "FULL OUTER")
            DRAWN["table-table join"] += 1
            on = key_name
        elif foreign:
            kind = self.one("INNER", "LEFT")
            DRAWN["foreign-key join"] += 1
            on = self.one(*foreign)
        else:
            return self.select(left)
        wanted = [(f"l.{n}", t) for n, t in left.value][:2]
        wanted += [(f"r.{n}", t) for n, t in right.value][:2]
        value = [(f"V{i}", t) for i, (_, t) in enumerate(wanted)]
        columns = [f"{n} AS V{i}" for i, (n, _) in enumerate(wanted)]
        shown = "ROWKEY" if kind == "FULL OUTER" else f"l.{key_name}"
        result = self._met(left.result(name, [("JK", key_type)], value), left, right)
        loose = any(r.loose or r.derived for r in (left, right))
        result = replace(result, changing=True, loose=loose)
        text = (
            f"SELECT {', '.join([f'{shown} AS JK', *columns])} FROM {left.name} l"
            f" {kind} JOIN {right.name} r ON l.{on} = r.{other} EMIT CHANGES"
        )
        self.make(result, text, formats=_plain(value))
        return None

    def read_windows(self, source: Relation) -> None:
        """A stream or query over the topic of a windowed table."""
        DRAWN["windowed source"] += 1
        name = self.name("W")
        columns = [f"{n} {t} KEY" for n, t in source.key]
        columns += [f"{n} {t}" for n, t in source.value]
        properties = [
            f"KAFKA_TOPIC='{source.topic}'",
            f"KEY_FORMAT='{source.key_format}'",
            f"VALUE_FORMAT='{source.value_format}'",
            f"WINDOW_TYPE='{source.window}'",
        ]
        if source.window_size:
            properties.append(f"WINDOW_SIZE='{source.window_size} SECONDS'")
        self.script.append(
            f"CREATE STREAM {name} ({', '.join(columns)}) WITH ({', '.join(properties)});"
        )
        stream = replace(source, name=name, is_table=False, window="")
        self.relations.append(stream)
        self.one(self.select, self.partition_by, self.group)(stream)

    def two_writers(self, source: Relation) -> None:
        """A stream that two or three queries write."""
        DRAWN["INSERT INTO"] += 1
        name = self.name("Q")
        key_name, key_type = source.key[0]
        number, text = [n for n in ("V0", "V1", "V2") if n != key_name][:2]
        value = [(number, INT), (text, STRING)]
        others = [
            r
            for r in self.relations
            if not r.is_table and not r.windowed and r.key[:1] and len(r.key) == 1
        ]
        others = [r for r in others if r.key[0] == (key_name, key_type)]

        def body(of: Relation) -> str:
            ints, texts = self.expression(of.columns, INT), self.expression(of.columns, STRING)
            ints, texts = (f"AS_VALUE({x})" if x == key_name else x for x in (ints, texts))
            where = f" WHERE {self.predicate(of.columns)}" if self.chance(50) else ""
            return f"SELECT {key_name}, {ints} AS {number}, {texts} AS {text} FROM {of.name}{where}"

        more = [self.one(*others) for _ in range(self.one(1, 1, 2))]
        target = source.result(name, [(key_name, key_type)], value)
        target = replace(target, ancestors=target.ancestors.union(*(r.ancestors for r in more)))
        self.make(target, f"{body(source)} EMIT CHANGES")
        for other in more:
            self.script.append(f"INSERT INTO {name} {body(other)} EMIT CHANGES;")
        return

    # --- aggregations --------------------------------------------------------------------------

    def group(self, source: Relation) -> None:
        """GROUP BY over a stream or table."""
        name = self.name("Q")
        keys, key_columns = self._group_keys(source)
        calls = self._calls(source)
        window, final = ("", False) if source.is_table else self._window()
        DRAWN["GROUP BY over a table" if source.is_table else "GROUP BY over a stream"] += 1
        value = [(f"A{i}", t) for i, (_, t) in enumerate(calls)]
        shown = [f"{k} AS {n}" for k, (n, _) in zip(keys, key_columns, strict=True)]
        shown += [f"{c} AS A{i}" for i, (c, _) in enumerate(calls)]
        if window and self.chance(30):
            shown += ["WINDOWSTART AS WS", "WINDOWEND AS WE"]
            value += [("WS", BIGINT), ("WE", BIGINT)]
        if self.chance(20):
            DRAWN["AS_VALUE"] += 1
            shown.append(f"AS_VALUE({keys[0]}) AS KV")
            value.append(("KV", key_columns[0][1]))
        where = ""
        if self.chance(20):
            DRAWN["filter of a table" if source.is_table else "filter"] += 1
            where = f" WHERE {self.predicate(source.columns)}"
        having = ""
        if self.chance(30):
            DRAWN["HAVING"] += 1
            having = f" HAVING {self.one('COUNT(*) > 1', 'COUNT(*) <> 2', 'COUNT(*) < 3')}"
        emit = "FINAL" if final else "CHANGES"
        text = (
            f"SELECT {', '.join(shown)} FROM {source.name}{window}{where}"
            f" GROUP BY {', '.join(keys)}{having} EMIT {emit}"
        )
        result = source.result(name, key_columns, value)
        result = replace(result, is_table=True, changing=True, windowed=False, loose=False)
        result = replace(result, regrouped=self._is_regrouped(source))
        if window:
            kind, size = window.split()[1], int(window.split("(")[1].split(",")[0].split()[-2])
            size = 0 if kind == "SESSION" else size
            result = replace(result, windowed=True, window=kind, window_size=size)
        several = self.one("JSON", "DELIMITED") if len(keys) > 1 else None
        if several is None and self.chance(20):
            several = "JSON"
        self.make(result, text, formats=_plain(value), key_format=several)

    def _is_regrouped(self, source: Relation) -> bool:
        """Whether the groups of a table depend on which of its updates a cache lets through."""
        return self.traits.cached and source.is_table and source.derived

    def _group_keys(self, source: Relation) -> tuple[list[str], list[tuple[str, str]]]:
        keys: list[str] = []
        columns: list[tuple[str, str]] = []
        for i in range(self.one(1, 1, 1, 2)):
            kind = self.one(INT, STRING)
            own = [n for n, t in source.columns if t == kind]
            key = self.one(*own) if own and self.chance(80) else None
            if key is None:
                key = self.expression(source.columns, kind, 1)
            if key not in keys and _has_column(key, source):
                keys.append(key)
                columns.append((f"G{i}", kind))
        if not keys:
            keys, columns = [source.columns[0][0]], [("G0", source.columns[0][1])]
        return keys, columns

    def _calls(self, source: Relation) -> list[tuple[str, str]]:
        regrouped = self._is_regrouped(source)
        exact = self.traits.cached and source.is_table
        forms: list[tuple[str, str, str]] = [
            ("SUM({})", DOUBLE, DOUBLE),
            ("COUNT(*)", "", BIGINT),
            ("COUNT({})", self.one(INT, STRING), BIGINT),
            ("SUM({})", INT, INT),
            ("SUM({})", BIGINT, BIGINT),
            *(("AVG({})", kind, DOUBLE) for kind in (INT, BIGINT, DOUBLE)),
        ]
        if regrouped:
            # A sum of doubles depends on what was added and taken away in between.
            forms = [f for f in forms if DOUBLE not in f]
        elif source.value_format == "DELIMITED":
            # The format of the source cannot hold a state that is a structure or array.
            forms, exact = forms[:-3], True
        ordered: list[tuple[str, str, str]] = [
            ("COLLECT_LIST({})", INT, "ARRAY<INT>"),
            ("HISTOGRAM({})", STRING, "MAP<STRING, BIGINT>"),
        ]
        if not source.is_table:
            for kind in (INT, BIGINT, DOUBLE):
                forms += [("MIN({})", kind, kind), ("MAX({})", kind, kind)]
            ordered += [
                ("COLLECT_SET({})", STRING, "ARRAY<STRING>"),
                ("LATEST_BY_OFFSET({})", STRING, STRING),
                ("EARLIEST_BY_OFFSET({})", DOUBLE, DOUBLE),
                ("TOPK({}, 2)", INT, "ARRAY<INT>"),
                ("TOPKDISTINCT({}, 2)", BIGINT, "ARRAY<BIGINT>"),
            ]
        if not exact:
            forms += ordered
        chosen = self.draw(st.lists(st.sampled_from(forms), min_size=1, max_size=3, unique=True))
        calls = []
        for template, argument, result in chosen:
            function = template.split("(")[0]
            DRAWN[f"{function}({argument.lower() or '*'})"] += 1
            calls.append((template.format(self._argument(source, argument)), result))
        if regrouped:
            DRAWN["groups of a derived table"] += 1
            calls = [("COUNT(*)", BIGINT), *(c for c in calls if c[0] != "COUNT(*)")]
        return calls

    def _argument(self, source: Relation, kind: str) -> str:
        """What an aggregate is taken over: a column as it is, or an expression."""
        own = [n for n, t in source.columns if t == kind]
        if own and self.chance(60):
            return str(self.one(*own))
        return self.expression(source.columns, kind, 1) if kind else ""

    def _window(self) -> tuple[str, bool]:
        form = self.one("none", "TUMBLING", "HOPPING", "SESSION")
        DRAWN["unwindowed" if form == "none" else form] += 1
        if form == "none":
            return "", False
        size = self.one(5, 10, 30)
        grace = self.one("", ", GRACE PERIOD 0 SECONDS", ", GRACE PERIOD 7 SECONDS")
        if self.chance(10):
            grace = f", RETENTION {size + 20} SECONDS{grace or ', GRACE PERIOD 3 SECONDS'}"
        final = self.chance(25)
        if final:
            DRAWN["EMIT FINAL"] += 1
        match form:
            case "TUMBLING":
                inner = f"SIZE {size} SECONDS"
            case "HOPPING":
                inner = f"SIZE {size} SECONDS, ADVANCE BY {self.one(1, 5)} SECONDS"
            case _:
                inner = f"{size} SECONDS"
        return f" WINDOW {form} ({inner}{grace})", final


def _plain(columns: Sequence[tuple[str, str]]) -> bool:
    return all(t in (INT, BIGINT, DOUBLE, STRING, BOOLEAN) for _, t in columns)


def _has_column(text: str, source: Relation) -> bool:
    """Whether an expression names a column at all: a constant is no good key."""
    words = set(text.replace("(", " ").replace(")", " ").replace(",", " ").split())
    return any(n in words for n, _ in source.columns)


@st.composite
def programs(draw: Draw, traits: Traits | None = None) -> Program:
    """A program."""
    maker = Maker(draw, traits or Traits())
    maker.partitions = maker.one(*maker.traits.partitions)
    DRAWN["several partitions" if maker.partitions > 1 else "one partition"] += 1
    inputs: list[Topic] = []
    for number in range(maker.one(1, 2, 2, 3)):
        topic = draw(topics())
        shared = bool(number) and maker.chance(15)
        topic = inputs[0] if shared else replace(topic, name=f"in{number}")
        if inputs and maker.chance(60):
            topic = replace(topic, key_type=inputs[0].key_type)
        if shared:
            DRAWN["two sources of one topic"] += 1
        inputs.append(topic)
        DRAWN[f"{topic.value_format} values"] += 1
        maker.relations.append(maker.source(number, topic))
    for _ in range(maker.one(1, 2, 3, 4, maker.traits.max_queries)):
        maker.query()
    distinct = list(dict.fromkeys(inputs))
    found = draw(records(distinct, maker.traits.max_records, maker.traits.harsh_doubles))
    derived = [r for r in maker.relations if r.derived]
    return Program(
        tuple(maker.script),
        tuple(found),
        tuple(r.name for r in derived),
        tuple(r.name for r in derived if r.is_table),
        tuple(r.name for r in derived if r.loose),
        tuple(r.name for r in derived if r.regrouped),
    )


def cuts(length: int) -> st.SearchStrategy[list[int]]:
    """Sizes of the pieces of so many records."""
    least = min(1, max(0, length - 1))
    ends = st.lists(st.integers(1, max(1, length - 1)), min_size=least, max_size=4, unique=True)
    return ends.map(lambda e: _sizes(sorted(x for x in e if x < length), length))


def _sizes(ends: list[int], length: int) -> list[int]:
    return [b - a for a, b in zip([0, *ends], [*ends, length], strict=True)]
