"""A search server that keeps documents in memory: enough of the bulk interface for the sink."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class SearchServer:
    """Listens on a free port while the context is open. `documents` by (index, id)."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], Any] = {}
        self.received = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                self._answer({"errors": False, "items": outer._take(body)})

            def do_GET(self) -> None:
                self._answer({"version": {"number": "8.0.0"}})

            def _answer(self, content: Any) -> None:
                data = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def handle(self) -> None:
                # A client that is killed leaves its connection in the middle.
                try:
                    super().handle()
                except ConnectionError:
                    self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _take(self, body: bytes) -> list[Any]:
        lines = [json.loads(line) for line in body.splitlines()]
        items = []
        with self._lock:
            for head, document in zip(lines[::2], lines[1::2], strict=True):
                ((action, place),) = head.items()
                self.documents[(place["_index"], place["_id"])] = document
                self.received += 1
                items.append({action: {"_index": place["_index"], "status": 201}})
        return items

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
