"""CREATE OR REPLACE STREAM|TABLE: another version in the place of the one that is there.

A query goes on as its new version from where the old one stopped, with the same id, positions and
state. What is stored stays as it was written; columns that it did not have yet are null.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from millstream.catalog.model import QueryInfo, Source
from millstream.catalog.persistence import save_query, save_source
from millstream.database.outcome import Outcome
from millstream.database.statements import create_as, create_source
from millstream.database.upgrade import move_state, retire_rows, state_obstacle
from millstream.errors import SemanticError
from millstream.plan.nodes import QueryPlan
from millstream.plan.sources import declare
from millstream.plan.upgrade import query_obstacle, relation_obstacle, table_filters
from millstream.sql import ast
from millstream.sql.script import Parsed
from millstream.store.interfaces import Commit

if TYPE_CHECKING:
    from millstream.database.database import Database


def source(database: Database, statement: ast.CreateSource, parsed: Parsed) -> Outcome:
    """CREATE [OR REPLACE] STREAM|TABLE over a topic. Queries that read it keep the columns that
    they were made with."""
    existing = database.catalog.sources.get(statement.name)
    if existing is None or not statement.or_replace or statement.if_not_exists:
        return create_source.handle(database, statement, parsed)
    if statement.read_only or existing.read_only:
        raise _refused(statement, existing, "SOURCE streams and tables cannot be replaced")
    if existing.query_id is not None:
        raise _refused(statement, existing, f"query {existing.query_id} made it")
    declaration = declare(statement, database.catalog, database.session())
    obstacle = relation_obstacle(existing, declaration)
    if obstacle is not None:
        raise _refused(statement, existing, obstacle)
    create_source.check_partitions(database, declaration, statement)
    with database.change() as (commit, catalog):
        changed = replace(
            existing,
            schema=declaration.schema,
            value_layout=declaration.value_layout,
            wrap_setting=declaration.wrap_setting,
            statement=parsed.text,
            history=(*existing.history, existing.statement),
        )
        catalog.sources[changed.name] = changed
        save_source(commit, changed)
    return Outcome(parsed.text, f"{_word(existing)} {existing.name} replaced")


def query(database: Database, statement: ast.CreateAsSelect, parsed: Parsed) -> Outcome:
    """CREATE [OR REPLACE] STREAM|TABLE .. AS SELECT."""
    existing = database.catalog.sources.get(statement.name)
    if existing is None or not statement.or_replace or statement.if_not_exists:
        return create_as.create_as(database, statement, parsed)
    with database.engine.lock:
        return _replace_query(database, statement, existing, parsed)


def _replace_query(
    database: Database, statement: ast.CreateAsSelect, existing: Source, parsed: Parsed
) -> Outcome:
    info = _query_of(database, statement, existing)
    session = database.session()
    plan = database.plan_of(statement, session)
    assert plan.sink is not None
    obstacle = relation_obstacle(existing, plan.sink)
    if obstacle is not None:
        raise _refused(statement, existing, obstacle)
    changed = replace(
        existing,
        schema=plan.sink.schema,
        value_layout=plan.sink.value_layout,
        wrap_setting=plan.sink.wrap_setting,
        statement=parsed.text,
        history=(*existing.history, existing.statement),
    )
    if info is None:
        with database.change() as (commit, catalog):
            made = create_as.start(database, commit, catalog, changed, plan, parsed, session)
        database.engine.add(made)
        assert made.info is not None
        return Outcome(
            parsed.text, f"{_word(existing)} {existing.name} replaced, query {made.info.id} started"
        )
    old_plan = database.plan_of_query(info)
    obstacle = query_obstacle(old_plan, plan)
    if obstacle is not None:
        raise _refused(statement, existing, obstacle)
    widths, types = database.catalog.known(info.sources)
    version = replace(
        info,
        statement=parsed.text,
        properties=session,
        state="RUNNING" if info.state == "ERROR" else info.state,
        error=None,
        widths=widths,
        types=types,
    )
    with database.change() as (commit, catalog):
        _upgrade(database, statement, existing, (info, old_plan), (version, plan), commit)
        catalog.sources[changed.name] = changed
        save_source(commit, changed)
        catalog.queries[info.id] = version
        save_query(commit, version)
    database.engine.remove(info.number)
    if version.state == "RUNNING":
        database.engine.add(database.make_query(version, plan))
    return Outcome(
        parsed.text, f"{_word(existing)} {existing.name} replaced, query {info.id} goes on"
    )


def _upgrade(
    database: Database,
    statement: ast.CreateAsSelect,
    existing: Source,
    old: tuple[QueryInfo, QueryPlan],
    new: tuple[QueryInfo, QueryPlan],
    commit: Commit,
) -> None:
    """Bring state and table to what the new version needs; SemanticError where that cannot be."""
    before, after = database.make_query(*old), database.make_query(*new)
    obstacle = state_obstacle(before, after, commit)
    if obstacle is not None:
        raise _refused(statement, existing, obstacle)
    move_state(before, after, commit)
    if existing.is_table and table_filters(old[1]) != table_filters(new[1]):
        loaded = database.make_query(*new)
        loaded.load(commit)
        retire_rows(database, existing, loaded, commit)


def _query_of(
    database: Database, statement: ast.CreateAsSelect, existing: Source
) -> QueryInfo | None:
    """The query to be replaced; None where it was terminated."""
    if existing.query_id is None:
        raise _refused(statement, existing, "it was declared over its topic, not made by a query")
    others = [q.id for q in database.catalog.writers(existing.name) if q.id != existing.query_id]
    if others:
        raise SemanticError(
            f"{existing.name} cannot be replaced: {', '.join(others)} write into it as well",
            statement.position,
            hint=f"End them first: TERMINATE {others[0]};",
        )
    return database.catalog.queries.get(existing.query_id)


def _refused(
    statement: ast.CreateSource | ast.CreateAsSelect, existing: Source, obstacle: str
) -> SemanticError:
    word = existing.kind.value
    hint = f"Drop it and make it anew, or make a {word.lower()} of another name beside it"
    if existing.query_id is not None:
        hint += "; with 'auto.offset.reset' = 'earliest' it begins at the first record"
    return SemanticError(
        f"{existing.name} cannot be replaced: {obstacle}",
        statement.position,
        hint=f"{hint}. A replacement may change filters and add columns at the end, where nothing"
        " is joined or windowed.",
    )


def _word(existing: Source) -> str:
    return existing.kind.value.lower()
