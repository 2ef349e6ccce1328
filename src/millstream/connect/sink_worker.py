"""The thread that carries committed records of topics to a sink."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from millstream.connect.base import ConnectorError, Rejected, RetriableError, Sink
from millstream.connect.outgoing import OutgoingEncoder
from millstream.connect.retry import HasRetryPolicy, RetryPolicy
from millstream.connect.runtime import ConnectorState, owner_of, trace_sentence
from millstream.errors import DamagedError, MillstreamError, StoreError
from millstream.store.interfaces import Records, Store, View
from millstream.store.portion import portions

_log = logging.getLogger(__name__)

_STOP_WAIT_S = 5.0
_STORE_RETRY = RetryPolicy(longest_ms=1_000)


@runtime_checkable
class CountsSkipped(Protocol):
    """A sink that leaves some records out on purpose, such as tombstones."""

    skipped: int


@dataclass(slots=True)
class SinkCounts:
    """What a worker has done since it started, in records."""

    delivered: int = 0
    rejected: int = 0
    skipped: int = 0


@dataclass(slots=True)
class _Work:
    """Runs to deliver, each from its given row on; none where retention took the records."""

    topic: str
    topic_id: int
    end: int
    runs: list[tuple[int, Records]]


@dataclass(slots=True)
class _Wish:
    """What others asked of the thread; guarded by the condition."""

    stop: bool = False
    pause: bool = False
    news: bool = False
    changed: bool = False


class SinkWorker:
    """Reads the sink's topics from the stored position on and delivers them, in order per topic.

    Callbacks are called on the worker's thread: `on_progress(topic_id, ordinal)` after records
    before `ordinal` were delivered (the engine commits it: owner `connector-<id>`; delivery is at
    least once), `on_state(state, message)` when either changes (RUNNING with a message: it waits
    or tries again), `on_rejected(list)` for records that the outside refused for good.
    `topic_ids_by_name` gives the topics that exist; by default those of the store.
    """

    def __init__(
        self,
        connector_id: int,
        name: str,
        sink: Sink,
        store: Store,
        *,
        on_progress: Callable[[int, int], None],
        on_state: Callable[[str, str | None], None],
        on_rejected: Callable[[list[Rejected]], None],
        topic_ids_by_name: Callable[[], Mapping[str, int]] | None = None,
        retry: RetryPolicy | None = None,
        rows_per_put: int = 10_000,
        paused: bool = False,
    ) -> None:
        self.connector_id = connector_id
        self.name = name
        self.counts = SinkCounts()
        self._sink = sink
        self._store = store
        self._on_progress = on_progress
        self._on_state = on_state
        self._on_rejected = on_rejected
        self._topic_ids = topic_ids_by_name
        self._retry = retry or (sink.retry if isinstance(sink, HasRetryPolicy) else RetryPolicy())
        self._rows_per_put = rows_per_put
        self._encoder = OutgoingEncoder()
        self._condition = threading.Condition()
        self._wish = _Wish(pause=paused)
        self._state = ConnectorState.PAUSED if paused else ConnectorState.RUNNING
        self._message: str | None = None
        self._positions: dict[int, int] = {}
        self._unsaved: dict[int, int] = {}
        self._turn = 0
        self._waiting = False  # for news, everything being delivered; guarded by the condition
        self._thread = threading.Thread(
            target=self._run, name=f"millstream-sink-{connector_id}", daemon=True
        )

    @property
    def state(self) -> ConnectorState:
        """How it is doing; a pause or resume that was asked for counts at once."""
        with self._condition:
            if self._wish.pause and self._state is ConnectorState.RUNNING:
                return ConnectorState.PAUSED
            if self._wish.changed and not self._wish.pause:
                return ConnectorState.RUNNING
            return self._state

    @property
    def message(self) -> str | None:
        """Why it failed, or what it waits for; None where all is well."""
        return self._message

    @property
    def idle(self) -> bool:
        """Whether nothing is left to deliver that it was told of (`notify`), or it does not run.
        False while it tries again what failed for now."""
        with self._condition:
            if self._wish.stop:
                return True
            if self._wish.changed and not self._wish.pause:
                return False  # it is about to go on
            if self._state is not ConnectorState.RUNNING:
                return True
            return self._waiting and not self._wish.news

    def start(self) -> None:
        """Start the thread; call once."""
        self._thread.start()

    def notify(self) -> None:
        """Tell that a commit may have added records. Cheap; callable from any thread."""
        self._ask(news=True)

    def pause(self) -> None:
        """Deliver nothing until `resume`; what is under way is finished first."""
        self._ask(pause=True)

    def resume(self) -> None:
        """Go on after a pause or a failure."""
        self._ask(pause=False)

    def stop(self) -> None:
        """End the thread and close the sink. Idempotent. A delivery under way gets a few seconds;
        after that its outcome is no longer reported."""
        self._ask(stop=True)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_STOP_WAIT_S)
        elif not self._thread.ident:
            self._sink.close()

    def _ask(self, *, stop: bool = False, pause: bool | None = None, news: bool = False) -> None:
        with self._condition:
            self._wish.stop = self._wish.stop or stop
            self._wish.news = self._wish.news or news
            if pause is not None:
                self._wish.pause = pause
                self._wish.changed = True
            self._condition.notify_all()

    # On the worker's thread.

    def _run(self) -> None:
        try:
            failures = 0
            while self._may_go_on():
                try:
                    busy = self._step()
                    failures = 0
                    if not busy:
                        self._await_news()
                except RetriableError as error:
                    failures += 1
                    failures = self._back_off(error, failures, self._retry)
                except Exception as error:
                    if isinstance(error, StoreError) and not isinstance(error, DamagedError):
                        # A full disk or a busy file may pass, however long that takes.
                        failures += 1
                        failures = self._back_off(error, failures, _STORE_RETRY)
                        continue
                    if not isinstance(error, MillstreamError):
                        _log.exception("connector %s failed", self.name)
                    failures = 0
                    self._set_state(ConnectorState.FAILED, trace_sentence(error))
        finally:
            self._sink.close()

    def _may_go_on(self) -> bool:
        """Wait while paused or failed; false when it is time to end."""
        while True:
            with self._condition:
                wish = self._wish
                if wish.stop:
                    return False
                before = self._state
                if wish.pause and before is ConnectorState.RUNNING:
                    self._state, self._message = ConnectorState.PAUSED, None
                elif wish.changed and not wish.pause and before is not ConnectorState.RUNNING:
                    self._state, self._message = ConnectorState.RUNNING, None
                # Together, so that nobody sees a wish fulfilled and the state of before.
                wish.changed = False
            if self._state is not before:
                self._on_state(self._state.value, None)
            if self._state is ConnectorState.RUNNING:
                return True
            with self._condition:
                while not (self._wish.stop or self._wish.changed):
                    self._condition.wait()

    def _await_news(self) -> None:
        with self._condition:
            self._waiting = True
            self._condition.wait_for(
                lambda: self._wish.stop or self._wish.changed or self._wish.news
            )
            self._waiting = False

    def _await_retry(self, delay_ms: int) -> None:
        with self._condition:
            self._condition.wait_for(
                lambda: self._wish.stop or self._wish.changed, delay_ms / 1_000
            )

    def _step(self) -> bool:
        """Deliver one run of records; false where there is none."""
        with self._condition:
            self._wish.news = False
        self._save()
        with self._store.view() as view:
            wanted, missing = self._wanted(view)
            work = self._next_work(view, wanted)
        waits = f"Waiting for the topic {', '.join(missing)} to be made." if missing else None
        if work is not None:
            self._deliver(work)
        if not self._stopping():
            self._set_state(ConnectorState.RUNNING, waits)
        return work is not None

    def _deliver(self, work: _Work) -> None:
        if work.runs:
            records = self._encoder.encode(work.topic, work.runs)
            rejected = self._sink.put(records)
            if self._stopping():
                return
            self._count(len(records.offset), rejected)
        self._positions[work.topic_id] = work.end
        self._unsaved[work.topic_id] = work.end
        self._save()

    def _save(self) -> None:
        """Tell of what was delivered, also before where that failed."""
        for topic_id, end in list(self._unsaved.items()):
            self._on_progress(topic_id, end)
            del self._unsaved[topic_id]

    def _next_work(self, view: View, wanted: list[tuple[str, int]]) -> _Work | None:
        """The next run of the topic whose turn it is."""
        stored = view.positions(owner_of(self.connector_id))
        for step in range(len(wanted)):
            name, topic_id = wanted[(self._turn + step) % len(wanted)]
            start = self._positions.get(topic_id, stored.get(topic_id, 0))
            end = view.end(topic_id)
            if start >= end:
                continue
            self._turn += step + 1
            runs = list(
                portions(view.read(topic_id, start, self._rows_per_put), self._rows_per_put)
            )
            if runs:
                end = runs[-1][0] + len(runs[-1][1])
            return _Work(name, topic_id, end, [(max(0, start - at), run) for at, run in runs])
        return None

    def _wanted(self, view: View) -> tuple[list[tuple[str, int]], list[str]]:
        """The sink's topics that exist, as (name, id), and the names of those that do not."""
        if self._topic_ids is not None:
            names = self._topic_ids()
        else:
            names = {topic.name: topic.id for topic in view.topics()}
        found: list[tuple[str, int]] = []
        missing: list[str] = []
        for wish in self._sink.topics():
            same = [name for name in names if name.lower() == wish.lower()]
            if len(same) > 1:
                raise ConnectorError(
                    f"The topics {' and '.join(sorted(same))} differ only in case, and "
                    f"'{wish}' could mean either of them."
                )
            found += [(name, names[name]) for name in same]
            missing += [] if same else [wish]
        return found, missing

    def _count(self, rows: int, rejected: list[Rejected]) -> None:
        self.counts.delivered += rows - len(rejected)
        self.counts.rejected += len(rejected)
        if isinstance(self._sink, CountsSkipped):
            newly = self._sink.skipped - self.counts.skipped
            self.counts.skipped = self._sink.skipped
            self.counts.delivered -= newly
        if rejected:
            self._on_rejected(rejected)

    def _back_off(self, error: Exception, failures: int, retry: RetryPolicy) -> int:
        if self._stopping():
            return failures
        delay_ms = retry.delay_ms(failures)
        if delay_ms is None:
            text = f"{trace_sentence(error)} Given up after {failures} tries."
            self._set_state(ConnectorState.FAILED, text)
            return 0
        text = f"{trace_sentence(error)} The next try is in {delay_ms} ms."
        self._set_state(ConnectorState.RUNNING, text)
        self._await_retry(delay_ms)
        return failures

    def _stopping(self) -> bool:
        with self._condition:
            return self._wish.stop

    def _set_state(self, state: ConnectorState, message: str | None) -> None:
        if (state, message) == (self._state, self._message):
            return
        self._state = state
        self._message = message
        if not self._stopping():
            self._on_state(state.value, message)
