"""The connector class AccessLogSource: a web server's access log as clicks and their users.

It gives the two topics of the clickstream recipe, in the form that Datagen gives them. Visitors
are told apart by the user that the server knew, else by host and browser; their ids count up from
1 in the order of their first line. A visitor's user record comes before his or her first click.

The ids follow from the file itself, so they are not stored: the position keeps where reading
stands and how many visitors there were, and after a restart the part already read is read again
for its visitors (at some hundred thousand lines a second). Where a followed file was replaced
(rotated), visitors are told apart anew, with ids that go on counting.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream.clock import Clock
from millstream.connect.base import ConnectorError, Option, Poll, Rejected, SourceRecords
from millstream.connect.log_format import Clicks, parse_lines, why_malformed
from millstream.connect.log_lines import LineReader, Lines
from millstream.connect.options import OptionReader

_FOLLOW_MS = 250
_RESTORE_LINES = 50_000
_MADE_UP = re.compile(r"visitor-\d+")


class AccessLogClass:
    """Reads an access log in the Common or Combined Log Format (Millstream's own connector)."""

    names: tuple[str, ...] = ("AccessLogSource",)
    direction = "SOURCE"
    options: tuple[Option, ...] = (
        Option("file", "The log's path; a name that ends in .gz is unpacked.", required=True),
        Option("topic", "The topic that gets the clicks.", "clickstream"),
        Option("users.topic", "The topic that gets the users.", "clickstream_users"),
        Option("follow", "true: wait for lines that are added later.", "false"),
    )

    def create(
        self, name: str, options: Mapping[str, str], position: dict[str, Any], clock: Clock
    ) -> AccessLogSource:
        """A reader that goes on at `position`. Raises ConnectorError."""
        read = OptionReader(self, options)
        clicks, users = read.required("topic"), read.required("users.topic")
        if clicks == users:
            raise ConnectorError("'topic' and 'users.topic' must be two different topics.")
        return AccessLogSource(
            file=read.required("file"),
            topic=clicks,
            users_topic=users,
            follow=read.flag("follow"),
            position=position,
        )


class AccessLogSource:
    """A running reader of one log file."""

    def __init__(
        self, *, file: str, topic: str, users_topic: str, follow: bool, position: dict[str, Any]
    ) -> None:
        self._file = file
        self._topic = topic
        self._users_topic = users_topic
        self._follow = follow
        self._reader = LineReader(file, follow=follow)
        self._visitors: dict[bytes, int] = {}
        self._first_visitor = int(position.get("first_visitor", 1))
        self._restore_to = int(position.get("bytes", 0))
        self._restore_visitors = int(position.get("visitors", 0))
        if self._restore_to:
            self._find_again(str(position.get("head", "")))

    def poll(self, max_rows: int) -> Poll | None:
        """The next lines' records; malformed lines as rejected ones with their byte place."""
        if self._restore_to:
            self._restore()
            return None
        lines = self._reader.read(max_rows)
        if lines is None and self._follow and self._reader.was_replaced():
            lines = self._reader.rest()
            result = None if lines is None else self._records(lines)
            self._begin_anew()
            if result is not None:
                result.position = self._position()
            return result
        return None if lines is None else self._records(lines)

    def due_in_ms(self) -> int | None:
        """0 while there are lines; at the end None, or a moment where the file is followed."""
        if self._restore_to and not self._is_done():
            return 0
        if self._follow:
            return _FOLLOW_MS if self._reader.at_end else 0
        return None if self._is_done() else 0

    def progress(self) -> tuple[int, int] | None:
        """(bytes read, size of the file); None where it is followed."""
        if self._follow:
            return None
        done, size = self._reader.progress()
        return (size if self._is_done() else max(done, self._restore_to)), size

    def topics(self) -> Sequence[str]:
        """The users' topic and the clicks' topic."""
        return (self._users_topic, self._topic)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._reader.close()

    def _is_done(self) -> bool:
        if self._follow:
            return False
        if self._reader.at_end:
            return True
        read, size = self._reader.progress()
        return not self._reader.is_packed and max(read, self._restore_to) >= size

    def _position(self) -> dict[str, Any]:
        return {
            "bytes": self._reader.offset,
            "visitors": len(self._visitors),
            "first_visitor": self._first_visitor,
            "head": self._reader.head,
        }

    # Going on after a restart.

    def _find_again(self, head: str) -> None:
        same = self._reader.has_head(head) and self._reader.holds(self._restore_to)
        if same:
            return
        if not self._follow:
            self._reader.close()
            raise self._changed()
        self._first_visitor += self._restore_visitors
        self._restore_to = self._restore_visitors = 0

    def _restore(self) -> None:
        """Read a stretch of what was read before, for its visitors."""
        left = self._restore_to - self._reader.offset
        lines = self._reader.read(_RESTORE_LINES) if left > 0 else None
        if lines is not None:
            seen = lines.place < self._restore_to
            text = lines.text.filter(pa.array(seen))
            self._number(parse_lines(text).identity)
        if self._reader.offset < self._restore_to and lines is not None:
            return
        if len(self._visitors) != self._restore_visitors:
            raise self._changed()
        self._reader.seek(self._restore_to)
        self._restore_to = 0

    def _changed(self) -> ConnectorError:
        return ConnectorError(
            f"The file {self._file} is not what it was when {self._restore_to} bytes of it had "
            "been read.",
            hint="Put the old file back, or drop the connector and create it again.",
        )

    def _begin_anew(self) -> None:
        self._reader.close()
        self._reader = LineReader(self._file, follow=self._follow)
        self._first_visitor += len(self._visitors)
        self._visitors = {}

    # Lines to records.

    def _records(self, lines: Lines) -> Poll:
        clicks = parse_lines(lines.text)
        users, new_rows = self._number(clicks.identity)
        records = []
        if len(new_rows):
            records.append(self._user_records(clicks, users, new_rows))
        if len(clicks):
            value = _click_values(clicks, users)
            records.append(SourceRecords(self._topic, clicks.key, value, clicks.time_ms))
        return Poll(records, self._position(), self._rejected(lines, clicks))

    def _number(self, identity: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """The visitor's id of each row, and the rows at which a new visitor appears."""
        coded = identity.dictionary_encode()
        codes = coded.indices.to_numpy(zero_copy_only=False)
        known = len(self._visitors)
        ids = np.empty(len(coded.dictionary), np.int64)
        for code, name in enumerate(coded.dictionary.to_pylist()):  # distinct visitors only
            number = self._visitors.setdefault(name, len(self._visitors))
            ids[code] = self._first_visitor + number
        _, first_rows = np.unique(codes, return_index=True)
        is_new = ids[codes[first_rows]] >= self._first_visitor + known
        return ids[codes], np.sort(first_rows[is_new])

    def _user_records(self, clicks: Clicks, users: np.ndarray, rows: np.ndarray) -> SourceRecords:
        picked = pa.array(rows)
        ids = users[rows].tolist()
        times = clicks.time_ms[rows]
        hosts = [host.decode(errors="replace") for host in clicks.key.take(picked).to_pylist()]
        names = clicks.user.take(picked).to_pylist()
        values = [
            _user_value(*user) for user in zip(ids, names, hosts, times.tolist(), strict=True)
        ]
        keys = pa.array([str(i).encode() for i in ids], pa.binary())
        return SourceRecords(self._users_topic, keys, pa.array(values, pa.binary()), times)

    def _rejected(self, lines: Lines, clicks: Clicks) -> list[Rejected]:
        bad = np.ones(len(lines.text), bool)
        bad[clicks.row] = False
        rows = np.flatnonzero(bad)
        texts = lines.text.take(pa.array(rows)).to_pylist()
        return [
            Rejected(self._topic, why_malformed(text), text, place)
            for text, place in zip(texts, lines.place[rows].tolist(), strict=True)
            if text.strip()  # an empty line says nothing
        ]


def _click_values(clicks: Clicks, users: np.ndarray) -> pa.Array:
    def text(part: bytes) -> pa.Scalar:
        return pa.scalar(part, pa.binary())

    def digits(numbers: np.ndarray) -> pa.Array:
        return pc.cast(pa.array(numbers), pa.string()).cast(pa.binary())

    time = digits(clicks.time_ms)
    return pc.binary_join_element_wise(
        text(b'{"_time":'), time,
        text(b',"time":"'), time,
        text(b'","ip":"'), clicks.ip,
        text(b'","userid":'), digits(users),
        text(b',"remote_user":"'), clicks.remote_user,
        text(b'","request":"'), clicks.request,
        text(b'","status":'), _status_values(clicks.status),
        text(b',"bytes":"'), clicks.bytes,
        text(b'","referrer":"'), clicks.referrer,
        text(b'","agent":"'), clicks.agent,
        text(b'"}'),
        text(b""),
    )  # fmt: skip


def _status_values(status: pa.Array) -> pa.Array:
    quote = pa.scalar(b'"', pa.binary())
    quoted = pc.binary_join_element_wise(quote, status, quote, pa.scalar(b"", pa.binary()))
    none = pc.equal(status, pa.scalar(b"-", pa.binary()))
    return pc.if_else(none, pa.scalar(b"null", pa.binary()), quoted)


def _user_value(user_id: int, user: bytes | None, host: str, time_ms: int) -> bytes:
    if user is None:
        username, level = f"visitor-{user_id}", "visitor"
    else:
        username, level = user.decode(errors="replace"), "member"
        if _MADE_UP.fullmatch(username):
            username += " (member)"  # no visitor's made-up name
    value = {
        "user_id": user_id,
        "username": username,
        "registered_at": time_ms,
        "first_name": None,
        "last_name": None,
        "city": _net_of(host),
        "level": level,
    }
    return json.dumps(value, separators=(",", ":")).encode()


def _net_of(host: str) -> str:
    """Where a host is, as far as its address tells: its network, or its domain."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ".".join(host.rsplit(".", 2)[-2:])
    return str(ipaddress.ip_network((address, 16 if address.version == 4 else 32), strict=False))
