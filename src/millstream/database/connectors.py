"""The connectors of a database: made, polled, paused, and what they bring committed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, cast

from millstream.catalog.catalog import Catalog
from millstream.catalog.model import ConnectorInfo
from millstream.clock import Clock
from millstream.connect.base import Poll, Rejected, Sink, Source
from millstream.connect.registry import find_class
from millstream.connect.runtime import ConnectorState, SourceRunner, owner_of, trace_sentence
from millstream.connect.sink_worker import SinkWorker
from millstream.database.records import append_outside
from millstream.database.topics import check_topic, check_writable
from millstream.engine.engine import Feed
from millstream.engine.operators.base import Note
from millstream.engine.scheduler import LoggedNote
from millstream.errors import MillstreamError, StoreError
from millstream.serde.base import RawPart
from millstream.store.interfaces import Commit, Store

_log = logging.getLogger(__name__)
POSITION = "connector_position"
"""The kind of catalogue entry that holds a source connector's position."""

LogNotes = Callable[[Commit, list[LoggedNote]], None]


@dataclass(slots=True)
class Running:
    """A connector that exists: one of the two is set where it could be made.

    `info` says what was asked of it, RUNNING or PAUSED; `stored` is what the catalogue says.
    """

    info: ConnectorInfo
    stored: ConnectorInfo
    source: SourceRunner | None = None
    sink: SinkWorker | None = None
    problem: str | None = None
    """Why it could not be made."""

    @property
    def state(self) -> str:
        """RUNNING, PAUSED or FAILED."""
        if self.problem is not None:
            return str(ConnectorState.FAILED)
        part = self.source or self.sink
        return self.info.state if part is None else str(part.state)

    @property
    def message(self) -> str | None:
        """Why it failed, or what it waits for."""
        part = self.source or self.sink
        return self.problem if part is None else part.message

    def current(self) -> ConnectorInfo:
        """What the catalogue should say: a failure, else what was asked of it."""
        failed = self.state == str(ConnectorState.FAILED)
        state = str(ConnectorState.FAILED) if failed else self.info.state
        return replace(self.info, state=state, message=self.message)


class ConnectorHost:
    """All connectors. `change` runs a function in a commit of its own, on any thread; `save`
    writes into the catalogue how a connector fares, if it is still there."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        change: Callable[[Callable[[Commit], None]], None],
        save: Callable[[Running], None],
        log: LogNotes,
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._change = change
        self._save = save
        self._log = log
        self._wake = wake
        self._running: dict[str, Running] = {}
        self._astray = False
        """Whether sources are ahead of what was committed."""

    # --- life --------------------------------------------------------------------------------

    def start(self, info: ConnectorInfo, position: dict[str, Any] | None) -> Running:
        """Make a connector and let it run, or wait where it is PAUSED; where it cannot be made it
        is FAILED and says why. A source that never ran (no position) gets its topics now."""
        paused = info.state == str(ConnectorState.PAUSED)
        wish = ConnectorState.PAUSED if paused else ConnectorState.RUNNING
        running = Running(replace(info, state=str(wish), message=None), stored=info)
        self._running[info.name] = running
        try:
            made = self._make(info, position or {})
        except Exception as error:
            if not isinstance(error, MillstreamError):
                _log.exception("connector %s could not be made", info.name)
            running.problem = trace_sentence(error)
            self._try_to_keep(running)
            return running
        if info.direction == "SOURCE":
            source = cast(Source, made)
            if position is None:
                try:
                    self._make_topics(info, source)
                except BaseException:
                    source.close()
                    raise
            running.source = SourceRunner(info.id, info.name, source, clock=self._clock, state=wish)
        else:
            running.sink = self._worker(running, cast(Sink, made), paused=paused)
            running.sink.start()
        self._try_to_keep(running)
        return running

    def topics_of(self, info: ConnectorInfo) -> list[str] | None:
        """The topics that a source will write; None where it cannot be made."""
        try:
            source = cast(Source, self._make(info, {}))
        except Exception:
            return None
        try:
            return list(source.topics())
        finally:
            source.close()

    def _make(self, info: ConnectorInfo, position: dict[str, Any]) -> Source | Sink:
        cls = find_class(info.options["connector.class"])
        made = cls.create(info.name, info.options, position, self._clock)
        if info.direction == "SOURCE":
            source = cast(Source, made)
            try:
                for topic in source.topics():
                    check_topic(topic)
                    check_writable(topic)
            except MillstreamError:
                source.close()
                raise
        return made

    def _make_topics(self, info: ConnectorInfo, source: Source) -> None:
        def write(commit: Commit) -> None:
            for name in source.topics():
                if commit.topic(name) is None:
                    commit.create_topic(name, 1)
            commit.put_entry(POSITION, info.id, {})

        self._change(write)

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
            self._try_to_keep(running)
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

    def stop(self, name: str, lock: AbstractContextManager[object]) -> None:
        """End a connector and forget it. `lock` keeps the engine's loop from polling a source
        while it is closed; a sink may need it to finish what is under way."""
        with lock:
            running = self._running.pop(name, None)
            if running is not None and running.source is not None:
                running.source.close()
        if running is not None and running.sink is not None:
            running.sink.stop()

    def stop_all(self, lock: AbstractContextManager[object]) -> None:
        """End all connectors."""
        for name in list(self._running):
            self.stop(name, lock)

    def pause(self, name: str) -> Running:
        """Stop a connector until it is resumed."""
        running = self._running[name]
        before = running.info
        running.info = replace(running.info, state=str(ConnectorState.PAUSED))
        part = running.source or running.sink
        was_running = part is not None and part.state is ConnectorState.RUNNING
        if part is not None:
            part.pause()
        try:
            self._keep(running)
        except BaseException:
            running.info = before
            if part is not None and was_running:
                part.resume()
            raise
        return running

    def resume(self, name: str, position: dict[str, Any] | None) -> Running:
        """Go on after a pause or a failure; one that could not be made is tried again, and a
        source that failed goes on at its stored position."""
        running = self._running[name]
        running.info = replace(running.info, state=str(ConnectorState.RUNNING))
        if running.source is None and running.sink is None:
            return self.start(replace(running.info, message=running.problem), position)
        source = running.source
        if source is not None and (
            source.state is not ConnectorState.FAILED or self._make_again(running, position or {})
        ):
            source.resume()
        if running.sink is not None:
            running.sink.resume()
        self._keep(running)
        return running

    def _make_again(self, running: Running, position: dict[str, Any]) -> bool:
        """Put a new source at a stored position in the place of one that is ahead of it."""
        assert running.source is not None
        try:
            made = self._make(running.info, position)
        except Exception as error:
            running.source.fail(trace_sentence(error))
            return False
        running.source.replace(cast(Source, made))
        return True

    def topic_dropped(self, topic: str) -> None:
        """Sources that write the topic have nowhere to write any more: they fail."""
        for running in self.all():
            if running.source is not None and topic in running.source.source.topics():
                self._lose_topic(running, topic)
                self._keep(running)

    def _lose_topic(self, running: Running, topic: str) -> None:
        assert running.source is not None
        running.source.fail(f"Topic {topic} was dropped; drop the connector, too.")

    def _try_to_keep(self, running: Running) -> None:
        """Write how a connector fares; where that cannot be written now, `save_states` does."""
        try:
            self._keep(running)
        except StoreError:
            _log.info("how connector %s fares could not be written", running.info.name)

    def save_states(self) -> None:
        """Write how connectors fare into the catalogue, where that has changed."""
        for running in self.all():
            self._keep(running)

    def _keep(self, running: Running) -> None:
        if running.current() != running.stored and self._running.get(running.info.name) is running:
            self._save(running)

    # --- the engine's loop -----------------------------------------------------------------------

    def feeds(self, max_rows: int) -> list[Feed]:
        """What running sources have now, each as a feed for the next commit."""
        if self._astray:
            self.restore()
        found: list[Feed] = []
        for running in self.all():
            runner = running.source
            if runner is None:
                continue
            poll = runner.poll(max_rows)
            if poll is not None:
                found.append(self._feed(running, poll))
        return found

    def _feed(self, running: Running, poll: Poll) -> Feed:
        def feed(commit: Commit) -> int:
            topics = {r.topic: commit.topic(r.topic) for r in poll.records}
            for name, topic in topics.items():
                if topic is None:
                    self._lose_topic(running, name)
                    return 0
            rows = 0
            for records in poll.records:
                topic = topics[records.topic]
                assert topic is not None
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
        due = [d for r in self.all() if r.source and (d := r.source.due_in_ms()) is not None]
        return min(due) if due else None

    def unbounded(self) -> list[str]:
        """The names of running sources that never end."""
        return [
            r.info.name
            for r in self.all()
            if r.source is not None
            and r.source.state is ConnectorState.RUNNING
            and not r.source.finished
            and r.source.source.progress() is None
        ]

    def restore(self) -> None:
        """After a failed commit: make every source anew where the last commit left it. Where that
        cannot be read, the next feeds are not given before it was."""
        self._astray = True
        with self._store.view() as view:
            positions = view.entries(POSITION)
        self._astray = False
        for running in self.all():
            if running.source is not None:
                self._make_again(running, positions.get(running.info.id, {}))

    def delivered(self) -> bool:
        """Whether running sinks have delivered all they know of."""
        return all(r.sink.idle for r in self.all() if r.sink is not None)

    def notify(self) -> None:
        """Tell sinks that there is news."""
        for running in self.all():
            if running.sink is not None:
                running.sink.notify()


def start_all(host: ConnectorHost, catalog: Catalog, positions: dict[int, dict[str, Any]]) -> None:
    """Start every connector of a catalogue at its stored position."""
    for info in catalog.connectors.values():
        host.start(info, positions.get(info.id))


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
