"""The connector class DatagenSource: made-up records at a pace, or as fast as they are taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from millstream.clock import Clock
from millstream.connect.base import ConnectorError, Option, Poll, SourceRecords
from millstream.connect.datagen.quickstarts import QUICKSTARTS, Quickstart
from millstream.connect.datagen.rng import below, random_bits
from millstream.connect.datagen.users import DEFAULT_USERS
from millstream.connect.options import OptionReader, suggestion

_INTERVAL_STREAM = 0
_BLOCK = 1_024
_LONGEST_INTERVAL_MS = 2**31 - 2


class DatagenClass:
    """Generates records of a quickstart. Ours: the option `users`."""

    names: tuple[str, ...] = (
        "DatagenSource",
        "io.confluent.kafka.connect.datagen.DatagenConnector",
        "DatagenConnector",
    )
    direction = "SOURCE"
    options: tuple[Option, ...] = (
        Option("kafka.topic", "The topic that gets the records.", required=True),
        Option("quickstart", f"What to generate: {', '.join(QUICKSTARTS)}."),
        Option("maxInterval", "The longest time between two records in ms; 0: no wait.", "500"),
        Option("max.interval", "The same as maxInterval, as Confluent Cloud also writes it."),
        Option("iterations", "How many records to generate in all; -1: without end.", "-1"),
        Option("output.data.format", "How values are written; only JSON yet.", "JSON"),
        Option("random.seed", "A whole number; the same seed gives the same records.", "0"),
        Option(
            "users", "How many users there are, ids from 1 (Millstream's own).", f"{DEFAULT_USERS}"
        ),
        Option("schema.keyfield", "The field that is the key; only the quickstart's own yet."),
        Option("schema.filename", "A schema to generate by; not supported yet."),
        Option("schema.string", "A schema to generate by; not supported yet."),
        Option("generate.interval", "Of the task that reports; nothing here.", ignored=True),
        Option("output.key.format", "Keys are text.", ignored=True),
        Option("json.output.decimal.format", "No value is a decimal.", ignored=True),
    )

    def create(
        self, name: str, options: Mapping[str, str], position: dict[str, Any], clock: Clock
    ) -> DatagenSource:
        """A generator that goes on at `position`. Raises ConnectorError."""
        read = OptionReader(self, options)
        if read.required("output.data.format").upper() not in ("JSON", "JSON_SR"):
            raise ConnectorError(
                f"The output.data.format {read.text('output.data.format')} is not supported yet.",
                hint="Write 'output.data.format' = 'JSON'.",
            )
        interval = "max.interval" if "max.interval" in options else "maxInterval"
        longest_ms = read.integer(interval)
        if longest_ms > _LONGEST_INTERVAL_MS:
            raise ConnectorError(f"The option '{interval}' is too long: {longest_ms} ms.")
        seed = read.integer("random.seed", least=-(2**63))
        users = read.integer("users", least=1)
        if users > 1_000_000:
            raise ConnectorError(f"The option 'users' may be 1000000 at most, not {users}.")
        return DatagenSource(
            topic=read.required("kafka.topic"),
            content=self._quickstart(read)(seed, users),
            seed=seed,
            max_interval_ms=longest_ms,
            iterations=read.integer("iterations", least=-1),
            position=position,
            clock=clock,
        )

    def _quickstart(self, read: OptionReader) -> Callable[[int, int], Quickstart]:
        for name in ("schema.filename", "schema.string"):
            if read.text(name):
                raise ConnectorError(
                    f"Generating by a schema of one's own ('{name}') is not supported yet.",
                    hint=f"Write 'quickstart' = one of {', '.join(QUICKSTARTS)}.",
                )
        wanted = read.text("quickstart") or ""
        make = QUICKSTARTS.get(wanted.upper())
        if make is None:
            close = suggestion(wanted, QUICKSTARTS) if wanted else None
            raise ConnectorError(
                f"There is no quickstart '{wanted}'." if wanted else "A quickstart is missing.",
                hint=f"Did you mean '{close}'?" if close else f"It may be {_listed(QUICKSTARTS)}.",
            )
        key_field = read.text("schema.keyfield")
        own_field = make(0, 1).key_field
        if key_field and key_field != own_field:
            raise ConnectorError(
                f"The key of {wanted.upper()} is its field {own_field}; "
                f"another one ('{key_field}') is not supported yet."
            )
        return make


class DatagenSource:
    """A running generator.

    The content of record i is a function of (seed, i). Record i + 1 is due a time after record i
    that is uniform in [0, max_interval_ms] and a function of (seed, i) as well. The position is
    the next record's index and when it is due. Time while nobody polled because the connector was
    stopped or paused is not made up for.
    """

    def __init__(
        self,
        *,
        topic: str,
        content: Quickstart,
        seed: int,
        max_interval_ms: int,
        iterations: int,
        position: dict[str, Any],
        clock: Clock,
    ) -> None:
        self._topic = topic
        self._content = content
        self._seed = seed
        self._max_interval_ms = max_interval_ms
        self._iterations = iterations
        self._clock = clock
        self._index = int(position.get("index", 0))
        self._due_ms = int(position.get("due_ms", clock.now_ms()))
        self.resume()

    def poll(self, max_rows: int) -> Poll | None:
        """The records that are due by now, `max_rows` at most; their time is the clock's."""
        limit = max_rows if self._iterations < 0 else min(max_rows, self._left())
        now_ms = self._clock.now_ms()
        count = self._take_due(now_ms, limit)
        if count == 0:
            return None
        key, value = self._content.generate(self._index, count)
        self._index += count
        records = SourceRecords(self._topic, key, value, np.full(count, now_ms, np.int64))
        return Poll([records], {"index": self._index, "due_ms": self._due_ms})

    def due_in_ms(self) -> int | None:
        """How long until the next record; None once `iterations` are done."""
        if self._iterations >= 0 and self._left() <= 0:
            return None
        return max(0, self._due_ms - self._clock.now_ms())

    def progress(self) -> tuple[int, int] | None:
        """Records generated and to generate in all, where `iterations` are set."""
        return None if self._iterations < 0 else (self._index, self._iterations)

    def topics(self) -> Sequence[str]:
        """The one topic of the option kafka.topic."""
        return (self._topic,)

    def resume(self) -> None:
        """Go on from now after a break."""
        now_ms = self._clock.now_ms()
        self._due_ms = min(max(self._due_ms, now_ms), now_ms + self._max_interval_ms)

    def close(self) -> None:
        """Nothing is held."""

    def _left(self) -> int:
        return self._iterations - self._index

    def _take_due(self, now_ms: int, limit: int) -> int:
        """How many of the next `limit` records are due; moves `_due_ms` behind them."""
        if limit <= 0 or self._due_ms > now_ms:
            return 0
        if self._max_interval_ms == 0:
            return limit
        taken = 0
        while taken < limit and self._due_ms <= now_ms:
            block = min(_BLOCK, limit - taken)
            index = np.arange(self._index + taken, self._index + taken + block)
            waits = below(
                random_bits(self._seed, _INTERVAL_STREAM, index), self._max_interval_ms + 1
            )
            next_due = self._due_ms + np.cumsum(waits)
            used = min(block, 1 + int(np.searchsorted(next_due, now_ms, side="right")))
            self._due_ms = int(next_due[used - 1])
            taken += used
        return taken


def _listed(words: Mapping[str, object]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}"
