"""A proxy that asks for a user and a password, to put before a server that asks for none."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


@contextmanager
def basic_auth_proxy(target: str, user: str, password: str) -> Iterator[str]:
    """The address of a proxy for `target`; it ends with the block. POST only."""
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Authorization") != expected:
                self._answer(401, b"{}")
                return
            kept = {"Content-Type": self.headers["Content-Type"]}
            answer = httpx.post(target + self.path, content=body, headers=kept, timeout=60)
            self._answer(answer.status_code, answer.content)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output clean."""

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
