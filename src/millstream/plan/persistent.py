"""CREATE .. AS SELECT and INSERT INTO .. SELECT: a query's plan together with its sink."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from millstream import types as t
from millstream.catalog.catalog import Catalog, did_you_mean
from millstream.catalog.model import Source
from millstream.errors import Position, SemanticError
from millstream.functions.aggregates import LIST_LIMIT, SET_LIMIT, build
from millstream.functions.registry import Registry
from millstream.plan import layouts, nodes
from millstream.plan.analyse import Analyser, Analysis, Purpose
from millstream.plan.properties import CREATE_AS, INSERT, Properties, default_policy
from millstream.plan.sources import timestamp_column
from millstream.plan.typing import convert
from millstream.serde.base import Layout
from millstream.sql import ast

TOPIC_PREFIX = "ksql.output.topic.name.prefix"
_STRUCTURED_STATE = frozenset(
    {"AVG", "CORRELATION", "STDDEV_SAMP", "STDDEV_SAMPLE", "EARLIEST_BY_OFFSET", "LATEST_BY_OFFSET"}
)
"""Aggregates whose intermediate value is a STRUCT in ksqlDB."""
SINK_PARTITIONS = "ksql.sink.partitions"
SINK_REPLICAS = "ksql.sink.replicas"
NEW_PLANNER = "ksql.new.query.planner.enabled"


@dataclass(frozen=True, slots=True)
class Planner:
    """What planning needs to know: the catalogue, the functions, the session's properties, and
    how many partitions a topic has (None: there is no such topic)."""

    catalog: Catalog
    registry: Registry
    session: dict[str, str]
    partitions_of: Callable[[str], int | None]

    def create_as(self, statement: ast.CreateAsSelect) -> nodes.QueryPlan:
        """The plan of CREATE STREAM|TABLE .. AS SELECT."""
        where = statement.position
        analysis = self._analyse(statement.query)
        self._check_kind(statement, analysis)
        properties = Properties.of(statement.properties, CREATE_AS, where)
        sink = self._sink(statement, properties, analysis)
        check_stored_types(analysis.root, where)
        return self._plan(statement.query, analysis, sink)

    def insert_into(self, statement: ast.InsertIntoSelect) -> nodes.QueryPlan:
        """The plan of INSERT INTO .. SELECT."""
        where = statement.position
        Properties.of(statement.properties, INSERT, where)
        target = self._target(statement)
        analysis = self._analyse(statement.query)
        if analysis.root.is_table:
            raise SemanticError(
                "the SELECT gives a table, which cannot be inserted into a stream", where
            )
        root = fit(analysis.root, target, where)
        sink = nodes.Sink(
            name=target.name,
            kind=target.kind,
            topic=target.topic,
            schema=target.schema,
            key_layout=target.key_layout,
            value_layout=target.value_layout,
            window=target.window,
            timestamp=target.timestamp,
            partitions=self.partitions_of(target.topic) or 1,
            replicas=1,
        )
        return self._plan(statement.query, replace(analysis, root=root), sink)

    def _analyse(self, query: ast.Query) -> Analysis:
        analyser = Analyser(
            query,
            self.catalog,
            self._functions(),
            Purpose.PERSISTENT,
            keys_as_projected=self.session.get(NEW_PLANNER, "false").lower() == "true",
        )
        analysis = analyser.analyse()
        self._check_partitions(analysis)
        return analysis

    def _functions(self) -> Registry:
        """The functions, with the limits that the session sets for COLLECT_LIST and COLLECT_SET."""
        limits = {n: v for n in (LIST_LIMIT, SET_LIMIT) if (v := self.session.get(n)) is not None}
        if not limits:
            return self.registry
        registry = self.registry.child()
        registry.add(*build(limits))
        return registry

    def _check_partitions(self, analysis: Analysis) -> None:
        """Joined sources must have equally many partitions, so that equal keys meet; a table that
        is looked up by a foreign key need not."""
        first = analysis.inputs[0]
        count = self.partitions_of(first.source.topic)
        looked_up = {
            n.right.source.id
            for n in nodes.walk(analysis.root)
            if isinstance(n, nodes.ForeignKeyJoin)
        }
        for other in analysis.inputs[1:]:
            if other.source.id in looked_up:
                continue
            its = self.partitions_of(other.source.topic)
            if its != count:
                raise SemanticError(
                    f"{first.source.name} has {count} partitions and {other.source.name} {its}:"
                    " rows of equal keys would not meet",
                    other.position,
                    hint="Copy one of them into a stream or table WITH (PARTITIONS = ..) first.",
                )

    def _plan(self, query: ast.Query, analysis: Analysis, sink: nodes.Sink) -> nodes.QueryPlan:
        sources = tuple(i.source for i in analysis.inputs)
        return nodes.QueryPlan(analysis.root, sources, query.emit, query.limit, sink)

    def _check_kind(self, statement: ast.CreateAsSelect, analysis: Analysis) -> None:
        gives = ast.SourceKind.TABLE if analysis.root.is_table else ast.SourceKind.STREAM
        if gives is not statement.kind:
            raise SemanticError(
                f"the SELECT gives a {gives.value}, not a {statement.kind.value}",
                statement.position,
                hint=f"Write CREATE {gives.value} {statement.name} AS ..",
            )

    def _target(self, statement: ast.InsertIntoSelect) -> Source:
        where = statement.position
        target = self.catalog.sources.get(statement.target)
        if target is None:
            raise SemanticError(
                f"{statement.target} does not exist",
                where,
                hint=did_you_mean(statement.target, self.catalog.sources),
            )
        if target.is_table:
            raise SemanticError(
                f"INSERT INTO .. SELECT is for streams, and {target.name} is a table", where
            )
        if target.read_only:
            raise SemanticError(f"{target.name} is a SOURCE stream and read-only", where)
        if target.schema.headers:
            raise SemanticError(f"{target.name} shows headers, which cannot be inserted", where)
        return target

    # --- the sink ----------------------------------------------------------------------------

    def _sink(
        self, statement: ast.CreateAsSelect, properties: Properties, analysis: Analysis
    ) -> nodes.Sink:
        where = statement.position
        schema = analysis.root.schema
        left = analysis.inputs[0].source
        key, value = self._layouts(properties, schema, left, analysis, where)
        topic = properties.text("KAFKA_TOPIC")
        if topic is None:
            topic = self.session.get(TOPIC_PREFIX, "") + statement.name
        return nodes.Sink(
            name=statement.name,
            kind=statement.kind,
            topic=topic,
            schema=schema,
            key_layout=key,
            value_layout=value,
            window=analysis.root.window,
            timestamp=timestamp_column(properties, schema, where),
            partitions=self._partitions(properties, topic, left),
            replicas=properties.positive("REPLICAS") or int(self.session.get(SINK_REPLICAS, "1")),
            wrap_setting=properties.boolean("WRAP_SINGLE_VALUE"),
            retention_ms=properties.retention_ms(),
            cleanup_policy=properties.cleanup_policy()
            or default_policy(statement.kind, analysis.root.window),
        )

    def _partitions(self, properties: Properties, topic: str, left: Source) -> int:
        existing = self.partitions_of(topic)
        wanted = properties.positive("PARTITIONS")
        if existing is not None:
            if wanted is not None and wanted != existing:
                raise SemanticError(
                    f"topic {topic} exists with {existing} partitions, not {wanted}",
                    properties.position,
                    hint="Leave PARTITIONS out to use the topic as it is.",
                )
            return existing
        default = int(self.session.get(SINK_PARTITIONS, "0"))
        return wanted or default or self.partitions_of(left.topic) or 1

    def _layouts(
        self,
        properties: Properties,
        schema: t.Schema,
        left: Source,
        analysis: Analysis,
        where: Position | None,
    ) -> tuple[Layout, Layout]:
        key_format = properties.format_of("KEY")
        inherited = left.key_layout
        if key_format is None:
            key_format = inherited.format
            if not schema.key:
                key_format = "NONE"
            elif key_format == "NONE":
                key_format = self.session.get(layouts.DEFAULT_KEY_FORMAT, "KAFKA").upper()
        elif not schema.key and key_format != "NONE":
            if properties.text("KEY_FORMAT") is not None:
                raise SemanticError(
                    f"a key format ({key_format}) is given, but the result has no key",
                    where,
                    hint="Leave KEY_FORMAT out.",
                )
            key_format = "NONE"
        key_delimiter = properties.delimiter("KEY")
        if key_delimiter is None and key_format == "DELIMITED" == inherited.format:
            key_delimiter = inherited.delimiter
        key = layouts.key_layout(key_format, schema.key, key_delimiter, where)
        return key, self._value_layout(properties, schema, left, where)

    def _value_layout(
        self, properties: Properties, schema: t.Schema, left: Source, where: Position | None
    ) -> Layout:
        value_format = properties.format_of("VALUE") or left.value_layout.format
        wrap = properties.boolean("WRAP_SINGLE_VALUE")
        if wrap is None:
            wrap = layouts.default_wrapping(self.session, schema.value)
        delimiter = properties.delimiter("VALUE")
        if delimiter is None and value_format == "DELIMITED" == left.value_layout.format:
            delimiter = left.value_layout.delimiter
        return layouts.value_layout(value_format, schema.value, wrap, delimiter, where)


def check_stored_types(root: nodes.Node, where: Position | None) -> None:
    """ksqlDB keeps an aggregation's intermediate values in the source's value format; one that
    has no room for them, such as AVG's pair of sum and count, cannot be grouped with them."""
    for node in nodes.walk(root):
        if not isinstance(node, nodes.Aggregate):
            continue
        formats = {r.source.value_layout.format for r in nodes.sources_of(node)}
        if "DELIMITED" not in formats:
            continue
        for call in node.calls:
            if call.name in _STRUCTURED_STATE:
                raise SemanticError(
                    f"{call.name} keeps intermediate values that the DELIMITED format of its"
                    " source cannot hold",
                    where,
                    hint="Copy the source into a stream of another format, such as JSON, first.",
                )


def fit(root: nodes.Node, target: Source, where: Position | None) -> nodes.Node:
    """The query's result as the target's columns: the same names in order, types converted."""
    if root.window != target.window:
        raise SemanticError(f"the windows of the result and of {target.name} differ", where)
    assert isinstance(root, nodes.Project)
    mine, theirs = root.schema.columns, target.schema.key + target.schema.value
    same = [(c.name, c.role) for c in mine] == [(c.name, c.role) for c in theirs]
    if not same:
        raise SemanticError(
            f"the columns of the result do not fit those of {target.name}",
            where,
            hint=f"The result has {_shown(mine)}; {target.name} has {_shown(theirs)}.",
        )
    expressions = []
    for expression, column, mine_column in zip(root.expressions, theirs, mine, strict=True):
        try:
            expressions.append(convert(expression, column.type))
        except SemanticError:
            raise SemanticError(
                f"column {column.name} of {target.name} is {column.type}, and the result gives"
                f" {mine_column.type}",
                where,
                hint=f"Write CAST({column.name} AS {column.type}) AS {column.name}.",
            ) from None
    return replace(root, schema=t.Schema(tuple(theirs)), expressions=tuple(expressions))


def _shown(columns: tuple[t.Column, ...]) -> str:
    return ", ".join(f"{c.name} {c.type}{' KEY' if c.role is t.Role.KEY else ''}" for c in columns)
