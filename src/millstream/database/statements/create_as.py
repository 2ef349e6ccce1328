"""CREATE STREAM|TABLE .. AS SELECT and INSERT INTO .. SELECT: persistent queries."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from millstream.catalog.catalog import Catalog
from millstream.catalog.model import QueryInfo, Source
from millstream.catalog.persistence import save_query, save_source
from millstream.database.outcome import Outcome
from millstream.database.statements.create_source import already_exists
from millstream.database.topics import check_writable
from millstream.engine.query import Query
from millstream.engine.scheduler import start_progress
from millstream.errors import SemanticError
from millstream.plan.nodes import Aggregate, QueryPlan, walk
from millstream.plan.properties import INSERT, Properties
from millstream.sql import ast
from millstream.sql.script import Parsed
from millstream.store.interfaces import Commit

if TYPE_CHECKING:
    from millstream.database.database import Database

_PREFIX = {ast.SourceKind.STREAM: "CSAS", ast.SourceKind.TABLE: "CTAS"}


def create_as(database: Database, statement: ast.CreateAsSelect, parsed: Parsed) -> Outcome:
    """Make a stream or table of a query's results, and start the query."""
    existing = database.catalog.sources.get(statement.name)
    if existing is not None:
        if statement.if_not_exists:
            return Outcome(parsed.text, f"{statement.name} exists already")
        raise already_exists(existing, statement)
    session = database.session()
    plan = database.plan_of(statement, session)
    assert plan.sink is not None
    check_writable(plan.sink.topic)
    check_retention(statement, plan)
    with database.change() as (commit, catalog):
        source = _sink_source(database, commit, plan, parsed)
        query = start(database, commit, catalog, source, plan, parsed, session)
    database.engine.add(query)
    assert query.info is not None
    return Outcome(
        parsed.text,
        f"{statement.kind.value.lower()} {statement.name} created, query {query.info.id} started",
    )


def start(
    database: Database,
    commit: Commit,
    catalog: Catalog,
    source: Source,
    plan: QueryPlan,
    parsed: Parsed,
    session: dict[str, str],
) -> Query:
    """Write a stream or table and a new query that makes it, to be added when that is done."""
    number = commit.allocate_id("query")
    query_id = f"{_PREFIX[source.kind]}_{source.name.upper()}_{number - 1}"
    source = replace(source, query_id=query_id)
    catalog.sources[source.name] = source
    save_source(commit, source)
    return _register(database, commit, catalog, plan, number, query_id, parsed, session)


def insert_into(database: Database, statement: ast.InsertIntoSelect, parsed: Parsed) -> Outcome:
    """Start a query that writes into an existing stream."""
    session = database.session()
    plan = database.plan_of(statement, session)
    wanted = Properties.of(statement.properties, INSERT, statement.position).text("QUERY_ID")
    if wanted is not None and wanted.upper() in database.catalog.queries:
        raise SemanticError(f"a query {wanted} exists already", statement.position)
    with database.change() as (commit, catalog):
        number = commit.allocate_id("query")
        query_id = wanted.upper() if wanted else f"INSERTQUERY_{number - 1}"
        query = _register(database, commit, catalog, plan, number, query_id, parsed, session)
    database.engine.add(query)
    return Outcome(parsed.text, f"query {query_id} started")


def _register(
    database: Database,
    commit: Commit,
    catalog: Catalog,
    plan: QueryPlan,
    number: int,
    query_id: str,
    parsed: Parsed,
    session: dict[str, str],
) -> Query:
    assert plan.sink is not None
    sources = tuple(dict.fromkeys(s.name for s in plan.sources))
    widths, types = catalog.known((*sources, plan.sink.name))
    info = QueryInfo(
        number=number,
        id=query_id,
        statement=parsed.text,
        sources=sources,
        sink=plan.sink.name,
        properties=session,
        widths=widths,
        types=types,
    )
    catalog.queries[query_id] = info
    save_query(commit, info)
    query = database.make_query(info, plan)
    earliest = session.get("auto.offset.reset", "latest").lower() == "earliest"
    start_progress(query, commit, earliest=earliest)
    return query


def check_retention(statement: ast.CreateAsSelect, plan: QueryPlan) -> None:
    """SemanticError where a table without windows would forget rows by their age."""
    assert plan.sink is not None
    sink = plan.sink
    if sink.retention_ms is not None and sink.kind is ast.SourceKind.TABLE and sink.window is None:
        raise SemanticError(
            f"{sink.name} has no windows, so its rows have no age by which RETENTION_MS could go",
            statement.position,
            hint="Leave RETENTION_MS out, or group the rows by a WINDOW.",
        )


def _retention_ms(plan: QueryPlan) -> int | None:
    """How long the sink's topic keeps records: no shorter than the query keeps its windows."""
    assert plan.sink is not None
    asked = plan.sink.retention_ms
    if asked is None or asked < 0:
        return asked
    kept = (n.spec.retention_ms for n in walk(plan.root) if isinstance(n, Aggregate) and n.spec)
    return max([asked, *kept])


def _sink_source(database: Database, commit: Commit, plan: QueryPlan, parsed: Parsed) -> Source:
    sink = plan.sink
    assert sink is not None
    topic = commit.topic(sink.topic)
    if topic is None:
        topic = database.make_topic(
            commit,
            sink.topic,
            sink.partitions,
            replicas=sink.replicas,
            retention_ms=_retention_ms(plan),
            cleanup_policy=sink.cleanup_policy,
        )
    return Source(
        id=commit.allocate_id("source"),
        name=sink.name,
        kind=sink.kind,
        schema=sink.schema,
        topic=sink.topic,
        topic_id=topic.id,
        key_layout=sink.key_layout,
        value_layout=sink.value_layout,
        window=sink.window,
        timestamp=sink.timestamp,
        wrap_setting=sink.wrap_setting,
        statement=parsed.text,
    )
