"""What the command asks of a database: the part of its interface that is used here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from millstream.types import SqlType

if TYPE_CHECKING:
    from millstream.engine.profile import Profile


class Rows(Protocol):
    """Columns and rows of a result."""

    @property
    def columns(self) -> Sequence[str]:
        """Names, in order."""
        ...

    @property
    def rows(self) -> Sequence[Sequence[Any]]:
        """The rows."""
        ...


class Outcome(Protocol):
    """What one statement did."""

    @property
    def statement(self) -> str:
        """Its text."""
        ...

    @property
    def message(self) -> str:
        """One sentence."""
        ...

    @property
    def table(self) -> Rows | None:
        """What SHOW, DESCRIBE and the like give."""
        ...

    @property
    def skipped(self) -> bool:
        """Whether it was left out because its identical text made the existing object."""
        ...


class Result(Protocol):
    """What a query gave."""

    @property
    def columns(self) -> Sequence[str]:
        """Names, in order."""
        ...

    @property
    def types(self) -> Sequence[SqlType]:
        """SQL types; none where the answer goes beyond ksqlDB's SQL."""
        ...

    @property
    def lag(self) -> int:
        """How many records the queries behind the answer have yet to read."""
        ...

    def rows(self) -> list[tuple[Any, ...]]:
        """All rows."""
        ...


class Subscription(Protocol):
    """A push query: an endless iterator of rows."""

    @property
    def columns(self) -> Sequence[str]:
        """Names, in order."""
        ...

    @property
    def types(self) -> Sequence[SqlType]:
        """SQL types, in order."""
        ...

    def __iter__(self) -> Iterator[tuple[Any, ...]]: ...

    def close(self) -> None:
        """End it. Idempotent."""
        ...


class QueryMetrics(Protocol):
    """One persistent query, measured."""

    @property
    def id(self) -> str: ...
    @property
    def sink(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def rows_in(self) -> int: ...
    @property
    def rows_out(self) -> int: ...
    @property
    def error(self) -> str | None: ...
    @property
    def lag(self) -> int: ...


class ConnectorMetrics(Protocol):
    """One connector, measured."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def message(self) -> str | None: ...
    @property
    def progress(self) -> tuple[int, int] | None: ...


class Metrics(Protocol):
    """A database, measured at one moment."""

    @property
    def events_total(self) -> int: ...
    @property
    def events_per_s(self) -> float: ...
    @property
    def queries(self) -> Sequence[QueryMetrics]: ...
    @property
    def connectors(self) -> Sequence[ConnectorMetrics]: ...
    @property
    def log_count(self) -> int: ...
    @property
    def errors(self) -> Sequence[str]: ...
    @property
    def profile(self) -> Profile: ...


class ConnectorInfo(Protocol):
    """What the catalogue says of a connector."""

    @property
    def name(self) -> str: ...
    @property
    def direction(self) -> str: ...


class RunningConnector(Protocol):
    """A connector that exists."""

    @property
    def info(self) -> ConnectorInfo: ...
    @property
    def state(self) -> str: ...
    @property
    def message(self) -> str | None: ...


class Connectors(Protocol):
    """All connectors of a database."""

    def all(self) -> Sequence[RunningConnector]: ...


class Engine(Protocol):
    """What runs the queries."""

    def idle(self) -> bool:
        """Whether every query has read all that is there."""
        ...

    def step(self, feeds: list[Any]) -> bool:
        """One commit of every query a step further; whether anything happened."""
        ...


class Database(Protocol):
    """An open database."""

    @property
    def connectors(self) -> Connectors: ...
    @property
    def engine(self) -> Engine: ...

    def execute_each(
        self,
        script: str,
        variables: Mapping[str, str] | None = None,
        *,
        skip_existing: bool = False,
        together: bool = False,
    ) -> Iterator[Outcome]: ...

    def execute(self, script: str) -> Sequence[Outcome]: ...

    def sql(self, query: str) -> Result: ...

    def subscribe(self, query: str) -> Subscription: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def run(self, for_ms: int | None = None, until_idle: bool = False) -> None: ...

    def idle(self) -> bool:
        """Whether nothing is left to do before something comes from outside."""
        ...

    def metrics(self) -> Metrics: ...

    def close(self) -> None: ...
