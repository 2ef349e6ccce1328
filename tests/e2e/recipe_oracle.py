"""What the clickstream recipe's four tables must hold, in plain Python: dicts and loops.

Nothing here is Millstream's. Events come in the order of the log; windows, sessions, grace and
retention follow event time, and the time of an operator is the largest one that reached it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

DAY_MS = 86_400_000
MINUTE_MS = 60_000
GAP_MS = 30_000

Row = tuple[object, ...]
Key = tuple[object, ...]
Span = tuple[int, int]


@dataclass(frozen=True)
class User:
    """A record of the users' topic."""

    user_id: str
    username: str
    city: str


@dataclass(frozen=True)
class Click:
    """A record of the clicks' topic, numbers as the stream's columns have them."""

    time_ms: int
    userid: int
    ip: str
    request: str
    status: int | None
    bytes: int | None


Event = User | Click


@dataclass
class Table:
    """A windowed table: the rows of every window it ever had (`all`), and those that its store
    still keeps (`kept`), as `SELECT *` shows them."""

    all: set[Row] = field(default_factory=set)
    kept: set[Row] = field(default_factory=set)


@dataclass
class Expected:
    """The recipe's streams and tables after all events."""

    user_clickstream: list[Row] = field(default_factory=list)
    pages_per_min: Table = field(default_factory=Table)
    click_user_sessions: Table = field(default_factory=Table)
    errors_per_min_alert: Table = field(default_factory=Table)
    user_ip_activity: Table = field(default_factory=Table)

    def tables(self) -> dict[str, Table]:
        """The four tables by name."""
        return {
            "PAGES_PER_MIN": self.pages_per_min,
            "CLICK_USER_SESSIONS": self.click_user_sessions,
            "ERRORS_PER_MIN_ALERT": self.errors_per_min_alert,
            "USER_IP_ACTIVITY": self.user_ip_activity,
        }


def expected(events: Iterable[Event]) -> Expected:
    """Run the recipe over events in log order."""
    users: dict[str, User] = {}
    pages = Counts(size_ms=MINUTE_MS, advance_ms=5_000)
    errors = Counts(size_ms=MINUTE_MS, advance_ms=20_000)
    activity = Counts(size_ms=MINUTE_MS, advance_ms=MINUTE_MS)
    sessions = Sessions(GAP_MS)
    result = Expected()
    for event in events:
        if isinstance(event, User):
            users[event.user_id] = event
            continue
        user = users.get(str(event.userid))
        name = None if user is None else user.username
        city = None if user is None else user.city
        # What was joined on is the key, whether or not somebody has it.
        user_id = str(event.userid)
        result.user_clickstream.append(
            (user_id, name, event.ip, city, event.request, event.status, event.bytes)
        )
        if "html" in event.request:
            pages.add((event.userid,), event.time_ms)
        if event.status is not None and event.status > 400:
            errors.add((event.status,), event.time_ms)
        if name is not None:
            sessions.add((name,), event.time_ms)
            activity.add((name, event.ip, city), event.time_ms)
    for key, (start, end), count in pages.rows():
        _put(result.pages_per_min, (*key, start, end, *key, start, count), pages.keeps(start))
    for key, (start, end), count in sessions.rows():
        _put(result.click_user_sessions, (*key, start, end, *key, end, count), sessions.keeps(end))
    for key, (start, end), count in errors.rows():
        if count > 5:
            row = (*key, start, end, *key, start, count)
            _put(result.errors_per_min_alert, row, errors.keeps(start))
    for key, (start, end), count in activity.rows():
        if count > 1:
            row = (*key, start, end, key[0], start, *key[1:], count)
            _put(result.user_ip_activity, row, activity.keeps(start))
    return result


def _put(table: Table, row: Row, kept: bool) -> None:
    table.all.add(row)
    if kept:
        table.kept.add(row)


class Counts:
    """COUNT(*) by key and time window."""

    def __init__(self, size_ms: int, advance_ms: int) -> None:
        self.size_ms, self.advance_ms = size_ms, advance_ms
        self.stream_ms = self.newest_start = -1
        self.counts: dict[tuple[Key, int], int] = {}

    def add(self, key: Key, time_ms: int) -> None:
        """One row: into every window that covers its time and still takes rows."""
        self.stream_ms = max(self.stream_ms, time_ms)
        grace_ms = DAY_MS - self.size_ms
        start = time_ms // self.advance_ms * self.advance_ms
        while start >= 0 and start + self.size_ms > time_ms:
            if start + self.size_ms + grace_ms > self.stream_ms:
                self.counts[key, start] = self.counts.get((key, start), 0) + 1
                self.newest_start = max(self.newest_start, start)
            start -= self.advance_ms

    def rows(self) -> Iterable[tuple[Key, Span, int]]:
        """Every window with its count."""
        for (key, start), count in self.counts.items():
            yield key, (start, start + self.size_ms), count

    def keeps(self, start: int) -> bool:
        """Whether a window's row can still be found."""
        return start >= self.newest_start - DAY_MS


class Sessions:
    """COUNT(*) by key and session."""

    def __init__(self, gap_ms: int) -> None:
        self.gap_ms = gap_ms
        self.stream_ms = self.newest_end = -1
        self.sessions: dict[Key, dict[Span, int]] = {}

    def add(self, key: Key, time_ms: int) -> None:
        """One row: it joins all sessions within the gap into one."""
        self.stream_ms = max(self.stream_ms, time_ms)
        mine = self.sessions.setdefault(key, {})
        near = [
            (start, end)
            for start, end in mine
            if start - self.gap_ms <= time_ms <= end + self.gap_ms and self.keeps(end)
        ]
        start = min([time_ms, *(s for s, _ in near)])
        end = max([time_ms, *(e for _, e in near)])
        if end + DAY_MS < self.stream_ms:
            return
        mine[start, end] = 1 + sum(mine.pop(span) for span in near)
        self.newest_end = max(self.newest_end, end)

    def rows(self) -> Iterable[tuple[Key, Span, int]]:
        """Every session with its count."""
        for key, mine in self.sessions.items():
            for span, count in mine.items():
                yield key, span, count

    def keeps(self, end: int) -> bool:
        """Whether a session can still be found."""
        return end >= self.newest_end - DAY_MS
