"""A server that keeps the documents of Elasticsearch's bulk API in a dictionary."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class BulkServer(ThreadingHTTPServer):
    """Listens on a port of this machine, 0 for any; use `running`."""

    daemon_threads = True
    block_on_close = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.lock = threading.Lock()
        self.documents: dict[str, dict[str, Any]] = {}
        self.received = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: BulkServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        lines = [json.loads(line) for line in body.splitlines()]
        items = []
        with self.server.lock:
            for action, document in zip(lines[::2], lines[1::2], strict=True):
                ((kind, place),) = action.items()
                index = self.server.documents.setdefault(place["_index"], {})
                index[place["_id"]] = document
                self.server.received += 1
                items.append({kind: {"_id": place["_id"], "status": 201}})
        answer = json.dumps({"errors": False, "items": items}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def running(port: int = 0) -> Iterator[BulkServer]:
    """A server that listens inside the block."""
    with BulkServer(port) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
