"""A database that does nothing but answer, for tests of the command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from millstream.engine.profile import Profile
from millstream.errors import MillstreamError
from millstream.types import SqlType


@dataclass
class FakeQuery:
    """A query as metrics tell it."""

    id: str
    sink: str
    state: str = "RUNNING"
    rows_in: int = 0
    rows_out: int = 0
    error: str | None = None
    lag: int = 0


@dataclass
class FakeConnector:
    """A connector as metrics tell it."""

    name: str
    state: str = "RUNNING"
    message: str | None = None
    progress: tuple[int, int] | None = None
    direction: str = "SOURCE"


@dataclass
class FakeMetrics:
    """What a database measures."""

    events_total: int = 0
    events_per_s: float = 0.0
    queries: list[FakeQuery] = field(default_factory=list)
    connectors: list[FakeConnector] = field(default_factory=list)
    log_count: int = 0
    errors: list[str] = field(default_factory=list)
    profile: Profile = field(default_factory=lambda: Profile(0.0, 0, []))


@dataclass
class FakeResult:
    """Columns and rows."""

    columns: list[str]
    content: list[tuple[Any, ...]]
    types: list[SqlType] = field(default_factory=list)
    lag: int = 0

    def rows(self) -> list[tuple[Any, ...]]:
        """The rows."""
        return self.content


class FakeSubscription:
    """A push query that ends."""

    def __init__(self, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
        self.columns = columns
        self.types: list[SqlType] = []
        self.rows = rows
        self.closed = False

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.rows)

    def close(self) -> None:
        """End it."""
        self.closed = True


@dataclass
class FakeTable:
    """What a statement shows."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@dataclass
class FakeOutcome:
    """What a statement did."""

    statement: str
    message: str = "done"
    table: FakeTable | None = None
    skipped: bool = False


class FakeConnectors:
    """The connectors that the metrics tell of."""

    def __init__(self, metrics: FakeMetrics) -> None:
        self._metrics = metrics

    def all(self) -> list[FakeRunning]:
        """All of them."""
        return [FakeRunning(connector, connector.state) for connector in self._metrics.connectors]


@dataclass
class FakeRunning:
    """A connector that exists."""

    info: FakeConnector
    state: str
    message: str | None = None


class FakeEngine:
    """Has always read everything."""

    def idle(self) -> bool:
        """Yes."""
        return True

    def step(self, feeds: list[Any]) -> bool:
        """Nothing happens."""
        return False


@dataclass
class FakeDatabase:
    """Answers with what it was given, and keeps what it was asked."""

    results: dict[str, FakeResult] = field(default_factory=dict)
    measured: FakeMetrics = field(default_factory=FakeMetrics)
    asked: list[str] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    running: bool = False
    engine: FakeEngine = field(default_factory=FakeEngine)

    @property
    def connectors(self) -> FakeConnectors:
        """Those of the metrics."""
        return FakeConnectors(self.measured)

    def execute_each(
        self,
        script: str,
        variables: Mapping[str, str] | None = None,
        *,
        skip_existing: bool = False,
        together: bool = False,
    ) -> Iterator[FakeOutcome]:
        """Keep the script."""
        self.executed.append(script)
        yield FakeOutcome(script)

    def execute(self, script: str) -> Sequence[FakeOutcome]:
        """Keep the script."""
        return list(self.execute_each(script))

    def idle(self) -> bool:
        """Whether every source is at its end."""
        return all(
            connector.state != "RUNNING"
            or connector.direction == "SINK"
            or (connector.progress is not None and connector.progress[0] == connector.progress[1])
            for connector in self.measured.connectors
        )

    def run(self, for_ms: int | None = None, until_idle: bool = False) -> None:
        """Nothing is left to do."""

    def sql(self, query: str) -> FakeResult:
        """The result whose key the query contains."""
        self.asked.append(query)
        for key, result in self.results.items():
            if key in query:
                return result
        raise MillstreamError(f"There is no table for {query}.")

    def subscribe(self, query: str) -> FakeSubscription:
        """A subscription to the result whose key the query contains."""
        result = self.sql(query)
        return FakeSubscription(result.columns, result.content)

    def start(self) -> None:
        """Run."""
        self.running = True

    def stop(self) -> None:
        """Stand still."""
        self.running = False

    def metrics(self) -> FakeMetrics:
        """What it measures."""
        return self.measured

    def close(self) -> None:
        """End."""
        self.running = False
