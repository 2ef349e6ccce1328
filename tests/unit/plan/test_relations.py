"""FROM: which sources can be joined, how, and what the result's key is."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from millstream import types as t
from millstream.catalog.catalog import Catalog
from millstream.catalog.model import Source, WindowInfo
from millstream.errors import SemanticError
from millstream.functions import default_registry
from millstream.plan import nodes, typed
from millstream.plan.analyse import Analyser, Purpose
from millstream.plan.explain import plan_lines
from millstream.plan.persistent import Planner
from millstream.serde.base import Layout
from millstream.sql import ast, parse_statement
from millstream.sql.ast import JoinKind, SourceKind

REGISTRY = default_registry()


@dataclass
class Sources:
    """A catalogue of sources; `partitions` are those of their topics, 1 where nothing is said."""

    catalog: Catalog = field(default_factory=Catalog)
    partitions: dict[str, int] = field(default_factory=dict)

    def add(
        self, name: str, kind: SourceKind, keys: str, values: str, window: WindowInfo | None = None
    ) -> None:
        """A source of INT columns, but for values whose names begin with S: they are text."""
        key = [(k, t.INTEGER) for k in keys.split()]
        value = [(v, t.STRING if v.startswith("S") else t.INTEGER) for v in values.split()]
        schema = t.Schema.of(key, value)
        number = len(self.catalog.sources) + 1
        self.catalog.sources[name] = Source(
            id=number,
            name=name,
            kind=kind,
            schema=schema,
            topic=name.lower(),
            topic_id=number,
            key_layout=Layout("JSON", schema.key, wrap=len(key) > 1),
            value_layout=Layout("JSON", schema.value, wrap=True),
            window=window,
        )

    def plan(self, select: str) -> nodes.Node:
        """The plan of CREATE .. AS of a SELECT."""
        kind = "TABLE" if select.split(" FROM ")[1].startswith("t") else "STREAM"
        statement = parse_statement(f"CREATE {kind} result AS {select};")
        assert isinstance(statement, ast.CreateAsSelect)
        return Planner(self.catalog, REGISTRY, {}, self._count).create_as(statement).root

    def _count(self, topic: str) -> int:
        return self.partitions.get(topic, 1)


@pytest.fixture
def sources() -> Sources:
    """Tables T1, T2, T3 of a key ID, T4 of two keys, and streams S1, S2."""
    made = Sources()
    for name in ("T1", "T2", "T3"):
        made.add(name, SourceKind.TABLE, "ID", "F S")
    made.add("T4", SourceKind.TABLE, "K1 K2", "F S")
    for name in ("S1", "S2"):
        made.add(name, SourceKind.STREAM, "ID", "F S")
    return made


def join_of(root: nodes.Node) -> nodes.Node:
    """The topmost node of FROM."""
    assert isinstance(root, nodes.Project)
    return root.input


def columns(schema: t.Schema) -> list[str]:
    """The names of key columns, a stroke, and the names of value columns."""
    return [*(c.name for c in schema.key), "|", *(c.name for c in schema.value)]


# --- joins of tables ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [JoinKind.INNER, JoinKind.LEFT, JoinKind.RIGHT])
@pytest.mark.parametrize("key", ["t1.id", "t2.id"])
def test_tables_join_on_their_keys(sources: Sources, kind: JoinKind, key: str) -> None:
    root = sources.plan(f"SELECT {key}, t1.f, t2.s FROM t1 {kind.value} JOIN t2 ON t2.id = t1.id")
    node = join_of(root)
    assert isinstance(node, nodes.TableTableJoin)
    assert (node.kind, node.is_table) == (kind, True)
    assert columns(root.schema) == [key.upper().replace(".", "_"), "|", "T1_F", "T2_S"]
    for side, times in ((node.left, node.left_times), (node.right, node.right_times)):
        assert isinstance(side, nodes.ReadSource)
        assert side.materialised
        assert [side.columns[i] for i in times] == ["ROWTIME"]


def test_a_full_join_has_a_key_of_its_own(sources: Sources) -> None:
    root = sources.plan("SELECT * FROM t1 FULL JOIN t2 ON t1.id = t2.id")
    values = [f"{source}_{column}" for source in ("T1", "T2") for column in ("ID", "F", "S")]
    assert columns(root.schema) == ["ROWKEY", "|", *values]
    with pytest.raises(SemanticError, match="ROWKEY"):
        sources.plan("SELECT t1.id, t1.f FROM t1 FULL JOIN t2 ON t1.id = t2.id")


def test_several_tables_nest_to_the_left(sources: Sources) -> None:
    root = sources.plan(
        "SELECT t3.id, t1.f FROM t1 LEFT JOIN t2 ON t1.id = t2.id JOIN t3 ON t2.id = t3.id"
    )
    outer = join_of(root)
    assert isinstance(outer, nodes.TableTableJoin)
    assert isinstance(outer.left, nodes.TableTableJoin)
    names = [outer.left.schema.columns[i].name for i in outer.left_times]
    assert names == ["T1_ROWTIME", "T2_ROWTIME"]
    assert [s.source.name for s in nodes.sources_of(root)] == ["T1", "T2", "T3"]
    assert plan_lines(root, None)[1].strip().startswith("> INNER join of tables:")


@pytest.mark.parametrize(
    "condition, key",
    [
        ("t1.f = t2.id", typed.Column),
        ("t2.id = t1.f", typed.Column),
        ("t1.f + 1 = t2.id", typed.Arithmetic),
    ],
)
def test_a_foreign_key_is_any_expression_over_the_left(
    sources: Sources, condition: str, key: type[typed.Expression]
) -> None:
    root = sources.plan(f"SELECT t1.id, t2.s FROM t1 JOIN t2 ON {condition}")
    node = join_of(root)
    assert isinstance(node, nodes.ForeignKeyJoin)
    assert isinstance(node.foreign_key, key)
    assert node.right.columns[node.right_time] == "ROWTIME"
    assert columns(root.schema) == ["T1_ID", "|", "T2_S"]
    assert "by a foreign key" in plan_lines(root, None)[1]


def test_a_foreign_key_may_be_part_of_the_key(sources: Sources) -> None:
    root = sources.plan("SELECT k1, k2, t1.s FROM t4 LEFT JOIN t1 ON t4.k2 = t1.id")
    assert isinstance(join_of(root), nodes.ForeignKeyJoin)
    assert columns(root.schema) == ["K1", "K2", "|", "T1_S"]
    with pytest.raises(SemanticError, match="K2"):
        sources.plan("SELECT k1, t1.s FROM t4 JOIN t1 ON t4.k2 = t1.id")


def test_a_join_by_a_foreign_key_comes_first(sources: Sources) -> None:
    root = sources.plan(
        "SELECT t1.id, t2.s, t3.s FROM t1 JOIN t2 ON t1.f = t2.id LEFT JOIN t3 ON t1.id = t3.id"
    )
    outer = join_of(root)
    assert isinstance(outer, nodes.TableTableJoin)
    assert isinstance(outer.left, nodes.ForeignKeyJoin)
    assert [outer.left.schema.columns[i].name for i in outer.left_times] == ["$ROWTIME"]


@pytest.mark.parametrize(
    "joins, message",
    [
        ("t1 JOIN t2 ON t1.id = t2.f", "primary key"),
        ("t1 FULL JOIN t2 ON t1.id = t2.f", "primary key"),
        ("t1 JOIN t4 ON t1.f = t4.k1", "primary key"),
        ("t1 RIGHT JOIN t2 ON t1.f = t2.id", "RIGHT"),
        ("t1 FULL JOIN t2 ON t1.f = t2.id", "FULL"),
        ("t1 JOIN t2 ON t1.id = t2.id JOIN t3 ON t1.f = t3.id", "first of several"),
        ("t1 JOIN t2 ON t1.f = t2.id JOIN t3 ON t1.f = t3.id", "first of several"),
        ("t1 JOIN t2 ON t1.f = t2.id JOIN t3 ON t2.id = t3.id", "first of several"),
        ("t1 FULL JOIN t2 ON t1.id = t2.id JOIN t3 ON t1.id = t3.id", "after a FULL JOIN"),
        ("t1 JOIN t2 WITHIN 1 HOUR ON t1.id = t2.id", "WITHIN"),
        ("t1 JOIN s1 ON t1.id = s1.id", "stream on its right"),
        ("t1 JOIN t2 ON t1.s = t2.id", "different types"),
        ("t1 JOIN t2 ON t1.id = t1.f", "exactly one"),
        ("t1 JOIN t2 ON t1.id = t2.id AND t1.f = t2.f", "one equality"),
        ("t1 a JOIN t1 b ON a.id = b.id", "itself"),
        ("t1 JOIN t2 ON t1.id = t2.id PARTITION BY t1.f", "PARTITION BY is for streams"),
    ],
)
def test_what_tables_cannot_do(sources: Sources, joins: str, message: str) -> None:
    with pytest.raises(SemanticError, match=message):
        sources.plan(f"SELECT * FROM {joins}")


def test_windowed_tables_are_not_joined(sources: Sources) -> None:
    window = WindowInfo("TUMBLING", 1000)
    for name in ("TW1", "TW2"):
        sources.add(name, SourceKind.TABLE, "ID", "F S", window)
    query = parse_statement("SELECT * FROM tw1 JOIN tw2 ON tw1.id = tw2.id EMIT CHANGES;")
    assert isinstance(query, ast.Select)
    with pytest.raises(SemanticError, match="windowed tables"):
        Analyser(query.query, sources.catalog, REGISTRY, Purpose.PUSH).analyse()
    with pytest.raises(SemanticError, match="windowed table"):
        sources.plan("SELECT * FROM tw1 JOIN tw2 ON tw1.id = tw2.id")


def test_partitions_must_be_equally_many_but_for_a_foreign_key(sources: Sources) -> None:
    sources.partitions["t2"] = 2
    assert sources.plan("SELECT t1.id, t2.s FROM t1 JOIN t2 ON t1.f = t2.id")
    for joins in (
        "t1 JOIN t2 ON t1.id = t2.id",
        "t1 JOIN t3 ON t1.f = t3.id JOIN t2 ON t1.id = t2.id",
    ):
        with pytest.raises(SemanticError, match="partitions"):
            sources.plan(f"SELECT t1.id, t2.s FROM {joins}")


# --- joins of streams --------------------------------------------------------------------------


def test_a_stream_joins_a_table_on_the_tables_key(sources: Sources) -> None:
    node = join_of(sources.plan("SELECT t1.id, s1.f FROM s1 LEFT JOIN t1 ON s1.f = t1.id"))
    assert isinstance(node, nodes.StreamTableJoin)
    assert node.rekeyed
    for joins, message in (
        ("s1 JOIN t1 ON s1.id = t1.f", "primary key"),
        ("s1 RIGHT JOIN t1 ON s1.id = t1.id", "RIGHT"),
        ("s1 JOIN t1 WITHIN 1 HOUR ON s1.id = t1.id", "WITHIN"),
        ("s1 JOIN s2 ON s1.id = s2.id", "near in time"),
    ):
        with pytest.raises(SemanticError, match=message):
            sources.plan(f"SELECT * FROM {joins}")


def test_a_second_join_on_a_column_that_holds_the_key_is_on_the_key(sources: Sources) -> None:
    """After LEFT the right side's column may be null where the key is not."""
    root = sources.plan(
        "SELECT s1.id, t2.f FROM s1 LEFT JOIN t1 ON s1.id = t1.id LEFT JOIN t2 ON t1.id = t2.id"
    )
    node = join_of(root)
    assert isinstance(node, nodes.StreamTableJoin)
    assert isinstance(node.left_key, typed.Column)
    assert (node.left_key.index, node.rekeyed) == (0, False)


def test_a_second_join_on_another_column_moves_the_rows(sources: Sources) -> None:
    root = sources.plan(
        "SELECT t2.id, s1.f FROM s1 JOIN t1 ON s1.id = t1.id JOIN t2 ON s1.f = t2.id"
    )
    node = join_of(root)
    assert isinstance(node, nodes.StreamTableJoin)
    assert node.rekeyed
    assert columns(root.schema) == ["S1_F", "|", "T2_ID"]
