"""The input: JSON clicks of about 257 bytes and the users they belong to, always the same ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

FIRST_MS = 1_700_000_000_000
_REQUESTS = (
    "GET /index.html HTTP/1.1",
    "GET /site/user_status.html HTTP/1.1",
    "GET /site/login.html HTTP/1.1",
    "GET /site/user_status.html HTTP/1.1",
    "GET /images/track.png HTTP/1.1",
    "GET /images/logo-small.png HTTP/1.1",
)
_STATUSES = ("200", "302", "404", "405", "406", "407")
_SIZES = ("278", "1289", "2048", "4096", "4006", "4196", "14096")
_AGENT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@dataclass(frozen=True)
class Clicks:
    """`values` are the records' bytes, `rowtime` their event times in ms."""

    values: list[bytes]
    rowtime: np.ndarray


def generate(count: int, users: int, seed: int = 1) -> Iterator[Clicks]:
    """Clicks in pieces of 100,000. A user id of -1, an unknown user, occurs like any other."""
    rng = np.random.default_rng(seed)
    last = FIRST_MS
    for start in range(0, count, 100_000):
        size = min(100_000, count - start)
        user = rng.integers(-1, users, size).tolist()
        request = rng.integers(0, len(_REQUESTS), size).tolist()
        status = rng.integers(0, len(_STATUSES), size).tolist()
        sent = rng.integers(0, len(_SIZES), size).tolist()
        rowtime = last + np.cumsum(rng.integers(0, 3, size))
        last = int(rowtime[-1])
        values = [
            _record(u, _REQUESTS[r], _STATUSES[s], _SIZES[b], t - FIRST_MS)
            for u, r, s, b, t in zip(user, request, status, sent, rowtime.tolist(), strict=True)
        ]
        yield Clicks(values, rowtime)


def generate_rare(
    count: int, users: int, span_ms: int, disorder_ms: int, seed: int = 2
) -> Iterator[Clicks]:
    """Clicks of many users who click rarely, spread evenly over `span_ms` of event time, each up
    to `disorder_ms` behind the latest one, in pieces of 100,000."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, 100_000):
        size = min(100_000, count - start)
        user = rng.integers(0, users, size).tolist()
        request = rng.integers(0, len(_REQUESTS), size).tolist()
        status = rng.integers(0, len(_STATUSES), size).tolist()
        sent = rng.integers(0, len(_SIZES), size).tolist()
        latest = (np.arange(start, start + size) * span_ms) // count + disorder_ms
        rowtime = FIRST_MS + latest - rng.integers(0, disorder_ms + 1, size)
        values = [
            _record(u, _REQUESTS[r], _STATUSES[s], _SIZES[b], t - FIRST_MS)
            for u, r, s, b, t in zip(user, request, status, sent, rowtime.tolist(), strict=True)
        ]
        yield Clicks(values, rowtime)


def _record(user: int, request: str, status: str, size: str, time: int) -> bytes:
    click = {
        "ip": f"111.{(user * 7) % 255}.{(user * 13) % 255}.{(user * 3) % 255}",
        "userid": user,
        "remote_user": "-",
        "time": str(time),
        "_time": time,
        "request": request,
        "status": status,
        "bytes": size,
        "referrer": "-",
        "agent": _AGENT,
    }
    return json.dumps(click, separators=(",", ":")).encode()


def user_rows(users: int) -> list[tuple[bytes, bytes]]:
    """Key and value of each user's record."""
    return [
        (
            str(i).encode(),
            json.dumps({"username": f"user_{i}", "city": f"city_{i % 7}"}).encode(),
        )
        for i in range(users)
    ]
