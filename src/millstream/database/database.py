"""A database: the store, the catalogue, the engine and the connectors behind one door."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from millstream.catalog.catalog import Catalog
from millstream.catalog.model import QueryInfo, Source
from millstream.catalog.persistence import load_catalog, save_connector, save_query, save_source
from millstream.clock import Clock, SystemClock
from millstream.connect.runtime import trace_sentence
from millstream.database import processing_log
from millstream.database.connectors import POSITION, ConnectorHost, Running, start_all
from millstream.database.inbox import Inbox
from millstream.database.loop import EngineLoop
from millstream.database.metrics import Metrics, RateMeter, measure
from millstream.database.outcome import Outcome
from millstream.database.properties import SUBSTITUTION, checked
from millstream.database.retention import Retention
from millstream.database.topics import check_topic
from millstream.engine.engine import DEFAULT_MAX_ROWS, Engine
from millstream.engine.query import Query
from millstream.engine.scheduler import LoggedNote
from millstream.errors import (
    DamagedError,
    ExecutionError,
    MillstreamError,
    SqlError,
    StoreError,
)
from millstream.functions import default_registry
from millstream.functions.registry import Registry
from millstream.plan.nodes import QueryPlan
from millstream.plan.persistent import Planner
from millstream.sql import ast
from millstream.sql.script import Parsed, iter_script, parse_statement
from millstream.sql.source import check_text
from millstream.sql.variables import Variables
from millstream.store.interfaces import Commit, Store, Topic, View
from millstream.store.open import open_store


class Database:
    """An open database. Use `millstream.connect`; close it, or use it as a context manager."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock | None = None,
        registry: Registry | None = None,
        properties: Mapping[str, str] | None = None,
        max_rows: int = DEFAULT_MAX_ROWS,
        row_wise: bool = False,
    ) -> None:
        self.store = store
        self.clock: Clock = clock or SystemClock()
        self.registry = registry or default_registry()
        self.properties: dict[str, str] = checked(properties or {})
        self.variables = Variables()
        self.row_wise = row_wise
        self.log_lines = 0
        self._log = processing_log.ProcessingLog(self.clock)
        self.engine = Engine(
            store,
            self.clock,
            make=self._make_again,
            write_log=self.log,
            on_failed=self._query_failed,
            max_rows=max_rows,
        )
        self.connectors = ConnectorHost(
            store,
            self.clock,
            change=self._change,
            save=self._save_connector,
            log=self.log,
            wake=self.engine.announce,
        )
        self.engine.listeners.append(self.connectors.notify)
        self.retention = Retention(self)
        self._loop = EngineLoop(self)
        self.inbox = Inbox(self, self._loop.ring)
        self._closed = False
        self._statements = threading.RLock()
        self.meter = RateMeter()
        self._open()

    # --- opening and closing -----------------------------------------------------------------

    @classmethod
    def open(
        cls,
        path: str = ":memory:",
        *,
        read_only: bool = False,
        clock: Clock | None = None,
        registry: Registry | None = None,
        properties: Mapping[str, str] | None = None,
        max_rows: int = DEFAULT_MAX_ROWS,
        row_wise: bool = False,
    ) -> Self:
        """Open or make a database. Raises StoreError."""
        store = open_store(path, read_only=read_only)
        try:
            return cls(
                store,
                clock=clock,
                registry=registry,
                properties=properties,
                max_rows=max_rows,
                row_wise=row_wise,
            )
        except BaseException:
            store.close()
            raise

    def _open(self) -> None:
        if not self.store.read_only:
            self._make_log()
        with self.store.view() as view:
            self.catalog: Catalog = load_catalog(view)
        if self.store.read_only:
            return
        for info in list(self.catalog.queries.values()):
            if info.state == "RUNNING":
                self._start(info)
        start_all(self.connectors, self.catalog, self.positions())

    def _start(self, info: QueryInfo) -> None:
        """Run a query of the catalogue. One that cannot be planned here (a function of the user's
        own may be missing), or whose state is damaged, stands still until the database is opened
        again."""
        try:
            self.engine.add(self.make_query(info))
        except MillstreamError as error:
            if isinstance(error, StoreError) and not isinstance(error, DamagedError):
                raise
            failed = replace(info, state="ERROR", error=trace_sentence(error))
            self.catalog.queries[info.id] = failed

    def _make_log(self) -> None:
        with self.store.view() as view:
            if view.topic(processing_log.TOPIC) is not None:
                return
        with self.store.begin() as commit:
            topic = commit.create_topic(processing_log.TOPIC, 1)
            source_id = commit.allocate_id("source")
            save_source(commit, processing_log.log_source(source_id, topic))
            commit.commit()

    def close(self) -> None:
        """Stop everything and release the file; all that was done is in it. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._loop.stop()
        self.inbox.close()
        self.engine.close()
        self.connectors.stop_all(self.engine.lock.early)
        self.engine.announce()
        self.store.close()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def check_writable(self) -> None:
        """Raise StoreError where the database is closed or open read-only."""
        self._check_open()
        if self.store.read_only:
            raise StoreError(
                f"the database '{self.store.path}' is open read-only", hint="Open it for writing."
            )

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"the database '{self.store.path}' is closed", hint="Open it again.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- statements --------------------------------------------------------------------------

    def execute(
        self,
        script: str,
        variables: Mapping[str, str] | None = None,
        *,
        skip_existing: bool = False,
    ) -> list[Outcome]:
        """Run the statements of a script, one after the other.

        Statements before one that fails stay executed; the error tells line and column.
        `skip_existing`: a statement whose identical text made the existing object is skipped.
        """
        return list(
            self.execute_each(script, variables, skip_existing=skip_existing, together=True)
        )

    def execute_each(
        self,
        script: str,
        variables: Mapping[str, str] | None = None,
        *,
        skip_existing: bool = False,
        together: bool = False,
    ) -> Iterator[Outcome]:
        """As `execute`, giving each outcome when its statement is done.

        `together`: INSERTs that follow one another are one commit, and so are CREATE TYPEs; their
        outcomes are given when that is done.
        """
        from millstream.database.insert_run import InsertRun
        from millstream.database.type_run import TypeRun

        self.variables.update(variables or {})
        runs: dict[type[ast.Statement], InsertRun | TypeRun] = {}
        if together:
            runs[ast.InsertValues] = InsertRun(self, script)
            runs[ast.CreateType] = TypeRun(self, script, skip_existing=skip_existing)
        waiting: InsertRun | TypeRun | None = None
        try:
            for parsed in iter_script(script, self.variables, self._replaces_variables):
                run = runs.get(type(parsed.statement))
                if waiting is not None and waiting is not run:
                    yield from waiting.write()
                waiting = run
                if run is not None:
                    yield from run.add(parsed)
                    continue
                yield self.execute_statement(parsed, source=script, skip_existing=skip_existing)
        except MillstreamError:
            if waiting is not None:
                yield from waiting.write()
            raise
        if waiting is not None:
            yield from waiting.write()

    def changing(self) -> AbstractContextManager[object]:
        """While a statement changes the catalogue: what it found there must hold until then."""
        return self._statements

    def _replaces_variables(self) -> bool:
        return self.properties.get(SUBSTITUTION, "true").strip().lower() == "true"

    def execute_statement(
        self, parsed: Parsed, *, source: str | None = None, skip_existing: bool = False
    ) -> Outcome:
        """Run one statement."""
        from millstream.database.statements import handle

        # An insert looks again whether its source is there when it is written.
        kept = isinstance(parsed.statement, ast.Select | ast.PrintTopic | ast.InsertValues)
        with self.statement(parsed, source), nullcontext() if kept else self.changing():
            return handle(self, parsed, skip_existing=skip_existing)

    @contextmanager
    def statement(self, parsed: Parsed, script: str | None = None) -> Iterator[None]:
        """While a statement is carried out: its errors tell where it stands."""
        self._check_open()
        self.refresh()
        try:
            yield
        except SqlError as error:
            if error.position is None:
                error.position = parsed.position
            if error.source is None:
                error.source = script if script is not None else parsed.written
            raise

    # --- queries -----------------------------------------------------------------------------

    def sql(self, query: str) -> Any:
        """Answer a pull query, or any SELECT over the tables as they are now.

        Gives a `Result` with `.columns`, `.rows()` and `.arrow()`. What ksqlDB's pull queries do
        not know (joins, ORDER BY, aggregates) is answered by DuckDB: that is ours.
        """
        from millstream.database.pull import answer

        self._check_open()
        check_text(query)
        return answer(self, query)

    def subscribe(self, query: str) -> Any:
        """Rows of a push query (SELECT .. EMIT CHANGES) as they come; close it when done."""
        from millstream.database.push import Subscription

        self._check_open()
        check_text(query)
        return Subscription(self, query)

    def insert(self, name: str, rows: Any) -> int:
        """Append rows (dicts or tuples of Python values, or a pyarrow table or batch) to a
        stream or table; how many. A row may hold ROWTIME, its event time in ms."""
        from millstream.database.insert import insert_rows

        self.check_writable()
        return insert_rows(self, name, rows)

    def send(self, name: str, rows: Any) -> Future[int]:
        """As `insert`, without waiting until the rows are durable: then they are the future's
        result, or what kept them from it is its exception. Blocks while too many rows wait.

        What is no row of the stream or table at all is an error at once. What is called when the
        future is done runs on one thread for all, and should be quick.
        """
        from millstream.database.insert import send_rows

        self.check_writable()
        return send_rows(self, name, rows)

    # --- running -----------------------------------------------------------------------------

    def start(self) -> None:
        """Run queries and connectors on a thread of their own until `stop`."""
        self.check_writable()
        self._loop.start()

    def stop(self) -> None:
        """End the thread that `start` made; what was read is committed. Idempotent."""
        self._loop.stop()

    def run(self, for_ms: int | None = None, until_idle: bool = False) -> None:
        """Run queries and connectors on this thread, for a time or until nothing is left.

        ExecutionError where `until_idle` meets a source that never ends.
        """
        self.check_writable()
        if until_idle:
            endless = self.connectors.unbounded()
            if endless:
                raise ExecutionError(
                    f"{', '.join(endless)} never ends, so there is no end to wait for",
                    hint="Give a time instead, or set its option 'iterations'.",
                )
        self._loop.run(for_ms, until_idle)

    def step(self) -> bool:
        """One commit: what connectors have now, and every query a step further."""
        self.check_writable()
        return self._loop.step()

    def idle(self) -> bool:
        """Whether nothing is left to do before something comes from outside: sources have ended
        or do not run, queries have read all, running sinks have delivered all."""
        # In this order: each commits, and tells the next, before it can be seen to be done.
        return (
            self.connectors.due_in_ms() is None
            and self.engine.idle()
            and self.connectors.delivered()
        )

    def metrics(self) -> Metrics:
        """How much has been done, and how queries and connectors fare."""
        return measure(self)

    @property
    def loop_error(self) -> str | None:
        """Why the engine's thread could not step, while it cannot."""
        return self._loop.error

    # --- what statements use -----------------------------------------------------------------

    @contextmanager
    def change(self) -> Iterator[tuple[Commit, Catalog]]:
        """A change of the catalogue: a commit and a copy, which count if nothing is raised."""
        with self.engine.lock:
            catalog = self.catalog.copy()
            with self.store.begin() as commit:
                yield commit, catalog
                commit.commit()
            self.catalog = catalog
        self.engine.announce()

    def _change(self, write: Callable[[Commit], None]) -> None:
        with self.engine.lock, self.store.begin() as commit:
            write(commit)
            commit.commit()

    def _save_connector(self, running: Running) -> None:
        with self.engine.lock:
            if running.info.name not in self.catalog.connectors:
                return
            info = running.current()
            with self.change() as (commit, catalog):
                catalog.connectors[info.name] = info
                save_connector(commit, info)
            running.stored = info

    def session(self) -> dict[str, str]:
        """The session's properties as they are now."""
        return dict(self.properties)

    def planner(self, session: dict[str, str], catalog: Catalog | None = None) -> Planner:
        """A planner over the catalogue as it is now, or over another."""
        return Planner(catalog or self.catalog, self.registry, session, self.partitions_of)

    def partitions_of(self, topic: str) -> int | None:
        """How many partitions a topic has, None where there is none."""
        with self.store.view() as view:
            found = view.topic(topic)
        return None if found is None else found.partitions

    def make_topic(self, commit: Commit, name: str, partitions: int, **settings: Any) -> Topic:
        """Make a topic within a commit; SemanticError where it cannot be."""
        check_topic(name, partitions)
        return commit.create_topic(name, partitions, **settings)

    def plan_of(self, statement: ast.Statement, session: dict[str, str]) -> QueryPlan:
        """The plan of a persistent query's statement."""
        return _plan(self.planner(session), statement)

    def plan_of_query(self, info: QueryInfo) -> QueryPlan:
        """The plan of a persistent query: what its statement meant when it was made."""
        planner = self.planner(info.properties, self.catalog.as_of(info))
        return _plan(planner, parse_statement(info.statement))

    def make_query(self, info: QueryInfo, plan: QueryPlan | None = None) -> Query:
        """A query ready to be loaded and added to the engine."""
        if plan is None:
            plan = self.plan_of_query(info)
        return Query(
            plan,
            info.properties,
            self.clock,
            partitions=self._internal_partitions(plan),
            info=info,
            row_wise=self.row_wise,
        )

    def _internal_partitions(self, plan: QueryPlan) -> int:
        with self.store.view() as view:
            topic = view.topic(plan.sources[0].topic)
        return 1 if topic is None else topic.partitions

    def positions(self) -> dict[int, dict[str, Any]]:
        """The stored positions of source connectors, by connector id."""
        with self.store.view() as view:
            return view.entries(POSITION)

    def log(self, commit: Commit, notes: Any) -> None:
        """Write notes into the processing log."""
        found: list[LoggedNote] = list(notes)
        if not found:
            return
        self.log_lines += sum(n.note.count for n in found)
        readers = processing_log.log_readers(self.engine.queries.values())
        self._log.write(commit, found, readers)

    def _make_again(self, old: Query) -> Query:
        assert old.info is not None
        return self.make_query(old.info, old.plan)

    def _query_failed(self, query: Query, cause: Exception) -> None:
        assert query.info is not None
        sentence = trace_sentence(cause)
        info = replace(query.info, state="ERROR", error=sentence)
        with self.change() as (commit, catalog):
            catalog.queries[info.id] = info
            save_query(commit, info)

    def table_of(self, source: Source, view: View) -> Query | None:
        """The query that keeps a table's rows, as a view has them; None where no query does."""
        if source.query_id is None:
            return None
        info = self.catalog.queries.get(source.query_id)
        if info is None:
            return None
        running = self.engine.queries.get(info.number)
        if running is not None:
            return running
        query = self.make_query(info)
        query.load(view)
        return query

    @contextmanager
    def snapshot(self) -> Iterator[View]:
        """The last commit, for as long as it takes to read from it: the catalogue, the running
        queries' tables and the view all show the same one."""
        with self.engine.lock:
            self.engine.freshen()
            with self.store.view() as view:
                if self.store.read_only:
                    self.catalog = load_catalog(view)
                yield view

    def refresh(self) -> None:
        """Read the catalogue again: a reader sees what the writer has committed since."""
        if self.store.read_only:
            with self.snapshot():
                pass


def _plan(planner: Planner, statement: ast.Statement) -> QueryPlan:
    if isinstance(statement, ast.CreateAsSelect):
        return planner.create_as(statement)
    assert isinstance(statement, ast.InsertIntoSelect)
    return planner.insert_into(statement)


def connect(
    path: str = ":memory:",
    *,
    read_only: bool = False,
    clock: Clock | None = None,
    properties: Mapping[str, str] | None = None,
) -> Database:
    """Open a database file, making it if there is none; ":memory:" keeps nothing.

    `read_only`: look at a database that another process writes. Raises StoreError.
    """
    return Database.open(path, read_only=read_only, clock=clock, properties=properties)


__all__ = ["Database", "MillstreamError", "connect"]
