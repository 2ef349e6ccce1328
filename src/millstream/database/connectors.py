"""The connectors of a database: made, polled, paused, and what they bring committed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from millstream.catalog.catalog import Catalog
from millstream.catalog.model import ConnectorInfo
from millstream.clock import Clock
from millstream.connect.base import ConnectorError, Poll, Rejected, Sink, Source
from millstream.connect.registry import find_class
from millstream.connect.runtime import ConnectorState, SourceRunner, owner_of, trace_sentence
from millstream.connect.sink_worker import SinkWorker
from millstream.database.records import append_outside
from millstream.engine.engine import Feed
from millstream.engine.operators.base import Note
from millstream.engine.scheduler import LoggedNote
from millstream.errors import MillstreamError
from millstream.serde.base import RawPart
from millstream.store.interfaces import Commit, Store

POSITION = "connector_position"
"""The kind of catalogue entry that holds a source connector's position."""

LogNotes = Callable[[Commit, list[LoggedNote]], None]


@dataclass(slots=True)
class Running:
    """A connector that exists: one of the two is set where it could be made."""

    info: ConnectorInfo
    source: SourceRunner | None = None
    sink: SinkWorker | None = None

    @property
    def state(self) -> str:
        """RUNNING, PAUSED or FAILED."""
        part = self.source or self.sink
        return self.info.state if part is None else str(part.state)

    @property
    def message(self) -> str | None:
        """Why it failed, or what it waits for."""
        part = self.source or self.sink
        return self.info.message if part is None else part.message


class ConnectorHost:
    """All connectors. `change` runs a function in a commit of its own, on any thread."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        change: Callable[[Callable[[Commit], None]], None],
        log: LogNotes,
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._change = change
        self._log = log
        self._wake = wake
        self._running: dict[str, Running] = {}

    # --- life --------------------------------------------------------------------------------

    def start(self, info: ConnectorInfo, position: dict[str, Any]) -> Running:
        """Make a connector and let it run; where it cannot be made it is FAILED and says why."""
        running = Running(info)
        self._running[info.name] = running
        try:
            cls = find_class(info.options["connector.class"])
            made = cls.create(info.name, info.options, position, self._clock)
        except MillstreamError as error:
            running.info = replace(
                info, state=str(ConnectorState.FAILED), message=trace_sentence(error)
            )
            return running
        paused = info.state == str(ConnectorState.PAUSED)
        if info.direction == "SOURCE":
            state = ConnectorState.PAUSED if paused else ConnectorState.RUNNING
            running.source = SourceRunner(
                info.id, info.name, cast(Source, made), clock=self._clock, state=state
            )
        else:
            running.sink = self._worker(running, cast(Sink, made), paused=paused)
            running.sink.start()
        return running

    def _worker(self, running: Running, sink: Sink, *, paused: bool) -> SinkWorker:
        info = running.info

        def on_progress(topic_id: int, ordinal: int) -> None:
            def write(commit: Commit) -> None:
                commit.set_position(owner_of(info.id), topic_id, ordinal)

            self._change(write)

        def on_rejected(rejected: list[Rejected]) -> None:
            notes = [_rejected_note(info.name, r) for r in rejected]
            self._change(lambda commit: self._log(commit, notes))

        def on_state(state: str, message: str | None) -> None:
            self._wake()

        return SinkWorker(
            info.id,
            info.name,
            sink,
            self._store,
            on_progress=on_progress,
            on_state=on_state,
            on_rejected=on_rejected,
            paused=paused,
        )

    def get(self, name: str) -> Running:
        """A connector by name; KeyError where there is none."""
        return self._running[name]

    def find(self, name: str) -> Running | None:
        """A connector by name, None where it does not run here."""
        return self._running.get(name)

    def all(self) -> list[Running]:
        """All connectors, oldest first."""
        return list(self._running.values())

    def stop(self, name: str) -> None:
        """End a connector and forget it."""
        running = self._running.pop(name, None)
        if running is None:
            return
        if running.source is not None:
            running.source.close()
        if running.sink is not None:
            running.sink.stop()

    def stop_all(self) -> None:
        """End all connectors."""
        for name in list(self._running):
            self.stop(name)

    def pause(self, name: str) -> None:
        """Stop a connector until it is resumed."""
        running = self._running[name]
        if running.source is not None:
            running.source.pause()
        if running.sink is not None:
            running.sink.pause()

    def resume(self, name: str, position: dict[str, Any]) -> Running:
        """Go on after a pause or a failure; one that could not be made is tried again."""
        running = self._running[name]
        if running.source is None and running.sink is None:
            info = replace(running.info, state=str(ConnectorState.RUNNING), message=None)
            return self.start(info, position)
        if running.source is not None:
            running.source.resume()
        if running.sink is not None:
            running.sink.resume()
        return running

    # --- the engine's loop -----------------------------------------------------------------------

    def feeds(self, max_rows: int) -> list[Feed]:
        """What running sources have now, each as a feed for the next commit."""
        found: list[Feed] = []
        for running in self._running.values():
            runner = running.source
            if runner is None:
                continue
            poll = runner.poll(max_rows)
            if poll is not None:
                found.append(self._feed(running, poll))
        return found

    def _feed(self, running: Running, poll: Poll) -> Feed:
        def feed(commit: Commit) -> int:
            rows = 0
            for records in poll.records:
                topic = commit.topic(records.topic)
                if topic is None:
                    assert running.source is not None
                    running.source.fail(
                        f"Topic {records.topic} was dropped; drop the connector, too."
                    )
                    return rows
                append_outside(
                    commit, topic, RawPart(records.key), RawPart(records.value), records.rowtime
                )
                rows += len(records.rowtime)
            commit.put_entry(POSITION, running.info.id, poll.position)
            if poll.rejected:
                self._log(commit, [_rejected_note(running.info.name, r) for r in poll.rejected])
            return max(rows, len(poll.rejected), 1)

        return feed

    def due_in_ms(self) -> int | None:
        """In how many ms a source may have something; None: none will by itself."""
        due = [
            d
            for r in self._running.values()
            if r.source and (d := r.source.due_in_ms()) is not None
        ]
        return min(due) if due else None

    def unbounded(self) -> list[str]:
        """The names of running sources that never end."""
        return [
            r.info.name
            for r in self._running.values()
            if r.source is not None
            and r.source.state is ConnectorState.RUNNING
            and not r.source.finished
            and r.source.source.progress() is None
        ]

    def restore(self, positions: dict[int, dict[str, Any]]) -> None:
        """After a failed commit: make every source anew where the last commit left it."""
        for running in self._running.values():
            if running.source is None:
                continue
            cls = find_class(running.info.options["connector.class"])
            position = positions.get(running.info.id, {})
            try:
                made = cls.create(running.info.name, running.info.options, position, self._clock)
            except MillstreamError as error:
                running.source.fail(trace_sentence(error))
                continue
            running.source.replace(cast(Source, made))

    def notify(self) -> None:
        """Tell sinks that there is news."""
        for running in self._running.values():
            if running.sink is not None:
                running.sink.notify()


def source_topics(info: ConnectorInfo, clock: Clock) -> list[str]:
    """The topics that a source connector writes; none where it cannot be made."""
    if info.direction != "SOURCE":
        return []
    try:
        cls = find_class(info.options["connector.class"])
        source = cast(Source, cls.create(info.name, info.options, {}, clock))
    except ConnectorError:
        return []
    try:
        return list(source.topics())
    finally:
        source.close()


def start_all(host: ConnectorHost, catalog: Catalog, positions: dict[int, dict[str, Any]]) -> None:
    """Start every connector of a catalogue at its stored position."""
    for info in catalog.connectors.values():
        host.start(info, positions.get(info.id, {}))


def _rejected_note(connector: str, rejected: Rejected) -> LoggedNote:
    note = Note(
        step=f"connector {connector}",
        kind="deserialization",
        message=rejected.message,
        topic=rejected.topic,
        offset=rejected.place,
        record=rejected.record,
    )
    return LoggedNote("", note)
