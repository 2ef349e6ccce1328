"""TERMINATE, PAUSE and RESUME of persistent queries."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from millstream.catalog.catalog import unknown
from millstream.catalog.model import QueryInfo
from millstream.catalog.persistence import save_query
from millstream.database.outcome import Outcome
from millstream.engine.scheduler import drop_progress
from millstream.sql import ast
from millstream.sql.script import Parsed

if TYPE_CHECKING:
    from millstream.database.database import Database

_DONE = {
    ast.QueryAction.TERMINATE: "terminated",
    ast.QueryAction.PAUSE: "paused",
    ast.QueryAction.RESUME: "resumed",
}


def handle(database: Database, statement: ast.ControlQuery, parsed: Parsed) -> Outcome:
    """Act on one query, or on all, between two steps of the engine.

    A query that failed cannot be paused: it stands still already, and its error stays to be seen.
    """
    with database.engine.lock:
        done = [i.id for i in _chosen(database, statement) if _act(database, statement.action, i)]
    return Outcome(parsed.text, f"{', '.join(done) or 'no query'} {_DONE[statement.action]}")


def _act(database: Database, action: ast.QueryAction, info: QueryInfo) -> bool:
    """Act on one query; whether there was anything to do."""
    match action:
        case ast.QueryAction.TERMINATE:
            terminate(database, info)
        case ast.QueryAction.PAUSE if info.state == "RUNNING":
            _set_state(database, info, "PAUSED")
            database.engine.remove(info.number)
        case ast.QueryAction.RESUME if info.state != "RUNNING":
            query = database.make_query(replace(info, state="RUNNING", error=None))
            _set_state(database, info, "RUNNING")
            database.engine.add(query)
        case _:
            return False
    return True


def terminate(database: Database, info: QueryInfo) -> None:
    """End a query; what it wrote stays, its state and positions go."""
    with database.engine.lock:
        with database.change() as (commit, catalog):
            catalog.queries.pop(info.id)
            commit.delete_entry("query", info.number)
            drop_progress(info.number, commit)
        database.engine.remove(info.number)


def _chosen(database: Database, statement: ast.ControlQuery) -> list[QueryInfo]:
    queries = database.catalog.queries
    if statement.query_id is None:
        return list(queries.values())
    found = queries.get(statement.query_id) or queries.get(statement.query_id.upper())
    if found is None:
        raise unknown("query", statement.query_id, queries, statement.position)
    return [found]


def _set_state(database: Database, info: QueryInfo, state: str) -> None:
    changed = replace(info, state=state, error=None)
    with database.change() as (commit, catalog):
        catalog.queries[info.id] = changed
        save_query(commit, changed)
