"""The quickstart CLICKSTREAM_CODES: HTTP status codes and what they mean, over and over."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

STATUS_CODES: dict[int, str] = {
    200: "OK",
    301: "Moved permanently",
    302: "Found elsewhere",
    304: "Not modified",
    400: "Bad request",
    401: "Log-in needed",
    403: "Forbidden",
    404: "Page not found",
    405: "Method not allowed",
    406: "Not acceptable",
    407: "Proxy log-in needed",
    408: "Request timed out",
    500: "Server error",
    502: "Bad gateway",
    503: "Service unavailable",
}
"""Status codes (RFC 9110) and a short definition of each."""


class Codes:
    """Fields: code (number), definition (text). The key is the code as text."""

    key_field = "code"

    def __init__(self) -> None:
        self._keys = pa.array([str(code).encode() for code in STATUS_CODES], pa.binary())
        self._values = pa.array(
            [
                json.dumps({"code": code, "definition": text}, separators=(",", ":")).encode()
                for code, text in STATUS_CODES.items()
            ],
            pa.binary(),
        )

    def generate(self, first: int, count: int) -> tuple[pa.Array, pa.Array]:
        """Keys and values (binary) of `count` records from index `first` on."""
        row = pa.array(np.arange(first, first + count) % len(STATUS_CODES))
        return self._keys.take(row), self._values.take(row)
