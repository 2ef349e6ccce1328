"""What the command asks of a database: the part of its interface that is used here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol


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

    def rows(self) -> list[tuple[Any, ...]]:
        """All rows."""
        ...


class Subscription(Protocol):
    """A push query: an endless iterator of rows."""

    @property
    def columns(self) -> Sequence[str]:
        """Names, in order."""
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


class Database(Protocol):
    """An open database."""

    def execute(
        self, script: str, variables: Mapping[str, str] | None = None
    ) -> Sequence[Outcome]: ...

    def sql(self, query: str) -> Result: ...

    def subscribe(self, query: str) -> Subscription: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def metrics(self) -> Metrics: ...

    def close(self) -> None: ...
